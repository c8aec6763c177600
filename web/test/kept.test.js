import assert from "node:assert/strict";
import { test } from "node:test";

import { RESUMED_MAX } from "../logic/client.js";
import { ALL_MAX_BYTES, changed, CONVERSATION_MAX_BYTES, CONVERSATIONS_MAX, isOutdated, isShort, keptOf, listOf, MESSAGES_KEPT, newer, restore, restoreList, surplus } from "../logic/kept.js";
import { range, World } from "./world.js";

/** @typedef {import("../logic/kept.js").Kept} Kept */

/**
 * A client that has received the first messages of the room `tea`.
 * @param {number} count
 */
function filled(count) {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open({ features: ["edit", "delete", "read"], rooms: [{ room: "tea", title: "Tea", role: "member", top: count, at: 1000 + count, read: count, unread: 0 }] });
  world.joined("tea", range(1, count));
  return world;
}

/**
 * What a client keeps of the room.
 * @param {World} world
 * @returns {Kept}
 */
function keep(world, key = /** @type {const} */ ("#tea")) {
  const conversation = world.client.conversations.get(key);
  const kept = conversation && keptOf(conversation, 5);
  assert.ok(kept);
  return structuredClone(kept);
}

/** @param {number} top */
const rooms = (top) => [{ room: "tea", title: "Tea", role: "member", top, at: 1000 + top, read: top, unread: 0 }];

test("the last messages are kept, and shown before there is a connection", () => {
  const kept = keep(filled(70));
  assert.deepEqual([kept.from, kept.upto, kept.messages.length, kept.hasOlder], [21, 70, MESSAGES_KEPT, true]);
  const world = new World();
  world.step({ type: "join", room: "tea" });
  assert.ok(restore(world.client, kept));
  assert.deepEqual(world.seqs("#tea"), range(21, 70));
  const conversation = world.client.conversations.get("#tea");
  assert.ok(conversation?.isLoaded && conversation.hasOlder && conversation.isAtEnd);
});

test("the join after it brings what is new, also deletions and edits", () => {
  const kept = keep(filled(70));
  const world = new World();
  world.step({ type: "join", room: "tea" });
  restore(world.client, kept);
  world.open({ features: ["edit", "delete"], rooms: rooms(73) });
  const [join] = world.take().filter(({ type }) => type === "join");
  assert.deepEqual([join.since, join.epoch, join.fold], [70, "e1", undefined]);
  const { generation } = world.client.conversations.of("#tea");
  world.frame({ type: "joined", room: "tea", epoch: "e1", seq: 73, recovered: true, online: 1, members: [], ref: join.ref });
  world.frame({ type: "delete", room: "tea", seq: 71, target: 60, from: "bob", timestamp: 2000 });
  world.frame({ type: "edit", room: "tea", seq: 72, target: 61, from: "bob", text: "better", timestamp: 2000 });
  world.message("tea", 73);
  const conversation = world.client.conversations.of("#tea");
  assert.equal(conversation.at(60)?.deleted, true);
  assert.equal(conversation.at(60)?.text, "");
  assert.equal(conversation.at(61)?.text, "better");
  assert.equal(conversation.last, 73);
  assert.equal(conversation.generation, generation, "no row is made anew");
  assert.deepEqual(world.did("arrived").filter(({ isNews }) => isNews), []);
  assert.ok(!JSON.stringify(keep(world)).includes("text 60"));
});

test("messages that are far behind are replaced by the newest ones", () => {
  const kept = keep(filled(70));
  const world = new World();
  world.step({ type: "join", room: "tea" });
  restore(world.client, kept);
  world.open({ features: ["edit"], rooms: rooms(71 + RESUMED_MAX) });
  const [join] = world.take().filter(({ type }) => type === "join");
  assert.deepEqual([join.since, join.fold], [undefined, true]);
  assert.deepEqual(world.seqs("#tea"), range(21, 70), "they are shown until then");
  // Also where the connection came first.
  const late = new World();
  late.open({ features: ["edit"], rooms: rooms(71 + RESUMED_MAX) });
  restore(late.client, kept);
  late.take();
  late.step({ type: "join", room: "tea" });
  assert.equal(late.take()[0].since, undefined);
});

test("a private conversation goes on where it was kept, or begins anew", () => {
  const world = new World();
  world.open({ features: ["edit"] });
  for (const seq of [1, 2, 3]) world.frame({ type: "private", from: "bob", to: "alice", seq, text: `text ${seq}`, timestamp: 1000 });
  const conversation = world.client.conversations.of("@bob");
  const kept = structuredClone(keptOf(conversation, 5));
  assert.ok(kept);
  for (const [top, asked] of [[5, { after: 3 }], [4 + RESUMED_MAX, { before: 5 + RESUMED_MAX }]]) {
    const next = new World();
    restore(next.client, kept);
    next.open({ features: ["edit"], privates: [{ with: "bob", seq: top }] });
    const { type, with: name, before, after } = next.take()[0];
    assert.deepEqual({ type, name, before, after }, { type: "history", name: "bob", before: undefined, after: undefined, ...(/** @type {object} */ (asked)) });
  }
  // What came meanwhile was not received for what is kept.
  const other = new World();
  other.open({ features: ["edit"], privates: [{ with: "bob", seq: 5 }] });
  assert.equal(restore(other.client, kept), false);
});

test("kept messages of a room that may not be read any more are forgotten", () => {
  const kept = keep(filled(10));
  const world = new World();
  world.step({ type: "join", room: "tea" });
  restore(world.client, kept);
  world.open({ features: ["read"], rooms: [] });
  const join = world.take().find(({ type }) => type === "join");
  world.frame({ type: "error", code: "forbidden", message: "", ref: join.ref });
  assert.deepEqual(world.seqs("#tea"), []);
  assert.equal(isOutdated(kept, world.client), true);
});

test("nothing is restored over what the server has said, nor with other numbers", () => {
  const kept = keep(filled(10));
  const world = filled(20);
  assert.equal(restore(world.client, kept), false);
  const other = new World();
  other.open({ epoch: "e2" });
  assert.equal(restore(other.client, kept), false);
  const early = new World();
  early.step({ type: "join", room: "tea" });
  restore(early.client, kept);
  early.open({ epoch: "e2", rooms: rooms(3) });
  assert.deepEqual(early.seqs("#tea"), []);
});

test("only what is whole is kept", () => {
  const world = filled(10);
  const conversation = world.client.conversations.of("#tea");
  world.message("tea", 12);
  assert.equal(keptOf(conversation, 5), null, "an entry is missing");
});

test("long messages are kept as far as there is room", () => {
  const world = filled(0);
  for (const seq of range(1, 40)) world.message("tea", seq, { text: "long ".repeat(2000) });
  const kept = keep(world);
  assert.ok(kept.bytes <= CONVERSATION_MAX_BYTES + 25_000 && kept.messages.length > 5 && kept.messages.length < 40);
  assert.equal(kept.messages.at(-1)?.seq, 40);
  assert.equal(kept.from, kept.messages[0]?.seq);
});

test("conversations that were kept longest ago go first", () => {
  const head = (/** @type {number} */ at, bytes = 1) => ({ key: /** @type {const} */ (`#${at}`), epoch: "e1", upto: 1, bytes, at });
  assert.deepEqual(surplus(range(1, CONVERSATIONS_MAX + 2).map((at) => head(at))), ["#2", "#1"]);
  assert.deepEqual(surplus([head(1), head(2, ALL_MAX_BYTES), head(3)]), ["#2", "#1"]);
});

test("of two tabs, the one that knows more is kept", () => {
  const [old, made] = [keep(filled(20)), keep(filled(15))];
  assert.equal(newer(old, made), null);
  assert.equal(newer(made, old), old);
  assert.equal(newer(undefined, made), made);
  assert.equal(newer({ ...old, epoch: "e0" }, made), made);
});

test("a change is applied to kept messages that are not in memory", () => {
  const kept = keep(filled(20));
  const change = { kind: "delete", seq: 21, target: 7, from: "bob", text: "", timestamp: 1, updated: 0 };
  const made = changed(kept, change, "alice");
  assert.ok(made && !JSON.stringify(made).includes("text 7\""));
  assert.equal(changed(made, change, "alice"), null);
  assert.equal(changed(kept, { ...change, target: 99 }, "alice"), null);
});

test("what may be deleted, or may not be read any more, goes at the next hello", () => {
  const kept = keep(filled(20));
  const isOut = (/** @type {any} */ hello, isJoined = false) => {
    const world = new World();
    if (isJoined) world.step({ type: "join", room: "tea" });
    world.open({ features: ["read"], ...hello });
    return isOutdated(kept, world.client);
  };
  assert.equal(isOut({ rooms: rooms(20) }), false);
  assert.equal(isOut({ rooms: rooms(21) }), true);
  assert.equal(isOut({ rooms: rooms(21) }, true), false, "the join brings it up to date");
  assert.equal(isOut({ rooms: [] }), true);
  assert.equal(isOut({ rooms: rooms(20), epoch: "e2" }), true);
});

test("the list of rooms is shown until the server names them", () => {
  const list = structuredClone(listOf(filled(20).client));
  const world = new World();
  restoreList(world.client, list);
  assert.ok(world.client.account.isKept);
  assert.equal(world.client.account.places.get("#tea")?.title, "Tea");
  world.open({ features: ["read"], rooms: [] });
  assert.equal(world.client.account.places.get("#tea"), undefined);
  restoreList(world.client, list);
  assert.equal(world.client.account.places.get("#tea"), undefined);
});

test("a private conversation of which memory has only the newest messages is asked for", () => {
  const world = new World();
  world.open({ features: ["edit"], privates: [{ with: "bob", seq: 80 }] });
  assert.equal(isShort(world.client.conversations.get("@bob")), false);
  world.frame({ type: "private", from: "bob", to: "alice", seq: 81, text: "news", timestamp: 1000 });
  assert.equal(isShort(world.client.conversations.get("@bob")), true);
});
