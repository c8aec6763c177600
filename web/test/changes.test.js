import assert from "node:assert/strict";
import { test } from "node:test";

import { lastEditable, may, targetOf } from "../logic/changing.js";
import { Client } from "../logic/client.js";
import { Link, Log } from "./log-server.js";
import { range, World } from "./world.js";

const FEATURES = ["edit", "delete", "react", "reply", "mentions", "read"];

/** Alice in the room `tea`, in which bob has written some messages. */
function inTea(seqs = range(1, 5), hello = {}) {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open({ features: FEATURES, ...hello });
  const seq = seqs.at(-1) ?? 0;
  world.joined("tea", seqs, { from: seqs[0] ?? seq + 1 });
  world.frame({ type: "replayed", room: "tea", upto: seq });
  world.take();
  world.outputs.length = 0;
  return world;
}

/** @param {World} world @param {string} type @param {number} seq @param {number} target @param {any} [more] */
function change(world, type, seq, target, more = {}) {
  return world.frame({ type, room: "tea", seq, target, from: "bob", timestamp: 2000 + seq, ...more });
}

/** @param {World} world @param {any} item */
function make(world, item) {
  const { outbox } = world.client;
  return world.step({ type: "send", item: { key: "#tea", text: "", at: outbox.timestampFor(world.now), state: "waiting", ...item } });
}

/** @param {World} world @param {number} seq */
const at = (world, seq) => /** @type {any} */ (world.client.conversations.get("#tea")?.at(seq));
/** @param {World} world @param {number} seq */
const shown = (world, seq) => /** @type {any} */ (world.client.look("#tea", { seq }));
/** @param {any} message */
const chips = (message) => (message.reactions ?? []).map((/** @type {any} */ { emoji, count, mine }) => `${emoji}${count}${mine ? " mine" : ""}`);

test("a join and the pages after it ask for messages only, where the server has that", () => {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open({ features: FEATURES });
  assert.equal(world.take()[0].fold, true);
  world.frame({ type: "joined", room: "tea", epoch: "e1", seq: 300, recovered: false, online: 1, members: [], from: 100, ref: "1" });
  for (const seq of [100, 200]) world.message("tea", seq, { updated: 0 });
  assert.deepEqual(world.seqs("#tea"), [100, 200]);
  assert.equal(world.client.conversations.get("#tea")?.seen, null, "a replay that is cut short does not resume in its middle");
  world.frame({ type: "replayed", room: "tea", upto: 300 });
  const tea = /** @type {any} */ (world.client.conversations.get("#tea"));
  assert.deepEqual([tea.seen, tea.from, tea.upto, tea.isAtEnd, tea.hasOlder], [300, 100, 300, true, true]);
  world.step({ type: "load", key: "#tea", part: "older" });
  const [older] = world.take();
  assert.deepEqual([older.before, older.fold, older.limit], [100, true, 100]);
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, from: 1, upto: 99, has_more: false, messages: [{ type: "message", seq: 7, from: "bob", text: "seven", timestamp: 7 }], ref: older.ref });
  assert.deepEqual([world.seqs("#tea"), tea.from, tea.hasOlder], [[7, 100, 200], 1, false]);
});

test("a resume is dense, and a join of an older server asks for what it knows", () => {
  const world = inTea();
  world.cut();
  world.open({ features: FEATURES });
  assert.deepEqual(world.take(), [{ type: "join", room: "tea", since: 5, epoch: "e1", ref: "2" }]);
  const old = new World();
  old.step({ type: "join", room: "tea" });
  old.open();
  assert.deepEqual(old.take(), [{ type: "join", room: "tea", ref: "1" }]);
});

test("changes are applied to the messages that they name", () => {
  const world = inTea();
  change(world, "edit", 6, 2, { text: "other words", mentions: ["alice"] });
  assert.deepEqual([at(world, 2).text, at(world, 2).edited, at(world, 2).mentions], ["other words", 2006, ["alice"]]);
  for (const [seq, from, emoji] of /** @type {const} */ ([[7, "bob", "👍"], [8, "carol", "🎉"], [9, "alice", "🎉"], [10, "dave", "👍"]])) change(world, "react", seq, 2, { from, emoji });
  assert.deepEqual(chips(at(world, 2)), ["👍2", "🎉2 mine"]);
  change(world, "unreact", 11, 2, { from: "bob", emoji: "👍" });
  change(world, "unreact", 12, 2, { from: "dave", emoji: "👍" });
  change(world, "react", 13, 2, { from: "bob", emoji: "👍" });
  assert.deepEqual(chips(at(world, 2)), ["🎉2 mine", "👍1"], "in the order in which the counts last rose from 0");
  change(world, "delete", 14, 2);
  assert.deepEqual([at(world, 2).deleted, at(world, 2).text, chips(at(world, 2)), at(world, 2).edited, at(world, 2).mentions], [true, "", [], undefined, undefined]);
  assert.deepEqual([world.seqs("#tea"), world.client.conversations.get("#tea")?.isAtEnd], [range(1, 5), true]);
});

test("a change that a state contains already is not applied again", () => {
  const world = inTea([1]);
  world.message("tea", 2, { text: "as it is now", updated: 5, edited: 2005, reactions: [{ emoji: "👍", count: 1, users: ["bob"] }] });
  change(world, "react", 3, 2, { emoji: "👍" });
  change(world, "edit", 4, 2, {});
  change(world, "edit", 5, 2, { text: "as it is now" });
  assert.deepEqual([at(world, 2).text, chips(at(world, 2)), at(world, 2).updated], ["as it is now", ["👍1"], 5]);
  change(world, "react", 6, 2, { emoji: "👍", from: "carol" });
  assert.deepEqual(chips(at(world, 2)), ["👍2"]);
});

test("an edit without its text waits for the one that replaced it", () => {
  const world = inTea();
  change(world, "edit", 6, 2);
  assert.equal(at(world, 2).text, "text 2");
  change(world, "edit", 7, 2, { text: "new" });
  assert.equal(at(world, 2).text, "new");
});

test("changes that come before the page of their message are kept for it", () => {
  const world = inTea([100]);
  world.step({ type: "load", key: "#tea", part: "older" });
  const [older] = world.take();
  change(world, "react", 101, 40, { emoji: "👍" });
  change(world, "delete", 102, 41);
  change(world, "react", 103, 42, { emoji: "👍" });
  const message = (/** @type {number} */ seq, more = {}) => ({ type: "message", seq, from: "bob", text: `text ${seq}`, timestamp: seq, ...more });
  const reactions = [{ emoji: "👍", count: 1, users: ["bob"] }];
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, from: 40, upto: 99, has_more: true, messages: [message(40), message(41), message(42, { updated: 103, reactions })], ref: older.ref });
  assert.deepEqual([chips(at(world, 40)), at(world, 41).deleted, chips(at(world, 42))], [["👍1"], true, ["👍1"]]);
});

test("a page is asked for again if more changes came than are kept for it", () => {
  const world = inTea([100]);
  world.step({ type: "load", key: "#tea", part: "older" });
  const [older] = world.take();
  for (const seq of range(101, 5_200)) change(world, "react", seq, 40, { emoji: "👍", from: `user ${seq}` });
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, from: 40, upto: 99, has_more: true, messages: [{ type: "message", seq: 40, from: "bob", text: "", timestamp: 1 }], ref: older.ref });
  assert.deepEqual([world.seqs("#tea"), world.take().map(({ before, fold }) => [before, fold])], [[100], [[100, true]]]);
});

test("numbers of changes do not count as messages that are missing", () => {
  const world = inTea([1, 900]);
  change(world, "react", 901, 1, { emoji: "👍" });
  world.message("tea", 902);
  const tea = /** @type {any} */ (world.client.conversations.get("#tea"));
  assert.deepEqual([world.seqs("#tea"), tea.isAtEnd, tea.countAfter(900)], [[1, 900, 902], true, 1]);
});

test("whose a reaction is, is known from its names, its changes, or the server's answer", () => {
  const world = inTea([1]);
  const users = ["a", "b", "c", "d", "e"];
  world.message("tea", 2, { reactions: [{ emoji: "👍", count: 9, users }, { emoji: "🎉", count: 5, users }, { emoji: "❤️", count: 2, users: ["a", "alice"] }] });
  const mine = () => at(world, 2).reactions.map((/** @type {any} */ reaction) => reaction.mine);
  assert.deepEqual(mine(), [undefined, false, true]);
  world.step({ type: "reactions", key: "#tea", seq: 2, updated: 7, mine: new Map([["👍", false]]) });
  assert.deepEqual(mine(), [undefined, false, true], "of another state");
  world.step({ type: "reactions", key: "#tea", seq: 2, updated: 0, mine: new Map([["👍", true], ["🎉", false], ["❤️", true]]) });
  assert.deepEqual(mine(), [true, false, true]);
  change(world, "unreact", 3, 2, { emoji: "👍", from: "alice" });
  assert.deepEqual(mine(), [false, false, true]);
});

test("a change is shown at once, sent, and shown from the log", () => {
  const world = inTea();
  make(world, { kind: "react", nonce: "n1", target: 2, emoji: "👍" });
  assert.deepEqual([chips(shown(world, 2)), shown(world, 2).pending, chips(at(world, 2))], [["👍1 mine"], ["react"], []]);
  assert.deepEqual(world.take(), [{ type: "react", room: "tea", target: 2, emoji: "👍", nonce: "n1" }]);
  world.frame({ type: "ack", nonce: "n1", room: "tea", seq: 6, timestamp: 1, duplicate: false });
  assert.deepEqual([chips(shown(world, 2)), shown(world, 2).pending, world.kept.size], [["👍1 mine"], undefined, 0]);
  change(world, "react", 6, 2, { emoji: "👍", from: "alice", nonce: "n1" });
  assert.deepEqual([chips(shown(world, 2)), world.client.outbox.items], [["👍1 mine"], []]);
});

test("an own edit that is stored does not hide a later one", () => {
  const world = inTea([500]);
  make(world, { kind: "edit", nonce: "n1", target: 40, text: "here" });
  world.frame({ type: "ack", nonce: "n1", room: "tea", seq: 501, timestamp: 1, duplicate: false });
  world.take();
  world.step({ type: "load", key: "#tea", part: "around", seq: 40 });
  const messages = [{ type: "message", seq: 40, from: "alice", text: "elsewhere", timestamp: 40, edited: 41, updated: 502 }];
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, from: 40, upto: 40, messages, ref: world.take()[0].ref });
  assert.equal(shown(world, 40).text, "elsewhere");
});

test("a private conversation of which a page is in memory misses no change", () => {
  const world = inTea();
  world.frame({ type: "private", from: "bob", to: "alice", seq: 1, text: "one", timestamp: 1 });
  world.cut();
  world.client.conversations.get("@bob")?.restart("e1", 1);
  world.open({ features: FEATURES, privates: [{ with: "bob", seq: 1 }] });
  world.take();
  world.client.conversations.get("@bob")?.append({ messages: [], from: 1, upto: 1 });
  world.cut();
  world.open({ features: FEATURES, privates: [{ with: "bob", seq: 4 }] });
  assert.ok(world.take().some((frame) => frame.with === "bob" && frame.after === 1), "what came meanwhile is asked for");
});

test("a reaction that is there, and one that is taken back in time, change nothing that is shown", () => {
  const world = inTea();
  change(world, "react", 6, 2, { emoji: "👍", from: "alice" });
  world.step({ type: "offline" });
  make(world, { kind: "react", nonce: "n1", target: 2, emoji: "👍" });
  assert.deepEqual(chips(shown(world, 2)), ["👍1 mine"]);
  make(world, { kind: "unreact", nonce: "n2", target: 2, emoji: "👍" });
  make(world, { kind: "react", nonce: "n3", target: 3, emoji: "🎉" });
  make(world, { kind: "unreact", nonce: "n4", target: 3, emoji: "🎉" });
  assert.deepEqual([chips(shown(world, 2)), chips(shown(world, 3))], [[], []]);
});

test("changes of a message that is not stored yet wait for it, and keep the order", () => {
  const world = inTea();
  world.step({ type: "offline" });
  world.write("#tea", "one");
  make(world, { kind: "edit", nonce: "n-edit", targetNonce: "n-one", text: "uno" });
  make(world, { kind: "react", nonce: "n-react", targetNonce: "n-one", emoji: "👍" });
  world.write("#tea", "two");
  make(world, { kind: "delete", nonce: "n-delete", target: 4 });
  const [item] = world.client.outbox.messagesOf("#tea");
  assert.deepEqual([world.client.shownItem(/** @type {any} */ (item)).text, shown(world, 4).deleted], ["uno", true]);
  world.take();
  world.open({ features: FEATURES });
  world.joined("tea", [], { seq: 5, recovered: true });
  assert.deepEqual(world.take().slice(1).map(({ nonce }) => nonce), ["n-one"], "nothing overtakes");
  world.frame({ type: "ack", nonce: "n-one", room: "tea", seq: 6, timestamp: 1, duplicate: false });
  assert.deepEqual(world.take(), [
    { type: "edit", room: "tea", target: 6, text: "uno", nonce: "n-edit" },
    { type: "react", room: "tea", target: 6, emoji: "👍", nonce: "n-react" },
    { type: "message", room: "tea", text: "two", nonce: "n-two" },
    { type: "delete", room: "tea", target: 4, nonce: "n-delete" },
  ]);
  assert.deepEqual(world.kept.get("n-edit").target, 6, "kept with its number, if the page is closed now");
});

test("the number is kept before the message is dropped", () => {
  const world = inTea();
  world.write("#tea", "one");
  make(world, { kind: "delete", nonce: "n-delete", targetNonce: "n-one" });
  world.outputs.length = 0;
  world.frame({ type: "ack", nonce: "n-one", room: "tea", seq: 6, timestamp: 1, duplicate: false });
  assert.deepEqual(world.outputs.filter(({ do: what }) => what === "keep" || what === "drop").map(({ do: what, item, nonce }) => [what, item?.nonce ?? nonce]), [["keep", "n-delete"], ["drop", "n-one"]]);
});

test("a change of a message that came into the log meanwhile names it by its number", () => {
  const world = inTea();
  world.write("#tea", "one");
  world.message("tea", 6, { from: "alice", text: "one", nonce: "n-one" });
  world.take();
  make(world, { kind: "edit", nonce: "n-edit", targetNonce: "n-one", text: "uno" });
  make(world, { nonce: "n-answer", text: "answer", replyToNonce: "n-one" });
  assert.deepEqual(world.take().map(({ target, reply_to: replyTo }) => target ?? replyTo), [6, 6]);
});

test("a change whose message is nowhere is refused", () => {
  const world = inTea();
  make(world, { kind: "edit", nonce: "n-edit", targetNonce: "n-gone", text: "uno" });
  assert.deepEqual([world.take(), world.client.outbox.find("n-edit")?.reason], [[], "not_found"]);
});

test("a refused edit is taken back, stays with its reason, and can be tried again", () => {
  const world = inTea();
  make(world, { kind: "edit", nonce: "n-edit", target: 2, text: "new" });
  assert.equal(shown(world, 2).text, "new");
  world.frame({ type: "error", code: "forbidden", message: "", nonce: "n-edit" });
  assert.deepEqual([shown(world, 2).text, shown(world, 2).failed[0].reason, shown(world, 2).pending], ["text 2", "forbidden", undefined]);
  assert.equal(world.did("refused").length, 1);
  world.take();
  world.step({ type: "retry", nonce: "n-edit" });
  assert.deepEqual([world.take().length, shown(world, 2).text], [1, "new"]);
  world.frame({ type: "error", code: "forbidden", message: "", nonce: "n-edit" });
  world.step({ type: "discard", nonce: "n-edit" });
  assert.deepEqual([shown(world, 2).failed, world.kept.size], [undefined, 0]);
});

test("a refused reaction is taken back and forgotten; so is a deletion of what is gone", () => {
  const world = inTea();
  make(world, { kind: "react", nonce: "n1", target: 2, emoji: "👍" });
  make(world, { kind: "delete", nonce: "n2", target: 3 });
  make(world, { kind: "delete", nonce: "n3", target: 4 });
  world.frame({ type: "error", code: "too_many", message: "", nonce: "n1" });
  world.frame({ type: "error", code: "not_found", message: "", nonce: "n2" });
  world.frame({ type: "error", code: "forbidden", message: "", nonce: "n3" });
  assert.deepEqual(world.did("refused").map(({ item }) => item.reason), ["too_many", "not_found", "forbidden"]);
  assert.deepEqual([chips(shown(world, 2)), shown(world, 3).deleted, shown(world, 4).failed.length], [[], undefined, 1]);
  assert.deepEqual([...world.kept.keys()], ["n3"]);
});

test("changes are sent again after `unavailable`, in order", () => {
  const world = inTea();
  make(world, { kind: "react", nonce: "n1", target: 2, emoji: "👍" });
  make(world, { kind: "unreact", nonce: "n2", target: 2, emoji: "👍" });
  world.take();
  world.frame({ type: "error", code: "unavailable", message: "", nonce: "n1" });
  world.frame({ type: "error", code: "unavailable", message: "", nonce: "n2" });
  world.wake();
  assert.deepEqual(world.take().map(({ nonce }) => nonce), ["n1", "n2"]);
});

test("what waits for a refused message stays with it, and does not delay others", () => {
  const world = inTea();
  world.write("#tea", "one");
  make(world, { kind: "edit", nonce: "n-edit", targetNonce: "n-one", text: "uno" });
  world.write("#tea", "two");
  world.take();
  world.frame({ type: "error", code: "bad_request", message: "", nonce: "n-one" });
  assert.deepEqual(world.take().map(({ nonce }) => nonce), ["n-two"]);
  world.step({ type: "retry", nonce: "n-one" });
  world.frame({ type: "ack", nonce: "n-one", room: "tea", seq: 7, timestamp: 1, duplicate: false });
  assert.deepEqual(world.take().map(({ nonce }) => nonce), ["n-one", "n-edit"]);
  world.write("#tea", "three");
  make(world, { kind: "edit", nonce: "n-edit-3", targetNonce: "n-three", text: "tres" });
  world.frame({ type: "error", code: "bad_request", message: "", nonce: "n-three" });
  world.step({ type: "discard", nonce: "n-three" });
  assert.equal(world.client.outbox.find("n-edit-3"), undefined);
});

test("a message that is deleted before it is refused is gone", () => {
  const world = inTea();
  world.write("#tea", "one");
  make(world, { kind: "delete", nonce: "n-delete", targetNonce: "n-one" });
  world.frame({ type: "error", code: "forbidden", message: "", nonce: "n-one" });
  assert.deepEqual([world.client.outbox.items, world.kept.size], [[], 0]);
});

test("a reply to a message that is not stored yet waits for its number", () => {
  const world = inTea();
  world.step({ type: "offline" });
  world.write("#tea", "one");
  make(world, { nonce: "n-answer", text: "answer", replyToNonce: "n-one" });
  world.take();
  world.open({ features: FEATURES });
  world.joined("tea", [], { seq: 5, recovered: true });
  world.take();
  world.frame({ type: "ack", nonce: "n-one", room: "tea", seq: 6, timestamp: 1, duplicate: false });
  assert.deepEqual(world.take(), [{ type: "message", room: "tea", text: "answer", nonce: "n-answer", reply_to: 6 }]);
});

test("changes in a private conversation name the other user, and mention nobody", () => {
  const world = inTea();
  make(world, { key: "@bob", kind: "edit", nonce: "n1", target: 3, text: "new", mentions: ["bob"] });
  make(world, { key: "@bob", kind: "react", nonce: "n2", target: 3, emoji: "👍" });
  assert.deepEqual(world.take(), [
    { type: "edit", to: "bob", target: 3, text: "new", nonce: "n1" },
    { type: "react", to: "bob", target: 3, emoji: "👍", nonce: "n2" },
  ]);
});

test("quotes that are not in memory are asked for together, once, and follow changes", () => {
  const world = inTea([100]);
  world.message("tea", 101, { reply_to: 7 });
  assert.equal(world.client.quote("#tea", 7), undefined);
  world.step({ type: "quotes", key: "#tea", seqs: [7, 8, 100] });
  world.step({ type: "quotes", key: "#tea", seqs: [7, 8, 100] });
  const [asked, ...rest] = world.take();
  assert.deepEqual([asked.seqs, asked.fold, rest], [[7, 8], true, []]);
  change(world, "edit", 102, 7, { text: "edited meanwhile" });
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, from: 7, upto: 8, has_more: false, messages: [{ type: "message", seq: 7, from: "bob", text: "seven", timestamp: 7 }], ref: asked.ref });
  assert.deepEqual([world.client.quote("#tea", 7)?.text, world.client.quote("#tea", 8)], ["edited meanwhile", null]);
  change(world, "delete", 103, 7);
  assert.equal(world.client.quote("#tea", 7)?.deleted, true);
  world.step({ type: "quotes", key: "#tea", seqs: [7, 8] });
  assert.deepEqual(world.take(), []);
  assert.deepEqual(world.seqs("#tea"), [100, 101]);
});

test("quotes that were on their way when the connection was lost are asked for again", () => {
  const world = inTea([100]);
  world.step({ type: "quotes", key: "#tea", seqs: [7] });
  world.cut();
  world.open({ features: FEATURES });
  world.joined("tea", [], { seq: 100, recovered: true });
  world.take();
  world.step({ type: "quotes", key: "#tea", seqs: [7] });
  assert.deepEqual(world.take().map(({ seqs }) => seqs), [[7]]);
});

test("a jump asks for what is around a message", () => {
  const world = inTea([500]);
  world.step({ type: "load", key: "#tea", part: "around", seq: 40 });
  const [around] = world.take();
  assert.deepEqual([around.around, around.fold, around.after], [40, true, undefined]);
  const messages = [30, 40, 50].map((seq) => ({ type: "message", seq, from: "bob", text: "", timestamp: seq }));
  world.frame({ type: "history", room: "tea", epoch: "e1", first: 1, from: 30, upto: 50, has_more_before: true, has_more_after: true, messages, ref: around.ref });
  const tea = /** @type {any} */ (world.client.conversations.get("#tea"));
  assert.deepEqual([world.seqs("#tea"), tea.from, tea.upto, tea.hasOlder, tea.isAtEnd], [[30, 40, 50], 30, 50, true, false]);
  change(world, "react", 501, 40, { emoji: "👍" });
  world.message("tea", 502);
  assert.deepEqual([chips(at(world, 40)), tea.countAfter(50), world.seqs("#tea")], [["👍1"], 1, [30, 40, 50]]);
});

test("what is deleted, or mentions the user no more, no longer counts as unread", () => {
  const rooms = [{ room: "tea", title: "Tea", top: 5, at: 1, read: 5, unread: 0, mentions: 0, level: "all" }];
  const world = inTea(range(1, 5), { rooms });
  const place = world.client.account.of("#tea");
  const counts = () => [place.unread, place.mentions];
  world.message("tea", 6, { mentions: ["alice"] });
  world.message("tea", 7);
  assert.deepEqual(counts(), [2, 1]);
  change(world, "react", 8, 6, { emoji: "👍" });
  change(world, "edit", 9, 7, { text: "@alice", mentions: ["alice"] });
  assert.deepEqual(counts(), [2, 2]);
  change(world, "delete", 10, 6);
  assert.deepEqual(counts(), [1, 1]);
  change(world, "delete", 11, 2);
  assert.deepEqual(counts(), [1, 1], "it was read");
  world.frame({ type: "read", room: "tea", upto: 5, top: 7, unread: 2, mentions: 1 });
  assert.deepEqual(counts(), [1, 1], "the counts of the server are older than the changes");
  world.frame({ type: "read", room: "tea", upto: 6, top: 7, unread: 1, mentions: 0 });
  assert.deepEqual(counts(), [1, 1], "what was deleted is read there");
  world.step({ type: "read", key: "#tea", seq: 7 });
  assert.deepEqual(counts(), [0, 0]);
});

test("own changes read nothing, and changes do not move a conversation up", () => {
  const rooms = [{ room: "tea", title: "Tea", top: 5, at: 1, read: 3, unread: 2, mentions: 0, level: "all" }];
  const world = inTea(range(1, 5), { rooms });
  const { arrival, at: before } = world.client.account.of("#tea");
  change(world, "react", 6, 5, { from: "alice", emoji: "👍" });
  const place = world.client.account.of("#tea");
  assert.deepEqual([place.unread, place.read, place.arrival, place.at], [2, 3, arrival, before]);
  assert.deepEqual(world.did("arrived"), []);
});

test("what the user may do with a message", () => {
  const world = inTea([], { limits: { edit_seconds: 100 }, rooms: [{ room: "tea", title: "Tea", top: 0, at: 0, read: 0, unread: 0, level: "all" }] });
  world.message("tea", 1, { from: "alice", timestamp: 1000 });
  world.message("tea", 2);
  const mayDo = (/** @type {number} */ seq, now = 1050) => Object.entries(may(world.client, shown(world, seq), now)).filter(([, is]) => is).map(([what]) => what);
  assert.deepEqual([mayDo(1), mayDo(1, 1101), mayDo(2)], [["edit", "delete", "react", "reply"], ["delete", "react", "reply"], ["react", "reply"]]);
  assert.equal(lastEditable(world.client, "#tea", 1050)?.seq, 1);
  world.client.account.of("#tea").role = "moderator";
  assert.deepEqual(mayDo(2), ["delete", "react", "reply"]);
  change(world, "delete", 3, 2);
  assert.deepEqual(mayDo(2), []);
  world.open({ features: [] });
  assert.deepEqual(mayDo(1), [], "of a server that has none of it");
});

/** @param {number} seed */
function generator(seed) {
  let state = seed * 2_654_435_761 + 1;
  return (/** @type {number} */ below) => {
    state = Math.imul(state ^ (state >>> 15), 2_246_822_519) + 1_013_904_223;
    state ^= state >>> 13;
    return (state >>> 0) % below;
  };
}

const EMOJI = ["👍", "🎉", "❤️"];

/** A page of a user: a client, what it keeps, and its connection. */
class Device {
  /** @type {Link | null} */
  link = null;
  /** @type {Map<string, any>} */
  kept = new Map();
  /** Frames of the client that the server has not taken yet. @type {any[]} */
  toServer = [];

  /**
   * @param {string} user
   * @param {Map<string, Log>} logs
   * @param {(below: number) => number} random
   */
  constructor(user, logs, random) {
    this.user = user;
    this.logs = logs;
    this.random = random;
    this.client = new Client(user);
    this.now = 0;
    this.step({ type: "start" });
    this.step({ type: "join", room: "tea" });
  }

  /** @param {any} input */
  step(input) {
    for (const output of this.client.step(input, { now: this.now, random: () => this.random(1000) / 1000 })) {
      if (output.do === "send") this.toServer.push(output.frame);
      if (output.do === "keep") this.kept.set(output.item.nonce, structuredClone(output.item));
      if (output.do === "drop") this.kept.delete(output.nonce);
      if (output.do === "close") this.#lose();
    }
  }

  #lose() {
    this.link = null;
    this.toServer = [];
  }

  cut() {
    if (this.link) {
      this.#lose();
      this.step({ type: "closed", code: 1006, wasOpen: true });
    }
  }

  /** The page is loaded again: only what it has kept is left. */
  reload() {
    this.#lose();
    const items = [...this.kept.values()].toSorted((a, b) => a.at - b.at);
    this.client = new Client(this.user);
    this.step({ type: "start" });
    this.step({ type: "join", room: "tea" });
    for (const item of items) this.step({ type: "send", item: { ...item, state: item.state === "failed" ? "failed" : "waiting" } });
  }

  /** Moves time on. */
  tick() {
    this.now += 300;
    if (this.client.wakeAt !== null && this.now >= this.client.wakeAt) this.step({ type: "timer" });
    if (!this.link && this.client.state === "connecting") {
      this.link = new Link(this.logs, this.user, this.random);
      this.step({ type: "opened" });
    }
  }

  /** One frame in each direction. */
  turn(timestamp = 0) {
    const { link } = this;
    if (!link) return;
    const frame = this.toServer.shift();
    if (frame) link.receive(frame, timestamp);
    link.pump();
    const come = link.out.shift();
    if (come) this.step({ type: "frame", frame: come });
  }

  /** Whether everything is sent, and everything has come. */
  get isDone() {
    const { client, link } = this;
    return client.state === "open" && link !== null && link.isIdle && this.toServer.length === 0 && client.outbox.unsent === 0 && [...client.conversations.values()].every((conversation) => !conversation.isReplaying && !conversation.isBehind);
  }

  /** The user does something. */
  act() {
    const { client, random } = this;
    const key = /** @type {const} */ (["#tea", "@bob", "@alice"])[random(5) < 3 ? 0 : this.user === "alice" ? 1 : 2];
    if (!key) return;
    const messages = [...(client.conversations.get(key)?.entries ?? []).map((entry) => client.shown(key, entry)), ...client.outbox.messagesOf(key).map((item) => client.shownItem(item))];
    const chosen = messages[Math.max(0, messages.length - 1 - random(12))];
    const about = chosen && targetOf(chosen);
    const item = { key, text: "", nonce: `${this.user} ${made++}`, at: client.outbox.timestampFor(this.now), state: "waiting" };
    const send = (/** @type {any} */ more) => this.step({ type: "send", item: { ...item, ...more } });
    const what = random(16);
    if (what < 4) send({ text: item.nonce });
    else if (what < 5 && chosen) send({ text: item.nonce, ...(chosen.seq ? { replyTo: chosen.seq } : { replyToNonce: chosen.nonce }) });
    else if (what < 7 && chosen && (may(client, chosen, 0).edit || random(5) === 0)) send({ kind: "edit", text: item.nonce, ...about });
    else if (what < 8 && chosen && (may(client, chosen, 0).delete || random(5) === 0)) send({ kind: "delete", ...about });
    else if (what < 12 && chosen) {
      const emoji = EMOJI[random(EMOJI.length)];
      const isMine = chosen.reactions?.find((reaction) => reaction.emoji === emoji)?.mine;
      send({ kind: isMine && random(4) > 0 ? "unreact" : "react", emoji, ...about });
    } else if (what < 15) {
      const part = /** @type {const} */ (["older", "newer", "around", "latest"])[random(4)];
      const end = client.conversations.get(key)?.end ?? 0;
      this.step({ type: "load", key, part, seq: 1 + random(end + 1) });
    } else {
      this.step({ type: "quotes", key, seqs: messages.flatMap(({ replyTo }) => replyTo ?? []) });
    }
  }
}

let made = 0;

/**
 * What a page shows of a message, and what the log says.
 * @param {any} entry
 */
const factsOf = ({ seq, from, text, edited = 0, deleted = false, replyTo, reactions = [] }) => ({
  seq, from, text, edited, deleted, replyTo: deleted ? undefined : replyTo,
  reactions: reactions.map((/** @type {any} */ { emoji, count, users }) => `${emoji}${count ?? users.length}`),
});

test("whatever happens to connections, pages show what the log says, and changes are made once", () => {
  const only = Number(process.env.SEED ?? 0);
  for (let seed = only || 1; seed <= (only || Number(process.env.RUNS ?? 150)); seed += 1) {
    const random = generator(seed);
    /** @type {Map<string, Log>} */
    const logs = new Map([["#tea", new Log()]]);
    const devices = ["alice", "alice", "bob"].map((user) => new Device(user, logs, random));
    const told = `SEED=${seed}`;
    for (let turn = 0; turn < 500 || !devices.every(({ isDone }) => isDone); turn += 1) {
      assert.ok(turn < 3_000, `${told}: it comes to rest`);
      for (const device of devices) {
        const isBusy = turn < 500;
        if (isBusy && random(4) === 0) device.act();
        if (isBusy && random(60) === 0) device.cut();
        if (isBusy && random(150) === 0) device.reload();
        if (random(3) > 0 || !isBusy) device.turn(turn);
        device.tick();
      }
    }
    for (const device of devices) {
      for (const conversation of device.client.conversations.values()) {
        const { key, entries, from, upto, end } = conversation;
        const topic = key.startsWith("#") ? key : [device.user, key.slice(1)].toSorted().join(" ");
        const log = logs.get(topic) ?? new Log();
        const place = `${told} ${device.user} ${key}`;
        const expected = log.entries.filter((entry) => log.isMessage(entry) && entry.seq >= from && entry.seq <= upto);
        assert.deepEqual(entries.map(factsOf), expected.map((entry) => factsOf({ ...entry, ...log.state(entry.seq) })), place);
        if (conversation.isLoaded && conversation.isAtEnd) assert.equal(end, log.end, place);
        for (const { seq, reactions = [] } of entries) {
          for (const { emoji, users, count, mine } of reactions) {
            const all = log.state(seq).reactions.find((reaction) => reaction.emoji === emoji)?.users ?? [];
            assert.equal(mine ?? all.includes(device.user), all.includes(device.user), `${place} ${seq} ${emoji}`);
            assert.ok(users.every((name) => all.includes(name)) && users.length <= count, `${place} ${seq} ${emoji}`);
          }
        }
        for (const { replyTo } of entries) {
          const quote = replyTo ? conversation.quote(replyTo) : undefined;
          if (quote) assert.deepEqual(factsOf(quote), factsOf({ ...log.at(quote.seq), ...log.state(quote.seq) }), `${place} quotes ${replyTo}`);
        }
      }
      assert.deepEqual(device.client.outbox.items.filter(({ state }) => state !== "failed"), [], told);
      assert.deepEqual([...device.kept.values()].filter(({ state }) => state !== "failed"), [], told);
    }
    for (const log of logs.values()) {
      const nonces = log.entries.map(({ nonce }) => nonce);
      assert.equal(new Set(nonces).size, nonces.length, told);
    }
  }
});
