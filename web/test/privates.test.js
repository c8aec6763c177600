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

test("the greeting lists the conversations; history shows one", () => {
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

test("what was missed while away is fetched before what is new", () => {
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

test("a conversation that was not opened needs no history to know how far it goes", () => {
  const world = new World();
  world.open({ privates: [{ with: "bob", seq: 4 }] });
  world.cut();
  world.take();
  world.open({ privates: [{ with: "bob", seq: 7 }] });
  assert.deepEqual(world.take(), []);
  assert.equal(world.client.conversations.get("@bob")?.end, 7);
});

test("a message to somebody who is not there", () => {
  const world = new World();
  world.open();
  world.write("@nobody", "hi");
  world.frame({ type: "error", code: "not_found", message: "", nonce: "n-hi" });
  assert.deepEqual(world.waiting("@nobody"), ["hi failed"]);
});

test("an opened conversation is asked for again on the next connection", () => {
  const world = new World();
  world.open();
  world.step({ type: "load", key: "@bob", part: "latest" });
  world.cut();
  world.take();
  world.open();
  assert.deepEqual(world.take().map(({ type, with: name }) => [type, name]), [["history", "bob"]]);
});
