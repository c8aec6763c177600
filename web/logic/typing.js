// Which users are typing, and telling the others that this user is.

/** @typedef {import("./client.js").Output} Output */
/** @typedef {import("./connection.js").Connection} Connection */
/** @typedef {import("./connection.js").Step} Step */
/** @typedef {import("./conversation.js").Key} Key */

export class Typing {
  /** When the typing of each user ends, by conversation. @type {Map<Key, Map<string, number>>} */
  #until = new Map();
  /** When the server was last told that this user types, by conversation. @type {Map<Key, number>} */
  #saidAt = new Map();
  #step;
  #connection;

  /**
   * @param {Step} step
   * @param {Connection} connection
   */
  constructor(step, connection) {
    this.#step = step;
    this.#connection = connection;
  }

  /**
   * The users who are typing in a conversation, the first one first.
   * @param {Key} key
   */
  of(key) {
    return [...(this.#until.get(key)?.keys() ?? [])];
  }

  /** @param {any} frame */
  received({ room, user, from, active }) {
    const name = typeof room === "string" ? user : from;
    if (typeof name !== "string") {
      return;
    }
    /** @type {Key} */
    const key = typeof room === "string" ? `#${room}` : `@${name}`;
    if (active) {
      const users = this.#until.get(key) ?? new Map();
      users.set(name, this.#step.now + TYPING_MS);
      this.#until.set(key, users);
      this.#show(key);
    } else {
      this.#ended(key, name);
    }
  }

  /**
   * @param {Key} key
   * @param {string} name
   */
  #ended(key, name) {
    if (this.#until.get(key)?.delete(name)) this.#show(key);
  }

  /**
   * Tells the others whether this user types, which they forget after `TYPING_MS`.
   * @param {Key} key
   * @param {boolean} isActive
   */
  say(key, isActive) {
    const { now } = this.#step;
    const saidAt = this.#saidAt.get(key) ?? -Infinity;
    if (this.#connection.state !== "open" || now - saidAt < (isActive ? SAID_EVERY_MS : 0) || (!isActive && now - saidAt >= TYPING_MS)) {
      return;
    }
    isActive ? this.#saidAt.set(key, now) : this.#saidAt.delete(key);
    const where = key.startsWith("#") ? { room: key.slice(1) } : { to: key.slice(1) };
    this.#connection.send({ type: "typing", ...where, active: isActive });
  }

  /**
   * Forgets the users who have sent their message, and those whose time is over.
   * @param {Output[]} outputs of this step
   */
  proceed(outputs) {
    for (const output of outputs) {
      if (output.do === "arrived") this.#ended(output.key, output.entry.from);
    }
    for (const [key, users] of this.#until) {
      for (const [name, until] of users) {
        if (this.#step.now >= until) this.#ended(key, name);
      }
    }
  }

  /** When `proceed` has something to do. */
  get dueAt() {
    return Math.min(Infinity, ...[...this.#until.values()].flatMap((users) => [...users.values()]));
  }

  /** The connection is lost. */
  disconnected() {
    for (const [key, users] of this.#until) {
      for (const name of users.keys()) this.#ended(key, name);
    }
    this.#saidAt.clear();
  }

  /** @param {Key} key */
  #show(key) {
    this.#step.emit({ do: "show", what: "typing", key });
  }
}

/** Typing that is not said again ends after this time. */
export const TYPING_MS = 6_000;
/** How often the server is told at most. */
export const SAID_EVERY_MS = 3_000;
