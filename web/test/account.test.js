import assert from "node:assert/strict";
import { test } from "node:test";

import { inOrder, isLoud, isWanted, UNREAD_MAX } from "../logic/account.js";
import { range, World } from "./world.js";

const FEATURES = ["mentions", "read", "rooms", "typing"];

/** A room as `hello` lists it. */
const tea = { room: "tea", title: "Tea", access: "open", role: "member", top: 10, at: 1010, read: 10, unread: 0, mentions: 0, level: "mentions" };
const bob = { with: "bob", seq: 5, at: 1005, read: 3, unread: 2, level: "all" };

/** @param {any} [hello] */
function opened(hello = {}) {
  const world = new World();
  world.open({ features: FEATURES, rooms: [tea], privates: [bob], ...hello });
  return world;
}

/**
 * @param {World} world
 * @param {string} key
 * @returns {any}
 */
function place(world, key) {
  return world.client.account.places.get(/** @type {any} */ (key));
}

/**
 * @param {World} world
 * @param {string} key
 */
function counts(world, key) {
  const { read, unread, mentions } = place(world, key) ?? {};
  return [read, unread, mentions];
}

/**
 * @param {World} world
 * @param {number} seq
 * @param {any} [more]
 */
function fromBob(world, seq, more = {}) {
  world.frame({ type: "private", from: "bob", to: "alice", seq, text: `text ${seq}`, timestamp: 1000 + seq, ...more });
}

/**
 * The marks that were sent since the last call.
 * @param {World} world
 */
function said(world) {
  return world.take().flatMap(({ type, room, with: name, upto }) => (type === "read" ? [[room ?? name, upto]] : []));
}

test("`hello` brings the rooms of the account and what is unread", () => {
  const world = opened({ rooms: [{ ...tea, unread: 4, read: 6, mentions: 1, role: "moderator" }] });
  const { title, role, access, top, level } = place(world, "#tea");
  assert.deepEqual([title, role, access, top, level], ["Tea", "moderator", "open", 10, "mentions"]);
  assert.deepEqual([counts(world, "#tea"), counts(world, "@bob")], [[6, 4, 1], [3, 2, 0]]);
  assert.equal(place(world, "@bob").level, "all");
  assert.deepEqual(world.take(), [], "no room is joined because it is listed");
  assert.equal(world.did("hello").length, 1);
});

test("a private message that was not read on one device is unread on the next", () => {
  const world = opened({ privates: [{ ...bob, read: 0, unread: 5 }] });
  assert.deepEqual(counts(world, "@bob"), [0, 5, 0]);
  fromBob(world, 6);
  assert.deepEqual(counts(world, "@bob"), [0, 6, 0]);
});

test("own messages never count, and answer what is above", () => {
  const world = opened();
  fromBob(world, 6);
  assert.deepEqual(counts(world, "@bob"), [3, 3, 0]);
  fromBob(world, 7, { from: "alice", to: "bob" });
  assert.deepEqual([counts(world, "@bob"), said(world)], [[7, 0, 0], [["bob", 7]]]);
  fromBob(world, 8, { from: "alice", to: "bob" });
  assert.deepEqual(counts(world, "@bob"), [8, 0, 0]);
});

test("`activity` counts in rooms that are not joined, and entries in those that are", () => {
  const world = opened();
  world.frame({ type: "activity", room: "tea", top: 13, at: 1013, new: 2, mentions: 1 });
  assert.deepEqual([counts(world, "#tea"), place(world, "#tea").at], [[10, 2, 1], 1013]);
  assert.deepEqual(world.did("activity").map(({ key, unread, mentions }) => [key, unread, mentions]), [["#tea", 2, 1]]);
  world.step({ type: "join", room: "tea" });
  world.joined("tea", range(9, 14));
  assert.deepEqual(counts(world, "#tea"), [10, 3, 1], "the last one was not counted yet");
  world.message("tea", 15, { mentions: ["alice"] });
  world.message("tea", 16, { mention_all: true });
  world.message("tea", 17, { mentions: ["carol"] });
  world.message("tea", 18, { text: "@alice, from an old client" });
  world.frame({ type: "react", room: "tea", seq: 19, from: "bob" });
  assert.deepEqual(counts(world, "#tea"), [10, 7, 3]);
  world.frame({ type: "activity", room: "tea", top: 19, at: 1018, new: 4, mentions: 2 });
  assert.deepEqual(counts(world, "#tea"), [10, 7, 3], "a late one says nothing new");
});

test("a mark is sent once a second for a place, and after `hello` if the page knows more", () => {
  const world = opened();
  world.step({ type: "join", room: "tea" });
  world.joined("tea", range(9, 10));
  for (const seq of [11, 12, 13]) world.message("tea", seq);
  world.take();
  for (const seq of [11, 12]) world.step({ type: "read", key: "#tea", seq });
  world.step({ type: "read", key: "@bob", seq: 5 });
  assert.deepEqual(said(world), [["tea", 11], ["bob", 5]]);
  assert.deepEqual([counts(world, "#tea"), counts(world, "@bob")], [[12, 1, 0], [5, 0, 0]]);
  world.step({ type: "read", key: "#tea", seq: 13 });
  world.step({ type: "read", key: "#tea", seq: 12 });
  assert.deepEqual([said(world), counts(world, "#tea")], [[], [13, 0, 0]], "it never goes back");
  world.wake();
  assert.deepEqual(said(world), [["tea", 13]]);
  world.cut();
  world.step({ type: "read", key: "@bob", seq: 5 });
  world.open({ features: FEATURES, rooms: [{ ...tea, top: 14, read: 11, unread: 3 }], privates: [{ ...bob, read: 5, unread: 0 }] });
  assert.deepEqual([said(world), counts(world, "#tea")], [[["tea", 13]], [13, 1, 0]]);
});

test("a mark that waits is sent before the page is left", () => {
  const world = opened();
  world.step({ type: "read", key: "@bob", seq: 4 });
  assert.deepEqual(said(world), [["bob", 4]]);
  world.step({ type: "read", key: "@bob", seq: 5 });
  assert.deepEqual(said(world), []);
  world.step({ type: "background" });
  assert.deepEqual(said(world), [["bob", 5]]);
  world.step({ type: "background" });
  assert.deepEqual(said(world), [], "it is said once");
});

test("what is read elsewhere counts at once, and what came meanwhile stays unread", () => {
  const world = opened({ privates: [bob, { with: "carol", seq: 9, at: 900, read: 2, unread: 7 }] });
  fromBob(world, 6);
  world.frame({ type: "read", with: "bob", upto: 5, top: 5, unread: 0, mentions: 0 });
  assert.deepEqual(counts(world, "@bob"), [5, 1, 0]);
  world.frame({ type: "read", with: "carol", upto: 9, top: 9, unread: 0, mentions: 0 });
  assert.deepEqual(counts(world, "@carol"), [9, 0, 0]);
  assert.deepEqual(world.did("read").map(({ key }) => key), ["@bob", "@carol"]);
  world.frame({ type: "activity", room: "tea", top: 12, at: 1012, new: 2, mentions: 0 });
  world.frame({ type: "activity", room: "tea", top: 14, at: 1014, new: 1, mentions: 1 });
  world.frame({ type: "read", room: "tea", upto: 12, top: 12, unread: 0, mentions: 0 });
  assert.deepEqual([counts(world, "#tea"), said(world)], [[12, 1, 1], []]);
  world.step({ type: "read", key: "#tea", seq: 14 });
  world.frame({ type: "read", room: "tea", upto: 13, top: 14, unread: 1, mentions: 1 });
  assert.deepEqual(counts(world, "#tea"), [14, 0, 0], "this page has read more");
});

test("counts that `hello` leaves out follow", () => {
  const world = opened({ rooms: [{ ...tea, unread: undefined, mentions: undefined, read: 7 }] });
  assert.deepEqual(counts(world, "#tea"), [7, 0, 0]);
  world.message("tea", 11);
  world.frame({ type: "read", room: "tea", upto: 7, top: 10, unread: 3, mentions: 1 });
  assert.deepEqual(counts(world, "#tea"), [7, 3, 1]);
});

test("reading a part leaves the rest unread, as far as its messages are known", () => {
  const world = opened({ rooms: [{ ...tea, top: 200, read: 90, unread: UNREAD_MAX, mentions: 1 }] });
  world.step({ type: "join", room: "tea" });
  world.joined("tea", [], { seq: 200 });
  for (const seq of range(151, 200)) world.message("tea", seq, seq === 180 ? { from: "alice" } : seq === 190 ? { mentions: ["alice"] } : {});
  assert.deepEqual(counts(world, "#tea"), [180, 20, 1], "what is above an own message is read");
  world.step({ type: "read", key: "#tea", seq: 195 });
  assert.deepEqual(counts(world, "#tea"), [195, 5, 0]);
  const far = opened({ rooms: [{ ...tea, top: 200, read: 90, unread: UNREAD_MAX }] });
  far.step({ type: "read", key: "#tea", seq: 120 });
  assert.deepEqual(counts(far, "#tea"), [120, 80, 0], "not more than there are numbers");
});

test("counts end at a hundred", () => {
  const world = opened();
  world.frame({ type: "activity", room: "tea", top: 500, at: 1, new: 300, mentions: 120 });
  world.frame({ type: "activity", room: "tea", top: 501, at: 1, new: 1, mentions: 1 });
  assert.deepEqual(counts(world, "#tea"), [10, UNREAD_MAX, UNREAD_MAX]);
});

test("another epoch forgets the marks", () => {
  const world = opened();
  world.step({ type: "read", key: "#tea", seq: 10 });
  world.cut();
  world.take();
  world.open({ features: FEATURES, epoch: "e2", rooms: [{ ...tea, top: 3, read: 1, unread: 2 }], privates: [] });
  assert.deepEqual([said(world), counts(world, "#tea"), place(world, "@bob")], [[], [1, 2, 0], undefined]);
});

test("a new membership starts with everything read", () => {
  const world = opened({ privates: [] });
  const created = { type: "room", room: "~x", title: "Secret", access: "closed", archived: false, role: "member" };
  world.frame(created);
  assert.deepEqual(world.did("membership").map(({ room, isMember }) => [room, isMember]), [["~x", true]]);
  assert.deepEqual([place(world, "#~x").title, place(world, "#~x").access, counts(world, "#~x")[1]], ["Secret", "closed", 0]);
  assert.equal(inOrder([...world.client.account.places.values()], null)[0]?.key, "#~x", "and stands where it is seen");
  world.frame({ type: "activity", room: "~x", top: 8, at: 2000, new: 1, mentions: 0 });
  assert.deepEqual(counts(world, "#~x"), [7, 1, 0]);

  world.step({ type: "join", room: "cup" });
  world.joined("cup", range(1, 4));
  world.message("cup", 5);
  assert.deepEqual([place(world, "#cup").role, counts(world, "#cup")], [null, [5, 0, 0]], "a room that is only looked at");
  assert.equal(place(world, "#cup").at, 1005);
  assert.ok(!isWanted(place(world, "#cup"), true));
  world.take();
  world.step({ type: "read", key: "#cup", seq: 5 });
  world.frame({ ...created, room: "cup", title: "Cup", access: "open" });
  world.message("cup", 6);
  assert.deepEqual([place(world, "#cup").role, counts(world, "#cup")], ["member", [5, 1, 0]]);
  assert.deepEqual(said(world), [["cup", 5]], "the membership may have begun before what was read");
});

test("a room that is no longer the account's has nothing unread", () => {
  const world = opened({ rooms: [{ ...tea, unread: 3, read: 7 }] });
  world.frame({ type: "room", room: "tea", member: false });
  assert.deepEqual([place(world, "#tea").role, counts(world, "#tea")], [null, [null, 0, 0]]);
  assert.deepEqual(world.did("membership").map(({ room, isMember }) => [room, isMember]), [["tea", false]]);
  const away = opened({ rooms: [{ ...tea, unread: 3, read: 7 }] });
  away.cut();
  away.open({ features: FEATURES, rooms: [], privates: [bob] });
  assert.equal(place(away, "#tea").role, null, "also while this page was away");
  away.cut();
  away.open({ features: FEATURES, rooms: [tea], privates: [bob] });
  away.cut();
  away.open({ features: FEATURES, rooms: [], has_more_rooms: true, privates: [bob] });
  assert.equal(place(away, "#tea").role, "member", "a list that leaves rooms out says nothing about them");
});

test("rooms that `hello` leaves out are known from the list of rooms", () => {
  const world = opened({ rooms: [], has_more_rooms: true });
  assert.ok(world.client.account.hasMoreRooms);
  world.step({ type: "rooms", rooms: [{ name: "cup", title: "Cup", access: "closed", member: true }, { name: "jug", title: "Jug", member: false }] });
  assert.deepEqual(["#cup", "#jug"].map((key) => [place(world, key).title, place(world, key).role]), [["Cup", "member"], ["Jug", null]]);
});

test("levels go both ways, and decide what is notified", () => {
  const world = opened();
  world.frame({ type: "level", room: "tea", level: "none" });
  assert.equal(place(world, "#tea").level, "none");
  world.cut();
  world.step({ type: "level", key: "@bob", level: "mentions" });
  world.step({ type: "level", key: "#later", level: "none" });
  world.take();
  world.open({ features: FEATURES, rooms: [tea], privates: [bob] });
  assert.deepEqual(world.take(), [{ type: "level", with: "bob", level: "mentions" }]);
  assert.equal(place(world, "@bob").level, "mentions", "`hello` does not undo it");
  world.frame({ type: "room", room: "later", title: "Later", access: "open", archived: false, role: "member" });
  assert.deepEqual(world.take(), [{ type: "level", room: "later", level: "none" }], "once the user is a member");
  world.frame({ type: "room", room: "tea", title: "Tea", access: "open", archived: true, role: "moderator" });
  assert.deepEqual([place(world, "#tea").archived, place(world, "#tea").role, place(world, "#tea").level], [true, "moderator", "mentions"]);
  const wanted = /** @type {const} */ (["all", "mentions", "none"]).map((level) => [false, true].map((isMentioned) => isWanted({ ...place(world, "#tea"), level }, isMentioned)));
  assert.deepEqual(wanted, [[true, true], [false, true], [false, false]]);
  assert.deepEqual([0, 1].map((mentions) => isLoud({ ...place(world, "#tea"), archived: false, level: "none", unread: 3, mentions })), [false, true]);
  assert.ok(!isLoud({ ...place(world, "#tea"), archived: true, level: "all", unread: 3, mentions: 1 }), "an archived room is quiet");
});

test("unread places stand first, those with a mention before others, then the latest", () => {
  const at = (/** @type {string} */ room, /** @type {any} */ more) => ({ ...tea, room, ...more });
  const world = opened({
    rooms: [
      at("read, later", { at: 9 }),
      at("muted", { at: 8, unread: 2, read: 8, level: "none" }),
      at("archived", { at: 11, unread: 2, read: 8, archived: true }),
      at("unread", { at: 7, unread: 2, read: 8 }),
      at("same second", { at: 5 }),
      at("read, earlier", { at: 5 }),
      at("mentioned", { at: 1, unread: 2, read: 8, mentions: 1 }),
    ],
    privates: [],
  });
  const order = (/** @type {any} */ current = null) => inOrder([...world.client.account.places.values()], current).map(({ key }) => key.slice(1));
  assert.deepEqual(order(), ["mentioned", "unread", "read, later", "muted", "same second", "read, earlier", "archived"]);
  assert.deepEqual(order("#unread"), ["mentioned", "read, later", "muted", "unread", "same second", "read, earlier", "archived"], "the open one stays");
  world.frame({ type: "activity", room: "read, earlier", top: 11, at: 5, new: 0, mentions: 0 });
  assert.deepEqual(order().slice(-3), ["read, earlier", "same second", "archived"]);
  const written = (/** @type {string} */ room, /** @type {number} */ top) => world.frame({ type: "activity", room, top, at: 20 + top, new: 1, mentions: 0 });
  written("same second", 11);
  written("read, later", 11);
  assert.deepEqual(order().slice(0, 4), ["mentioned", "read, later", "same second", "unread"]);
  written("unread", 11);
  written("same second", 12);
  assert.deepEqual(order().slice(0, 4), ["mentioned", "read, later", "same second", "unread"], "no line moves that is unread already");
});

test("a server without marks leaves them to the page: what was there counts as read", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open({ privates: [{ with: "bob", seq: 4 }] });
  world.joined("tea", range(1, 3));
  world.message("tea", 4);
  fromBob(world, 5);
  assert.deepEqual([counts(world, "#tea"), counts(world, "@bob")], [[3, 1, 0], [4, 1, 0]]);
  world.take();
  world.step({ type: "read", key: "#tea", seq: 4 });
  assert.deepEqual([world.take(), world.client.wakeAt === world.now], [[], false]);
  world.cut();
  world.open({ privates: [{ with: "bob", seq: 5 }] });
  assert.deepEqual([counts(world, "#tea"), counts(world, "@bob")], [[4, 0, 0], [4, 1, 0]]);
});

test("an acknowledgement names the mentioned users who are no members", () => {
  const world = opened();
  world.step({ type: "join", room: "tea" });
  world.joined("tea", []);
  world.take();
  world.step({ type: "send", item: { nonce: "n1", key: "#tea", text: "@carol @all", at: 1, state: "waiting", mentions: ["carol"], mentionAll: true } });
  assert.deepEqual(world.take(), [{ type: "message", room: "tea", text: "@carol @all", nonce: "n1", mentions: ["carol"], mention_all: true }]);
  assert.deepEqual(world.kept.get("n1").mentions, ["carol"]);
  world.cut();
  world.open({ features: FEATURES, rooms: [tea] });
  world.joined("tea", [], { seq: 10 });
  const again = world.take().find(({ type }) => type === "message");
  assert.deepEqual([again.mentions, again.mention_all], [["carol"], true], "sent again as it was");
  world.frame({ type: "ack", nonce: "n1", room: "tea", seq: 11, timestamp: 1, duplicate: false, not_members: ["carol"] });
  assert.deepEqual(world.did("not-members").map(({ key, names }) => [key, names]), [["#tea", ["carol"]]]);
});

test("a new role holds at once", () => {
  const world = opened();
  assert.equal(world.client.isAdministrator, false);
  for (const role of ["administrator", "member"]) {
    world.frame({ type: "rights", role });
    assert.equal(world.client.isAdministrator, role === "administrator");
    assert.equal(world.did("role").length, 1);
    world.take();
  }
});
