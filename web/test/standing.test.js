import assert from "node:assert/strict";
import { test } from "node:test";

import { standingOf } from "../logic/standing.js";
import { World } from "./world.js";

/** @type {Parameters<typeof standingOf>[0]} */
const member = { place: { role: "member", archived: false }, room: { status: "in" }, about: null, start: 3 };
const guest = { ...member, place: { role: null, archived: false } };

test("members write, guests join first", () => {
  assert.equal(standingOf(member), "write");
  assert.equal(standingOf(guest), "join");
  assert.equal(standingOf({ ...guest, start: 0 }), "write", "an empty room is the user's who writes first");
  assert.equal(standingOf({ ...guest, start: 0, about: { members: 2, archived: false } }), "join", "it has members");
});

test("who came first keeps the box when others write, however late the server says who is a member", () => {
  const first = { ...guest, start: 0, about: { members: 1, archived: false } };
  assert.equal(standingOf({ ...first, writers: 1 }), "write");
  assert.equal(standingOf({ ...first, writers: 0 }), "join", "the member has not written");
  assert.equal(standingOf({ ...first, writers: 1, about: { members: 2, archived: false } }), "join", "one of them has not written");
});

test("a resume does not make a guest of who came first", () => {
  const world = new World();
  const start = () => world.client.conversations.get("#tea")?.start;
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea");
  world.message("tea", 1);
  world.cut();
  world.open();
  world.joined("tea", [], { seq: 2, recovered: true });
  assert.equal(start(), 0);
  world.cut();
  world.open();
  world.joined("tea", [2, 3], { recovered: false });
  assert.equal(start(), 3, "the log began anew");
});

test("nobody writes in an archived room", () => {
  assert.equal(standingOf({ ...member, place: { role: "moderator", archived: true } }), "archived");
  assert.equal(standingOf({ ...guest, about: { members: 2, archived: true } }), "archived");
});

test("a room that does not exist is offered to whoever comes first", () => {
  const missing = { ...guest, start: 0, isMissing: true };
  assert.equal(standingOf(missing), "unmade");
  assert.equal(standingOf({ ...missing, writers: 1 }), "write", "somebody has made it by writing");
  assert.equal(standingOf({ ...missing, place: member.place }), "write");
});

test("a room that cannot be read says why", () => {
  for (const [reason, standing] of /** @type {const} */ ([["removed", "removed"], ["closed", "closed"], ["left", "left"], ["forbidden", "forbidden"], ["not_found", "forbidden"]])) {
    assert.equal(standingOf({ ...guest, room: { status: "refused", reason } }), standing);
  }
  assert.equal(standingOf({ ...guest, room: { status: "refused", reason: "forbidden" }, isMissing: true }), "missing");
});
