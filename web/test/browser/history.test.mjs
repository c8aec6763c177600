// Rooms with many messages, and rooms in which many arrive.

import assert from "node:assert/strict";

import { Network, person, register, Server, scenario, visitor } from "./harness.mjs";

const server = await Server.start("--message-rate", "off", "--database-url", "memory:");
const LONG = 3_000;

/**
 * A user who is signed in, and has no page open.
 * @param {string} name
 * @param {any} [options]
 */
async function someone(name, options) {
  const someone = await visitor(server.url, options);
  someone.name = name;
  await register(server.url, name);
  await someone.signIn();
  return someone;
}

/** Runs in the page: the message at the upper edge of the view, and its position. */
function topMessage() {
  const edge = document.getElementById("scroller").getBoundingClientRect().top;
  const item = [...document.querySelectorAll("#messages .message")].find((item) => item.getBoundingClientRect().bottom > edge + 1);
  return { seq: Number(item?.dataset.seq), y: item?.getBoundingClientRect().top };
}

/**
 * Waits until the view no longer moves.
 * @param {import("playwright-core").Page} page
 */
async function rests(page) {
  let before;
  let now;
  do {
    before = now;
    await page.waitForTimeout(300);
    now = JSON.stringify(await page.evaluate(topMessage));
  } while (now !== before);
}

scenario("the view never jumps while thousands of messages are scrolled through", async () => {
  const alice = await person(server.url, "alice", { path: "/r/long" });
  await alice.pour("long", Array.from({ length: LONG }, (_, i) => (i % 7 ? `message ${i + 1}` : `message ${i + 1}\nwith\nmore lines`)));
  const bob = await person(server.url, "bob", { path: "/r/long" });
  await bob.page.locator(`[data-seq='${LONG}']`).waitFor();
  const top = () => bob.page.evaluate(topMessage);
  await bob.page.hover("#scroller");
  let last = await top();
  for (let i = 0; i < 25; i += 1) {
    await bob.page.mouse.wheel(0, -600);
    await bob.page.waitForTimeout(40);
    const now = await top();
    assert.ok(now.seq <= last.seq && last.seq - now.seq < 80, `from ${last.seq} to ${now.seq}`);
    last = now;
  }
  assert.ok(last.seq < LONG - 100, `older ones came: ${last.seq}`);
  const day = bob.page.locator(".day-above");
  await bob.page.mouse.wheel(0, -10);
  await day.waitFor();
  assert.equal(await day.textContent(), await bob.page.locator("#messages .day").last().textContent());
  await day.waitFor({ state: "hidden" });
  // Neither new messages below nor loaded ones above move the view.
  await bob.page.waitForTimeout(600);
  const before = await top();
  await alice.pour("long", ["a new one", "another"]);
  await bob.page.locator("#to-newest").waitFor();
  await bob.page.waitForFunction(() => document.querySelector("#to-newest span")?.textContent === "2 new");
  const after = await top();
  assert.equal(after.seq, before.seq);
  assert.ok(Math.abs(after.y - before.y) < 2, `moved by ${after.y - before.y}`);
  // All the way up.
  for (let i = 0; i < 400 && !(await bob.page.locator("[data-seq='1']").count()); i += 1) {
    await bob.page.evaluate(() => (document.getElementById("scroller").scrollTop = 0));
    await bob.page.waitForTimeout(20);
  }
  await bob.page.waitForSelector("#top.beginning");
  assert.ok((await bob.page.locator("#messages .message").count()) <= 400, "only a stretch of it is in the page");
  await bob.page.click("#to-newest");
  await bob.sees("another");
});

scenario("a view follows messages that arrive one by one", async () => {
  const alice = await person(server.url, "alice", { path: "/r/slowly" });
  await alice.pour("slowly", Array.from({ length: 30 }, (_, i) => `line ${i + 1}`));
  const bob = await someone("bob");
  await bob.page.routeWebSocket(/\/ws$/, (socket) => {
    let before = Promise.resolve();
    socket.connectToServer().onMessage((message) => {
      before = before.then(() => new Promise((done) => setTimeout(done, 40))).then(() => socket.send(message));
    });
  });
  await bob.goto("/r/slowly");
  await bob.sees("line 30");
  await bob.until(() => bob.page.$eval("#scroller", (scroller) => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 2), "the last line is in view");
});

scenario("a conversation opens where the reader left it", async () => {
  const alice = await person(server.url, "alice", { path: "/r/places" });
  await alice.pour("places", Array.from({ length: 250 }, (_, i) => `place ${i + 1}`));
  const bob = await person(server.url, "bob", { path: "/r/places" });
  await bob.sees("place 250");
  await bob.page.hover("#scroller");
  // Slow scrolling leaves the end, too.
  for (let i = 0; i < 10; i += 1) {
    await bob.page.mouse.wheel(0, -9);
    await bob.page.waitForTimeout(40);
  }
  const under = () => bob.page.$eval("#scroller", (it) => it.scrollHeight - it.scrollTop - it.clientHeight);
  await bob.until(async () => (await under()) > 80, "the view leaves the end");
  // The older messages come when the view is near them.
  await bob.until(async () => {
    await bob.page.mouse.wheel(0, -845);
    await rests(bob.page);
    return (await bob.page.evaluate(topMessage)).seq < 200;
  }, "further up");
  const before = await bob.page.evaluate(topMessage);
  assert.ok(before.seq < 200, `further up: ${before.seq}`);
  await bob.open("#default");
  await alice.say("a new one");
  await bob.page.locator("[data-key='#places'] .badge").waitFor();
  await bob.open("#places");
  await bob.page.waitForFunction(() => document.querySelector("#to-newest span")?.textContent === "1 new");
  const after = await bob.page.evaluate(topMessage);
  assert.equal(after.seq, before.seq);
  assert.ok(Math.abs(after.y - before.y) < 2, `moved by ${after.y - before.y}`);
  // An address takes precedence, and the end stays the end.
  await bob.page.evaluate(() => (location.hash = "#120"));
  await bob.page.waitForSelector("[data-seq='120'].target");
  await bob.page.click("#to-newest");
  const last = bob.page.locator("[data-seq='251']");
  const isInView = () => last.evaluate((item) => item.getBoundingClientRect().bottom <= innerHeight);
  await bob.until(async () => (await last.count()) > 0 && isInView(), "the end");
  await bob.open("#default");
  await bob.open("#places");
  await bob.until(async () => (await last.count()) > 0 && isInView(), "still the end");
});

scenario("an address of a missing message leads to the end, with a sentence", async () => {
  const alice = await person(server.url, "alice", { path: "/r/gone" });
  await alice.pour("gone", Array.from({ length: 250 }, (_, i) => `gone ${i + 1}`));
  const bob = await someone("bob");
  /** @type {number[]} */
  const asked = [];
  await bob.page.routeWebSocket(/\/ws$/, (socket) => {
    const chat = socket.connectToServer();
    socket.onMessage((message) => {
      asked.push(JSON.parse(message).around);
      chat.send(message);
    });
    // The first hundred are no longer kept.
    chat.onMessage((message) => {
      const frame = JSON.parse(message);
      const messages = frame.messages?.filter(({ seq }) => seq > 100);
      socket.send(frame.type === "history" ? JSON.stringify({ ...frame, messages, first: 101, from: Math.max(frame.from, 101) }) : message);
    });
  });
  const isTold = async (/** @type {number} */ seq) => {
    await bob.page.waitForFunction(() => document.querySelector("#toast").textContent === "That message is no longer here");
    await bob.page.waitForTimeout(500);
    assert.equal(asked.splice(0).filter((around) => around === seq).length, 1, "it is looked for once");
    await bob.page.waitForFunction(() => document.querySelector("#toast").textContent === "");
  };
  const isEndInView = () => bob.page.locator("[data-seq='250']").evaluate((item) => item.getBoundingClientRect().bottom <= innerHeight);
  await bob.goto("/r/gone#999999");
  await isTold(999_999);
  await bob.until(isEndInView, "the end");
  // A message that exists is still found; from there, a missing one leads to the end.
  await bob.page.evaluate(() => (location.hash = "#120"));
  await bob.page.waitForSelector("[data-seq='120'].target");
  for (const seq of [888, 80]) {
    await bob.page.evaluate((seq) => (location.hash = `#${seq}`), seq);
    await isTold(seq);
    await bob.until(isEndInView, "the end again");
  }
  await bob.goto("/u/alice#7");
  await isTold(7);
});

scenario("today becomes yesterday at midnight, also on a day with 25 hours", async () => {
  const alice = await person(server.url, "alice", { path: "/r/days" });
  await alice.pour("days", ["the last of the day"]);
  const bob = await someone("bob", { timezoneId: "Europe/Berlin" });
  await bob.page.routeWebSocket(/\/ws$/, (socket) => {
    const chat = socket.connectToServer();
    chat.onMessage((message) => {
      const frame = JSON.parse(message);
      socket.send(JSON.stringify(frame.type === "message" ? { ...frame, timestamp: Date.parse("2025-10-26T23:30+01:00") / 1000 } : frame));
    });
  });
  await bob.page.clock.install({ time: "2025-10-26T23:59:00+01:00" });
  await bob.goto("/r/days");
  const says = (/** @type {string} */ words) => bob.until(async () => (await bob.page.textContent("#messages .day")) === words, words);
  await says("Today");
  await bob.page.clock.fastForward(120_000);
  await says("Yesterday");
  await bob.page.clock.setSystemTime("2025-10-28T08:00:00+01:00");
  await bob.page.evaluate(() => dispatchEvent(new Event("focus")));
  await says("Sunday 26 October");
});

scenario("entries that are no longer kept do not stay unread", async () => {
  const alice = await person(server.url, "alice", { path: "/r/emptied" });
  await alice.pour("emptied", ["one", "two"]);
  const bob = await person(server.url, "bob", { path: "/r/emptied" });
  await bob.sees("two");
  await bob.open("#default");
  await bob.page.goto("about:blank");
  await alice.pour("emptied", ["three", "four", "five"]);
  await bob.page.routeWebSocket(/\/ws$/, (socket) => {
    const chat = socket.connectToServer();
    chat.onMessage((message) => {
      const frame = JSON.parse(message);
      if (frame.type === "message" && frame.room === "emptied") return;
      socket.send(frame.type === "history" ? JSON.stringify({ ...frame, messages: [], first: 6, has_more: false }) : message);
    });
  });
  await bob.goto("/r/default");
  const badge = bob.page.locator("[data-key='#emptied'] .badge");
  await bob.until(async () => (await badge.textContent()) === "3", "three are unread");
  await bob.page.click("#sidebar [data-key='#emptied']");
  await badge.waitFor({ state: "hidden" });
});

scenario("leaving the page makes no row anew", async () => {
  const alice = await person(server.url, "alice", { path: "/r/left" });
  await alice.say("the first");
  await alice.allStored();
  const first = await alice.page.waitForSelector("[data-seq='1']");
  await alice.page.evaluate(() => dispatchEvent(new Event("blur")));
  assert.ok(await first.evaluate((item) => item.isConnected));
});

scenario("a reader who has sent a message offline and scrolled up is not moved", async () => {
  const alice = await person(server.url, "alice", { path: "/r/reading" });
  await alice.pour("reading", Array.from({ length: 300 }, (_, i) => `reading ${i + 1}`));
  const network = await Network.before(server);
  const bob = await person(network.url, "bob", { path: "/r/reading#50" });
  await bob.page.waitForSelector("[data-seq='50'].target");
  network.down();
  await bob.page.waitForSelector("#subtitle.away");
  await bob.say("later");
  await bob.hasWaiting("later");
  await bob.page.hover("#scroller");
  await bob.page.mouse.wheel(0, -1_000);
  await rests(bob.page);
  const before = await bob.page.evaluate(topMessage);
  network.up();
  await alice.sees("later");
  await bob.isIn();
  await bob.page.waitForTimeout(500);
  assert.deepEqual(await bob.page.evaluate(topMessage), before);
});

scenario("the time of a message is a link to it, and a click copies the link", async () => {
  const alice = await person(server.url, "alice", { path: "/r/copied", permissions: ["clipboard-read", "clipboard-write"] });
  await alice.say("worth a link");
  await alice.allStored();
  await alice.page.locator("[data-seq='1'] a.when").click();
  await alice.page.waitForFunction(() => document.querySelector("#toast")?.textContent === "Link copied");
  assert.equal(await alice.page.evaluate(() => navigator.clipboard.readText()), `${server.url}/r/copied#1`);
  assert.equal(alice.page.url(), `${server.url}/r/copied#1`);
});

scenario("no key is lost while fifty messages a second arrive", async () => {
  const [alice, bob] = [await person(server.url, "alice", { path: "/r/loud" }), await person(server.url, "bob", { path: "/r/loud" })];
  await bob.page.evaluate(() => {
    window.longTasks = [];
    new PerformanceObserver((list) => longTasks.push(...list.getEntries().map(({ duration }) => Math.round(duration)))).observe({ type: "longtask" });
  });
  const written = "The quick brown fox jumps over the lazy dog, again and again, as it does.";
  const loud = alice.page.evaluate(async () => {
    const socket = new WebSocket(new URL("/ws", location.href), "chat.v2");
    await new Promise((resolve) => {
      socket.onmessage = ({ data }) => {
        const { type } = JSON.parse(data);
        if (type === "hello") socket.send(JSON.stringify({ type: "join", room: "loud" }));
        if (type === "joined") resolve(undefined);
      };
    });
    const start = performance.now();
    for (let i = 0; i < 250; i += 1) {
      socket.send(JSON.stringify({ type: "message", room: "loud", text: `loud ${i} `.repeat(1 + (i % 9)).trim(), nonce: `loud ${i}` }));
      await new Promise((resolve) => setTimeout(resolve, start + i * 20 - performance.now()));
    }
    socket.close();
  });
  await bob.page.focus("#text");
  await bob.page.keyboard.type(written, { delay: 40 });
  assert.equal(await bob.page.inputValue("#text"), written);
  await loud;
  await bob.page.locator("[data-seq='250']").waitFor();
  assert.ok(await bob.page.locator("[data-seq='250']").evaluate((item) => item.getBoundingClientRect().bottom <= innerHeight), "the newest is in view");
  const tasks = await bob.page.evaluate(() => longTasks);
  console.log(`  long tasks while 250 messages arrived in 5 s: ${tasks.length} (${tasks.join(", ") || "none"} ms)`);
  await bob.page.fill("#text", "");
});
