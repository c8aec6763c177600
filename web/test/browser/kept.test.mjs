// What a browser keeps of the messages, so that a reload without a network shows them.

import assert from "node:assert/strict";

import { Network, person, scenario, Server, visitor, withServiceWorker } from "./harness.mjs";

withServiceWorker();

const server = await Server.start("--database-url", "memory:", "--message-rate", "off");

/**
 * What the browser keeps.
 * @param {any} someone
 * @returns {Promise<{ databases: string[], user: string | null, kept: Record<string, string[]> }>}
 */
function keptBy(someone) {
  return someone.page.evaluate(async () => {
    const databases = (await indexedDB.databases()).map(({ name }) => name);
    const user = localStorage.getItem("kept");
    if (!databases.includes("kept")) return { databases, user, kept: {} };
    const database = await new Promise((resolve) => {
      const request = indexedDB.open("kept");
      request.onsuccess = () => resolve(request.result);
    });
    const records = await new Promise((resolve) => {
      const request = database.transaction("messages").objectStore("messages").getAll();
      request.onsuccess = () => resolve(request.result);
    });
    database.close();
    return { databases, user, kept: Object.fromEntries(records.map(({ key, messages }) => [key, messages.map(({ text }) => text)])) };
  });
}

/**
 * Waits until the last kept message of a conversation is this one.
 * @param {any} someone
 * @param {string} key
 * @param {string} text
 */
async function keeps(someone, key, text) {
  await someone.until(async () => (await keptBy(someone)).kept[key]?.at(-1) === text, `${text} is kept`);
}

/** Waits until the service worker has kept the page. */
function hasPage(someone) {
  return someone.page.waitForFunction(async () => (await navigator.serviceWorker.ready) && (await caches.match("/")) !== undefined);
}

scenario("a reload without a network shows the rooms and their last messages, and what is new comes after it", async () => {
  const network = await Network.before(server);
  const alice = await person(server.url, "alice", { path: "/r/kept" });
  const bob = await person(network.url, "bob", { path: "/r/other" });
  await alice.pour("kept", Array.from({ length: 70 }, (_, i) => `line ${i + 1}`));
  await bob.say("something else");
  await keeps(bob, "#other", "something else");
  await bob.open("#kept");
  await bob.sees("line 70");
  await hasPage(bob);
  await keeps(bob, "#kept", "line 70");
  await keeps(bob, "#other", "something else");
  network.down();
  await bob.page.reload();
  await bob.sees("line 70");
  assert.equal((await bob.texts()).length, 50, "the last fifty");
  await bob.page.waitForFunction(() => /^no connection · saved messages$/.test(document.querySelector("#subtitle.away")?.textContent ?? ""));
  assert.ok(await bob.page.locator("#top").textContent(), "a sentence says that the rest comes later");
  await bob.page.locator("#sidebar [data-key='#other']").click();
  await bob.sees("something else");
  await bob.page.locator("#sidebar [data-key='#kept']").click();
  await bob.sees("line 70");
  await bob.say("written without a network");
  await bob.hasWaiting("written without a network");
  await alice.say("written meanwhile");
  await alice.allStored();
  const row = await bob.page.waitForSelector("[data-seq='70']");
  network.up();
  await bob.sees("written meanwhile");
  await bob.allStored();
  await alice.sees("written without a network");
  assert.ok(await row.evaluate((item) => item.isConnected), "what was shown stays");
  await bob.isIn();
  assert.deepEqual((await bob.texts()).slice(-3), ["line 70", "written meanwhile", "written without a network"]);
});

scenario("what was edited or deleted while the browser was away is so at the next connection", async () => {
  const network = await Network.before(server);
  const alice = await person(server.url, "alice", { path: "/r/secrets" });
  await alice.pour("secrets", ["the first", "a secret", "with a tpyo", "the last"]);
  const bob = await person(network.url, "bob", { path: "/r/elsewhere" });
  await alice.goto("/r/elsewhere");
  await alice.pour("elsewhere", ["another secret"]);
  await keeps(bob, "#elsewhere", "another secret");
  await bob.open("#secrets");
  await bob.sees("the last");
  await hasPage(bob);
  await keeps(bob, "#secrets", "the last");
  await keeps(bob, "#elsewhere", "another secret");
  // The browser is away, and not only its network.
  await bob.page.goto("about:blank");
  await alice.page.evaluate(changes, [
    { type: "delete", room: "secrets", target: 2 },
    { type: "edit", room: "secrets", target: 3, text: "without a typo" },
    { type: "delete", room: "elsewhere", target: 1 },
  ]);
  /** @type {any[]} */
  const asked = [];
  await bob.page.routeWebSocket(/\/ws$/, (socket) => {
    const chat = socket.connectToServer();
    socket.onMessage((message) => {
      const frame = JSON.parse(String(message));
      if (frame.type === "join") asked.push(frame);
      chat.send(message);
    });
  });
  await bob.page.goto(`${network.url}/r/secrets`);
  await bob.sees("without a typo");
  await bob.page.waitForFunction(() => document.querySelector("[data-seq='2'].deleted"));
  assert.deepEqual(await bob.texts(), ["the first", "without a typo", "the last"]);
  await bob.until(async () => !JSON.stringify(await keptBy(bob)).includes("secret\""), "no deleted text is kept, neither of a room that was not opened");
  await bob.until(async () => (await keptBy(bob)).kept["#secrets"]?.includes("without a typo") === true, "the new text is kept");
  network.down();
  await bob.page.reload();
  await bob.sees("without a typo");
  assert.ok(!(await bob.texts()).includes("a secret"));
});

scenario("private messages are kept, and a deletion that comes while another conversation is open takes them", async () => {
  const network = await Network.before(server);
  const alice = await person(server.url, "alice", { path: "/u/bob" });
  const bob = await person(network.url, "bob", { path: "/u/alice" });
  for (const text of ["between us", "and nobody else"]) await alice.say(text);
  await bob.sees("and nobody else");
  await hasPage(bob);
  await keeps(bob, "@alice", "and nobody else");
  // After a reload, the conversation is not in memory.
  await bob.goto("/r/default");
  await bob.page.waitForTimeout(4_500);
  await alice.page.evaluate(changes, [{ type: "delete", to: "bob", target: 1 }]);
  await bob.until(async () => (await keptBy(bob)).kept["@alice"]?.join() === ",and nobody else", "it is gone");
  await alice.say("a third");
  await keeps(bob, "@alice", "a third");
  assert.deepEqual((await keptBy(bob)).kept["@alice"], ["", "and nobody else", "a third"]);
  network.down();
  await bob.page.reload();
  await bob.page.locator("#sidebar [data-key='@alice']").click();
  await bob.sees("a third");
});

scenario("signing out, here or elsewhere, removes what is kept, in all tabs", async () => {
  const bob = await person(server.url, "bob", { path: "/r/mine" });
  await bob.say("kept for me");
  await keeps(bob, "#mine", "kept for me");
  const other = await bob.tab("/r/mine");
  await other.sees("kept for me");
  await bob.page.click("#me");
  await bob.page.click("#sign-out");
  await bob.page.waitForSelector("#door form:not([hidden])");
  await other.page.waitForSelector("#door form:not([hidden])");
  await bob.page.waitForTimeout(2_000);
  const isKept = () => indexedDB.databases().then((databases) => databases.some(({ name }) => name === "kept"));
  for (const tab of [bob, other]) await tab.until(async () => !(await tab.page.evaluate(isKept)), "nothing is kept");
  for (const tab of [bob, other]) assert.deepEqual(await keptBy(tab), { databases: (await keptBy(tab)).databases.filter((name) => name !== "kept"), user: null, kept: {} });
  // From another device, while this browser is away.
  await bob.signIn();
  await bob.goto("/r/mine");
  await keeps(bob, "#mine", "kept for me");
  const cookies = await bob.context.cookies();
  await bob.page.goto("about:blank");
  await bob.context.request.post(`${server.url}/api/logout`);
  await bob.context.addCookies(cookies);
  await bob.page.goto(`${server.url}/r/mine`);
  await bob.page.waitForSelector("#door form:not([hidden])");
  await bob.until(async () => !(await keptBy(bob)).databases.includes("kept"), "it is removed");
  assert.equal((await keptBy(bob)).user, null);
  // Another account.
  await bob.signIn();
  await bob.goto("/r/mine");
  await keeps(bob, "#mine", "kept for me");
  await bob.page.goto("about:blank");
  const carol = await visitor(server.url);
  carol.name = "carol";
  await person(server.url, "carol");
  Object.assign(carol, { context: bob.context, page: bob.page });
  await carol.signIn();
  await carol.page.goto(`${server.url}/r/default`);
  await carol.isIn();
  await carol.until(async () => (await keptBy(carol)).user !== "bob" && !JSON.stringify((await keptBy(carol)).kept).includes("kept for me"), "nothing of the other account is left");
});

scenario("two tabs keep messages together, and each shows them all", async () => {
  const network = await Network.before(server);
  const alice = await person(server.url, "alice", { path: "/r/tabs" });
  const bob = await person(network.url, "bob", { path: "/r/tabs" });
  const other = await bob.tab("/r/tabs");
  await hasPage(bob);
  await alice.pour("tabs", Array.from({ length: 60 }, (_, i) => `tab ${i + 1}`));
  await Promise.all([bob.sees("tab 60"), other.sees("tab 60")]);
  await keeps(bob, "#tabs", "tab 60");
  await other.open("#default");
  await other.page.waitForTimeout(4_000);
  await alice.pour("tabs", ["the very last"]);
  await keeps(bob, "#tabs", "the very last");
  const { kept } = await keptBy(other);
  assert.deepEqual(kept["#tabs"]?.slice(0, 2), ["tab 12", "tab 13"]);
  assert.equal(kept["#tabs"]?.length, 50);
  network.down();
  await Promise.all([bob.page.reload(), other.page.reload()]);
  await bob.sees("the very last");
  await other.page.locator("#sidebar [data-key='#tabs']").click();
  await other.sees("the very last");
});

scenario("a slow server does not keep the reader from what is kept", async () => {
  const bob = await person(server.url, "bob", { path: "/r/slow" });
  await bob.say("here at once");
  await keeps(bob, "#slow", "here at once");
  let answer = () => {};
  const answered = new Promise((done) => (answer = () => done(undefined)));
  await bob.page.route(/\/api\/me$/, async (route) => {
    await answered;
    await route.continue();
  });
  await bob.page.reload();
  await bob.sees("here at once");
  answer();
  await bob.isIn();
  await bob.say("and more");
  await bob.allStored();
});

/** Sends changes over a socket of its own. Runs in the page. */
function changes(frames) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(new URL("/ws", location.href), "chat.v2");
    const rooms = [...new Set(frames.map(({ room }) => room).filter(Boolean))];
    let joined = 0;
    let stored = 0;
    const send = () => {
      if (joined === rooms.length) for (const [i, frame] of frames.entries()) socket.send(JSON.stringify({ ...frame, nonce: `${Math.random()} ${i}` }));
    };
    socket.onmessage = ({ data }) => {
      const { type, message } = JSON.parse(data);
      if (type === "hello") {
        for (const room of rooms) socket.send(JSON.stringify({ type: "join", room }));
        if (rooms.length === 0) send();
      }
      if (type === "joined") {
        joined += 1;
        send();
      }
      if (type === "error") reject(new Error(message));
      if (type === "ack") {
        stored += 1;
        if (stored === frames.length) {
          socket.close();
          resolve(undefined);
        }
      }
    };
  });
}
