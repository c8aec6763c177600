// A benchmark: how busy a page is while 50 messages a second arrive, in five rounds. It prints the
// longest tasks, the layout shifts, and how far the view was off, and fails if the median of a
// round's longest task or of its shift is above its bound. It is no test, as a busy machine
// has other numbers: `cargo xtask page pace`.

import assert from "node:assert/strict";

import { person, Server, scenario, shiftsOf, theBrowser, watchShifts } from "./harness.mjs";

const server = await Server.start("--message-rate", "off", "--database-url", "memory:");
const PER_SECOND = 50;
const SECONDS = 10;
const ROUNDS = Number(process.env.ROUNDS ?? 5);
/** The most that the longest task of a round may take of the processor: what is longer is felt (W3C Long Tasks). */
const TASK_MAX_MS = 50;
/** The most that may move by itself in a round, as a layout shift. */
const SHIFT_MAX = 0.01;

/** Sends messages at a steady pace, into one room after the other; runs in a page. */
function send({ rooms, perSecond, seconds }) {
  return new Promise((done) => {
    const socket = new WebSocket(new URL("/ws", location.href), "chat.v2");
    const run = Math.random();
    const missing = new Set(rooms);
    const begin = () => {
      const start = performance.now();
      let sent = 0;
      const timer = setInterval(() => {
        const due = Math.min(perSecond * seconds, ((performance.now() - start) / 1000) * perSecond);
        for (; sent < due; sent += 1) {
          const text = sent % 10 === 0 ? "**marked**, `code` and https://example.org" : `message ${sent} of a usual length, as people write them`;
          socket.send(JSON.stringify({ type: "message", room: rooms[sent % rooms.length], text, nonce: `${run} ${sent}` }));
        }
        if (sent >= perSecond * seconds) {
          clearInterval(timer);
          setTimeout(() => (socket.close(), done()), 1_000);
        }
      }, 20);
    };
    socket.onmessage = ({ data }) => {
      const { type, room } = JSON.parse(data);
      if (type === "hello") for (const room of rooms) socket.send(JSON.stringify({ type: "join", room }));
      if (type === "joined" && missing.delete(room) && missing.size === 0) begin();
    };
  });
}

/**
 * The tasks of the main thread of a page while something happens, in ms of its processor time
 * and of the clock.
 * @param {any} page
 * @param {() => Promise<void>} play
 */
async function tasksDuring(page, play) {
  const wire = await (await theBrowser()).newBrowserCDPSession();
  /** @type {any[]} */
  const events = [];
  wire.on("Tracing.dataCollected", ({ value }) => events.push(...value));
  await wire.send("Tracing.start", { transferMode: "ReportEvents", traceConfig: { includedCategories: ["toplevel", "blink.user_timing"] } });
  await page.evaluate(() => performance.mark("measured"));
  await play();
  const ended = new Promise((done) => wire.once("Tracing.tracingComplete", done));
  await wire.send("Tracing.end");
  await ended;
  const { pid, tid } = events.find(({ name }) => name === "measured");
  const tasks = events.filter((event) => event.pid === pid && event.tid === tid && /RunTask/.test(event.name) && event.dur);
  const longest = (field) => tasks.map((event) => (event[field] ?? 0) / 1000).sort((a, b) => b - a);
  return { cpu: longest("tdur"), clock: longest("dur") };
}

/**
 * Measures a page while messages arrive, round after round, and says what was found.
 * @param {import("./harness.mjs").Person} alice who is watched
 * @param {import("./harness.mjs").Person} bob who sends
 * @param {(round: number) => string[] | Promise<string[]>} roomsOf the rooms of a round, one of which is open
 * @param {boolean} isFollowing whether the view follows the end of the log
 */
async function measure({ page }, bob, roomsOf, isFollowing) {
  /** @type {{ task: number, share: number, shift: number, off: number }[]} */
  const rounds = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    const rooms = await roomsOf(round);
    if (!(await page.evaluate(() => "shifts" in window))) await watchShifts(page);
    await shiftsOf(page);
    await watchView(page, isFollowing);
    const { cpu, clock } = await tasksDuring(page, () => bob.page.evaluate(send, { rooms, perSecond: PER_SECOND, seconds: SECONDS }));
    const share = cpu.reduce((sum, ms) => sum + ms, 0) / (SECONDS + 1) / 10;
    const { sum: shift, shifts } = await shiftsOf(page);
    const off = await page.evaluate(() => window.moved);
    const three = (/** @type {number[]} */ all) => all.slice(0, 3).map((ms) => ms.toFixed(1)).join(", ");
    console.log(`  ${round}: longest tasks ${three(cpu)} ms of the processor, ${three(clock)} ms of the clock; ${share.toFixed(1)} % of a processor; layout shift ${shift.toFixed(4)}; the view was off by ${off.toFixed(1)} px at most`);
    for (const { value, at, sources } of shifts) console.log(`    ${value.toFixed(4)} at ${at.toFixed(0)}: ${sources.join("; ")}`);
    rounds.push({ task: cpu[0] ?? 0, share, shift, off });
  }
  const median = (/** @type {"task" | "share" | "shift" | "off"} */ what) => rounds.map((round) => round[what]).sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 0;
  console.log(`  median: longest task ${median("task").toFixed(1)} ms; ${median("share").toFixed(1)} % of a processor; layout shift ${median("shift").toFixed(4)}; off by ${median("off").toFixed(1)} px`);
  assert.ok(median("task") <= TASK_MAX_MS, `the longest task takes ${median("task").toFixed(1)} ms, more than ${TASK_MAX_MS}`);
  assert.ok(median("shift") <= SHIFT_MAX, `the layout shift is ${median("shift").toFixed(4)}, more than ${SHIFT_MAX}`);
}

/**
 * Notes in `window.moved` how far a view is from where it should be, in pixels, from now on.
 * @param {any} page
 * @param {boolean} isFollowing whether it follows the end of the log, or stays
 */
async function watchView(page, isFollowing) {
  await page.evaluate((isFollowing) => {
    const scroller = document.querySelector("#scroller");
    const edge = scroller.getBoundingClientRect().top;
    const anchor = [...document.querySelectorAll("#messages .message")].find((item) => item.getBoundingClientRect().top > edge);
    const top = anchor?.getBoundingClientRect().top;
    const run = (window.run = (window.run ?? 0) + 1);
    window.moved = 0;
    const look = () => {
      if (window.run !== run) return;
      const away = isFollowing ? scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop : Math.abs(anchor.getBoundingClientRect().top - top);
      window.moved = Math.max(window.moved, away);
      // After the frame is drawn.
      requestAnimationFrame(() => setTimeout(look));
    };
    look();
  }, isFollowing);
}

for (const [what, isFollowing] of [["the view follows", true], ["the reader is further up", false]]) {
  scenario(`${PER_SECOND} messages a second, and ${what}`, async () => {
    const room = `pace-${isFollowing}`;
    const [alice, bob] = [await person(server.url, "alice", { path: `/r/${room}` }), await person(server.url, "bob", { path: "/r/elsewhere" })];
    const { page } = alice;
    await page.waitForSelector("#message-menu", { state: "attached" });
    await alice.pour(room, Array.from({ length: 400 }, (_, i) => `before ${i}, of a usual length, as people write them`));
    await page.waitForTimeout(1_000);
    if (!isFollowing) await page.$eval("#scroller", (scroller) => scroller.scrollBy(0, -1_500));
    await page.waitForTimeout(1_000);
    await measure(alice, bob, () => [room], isFollowing);
  });
}

scenario(`${PER_SECOND} messages a second in a room that begins`, async () => {
  const [alice, bob] = [await person(server.url, "alice"), await person(server.url, "bob", { path: "/r/elsewhere" })];
  const begin = async (/** @type {number} */ round) => {
    await alice.goto(`/r/pace-begins-${round}`);
    await alice.page.waitForSelector("#message-menu", { state: "attached" });
    return [`pace-begins-${round}`];
  };
  await measure(alice, bob, begin, true);
});

scenario(`${PER_SECOND} messages a second in eight rooms, one of which is open`, async () => {
  const rooms = Array.from({ length: 8 }, (_, i) => `pace-among-${i}`);
  const [alice, bob] = [await person(server.url, "alice"), await person(server.url, "bob", { path: "/r/elsewhere" })];
  for (const room of rooms) {
    await alice.goto(`/r/${room}`);
    await alice.pour(room, [`the beginning of ${room}`]);
  }
  await alice.page.waitForSelector("#message-menu", { state: "attached" });
  await measure(alice, bob, () => rooms, true);
});
