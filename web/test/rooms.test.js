import assert from "node:assert/strict";
import { test } from "node:test";

import { JOINED_MAX } from "../logic/rooms.js";
import { page, range, World } from "./world.js";

test("a join gives the room's last messages, then what is new", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  assert.deepEqual(world.take().map(({ type, room, since }) => [type, room, since]), [["join", "tea", undefined]]);
  world.step({ type: "leave", room: "tea" });
  world.step({ type: "join", room: "tea" });
  assert.deepEqual(world.sent.map(({ type }) => type), ["leave", "join"]);
  world.joined("tea", range(11, 60));
  world.message("tea", 61);
  assert.deepEqual(world.seqs("#tea"), range(11, 61));
  const news = world.did("arrived").filter(({ isNews }) => isNews);
  assert.deepEqual(news.map(({ entry }) => entry.seq), [61]);
});

test("a resume begins after the last received entry, and duplicates are dropped", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [1, 2, 3]);
  world.cut();
  world.take();
  world.open();
  const [join] = world.sent;
  assert.deepEqual([join.since, join.epoch], [3, "e1"]);
  world.joined("tea", [], { seq: 5, recovered: true });
  for (const seq of [4, 5, 5, 4, 6]) world.message("tea", seq);
  assert.deepEqual(world.seqs("#tea"), range(1, 6));
});

test("a refused resume forgets the room's entries", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [1, 2, 3]);
  world.cut();
  world.open();
  world.joined("tea", range(151, 200), { recovered: false });
  assert.deepEqual(world.seqs("#tea"), range(151, 200));
  assert.equal(world.client.conversations.get("#tea")?.hasOlder, true);
});

test("another epoch forgets all entries, and joins without `since`", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open({ privates: [{ with: "bob", seq: 9 }] });
  world.joined("tea", [1, 2, 3]);
  world.cut();
  world.take();
  world.open({ epoch: "e2", privates: [{ with: "bob", seq: 2 }] });
  assert.equal(world.sent[0].since, undefined);
  world.joined("tea", [1], { epoch: "e2" });
  assert.deepEqual(world.seqs("#tea"), [1]);
  assert.equal(world.client.conversations.get("@bob")?.end, 2);
});

test("a gap is filled from history, in order and without duplicates", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [1, 2]);
  world.take();
  world.message("tea", 5);
  world.message("tea", 6);
  assert.deepEqual(world.seqs("#tea"), [1, 2], "nothing is shown out of order");
  const [request, ...none] = world.take();
  assert.deepEqual([request.type, request.room, request.after, none.length], ["history", "tea", 2, 0]);
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, messages: page(3, 5), has_more: true, ref: request.ref });
  assert.deepEqual(world.seqs("#tea"), range(1, 6));
});

test("a gap that history does not fill makes the client join the room again", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [1, 2]);
  world.take();
  world.message("tea", 5);
  const [request] = world.take();
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 5, messages: [], has_more: false, ref: request.ref });
  assert.deepEqual(world.take().map(({ type, since }) => [type, since]), [["leave", undefined], ["join", undefined]]);
});

test("an entry of an unknown kind counts", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [1]);
  world.frame({ type: "react", room: "tea", seq: 2, whatever: true });
  world.message("tea", 3);
  world.frame({ type: "edit", room: "tea", seq: 4, from: "bob", text: "other words", timestamp: 1, of: 3 });
  assert.deepEqual(world.seqs("#tea"), [1, 3]);
  const tea = world.client.conversations.get("#tea");
  assert.deepEqual([tea?.at(3)?.text, tea?.seen, tea?.isAtEnd], ["text 3", 4, true]);
});

test("a join that is refused for a while is repeated", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  const [join] = world.take();
  world.frame({ type: "error", code: "unavailable", message: "", ref: join.ref });
  assert.deepEqual(world.take(), []);
  world.wake();
  assert.equal(world.take()[0].type, "join");
});

test("a refused join fails the room's messages", () => {
  const world = new World();
  world.write("#tea", "hi");
  world.open();
  const [join] = world.take();
  world.frame({ type: "error", code: "forbidden", message: "", ref: join.ref });
  assert.equal(world.client.rooms.get("tea")?.status, "refused");
  assert.deepEqual(world.waiting("#tea"), ["hi failed"]);
});

test("reading back loads pages without a gap", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", range(951, 1000));
  world.take();
  world.step({ type: "load", key: "#tea", part: "older" });
  world.step({ type: "load", key: "#tea", part: "older" });
  const [request, ...none] = world.take();
  assert.deepEqual([request.before, request.limit, none.length], [951, 100, 0]);
  world.message("tea", 1001);
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, messages: page(851, 950), has_more: true, ref: request.ref });
  assert.deepEqual(world.seqs("#tea"), range(851, 1001));
});

test("a reader far back misses no new entry", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", range(951, 1000));
  world.take();
  world.step({ type: "load", key: "#tea", part: "around", seq: 100 });
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, messages: page(51, 150), has_more: true, ref: world.take()[0].ref });
  world.message("tea", 1001);
  const tea = /** @type {any} */ (world.client.conversations.get("#tea"));
  assert.deepEqual([tea.first, tea.last, tea.end, tea.isAtEnd], [51, 150, 1001, false]);
  world.step({ type: "load", key: "#tea", part: "newer" });
  const [newer] = world.take();
  assert.equal(newer.after, 150);
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, messages: page(151, 250), has_more: true, ref: newer.ref });
  assert.equal(tea.last, 250);
  world.step({ type: "load", key: "#tea", part: "latest" });
  const [latest] = world.take();
  assert.equal(latest.before, 1002);
  world.message("tea", 1002);
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, messages: page(902, 1001), has_more: true, ref: latest.ref });
  const [rest] = world.take();
  assert.equal(rest.after, 1001, "what came meanwhile");
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, messages: page(1002, 1002), has_more: false, ref: rest.ref });
  assert.ok(tea.isAtEnd);
});

test("a room without kept entries is at its end once a page says so", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [], { seq: 5 });
  const tea = /** @type {any} */ (world.client.conversations.get("#tea"));
  world.take();
  assert.equal(tea.isAtEnd, false, "its entries may still be on their way");
  world.wake();
  const [request, ...none] = world.take();
  assert.deepEqual([request.type, request.room, request.before, none.length], ["history", "tea", 6, 0]);
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 6, messages: [], has_more: false, ref: request.ref });
  assert.deepEqual([tea.isAtEnd, tea.end], [true, 5]);
  world.message("tea", 6);
  assert.deepEqual([tea.isAtEnd, world.seqs("#tea")], [true, [6]]);
});

test("a replay needs no request for a page", () => {
  const world = new World();
  for (const room of ["tea", "cup"]) world.step({ type: "join", room });
  world.open();
  world.joined("tea", range(1, 5));
  world.joined("cup");
  world.take();
  world.now += 5_000;
  world.step({ type: "timer" });
  assert.deepEqual(world.take(), []);
});

test("a missing message is no longer being looked for once a page has come", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", range(951, 1000));
  world.take();
  world.step({ type: "load", key: "#tea", part: "around", seq: 9_999 });
  assert.ok(world.client.isSeeking("#tea", 9_999));
  world.cut();
  assert.ok(world.client.isSeeking("#tea", 9_999), "it is looked for again");
  world.take();
  world.open();
  world.joined("tea", [], { seq: 1000, recovered: true });
  const { ref } = world.take().find(({ type }) => type === "history");
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, messages: [], has_more: false, ref });
  assert.ok(!world.client.isSeeking("#tea", 9_999));
  assert.deepEqual(world.take().map(({ before }) => before), [1001], "it is not there, but the end is");
});

test("a reader who goes on elsewhere is not moved to the end later", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", range(951, 1000));
  world.take();
  world.step({ type: "load", key: "#tea", part: "around", seq: 100 });
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, messages: page(51, 150), has_more: true, ref: world.take()[0].ref });
  for (const stays of [false, true]) {
    world.cut();
    world.step({ type: "load", key: "#tea", part: "latest" });
    if (stays) world.step({ type: "cancel-latest", key: "#tea" });
    world.take();
    world.open();
    world.joined("tea", [], { seq: 1000, recovered: true });
    assert.equal(world.take().some(({ type }) => type === "history"), !stays);
  }
});

test("the users in a room follow `joined` and `presence`", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [], { online: 2, members: ["alice", "bob"] });
  world.frame({ type: "presence", room: "tea", user: "carol", online: true });
  world.frame({ type: "presence", room: "tea", user: "bob", online: false });
  const tea = world.client.rooms.get("tea");
  assert.deepEqual([[...(tea?.members ?? [])], tea?.online], [["alice", "carol"], 2]);
  world.frame({ type: "presence", room: "tea", online: 301 });
  assert.equal(tea?.online, 301);
  assert.ok(world.client.isOnline("carol") && !world.client.isOnline("bob"));
});

test("a user may leave whose name was never sent", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [], { online: 201, members: ["alice", "bob"] });
  world.frame({ type: "presence", room: "tea", user: "carol", online: false });
  assert.equal(world.client.rooms.get("tea")?.online, 200);
});

test("entries before `joined` belong to the join before, and come again", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [1, 2]);
  world.step({ type: "leave", room: "tea" });
  world.step({ type: "join", room: "tea" });
  world.did("arrived");
  world.message("tea", 3);
  world.frame({ type: "left", room: "tea" });
  world.joined("tea", [1, 2, 3]);
  assert.deepEqual(world.did("arrived").map(({ entry, isNews }) => [entry.seq, isNews]), [[1, false], [2, false], [3, false]]);
});

test("several refused joins make one pause", () => {
  const world = new World();
  for (const i of range(1, 20)) world.write(`#r${i}`, "hi", `n${i}`);
  world.open();
  for (const { ref } of world.take()) world.frame({ type: "error", code: "unavailable", message: "", ref, retry_after: 1 });
  assert.ok(/** @type {number} */ (world.client.wakeAt) - world.now <= 1_000);
  world.wake();
  assert.equal(world.take().length, 20);
});

test("a gap in a room that the server has ended is filled by joining it", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [1, 2]);
  world.take();
  world.message("tea", 5);
  world.frame({ type: "error", code: "not_joined", message: "", ref: world.take()[0].ref });
  assert.deepEqual([world.client.state, ...world.sent.map(({ type, since }) => [type, since])], ["open", ["join", 2]]);
  world.joined("tea", [], { seq: 5, recovered: true });
  for (const seq of [3, 4, 5]) world.message("tea", seq);
  assert.deepEqual(world.seqs("#tea"), range(1, 5));
});

test("a reader far back is moved to the end when those entries are gone", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", range(951, 1000));
  world.take();
  const answer = (/** @type {number[]} */ [from = 0, to = 0]) =>
    world.frame({ type: "history", room: "tea", epoch: "e1", first: from, messages: page(from, to), has_more: true, ref: world.take()[0].ref });
  world.step({ type: "load", key: "#tea", part: "around", seq: 100 });
  answer([51, 150]);
  world.step({ type: "load", key: "#tea", part: "newer" });
  answer([501, 600]);
  answer([901, 1000]);
  assert.deepEqual(world.seqs("#tea"), range(901, 1000));
});

test("of two messages that the user wants to see, the last one is loaded", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", range(951, 1000));
  world.take();
  world.step({ type: "load", key: "#tea", part: "around", seq: 100 });
  world.step({ type: "load", key: "#tea", part: "around", seq: 500 });
  for (let [request] = world.take(); request; [request] = world.take()) {
    world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, messages: page(request.after + 1, request.after + 100), has_more: true, ref: request.ref });
  }
  assert.ok(world.client.conversations.get("#tea")?.at(500));
});

test("a `joined` for an earlier join is ignored", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  const [{ ref }] = world.take();
  world.step({ type: "leave", room: "tea" });
  world.step({ type: "join", room: "tea" });
  world.joined("tea", [7], { ref });
  assert.deepEqual([world.client.rooms.get("tea")?.status, world.seqs("#tea")], ["joining", []]);
  world.joined("tea", [7, 8]);
  assert.deepEqual(world.seqs("#tea"), [7, 8]);
});

test("a join that cannot resume is repeated without `since`", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [1, 2]);
  world.cut();
  world.take();
  world.open();
  const [resume] = world.take();
  world.frame({ type: "error", code: "bad_request", message: "", ref: resume.ref });
  const [fresh] = world.take();
  assert.deepEqual([resume.since, fresh.type, fresh.since], [2, "join", undefined]);
  world.frame({ type: "error", code: "bad_request", message: "", ref: fresh.ref });
  assert.deepEqual([world.take(), world.client.rooms.get("tea")?.status], [[], "refused"], "not again and again");
});

test("a pause before a join ends with the connection", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.frame({ type: "error", code: "unavailable", message: "", ref: world.take()[0].ref, retry_after: 1 });
  world.frame({ type: "reconnect", after_ms: 60_000 });
  world.cut();
  assert.equal(world.client.wakeAt, world.client.retryAt);
});

test("answers about a room that was left are ignored", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", range(951, 1000));
  world.take();
  world.step({ type: "load", key: "#tea", part: "older" });
  const [{ ref }] = world.take();
  world.step({ type: "leave", room: "tea" });
  world.step({ type: "join", room: "tea" });
  world.joined("tea", range(951, 1000));
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, messages: page(851, 950), has_more: true, ref });
  assert.deepEqual(world.seqs("#tea"), range(951, 1000));
});

test("a part of a room that was left is not requested", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.step({ type: "load", key: "#tea", part: "around", seq: 100 });
  world.step({ type: "leave", room: "tea" });
  world.step({ type: "join", room: "tea" });
  world.joined("tea", range(951, 1000));
  assert.deepEqual(world.take().map(({ type }) => type), ["join", "leave", "join"]);
});

test("who is online is unknown without a connection, until the room is joined again", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [1], { members: ["alice", "bob"] });
  assert.ok(world.client.isOnline("bob"));
  world.cut();
  assert.ok(world.client.isOnline("bob"), "a short interruption changes nothing");
  world.now += 1_500;
  world.step({ type: "timer" });
  assert.ok(!world.client.isOnline("bob"));
  assert.ok(!world.client.isPresenceKnown);
  assert.ok(world.did("show").length > 0);
  world.open();
  assert.ok(!world.client.isOnline("bob"), "not before `joined`");
  world.joined("tea", [], { seq: 1, recovered: true, members: ["alice", "bob"] });
  assert.ok(world.client.isOnline("bob"));
});

test("a connection that is back at once leaves who is online as it was", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [1], { members: ["alice", "bob"] });
  world.cut();
  world.now += 700;
  world.open();
  world.joined("tea", [], { seq: 1, recovered: true, members: ["alice", "bob"] });
  world.now += 10_000;
  world.step({ type: "timer" });
  assert.ok(world.client.isOnline("bob"));
});

test("a few rooms stay joined: those that were opened last, and those that messages wait for", () => {
  const world = new World();
  world.open();
  world.write("#late", "hi");
  const names = range(1, JOINED_MAX + 1).map((i) => `r${i}`);
  for (const room of names) {
    world.step({ type: "join", room });
    world.joined(room, [1, 2]);
  }
  assert.deepEqual(world.take().flatMap(({ type, room }) => (type === "leave" ? [room] : [])), ["r1"]);
  world.step({ type: "join", room: "r2" });
  world.step({ type: "join", room: "r1" });
  assert.deepEqual(world.take().map(({ type, room, since }) => [type, room, since]), [["join", "r1", 2], ["leave", "r3", undefined]]);
  assert.deepEqual(world.seqs("#r3"), [1, 2], "its entries are kept");
  assert.equal(world.client.rooms.get("late")?.status, "joining");
  world.joined("late", [], { ref: undefined });
});

test("a join that the server ends is refused, and its entries are forgotten", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [1, 2]);
  world.write("#tea", "hi");
  world.frame({ type: "left", room: "tea", reason: "removed" });
  const tea = world.client.rooms.get("tea");
  assert.deepEqual([tea?.status, tea?.reason, world.seqs("#tea"), world.waiting("#tea")], ["refused", "removed", [], ["hi failed"]]);
  assert.deepEqual(world.did("left").map(({ room, reason }) => [room, reason]), [["tea", "removed"]]);
  world.cut();
  world.take();
  world.open();
  assert.deepEqual(world.take(), [], "it is not joined again");
  world.frame({ type: "room", room: "tea", title: "Tea", access: "closed", archived: false, role: "member" });
  assert.deepEqual(world.take().map(({ type, room, since }) => [type, room, since]), [["join", "tea", undefined]], "until the user is a member again");
});

test("the answer to `leave` ends nothing", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [1, 2]);
  world.frame({ type: "left", room: "tea" });
  assert.deepEqual([world.client.rooms.get("tea")?.status, world.did("left")], ["in", []]);
});
