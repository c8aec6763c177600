// Long rooms, and loud ones.

import assert from "node:assert/strict";

import { person, register, Server, story, visitor } from "./harness.mjs";

const server = await Server.start("--message-rate", "off", "--database-url", "memory:");
const LONG = 3_000;

/** In the page: the message at the upper edge, and where it is. */
function topMessage() {
  const edge = document.getElementById("scroller").getBoundingClientRect().top;
  const item = [...document.querySelectorAll("#messages .message")].find((item) => item.getBoundingClientRect().bottom > edge + 1);
  return { seq: Number(item?.dataset.seq), y: item?.getBoundingClientRect().top };
}

story("thousands of messages are scrolled through, and the view never jumps", async () => {
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
  const day = bob.page.locator("#day-above");
  await bob.page.mouse.wheel(0, -10);
  await day.waitFor();
  assert.equal(await day.textContent(), await bob.page.locator("#messages .day").last().textContent());
  await day.waitFor({ state: "hidden" });
  // What comes at the bottom and what is loaded at the top moves nothing.
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

story("what comes one by one is followed to its end", async () => {
  const alice = await person(server.url, "alice", { path: "/r/slowly" });
  await alice.pour("slowly", Array.from({ length: 30 }, (_, i) => `line ${i + 1}`));
  const bob = await visitor(server.url);
  bob.name = "bob";
  await register(server.url, "bob");
  await bob.signIn();
  await bob.page.routeWebSocket(/\/ws$/, (socket) => {
    let before = Promise.resolve();
    socket.connectToServer().onMessage((message) => {
      before = before.then(() => new Promise((done) => setTimeout(done, 40))).then(() => socket.send(message));
    });
  });
  await bob.goto("/r/slowly");
  await bob.sees("line 30");
  await bob.until(() => bob.page.$eval("#scroller", (scroller) => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 2), "the last line is in sight");
});

story("whoever comes back to a conversation is where they were reading", async () => {
  const alice = await person(server.url, "alice", { path: "/r/places" });
  await alice.pour("places", Array.from({ length: 250 }, (_, i) => `place ${i + 1}`));
  const bob = await person(server.url, "bob", { path: "/r/places" });
  await bob.sees("place 250");
  await bob.page.hover("#scroller");
  // The end lets go of a slow finger, too.
  for (let i = 0; i < 10; i += 1) {
    await bob.page.mouse.wheel(0, -9);
    await bob.page.waitForTimeout(40);
  }
  assert.ok((await bob.page.$eval("#scroller", (it) => it.scrollHeight - it.scrollTop - it.clientHeight)) > 80);
  await bob.page.mouse.wheel(0, -2_345);
  await bob.page.waitForTimeout(600);
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
  // An address goes before it, and the end stays the end.
  await bob.page.evaluate(() => (location.hash = "#120"));
  await bob.page.waitForSelector("[data-seq='120'].target");
  await bob.page.click("#to-newest");
  const last = bob.page.locator("[data-seq='251']");
  const isInSight = () => last.evaluate((item) => item.getBoundingClientRect().bottom <= innerHeight);
  await bob.until(async () => (await last.count()) > 0 && isInSight(), "the end");
  await bob.open("#default");
  await bob.open("#places");
  await bob.until(async () => (await last.count()) > 0 && isInSight(), "still the end");
});

story("the time of a message is a link to it, and choosing it copies that", async () => {
  const alice = await person(server.url, "alice", { path: "/r/copied", permissions: ["clipboard-read", "clipboard-write"] });
  await alice.say("worth a link");
  await alice.allStored();
  await alice.page.locator("[data-seq='1'] a.when").click();
  await alice.page.waitForFunction(() => document.querySelector("#toast")?.textContent === "Link copied");
  assert.equal(await alice.page.evaluate(() => navigator.clipboard.readText()), `${server.url}/r/copied#1`);
  assert.equal(alice.page.url(), `${server.url}/r/copied#1`);
});

story("fifty messages a second arrive while somebody writes, and no key is lost", async () => {
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
  assert.ok(await bob.page.locator("[data-seq='250']").evaluate((item) => item.getBoundingClientRect().bottom <= innerHeight), "the newest is in sight");
  const tasks = await bob.page.evaluate(() => longTasks);
  console.log(`  long tasks while 250 messages arrived in 5 s: ${tasks.length} (${tasks.join(", ") || "none"} ms)`);
  await bob.page.fill("#text", "");
});
