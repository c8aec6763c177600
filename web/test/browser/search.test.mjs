// Searching messages, and jumping to a day.

import assert from "node:assert/strict";

import { AXE, Network, person, scenario, Server } from "./harness.mjs";

const server = await Server.start("--database-url", "memory:", "--message-rate", "off");
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

/**
 * Opens the search from the finder.
 * @param {any} someone
 * @param {string} text
 */
async function search(someone, text) {
  await someone.page.keyboard.press("Control+k");
  await someone.page.fill("#finder-text", text);
  await someone.page.getByRole("option", { name: `Search messages for “${text}”`, exact: true }).click();
}

/** @returns {Promise<string[]>} the texts of the results */
function results(someone) {
  return someone.page.$$eval("#search-results:not(.old) .result-text", (all) => all.map(({ textContent }) => textContent));
}

/**
 * Waits for results. A message is found within 2 s, so the search is repeated.
 * @param {any} someone
 * @param {string[]} texts
 */
async function finds(someone, ...texts) {
  const start = Date.now();
  while (JSON.stringify(await results(someone)) !== JSON.stringify(texts)) {
    assert.ok(Date.now() - start < 20_000, `found: ${await results(someone)}, not ${texts}`);
    await someone.page.waitForTimeout(700);
    if ((await results(someone)).length !== texts.length) await someone.page.press("#search-text", "Enter");
  }
}

/** @returns {Promise<string[]>} the marked words */
function marks(someone) {
  return someone.page.$$eval("#search-results mark", (all) => all.map(({ textContent }) => textContent));
}

scenario("Ctrl K searches messages; case, ё and accents do not matter, and quotation marks join words", async () => {
  const alice = await person(server.url, "alice", { path: "/r/words" });
  await alice.pour("words", ["Ёлка стоит во дворе", "ещё одна ЕЛКА", "во дворе тихо", "café crème", "чай зелёный и чёрный", "зелёный чай"]);
  await search(alice, "елка");
  await finds(alice, "ещё одна ЕЛКА", "Ёлка стоит во дворе");
  assert.deepEqual(await marks(alice), ["ЕЛКА", "Ёлка"]);
  await alice.page.fill("#search-text", "CAFE CREME");
  await finds(alice, "café crème");
  await alice.page.fill("#search-text", "чай зел");
  await finds(alice, "зелёный чай", "чай зелёный и чёрный");
  await alice.page.fill("#search-text", "«зеленый чай»");
  await finds(alice, "зелёный чай");
  await alice.page.fill("#search-text", "");
  await alice.page.waitForFunction(() => /^Finds messages with all of these words/.test(document.querySelector("#search [role=status]").textContent));
  await alice.page.fill("#search-text", "нет такого слова");
  await alice.page.waitForFunction(() => /^Nothing found/.test(document.querySelector("#search [role=status]").textContent));
  await alice.page.evaluate(AXE);
  const { violations } = await alice.page.evaluate(() => axe.run("#search"));
  assert.deepEqual(violations.map(({ id }) => id), []);
});

scenario("filters are typed and picked, and only what one may read is found", async () => {
  const alice = await person(server.url, "alice", { path: "/r/garden" });
  const bob = await person(server.url, "bob", { path: "/r/garden" });
  await alice.pour("garden", ["pears in the garden"]);
  await bob.pour("garden", ["pears and plums"]);
  await bob.goto("/r/kitchen");
  await bob.pour("kitchen", ["pears in the pan"]);
  await alice.goto("/u/bob");
  await alice.say("pears between us");
  await alice.allStored();
  await search(alice, "pears");
  await finds(alice, "pears between us", "pears in the pan", "pears and plums", "pears in the garden");
  // Typed.
  await alice.page.focus("#search-text");
  await alice.page.keyboard.press("End");
  await alice.page.keyboard.type(" from:bo");
  await alice.page.locator("#search-choices li", { hasText: "bob" }).waitFor();
  await alice.page.keyboard.press("Enter");
  await finds(alice, "pears in the pan", "pears and plums");
  // Picked.
  await alice.page.click("#search .filter[data-kind=in]");
  await alice.page.locator("#search-choices li", { hasText: "garden" }).click();
  await finds(alice, "pears and plums");
  assert.equal(await alice.page.inputValue("#search-text"), "pears");
  await alice.page.click("#search .filter[data-kind=from]");
  await finds(alice, "pears and plums", "pears in the garden");
  await alice.page.click("#search .filter[data-kind=in]");
  await alice.page.click("#search .filter[data-kind=in]");
  await alice.page.locator("#search-choices li", { hasText: "bob" }).click();
  await finds(alice, "pears between us");
});

scenario("a result leads to its message, wherever it is; on a phone the panel makes way", async () => {
  const alice = await person(server.url, "alice", { path: "/r/deep" });
  await alice.pour("deep", ["the needle", ...Array.from({ length: 400 }, (_, i) => `hay ${i + 2}`)]);
  await alice.open("#default");
  await search(alice, "needle");
  await finds(alice, "the needle");
  await alice.page.locator(".result").click();
  await alice.page.waitForSelector("[data-seq='1'].target");
  assert.equal(new URL(alice.page.url()).pathname, "/r/deep");
  assert.ok(await alice.page.isVisible("#search"), "the panel stays");
  await alice.page.keyboard.press("Escape");
  await alice.page.locator("#search").waitFor({ state: "hidden" });
  const phone = await person(server.url, "alice", { path: "/r/default", ...PHONE });
  await phone.page.tap("#open-sidebar");
  await phone.page.tap("#find");
  await phone.page.fill("#finder-text", "needle");
  await phone.page.locator("#finder-list li", { hasText: "Search messages" }).tap();
  await finds(phone, "the needle");
  assert.equal(await phone.page.$eval("#search", (panel) => panel.getBoundingClientRect().width), 390);
  await phone.page.locator(".result").tap();
  await phone.page.waitForSelector("[data-seq='1'].target");
  assert.ok(await phone.page.isHidden("#search"));
});

scenario("more results come on demand, and a deleted message is not found", async () => {
  const alice = await person(server.url, "alice", { path: "/r/many" });
  await alice.pour("many", Array.from({ length: 75 }, (_, i) => `sand ${i + 1}`));
  await search(alice, "sand");
  await alice.until(async () => {
    const found = await results(alice);
    if (found.length < 50) await alice.page.press("#search-text", "Enter");
    await alice.page.waitForTimeout(500);
    return found[0] === "sand 75" && found.length >= 50;
  }, "the first page");
  while (await alice.page.isVisible("#search-more")) {
    await alice.page.click("#search-more");
    await alice.page.waitForTimeout(300);
  }
  assert.deepEqual(await results(alice), Array.from({ length: 75 }, (_, i) => `sand ${75 - i}`));
  await alice.page.locator("[data-seq='75']").focus();
  await alice.page.keyboard.press("Delete");
  // It is sent when it can no longer be undone.
  await alice.page.waitForTimeout(6_000);
  await alice.page.fill("#search-text", "sand 75");
  let asked = 0;
  await alice.until(async () => {
    if (Date.now() - asked > 5_000) {
      asked = Date.now();
      await alice.page.press("#search-text", "Enter");
    }
    return /^Nothing found/.test((await alice.page.textContent("#search [role=status]")) ?? "");
  }, "it is not found");
});

scenario("without a network the search says so, and goes on by itself", async () => {
  const network = await Network.before(server);
  const alice = await person(server.url, "alice", { path: "/r/away" });
  await alice.pour("away", ["a lighthouse"]);
  const bob = await person(network.url, "bob", { path: "/r/away" });
  await search(bob, "lighthouse");
  await finds(bob, "a lighthouse");
  network.down();
  await bob.page.fill("#search-text", "light");
  await bob.page.waitForFunction(() => /^There is no connection/.test(document.querySelector("#search [role=status]").textContent));
  network.up();
  await finds(bob, "a lighthouse");
});

scenario("a short page is not the end: the search goes on until there is something", async () => {
  const alice = await person(server.url, "alice", { path: "/r/short" });
  /** @type {(string | null)[]} */
  const asked = [];
  await alice.page.route(/\/api\/search/, async (route) => {
    const before = new URL(route.request().url()).searchParams.get("before");
    asked.push(before);
    const page = Number(before ?? 0);
    const results = page === 3 ? [{ room: "short", seq: 1, from: "bob", text: "at last", timestamp: 1_700_000_000 }] : [];
    await route.fulfill({ json: { results, ...(page < 3 && { next: String(page + 1) }) } });
  });
  await search(alice, "last");
  await finds(alice, "at last");
  assert.deepEqual(asked, [null, "1", "2", "3"]);
  await alice.page.unroute(/\/api\/search/);
  await alice.page.route(/\/api\/search/, (route) => route.fulfill({ status: 503, json: { error: "busy" } }));
  await alice.page.fill("#search-text", "anything");
  await alice.page.waitForFunction(() => /busy/.test(document.querySelector("#search [role=status]").textContent));
  assert.ok(await alice.page.locator("#search .link", { hasText: "Search again" }).isVisible());
});

scenario("a day of the calendar leads to its first message, by few questions", async () => {
  const alice = await person(server.url, "alice", { path: "/r/years" });
  await alice.pour("years", Array.from({ length: 1_500 }, (_, i) => `year ${i + 1}`));
  const bob = await person(server.url, "bob", { path: "/u/alice", timezoneId: "Europe/Berlin" });
  /** @type {any[]} */
  const asked = [];
  // Five messages a day, the last ones today.
  const now = Date.now() / 1000;
  const timeOf = (/** @type {number} */ seq) => Math.floor(now - (1_500 - seq) * 17_280);
  await bob.page.routeWebSocket(/\/ws$/, (socket) => {
    const chat = socket.connectToServer();
    socket.onMessage((message) => {
      const frame = JSON.parse(String(message));
      if (frame.type === "history") asked.push(frame);
      chat.send(message);
    });
    chat.onMessage((message) => {
      const frame = JSON.parse(String(message));
      for (const entry of [frame, ...(frame.messages ?? [])]) if (entry.timestamp) entry.timestamp = timeOf(entry.seq);
      socket.send(JSON.stringify(frame));
    });
  });
  await bob.goto("/r/years");
  await bob.sees("year 1500");
  asked.splice(0);
  // From the line above a message.
  await bob.page.locator("#messages .day button").last().click();
  for (let month = 0; month < 4; month += 1) await bob.page.click("#day-jump .previous");
  const chosen = new Date();
  chosen.setMonth(chosen.getMonth() - 4, 15);
  chosen.setHours(0, 0, 0, 0);
  // The browser is in another time zone than this process.
  const begin = await bob.page.evaluate(([year, month]) => new Date(year, month, 15).getTime() / 1000, [chosen.getFullYear(), chosen.getMonth()]);
  const wanted = Array.from({ length: 1_500 }, (_, i) => i + 1).find((seq) => timeOf(seq) >= begin);
  await bob.page.locator("#day-jump .days button", { hasText: /^15$/ }).click();
  await bob.page.waitForSelector(`[data-seq='${wanted}'].target`);
  assert.ok(asked.length <= 6, `${asked.length} questions`);
  // From the menu, with keys.
  await bob.page.click("#talk-more");
  await bob.page.click("#jump-to-day");
  await bob.page.keyboard.press("PageUp");
  await bob.page.keyboard.press("ArrowLeft");
  await bob.page.keyboard.press("Enter");
  await bob.page.locator("#day-jump").waitFor({ state: "hidden" });
  await bob.page.waitForSelector("#messages .target");
});
