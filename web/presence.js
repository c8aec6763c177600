// Which partners of private conversations are online. The rooms that this page has
// joined say so of few users; of the others the server is asked now and then.

import { inOrder } from "./logic/account.js";
import { usersNamed } from "./rooms.js";

/** @typedef {import("./logic/client.js").Client} Client */

export class Presence {
  #client;
  #hooks;
  /** The names that the server was asked for last. */
  #asked = "";
  #askedAt = -Infinity;

  /**
   * @param {Client} client
   * @param {object} hooks
   * @param {() => void} hooks.changed
   * @param {(name: string, picture: string) => void} hooks.looks how a user looks by now
   */
  constructor(client, hooks) {
    this.#client = client;
    this.#hooks = hooks;
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
      const users = await usersNamed(names);
      for (const { username, avatar } of users) this.#hooks.looks(username, avatar);
      if (this.#asked === asked) {
        this.#client.online = new Set(users.flatMap((user) => (user.online ? [user.username] : [])));
        this.#hooks.changed();
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
