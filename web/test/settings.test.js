import assert from "node:assert/strict";
import { test } from "node:test";

import { Memory } from "../settings.js";

/** A `localStorage` that may be full. */
const storage = {
  isFull: false,
  /** @type {Map<string, string>} */
  items: new Map(),
  /** @param {string} key */
  getItem: (key) => storage.items.get(key) ?? null,
  /**
   * @param {string} key
   * @param {string} value
   */
  setItem(key, value) {
    if (storage.isFull) throw new DOMException("no room", "QuotaExceededError");
    storage.items.set(key, value);
  },
  /** @param {string} key */
  removeItem: (key) => storage.items.delete(key),
};
Object.defineProperty(globalThis, "localStorage", { value: storage, configurable: true });

test("a user is welcomed once, while the account is new", () => {
  const now = Math.floor(Date.now() / 1_000);
  const [anna, boris, clara] = ["anna", "boris", "clara"].map((name) => new Memory(name));
  anna?.welcome(now - 60);
  assert.deepEqual(anna?.steps, ["hello", "invite", "room"]);
  if (anna) anna.steps = [];
  anna?.welcome(now - 90);
  assert.deepEqual(anna?.steps, [], "she has closed it");
  boris?.welcome(now - 7 * 86_400);
  // An older server does not say when.
  clara?.welcome();
  assert.deepEqual([boris?.steps, clara?.steps], [[], []]);
});

test("without storage, the latest draft counts until it is sent", () => {
  const memory = new Memory("alice");
  memory.setDraft("#tea", "half");
  storage.isFull = true;
  memory.setDraft("#tea", "half a thought");
  assert.equal(memory.draft("#tea"), "half a thought");
  memory.setDraft("#tea", "");
  assert.equal(memory.draft("#tea"), "");
  memory.setDraft("#tea", "another");
  storage.isFull = false;
  memory.setDraft("#tea", "another one");
  assert.equal(memory.draft("#tea"), "another one");
});
