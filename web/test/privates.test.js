import assert from "node:assert/strict";
import { test } from "node:test";

import { page, range, World } from "./world.js";

/**
 * @param {World} world
 * @param {number} seq
 * @param {any} [more]
 */
function fromBob(world, seq, more = {}) {
  world.frame({ type: "private", from: "bob", to: "alice", seq, text: `text ${seq}`, timestamp: 1, ...more });
}

test("`hello` lists the private conversations; `history` loads one", () => {
  const world = new World();
  world.open({ privates: [{ with: "bob", seq: 30 }] });
  world.step({ type: "load", key: "@bob", part: "latest" });
  const [request] = world.take();
  assert.deepEqual([request.with, request.before], ["bob", 31]);
  fromBob(world, 31);
  world.frame({ type: "history", with: "bob", epoch: "e1", first: 1, messages: page(1, 30), has_more: false, ref: request.ref });
  const [rest] = world.take();
  world.frame({ type: "history", with: "bob", epoch: "e1", first: 1, messages: page(31, 31), has_more: false, ref: rest.ref });
  assert.deepEqual(world.seqs("@bob"), range(1, 31));
  fromBob(world, 32, { from: "alice", to: "bob" });
  assert.deepEqual(world.seqs("@bob"), range(1, 32));
});

test("entries missed while disconnected are fetched before new ones", () => {
  const world = new World();
  world.open();
  fromBob(world, 1);
  world.cut();
  world.take();
  world.open({ privates: [{ with: "bob", seq: 4 }] });
  const [request] = world.take();
  assert.deepEqual([request.with, request.after], ["bob", 1]);
  fromBob(world, 5);
  assert.deepEqual(world.seqs("@bob"), [1]);
  world.frame({ type: "history", with: "bob", epoch: "e1", first: 1, messages: page(2, 4), has_more: false, ref: request.ref });
  assert.deepEqual(world.seqs("@bob"), range(1, 5));
  const news = world.did("arrived").filter(({ isNews }) => isNews).map(({ entry }) => entry.seq);
  assert.deepEqual(news, [1, 5]);
});

test("a conversation that is not loaded needs no history to know its end", () => {
  const world = new World();
  world.open({ privates: [{ with: "bob", seq: 4 }] });
  world.cut();
  world.take();
  world.open({ privates: [{ with: "bob", seq: 7 }] });
  assert.deepEqual(world.take(), []);
  assert.equal(world.client.conversations.get("@bob")?.end, 7);
});

test("a message to an unknown user fails", () => {
  const world = new World();
  world.open();
  world.write("@nobody", "hi");
  world.frame({ type: "error", code: "not_found", message: "", nonce: "n-hi" });
  assert.deepEqual(world.waiting("@nobody"), ["hi failed"]);
});

test("a conversation that is waited for is requested again on the next connection", () => {
  const world = new World();
  world.open();
  world.step({ type: "load", key: "@bob", part: "latest" });
  world.cut();
  world.take();
  world.open();
  assert.deepEqual(world.take().map(({ type, with: name }) => [type, name]), [["history", "bob"]]);
});

/**
 * Answers a request for a private conversation with the entries of a range.
 * @param {World} world
 * @param {any} request
 * @param {number} from
 * @param {number} to
 * @param {any} [more]
 */
function answer(world, { with: name, ref }, from, to, more = {}) {
  world.frame({ type: "history", with: name, epoch: "e1", first: 1, messages: page(from, to), has_more: false, ref, ...more });
}

/**
 * Alice has private conversations with bob, which is loaded, carol and dave.
 * @param {World} world
 */
function known(world) {
  world.open({ privates: [{ with: "bob", seq: 2 }, { with: "carol", seq: 3 }, { with: "dave", seq: 4 }] });
  world.step({ type: "load", key: "@bob", part: "latest" });
  answer(world, world.take()[0], 1, 2);
}

/** @param {World} world */
function ends(world) {
  return ["@bob", "@carol", "@dave"].map((key) => world.client.conversations.get(/** @type {any} */ (key))?.end);
}

test("conversations that a list leaves out are unchanged if a listed one is", () => {
  const world = new World();
  known(world);
  world.cut();
  world.open({ privates: [{ with: "carol", seq: 9 }, { with: "dave", seq: 4 }], has_more: true });
  assert.deepEqual(world.take(), []);
  fromBob(world, 3);
  for (let i = 0; i < 2; i++) {
    world.cut();
    world.open({ privates: [{ with: "bob", seq: 3 }, { with: "carol", seq: 9 }], has_more: true });
    assert.deepEqual(world.take(), []);
  }
  world.cut();
  world.open({ privates: [{ with: "bob", seq: 3 }], has_more: true });
  assert.deepEqual(world.take(), []);
});

test("conversations that a list leaves out are requested one by one if all listed ones have changed", () => {
  const world = new World();
  known(world);
  world.cut();
  world.open({ privates: [{ with: "eve", seq: 1 }], has_more: true });
  const asked = [];
  for (let [request] = world.take(); request; [request] = world.take()) {
    assert.equal(world.sent.length, 0, "one at a time");
    asked.push([request.with, request.after, request.limit]);
    const seq = { bob: 5, carol: 6, dave: 4 }[/** @type {string} */ (request.with)] ?? 0;
    request.after === undefined ? answer(world, request, seq, seq) : answer(world, request, request.after + 1, seq);
  }
  const unread = [["bob", undefined, 1], ["carol", undefined, 1], ["dave", undefined, 1]];
  assert.deepEqual(asked.filter(([, after]) => after === undefined).sort(), unread);
  assert.deepEqual(asked.filter(([, after]) => after !== undefined), [["bob", 2, 100]], "what is shown has no hole");
  assert.deepEqual([world.seqs("@bob"), ends(world)], [range(1, 5), [5, 6, 4]]);
  assert.deepEqual(world.did("arrived").filter(({ isNews }) => isNews), []);
});

test("an entry just before the disconnection does not prove that the rest is unchanged", () => {
  const world = new World();
  known(world);
  fromBob(world, 3);
  world.cut();
  world.open({ privates: [{ with: "bob", seq: 3 }], has_more: true });
  assert.equal(world.take().length, 1);
});

test("requests that were still queued at a disconnection are sent on the next connection", () => {
  const world = new World();
  known(world);
  const asked = [];
  for (const tops of [{}, { bob: 2 }, { carol: 7, dave: 4 }]) {
    world.cut();
    world.take();
    world.open({ privates: [{ with: "eve", seq: 1 }], has_more: true });
    for (const [name, seq] of Object.entries(tops)) {
      const [request] = world.take();
      asked.push(request.with);
      assert.equal(request.with, name);
      answer(world, request, seq, seq);
    }
  }
  assert.deepEqual([asked, world.take(), ends(world)], [["bob", "carol", "dave"], [], [2, 7, 4]]);
});

test("a gap is filled even if the next list leaves its conversation out", () => {
  const world = new World();
  known(world);
  world.cut();
  world.take();
  world.open({ privates: [{ with: "bob", seq: 5 }], has_more: true });
  world.cut();
  world.take();
  world.open({ privates: [{ with: "dave", seq: 4 }], has_more: true });
  const [request] = world.take();
  assert.deepEqual([request.with, request.after], ["bob", 2]);
});

test("in another epoch, left out conversations are requested and shown ones loaded again", () => {
  const world = new World();
  known(world);
  world.cut();
  world.take();
  world.open({ epoch: "e2", privates: [{ with: "carol", seq: 1 }], has_more: true });
  for (let [request] = world.take(); request; [request] = world.take()) {
    answer(world, request, 1, request.with === "bob" ? 2 : 1, { epoch: "e2" });
  }
  assert.deepEqual([ends(world), world.seqs("@bob"), world.seqs("@dave")], [[2, 1, 1], [1, 2], []]);
});

test("a page that is refused for a while is requested again on the same connection", () => {
  const world = new World();
  known(world);
  world.cut();
  world.take();
  world.open({ privates: [{ with: "bob", seq: 4 }] });
  const [request] = world.take();
  world.frame({ type: "error", code: "unavailable", message: "", ref: request.ref, retry_after: 3 });
  assert.deepEqual([world.client.state, world.take()], ["open", []]);
  world.now += 2_900;
  fromBob(world, 5);
  assert.deepEqual(world.take(), []);
  world.wake();
  const [again] = world.take();
  assert.equal(again.after, 2);
  answer(world, again, 3, 5);
  assert.deepEqual(world.seqs("@bob"), range(1, 5));
});

test("a refused part is requested again after a pause", () => {
  const world = new World();
  known(world);
  const load = (/** @type {string} */ part) => {
    world.step({ type: "load", key: "@carol", part });
    return world.take()[0];
  };
  world.frame({ type: "error", code: "unavailable", message: "", ref: load("latest").ref, retry_after: 1 });
  assert.equal(load("latest"), undefined);
  world.wake();
  answer(world, world.take()[0], 2, 3, { has_more: true });
  world.frame({ type: "error", code: "unavailable", message: "", ref: load("older").ref, retry_after: 1 });
  assert.equal(load("older"), undefined);
  world.did("show");
  world.wake();
  assert.ok(world.did("show").some(({ key }) => key === "@carol"), "its view repeats the request");
  assert.equal(load("older").before, 2);
});

test("a pause that ends while a page is on its way needs no timer", () => {
  const world = new World();
  known(world);
  world.step({ type: "load", key: "@carol", part: "latest" });
  world.step({ type: "load", key: "@dave", part: "latest" });
  const [carol, dave] = world.take();
  world.frame({ type: "error", code: "unavailable", message: "", ref: carol.ref, retry_after: 1 });
  world.wake();
  assert.ok(/** @type {number} */ (world.client.wakeAt) > world.now);
  answer(world, dave, 1, 4);
  assert.equal(world.take()[0].with, "carol");
});

test("an empty conversation that is open gets the entries missed while disconnected", () => {
  const world = new World();
  world.open();
  world.step({ type: "load", key: "@bob", part: "latest" });
  answer(world, world.take()[0], 1, 0);
  world.cut();
  world.take();
  world.open({ privates: [{ with: "bob", seq: 2 }] });
  answer(world, world.take()[0], 1, 2);
  assert.deepEqual(world.seqs("@bob"), [1, 2]);
});

test("a first entry is not replaced by an older page", () => {
  const world = new World();
  world.open();
  world.step({ type: "load", key: "@bob", part: "latest" });
  const [request] = world.take();
  fromBob(world, 1);
  answer(world, request, 1, 0);
  assert.deepEqual(world.seqs("@bob"), [1]);
});

test("a conversation that is not open needs no history to continue", () => {
  const world = new World();
  known(world);
  world.frame({ type: "private", from: "carol", to: "alice", seq: 9, text: "hi", timestamp: 1 });
  const carol = world.client.conversations.get("@carol");
  assert.deepEqual([world.take(), world.seqs("@carol"), carol?.hasOlder], [[], [9], true]);
});

test("where the oldest entries are no longer kept, the conversation continues with the rest", () => {
  const world = new World();
  known(world);
  world.cut();
  world.take();
  world.open({ privates: [{ with: "bob", seq: 250 }] });
  answer(world, world.take()[0], 51, 150, { first: 51, has_more: true });
  answer(world, world.take()[0], 151, 250, { first: 51 });
  assert.deepEqual(world.seqs("@bob"), range(51, 250));
});

test("a conversation without kept entries is at its end", () => {
  const world = new World();
  world.open({ privates: [{ with: "bob", seq: 5 }] });
  world.step({ type: "load", key: "@bob", part: "latest" });
  const bob = /** @type {any} */ (world.client.conversations.get("@bob"));
  assert.equal(bob.isAtEnd, false);
  answer(world, world.take()[0], 6, 5, { first: 6 });
  assert.deepEqual([bob.isAtEnd, bob.end], [true, 5]);
  fromBob(world, 6);
  assert.deepEqual([bob.isAtEnd, world.seqs("@bob")], [true, [6]]);
});

test("a conversation that is refused for a while lets another go first", () => {
  const world = new World();
  known(world);
  world.step({ type: "load", key: "@carol", part: "latest" });
  answer(world, world.take()[0], 1, 3);
  world.cut();
  world.take();
  world.open({ privates: [{ with: "bob", seq: 5 }, { with: "carol", seq: 5 }] });
  const asked = [];
  for (let i = 0; i < 4; i += 1) {
    const [request] = world.take();
    asked.push(request.with);
    world.frame({ type: "error", code: "unavailable", message: "", ref: request.ref });
    world.wake();
  }
  assert.deepEqual(asked, ["bob", "carol", "bob", "carol"]);
});
