// What this browser remembers between visits. Where it may not remember,
// everything works until the page is closed.

import { DEFAULT_ROOM } from "./logic/address.js";

/** @typedef {import("./logic/conversation.js").Key} Key */
/** @typedef {import("./logic/reads.js").Stored} StoredReads */

/** What holds for whoever sits here. */
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
  /** Who is signed in here, as far as is known. @returns {{ username: string, avatar: string } | null} */
  get user() {
    return json("user");
  },
  set user(value) {
    write("user", value && JSON.stringify(value));
    if (value) write("name", value.username);
  },
  /** Who was signed in here last. */
  get name() {
    return read("name") ?? this.user?.username ?? null;
  },
};

/** What holds for one person. */
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

  /** The rooms to be in. @returns {string[]} */
  get rooms() {
    return json(this.keyOf("rooms")) ?? [DEFAULT_ROOM];
  }

  /**
   * Other tabs change the list as well, so that it is read each time.
   * @param {string} room
   * @param {boolean} isIn
   */
  setRoom(room, isIn) {
    write(this.keyOf("rooms"), JSON.stringify(changed(this.rooms, room, isIn)));
  }

  /** The names and titles of the rooms at the side. @returns {[string, string][] | null} */
  get listed() {
    return json(this.keyOf("listed"));
  }

  set listed(value) {
    write(this.keyOf("listed"), JSON.stringify(value));
  }

  /** Conversations that are not to disturb. @returns {Key[]} */
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

  /** @returns {Key | null} */
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

  /** Somebody else may sit here next: what was begun, and where. */
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

/** What there is in the way of memory where the browser gives none. @type {Map<string, string>} */
const instead = new Map();

/** @param {string} key */
function read(key) {
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
function write(key, value) {
  instead.delete(key);
  try {
    value === null ? localStorage.removeItem(key) : localStorage.setItem(key, value);
  } catch {
    if (value !== null) instead.set(key, value);
  }
}

function keys() {
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
