// How smooth the page is while many messages arrive: nothing jumps, and no task holds up
// the page. The layout shift must be small on any machine. The length of the longest task
// depends on the machine: it is printed, and checked where TASK_MAX_MS says so.

import assert from "node:assert/strict";

import { person, Server, scenario } from "./harness.mjs";

const server = await Server.start("--database-url", "memory:", "--message-rate", "off");
const SHIFT_MAX = 0.01;
const MESSAGES = 500;
const EVERY_MS = 20;

scenario("nothing jumps while 50 messages a second arrive", async () => {
  const bob = await person(server.url, "bob");
  // A list that does not fill the view stands at its lower end, and moves up.
  await bob.pour("default", Array.from({ length: 60 }, (_, i) => `an earlier message, number ${i}`));
  const alice = await person(server.url, "alice");
  // The code that is loaded later is there.
  await alice.page.waitForSelector("#message-menu", { state: "attached" });
  await alice.page.evaluate(() => {
    const seen = { shift: 0, longest: 0, tasks: 0, moved: /** @type {string[]} */ ([]) };
    Object.assign(window, { seen });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const { value, sources } = /** @type {any} */ (entry);
        seen.shift += value;
        const [{ node, previousRect, currentRect }] = sources;
        if (seen.moved.length < 10) seen.moved.push(`${node?.id || node?.className || node?.nodeName}: ${previousRect.top} to ${currentRect.top}`);
      }
    }).observe({ type: "layout-shift" });
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) {
        seen.longest = Math.max(seen.longest, duration);
        seen.tasks += 1;
      }
    }).observe({ type: "longtask" });
  });
  await bob.page.evaluate(
    ([count, everyMs]) =>
      new Promise((done) => {
        const socket = new WebSocket(new URL("/ws", location.href), "chat.v2");
        let sent = 0;
        socket.onmessage = ({ data }) => {
          const { type } = JSON.parse(data);
          if (type === "hello") socket.send(JSON.stringify({ type: "join", room: "default" }));
          if (type !== "joined") return;
          const timer = setInterval(() => {
            sent += 1;
            const text = sent === count ? "the last one" : `message ${sent}: ${"a few words ".repeat((sent % 7) + 1)}`;
            socket.send(JSON.stringify({ type: "message", room: "default", nonce: `smooth ${sent}`, text }));
            if (sent === count) {
              clearInterval(timer);
              done(undefined);
            }
          }, everyMs);
        };
      }),
    [MESSAGES, EVERY_MS],
  );
  await alice.sees("the last one");
  await alice.page.waitForTimeout(500);
  const { shift, longest, tasks, moved } = await alice.page.evaluate(() => window["seen"]);
  console.log(`  ${MESSAGES} messages, one each ${EVERY_MS} ms: layout shift ${shift.toFixed(4)}, ${tasks} tasks of more than 50 ms, the longest ${Math.round(longest)} ms`);
  assert.ok(shift <= SHIFT_MAX, `the layout shift is ${shift}:\n${moved.join("\n")}`);
  const limit = Number(process.env.TASK_MAX_MS ?? Infinity);
  assert.ok(longest <= limit, `a task of ${longest} ms`);
});
