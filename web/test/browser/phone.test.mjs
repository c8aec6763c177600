// A phone: everything is large enough for a finger, and gestures lead where people expect.

import assert from "node:assert/strict";

import { fourColours, person, Server, scenario, visitor } from "./harness.mjs";

const server = await Server.start("--message-rate", "off", "--database-url", "memory:", "--title", "Garden & Co");
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

/** The side of a target, in CSS pixels (WCAG 2.5.5). */
const TARGET_PX = 44;

/**
 * The buttons in view that a finger could miss, by what it hits around their middle.
 * Links within a text, and the name beside a picture that does the same, are exempt.
 * @returns {Promise<string[]>}
 */
function small(page, side = TARGET_PX) {
  return page.evaluate(async (side) => {
    // What springs is smaller than what it becomes.
    await Promise.allSettled(document.getAnimations().filter((one) => Number.isFinite(one.effect?.getComputedTiming().endTime)).map((one) => one.finished));
    const top = [...document.querySelectorAll("dialog[open], :popover-open")].at(-1) ?? document.body;
    const all = [...top.querySelectorAll("button, summary, select, input:not([type=file]), textarea, a:not(.text a, .when), label.check")];
    const isThere = (one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !one.closest("[inert], .unseen, .skip, .name, .text") && !one.matches(".check input, .unseen, .veil, .name, [type=radio], [type=checkbox]");
    return all.filter(isThere).flatMap((one) => {
      one.scrollIntoView({ block: "center" });
      const { left, top, width, height } = one.getBoundingClientRect();
      const [x, y] = [left + width / 2, top + height / 2];
      const hits = (x, y) => {
        const hit = document.elementFromPoint(x, y);
        return hit !== null && (one.contains(hit) || one.closest("label")?.contains(hit));
      };
      if (!hits(x, y)) return [];
      const reach = (dx, dy) => {
        let far = 0;
        while (far < side && hits(x + dx * (far + 0.5), y + dy * (far + 0.5))) far += 0.5;
        return far;
      };
      const [wide, high] = [Math.max(width, reach(-1, 0) + reach(1, 0)), Math.max(height, reach(0, -1) + reach(0, 1))];
      return wide > side - 1.1 && high > side - 1.1 ? [] : [`${one.tagName}#${one.id}.${one.className} “${one.textContent.trim().slice(0, 20)}” ${wide} × ${high}`];
    });
  }, side);
}

/** What can be done with fingers on a page. */
async function fingers({ context, page }) {
  const wire = await context.newCDPSession(page);
  const touch = (type, ...touchPoints) => wire.send("Input.dispatchTouchEvent", { type, touchPoints });
  return {
    press: async ({ x, y }) => {
      await touch("touchStart", { x, y });
      await page.waitForSelector("dialog[open]");
      await touch("touchEnd");
    },
    swipe: async ([x, y], [toX, toY]) => {
      await touch("touchStart", { x, y });
      for (let i = 1; i <= 8; i += 1) await touch("touchMove", { x: x + ((toX - x) * i) / 8, y: y + ((toY - y) * i) / 8 });
      await touch("touchEnd");
    },
  };
}

scenario("everything that is pressed is as large as a finger, and no key is mentioned", async () => {
  const where = { path: "/r/targets" };
  const [alice, bob] = [await person(server.url, "alice", { ...where, ...PHONE }), await person(server.url, "bob", where)];
  const { page } = alice;
  await page.waitForSelector("#message-menu", { state: "attached" });
  await bob.page.waitForSelector("#message-menu", { state: "attached" });
  await alice.say("the first");
  await bob.sees("the first");
  await bob.pour("targets", ["see https://example.org", "```\ncode\n```", Array.from({ length: 40 }, (_, i) => `line ${i}`).join("\n")]);
  await bob.page.locator("#messages [data-seq]").first().focus();
  await bob.page.keyboard.press("r");
  await bob.say("an answer");
  await bob.page.locator("#messages [data-seq]").first().hover();
  await bob.page.locator(".message-bar button").first().click();
  await page.waitForSelector("#messages .chip");
  await alice.sees("an answer");
  const found = [];
  const look = async (where) => {
    found.push(...(await small(page)).map((one) => `${where}: ${one}`));
    const keys = await page.evaluate(() => /\b(?:Ctrl|Esc|Enter|Shift|Tab)\b/.exec(document.body.innerText)?.[0]);
    if (keys) found.push(`${where}: “${keys}”`);
  };
  await look("chat");
  const touched = await fingers(alice);

  await page.$eval("#scroller", (scroller) => (scroller.scrollTop = 0));
  await look("top of the chat");

  const { x, y } = await page.locator("#messages [data-from=alice] .text").first().boundingBox();
  await touched.press({ x: x + 20, y: y + 8 });
  await look("message");
  await page.locator("#message-sheet").getByRole("button", { name: "Add a reaction" }).tap();
  await page.waitForSelector(".emoji-picker[open] .emoji-grid button");
  await look("emoji");
  await page.tap(".emoji-picker .icon");
  await page.waitForSelector(".emoji-picker", { state: "hidden" });
  await touched.press({ x: x + 20, y: y + 8 });
  await page.tap("#message-sheet [data-action=edit]");
  await page.waitForSelector("#about:not([hidden])");
  assert.equal(await page.textContent("#about .title"), "Editing");
  await look("editing");
  await page.tap("#about .icon");
  await page.waitForSelector("#about", { state: "hidden" });
  await page.tap("#talk-more");
  await page.waitForSelector("#talk-menu:popover-open");
  await page.locator("#talk-menu").evaluate((sheet) => Promise.all(sheet.getAnimations().map(({ finished }) => finished)));
  const menu = await page.locator("#talk-menu").boundingBox();
  assert.deepEqual([menu.x, menu.width, Math.round(menu.y + menu.height)], [0, 390, 844], "a sheet at the lower edge");
  await look("room");
  await page.tap("#show-details");
  await page.waitForSelector("#details:not([hidden])");
  await page.locator("#details .person").first().waitFor();
  await look("details");
  await page.locator("#details .person").first().tap();
  await page.waitForSelector("#card[open]");
  await look("card");
  await page.keyboard.press("Escape");
  await page.waitForSelector("#card", { state: "hidden" });
  await page.tap("#close-details");
  await page.tap("#talk-more");
  await page.tap("#search-here");
  await page.waitForSelector("#search:not([hidden])");
  await page.fill("#search-text", "first");
  await page.waitForSelector(".result");
  await look("search");
  await page.fill("#search-text", "from:bo");
  await page.waitForSelector("#search-choices:not([hidden])");
  await look("authors");
  await page.fill("#search-text", "");
  await page.tap("#close-search");
  await page.tap("#open-sidebar");
  await page.waitForSelector("#chat.sidebar-open");
  await look("sidebar");
  for (const [opener, dialog] of [["#find", "#finder"], ["#new-room-open", "#new-room"], ["#new-talk-open", "#new-talk"], ["#browse-open", "#browse"]]) {
    if ((await page.locator("#chat.sidebar-open").count()) === 0) await page.tap("#open-sidebar");
    await page.tap(opener);
    await page.waitForSelector(`${dialog}[open]`);
    await look(dialog);
    await page.keyboard.press("Escape");
    await page.waitForSelector(dialog, { state: "hidden" });
  }
  await page.tap("#open-sidebar");
  await alice.settings();
  await look("settings");
  for (const part of await page.$$eval("#settings [data-page]", (all) => all.filter((one) => one.checkVisibility()).map(({ dataset }) => dataset.page))) {
    await page.tap(`#settings [data-page=${part}]`);
    await look(`settings, ${part}`);
    await page.tap("#settings .back");
  }
  assert.deepEqual([...new Set(found)], []);
});

scenario("a finger draws the list of conversations, and pushes it back", async () => {
  const alice = await person(server.url, "alice", { path: "/r/drawer", ...PHONE });
  const { page } = alice;
  await page.waitForSelector("#message-menu", { state: "attached" });
  await alice.say("a message");
  await alice.allStored();
  const { swipe } = await fingers(alice);
  const isOpen = () => page.$eval("#chat", (chat) => chat.matches(".sidebar-open"));
  const { y } = await page.locator("#messages .text").first().boundingBox();
  await swipe([10, y + 8], [30, y + 8]);
  assert.equal(await isOpen(), false, "too short");
  await swipe([10, y + 8], [300, y + 8]);
  await alice.until(isOpen, "from the edge, over a message");
  assert.equal(await page.locator("#about:not([hidden])").count(), 0, "that is no answer");
  await swipe([250, 400], [20, 400]);
  await alice.until(async () => !(await isOpen()), "pushed back");
  await swipe([200, 30], [380, 30]);
  await alice.until(isOpen, "over the header");
  await alice.until(async () => {
    // The browser may take a tap for the one that stops a fling.
    await page.touchscreen.tap(380, 400);
    return !(await isOpen());
  }, "a tap beside it closes it");
  await page.waitForTimeout(700);
  await alice.until(async () => {
    await swipe([150, y + 8], [260, y + 8]);
    // On a busy machine a finger that has not moved yet is one that rests.
    if ((await page.locator("#message-sheet[open]").count()) > 0) await page.keyboard.press("Escape");
    return page.locator("#about", { hasText: "a message" }).isVisible();
  }, "a swipe answers");
  assert.equal(await isOpen(), false, "over a message, it answers");
});

scenario("the keyboard does not cover the box", async () => {
  const alice = await person(server.url, "alice", { path: "/r/keyboard", ...PHONE });
  const { page } = alice;
  await alice.pour("keyboard", Array.from({ length: 40 }, (_, i) => `line ${i}`));
  await alice.sees("line 39");
  // As on a phone whose keyboard covers the page: only the visual viewport gets smaller.
  await page.waitForFunction(() => performance.getEntriesByName(new URL(document.querySelector("[href$='view/keyboard.js']")?.href ?? "", location.href).href).length > 0);
  await page.evaluate(() => {
    Object.defineProperty(visualViewport, "height", { value: 500, configurable: true });
    visualViewport.dispatchEvent(new Event("resize"));
  });
  await alice.until(async () => {
    const box = await page.locator("#composer").boundingBox();
    return Math.round(box.y + box.height) <= 500;
  }, "the box is above the keyboard");
  const last = await page.locator("#messages .message").last().boundingBox();
  assert.ok(last.y + last.height <= 500, "and the newest message above the box");
});

scenario("the page is installed under the title of the server, and its badge counts", async () => {
  const { page } = await visitor(server.url);
  await page.goto(`${server.url}/`);
  const manifest = await (await fetch(new URL(await page.getAttribute("link[rel=manifest]", "href"), server.url))).json();
  assert.deepEqual([manifest.name, manifest.short_name, manifest.display], ["Garden & Co", "Garden & Co", "standalone"]);
  for (const size of ["192x192", "512x512"]) assert.ok(manifest.icons.some((icon) => icon.sizes === size), size);

  const where = { path: "/r/badge" };
  const bob = await person(server.url, "bob", where);
  const alice = await person(server.url, "alice", where);
  await alice.context.addInitScript(() => {
    window.badges = [];
    navigator.setAppBadge = async (count) => void window.badges.push(count);
    navigator.clearAppBadge = async () => void window.badges.push(0);
  });
  await alice.goto("/r/badge");
  await alice.open("#elsewhere");
  await bob.say("@alice, one");
  await bob.say("@alice, two");
  await alice.until(async () => (await alice.page.evaluate(() => window.badges.at(-1))) === 2, "two are unread");
  await alice.open("#badge");
  await alice.until(async () => (await alice.page.evaluate(() => window.badges.at(-1))) === 0, "all is read");
});

scenario("a long press on a conversation of the list opens a sheet, and not the conversation", async () => {
  const [alice, bob] = [await person(server.url, "alice", { path: "/r/pressed", ...PHONE }), await person(server.url, "bob", { path: "/r/pressed" })];
  const { page } = alice;
  await alice.goto("/r/default");
  await page.waitForSelector("#line-menu", { state: "attached" });
  await bob.say("read me");
  await page.tap("#open-sidebar");
  const line = page.locator('#sidebar [data-key="#pressed"]');
  await line.locator(".badge", { hasText: "1" }).waitFor();
  // The list slides in, and what is read stands elsewhere in it.
  await page.locator("#sidebar").evaluate((list) => Promise.all(list.getAnimations().map(({ finished }) => finished)));
  const touched = await fingers(alice);
  const press = async () => {
    const { x, y, width, height } = await line.boundingBox();
    await touched.press({ x: x + width / 2, y: y + height / 2 });
  };
  await press();
  assert.equal(await page.locator("#line-sheet[open]").count(), 1, "the finger that opened it chooses nothing");
  assert.equal(await page.textContent("#line-sheet .menu-head"), "pressed");
  assert.deepEqual(await small(page), []);
  assert.ok(await page.evaluate(() => location.pathname.endsWith("/default")), "the conversation is not opened");
  await page.locator("#line-sheet button", { hasText: "Mark as read" }).tap();
  await page.waitForFunction(() => !document.querySelector("#line-sheet[open]"));
  await line.locator(".badge").waitFor({ state: "detached" });
  await press();
  await page.locator('#line-sheet [data-level="none"]').tap();
  await bob.say("nobody hears");
  await line.locator(".badge", { hasText: "1" }).waitFor();
  assert.ok(!(await line.evaluate((line) => line.matches(".unread"))), "a muted room is quiet");
  // A short press opens the conversation.
  await line.tap();
  await page.waitForFunction(() => location.pathname.endsWith("/pressed"));
});

scenario("a sheet is pulled down closed, and springs back from less than a third", async () => {
  const alice = await person(server.url, "alice", { path: "/r/pulled", ...PHONE });
  const { page, context } = alice;
  await page.waitForSelector("#message-menu", { state: "attached" });
  await alice.say("press me");
  await alice.allStored();
  const touched = await fingers(alice);
  const wire = await context.newCDPSession(page);
  const touch = (type, ...touchPoints) => wire.send("Input.dispatchTouchEvent", { type, touchPoints });
  const boxOf = (selector) => page.locator(selector).evaluate(async (sheet) => {
    await Promise.all(sheet.getAnimations().map(({ finished }) => finished));
    const { x, y, width, height } = sheet.getBoundingClientRect();
    return { x: x + width / 2, y, height };
  });
  /** Pulls a sheet by a part of its height, from `from` below its upper edge; says where it was before the finger was lifted. */
  const pull = async (selector, share, from = 12) => {
    const { x, y, height } = await boxOf(selector);
    await touch("touchStart", { x, y: y + from });
    for (let i = 1; i <= 8; i += 1) await touch("touchMove", { x, y: y + from + (height * share * i) / 8 });
    const moved = (await page.locator(selector).boundingBox()).y - y;
    await touch("touchEnd");
    return moved / height;
  };
  const press = async () => {
    const { x, y } = await page.locator("#messages .text").first().boundingBox();
    await touched.press({ x: x + 20, y: y + 8 });
  };
  const isOpen = (selector) => page.locator(`${selector}:is([open], :popover-open)`).count().then((count) => count > 0);

  await press();
  const before = await boxOf("#message-sheet");
  assert.ok(Math.abs((await pull("#message-sheet", 0.25)) - 0.25) < 0.05, "it follows the finger");
  await page.waitForTimeout(300);
  assert.equal(await isOpen("#message-sheet"), true, "it springs back");
  assert.deepEqual(await boxOf("#message-sheet"), before);
  await pull("#message-sheet", 0.5);
  await alice.until(async () => !(await isOpen("#message-sheet")), "pulled by half, it closes");
  // It opens where it was.
  await press();
  assert.deepEqual(await boxOf("#message-sheet"), before);
  await pull("#message-sheet", 0.6, 100);
  await alice.until(async () => !(await isOpen("#message-sheet")), "it is pulled by its buttons, too, and none is pressed");

  // A menu, and a dialog that fills the screen.
  await page.tap("#talk-more");
  await page.waitForSelector("#talk-menu:popover-open");
  await pull("#talk-menu", 0.5);
  await alice.until(async () => !(await isOpen("#talk-menu")), "the menu of the room");
  await page.tap("#open-sidebar");
  await page.tap("#browse-open");
  await page.waitForSelector("#browse[open]");
  await page.locator("#browse-list li").first().waitFor();
  await pull("#browse", 0.4);
  await alice.until(async () => !(await isOpen("#browse")), "all rooms");

  // What is scrolled goes back first.
  await page.tap("#veil", { position: { x: 370, y: 400 } }).catch(() => {});
  await press();
  await page.locator("#message-sheet").getByRole("button", { name: "Add a reaction" }).tap();
  await page.waitForSelector(".emoji-picker[open] .emoji-grid button");
  await page.locator(".emoji-list").evaluate((list) => (list.scrollTop = 600));
  await pull(".emoji-picker", 0.5, 200);
  await page.waitForTimeout(300);
  assert.equal(await isOpen(".emoji-picker"), true, "the list is scrolled");
  await page.locator(".emoji-list").evaluate((list) => (list.scrollTop = 0));
  await page.waitForTimeout(300);
  await pull(".emoji-picker", 0.5, 200);
  await alice.until(async () => !(await isOpen(".emoji-picker")), "the list is at its beginning");

  // Without motion it stays where it is, and closes.
  await page.emulateMedia({ reducedMotion: "reduce" });
  await press();
  assert.equal(await pull("#message-sheet", 0.5), 0);
  await alice.until(async () => !(await isOpen("#message-sheet")), "without motion");
});
