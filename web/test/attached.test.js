import assert from "node:assert/strict";
import { test } from "node:test";

import { boxOf, chosen, cleanName, columnsOf, isShownItself, kindOf, labelOf, previewOf, summaryOf } from "../logic/files.js";
import { AT_ONCE, SILENT_MS, Uploads } from "../logic/uploads.js";
import { World } from "./world.js";

/** Alice in the room `tea`. */
function inTea() {
  const world = new World();
  world.step({ type: "join", room: "tea" });
  world.open({ features: ["edit", "delete", "react", "reply", "files"] });
  world.joined("tea");
  world.take();
  return world;
}

const file = (local = "l1", more = {}) => ({ local, name: `${local}.png`, type: "image/png", size: 10, ...more });

/**
 * @param {World} world
 * @param {string} text
 * @param {any[]} files
 */
function writeWith(world, text, files, key = "#tea") {
  world.step({ type: "send", item: { nonce: `n-${text}`, key, text, files, at: world.client.outbox.timestampFor(world.now), state: "waiting" } });
}

test("a message waits for its files, and later messages of its conversation wait for it", () => {
  const world = inTea();
  writeWith(world, "look", [file("l1"), file("l2")]);
  world.write("#tea", "after");
  world.write("@bob", "elsewhere");
  assert.deepEqual(world.take().map(({ text }) => text), ["elsewhere"]);
  const [one, two] = [file("l1", { id: "A" }), file("l2", { id: "B", width: 4, height: 3 })];
  world.step({ type: "files", nonce: "n-look", files: [one, file("l2")] });
  assert.deepEqual(world.take(), [], "not before the last one");
  world.step({ type: "files", nonce: "n-look", files: [one, two] });
  const [look, after] = world.take();
  assert.deepEqual(look, { type: "message", room: "tea", text: "look", nonce: "n-look", files: ["A", "B"] });
  assert.equal(after.text, "after");
  assert.deepEqual(world.kept.get("n-look").files, [one, two], "a reload does not upload them again");
});

test("an edit and a reaction do not wait for the files of another message", () => {
  const world = inTea();
  world.message("tea", 1, { from: "alice", nonce: "n-1" });
  writeWith(world, "look", [file()]);
  world.step({ type: "send", item: { nonce: "c1", key: "#tea", kind: "react", text: "", emoji: "👍", target: 1, at: 5000, state: "waiting" } });
  world.step({ type: "send", item: { nonce: "c2", key: "#tea", kind: "edit", text: "new", targetNonce: "n-look", at: 5001, state: "waiting" } });
  assert.deepEqual(world.take().map(({ type }) => type), ["react"], "the edit waits for its own message");
});

test("a file that cannot be sent fails its message, which holds up no other; it can be tried again", () => {
  const world = inTea();
  writeWith(world, "look", [file()]);
  world.write("#tea", "after");
  world.step({ type: "files", nonce: "n-look", files: [file()], reason: "file_too_large" });
  assert.deepEqual(world.take().map(({ text }) => text), ["after"]);
  assert.equal(world.client.outbox.find("n-look")?.reason, "file_too_large");
  world.step({ type: "retry", nonce: "n-look" });
  assert.deepEqual(world.take(), []);
  world.step({ type: "files", nonce: "n-look", files: [file("l1", { id: "A" })] });
  assert.deepEqual(world.take().map(({ files }) => files), [["A"]]);
});

test("files are shown live, replayed and while they wait; an edit leaves them, a deletion takes them", () => {
  const world = inTea();
  const files = [{ id: "A", name: "a.png", type: "image/png", size: 10, width: 4, height: 3 }];
  world.message("tea", 1, { from: "alice", text: "", files });
  const shown = () => world.client.look("#tea", { seq: 1 });
  assert.deepEqual(shown()?.files, files);
  world.frame({ type: "edit", room: "tea", seq: 2, target: 1, from: "alice", text: "words", timestamp: 2000 });
  assert.deepEqual([shown()?.text, shown()?.files], ["words", files]);
  world.frame({ type: "delete", room: "tea", seq: 3, target: 1, from: "alice", timestamp: 2001 });
  assert.equal(shown()?.files, undefined);
  writeWith(world, "look", [file()]);
  assert.deepEqual(world.client.look("#tea", { nonce: "n-look" })?.files, [file()]);
  world.step({ type: "send", item: { nonce: "c3", key: "#tea", kind: "delete", text: "", targetNonce: "n-look", at: 9000, state: "waiting" } });
  assert.equal(world.client.look("#tea", { nonce: "n-look" })?.files, undefined);
});

/** Uploads with a clock. */
class Queue {
  now = 0;
  uploads = new Uploads();

  /** @param {any} input */
  step(input) {
    return this.uploads.step(input, { now: this.now, random: () => 0.5 }).filter((output) => output.do !== "changed");
  }

  /** @param {any} input */
  started(input) {
    return this.step(input).flatMap((output) => (output.do === "start" ? output.local : []));
  }
}

/** @param {string[]} locals */
function online(...locals) {
  const queue = new Queue();
  queue.step({ type: "network", isOpen: true });
  for (const local of locals) queue.step({ type: "add", local });
  return queue;
}

test("uploads start in order, some at a time, and only with a connection", () => {
  const queue = new Queue();
  for (const local of ["a", "b", "c"]) assert.deepEqual(queue.started({ type: "add", local }), []);
  assert.equal(queue.uploads.wakeAt, Infinity);
  assert.deepEqual(queue.started({ type: "network", isOpen: true }), ["a", "b"].slice(0, AT_ONCE));
  assert.deepEqual(queue.started({ type: "done", local: "b" }), ["c"]);
  queue.step({ type: "progress", local: "a", sent: 0.25 });
  assert.equal(queue.uploads.of("a")?.sent, 0.25);
});

test("a lost network and a busy server are tried again later, and at once when the connection is back", () => {
  const queue = online("a");
  queue.step({ type: "refused", local: "a", status: 0 });
  assert.deepEqual([queue.uploads.of("a")?.state, queue.uploads.of("a")?.sent], ["waiting", 0]);
  assert.ok(queue.uploads.wakeAt > 0 && queue.uploads.wakeAt < 2_000);
  queue.now = queue.uploads.wakeAt;
  assert.deepEqual(queue.started({ type: "timer" }), ["a"]);
  queue.step({ type: "refused", local: "a", status: 503, retryAfterSeconds: 30 });
  assert.equal(queue.uploads.wakeAt, queue.now + 30_000);
  queue.step({ type: "network", isOpen: false });
  assert.equal(queue.uploads.wakeAt, Infinity);
  assert.deepEqual(queue.started({ type: "network", isOpen: true }), ["a"]);
});

test("a refusal for good is said, and tried again only by the user", () => {
  for (const [status, reason] of /** @type {const} */ ([[413, "file_too_large"], [507, "no_space"], [400, "file_refused"], [404, "file_refused"]])) {
    const queue = online("a", "b");
    assert.deepEqual(queue.step({ type: "refused", local: "a", status }), [{ do: "failed", local: "a", reason }]);
    assert.equal(queue.uploads.of("b")?.state, "sending", "others go on");
    queue.now += 100_000;
    queue.step({ type: "progress", local: "b", sent: 0.5 });
    assert.deepEqual(queue.started({ type: "timer" }), []);
    assert.deepEqual(queue.started({ type: "retry", local: "a" }), ["a"]);
  }
  assert.deepEqual(online("a").step({ type: "refused", local: "a", status: 401 }), [{ do: "check-session" }]);
});

test("a removed file ends its request; one that does not go on is ended and tried again", () => {
  const queue = online("a", "b", "c");
  assert.deepEqual(queue.step({ type: "remove", local: "a" }), [{ do: "stop", local: "a" }, { do: "start", local: "c" }]);
  assert.deepEqual(queue.step({ type: "refused", local: "a", status: 0 }), [], "it is gone");
  queue.step({ type: "progress", local: "c", sent: 0.1 });
  queue.now = SILENT_MS - 1;
  queue.step({ type: "progress", local: "c", sent: 0.2 });
  queue.now = queue.uploads.wakeAt;
  assert.equal(queue.now, SILENT_MS);
  assert.deepEqual(queue.step({ type: "timer" }), [{ do: "stop", local: "b" }]);
  assert.equal(queue.uploads.of("b")?.state, "waiting");
});

test("what browsers show is shown; everything else is a card", () => {
  const kind = (/** @type {string} */ type, more = {}) => kindOf({ type, ...more });
  assert.equal(kind("image/png", { width: 1, height: 1 }), "picture");
  assert.equal(kind("image/png"), "card", "no space can be reserved");
  for (const type of ["image/svg+xml", "text/html", "application/pdf", "image/tiff", ""]) assert.equal(kind(type, { width: 1, height: 1 }), "card");
  assert.deepEqual([kind("video/mp4"), kind("audio/mpeg")], ["video", "audio"]);
});

test("the space of a picture is known from its size", () => {
  assert.deepEqual(boxOf({ width: 4000, height: 3000 }), { width: 400, height: 300 });
  assert.deepEqual(boxOf({ width: 200, height: 100 }), { width: 200, height: 100 }, "never larger than it is");
  assert.deepEqual(boxOf({ width: 30, height: 3000 }), { width: 96, height: 320 });
  assert.deepEqual(boxOf({ width: 9000, height: 10 }), { width: 400, height: 96 });
  assert.deepEqual([1, 2, 3, 4, 5, 10].map(columnsOf), [1, 2, 3, 2, 3, 3]);
});

test("large pictures are shown by their preview, and moving ones move", () => {
  const picture = { id: "A", name: "a b%.png", type: "image/png", size: 900_000, width: 1000, height: 10 };
  assert.equal(previewOf(picture, true), "/files/A/a%20b%25.png?preview");
  assert.equal(previewOf({ ...picture, size: 1000, width: 500 }, true), "/files/A/a%20b%25.png");
  assert.equal(previewOf({ ...picture, type: "image/gif" }, true), "/files/A/a%20b%25.png");
  assert.equal(previewOf({ ...picture, type: "image/gif" }, false), "/files/A/a%20b%25.png?preview");
});

test("names have no paths and nothing that turns the writing direction", () => {
  assert.equal(cleanName("../../etc/passwd"), "passwd");
  assert.equal(cleanName("C:\\temp\\a.txt"), "a.txt");
  assert.equal(cleanName("gpj.\u202Eexe"), "gpj.exe");
  assert.deepEqual([cleanName(".."), cleanName("\u200B"), cleanName("a/")], ["file", "file", "file"]);
  assert.deepEqual(["a.tar.gz", "a", "a.PDF"].map((name) => labelOf({ name, type: "application/octet-stream" })), ["GZ", "", "PDF"]);
  assert.equal(labelOf({ name: "a", type: "application/pdf" }), "PDF");
  const photos = (/** @type {number} */ n) => `${n} photos`;
  const SIZE = { width: 4, height: 3 };
  const plan = { name: "plan.pdf", type: "application/pdf", size: 1 };
  assert.deepEqual(
    [summaryOf({ text: "hi", files: [file("a")] }, photos), summaryOf({ text: "", files: [file("a", SIZE), plan, file("b", SIZE)] }, photos), summaryOf({ text: "", files: [plan] }, photos)],
    ["hi", "2 photos, plan.pdf", "plan.pdf"],
  );
});

test("a picture of very many pixels is not decoded by those who have not asked for it", () => {
  const of = (/** @type {Partial<import("../logic/outbox.js").FileOf>} */ more) => ({ id: "i", name: "a", type: "image/gif", size: 40_000, width: 800, height: 800, ...more });
  const huge = { width: 20_000, height: 20_000 };
  assert.deepEqual([of({}), of(huge)].map((file) => previewOf(file, true)), ["/files/i/a", "/files/i/a?preview"]);
  assert.deepEqual([of({}), of(huge), of({ size: 7_000_000 })].map(isShownItself), [true, false, false]);
});

test("too many and too large files are not taken, and the others are", () => {
  const files = [1, 2, 3, 900].map((size) => ({ size }));
  const { taken, tooLarge, isTooMany } = chosen(files, 8, { files_max: 10, file_max_bytes: 100 });
  assert.deepEqual([taken, tooLarge, isTooMany], [[{ size: 1 }, { size: 2 }], [{ size: 900 }], true]);
  assert.equal(chosen(files, 0, {}).isTooMany, false);
});
