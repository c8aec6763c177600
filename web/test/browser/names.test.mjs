// Mentions: choosing a name, and how it is shown.

import assert from "node:assert/strict";

import { AXE, person, register, Server, scenario } from "./harness.mjs";

const server = await Server.start("--message-rate", "off", "--database-url", "memory:");
const room = (() => {
  let rooms = 0;
  return () => `names-${(rooms += 1)}`;
})();
const INJECTION = "<img src=x onerror=a(1)>";

/** Two users in a room. */
async function two(there = room(), name = "bob", options = {}) {
  const alice = await person(server.url, "alice", { path: `/r/${there}`, ...options });
  const bob = await person(server.url, name, { path: `/r/${there}` });
  await alice.page.waitForFunction(() => document.querySelector("#subtitle")?.textContent === "2 here");
  await alice.page.bringToFront();
  await alice.page.focus("#text");
  return [alice, bob];
}

/** Waits until exactly these names are suggested; none: until there is no list. */
async function isOffered({ page }, ...names) {
  await page.waitForFunction((names) => {
    const list = document.querySelector("#names:not([hidden])");
    const offered = [...(list?.querySelectorAll("[role=option] .title") ?? [])].map(({ textContent }) => textContent);
    return JSON.stringify(offered) === JSON.stringify(names);
  }, names);
}

/** @returns {Promise<string | null>} the one that Enter would take, as a screen reader is told */
function chosen({ page }) {
  return page.evaluate(() => {
    const text = document.querySelector("#text");
    const id = text?.getAttribute("aria-activedescendant");
    const [selected, ...more] = document.querySelectorAll("#names [aria-selected=true]");
    const isSame = selected?.id === (id ?? undefined) && more.length === 0 && document.activeElement === text;
    return isSame ? (selected?.textContent ?? null) : "not one, or not the same";
  });
}

scenario("a mention is chosen by keyboard, and marked for the mentioned user", async () => {
  const [alice, bob] = await two();
  const { keyboard } = alice.page;
  await keyboard.type("well, @B");
  await isOffered(alice, "bob");
  assert.equal(await chosen(alice), "bob");
  await keyboard.press("Enter");
  await isOffered(alice);
  assert.equal(await alice.page.inputValue("#text"), "well, @bob ");
  assert.deepEqual(await alice.texts(), [], "nothing was sent");
  await keyboard.press("Control+z");
  assert.equal(await alice.page.inputValue("#text"), "well, @B");
  await keyboard.press("Control+Shift+z");
  await keyboard.type("do you hear?");
  await keyboard.press("Enter");

  await bob.sees("well, @bob do you hear?");
  assert.equal(await bob.page.textContent("#messages .message.mention span.mention-name"), "@bob");
  await alice.allStored();
  const name = alice.page.locator("#messages a.mention-name");
  assert.equal(await name.textContent(), "@bob");
  assert.equal(await alice.page.locator("#messages .message.mention").count(), 0);

  // The Tab key stops at it, and it leads to the conversation with the mentioned user.
  await keyboard.press("Shift+ArrowUp");
  for (let i = 0; i < 4 && !(await name.evaluate((link) => link === document.activeElement)); i += 1) await keyboard.press("Tab");
  await keyboard.press("Enter");
  await alice.page.waitForFunction(() => document.activeElement?.matches("#card [data-action=write]"));
  await keyboard.press("Enter");
  await alice.page.waitForURL("**/u/bob");
});

scenario("arrows move through the suggestions, Tab chooses, Esc closes them", async () => {
  const there = room();
  for (const name of ["robby", "ro-peep"]) await person(server.url, name, { path: `/r/${there}` });
  const alice = await person(server.url, "alice", { path: `/r/${there}` });
  await alice.joins("/");
  await alice.page.waitForFunction(() => document.querySelector("#subtitle")?.textContent === "3 here");
  const { keyboard } = alice.page;
  await alice.page.focus("#text");
  await keyboard.type("@ro");
  await alice.page.waitForFunction(() => document.querySelectorAll("#names [role=option]").length === 2);
  const first = await chosen(alice);
  await keyboard.press("ArrowDown");
  const second = await chosen(alice);
  assert.notEqual(second, first);
  await keyboard.press("ArrowDown");
  assert.equal(await chosen(alice), first);
  await keyboard.press("ArrowUp");
  assert.equal(await chosen(alice), second);
  await keyboard.press("Tab");
  assert.equal(await alice.page.inputValue("#text"), `@${second} `);
  assert.equal(await alice.page.evaluate(() => document.activeElement?.id), "text");

  await keyboard.type("and (@ro");
  await alice.page.waitForSelector("#names:not([hidden])");
  await keyboard.press("Escape");
  await isOffered(alice);
  assert.equal(await alice.page.inputValue("#text"), `@${second} and (@ro`);
  await keyboard.type("b");
  await isOffered(alice);
  assert.equal(await alice.page.getAttribute("#text", "aria-activedescendant"), null);
  await keyboard.press("Enter");
  await alice.sees(`@${second} and (@rob`);

  // Sending a message forgets the dismissed list.
  await keyboard.type("@robb");
  await isOffered(alice, "robby");
  await alice.page.click("#send");
  await alice.sees("@robb");
  await isOffered(alice);
  await keyboard.type("@robb");
  await isOffered(alice, "robby");
  await keyboard.press("Alt+ArrowDown");
  await alice.page.waitForFunction((there) => !location.pathname.endsWith(there), there);
  await isOffered(alice);
});

scenario("a mouse chooses a suggestion, and an @ in a word suggests nothing", async () => {
  const [alice, bob] = await two();
  const { keyboard } = alice.page;
  await keyboard.type("mail a@b");
  await keyboard.type(" or b, or @zzz, or @ b");
  await isOffered(alice);
  await alice.page.fill("#text", "");
  await keyboard.type("ask @b");
  await isOffered(alice, "bob");
  await keyboard.press("ArrowLeft");
  await keyboard.press("ArrowLeft");
  await isOffered(alice);
  await keyboard.press("End");
  await keyboard.type("o");
  await isOffered(alice, "bob");
  await alice.page.click("#names [role=option]");
  assert.equal(await alice.page.inputValue("#text"), "ask @bob ");
  assert.equal(await alice.page.evaluate(() => document.activeElement?.id), "text");

  await keyboard.type("@");
  await isOffered(alice, "bob", "@all");
  await alice.page.locator("#title").click();
  await alice.page.evaluate(() => document.activeElement instanceof HTMLElement && document.activeElement.blur());
  await isOffered(alice);

  // A name that is typed completely leaves no choice: Enter sends.
  await alice.page.fill("#text", "");
  await alice.page.focus("#text");
  await keyboard.type("@bob");
  await isOffered(alice);
  await keyboard.press("Enter");
  await bob.sees("@bob");
  await bob.page.locator(".message.mention").waitFor();
});

scenario("the latest authors are suggested first, in a private conversation too", async () => {
  const [alice, bob] = await two();
  await bob.say("first");
  await alice.sees("first");
  await alice.page.keyboard.type("@");
  await isOffered(alice, "bob", "@all");
  await alice.page.keyboard.press("Escape");
  await alice.page.fill("#text", "");
  await alice.goto("/u/bob");
  await alice.say("just us");
  await alice.allStored();
  await alice.page.keyboard.type("@");
  await alice.page.waitForFunction(() => document.querySelector("#names .title")?.textContent === "bob");
  await alice.page.fill("#text", "");
});

scenario("an input method gets all keys while it composes", async () => {
  const [alice] = await two(room(), "王小明");
  const { page } = alice;
  const wire = await alice.context.newCDPSession(page);
  await page.keyboard.type("@");
  await page.waitForSelector("#names:not([hidden])");
  for (const text of ["w", "wang", "王"]) {
    await wire.send("Input.imeSetComposition", { text, selectionStart: text.length, selectionEnd: text.length });
    await isOffered(alice);
  }
  await wire.send("Input.insertText", { text: "王" });
  await isOffered(alice, "王小明");
  await page.evaluate(() => document.querySelector("#text")?.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true })));
  assert.equal(await page.inputValue("#text"), "@王");
  await page.keyboard.press("Enter");
  assert.equal(await page.inputValue("#text"), "@王小明 ");
  await page.fill("#text", "");
});

scenario("names may have spaces, any script and markup characters", async () => {
  const there = room();
  const [alice, anna] = await two(there, "Анна Борисова");
  const { keyboard } = alice.page;
  await person(server.url, INJECTION, { path: `/r/${there}` });
  await person(server.url, "Анна", { path: `/r/${there}` });
  await alice.page.waitForFunction(() => document.querySelector("#subtitle")?.textContent === "4 here");
  await keyboard.type("@бор");
  await isOffered(alice, "Анна Борисова");
  await keyboard.press("Enter");
  await keyboard.type("и @анна б");
  await isOffered(alice, "Анна Борисова");
  await keyboard.press("Escape");
  await keyboard.type(", и @<i");
  await isOffered(alice, INJECTION);
  assert.equal(await alice.page.locator("#names img").count(), 0);
  await keyboard.press("Enter");
  await keyboard.press("Enter");
  const said = `@Анна Борисова и @анна б, и @${INJECTION}`;
  await anna.sees(said);
  await alice.sees(said);
  await alice.allStored();
  const marks = (someone) => someone.page.$$eval("#messages .mention-name", (all) => all.map(({ localName, textContent }) => `${localName} ${textContent}`));
  assert.deepEqual(await marks(anna), ["span @Анна Борисова", "a @анна", `a @${INJECTION}`]);
  assert.deepEqual(await marks(alice), ["a @Анна Борисова", "a @анна", `a @${INJECTION}`]);
  assert.equal(await anna.page.locator("#messages .message.mention").count(), 1);
  assert.equal(await alice.page.locator("#messages img").count(), 0);
  await alice.page.locator("#messages a.mention-name").last().click();
  await alice.page.click("#card [data-action=write]");
  await alice.page.waitForFunction((name) => document.querySelector("#title")?.textContent === name, INJECTION);
});

scenario("a name is found in any Unicode form of its letters", async () => {
  const there = room();
  const [alice] = await two(there, "Андрей");
  await alice.page.keyboard.press("Control+k");
  await alice.page.waitForSelector("#finder[open]");
  await alice.page.fill("#finder-text", "@Андреи\u0306");
  // Below the name, messages can be searched for the same words.
  assert.deepEqual(await alice.page.$$eval("#finder-list .title", (all) => all.map(({ textContent }) => textContent).slice(0, -1)), ["Андрей"]);
});

scenario("a person who was never met is found in the letters of the other script", async () => {
  for (const name of ["Мария", "Maria Reyes", "Сергей", "Тамара"]) await register(server.url, name);
  const alice = await person(server.url, "alice", { path: `/r/${room()}` });
  const { page } = alice;
  await page.waitForSelector("#message-menu", { state: "attached" });
  const finds = async (box, list, typed, ...names) => {
    await page.fill(box, typed);
    await page.waitForFunction(
      ({ list, names }) => JSON.stringify([...document.querySelectorAll(`${list} li`)].filter((line) => line.querySelector("chat-avatar")).map((line) => line.querySelector(".title")?.textContent).sort()) === JSON.stringify(names),
      { list, names: names.sort() },
    );
  };
  await page.keyboard.press("Control+k");
  await page.waitForSelector("#finder[open]");
  await finds("#finder-text", "#finder-list", "ma", "Мария", "Maria Reyes");
  await finds("#finder-text", "#finder-list", "maria", "Мария", "Maria Reyes");
  await finds("#finder-text", "#finder-list", "мария", "Мария", "Maria Reyes");
  await finds("#finder-text", "#finder-list", "sergei", "Сергей");
  await finds("#finder-text", "#finder-list", "maxim");
  await page.keyboard.press("Escape");
  await page.click("#new-talk-open");
  await finds("#new-talk [role=combobox]", "#new-talk [role=listbox]", "maria", "Мария", "Maria Reyes");
  await finds("#new-talk [role=combobox]", "#new-talk [role=listbox]", "серг", "Сергей");
  await page.keyboard.press("Escape");
  await page.click("#new-room-open");
  await page.fill("#new-room-title", "Цветоводы");
  await page.click("#new-room footer .primary");
  await page.waitForFunction(() => document.querySelector("#title")?.textContent === "Цветоводы");
  await page.click("#browse-open");
  await page.fill("#browse-text", "tsvet");
  await page.waitForFunction(() => [...document.querySelectorAll("#browse-list .title")].map(({ textContent }) => textContent).join() === "Цветоводы");
  // The first one empties the box.
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.waitForSelector("#browse", { state: "hidden" });
  await page.click("#find");
  await page.fill("#finder-text", "words");
  await page.locator("#finder-list li", { hasText: "Search messages" }).click();
  await page.fill("#search-text", "from:maria");
  await page.waitForFunction(() => [...document.querySelectorAll("#search-choices .title")].some(({ textContent }) => textContent === "Мария"));
});

for (const colorScheme of ["light", "dark"]) {
  for (const [size, options] of /** @type {const} */ ([
    ["1280", { viewport: { width: 1280, height: 800 } }],
    ["390", { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }],
  ])) {
    scenario(`axe finds nothing wrong with the list: ${colorScheme}, ${size} pixels`, async () => {
      const there = room();
      for (const name of ["Анна", "Борис", "carol", "dave", "eve", "Wolfeschlegelsteinhausen"]) await register(server.url, name);
      const [alice, bob] = await two(there, "bob", { colorScheme, ...options });
      await bob.say("look, @alice, what @bob says");
      await alice.page.locator(".message.mention span.mention-name").waitFor();
      const { page } = alice;
      await page.keyboard.type("@");
      await isOffered(alice, "bob", "@all");
      await page.evaluate(AXE);
      const violations = await page.evaluate(async () => {
        const { violations } = await axe.run(document, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
        return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} ${target}: ${failureSummary}`));
      });
      assert.deepEqual(violations, []);
      const row = await page.locator("#names [role=option]").first().boundingBox();
      assert.ok(row.height >= 44 && row.y > 0 && row.x >= 0, JSON.stringify(row));
      options.hasTouch ? await page.tap("#names [role=option]") : await page.click("#names [role=option]");
      assert.equal(await page.inputValue("#text"), "@bob ");
      assert.equal(await page.evaluate(() => document.activeElement?.id), "text");
    });
  }
}
