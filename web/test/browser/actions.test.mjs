// What people do with messages: answering, reacting, editing and deleting them, by
// mouse, keys and fingers; and Markdown.

import assert from "node:assert/strict";

import { AXE, person, Server, scenario } from "./harness.mjs";

const server = await Server.start("--message-rate", "off", "--database-url", "memory:");
const PHONE = { viewport: { width: 390, height: 780 }, isMobile: true, hasTouch: true };
const room = (() => {
  let rooms = 0;
  return () => `/r/actions-${(rooms += 1)}`;
})();

/** Two users in a room of their own. */
async function pair(options = {}) {
  const path = room();
  return [await person(server.url, "alice", { path, ...options }), await person(server.url, "bob", { path })];
}

/** The element of the message that shows a text. */
const message = (someone, text) => someone.page.locator("#messages .message[data-seq]").filter({ has: someone.page.locator(".text", { hasText: new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`) }) });

/** Waits until a user has everything that the scenario needs of the page. */
async function ready(someone) {
  await someone.allStored();
  await someone.page.waitForSelector("#message-menu", { state: "attached" });
}

/** The chips of a message: `👍1` for each, `*` where it is one's own. */
const chips = (someone, text) => message(someone, text).locator(".chip").evaluateAll((all) => all.map((chip) => `${chip.dataset.emoji}${chip.textContent.replace(/\D/g, "") || 1}${chip.ariaPressed === "true" ? "*" : ""}`));

/** The bar of a message, under the mouse. */
async function bar(someone, text) {
  await message(someone, text).hover();
  const bar = message(someone, text).locator(".message-bar");
  await bar.waitFor();
  return bar;
}

scenario("the bar: at rest a message is bare, and every action is a click away", async () => {
  const [alice, bob] = await pair();
  await alice.say("good morning");
  await bob.say("hello alice");
  await alice.sees("hello alice");
  await ready(alice);
  await alice.page.mouse.move(5, 5);
  assert.equal(await alice.page.locator(".message-bar").count(), 0);

  // Reactions: one of the most used, then any other.
  await (await bar(alice, "hello alice")).getByRole("button", { name: "React with 👍" }).click();
  await bob.until(async () => String(await chips(bob, "hello alice")) === "👍1", "bob sees the reaction");
  await alice.until(async () => String(await chips(alice, "hello alice")) === "👍1*", "alice sees hers");
  await (await bar(bob, "hello alice")).getByRole("button", { name: "React with 👍" }).click();
  await alice.until(async () => String(await chips(alice, "hello alice")) === "👍2*", "two like it");
  await (await bar(alice, "hello alice")).getByRole("button", { name: "React with 👍" }).click();
  await bob.until(async () => String(await chips(bob, "hello alice")) === "👍1*", "alice has taken hers back");
  await (await bar(alice, "hello alice")).getByRole("button", { name: "Add a reaction" }).click();
  await alice.page.waitForSelector(".emoji-picker[open]");
  await alice.page.keyboard.type("огонь");
  await alice.page.getByRole("button", { name: "fire", exact: true }).click();
  await bob.until(async () => String(await chips(bob, "hello alice")) === "👍1*,🔥1", "and the new one");

  // An answer.
  await (await bar(alice, "hello alice")).getByRole("button", { name: "Reply" }).click();
  await alice.page.locator("#about", { hasText: "hello alice" }).waitFor();
  await alice.page.locator("#about button").click();
  await alice.page.waitForSelector("#about", { state: "hidden" });
  await (await bar(alice, "hello alice")).getByRole("button", { name: "Reply" }).click();
  await alice.page.keyboard.type("an answer");
  await alice.page.keyboard.press("Enter");
  await alice.page.waitForSelector("#about", { state: "hidden" });
  await message(bob, "an answer").locator(".quote", { hasText: "hello alice" }).waitFor();

  // The menu offers only what one may do.
  const offered = async (someone, text) => {
    await (await bar(someone, text)).getByRole("button", { name: "More" }).click();
    return someone.page.$$eval("#message-menu [role=menuitem]", (all) => all.map(({ dataset }) => dataset.action));
  };
  assert.deepEqual(await offered(bob, "an answer"), ["copy-text", "copy-link", "report"]);
  await bob.page.keyboard.press("Escape");
  assert.deepEqual(await offered(alice, "good morning"), ["edit", "copy-text", "copy-link", "delete"]);

  // Edited, and as it was.
  await alice.page.getByRole("menuitem", { name: "Edit" }).click();
  assert.equal(await alice.page.inputValue("#text"), "good morning");
  await alice.page.fill("#text", "good evening");
  await alice.page.keyboard.press("Enter");
  await bob.sees("good evening");
  await bob.page.waitForSelector(".edited-note, .edited", { state: "attached" });
  assert.equal(await alice.page.inputValue("#text"), "");

  // Deleted, taken back, and deleted.
  await offered(alice, "good evening");
  await alice.page.getByRole("menuitem", { name: "Delete" }).click();
  const undo = alice.page.locator(".message.deleting .undo button");
  await undo.click();
  await alice.page.waitForTimeout(5_300);
  assert.equal(await bob.page.locator(".message.deleted").count(), 0);
  await offered(alice, "good evening");
  await alice.page.getByRole("menuitem", { name: "Delete" }).click();
  await undo.waitFor();
  assert.equal(await message(bob, "good evening").count(), 1, "nothing is sent at once");
  await bob.page.waitForSelector(".message.deleted");
  await alice.page.waitForSelector(".message.deleted");
  assert.ok(!(await bob.page.content()).includes("good evening"));
});

scenario("every action by keys, and the focus returns", async () => {
  const [alice, bob] = await pair();
  await bob.say("from bob");
  await alice.sees("from bob");
  await alice.say("from alice");
  await ready(alice);
  const { page } = alice;
  const keys = page.keyboard;
  const focused = () => page.evaluate(() => document.activeElement?.querySelector?.(".text")?.textContent ?? document.activeElement?.id);
  await page.focus("#text");

  // From the empty box: the last own message. Unchanged, it is not sent.
  await keys.press("ArrowUp");
  await page.locator("#about", { hasText: "Editing" }).waitFor();
  assert.equal(await page.inputValue("#text"), "from alice");
  await keys.press("Enter");
  await page.waitForSelector("#about", { state: "hidden" });
  await keys.press("ArrowUp");
  await keys.type(" and more");
  await keys.press("Escape");
  assert.equal(await page.inputValue("#text"), "");
  await keys.press("ArrowUp");
  await keys.type(", edited");
  await keys.press("Enter");
  await bob.sees("from alice, edited");
  assert.equal(await bob.page.locator("#messages .edited").count(), 1);

  // Among the messages. A letter that is no action goes to the box.
  await keys.press("Shift+ArrowUp");
  assert.equal(await focused(), "from alice, edited");
  await keys.press("ArrowUp");
  assert.equal(await focused(), "from bob");
  await keys.press("e");
  assert.equal(await page.inputValue("#text"), "", "another's message is not edited, and the letter is not typed");
  await keys.press("+");
  await page.waitForSelector(".emoji-picker[open]");
  await keys.type("party pop");
  await keys.press("ArrowDown");
  await keys.press("Enter");
  await bob.until(async () => String(await chips(bob, "from bob")) === "🎉1", "bob sees the reaction");
  assert.equal(await focused(), "from bob", "the focus is back");
  await keys.press("+");
  await page.waitForSelector(".emoji-picker[open]");
  await keys.press("Escape");
  await page.waitForSelector(".emoji-picker", { state: "hidden" });
  assert.equal(await focused(), "from bob");

  // The bar and the menu: Tab, arrows, Enter.
  for (let i = 0; i < 12 && !(await page.evaluate(() => document.activeElement?.matches(".message-bar button"))); i += 1) await keys.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.closest("[role=toolbar]") !== null), true);
  await keys.press("ArrowLeft");
  assert.equal(await page.evaluate(() => document.activeElement?.ariaLabel), "More");
  await keys.press("Enter");
  await page.waitForSelector("#message-menu:popover-open");
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("role")), "menuitem");
  await keys.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement?.ariaLabel), "More");

  // An answer, on a keyboard with other letters, too.
  await message(alice, "from bob").focus();
  await page.evaluate(() => document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key: "к", code: "KeyR", bubbles: true, cancelable: true })));
  await page.locator("#about", { hasText: "from bob" }).waitFor();
  await keys.press("Escape");
  await page.waitForSelector("#about", { state: "hidden" });
  await message(alice, "from bob").focus();
  await keys.press("r");
  await keys.type("my answer");
  // It stays with its conversation.
  await alice.open("#default");
  await page.waitForSelector("#about", { state: "hidden" });
  assert.equal(await page.inputValue("#text"), "");
  await page.goBack();
  await page.locator("#about", { hasText: "from bob" }).waitFor();
  assert.equal(await page.inputValue("#text"), "my answer");
  await keys.press("Enter");
  await message(bob, "my answer").locator(".quote").waitFor();

  // Deleted: taken back by the focused button, then for good by emptying it.
  await page.focus("#text");
  await keys.press("Shift+ArrowUp");
  await keys.press("Delete");
  await page.waitForFunction(() => document.activeElement?.matches(".undo button"));
  await keys.press("Enter");
  assert.equal(await focused(), "my answer");
  await page.focus("#text");
  await keys.press("ArrowUp");
  await keys.press("Control+a");
  await keys.press("Delete");
  await keys.press("Enter");
  await page.locator("dialog.ask").getByRole("button", { name: "Delete" }).click();
  await page.locator(".message.deleting").waitFor();
  // Leaving the page sends it.
  await page.reload();
  await bob.page.waitForSelector(".message.deleted");
});

scenario("fingers: a long press opens a sheet, a swipe answers", async () => {
  const [alice, bob] = await pair({ ...PHONE });
  await bob.say("press me");
  await alice.sees("press me");
  await alice.say("my own");
  await ready(alice);
  const { page } = alice;
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
  const wire = await alice.context.newCDPSession(page);
  const touch = (type, ...touchPoints) => wire.send("Input.dispatchTouchEvent", { type, touchPoints });
  const middle = async (text) => {
    let box;
    // A row may be made again between finding it and looking at it.
    await alice.until(async () => (box = await message(alice, text).locator(".text").boundingBox()) !== null, text);
    return { x: box.x + 100, y: box.y + box.height / 2 };
  };
  const press = async (text) => {
    await touch("touchStart", await middle(text));
    await page.waitForSelector("#message-sheet[open]");
    await touch("touchEnd");
    await page.waitForTimeout(400);
    assert.equal(await page.locator("#message-sheet[open]").count(), 1, "the finger that opened it chooses nothing");
    return page.locator("#message-sheet");
  };
  const sheet = await press("press me");
  assert.deepEqual(await sheet.locator("[data-action]").evaluateAll((all) => all.map(({ dataset }) => dataset.action)), ["reply", "copy-text", "copy-link", "report", "delete"], "she is the moderator");
  const heights = await sheet.locator("button").evaluateAll((all) => all.map((button) => Math.min(button.getBoundingClientRect().height, button.getBoundingClientRect().width)));
  assert.ok(Math.min(...heights) > 43.9, `a finger finds it: ${heights}`);
  await sheet.getByRole("button", { name: "React with ❤️" }).tap();
  await bob.until(async () => String(await chips(bob, "press me")) === "❤️1", "bob sees it");
  await press("press me");
  await sheet.getByRole("button", { name: "Add a reaction" }).tap();
  await page.waitForSelector(".emoji-picker[open] .emoji-grid button");
  // It moves to its place.
  const isSheet = (box) => box !== null && box.x === 0 && Math.round(box.y + box.height) === 780;
  await alice.until(async () => isSheet(await page.locator(".emoji-picker").boundingBox()), "a sheet at the lower edge");
  await page.locator(".emoji-picker").getByRole("button", { name: "rocket", exact: true }).scrollIntoViewIfNeeded();
  await page.locator(".emoji-picker").getByRole("button", { name: "rocket", exact: true }).tap();
  await bob.until(async () => String(await chips(bob, "press me")) === "❤️1,🚀1", "and another one");

  // A swipe that is too short does nothing; one to either side answers; scrolling is neither.
  const swipe = async (text, dx, dy = 0) => {
    const { x, y } = await middle(text);
    await touch("touchStart", { x, y });
    for (let i = 1; i <= 8; i += 1) await touch("touchMove", { x: x + (dx * i) / 8, y: y + (dy * i) / 8 });
    await touch("touchEnd");
    // The browser takes no tap right after a swipe, which may be one that stops a fling.
    await page.waitForTimeout(700);
  };
  await swipe("press me", 30);
  await swipe("press me", 30, 120);
  assert.equal(await page.locator("#about:not([hidden])").count(), 0);
  for (const dx of [90, -90]) {
    await alice.until(async () => {
      await swipe("press me", dx);
      // On a busy machine a finger that has not moved yet is one that rests.
      if ((await page.locator("#message-sheet[open]").count()) > 0) await page.keyboard.press("Escape");
      return page.locator("#about", { hasText: "press me" }).isVisible();
    }, "a swipe answers");
    // On a busy machine the browser may take a tap for the one that stops the fling.
    await alice.until(async () => {
      if (await page.locator("#about").isHidden()) return true;
      await page.locator("#about button").tap({ timeout: 1000 }).catch(() => {});
      return page.locator("#about").isHidden();
    }, "the cross takes the answer back");
  }
  await alice.until(async () => {
    await swipe("press me", 90);
    if ((await page.locator("#message-sheet[open]").count()) > 0) await page.keyboard.press("Escape");
    return page.locator("#about", { hasText: "press me" }).isVisible();
  }, "a swipe answers");
  await alice.say("answered");
  await message(bob, "answered").locator(".quote").waitFor();

  // Edited and deleted in the sheet.
  await press("my own");
  await sheet.getByRole("button", { name: "Edit" }).tap();
  await page.fill("#text", "my own, edited");
  await page.tap("#send");
  await bob.sees("my own, edited");
  await press("my own, edited");
  await sheet.getByRole("button", { name: "Delete" }).tap();
  await page.locator(".message.deleting .undo button").tap();
  assert.equal(await message(alice, "my own, edited").count(), 1);
  await press("my own, edited");
  await sheet.getByRole("button", { name: "Delete" }).tap();
  await bob.page.waitForSelector(".message.deleted");
});

scenario("Markdown is shown, copied as it was typed, and nothing in it runs", async () => {
  const [alice, bob] = await pair();
  const text = "**bold** and _so_ with ~~gone~~, `code`, [a link](https://a.example/x) and @bob\n> quoted\nanswer\n- one\n- two\n```js\nlet x = 1;\n```";
  await bob.say("I am here");
  await alice.sees("I am here");
  const before = alice.page.evaluate(() => new Promise((done) => {
    // The height of a message before and after the library is there.
    const list = document.querySelector("#messages");
    new MutationObserver((_, observer) => {
      const shown = list.querySelector(".mine .text");
      if (shown && !shown.querySelector("strong")) {
        observer.disconnect();
        done(shown.offsetHeight);
      }
    }).observe(list, { childList: true, subtree: true });
  }));
  await alice.say("**one** _two_ `three`\n> four\nfive");
  const plain = await before;
  await alice.page.waitForSelector("#messages .text strong");
  await alice.allStored();
  assert.equal(await alice.page.locator("#messages .mine .text").evaluate(({ offsetHeight }) => offsetHeight), plain, "nothing jumps");
  await alice.page.evaluate(() => (document.querySelector("#text").value = ""));
  await alice.page.fill("#text", text);
  await alice.page.keyboard.press("Enter");
  await bob.sees(text);
  const shown = bob.page.locator("#messages .text").last();
  for (const [tag, words] of [["strong", "bold"], ["em", "so"], ["s", "gone"], ["pre", "let x = 1;"], ["blockquote", "quoted"], ["li >> nth=1", "two"], ["a[href='https://a.example/x'][rel~=noopener]", "a link"]]) {
    assert.equal((await shown.locator(tag).first().innerText()).trim(), words, tag);
  }
  assert.equal(await shown.locator("span.mention-name").textContent(), "@bob");
  await shown.locator(".code-keyword").waitFor();
  // Hidden markup is copied, and nothing else.
  const copied = await bob.page.evaluate(() => {
    const all = [...document.querySelectorAll("#messages .text")].at(-1);
    getSelection().selectAllChildren(all);
    let copied = "";
    document.addEventListener("copy", (event) => (copied = event.clipboardData.getData("text/plain")), { once: true });
    document.execCommand("copy");
    return copied;
  });
  assert.equal(copied, text);
  await bob.page.evaluate(() => getSelection().removeAllRanges());
  assert.match(await shown.innerText(), /^bold and so with gone, code, a link and @bob/);

  await alice.pour(new URL(alice.page.url()).pathname.slice(3), ["[x](javascript:alert(1)) ![y](javascript:alert(1))", "<img src=x onerror=alert(1)> **<b>**", "[z](data:text/html,x)", "```html\n<script>alert(1)</script>\n```", "end"]);
  await bob.sees("end");
  assert.equal(await bob.page.locator("#messages :is(img[src=x], b, script, a[href^=javascript], a[href^=data])").count(), 0);
});

scenario("the name of an emoji is completed, and the choice of a skin tone stays", async () => {
  const [alice, bob] = await pair();
  await alice.say("I am here");
  await ready(alice);
  const { page } = alice;
  const keys = page.keyboard;
  await page.focus("#text");
  await keys.type("done :огон");
  await page.waitForSelector("#emoji-names:not([hidden])");
  assert.match((await page.locator("#emoji-names [aria-selected=true]").textContent()) ?? "", /🔥/);
  await keys.press("Enter");
  assert.equal(await page.inputValue("#text"), "done 🔥 ");
  await keys.type(":tada");
  await page.waitForSelector("#emoji-names:not([hidden])");
  await keys.press("Tab");
  await keys.type("at 10:30 :) :tad");
  await page.waitForSelector("#emoji-names:not([hidden])");
  await keys.press("Escape");
  await page.waitForSelector("#emoji-names", { state: "hidden" });
  await keys.press("Enter");
  await bob.sees("done 🔥 🎉 at 10:30 :) :tad");

  await (await bar(alice, "I am here")).getByRole("button", { name: "React with 🎉" }).waitFor();
  await message(alice, "I am here").focus();
  await keys.press("+");
  await page.waitForSelector(".emoji-picker[open]");
  assert.ok(await page.locator(".emoji-picker section").first().getByRole("button", { name: "party popper" }).isVisible(), "recent ones come first");
  await page.locator(".emoji-picker").getByRole("button", { name: "Medium", exact: true }).click();
  await page.locator(".emoji-picker input").fill("рука машет");
  await page.locator(".emoji-picker input").fill("waving hand");
  await keys.press("Enter");
  await bob.until(async () => String(await chips(bob, "I am here")) === "👋🏽1", "in that tone");
});

for (const colorScheme of ["light", "dark"]) {
  for (const [size, options] of [["1280", {}], ["390", PHONE]]) {
    scenario(`axe finds nothing wrong: ${colorScheme}, ${size} pixels`, async () => {
      const [alice, bob] = await pair({ colorScheme, locale: "ru-RU", reducedMotion: "reduce", ...options });
      const { page } = alice;
      await bob.say("> q\n**b** `c` [l](https://a.example)\n```js\n// c\nlet x = f(\"s\", 1);\n```\n1. x");
      await page.waitForSelector("#messages .code-keyword");
      await alice.say("моё");
      await ready(alice);
      const isFine = async (what) => {
        await page.evaluate(AXE);
        const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
        assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`), [], what);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${what}: nothing is wider than the page`);
      };
      await isFine("Markdown");
      const own = page.locator("#messages .message.mine[data-seq]").last();
      await own.focus();
      if (size === "1280") {
        await page.keyboard.press("Shift+Tab");
        await page.keyboard.press("Tab");
        await own.hover();
        await isFine("the bar");
        await own.locator(".message-bar button").last().click();
        await isFine("the menu");
        await page.keyboard.press("Escape");
      } else {
        const wire = await alice.context.newCDPSession(page);
        let box;
        await alice.until(async () => (box = await own.boundingBox()) !== null, "a message");
        const { x, y, height } = box;
        await wire.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: [{ x: x + 120, y: y + height / 2 }] });
        await page.waitForSelector("#message-sheet[open]");
        await wire.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
        await isFine("the sheet");
        await page.keyboard.press("Escape");
      }
      await own.focus();
      await page.keyboard.press("+");
      await page.waitForSelector(".emoji-picker[open] .emoji-grid button");
      await isFine("the emoji");
      await page.keyboard.press("Escape");
      await page.waitForSelector(".emoji-picker", { state: "hidden" });
      await own.focus();
      await page.keyboard.press("e");
      await isFine("editing");
      await page.keyboard.press("Escape");
      await own.focus();
      await page.keyboard.press("r");
      await isFine("answering");
      await page.keyboard.press("Escape");
      await own.focus();
      await page.keyboard.press("Delete");
      await page.locator(".undo").waitFor();
      await isFine("deleting");
    });
  }
}
