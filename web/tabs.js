// Which tabs of this browser are open. A message that is not sent yet stays with
// its tab; another tab adopts it once that tab is closed. Should two tabs ever
// send the same message, its nonce makes it one.

/**
 * Each tab has a name, and holds a Web Lock of that name while its page lives,
 * also while the page is frozen or slow.
 */
export class Tabs {
  /** The name of this tab. It stays the same when the page is loaded again. */
  name = claim();
  /** The tabs that were missing at the last call of `closed`. @type {Set<string>} */
  #missing = new Set();

  /**
   * Finds out which tabs are closed; to be called every `LOOK_EVERY_MS`. A tab is
   * closed if it is missing at two calls in a row: missing once, it may be loading
   * its page again.
   * @param {Iterable<string>} tabs
   * @returns {Promise<Set<string>>}
   */
  async closed(tabs) {
    const { openTabs } = await means();
    const open = await openTabs(await this.name);
    const before = this.#missing;
    this.#missing = new Set([...tabs].filter((tab) => !open.has(tab)));
    return new Set([...this.#missing].filter((tab) => before.has(tab)));
  }
}

/** @returns {Promise<string>} the name that this tab had before its page was loaded again, or a new one */
async function claim() {
  const { hold } = await means();
  const kept = storage(() => sessionStorage.getItem(NAME));
  // A tab that is a copy of another has a copy of its name, too.
  if (kept && (await hold(kept, AbortSignal.timeout(CLAIM_TIMEOUT_MS)))) {
    return kept;
  }
  const name = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  storage(() => sessionStorage.setItem(NAME, name));
  await hold(name);
  return name;
}

/** Browsers give locks only on https and localhost. */
async function means() {
  return navigator.locks ? { hold, openTabs } : import("./tab-notes.js");
}

/**
 * Shows the other tabs that this one is open, until its page is gone.
 * @param {string} name
 * @param {AbortSignal} [signal] ends the waiting for a page that holds the name
 * @returns {Promise<boolean>} false if another tab has the name
 */
function hold(name, signal) {
  return new Promise((resolve) => {
    const held = navigator.locks.request(PREFIX + name, { signal }, () => {
      resolve(true);
      return new Promise(() => {});
    });
    held.catch(() => resolve(false));
  });
}

async function openTabs() {
  const { held = [] } = await navigator.locks.query();
  return new Set(held.flatMap(({ name }) => (name?.startsWith(PREFIX) ? [name.slice(PREFIX.length)] : [])));
}

/**
 * @template T
 * @param {() => T} act
 * @returns {T | null} null if the browser gives no storage
 */
export function storage(act) {
  try {
    return act();
  } catch {
    return null;
  }
}

/** A page that is loaded again is back by then: of that, the service worker waits up to 4 s for the server. */
export const LOOK_EVERY_MS = 6_000;
/** A page that is loaded again gets its name once the page before it is gone, which takes a while on a busy machine. */
const CLAIM_TIMEOUT_MS = 5_000;
/** Before the name, in the name of a lock and in a key of `localStorage`. */
export const PREFIX = "chat tab ";
/** The key in `sessionStorage`, which each tab has for itself. */
const NAME = "chat tab";
