import assert from "node:assert/strict";
import { test } from "node:test";

import { IN_FLIGHT_MAX } from "../logic/outbox.js";
import { range, World } from "./world.js";

/** Alice in the room `tea`. */
function inTea() {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea");
  world.take();
  return world;
}

test("a message is kept, sent, acknowledged, and shown from the log", () => {
  const world = inTea();
  world.write("#tea", "hi");
  assert.deepEqual(world.take(), [{ type: "message", room: "tea", text: "hi", nonce: "n-hi" }]);
  assert.equal(world.kept.size, 1);
  world.frame({ type: "ack", nonce: "n-hi", room: "tea", seq: 1, timestamp: 1, duplicate: false });
  assert.deepEqual([world.waiting("#tea"), world.kept.size], [["hi stored"], 0]);
  world.message("tea", 1, { from: "alice", text: "hi", nonce: "n-hi" });
  assert.deepEqual([world.waiting("#tea"), world.seqs("#tea")], [[], [1]]);
});

test("the delivered entry may come before its acknowledgement", () => {
  const world = inTea();
  world.write("#tea", "hi");
  world.message("tea", 1, { from: "alice", text: "hi", nonce: "n-hi" });
  assert.deepEqual([world.waiting("#tea"), world.kept.size], [[], 0]);
  world.frame({ type: "ack", nonce: "n-hi", room: "tea", seq: 1, timestamp: 1, duplicate: false });
  assert.deepEqual(world.waiting("#tea"), []);
});

test("an entry of another user with the same nonce is another message", () => {
  const world = inTea();
  world.write("#tea", "hi");
  world.message("tea", 1, { nonce: "n-hi" });
  assert.deepEqual(world.waiting("#tea"), ["hi sending"]);
});

test("unacknowledged messages are sent again with their nonce after the join", () => {
  const world = inTea();
  world.write("#tea", "one");
  world.cut();
  world.write("#tea", "two");
  assert.deepEqual(world.waiting("#tea"), ["one waiting", "two waiting"]);
  world.take();
  world.open();
  assert.deepEqual(world.sent.map(({ type }) => type), ["join"], "not before the room");
  world.joined("tea", [], { seq: 1, recovered: true });
  assert.deepEqual(world.take().slice(1).map(({ nonce }) => nonce), ["n-one", "n-two"]);
  world.message("tea", 1, { from: "alice", text: "one", nonce: "n-one" });
  world.frame({ type: "ack", nonce: "n-one", room: "tea", seq: 1, timestamp: 1, duplicate: true });
  world.frame({ type: "ack", nonce: "n-two", room: "tea", seq: 2, timestamp: 1, duplicate: false });
  assert.deepEqual(world.waiting("#tea"), ["two stored"]);
});

test("after `unavailable` all messages are sent again in order, after a pause", () => {
  const world = inTea();
  for (const text of ["one", "two", "three"]) world.write("#tea", text);
  world.take();
  world.frame({ type: "ack", nonce: "n-one", room: "tea", seq: 1, timestamp: 1, duplicate: false });
  world.frame({ type: "error", code: "unavailable", message: "", nonce: "n-two" });
  world.frame({ type: "error", code: "unavailable", message: "", nonce: "n-three" });
  world.write("#tea", "four");
  assert.deepEqual(world.take(), [], "nothing overtakes");
  world.wake();
  assert.deepEqual(world.take().map(({ nonce }) => nonce), ["n-two", "n-three", "n-four"]);
});

test("the pause is at least `retry_after`", () => {
  const world = inTea();
  world.write("#tea", "one");
  world.frame({ type: "error", code: "slow_down", message: "", nonce: "n-one", retry_after: 7 });
  world.take();
  world.now += 6_900;
  world.step({ type: "timer" });
  assert.deepEqual(world.take(), []);
  world.now += 200;
  world.step({ type: "timer" });
  assert.equal(world.take().length, 1);
});

test("after any other error the user decides", () => {
  const world = inTea();
  world.write("#tea", "one");
  world.write("#tea", "two");
  world.take();
  world.frame({ type: "error", code: "forbidden", message: "", nonce: "n-one" });
  assert.deepEqual(world.waiting("#tea"), ["one failed", "two sending"]);
  assert.equal(world.kept.get("n-one").reason, "forbidden");
  world.step({ type: "retry", nonce: "n-one" });
  assert.deepEqual(world.take().map(({ nonce }) => nonce), ["n-one"]);
  world.frame({ type: "error", code: "forbidden", message: "", nonce: "n-one" });
  world.step({ type: "discard", nonce: "n-one" });
  assert.deepEqual(world.waiting("#tea"), ["two sending"]);
  assert.ok(!world.kept.has("n-one"));
});

test("a message that the program around the chat refuses has its sentence", () => {
  const world = inTea();
  world.write("#tea", "one");
  world.frame({ type: "error", code: "forbidden", message: "Not here.", sentence: "Not here.", nonce: "n-one" });
  assert.deepEqual(world.waiting("#tea"), ["one failed"]);
  assert.equal(world.kept.get("n-one").sentence, "Not here.");
  world.step({ type: "retry", nonce: "n-one" });
  world.frame({ type: "error", code: "text_too_long", message: "", nonce: "n-one" });
  assert.equal(world.kept.get("n-one").sentence, undefined);
});

test("`not_joined` joins and sends again", () => {
  const world = inTea();
  world.write("#tea", "one");
  world.take();
  world.frame({ type: "error", code: "not_joined", message: "", nonce: "n-one" });
  assert.deepEqual(world.take().map(({ type }) => type), ["join"]);
});

test("messages that were kept over a reload are sent once, in order", () => {
  const before = new World();
  before.write("#tea", "one");
  before.now += 1;
  before.write("@bob", "two");
  before.now += 1;
  before.write("#tea", "three");
  const after = new World();
  after.open();
  for (const item of [...before.kept.values()].reverse()) {
    after.step({ type: "send", item });
    after.step({ type: "send", item });
  }
  after.joined("tea");
  const sends = after.sent.filter(({ nonce }) => nonce);
  assert.deepEqual(sends.map(({ type, text }) => [type, text]), [["private", "two"], ["message", "one"], ["message", "three"]]);
});

test("a new epoch does not lose unsent messages", () => {
  const world = inTea();
  world.write("#tea", "one");
  world.frame({ type: "ack", nonce: "n-one", room: "tea", seq: 1, timestamp: 1, duplicate: false });
  world.write("#tea", "two");
  world.cut();
  world.take();
  world.open({ epoch: "e2" });
  world.joined("tea", [], { epoch: "e2" });
  assert.deepEqual(world.waiting("#tea"), ["two sending"]);
});

test("few messages are unanswered at once, and a slow server is waited for", () => {
  const world = inTea();
  for (const i of range(1, 40)) world.write("#tea", String(i));
  assert.equal(world.take().length, IN_FLIGHT_MAX);
  world.frame({ type: "ack", nonce: "n-1", room: "tea", seq: 1, timestamp: 1, duplicate: false });
  assert.deepEqual(world.take().map(({ text }) => text), [String(IN_FLIGHT_MAX + 1)]);
  for (let i = 0; i < 5; i++) {
    world.now += 10_000;
    world.message("tea", i + 1);
    world.step({ type: "timer" });
  }
  assert.equal(world.client.state, "open");
  world.wake();
  assert.equal(world.client.state, "waiting");
});

test("a message that is too large for a frame fails without closing the connection", () => {
  const world = new World();
  world.open({ limits: { text_max_chars: 100_000, message_max_bytes: 1_000 } });
  world.write("@bob", "я".repeat(500), "n-long");
  world.write("@bob", "short");
  assert.deepEqual(world.take().map(({ text }) => text), ["short"]);
  assert.equal(world.kept.get("n-long").reason, "text_too_long");
});

test("an acknowledgement that was lost with the connection is replaced by the entry", () => {
  const world = new World();
  world.open();
  world.write("@bob", "hi");
  world.frame({ type: "ack", nonce: "n-hi", to: "bob", seq: 1, timestamp: 1, duplicate: false });
  world.cut();
  world.open({ privates: [{ with: "bob", seq: 1 }] });
  assert.deepEqual(world.waiting("@bob"), [], "the log has it");
});

test("a late refusal of a message that is queued again is ignored", () => {
  const world = inTea();
  world.write("#tea", "one");
  world.write("#tea", "two");
  world.frame({ type: "error", code: "unavailable", message: "", nonce: "n-one" });
  world.frame({ type: "error", code: "forbidden", message: "", nonce: "n-two" });
  assert.deepEqual(world.waiting("#tea"), ["one waiting", "two waiting"]);
});

test("a pause ends with the connection", () => {
  const world = new World();
  world.open();
  world.write("@bob", "hi");
  world.frame({ type: "error", code: "slow_down", message: "", nonce: "n-hi", retry_after: 600 });
  world.cut();
  world.take();
  world.open();
  assert.deepEqual(world.take().map(({ nonce }) => nonce), ["n-hi"]);
});

test("a message that is being sent cannot be discarded", () => {
  const world = inTea();
  world.write("#tea", "hi");
  world.step({ type: "discard", nonce: "n-hi" });
  assert.deepEqual([world.waiting("#tea"), world.kept.size], [["hi sending"], 1]);
});

test("a stored message does not fail when its room is refused later", () => {
  const world = inTea();
  world.write("#tea", "hi");
  world.frame({ type: "ack", nonce: "n-hi", room: "tea", seq: 1, timestamp: 1, duplicate: false });
  world.cut();
  world.take();
  world.open();
  world.frame({ type: "error", code: "forbidden", message: "", ref: world.take()[0].ref });
  assert.deepEqual([world.waiting("#tea"), world.kept.size], [["hi stored"], 0]);
});

test("a message that is stored in an earlier epoch leaves the outbox", () => {
  const world = new World();
  world.open();
  world.write("@bob", "hi");
  world.frame({ type: "ack", nonce: "n-hi", to: "bob", seq: 5, timestamp: 1, duplicate: false });
  assert.deepEqual(world.waiting("@bob"), ["hi stored"]);
  world.cut();
  world.open({ epoch: "e2", privates: [{ with: "bob", seq: 2 }] });
  assert.deepEqual(world.waiting("@bob"), []);
});

test("messages keep their order when the clock is set back", () => {
  const world = new World();
  world.write("@bob", "one");
  world.now -= 500;
  world.write("@bob", "two");
  world.write("@bob", "three");
  const after = new World();
  for (const item of [...world.kept.values()].reverse()) after.step({ type: "send", item });
  after.open();
  assert.deepEqual(world.waiting("@bob"), ["one waiting", "two waiting", "three waiting"]);
  assert.deepEqual(after.take().map(({ text }) => text), ["one", "two", "three"], "also after a reload");
});
