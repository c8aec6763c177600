import assert from "node:assert/strict";
import { test } from "node:test";

import { handOver, loadRooms } from "../account-rooms.js";
import { Memory } from "../settings.js";
import { World } from "./world.js";

/** A browser's `localStorage`, and the requests that the page makes. */
const items = new Map();
/** @type {string[]} */
const asked = [];
/** The answers, by method and path; others are refused. @type {Record<string, any>} */
let answers = {};
Object.defineProperty(globalThis, "localStorage", {
  value: {
    getItem: (/** @type {string} */ key) => items.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ value) => items.set(key, value),
    removeItem: (/** @type {string} */ key) => items.delete(key),
  },
  configurable: true,
});
globalThis.fetch = async (path, { method = "GET" } = {}) => {
  asked.push(`${method} ${path}`);
  const body = answers[`${method} ${path}`];
  return Response.json(body ?? { error: "no" }, { status: body ? 200 : 403 });
};

const FEATURES = ["mentions", "read", "rooms", "typing"];
const room = (/** @type {string} */ name, /** @type {number} */ top, /** @type {number} */ read) => ({ room: name, title: name, access: "open", role: "member", top, at: 1, read, unread: top - read, mentions: 0, level: "mentions" });

/** @param {any} [hello] */
function opened(hello) {
  const world = new World();
  world.open({ features: FEATURES, ...hello });
  return { world, step: (/** @type {any} */ input) => void world.step(input) };
}

test("rooms, marks and muted conversations of the browser are handed over once", async () => {
  const memory = new Memory("alice");
  items.set(memory.keyOf("rooms"), JSON.stringify(["tea", "cup", "a/b", "gone"]));
  items.set(memory.keyOf("reads"), JSON.stringify({ epoch: "e1", upTo: { "#tea": 9, "#cup": 4, "@bob": 3, "@carol": 99, "#none": 5 } }));
  items.set(memory.keyOf("muted"), JSON.stringify(["#tea", "#cup"]));
  items.set(memory.keyOf("listed"), "[]");
  items.set(memory.keyOf("draft #tea"), "half a thought");
  answers = { "PUT /api/rooms/cup/membership": {}, "PUT /api/rooms/a%2Fb/membership": {} };
  const { world, step } = opened({ rooms: [room("tea", 10, 7)], privates: [{ with: "bob", seq: 5, at: 1, read: 4, unread: 1 }, { with: "carol", seq: 2, at: 1, read: 0, unread: 2 }] });
  assert.ok(memory.isOld);
  await handOver(world.client, memory, step);
  assert.deepEqual(asked.splice(0), ["PUT /api/rooms/cup/membership", "PUT /api/rooms/a%2Fb/membership", "PUT /api/rooms/gone/membership"]);
  const said = () => world.take().map(({ type, room, with: name, upto, level }) => [type, room ?? name, upto ?? level]);
  assert.deepEqual(said(), [["read", "tea", 9], ["level", "tea", "none"]], "marks never go back, nor beyond the end");
  world.frame({ type: "room", room: "cup", title: "Cup", access: "open", archived: false, role: "member" });
  assert.deepEqual(said(), [["level", "cup", "none"]]);
  assert.ok(!memory.isOld);
  assert.deepEqual([...items.keys()], [memory.keyOf("draft #tea")]);
});

test("marks of another epoch are not handed over", async () => {
  const memory = new Memory("alice");
  items.set(memory.keyOf("reads"), JSON.stringify({ epoch: "e0", upTo: { "#tea": 9 } }));
  const { world, step } = opened({ rooms: [room("tea", 10, 7)] });
  await handOver(world.client, memory, step);
  assert.deepEqual([world.take(), memory.isOld], [[], false]);
});

test("rooms beyond the list of `hello` are asked for, as far as they are the user's", async () => {
  const { world, step } = opened({ rooms: [], has_more_rooms: true });
  const listed = (/** @type {string} */ name, member = true) => ({ name, title: name.toUpperCase(), access: "open", archived: false, member });
  answers = {
    "GET /api/rooms": { rooms: [listed("a"), listed("b")], next: "b&" },
    "GET /api/rooms?after=b%26": { rooms: [listed("c"), listed("d", false)], next: "d" },
  };
  asked.length = 0;
  await loadRooms(world.client, step);
  assert.deepEqual(asked.splice(0), ["GET /api/rooms", "GET /api/rooms?after=b%26"]);
  assert.deepEqual([...world.client.account.places.values()].map(({ key, role }) => [key, role]), [["#a", "member"], ["#b", "member"], ["#c", "member"], ["#d", null]]);
});
