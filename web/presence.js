// Which partners of private conversations are online. The rooms that this page has
// joined say so of few users; of the others the server is asked now and then.

import { call } from "./api.js";
import { inOrder } from "./logic/account.js";

/** @typedef {import("./logic/client.js").Client} Client */

export class Presence {
  #client;
  #changed;
  /** The names that the server was asked for last. */
  #asked = "";
  #askedAt = -Infinity;

  /**
   * @param {Client} client
   * @param {() => void} changed
   */
  constructor(client, changed) {
    this.#client = client;
    this.#changed = changed;
  }

  /**
   * Asks again if there are other partners, or the last answer is old.
   * @param {number} now monotonic milliseconds
   */
  async update(now) {
    const { state, lostAt, account, online } = this.#client;
    if (state !== "open") {
      this.#asked = "";
      // A short interruption changes nothing.
      if (now - (lostAt ?? now) > KEPT_MS) online.clear();
      return;
    }
    const partners = [...account.places.values()].filter(({ key }) => key.startsWith("@"));
    const names = inOrder(partners, null)
      .slice(0, NAMES_MAX)
      .map(({ key }) => key.slice(1))
      .toSorted();
    const asked = names.join("\n");
    if (!account.isKept || names.length === 0 || (asked === this.#asked && now - this.#askedAt < ASKED_EVERY_MS)) {
      return;
    }
    this.#asked = asked;
    this.#askedAt = now;
    try {
      const { users } = await call(`/api/users?${new URLSearchParams(names.map((name) => ["name", name]))}`);
      if (this.#asked === asked) {
        this.#client.online = new Set(users.flatMap((/** @type {any} */ user) => (user.online ? [user.username] : [])));
        this.#changed();
      }
    } catch {
      // What was known stays until the next answer.
    }
  }
}

/** The names that the server takes in one request. */
const NAMES_MAX = 100;
export const ASKED_EVERY_MS = 30_000;
const KEPT_MS = 1_500;
