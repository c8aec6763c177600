// Messages arrive once and in order, whatever happens to the network, the server
// and the tabs.

import assert from "node:assert/strict";

import { Network, Person, person, scenario, Server, withServiceWorker } from "./harness.mjs";

withServiceWorker();

const server = await Server.start("--message-rate", "off");
const numbers = (what, count) => Array.from({ length: count }, (_, i) => `${what} ${i}`);

scenario("messages arrive once and in order while the network is cut", async () => {
  const network = await Network.before(server);
  const [alice, bob] = [await person(network.url, "alice"), await person(server.url, "bob")];
  for (const [i, text] of numbers("cut", 30).entries()) {
    await alice.say(text);
    if (i % 9 === 4) network.cut();
  }
  await bob.say("and back");
  await alice.allStored();
  for (const someone of [alice, bob]) {
    await someone.sees("cut 29");
    await someone.sees("and back");
    assert.deepEqual((await someone.texts()).filter((text) => text.startsWith("cut")), numbers("cut", 30));
  }
});

/** Waits until the service worker has kept the page. */
async function isKept(someone) {
  const { page } = someone;
  await page.evaluate(() => navigator.serviceWorker.ready);
  await someone.until(() => page.evaluate(async () => (await (await caches.open("page")).match("/")) !== undefined), "the page is kept");
}

scenario("messages written offline survive a reload, and are sent once there is a network", async () => {
  const network = await Network.before(server);
  const [alice, bob] = [await person(network.url, "alice", { path: "/r/offline" }), await person(server.url, "bob", { path: "/r/offline" })];
  await isKept(alice);
  network.down();
  await alice.page.waitForSelector("#subtitle.away");
  await alice.say("offline 0");
  await alice.say("offline 1");
  await alice.hasWaiting("offline 0", "offline 1");
  await alice.until(async () => /2 messages waiting/.test((await alice.page.textContent("#subtitle")) ?? ""), "it says so");
  await alice.page.reload();
  await alice.sees("offline 1");
  await alice.say("offline 2");
  await alice.hasWaiting(...numbers("offline", 3));
  network.up();
  await bob.sees("offline 2");
  await alice.allStored();
  assert.deepEqual(await bob.texts(), numbers("offline", 3));
  assert.deepEqual(await alice.texts(), numbers("offline", 3));
});

scenario("a message written offline stands below the old messages in view", async () => {
  const network = await Network.before(server);
  const [alice, bob] = [await person(network.url, "alice", { path: "/r/behind" }), await person(server.url, "bob", { path: "/r/behind" })];
  await bob.pour("behind", numbers("behind", 400));
  await alice.page.reload();
  await alice.sees("behind 399");
  await alice.page.evaluate(() => (location.hash = "#5"));
  await alice.sees("behind 4");
  network.down();
  await alice.page.waitForSelector("#subtitle.away");
  await alice.say("behind 400");
  await alice.hasWaiting("behind 400");
  await alice.page.waitForSelector("#messages .gap + .day + .pending");
  const waiting = alice.page.locator("#messages .pending");
  await alice.until(() => waiting.evaluate((item) => item.getBoundingClientRect().bottom <= innerHeight), "it is in view");
  await alice.say("behind 401");
  await alice.hasWaiting("behind 400", "behind 401");
  network.up();
  await alice.sees("behind 399");
  await alice.allStored();
  assert.equal(await alice.page.locator("#messages .gap").count(), 0);
  assert.deepEqual((await alice.texts()).slice(-3), ["behind 399", "behind 400", "behind 401"]);
  await bob.sees("behind 401");
});

scenario("the page opens without a network, and says why it shows no messages", async () => {
  const network = await Network.before(server);
  const alice = await person(network.url, "alice", { path: "/r/unplugged" });
  await alice.say("from before");
  await alice.allStored();
  await isKept(alice);
  network.down();
  // Without storage no messages are kept.
  await alice.page.addInitScript(() => Object.defineProperty(window, "indexedDB", { value: undefined }));
  await alice.page.reload();
  await alice.page.getByText("Messages will load once you are connected.").waitFor();
  network.up();
  await alice.sees("from before");
  await alice.page.waitForSelector("#top.beginning");
});

scenario("messages arrive once when the server is killed", async () => {
  const [alice, bob] = [await person(server.url, "alice", { path: "/r/killed" }), await person(server.url, "bob", { path: "/r/killed" })];
  await bob.say("killed 0");
  await alice.sees("killed 0");
  const pouring = (async () => {
    for (const text of numbers("killed", 40).slice(1)) await alice.say(text);
  })();
  await alice.sees("killed 10");
  await server.kill();
  await pouring;
  await alice.page.waitForSelector("#subtitle.away");
  await server.restart();
  await bob.sees("killed 39");
  await alice.allStored();
  assert.deepEqual(await bob.texts(), numbers("killed", 40));
  assert.deepEqual(await alice.texts(), numbers("killed", 40));
});

scenario("a restart of the server loses nothing", async () => {
  const [alice, bob] = [await person(server.url, "alice", { path: "/r/restarted" }), await person(server.url, "bob", { path: "/r/restarted" })];
  await alice.say("restarted 0");
  await bob.sees("restarted 0");
  await server.terminate();
  await alice.say("restarted 1");
  await alice.hasWaiting("restarted 1");
  await server.restart();
  await bob.say("restarted 2");
  for (const someone of [alice, bob]) {
    await someone.sees("restarted 1");
    await someone.sees("restarted 2");
    await someone.allStored();
    assert.equal((await someone.texts()).length, 3);
  }
});

scenario("a network that swallows everything counts as a lost connection", async () => {
  const network = await Network.before(server);
  const [alice, bob] = [await person(network.url, "alice", { path: "/r/hole" }), await person(server.url, "bob", { path: "/r/hole" })];
  network.swallow();
  await alice.say("into the hole");
  await alice.page.waitForSelector("#subtitle.away", { timeout: 30_000 });
  network.up();
  await bob.sees("into the hole");
  await alice.allStored();
});

scenario("two tabs show the same, and neither sends the other's messages", async () => {
  const network = await Network.before(server);
  const bob = await person(server.url, "bob", { path: "/r/tabs" });
  const one = await person(network.url, "alice", { path: "/r/tabs" });
  const two = await one.tab("/r/tabs");
  await one.say("from the first");
  await two.say("from the second");
  for (const tab of [one, two]) {
    // A tab in the background has no animation frames.
    await tab.page.bringToFront();
    await tab.sees("from the second");
    await tab.allStored();
  }
  network.down();
  await two.page.waitForSelector("#subtitle.away");
  await two.say("tabs 1");
  await two.hasWaiting("tabs 1");
  await one.page.bringToFront();
  await one.say("tabs 0");
  await one.hasWaiting("tabs 0");
  network.up();
  for (const someone of [one, two, bob]) {
    await someone.page.bringToFront();
    await someone.sees("tabs 0");
    await someone.sees("tabs 1");
    await someone.until(async () => (await someone.texts()).length === 4, "each is there once");
  }
});

scenario("unsent messages of a closed tab are sent by another tab", async () => {
  const network = await Network.before(server);
  const bob = await person(server.url, "bob", { path: "/r/legacy" });
  const one = await person(network.url, "alice", { path: "/r/legacy" });
  const two = await one.tab("/r/legacy");
  network.down();
  await two.page.waitForSelector("#subtitle.away");
  await two.say("my last words");
  await two.hasWaiting("my last words");
  await two.until(async () => (await kept(two)).length === 1, "it is on the disk");
  await two.page.close();
  await one.page.bringToFront();
  await one.sees("my last words");
  network.up();
  await bob.sees("my last words");
  await one.allStored();
  assert.deepEqual(await bob.texts(), ["my last words"]);
});

scenario("messages are kept after the browser has closed the database", async () => {
  const network = await Network.before(server);
  const [alice, bob] = [await person(network.url, "alice", { path: "/r/closed" }), await person(server.url, "bob", { path: "/r/closed" })];
  const { page } = alice;
  await isKept(alice);
  await page.addInitScript(() => {
    const { open } = IDBFactory.prototype;
    IDBFactory.prototype.open = function (...of) {
      const request = open.apply(this, of);
      request.addEventListener("success", () => (window.database = request.result));
      return request;
    };
  });
  await page.reload();
  await alice.isIn();
  network.down();
  await page.waitForSelector("#subtitle.away");
  await page.evaluate(() => (window.database = undefined));
  const wire = await alice.context.newCDPSession(page);
  await wire.send("Storage.clearDataForOrigin", { origin: network.url, storageTypes: "indexeddb" });
  await alice.say("closed 0");
  await alice.until(() => page.evaluate(() => window.database !== undefined), "there is a new one");
  // Not every browser sends an event.
  await page.evaluate(() => window.database.close());
  await alice.say("closed 1");
  await alice.hasWaiting("closed 0", "closed 1");
  await page.reload();
  await alice.hasWaiting("closed 0", "closed 1");
  network.up();
  await bob.sees("closed 1");
  await alice.allStored();
  assert.deepEqual(await bob.texts(), ["closed 0", "closed 1"]);
  const isDeleted = await page.evaluate(() => new Promise((resolve) => {
    const request = indexedDB.deleteDatabase("chat");
    request.onblocked = () => resolve(false);
    request.onsuccess = () => resolve(true);
  }));
  assert.ok(isDeleted, "the page does not keep the database from being deleted");
});

scenario("unsent messages keep their order when the clock is set back", async () => {
  const network = await Network.before(server);
  const [alice, bob] = [await person(network.url, "alice", { path: "/r/clock" }), await person(server.url, "bob", { path: "/r/clock" })];
  await isKept(alice);
  network.down();
  await alice.page.waitForSelector("#subtitle.away");
  await alice.say("clock 0");
  await alice.page.clock.setFixedTime(Date.now() - 3_600_000);
  await alice.say("clock 1");
  await alice.say("clock 2");
  await alice.hasWaiting(...numbers("clock", 3));
  await alice.page.reload();
  await alice.hasWaiting(...numbers("clock", 3));
  network.up();
  await bob.sees("clock 2");
  assert.deepEqual(await bob.texts(), numbers("clock", 3));
});

scenario("a draft that was sent in one tab does not reappear in another", async () => {
  const one = await person(server.url, "alice", { path: "/r/drafts" });
  await one.page.fill("#text", "a thought");
  await one.until(() => one.page.evaluate(() => JSON.stringify({ ...localStorage }).includes("a thought")), "it is kept");
  const two = await one.tab("/r/drafts");
  assert.equal(await two.page.inputValue("#text"), "a thought");
  await one.page.bringToFront();
  await one.page.press("#text", "Enter");
  await one.sees("a thought");
  await two.page.goto("about:blank");
  const three = await one.tab("/r/drafts");
  assert.equal(await three.page.inputValue("#text"), "");
});

/** Lets the browser say that there is a network: after a long time, the next attempt may be half a minute away. */
function online(someone) {
  return someone.page.evaluate(() => dispatchEvent(new Event("online")));
}

scenario("an idle page shows at once that it is offline, and reconnects once it is online", async () => {
  const network = await Network.before(server);
  const alice = await person(network.url, "alice", { path: "/r/idle" });
  await alice.say("before");
  await alice.allStored();
  // No connection breaks: only the browser says that there is no network.
  network.swallow();
  await alice.context.setOffline(true);
  const subtitle = alice.page.locator("#subtitle.away");
  await subtitle.waitFor({ timeout: 10_000 });
  assert.match((await subtitle.textContent()) ?? "", /^offline/);
  network.up();
  await alice.context.setOffline(false);
  await subtitle.waitFor({ state: "detached", timeout: 20_000 });
});

scenario("unsent messages stay with their tab while its page is loaded again or frozen", async () => {
  const network = await Network.before(server);
  const bob = await person(server.url, "bob", { path: "/r/stays" });
  const one = await person(network.url, "alice", { path: "/r/stays" });
  await isKept(one);
  const two = await one.tab("/r/stays");
  network.down();
  await two.page.waitForSelector("#subtitle.away");
  await two.say("mine");
  await two.hasWaiting("mine");
  for (let i = 0; i < 3; i += 1) {
    await two.page.reload();
    await two.hasWaiting("mine");
  }
  const wire = await two.context.newCDPSession(two.page);
  await wire.send("Page.setWebLifecycleState", { state: "frozen" });
  await one.page.bringToFront();
  // Longer than a tab may be missing.
  await one.page.waitForTimeout(14_000);
  assert.deepEqual(await one.waiting(), []);
  const three = new Person("alice", one.context, await one.context.newPage(), network.url);
  await three.page.goto(`${network.url}/r/stays`);
  await three.page.waitForSelector("#subtitle.away");
  await three.page.waitForTimeout(8_000);
  assert.deepEqual(await three.waiting(), []);
  await wire.send("Page.setWebLifecycleState", { state: "active" });
  await two.page.bringToFront();
  await two.hasWaiting("mine");
  network.up();
  await online(two);
  await bob.sees("mine");
  await two.allStored();
  assert.deepEqual(await bob.texts(), ["mine"]);
});

scenario("without Web Locks, unsent messages stay with their tab as well", async () => {
  const network = await Network.before(server);
  const bob = await person(server.url, "bob", { path: "/r/lockless" });
  const one = await person(network.url, "alice", { path: "/r/lockless" });
  await isKept(one);
  // As on a server without https.
  await one.context.addInitScript(() => Object.defineProperty(Navigator.prototype, "locks", { value: undefined }));
  await one.page.reload();
  await one.isIn();
  network.down();
  await one.page.waitForSelector("#subtitle.away");
  await one.say("unlocked");
  await one.hasWaiting("unlocked");
  await one.page.reload();
  await one.hasWaiting("unlocked");
  const two = new Person("alice", one.context, await one.context.newPage(), network.url);
  await two.page.goto(`${network.url}/r/lockless`);
  await two.page.waitForSelector("#subtitle.away");
  await two.page.waitForTimeout(13_000);
  assert.deepEqual(await two.waiting(), []);
  await one.page.close();
  await two.hasWaiting("unlocked");
  network.up();
  await online(two);
  await bob.sees("unlocked");
  await two.allStored();
  assert.deepEqual(await bob.texts(), ["unlocked"]);
});

scenario("a copy of a tab keeps its own messages at once", async () => {
  const network = await Network.before(server);
  const bob = await person(server.url, "bob", { path: "/r/copy" });
  const one = await person(network.url, "alice", { path: "/r/copy" });
  await isKept(one);
  const name = await one.page.evaluate(() => sessionStorage.getItem("chat tab"));
  const two = new Person("alice", one.context, await one.context.newPage(), network.url);
  await two.page.addInitScript((copied) => {
    sessionStorage["chat tab"] ??= copied;
    // The copy waits for the name for as long as the scenario lasts.
    AbortSignal.timeout = () => new AbortController().signal;
  }, name);
  await two.page.goto(`${network.url}/r/copy`);
  await two.isIn();
  network.down();
  await two.say("copied");
  await two.until(async () => (await kept(two)).length === 1, "it is on the disk");
  await two.page.reload();
  await two.hasWaiting("copied");
  await two.until(async () => (await kept(two)).length === 1, "it is on the disk once");
  await one.page.bringToFront();
  await one.page.waitForSelector("#subtitle.away");
  assert.deepEqual(await one.waiting(), []);
  network.up();
  await two.page.bringToFront();
  await online(two);
  await bob.sees("copied");
  await two.allStored();
  await two.until(async () => (await kept(two)).length === 0, "it is gone from the disk");
  assert.deepEqual(await bob.texts(), ["copied"]);
});

scenario("unsent messages survive a reload where the browser refuses locks", async () => {
  const network = await Network.before(server);
  const [alice, bob] = [await person(network.url, "alice", { path: "/r/refused" }), await person(server.url, "bob", { path: "/r/refused" })];
  await isKept(alice);
  await alice.context.addInitScript(() => {
    const refuse = () => Promise.reject(new DOMException("refused", "SecurityError"));
    Object.assign(LockManager.prototype, { request: refuse, query: refuse });
  });
  await alice.page.reload();
  await alice.isIn();
  network.down();
  await alice.page.waitForSelector("#subtitle.away");
  await alice.say("lockless");
  await alice.until(async () => (await kept(alice)).length === 1, "it is on the disk");
  for (let i = 0; i < 2; i += 1) {
    await alice.page.reload();
    await alice.hasWaiting("lockless");
  }
  network.up();
  await online(alice);
  await bob.sees("lockless");
  await alice.allStored();
  assert.deepEqual(await bob.texts(), ["lockless"]);
});

/** @returns {Promise<string[]>} the texts of the messages that are on the disk */
function kept(someone) {
  return someone.page.evaluate(() => new Promise((resolve) => {
    const opening = indexedDB.open("chat", 1);
    // The page makes the database with the first written message: not this one.
    opening.onupgradeneeded = () => opening.transaction?.abort();
    opening.onerror = () => resolve([]);
    opening.onsuccess = () => {
      const database = opening.result;
      const request = database.transaction("outbox").objectStore("outbox").getAll();
      request.onsuccess = () => {
        database.close();
        resolve(request.result.map(({ text }) => text));
      };
    };
  }));
}
