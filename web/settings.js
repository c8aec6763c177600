// Settings that this browser keeps between visits. Without `localStorage`, they
// last until the page is closed.

/** @typedef {import("./logic/conversation.js").Key} Key */
/** @typedef {"hello" | "invite" | "room"} Step */
/** @typedef {{ kind: "reply" | "edit", seq?: number, nonce?: string }} DraftAbout the message by its number, or by its nonce while it has none */

/** Settings of this browser, for all its users. */
export const settings = {
  /** @returns {string | null} */
  get language() {
    return read("language");
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
  /** Whose chat this is, as the server said at last. @returns {import("./whose.js").ServerInfo | null} */
  get server() {
    return json("server");
  },
  set server(value) {
    write("server", JSON.stringify(value));
  },
  /** Whether the details stay open beside the conversation, where there is room. */
  get hasDetails() {
    return read("details") !== null;
  },
  set hasDetails(value) {
    write("details", value ? "open" : null);
  },
  /** Whether this browser has had the fonts. */
  get hasFonts() {
    return read("fonts") !== null;
  },
  set hasFonts(value) {
    write("fonts", value ? "yes" : null);
  },
  /** The user of whom this browser keeps messages. @returns {string | null} */
  get kept() {
    return read("kept");
  },
  set kept(value) {
    write("kept", value);
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

  /** Whether this browser still keeps rooms and marks, from before the account kept them. */
  get isOld() {
    return OLD.some((what) => read(this.keyOf(what)) !== null);
  }

  /** The conversation that was open last. @returns {Key | null} */
  get last() {
    return json(this.keyOf("last"));
  }

  set last(value) {
    write(this.keyOf("last"), JSON.stringify(value));
  }

  /** What a new user has not done yet of what the welcome names. @returns {Step[]} */
  get steps() {
    return json(this.keyOf("steps")) ?? [];
  }

  set steps(value) {
    write(this.keyOf("steps"), JSON.stringify(value));
  }

  /**
   * Begins the welcome of a user whose account has just been made, however that was: at the
   * door, by another server that signs users in, or by the program around the chat.
   * @param {number} [createdAt] when the account was made, Unix seconds
   */
  welcome(createdAt = 0) {
    const isNew = Math.abs(Date.now() / 1_000 - createdAt) < NEW_FOR_SECONDS;
    if (isNew && read(this.keyOf("steps")) === null) this.steps = ["hello", "invite", "room"];
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

  /**
   * What the draft is about: a message that it answers, or one that it edits.
   * @param {Key} key
   * @returns {DraftAbout | null}
   */
  draftAbout(key) {
    return json(this.keyOf(`draft about ${key}`));
  }

  /**
   * @param {Key} key
   * @param {DraftAbout | null} about
   */
  setDraftAbout(key, about) {
    write(this.keyOf(`draft about ${key}`), about && JSON.stringify(about));
  }

  /** Deletes drafts and what was open last: another user may be next. */
  forget() {
    for (const key of keys()) {
      if (key === this.keyOf("last") || key.startsWith(this.keyOf("draft "))) write(key, null);
    }
  }

  /** @param {string} what */
  keyOf(what) {
    return `chat ${JSON.stringify(this.#user)} ${what}`;
  }
}

/** For so long after an account was made its user is new, in a browser that has not seen them before. */
const NEW_FOR_SECONDS = 3_600;

/** What this browser kept for each user before the account did. */
export const OLD = ["rooms", "reads", "muted", "listed"];

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
export function json(key) {
  try {
    return JSON.parse(read(key) ?? "null");
  } catch {
    return null;
  }
}
