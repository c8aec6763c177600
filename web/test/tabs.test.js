import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Tabs } from "../tabs.js";

/** The locks and the storage of a browser with several tabs. */
class Browser {
  /** @type {Map<string, (() => void)[]>} what waits for each lock that is held */
  #held = new Map();
  /** @type {Map<string, string>} */
  notes = new Map();

  /** @param {Map<string, string>} session the `sessionStorage` of the tab that runs from now on */
  enter(session, { hasLocks = true } = {}) {
    const locks = {
      /** @param {string} name @param {{ signal?: AbortSignal }} options @param {() => Promise<void>} act */
      request: async (name, { signal }, act) => {
        if (this.#held.has(name)) {
          await new Promise((resolve, reject) => {
            this.#held.get(name)?.push(() => resolve(undefined));
            signal?.addEventListener("abort", () => reject(signal.reason));
          });
        }
        this.#held.set(name, this.#held.get(name) ?? []);
        await act();
      },
      query: async () => ({ held: [...this.#held.keys()].map((name) => ({ name })) }),
    };
    define("navigator", hasLocks ? { locks } : {});
    define("sessionStorage", storageOf(session));
    define("localStorage", storageOf(this.notes));
    define("addEventListener", () => {});
  }

  /** @param {string} tab whose page is gone */
  leave(tab) {
    const [next, ...others] = this.#held.get(`chat tab ${tab}`) ?? [];
    this.#held.delete(`chat tab ${tab}`);
    if (next) {
      this.#held.set(`chat tab ${tab}`, others);
      next();
    }
  }
}

/** @param {Map<string, string>} items */
function storageOf(items) {
  return new Proxy(
    {
      getItem: (/** @type {string} */ key) => items.get(key) ?? null,
      setItem: (/** @type {string} */ key, /** @type {string} */ value) => items.set(key, value),
      removeItem: (/** @type {string} */ key) => items.delete(key),
    },
    { ownKeys: () => [...items.keys()], getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }) },
  );
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function define(name, value) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

// The timer of an `AbortSignal` does not keep Node running.
const running = setInterval(() => {}, 1_000);
after(() => clearInterval(running));

test("a page knows the page before it in its tab, and a copy of the tab does not take that name", async (context) => {
  const { timeout } = AbortSignal;
  context.mock.method(AbortSignal, "timeout", () => timeout.call(AbortSignal, 50));
  const browser = new Browser();
  const session = new Map();
  browser.enter(session);
  const first = new Tabs();
  assert.equal(await first.previous, null);
  browser.leave(first.name);
  const second = new Tabs();
  assert.equal(await second.previous, first.name);
  browser.enter(new Map(session));
  const copy = new Tabs();
  assert.notEqual(copy.name, second.name, "it has a name at once");
  assert.equal(await copy.previous, null);
});

test("a page that is loaded again waits until the page before it is gone", async () => {
  const browser = new Browser();
  browser.enter(new Map());
  const { name, previous } = new Tabs();
  await previous;
  const again = new Tabs();
  setTimeout(() => browser.leave(name), 50);
  assert.equal(await again.previous, name);
});

test("where the browser refuses to show which tabs are open, a tab gets its own messages back and adopts no others", async () => {
  const refuse = () => Promise.reject(new DOMException("refused", "SecurityError"));
  const refusals = [{ locks: { request: refuse, query: refuse } }, Object.defineProperty({}, "locks", { get: () => assert.fail("no module") })];
  for (const navigator of refusals) {
    new Browser().enter(new Map());
    define("navigator", navigator);
    const { name, previous } = new Tabs();
    assert.equal(await previous, null);
    const again = new Tabs();
    assert.equal(await again.previous, name);
    for (let i = 0; i < 3; i += 1) assert.deepEqual(await again.closed(["other"]), new Set());
  }
});

test("a tab without any storage has a name", async () => {
  new Browser().enter(new Map());
  define("sessionStorage", undefined);
  const tabs = new Tabs();
  assert.match(tabs.name, /^[0-9a-f]{16}$/);
  assert.equal(await tabs.previous, null);
});

for (const hasLocks of [true, false]) {
  test(`a tab that is missing twice in a row is closed, ${hasLocks ? "with" : "without"} locks`, async () => {
    const browser = new Browser();
    const session = new Map();
    browser.enter(session, { hasLocks });
    /** @param {string[]} names */
    const leave = (...names) => names.forEach((name) => (hasLocks ? browser.leave(name) : browser.notes.delete(`chat tab ${name}`)));
    const page = new Tabs();
    const other = page.name;
    await page.previous;
    browser.enter(new Map(), { hasLocks });
    const tabs = new Tabs();
    const closed = async () => [...(await tabs.closed([other, tabs.name, "old"]))];
    assert.deepEqual(await closed(), []);
    assert.deepEqual(await closed(), ["old"], "closed long ago");

    leave(other);
    assert.deepEqual(await closed(), ["old"], "missing once");
    browser.enter(session, { hasLocks });
    const again = new Tabs();
    assert.equal(await again.previous, other);
    assert.deepEqual(await closed(), ["old"], "it was loaded again");

    leave(other, again.name);
    assert.deepEqual(await closed(), ["old"]);
    assert.deepEqual(await closed(), [other, "old"]);
  });
}

test("a tab that is opened between two looks, and is loaded again at the second, is open", async () => {
  const browser = new Browser();
  browser.enter(new Map());
  const tabs = new Tabs();
  assert.deepEqual(await tabs.closed([]), new Set());
  browser.enter(new Map());
  const other = new Tabs();
  await other.previous;
  browser.leave(other.name);
  assert.deepEqual(await tabs.closed([other.name]), new Set());
});

test("without locks, a tab that has not looked for long is closed", async (context) => {
  const browser = new Browser();
  browser.enter(new Map(), { hasLocks: false });
  context.mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  const { name: other, previous } = new Tabs();
  await previous;
  const tabs = new Tabs();
  assert.equal(await tabs.previous, null, "a copy of the tab");
  const closed = async () => [...(await tabs.closed([other]))];
  context.mock.timers.tick(120_000);
  await closed();
  assert.deepEqual(await closed(), [], "timers in the background run once a minute");
  context.mock.timers.tick(120_000);
  await closed();
  assert.deepEqual(await closed(), [other]);
});
