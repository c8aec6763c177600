// Settings that this browser keeps between visits. Without `localStorage`, they
// last until the page is closed.

import { DEFAULT_ROOM } from "./logic/address.js";

/** @typedef {import("./logic/conversation.js").Key} Key */
/** @typedef {import("./logic/reads.js").Stored} StoredReads */

/** Settings of this browser, for all its users. */
export const settings = {
  /** @returns {"ru" | "en" | null} */
  get language() {
    const found = read("language");
    return found === "ru" || found === "en" ? found : null;
  },
  set language(value) {
    write("language", value);
  },
  /** @returns {"light" | "dark" | null} */
  get theme() {
    const found = read("theme");
    return found === "light" || found === "dark" ? found : null;
  },
  set theme(value) {
    write("theme", value);
  },
  /** The user who is signed in, as far as is known. @returns {{ username: string, avatar: string } | null} */
  get user() {
    return json("user");
  },
  set user(value) {
    write("user", value && JSON.stringify(value));
    if (value) write("name", value.username);
  },
  /** The name of the user who was signed in last. */
  get name() {
    return read("name") ?? this.user?.username ?? null;
  },
};

/** Settings of one user. */
export class Memory {
  #user;

  /** @param {string} user */
  constructor(user) {
    this.#user = user;
  }

  /** @returns {StoredReads | null} */
  get reads() {
    return json(this.keyOf("reads"));
  }

  set reads(value) {
    write(this.keyOf("reads"), JSON.stringify(value));
  }

  /** The rooms to join. @returns {string[]} */
  get rooms() {
    return json(this.keyOf("rooms")) ?? [DEFAULT_ROOM];
  }

  /**
   * Adds a room to the list, or removes it. Other tabs change the list as well, so it is read first.
   * @param {string} room
   * @param {boolean} isIn
   */
  setRoom(room, isIn) {
    write(this.keyOf("rooms"), JSON.stringify(changed(this.rooms, room, isIn)));
  }

  /** The names and titles of the rooms in the sidebar. @returns {[string, string][] | null} */
  get listed() {
    return json(this.keyOf("listed"));
  }

  set listed(value) {
    write(this.keyOf("listed"), JSON.stringify(value));
  }

  /** Conversations without notifications, but for mentions. @returns {Key[]} */
  get muted() {
    return json(this.keyOf("muted")) ?? [];
  }

  /**
   * @param {Key} key
   * @param {boolean} isMuted
   */
  setMuted(key, isMuted) {
    write(this.keyOf("muted"), JSON.stringify(changed(this.muted, key, isMuted)));
  }

  /** The conversation that was open last. @returns {Key | null} */
  get last() {
    return json(this.keyOf("last"));
  }

  set last(value) {
    write(this.keyOf("last"), JSON.stringify(value));
  }

  get notifies() {
    return read(this.keyOf("notifies")) === "yes";
  }

  set notifies(value) {
    write(this.keyOf("notifies"), value ? "yes" : null);
  }

  /** @param {Key} key */
  draft(key) {
    return read(this.keyOf(`draft ${key}`)) ?? "";
  }

  /**
   * @param {Key} key
   * @param {string} text
   */
  setDraft(key, text) {
    write(this.keyOf(`draft ${key}`), text || null);
  }

  /** Deletes drafts and what was open last: another user may be next. */
  forget() {
    for (const key of keys()) {
      if ([this.keyOf("last"), this.keyOf("listed")].includes(key) || key.startsWith(this.keyOf("draft "))) write(key, null);
    }
  }

  /** @param {string} what */
  keyOf(what) {
    return `chat ${JSON.stringify(this.#user)} ${what}`;
  }
}

/**
 * @template T
 * @param {T[]} list
 * @param {T} one
 * @param {boolean} isIn
 */
function changed(list, one, isIn) {
  const others = list.filter((other) => other !== one);
  return isIn && others.length < list.length ? list : isIn ? [...list, one] : others;
}

/** Replaces `localStorage` where the browser gives none, or is full. @type {Map<string, string>} */
const instead = new Map();

/** @param {string} key */
export function read(key) {
  try {
    return instead.get(key) ?? localStorage.getItem(key);
  } catch {
    return null;
  }
}

/**
 * @param {string} key
 * @param {string | null} value
 */
export function write(key, value) {
  instead.delete(key);
  try {
    value === null ? localStorage.removeItem(key) : localStorage.setItem(key, value);
  } catch {
    if (value !== null) instead.set(key, value);
  }
}

export function keys() {
  try {
    return [...Object.keys(localStorage), ...instead.keys()];
  } catch {
    return [...instead.keys()];
  }
}

/** @param {string} key */
function json(key) {
  try {
    return JSON.parse(read(key) ?? "null");
  } catch {
    return null;
  }
}
