// Everyday use of the chat.

import assert from "node:assert/strict";

import { Network, person, Server, scenario } from "./harness.mjs";

const server = await Server.start("--message-rate", "off");
const room = (() => {
  let rooms = 0;
  return () => `room-${(rooms += 1)}`;
})();

scenario("two users talk, and a third reads everything in order", async () => {
  const [alice, bob] = [await person(server.url, "alice"), await person(server.url, "bob", { locale: "ru-RU" })];
  await alice.say("hello bob");
  await bob.sees("hello bob");
  await bob.say("привет, alice");
  await alice.sees("привет, alice");
  for (let i = 0; i < 20; i += 1) await alice.say(`burst ${i}`);
  await bob.sees("burst 19");
  await alice.allStored();
  const said = ["hello bob", "привет, alice", ...Array.from({ length: 20 }, (_, i) => `burst ${i}`)];
  const carol = await person(server.url, "carol");
  for (const someone of [alice, bob, carol]) {
    await someone.sees("burst 19");
    assert.deepEqual(await someone.texts(), said);
  }
  assert.equal(await alice.page.$$eval("#messages .mine .status.stored", ({ length }) => length), 21);
  assert.equal(await carol.page.textContent("#subtitle"), "3 here");
});

scenario("lines, links, code, emoji and all scripts are shown properly", async () => {
  const alice = await person(server.url, "alice", { path: `/r/${room()}` });
  await alice.page.focus("#text");
  await alice.page.keyboard.type("one");
  await alice.page.keyboard.press("Shift+Enter");
  await alice.page.keyboard.type("two");
  await alice.page.keyboard.press("Enter");
  await alice.sees("one\ntwo");
  await alice.say("see https://example.org/a_(b), please");
  assert.equal(await alice.page.locator("#messages .text a").getAttribute("href"), "https://example.org/a_(b)");
  assert.match((await alice.page.locator("#messages .text a").getAttribute("rel")) ?? "", /noopener/);
  await alice.say("`x < y` and\n```js\nlet a = 1;\n```");
  assert.equal(await alice.page.textContent("#messages pre"), "let a = 1;");
  await alice.say("🎉");
  await alice.page.waitForSelector("#messages .text.emoji");
  await alice.say("שלום world");
  await alice.sees("שלום world");
  await alice.allStored();
  // In one call: a row may be replaced between finding it and looking at it.
  const direction = () => alice.page.evaluate(() => getComputedStyle([...document.querySelectorAll("#messages .text")].at(-1)).unicodeBidi);
  assert.equal(await direction(), "plaintext");
  await alice.say("Donaudampfschifffahrt".repeat(60));
  assert.ok(await alice.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the page");
});

scenario("a long message is folded, and unfolds", async () => {
  const alice = await person(server.url, "alice", { path: `/r/${room()}` });
  await alice.say(Array.from({ length: 80 }, (_, i) => `line ${i}`).join("\n"));
  await alice.sees(`${Array.from({ length: 80 }, (_, i) => `line ${i}`).join("\n")}`);
  await alice.allStored();
  const more = alice.page.locator("#messages [data-seq] .unfold");
  await more.waitFor();
  const height = () => alice.page.locator("#messages .message").evaluate(({ offsetHeight }) => offsetHeight);
  const folded = await height();
  await more.click();
  assert.ok((await height()) > folded * 2);
  await more.click();
  assert.equal(await height(), folded);
});

scenario("messages in another room count as unread, and stand below a line", async () => {
  const there = room();
  const [alice, bob] = [await person(server.url, "alice", { path: `/r/${there}` }), await person(server.url, "bob", { path: `/r/${there}` })];
  await alice.say("before");
  await bob.sees("before");
  await alice.open("#games");
  await bob.say("while you were away");
  await bob.say("@alice do you hear?");
  const badge = alice.page.locator(`[data-key="#${there}"] .badge`);
  await badge.waitFor();
  await alice.until(async () => (await badge.textContent()) === "@2", "two, and one is for her");
  await alice.until(async () => (await alice.page.title()).startsWith("(2)"), "the title counts");
  assert.match((await alice.page.getAttribute("#favicon", "href")) ?? "", /icon-unread/);
  await alice.open(`#${there}`);
  await alice.sees("@alice do you hear?");
  const order = await alice.page.$$eval("#messages > li:not(.day)", (all) => all.map((item) => (item.matches(".new-line") ? "—" : item.querySelector(".text")?.textContent)));
  assert.deepEqual(order.filter(Boolean), ["before", "—", "while you were away", "@alice do you hear?"]);
  await alice.until(async () => !(await alice.page.title()).startsWith("("), "it is read");
  assert.equal(await alice.page.locator(".message.mention").count(), 1);
});

scenario("a muted room counts only mentions", async () => {
  const there = room();
  const [alice, bob] = [await person(server.url, "mute-alice", { path: `/r/${there}` }), await person(server.url, "bob", { path: `/r/${there}` })];
  await alice.say("I am here");
  await bob.sees("I am here");
  await alice.page.click("#talk-more");
  await alice.page.check("#mute");
  await alice.page.keyboard.press("Escape");
  await alice.open("#games");
  const line = alice.page.locator(`[data-key="#${there}"]`);
  const badge = line.locator(".badge");
  await bob.say("chatter");
  await badge.waitFor();
  assert.equal(await line.evaluate((line) => line.matches(".unread")), false);
  assert.ok(!(await alice.page.title()).startsWith("("));
  await alice.page.reload();
  await alice.isIn();
  await bob.say("@mute-alice, this is for you");
  await alice.until(async () => (await badge.textContent()) === "@2", "she is named");
  await alice.until(async () => (await alice.page.title()).startsWith("(2)"), "the title counts");
  await alice.open(`#${there}`);
  await alice.page.click("#talk-more");
  await alice.page.uncheck("#mute");
});

scenario("only two users see a private conversation", async () => {
  const there = room();
  const names = ["alice", "bob", "carol"];
  const [alice, bob, carol] = await Promise.all(names.map((name) => person(server.url, name, { path: `/r/${there}` })));
  await bob.say("I am bob");
  await alice.sees("I am bob");
  await alice.page.click("#messages [data-from=bob] button.name");
  await alice.page.click("#card [data-action=write]");
  await alice.page.waitForURL("**/u/bob");
  const secret = `secret of ${there}`;
  await alice.say(secret);
  await bob.page.locator("[data-key='@alice'] .badge.loud").waitFor();
  await bob.open("@alice");
  await bob.sees(secret);
  assert.match((await bob.page.textContent("#subtitle")) ?? "", /only you two/);
  await bob.say("I keep it");
  await alice.sees("I keep it");
  assert.equal(await carol.page.locator("#people [data-key='@alice']").count(), 0);
  assert.ok(!(await carol.page.content()).includes(secret));
  await bob.page.reload();
  await bob.sees(secret);

  // Earlier messages are there, also where only the newest was delivered.
  await alice.goto(`/r/${there}`);
  await bob.say("and another");
  await alice.page.locator("[data-key='@bob'] .badge").waitFor();
  await alice.open("@bob");
  await alice.sees(secret);
});

scenario("a link leads to an old message", async () => {
  const there = room();
  const alice = await person(server.url, "alice", { path: `/r/${there}` });
  await alice.pour(there, Array.from({ length: 400 }, (_, i) => `message ${i + 1}`));
  const bob = await person(server.url, "bob", { path: `/r/${there}#37` });
  await bob.page.locator("#messages .message.target").waitFor();
  assert.equal(await bob.page.textContent("#messages .message.target .text"), "message 37");
  assert.ok(await bob.page.locator("[data-seq='37']").evaluate((item) => item.getBoundingClientRect().top > 0 && item.getBoundingClientRect().bottom < innerHeight));
  await bob.page.click("#to-newest");
  await bob.sees("message 400");
  await bob.page.locator("[data-seq='400']").hover();
  await bob.page.locator("[data-seq='400'] a.when").click();
  assert.equal(new URL(bob.page.url()).hash, "#400");
  await bob.page.goBack();
  await bob.sees("message 37");
});

scenario("a draft stays with its conversation, over a reload too", async () => {
  const alice = await person(server.url, "alice");
  await alice.page.fill("#text", "half a thought");
  await alice.open("#music");
  assert.equal(await alice.page.inputValue("#text"), "");
  await alice.page.fill("#text", "another");
  await alice.page.reload();
  await alice.isIn();
  assert.equal(await alice.page.inputValue("#text"), "another");
  await alice.open("#default");
  assert.equal(await alice.page.inputValue("#text"), "half a thought");
  await alice.page.fill("#text", "");
});

scenario("the sidebar shows drafts and unsent messages", async () => {
  const there = room();
  const alice = await person(server.url, "alice", { path: `/r/${there}` });
  const mark = (key, kind) => alice.page.locator(`#sidebar [data-key="${key}"] .unfinished.${kind}`);
  await alice.page.fill("#text", "half a thought");
  await alice.open("#random");
  await mark(`#${there}`, "draft").waitFor();
  assert.match((await alice.page.locator(`[data-key="#${there}"]`).textContent()) ?? "", /Draft/);
  await alice.open(`#${there}`);
  assert.equal(await mark(`#${there}`, "draft").count(), 0, "here it can be seen");
  await alice.page.fill("#text", "");
  await alice.takesFor("nobody-there");
  await alice.goto("/u/nobody-there");
  await alice.say("are you there?");
  await mark("@nobody-there", "failed").waitFor();
  await alice.open(`#${there}`);
  assert.equal(await mark("@nobody-there", "failed").count(), 1);
  await alice.open("@nobody-there");
  await alice.page.click(".not-sent [data-act=discard]");
});

scenario("the finder begins with unread and recent conversations", async () => {
  const [first, second, third] = [room(), room(), room()];
  const alice = await person(server.url, "finding");
  for (const here of [first, second, third]) {
    await alice.open(`#${here}`);
    await alice.say("I am here");
    await alice.allStored();
  }
  for (const here of [first, second, third]) await alice.open(`#${here}`);
  const bob = await person(server.url, "bob", { path: `/r/${first}` });
  await bob.say("a word");
  await alice.page.locator(`[data-key="#${first}"] .badge`).waitFor();
  await alice.page.keyboard.press("Control+k");
  await alice.page.waitForSelector("#finder[open]");
  const offered = await alice.page.$$eval("#finder-list .title", (all) => all.map(({ textContent }) => textContent));
  assert.deepEqual(offered.slice(0, 2), [first, second]);
  assert.ok(!offered.slice(0, 3).includes(third), "the open one comes last");
  await alice.page.keyboard.press("ArrowDown");
  await alice.page.keyboard.press("Enter");
  await alice.page.waitForURL(`**/r/${second}`);
});

scenario("a refused message says why, and can be edited", async () => {
  const alice = await person(server.url, "alice", { serviceWorkers: "block" });
  await alice.takesFor("nobody-at-all");
  await alice.goto("/u/nobody-at-all");
  await alice.say("are you there?");
  await alice.page.locator(".not-sent").waitFor();
  assert.match((await alice.page.textContent(".not-sent")) ?? "", /no user with this name/);
  await alice.page.reload();
  await alice.page.locator(".not-sent").waitFor();
  await alice.page.click(".not-sent [data-act=retry]");
  await alice.page.locator(".not-sent").waitFor();
  await alice.page.click(".not-sent [data-act=edit]");
  await alice.until(async () => (await alice.page.inputValue("#text")) === "are you there?", "the text is in the box");
  assert.deepEqual(await alice.waiting(), []);
  await alice.page.fill("#text", "");
});

scenario("the box shows how many characters are left, and a text that is too long is not sent", async () => {
  const alice = await person(server.url, "alice", { path: `/r/${room()}` });
  await alice.page.fill("#text", "я".repeat(4000));
  assert.equal(await alice.page.textContent("#counter"), "96 left");
  await alice.page.fill("#text", "я".repeat(4100));
  assert.equal(await alice.page.textContent("#counter"), "4 characters too many");
  await alice.page.press("#text", "Enter");
  assert.deepEqual(await alice.texts(), []);
  await alice.page.fill("#text", "");
});

scenario("a session that ends elsewhere leaves nothing on the page", async () => {
  const alice = await person(server.url, "alice");
  await alice.say("something to read");
  const laptop = await person(server.url, "alice");
  await laptop.settings("devices");
  await laptop.page.locator("#sessions li").first().waitFor();
  assert.ok((await laptop.page.locator("#sessions li").count()) >= 2);
  await laptop.page.click("#end-others");
  await alice.page.waitForSelector("#sign-in", { state: "visible" });
  assert.equal(await alice.page.inputValue("#sign-in-name"), "alice");
  assert.equal(await alice.page.locator("#messages li").count(), 0);
  assert.equal((await alice.context.request.get(`${server.url}/api/me`)).status(), 401);
  await laptop.page.keyboard.press("Escape");
  await laptop.say("still here");
  await laptop.allStored();
});

scenario("an open page renews its session", async () => {
  const alice = await person(server.url, "alice");
  await alice.page.clock.install();
  await alice.page.reload();
  await alice.isIn();
  const asked = alice.page.waitForRequest("**/api/me");
  await alice.page.clock.fastForward("01:00:01");
  await asked;
});

scenario("a room in which the user has written is listed in all tabs, without a reload", async () => {
  const [there, where] = [room(), room()];
  const alice = await person(server.url, "tabby", { path: `/r/${there}` });
  await alice.say("something");
  const other = await alice.tab("/r/default");
  await alice.goto(`/r/${where}`);
  await alice.say("something else");
  for (const name of [there, where]) await other.page.locator(`#rooms [data-key="#${name}"].member`).waitFor();
  await other.page.reload();
  await other.isIn();
  for (const name of [there, where]) assert.equal(await other.page.locator(`#rooms [data-key="#${name}"].member`).count(), 1, name);
});

scenario("a room is left once nothing is unsent, and Back does not join it again", async () => {
  const there = room();
  const network = await Network.before(server);
  const alice = await person(network.url, "alice", { path: "/r/default" });
  await alice.open("#games");
  await alice.goto(`/r/${there}`);
  await alice.say("hello");
  await alice.allStored();
  // The menu's code comes over the network, too.
  await alice.page.click("#talk-more");
  await alice.page.waitForSelector("#leave");
  await alice.page.keyboard.press("Escape");
  network.down();
  await alice.page.waitForSelector("#subtitle.away");
  await alice.say("bye");
  await alice.page.click("#talk-more");
  await alice.page.click("#leave");
  await alice.page.waitForFunction(() => /1 message is not sent yet/.test(document.querySelector("#toast")?.textContent ?? ""));
  network.up();
  await alice.allStored();
  await alice.page.click("#talk-more");
  await alice.page.click("#leave");
  await alice.page.waitForFunction((key) => !document.querySelector(`#rooms [data-key="${key}"]`), `#${there}`);
  await alice.page.goBack();
  await alice.page.waitForTimeout(300);
  assert.equal(await alice.page.locator(`#rooms [data-key="#${there}"].member`).count(), 0);
});

scenario("names that are words of JavaScript are names", async () => {
  const alice = await person(server.url, "alice", { path: "/r/constructor" });
  await alice.page.waitForFunction(() => document.querySelector("#title")?.textContent === "constructor");
  await alice.page.keyboard.press("Control+k");
  await alice.page.waitForSelector("#finder[open]");
  await alice.page.keyboard.type("const");
  await alice.page.locator("#finder-list .title", { hasText: "constructor" }).first().waitFor();
});

scenario("rooms can be left, and the user can sign out", async () => {
  const there = room();
  const alice = await person(server.url, "leaving", { path: `/r/${there}` });
  await alice.say("bye");
  await alice.allStored();
  await alice.page.click("#talk-more");
  await alice.page.click("#leave");
  await alice.page.waitForURL("**/r/default");
  await alice.page.click("#me");
  await alice.page.click("#sign-out");
  await alice.page.waitForSelector("#sign-in", { state: "visible" });
});
