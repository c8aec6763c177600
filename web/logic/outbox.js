// What was written here and is not known to be stored.

/** @typedef {import("./connection.js").Connection} Connection */
/** @typedef {import("./connection.js").Turn} Turn */
/** @typedef {import("./conversation.js").Key} Key */

/**
 * @typedef {object} Item
 * @property {string} nonce
 * @property {Key} key
 * @property {string} text
 * @property {number} at when it was written, Unix milliseconds
 * @property {"waiting" | "sending" | "stored" | "failed"} state
 * @property {string} [reason] the code of the error, once it failed
 * @property {number} [seq] its number, once it is stored
 */

/** Sends its items in the order in which they were written, until they are answered for good. */
export class Outbox {
  /** @type {Item[]} */
  items = [];
  /** What the server takes as one frame. */
  frameMaxBytes = Infinity;
  /** Until then nothing is sent: the server could not store; 0: it could. */
  #heldUntil = 0;
  #sentAt = 0;
  #turn;
  #connection;

  /**
   * @param {Turn} turn
   * @param {Connection} connection
   */
  constructor(turn, connection) {
    this.#turn = turn;
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
   * When something counts as written: after all that is here, even if the clock
   * was set back in between.
   * @param {number} now Unix milliseconds
   */
  timeOf(now) {
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
    // What another tab left behind was written before or after what is here.
    const after = this.items.findLastIndex(({ at }) => at <= item.at);
    this.items.splice(after + 1, 0, item);
    this.#keep(item);
    return true;
  }

  /**
   * Tries again what had failed.
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
      this.#turn.do({ do: "drop", nonce });
      this.#turn.show(item.key);
    }
  }

  /**
   * Sends what can be sent by now. An item that may not be sent yet holds back
   * only its own conversation.
   * @param {(room: string) => boolean} isIn
   */
  goOn(isIn) {
    const { now } = this.#turn;
    if (now < this.#heldUntil) {
      return;
    }
    this.#heldUntil = 0;
    let free = IN_FLIGHT_MAX - this.items.filter(({ state }) => state === "sending").length;
    for (const item of this.items) {
      const { key, nonce, text, state } = item;
      const name = key.slice(1);
      const isPrivate = key.startsWith("@");
      if (free > 0 && state === "waiting" && (isPrivate || isIn(name))) {
        const frame = isPrivate ? { type: "private", to: name, text, nonce } : { type: "message", room: name, text, nonce };
        if (new TextEncoder().encode(JSON.stringify(frame)).length > this.frameMaxBytes) {
          // The server would close the connection instead of an answer.
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

  /** When to look again. */
  get dueAt() {
    return this.#heldUntil || Infinity;
  }

  /** When to give up waiting for receipts. */
  get overdueAt() {
    const isSending = this.items.some(({ state }) => state === "sending");
    return isSending ? this.#connection.answerDueAt(this.#sentAt) : Infinity;
  }

  /** The connection is lost. */
  lost() {
    this.#heldUntil = 0;
    this.#takeBack();
  }

  /**
   * @param {Item} item
   * @param {number} seq
   */
  stored(item, seq) {
    if (item.state !== "stored") {
      item.state = "stored";
      item.seq = seq;
      this.#turn.do({ do: "drop", nonce: item.nonce });
      this.#turn.do({ do: "stored", item });
    }
  }

  /**
   * What the log shows needs not be shown from here.
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
   * @param {boolean} isPassing
   * @returns {Item | undefined} one whose room must be joined first
   */
  refused({ nonce, code, retry_after: after }, isPassing) {
    const item = this.find(nonce);
    if (item?.state !== "sending") {
      return undefined;
    }
    this.#turn.show(item.key);
    if (isPassing) {
      // Nothing sent after it is stored either: all of it again, in order.
      this.#takeBack();
      this.#heldUntil ||= this.#turn.now + this.#connection.pause(after);
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

  /** How many wait for their turn or their answer. */
  get unsent() {
    return this.items.filter(({ state }) => state === "waiting" || state === "sending").length;
  }

  /** Nothing is known of what was under way: all of it has to be sent again. */
  #takeBack() {
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
    this.#turn.do({ do: "keep", item });
    this.#turn.show(item.key);
  }

  /** @param {string} nonce */
  #remove(nonce) {
    this.items = this.items.filter((item) => item.nonce !== nonce);
  }
}

/**
 * The name that a message keeps, however often it has to be sent. Begins with the
 * time, so that names made one after the other stand one after the other in an
 * index.
 * @param {number} now Unix milliseconds
 * @param {Uint8Array} random at least 12 bytes
 */
export function nonce(now, random) {
  const chance = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${now.toString(16).padStart(12, "0")}-${chance}`;
}

/** Messages without an answer at once; half of what the server takes from one connection. */
export const IN_FLIGHT_MAX = 16;
