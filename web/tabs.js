// The other tabs of this browser. Each tab sends what was written in it; when
// it is gone, one of the others takes over what it had not sent. Should two
// ever send the same message, its nonce makes it one.

/** What each living tab holds a lock under. */
const PREFIX = "chat tab ";

export class Tabs {
  /** The name of this one. */
  name = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16)).join("");
  #left;
  /** @type {Set<string>} */
  #watched = new Set();
  #channel = new BroadcastChannel("chat tabs");

  /** @param {() => void} left a tab is gone */
  constructor(left) {
    this.#left = left;
    // Without locks (they need https) every tab counts as gone once it is asked about.
    navigator.locks?.request(PREFIX + this.name, () => {
      // Only now: who asks for a lock that nobody holds gets it at once.
      this.#channel.postMessage(this.name);
      return new Promise(() => {});
    });
    this.#channel.addEventListener("message", ({ data }) => this.#watch(String(data)));
  }

  /** @returns {Promise<Set<string>>} the names of all that live */
  async alive() {
    const held = (await navigator.locks?.query())?.held ?? [];
    const names = held.flatMap(({ name }) => (name?.startsWith(PREFIX) ? [name.slice(PREFIX.length)] : []));
    for (const name of names) {
      this.#watch(name);
    }
    return new Set(names);
  }

  /**
   * A lock is given to the next one when its holder is gone, and not before.
   * @param {string} name
   */
  #watch(name) {
    if (name === this.name || this.#watched.has(name)) {
      return;
    }
    this.#watched.add(name);
    navigator.locks
      ?.request(PREFIX + name, () => {})
      .then(() => {
        // Only once the lock is free again, or that tab would seem to live.
        this.#watched.delete(name);
        this.#left();
      });
  }
}
