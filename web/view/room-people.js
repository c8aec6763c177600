// Whom the user may mention in a room: its members, and others of the directory.
// They are asked for when an `@` is typed, and kept for a while.

import { usersFound } from "../found.js";
import * as rooms from "../rooms.js";
import { knowPicture } from "./avatar.js";

/** @typedef {{ names: string[], isComplete: boolean, at: number }} Members */

export class RoomPeople {
  /** @type {Map<string, Members>} */
  #members = new Map();
  /** Rooms whose members are asked for. @type {Set<string>} */
  #asking = new Set();
  /** Users of the directory that were found, by the text that was looked for. @type {Map<string, string[]>} */
  #found = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #due;
  #changed;

  /** @param {() => void} changed more is known */
  constructor(changed) {
    this.#changed = changed;
  }

  /**
   * The members of a room, as far as they are known by now.
   * @param {string} room
   * @returns {Members | null}
   */
  membersOf(room) {
    const known = this.#members.get(room) ?? null;
    if ((!known || Date.now() - known.at > KEPT_MS) && !this.#asking.has(room)) this.#ask(room);
    return known;
  }

  /** Users of the directory that were found by now. */
  get found() {
    return [...this.#found.values()].flat();
  }

  /**
   * Looks for users in the directory, once the user pauses.
   * @param {string} query
   */
  find(query) {
    clearTimeout(this.#due);
    if (!query || this.#found.has(query)) {
      return;
    }
    this.#due = setTimeout(async () => {
      try {
        const { items: users } = await usersFound({ q: query, limit: FOUND_MAX });
        for (const { username, avatar, bot } of users) knowPicture(username, avatar, bot);
        if (this.#found.size >= KEPT_MAX) this.#found.clear();
        this.#found.set(query, users.map(({ username }) => username));
        if (users.length > 0) this.#changed();
      } catch {
        // Those who are known are suggested.
      }
    }, PAUSE_MS);
  }

  /** @param {string} room */
  async #ask(room) {
    this.#asking.add(room);
    /** @type {string[]} */
    const names = [];
    /** @type {string | undefined} */
    let after;
    try {
      do {
        const { members, next } = await rooms.members(room, { after, limit: PAGE });
        names.push(...members.map(({ username }) => username));
        after = next ?? undefined;
      } while (after !== undefined && names.length < MEMBERS_MAX);
      this.#members.set(room, { names, isComplete: after === undefined, at: Date.now() });
      this.#changed();
    } catch {
      // Those who are known are suggested.
    } finally {
      this.#asking.delete(room);
    }
  }
}

const PAGE = 100;
/** Of larger rooms, the directory finds the others. */
const MEMBERS_MAX = 1_000;
const KEPT_MS = 30_000;
const KEPT_MAX = 100;
const FOUND_MAX = 20;
const PAUSE_MS = 150;
