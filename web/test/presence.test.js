import assert from "node:assert/strict";
import { test } from "node:test";

import { ASKED_EVERY_MS, Presence } from "../presence.js";
import { World } from "./world.js";

test("the server is asked which partners are online: again after a while, and when there are others", async () => {
  /** @type {string[]} */
  const asked = [];
  globalThis.fetch = async (path) => {
    asked.push(String(path));
    return Response.json({ users: [{ username: "bob", avatar: "/uploads/bob.webp", online: true }, { username: "carol", avatar: "", online: false }] });
  };
  const world = new World();
  let changes = 0;
  /** @type {string[]} */
  const looks = [];
  const presence = new Presence(world.client, { changed: () => (changes += 1), looks: (name, picture) => looks.push(`${name} ${picture}`) });
  await presence.update(0);
  world.open({ features: ["read"], privates: [{ with: "carol", seq: 5, at: 2, read: 5, unread: 0 }, { with: "bob", seq: 1, at: 1, read: 1, unread: 0 }] });
  await presence.update(0);
  await presence.update(ASKED_EVERY_MS - 1);
  assert.deepEqual([asked, changes], [["/api/users?name=bob&name=carol"], 1]);
  assert.deepEqual(looks, ["bob /uploads/bob.webp", "carol "]);
  assert.deepEqual(["bob", "carol"].map((name) => world.client.isOnline(name)), [true, false]);
  world.frame({ type: "private", from: "dave", to: "alice", seq: 1, text: "hi", timestamp: 3 });
  await presence.update(ASKED_EVERY_MS - 1);
  await presence.update(2 * ASKED_EVERY_MS);
  assert.deepEqual(asked.slice(1), Array(2).fill("/api/users?name=bob&name=carol&name=dave"));
  world.cut();
  await presence.update(world.now + 1_000);
  assert.ok(world.client.isOnline("bob"), "a short interruption changes nothing");
  await presence.update(world.now + 2_000);
  assert.ok(!world.client.isOnline("bob"));
});
