import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Tabs } from "../tabs.js";

/** The locks and the storage of a browser with several tabs. */
class Browser {
  /** @type {Map<string, (() => void)[]>} who waits for each lock that is held */
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

test("a tab keeps its name when its page is loaded again, and a copy of it gets another", async (context) => {
  const { timeout } = AbortSignal;
  context.mock.method(AbortSignal, "timeout", () => timeout.call(AbortSignal, 50));
  const browser = new Browser();
  const session = new Map();
  browser.enter(session);
  const name = await new Tabs().name;
  browser.leave(name);
  assert.equal(await new Tabs().name, name);
  browser.enter(new Map(session));
  assert.notEqual(await new Tabs().name, name);
});

test("a page that is loaded again waits for its name until the page before it is gone", async () => {
  const browser = new Browser();
  browser.enter(new Map());
  const name = await new Tabs().name;
  const again = new Tabs();
  setTimeout(() => browser.leave(name), 50);
  assert.equal(await again.name, name);
});

for (const hasLocks of [true, false]) {
  test(`a tab that is missing twice in a row is closed, ${hasLocks ? "with" : "without"} locks`, async () => {
    const browser = new Browser();
    const session = new Map();
    browser.enter(session, { hasLocks });
    const other = await new Tabs().name;
    const leave = () => (hasLocks ? browser.leave(other) : browser.notes.delete(`chat tab ${other}`));
    browser.enter(new Map(), { hasLocks });
    const tabs = new Tabs();
    const closed = async () => [...(await tabs.closed([other, await tabs.name, "old"]))];
    assert.deepEqual(await closed(), []);
    assert.deepEqual(await closed(), ["old"], "closed long ago");

    leave();
    assert.deepEqual(await closed(), ["old"], "missing once");
    browser.enter(session, { hasLocks });
    assert.equal(await new Tabs().name, other);
    assert.deepEqual(await closed(), ["old"], "it was loaded again");

    leave();
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
  const other = await new Tabs().name;
  browser.leave(other);
  assert.deepEqual(await tabs.closed([other]), new Set());
});

test("without locks, a tab that has not looked for long is closed", async (context) => {
  const browser = new Browser();
  browser.enter(new Map(), { hasLocks: false });
  context.mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  const other = await new Tabs().name;
  const tabs = new Tabs();
  assert.notEqual(await tabs.name, other, "a copy of the tab");
  const closed = async () => [...(await tabs.closed([other]))];
  context.mock.timers.tick(120_000);
  await closed();
  assert.deepEqual(await closed(), [], "timers in the background run once a minute");
  context.mock.timers.tick(120_000);
  await closed();
  assert.deepEqual(await closed(), [other]);
});
