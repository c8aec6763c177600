// Messages that were written here and are not known to be stored.

/** @typedef {import("./connection.js").Connection} Connection */
/** @typedef {import("./connection.js").Step} Step */
/** @typedef {import("./conversation.js").Key} Key */

/**
 * @typedef {object} Item
 * @property {string} nonce
 * @property {Key} key
 * @property {string} text
 * @property {string[]} [mentions] names of the users that it mentions
 * @property {boolean} [mentionAll] whether it mentions every member of the room
 * @property {number} at when it was written, Unix milliseconds
 * @property {"waiting" | "sending" | "stored" | "failed"} state
 * @property {string} [reason] the code of the error, once it failed
 * @property {number} [seq] its number, once it is stored
 */

/** Sends its items in the order in which they were written, again and again until they are stored or refused. */
export class Outbox {
  /** @type {Item[]} */
  items = [];
  /** The largest frame that the server takes. */
  frameMaxBytes = Infinity;
  /** Nothing is sent before this time, as the server could not store; 0: it could. */
  #pausedUntil = 0;
  #sentAt = 0;
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

  /** @param {string} nonce */
  find(nonce) {
    return this.items.find((item) => item.nonce === nonce);
  }

  /** @param {Key} key */
  of(key) {
    return this.items.filter((item) => item.key === key);
  }

  /**
   * The time of a new item: after all items that are here, even if the clock was set
   * back in between.
   * @param {number} now Unix milliseconds
   */
  timestampFor(now) {
    return Math.max(now, ...this.items.map(({ at }) => at + 1));
  }

  /**
   * @param {Item} item
   * @returns {boolean} false if it is here already
   */
  add(item) {
    if (this.find(item.nonce)) {
      return false;
    }
    // An item adopted from a closed tab may be older than those that are here.
    const after = this.items.findLastIndex(({ at }) => at <= item.at);
    this.items.splice(after + 1, 0, item);
    this.#keep(item);
    return true;
  }

  /**
   * Sends a failed item again.
   * @param {string} nonce
   * @returns {Item | undefined}
   */
  retry(nonce) {
    const item = this.find(nonce);
    if (item?.state !== "failed") {
      return undefined;
    }
    item.state = "waiting";
    delete item.reason;
    this.#keep(item);
    return item;
  }

  /** @param {string} nonce */
  discard(nonce) {
    const item = this.find(nonce);
    if (item && item.state !== "sending") {
      this.#remove(nonce);
      this.#step.emit({ do: "drop", nonce });
      this.#step.show(item.key);
    }
  }

  /**
   * Sends the items that can be sent by now. An item that waits for its room delays
   * only its own conversation.
   * @param {(room: string) => boolean} isIn
   */
  proceed(isIn) {
    const { now } = this.#step;
    if (now < this.#pausedUntil) {
      return;
    }
    this.#pausedUntil = 0;
    let free = IN_FLIGHT_MAX - this.items.filter(({ state }) => state === "sending").length;
    for (const item of this.items) {
      const { key, nonce, text, state, mentions, mentionAll } = item;
      const name = key.slice(1);
      const isPrivate = key.startsWith("@");
      if (free > 0 && state === "waiting" && (isPrivate || isIn(name))) {
        const frame = isPrivate
          ? { type: "private", to: name, text, nonce }
          : { type: "message", room: name, text, nonce, ...(mentions && { mentions }), ...(mentionAll && { mention_all: true }) };
        if (new TextEncoder().encode(JSON.stringify(frame)).length > this.frameMaxBytes) {
          // The server would close the connection instead of answering.
          this.#fail(item, "text_too_long");
          continue;
        }
        item.state = "sending";
        this.#sentAt = now;
        this.#connection.send(frame);
        free -= 1;
      }
    }
  }

  /** When `proceed` has something to do. */
  get dueAt() {
    return this.#pausedUntil || Infinity;
  }

  /** The deadline of the acknowledgements. */
  get overdueAt() {
    const isSending = this.items.some(({ state }) => state === "sending");
    return isSending ? this.#connection.answerDueAt(this.#sentAt) : Infinity;
  }

  /** The connection is lost. */
  disconnected() {
    this.#pausedUntil = 0;
    this.#requeue();
  }

  /**
   * @param {Item} item
   * @param {number} seq
   */
  stored(item, seq) {
    if (item.state !== "stored") {
      item.state = "stored";
      item.seq = seq;
      this.#step.emit({ do: "drop", nonce: item.nonce });
    }
  }

  /**
   * Removes stored items that are shown as entries of the log.
   * @param {Key} key
   * @param {number} upTo
   */
  dropStored(key, upTo) {
    for (const item of this.of(key)) {
      if (item.state === "stored" && (item.seq ?? 0) <= upTo) {
        this.#remove(item.nonce);
      }
    }
  }

  /**
   * @param {any} error
   * @param {boolean} isTemporary
   * @returns {Item | undefined} an item whose room must be joined first
   */
  refused({ nonce, code, retry_after: after }, isTemporary) {
    const item = this.find(nonce);
    if (item?.state !== "sending") {
      return undefined;
    }
    this.#step.show(item.key);
    if (isTemporary) {
      // The server stores nothing that was sent after it either: all is sent again, in order.
      this.#requeue();
      this.#pausedUntil ||= this.#step.now + this.#connection.retryDelay(after);
    } else if (code === "not_joined") {
      item.state = "waiting";
      return item;
    } else {
      this.#fail(item, code);
    }
    return undefined;
  }

  /**
   * @param {Key} key
   * @param {string} code
   */
  failAll(key, code) {
    for (const item of this.of(key)) {
      this.#fail(item, code);
    }
  }

  /** How many items are waiting or being sent. */
  get unsent() {
    return this.items.filter(isUnsent).length;
  }

  /**
   * Whether something waits for a conversation, or is being sent to it.
   * @param {Key} key
   */
  hasUnsent(key) {
    return this.of(key).some(isUnsent);
  }

  /** Puts the items that were being sent back into the queue: their outcome is unknown. */
  #requeue() {
    for (const item of this.items) {
      if (item.state === "sending") {
        item.state = "waiting";
      }
    }
  }

  /**
   * @param {Item} item
   * @param {string} code
   */
  #fail(item, code) {
    if (item.state !== "stored") {
      item.state = "failed";
      item.reason = code;
      this.#keep(item);
    }
  }

  /** @param {Item} item */
  #keep(item) {
    this.#step.emit({ do: "keep", item });
    this.#step.show(item.key);
  }

  /** @param {string} nonce */
  #remove(nonce) {
    this.items = this.items.filter((item) => item.nonce !== nonce);
  }
}

/** @param {Item} item */
function isUnsent({ state }) {
  return state === "waiting" || state === "sending";
}

/**
 * The id of a send, which stays the same however often it is sent. It begins with
 * the time, so that ids made one after the other are neighbours in an index.
 * @param {number} now Unix milliseconds
 * @param {Uint8Array} random at least 12 bytes
 */
export function nonce(now, random) {
  const suffix = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${now.toString(16).padStart(12, "0")}-${suffix}`;
}

/** Items without an answer at most; half of the server's limit for a connection. */
export const IN_FLIGHT_MAX = 16;
