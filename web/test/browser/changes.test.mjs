// Messages are edited, deleted, reacted to and answered: by two people, on two
// devices, without a network, and while the server is killed.

import assert from "node:assert/strict";

import { Network, person, Server, scenario, visitor } from "./harness.mjs";

const server = await Server.start("--message-rate", "off");

/**
 * Sends frames of a user over a socket of its own, one after the other, and waits for
 * their answers.
 * @returns {Promise<any[]>} the answers
 */
function sends(someone, room, frames) {
  return someone.page.evaluate(
    ({ room, frames }) =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(new URL("/ws", location.href), "chat.v2");
        const answers = [];
        const next = () => {
          const frame = frames[answers.length];
          frame ? socket.send(JSON.stringify({ room, nonce: `${Math.random()}`, ref: "1", ...frame })) : (socket.close(), resolve(answers));
        };
        socket.onclose = () => reject(new Error("closed"));
        socket.onmessage = ({ data }) => {
          const frame = JSON.parse(data);
          if (frame.type === "hello") socket.send(JSON.stringify({ type: "join", room }));
          if (frame.type === "joined") next();
          if (frame.type === "ack" || frame.type === "history" || frame.type === "error") {
            answers.push(frame);
            next();
          }
        };
      }),
    { room, frames },
  );
}

/** The log of a room, in words. */
async function logOf(someone, room) {
  const [{ messages }] = await sends(someone, room, [{ type: "history", after: 0, limit: 100 }]);
  return messages.map(({ type, target, emoji, text = "", deleted }) => [type, target, emoji, deleted ? "deleted" : text].filter(Boolean).join(" "));
}

/** The message with a text. */
function message(someone, text) {
  return someone.page.locator("#messages .message", { has: someone.page.locator(".text", { hasText: new RegExp(`^${text}$`) }) });
}

/** Waits until an element has a text. */
async function reads(someone, locator, text) {
  await someone.until(async () => (await locator.count()) > 0 && (await locator.first().textContent())?.trim() === text, `${someone.name} reads ${text}`);
}

/** Waits until what can be done with messages is loaded. */
function canAct({ page }) {
  return page.waitForSelector("#message-menu", { state: "attached" });
}

/** Presses a key in a message. */
async function press(someone, text, key) {
  await canAct(someone);
  await message(someone, text).focus();
  await someone.page.keyboard.press(key);
}

/** Edits the last own message. */
async function editLast(someone, text) {
  await canAct(someone);
  await someone.page.focus("#text");
  await someone.page.keyboard.press("ArrowUp");
  await someone.page.waitForSelector("#about:not([hidden])");
  await someone.page.fill("#text", text);
  await someone.page.keyboard.press("Enter");
}

/** The same user on another device. */
async function device(url, name, path) {
  const other = await visitor(url);
  other.name = name;
  await other.signIn();
  await other.goto(path);
  return other;
}

scenario("what is edited, reacted to, answered and deleted shows on every page", async () => {
  const path = "/r/all";
  const [alice, bob] = [await person(server.url, "alice", { path }), await person(server.url, "bob", { path })];
  const phone = await device(server.url, "alice", path);
  const everybody = [alice, bob, phone];
  await alice.say("first words");
  await bob.sees("first words");
  await alice.allStored();

  await editLast(alice, "better words");
  for (const someone of everybody) {
    await someone.sees("better words");
    await reads(someone, someone.page.locator(".edited"), "(edited)");
    assert.match((await someone.page.getAttribute(".edited", "title")) ?? "", /\d/);
  }

  await sends(bob, "all", [{ type: "react", target: 1, emoji: "👍" }, { type: "react", target: 1, emoji: "🎉" }]);
  const chips = (someone) => someone.page.$$eval("#messages .chip", (all) => all.map((chip) => `${chip.textContent} ${chip.ariaPressed}`).join(", "));
  for (const someone of everybody) await someone.until(async () => /👍 1.*🎉 1/.test(await chips(someone)), "the reactions are there");
  await alice.page.click(".chip[data-emoji='👍']");
  await alice.until(async () => (await chips(alice)) === "👍 2 true, 🎉 1 false", "alice has reacted");
  await phone.until(async () => (await chips(phone)) === "👍 2 true, 🎉 1 false", "on the other device, too");
  await bob.until(async () => (await chips(bob)) === "👍 2 true, 🎉 1 true", "bob sees both");
  assert.equal(await alice.page.getAttribute(".chip[data-emoji='👍']", "title"), "bob, alice");
  await phone.page.click(".chip[data-emoji='👍']");
  for (const someone of [alice, phone]) await someone.until(async () => (await chips(someone)) === "👍 1 false, 🎉 1 false", "alice has taken it back");

  await press(bob, "better words", "r");
  await bob.say("an answer");
  for (const someone of everybody) {
    await someone.sees("an answer");
    await reads(someone, someone.page.locator(".quote .quoted"), "better words");
  }
  await alice.page.click(".quote");
  await alice.page.waitForSelector("[data-seq='1'].target");

  await press(alice, "better words", "Delete");
  for (const someone of everybody) {
    await reads(someone, someone.page.locator("[data-seq='1'] .gone"), "alice: message deleted");
    await reads(someone, someone.page.locator(".quote .quoted"), "Message deleted");
    assert.deepEqual(await someone.texts(), ["an answer"]);
    assert.equal(await chips(someone), "");
  }
  await alice.page.reload();
  await reads(alice, alice.page.locator("[data-seq='1'] .gone"), "alice: message deleted");
});

scenario("what is changed without a network is changed once and in order, even if the server is killed", async () => {
  const path = "/r/away";
  const network = await Network.before(server);
  const [alice, bob] = [await person(network.url, "alice", { path }), await person(server.url, "bob", { path })];
  await alice.say("old words");
  await bob.say("of bob");
  await alice.sees("of bob");
  await alice.allStored();
  await sends(bob, "away", [{ type: "react", target: 2, emoji: "👍" }]);
  await alice.page.waitForSelector(".chip");
  await canAct(alice);
  network.down();
  await alice.page.waitForSelector("#subtitle.away");
  await alice.say("one");
  await alice.hasWaiting("one");
  await editLast(alice, "uno");
  await alice.hasWaiting("uno");
  await alice.say("two");
  await alice.page.click(".chip");
  await press(alice, "old words", "Delete");
  await reads(alice, alice.page.locator("[data-seq='1'] .gone"), "alice: message deleted");
  assert.equal(await alice.page.textContent(".chip"), "👍 2");
  await alice.page.waitForSelector("[data-seq='1'].changing, [data-seq='1'].deleted");
  await server.kill();
  network.up();
  await server.restart();
  await bob.sees("two");
  await server.kill();
  await server.restart();
  await bob.isIn();
  await alice.allStored();
  await alice.page.waitForFunction(() => !document.querySelector("#messages .changing"));
  for (const someone of [alice, bob]) {
    await someone.sees("two");
    await reads(someone, someone.page.locator("[data-seq='1'] .gone"), "alice: message deleted");
    await someone.until(async () => (await someone.page.textContent(".chip")) === "👍 2", "both have reacted");
    assert.deepEqual(await someone.texts(), ["of bob", "uno", "two"]);
  }
  assert.deepEqual(await logOf(bob, "away"), ["message deleted", "message of bob", "react 2 👍", "message uno", "edit 4 uno", "message two", "react 2 👍", "delete 1"]);
});

scenario("a change that is refused is taken back, and says why", async () => {
  const path = "/r/refused";
  const [alice, bob] = [await person(server.url, "alice", { path }), await person(server.url, "bob", { path })];
  await bob.say("words of bob");
  await alice.sees("words of bob");
  await sends(bob, "refused", [{ type: "react", target: 1, emoji: "👍" }]);
  const network = await Network.before(server);
  const away = await device(network.url, "alice", path);
  await away.page.waitForSelector(".chip");
  await canAct(away);
  network.down();
  await away.page.waitForSelector("#subtitle.away");
  await away.page.click(".chip");
  await away.until(async () => (await away.page.textContent(".chip")) === "👍 2", "it is shown at once");
  await sends(bob, "refused", [{ type: "delete", target: 1 }]);
  network.up();
  await reads(away, away.page.locator("[data-seq='1'] .gone"), "bob: message deleted");
  await away.page.waitForFunction(() => /Reaction not added: the message is no longer there/.test(document.querySelector(".toast")?.textContent ?? document.body.textContent ?? ""));
});

scenario("only the newest own message says that it is stored", async () => {
  const alice = await person(server.url, "alice", { path: "/r/ticks" });
  for (const text of ["one", "two", "three"]) await alice.say(text);
  await alice.allStored();
  const ticks = () => alice.page.$$eval("#messages .status", (all) => all.filter((status) => status.checkVisibility()).map((status) => status.closest("li")?.querySelector(".text")?.textContent));
  await alice.until(async () => String(await ticks()) === "three", "one tick");
});

scenario("a quote leads to a message that is not loaded, and back", async () => {
  const path = "/r/far";
  const [alice, bob] = [await person(server.url, "alice", { path }), await person(server.url, "bob", { path })];
  await bob.pour("far", Array.from({ length: 300 }, (_, i) => `far ${i + 1}`));
  await sends(bob, "far", [{ type: "message", text: "about the third", reply_to: 3 }, ...Array.from({ length: 30 }, (_, i) => ({ type: "react", target: 3, emoji: String.fromCodePoint(0x1f600 + (i % 20)) }))]);
  await alice.page.reload();
  await alice.sees("about the third");
  await reads(alice, alice.page.locator(".quote .quoted"), "far 3");
  await alice.page.click(".quote");
  await alice.page.waitForSelector("[data-seq='3'].target");
  assert.equal(await alice.page.locator("[data-seq='3'] .chip").count(), 20);
  await alice.page.click("#to-newest");
  await alice.sees("about the third");
});
