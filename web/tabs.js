// Which tabs of this browser are open. A message that is not sent yet stays with
// its tab; another tab adopts it once that tab is closed. Should two tabs ever
// send the same message, its nonce makes it one.

/**
 * Each page of a tab has a name, and holds a Web Lock of that name while it lives,
 * also while it is frozen or slow. If the browser refuses to show which tabs are
 * open, this tab behaves as if there were no others.
 */
export class Tabs {
  /** The name of this page: a new one each time that the page is loaded. */
  name = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  /**
   * The name of the page that this tab showed before, once that page is gone. Null if
   * there was none; also for a copy of a tab, which has a copy of the tab's storage.
   */
  previous = claimPrevious(this.name);
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
    await this.previous;
    const open = await registry().then(({ openTabs }) => openTabs(this.name)).catch(() => null);
    const before = this.#missing;
    this.#missing = new Set(open && [...tabs].filter((tab) => !open.has(tab)));
    return new Set([...this.#missing].filter((tab) => before.has(tab)));
  }
}

/**
 * Holds the name of this page, and that of the page before it.
 * @param {string} name
 * @returns {Promise<string | null>} see `Tabs.previous`
 */
async function claimPrevious(name) {
  /** @type {string | null} */
  let previous = null;
  try {
    previous = sessionStorage.getItem(NAME);
    sessionStorage.setItem(NAME, name);
  } catch {
    // The browser gives no storage.
  }
  try {
    const { hold } = await registry();
    await hold(name);
    return previous && (await hold(previous, AbortSignal.timeout(CLAIM_TIMEOUT_MS))) ? previous : null;
  } catch {
    return previous;
  }
}

/** Browsers give locks only on https and localhost. */
async function registry() {
  return navigator.locks ? { hold, openTabs } : import("./tab-notes.js");
}

/**
 * Shows the other tabs that this one is open, until its page is gone.
 * @param {string} name
 * @param {AbortSignal} [signal] ends the waiting for a page that holds the name
 * @returns {Promise<boolean>} false if another tab has the name
 */
function hold(name, signal) {
  return new Promise((resolve, reject) => {
    const held = navigator.locks.request(PREFIX + name, { signal }, () => {
      resolve(true);
      return new Promise(() => {});
    });
    held.catch((error) => (signal?.aborted ? resolve(false) : reject(error)));
  });
}

async function openTabs() {
  const { held = [] } = await navigator.locks.query();
  return new Set(held.flatMap(({ name }) => (name?.startsWith(PREFIX) ? [name.slice(PREFIX.length)] : [])));
}

/** Longer than a page takes to load again; the service worker alone waits up to 4 s for the server. */
export const LOOK_EVERY_MS = 6_000;
/** On a busy machine, a page is gone only a while after the next one of its tab was loaded. */
const CLAIM_TIMEOUT_MS = 5_000;
/** Before the name, in the name of a lock. */
const PREFIX = "chat tab ";
/** The key in `sessionStorage`, which each tab has for itself. */
const NAME = "chat tab";
