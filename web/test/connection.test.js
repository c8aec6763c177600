import assert from "node:assert/strict";
import { test } from "node:test";

import { BACKOFF_MAX_MS, BACKOFF_MIN_MS, backoff } from "../logic/connection.js";
import { ANSWER_MS } from "../logic/client.js";
import { World } from "./world.js";

test("the backoff doubles, is random, and is at most half a minute", () => {
  for (const attempts of [0, 1, 5, 20]) {
    assert.equal(backoff(attempts, () => 0), BACKOFF_MIN_MS);
    assert.ok(backoff(attempts, () => 0.999) <= BACKOFF_MAX_MS);
  }
  assert.ok(backoff(3, () => 0.999) > 2 * backoff(1, () => 0.999));
  assert.ok(backoff(20, () => 0.999) > BACKOFF_MAX_MS * 0.99);
});

test("a lost connection is made again after a while", () => {
  const world = new World();
  world.open();
  assert.equal(world.client.state, "open");
  world.cut();
  assert.equal(world.client.state, "waiting");
  assert.deepEqual(world.did("connect").length, 1);
  world.wake();
  assert.deepEqual(world.did("connect").length, 1);
});

test("attempts at a server that closes at once become rarer", () => {
  const world = new World();
  world.random = 0.999;
  const waits = [];
  for (let i = 0; i < 8; i++) {
    world.open();
    world.cut();
    waits.push(/** @type {number} */ (world.client.retryAt) - world.now);
  }
  assert.ok(waits.every((wait, i) => i === 0 || wait >= /** @type {number} */ (waits[i - 1])), String(waits));
  assert.ok(/** @type {number} */ (waits[7]) > 20_000);
  world.open();
  world.now += 60_000;
  world.cut();
  assert.ok(/** @type {number} */ (world.client.retryAt) - world.now < 1_100);
});

test("a server that restarts says when to reconnect", () => {
  const world = new World();
  world.open();
  world.frame({ type: "reconnect", after_ms: 4321 });
  world.now += 321;
  world.cut(1012);
  assert.equal(/** @type {number} */ (world.client.retryAt) - world.now, 4000);
});

test("a client that was signed out does not reconnect", () => {
  const world = new World();
  world.open();
  world.cut(4001);
  assert.equal(world.client.state, "ended");
  assert.equal(world.did("signed-out").length, 1);
  assert.equal(world.client.wakeAt, null);
});

test("after a refused upgrade the session is checked", () => {
  const world = new World();
  world.step({ type: "start" });
  world.step({ type: "closed", code: 1006, wasOpen: false });
  assert.equal(world.did("check-session").length, 1);
  world.step({ type: "session", signedIn: true });
  assert.equal(world.client.state, "waiting");
  world.step({ type: "session", signedIn: false });
  assert.equal(world.client.state, "ended");
});

test("a connection of another user is not used", () => {
  const world = new World();
  world.open({ user: "mallory" });
  assert.equal(world.client.state, "ended");
});

test("a silent connection is probed, and closed when it does not answer", () => {
  const world = new World();
  world.open();
  world.take();
  world.wake();
  const [probe] = world.take();
  assert.deepEqual([probe.type, probe.with, probe.limit], ["history", "alice", 1]);
  world.frame({ type: "history", with: "alice", epoch: "e1", first: 0, messages: [], has_more: false, ref: probe.ref });
  world.wake();
  assert.equal(world.take().length, 1, "the next one");
  world.wake();
  assert.equal(world.client.state, "waiting");
  assert.equal(world.did("close").length, 1);
});

test("a page that comes to the front probes or connects at once", () => {
  const world = new World();
  world.open();
  world.take();
  world.now += 5_000;
  world.step({ type: "foreground" });
  assert.equal(world.take().length, 1);
  world.cut();
  world.random = 0.1;
  world.step({ type: "foreground" });
  assert.ok(/** @type {number} */ (world.client.retryAt) - world.now <= 500);
});

test("a connection without `hello` is given up after a deadline", () => {
  const world = new World();
  world.step({ type: "start" });
  world.step({ type: "opened" });
  assert.equal(world.client.wakeAt, world.now + ANSWER_MS);
  world.wake();
  assert.equal(world.client.state, "waiting");
});

test("every frame extends the deadline of an answer", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.step({ type: "join", room: "rum" });
  world.open();
  world.joined("rum");
  for (const seq of [1, 2, 3]) {
    world.now += ANSWER_MS - 1;
    world.message("rum", seq);
    world.step({ type: "timer" });
  }
  assert.equal(world.client.state, "open");
  world.now += ANSWER_MS;
  world.step({ type: "timer" });
  assert.equal(world.client.state, "waiting");
});

test("the server's reconnect time counts once", () => {
  const world = new World();
  world.open();
  world.frame({ type: "reconnect", after_ms: 60_000 });
  world.cut(1012);
  world.step({ type: "foreground" });
  world.open();
  world.cut();
  assert.ok(/** @type {number} */ (world.client.retryAt) - world.now <= BACKOFF_MAX_MS);
});

test("after a close with 1008 the session is checked", () => {
  const world = new World();
  world.open();
  world.cut(1008);
  assert.equal(world.did("check-session").length, 1);
});

test("a network that is gone ends the connection, and one that is back begins the next attempt", () => {
  const world = new World();
  world.open();
  world.step({ type: "offline" });
  assert.equal(world.client.state, "waiting");
  assert.equal(world.did("close").length, 1);
  world.step({ type: "online" });
  const jitter = /** @type {number} */ (world.client.retryAt) - world.now;
  assert.ok(jitter > 0 && jitter <= 1_000, `${jitter} ms`);
});

test("an attempt on a network that is gone is not waited for", () => {
  for (const type of ["offline", "online"]) {
    const world = new World();
    world.step({ type: "start" });
    world.step({ type });
    assert.equal(world.client.state, "waiting", type);
    assert.ok(/** @type {number} */ (world.client.retryAt) - world.now <= 1_000, type);
  }
});
