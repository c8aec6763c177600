import assert from "node:assert/strict";
import { test } from "node:test";

import { SAID_EVERY_MS, Typing, TYPING_MS } from "../logic/typing.js";
import { World } from "./world.js";

/** A client that has joined a room. */
function joined() {
  const world = new World();
  world.client.addTyping(Typing);
  world.step({ type: "join", room: "tea" });
  world.open();
  world.joined("tea", [1]);
  world.take();
  return world;
}

test("the server is told that the user types: not at every key, and that it is over", () => {
  const world = joined();
  const typing = (/** @type {boolean} */ isActive, key = "#tea") => {
    world.step({ type: "typing", key, isActive });
    return world.take();
  };
  assert.deepEqual(typing(true), [{ type: "typing", room: "tea", active: true }]);
  assert.deepEqual(typing(true), []);
  assert.deepEqual(typing(true, "@bob"), [{ type: "typing", to: "bob", active: true }]);
  world.now += SAID_EVERY_MS;
  assert.deepEqual(typing(true).length, 1);
  assert.deepEqual(typing(false), [{ type: "typing", room: "tea", active: false }]);
  assert.deepEqual(typing(false), [], "once");
  assert.deepEqual(typing(true).length, 1, "a new text begins at once");
  world.now += TYPING_MS;
  assert.deepEqual(typing(false), [], "it has ended by itself");
  world.cut();
  assert.deepEqual(typing(true), []);
});

test("typing ends after a while, with a message, and with the connection", () => {
  const world = joined();
  const types = (/** @type {string} */ user, active = true) => world.frame({ type: "typing", room: "tea", user, active });
  const names = () => world.client.typing?.of("#tea");
  types("bob");
  world.now += 1_000;
  types("carol");
  assert.deepEqual(names(), ["bob", "carol"]);
  world.now += TYPING_MS - 2_000;
  types("bob");
  assert.deepEqual(names(), ["bob", "carol"], "who goes on keeps the place");
  world.wake();
  assert.deepEqual(names(), ["bob"]);
  assert.ok(world.did("show").some(({ what }) => what === "typing"));
  world.message("tea", 2, { from: "bob" });
  assert.deepEqual(names(), []);
  types("dave");
  types("dave", false);
  assert.deepEqual(names(), []);
  world.frame({ type: "typing", from: "bob", active: true });
  assert.deepEqual(world.client.typing?.of("@bob"), ["bob"]);
  world.cut();
  assert.deepEqual(world.client.typing?.of("@bob"), []);
});
