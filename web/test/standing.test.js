import assert from "node:assert/strict";
import { test } from "node:test";

import { standingOf } from "../logic/standing.js";

/** @type {Parameters<typeof standingOf>[0]} */
const member = { place: { role: "member", archived: false }, room: { status: "in" }, about: null, end: 3 };
const guest = { ...member, place: { role: null, archived: false } };

test("members write, guests join first", () => {
  assert.equal(standingOf(member), "write");
  assert.equal(standingOf(guest), "join");
  assert.equal(standingOf({ ...guest, end: 0 }), "write", "an empty room is the user's who writes first");
  assert.equal(standingOf({ ...guest, end: 0, about: { members: 2, archived: false } }), "join", "it has members");
});

test("nobody writes in an archived room", () => {
  assert.equal(standingOf({ ...member, place: { role: "moderator", archived: true } }), "archived");
  assert.equal(standingOf({ ...guest, about: { members: 2, archived: true } }), "archived");
});

test("a room that cannot be read says why", () => {
  for (const [reason, standing] of /** @type {const} */ ([["removed", "removed"], ["closed", "closed"], ["left", "left"], ["forbidden", "forbidden"], ["not_found", "forbidden"]])) {
    assert.equal(standingOf({ ...guest, room: { status: "refused", reason } }), standing);
  }
  assert.equal(standingOf({ ...guest, room: { status: "refused", reason: "forbidden" }, isMissing: true }), "missing");
});
