// Messages that were written here, and changes of messages that were made here, and
// that are not known to be stored.

/** @typedef {import("./connection.js").Connection} Connection */
/** @typedef {import("./connection.js").Step} Step */
/** @typedef {import("./conversation.js").Key} Key */

/** @typedef {"edit" | "delete" | "react" | "unreact"} ChangeKind */

/**
 * @typedef {object} FileOf a file of a message
 * @property {string} [id] its name on the server; none until it is uploaded
 * @property {string} [local] its name in this browser, where its bytes are here
 * @property {string} name
 * @property {string} type `type/subtype`
 * @property {number} size in bytes
 * @property {number} [width] of a picture, in pixels
 * @property {number} [height]
 */

/**
 * @typedef {object} Item a message, or a change of one
 * @property {string} nonce
 * @property {Key} key
 * @property {ChangeKind} [kind] of a change; a message has none
 * @property {string} text of a message or an edit; else empty
 * @property {string} [emoji] of a reaction
 * @property {number} [target] of a change: the number of its message
 * @property {string} [targetNonce] of a change, while it waits for the acknowledgement of its message: that one's nonce
 * @property {number} [replyTo] the number of the message that this one answers
 * @property {string} [replyToNonce] the same, while it waits for the acknowledgement of that message
 * @property {string[]} [mentions] names of the users that it mentions
 * @property {boolean} [mentionAll] whether it mentions every member of the room
 * @property {FileOf[]} [files] of a message; it is sent once all of them are uploaded
 * @property {number} at when it was written, Unix milliseconds
 * @property {"waiting" | "sending" | "stored" | "failed"} state
 * @property {string} [reason] the code of the error, once it failed
 * @property {string} [sentence] why, in the words of the program that has refused it
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

  /** @param {Key} key */
  messagesOf(key) {
    return this.items.filter((item) => item.key === key && !item.kind);
  }

  /** @param {Key} key */
  changesOf(key) {
    return this.items.filter((item) => item.key === key && item.kind);
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
    for (const { nonce, seq } of this.items) {
      if (seq) this.#resolve(item, nonce, seq);
    }
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
    delete item.sentence;
    this.#keep(item);
    return item;
  }

  /** @param {string} nonce */
  discard(nonce) {
    const item = this.find(nonce);
    if (item && item.state !== "sending") {
      this.#drop(item);
      // What was to happen to a message that does not come.
      for (const { nonce } of this.#waitingFor(item)) this.discard(nonce);
    }
  }

  /**
   * Takes over what has become of the files of a message.
   * @param {string} nonce
   * @param {FileOf[]} files
   * @param {string} [reason] why one of them cannot be sent
   */
  setFiles(nonce, files, reason) {
    const item = this.find(nonce);
    if (item && item.state !== "stored") {
      item.files = files;
      reason ? this.#fail(item, reason) : this.#keep(item);
    }
  }

  /**
   * The items that wait for the acknowledgement of a message.
   * @param {Item} message
   */
  #waitingFor({ nonce }) {
    return this.items.filter((item) => item.targetNonce === nonce || item.replyToNonce === nonce);
  }

  /**
   * Sends the items that can be sent by now. An item that waits for its room, or for
   * the acknowledgement of its message, delays only its own conversation; a message that
   * waits for its files delays only later messages there.
   * @param {(room: string) => boolean} isIn
   */
  proceed(isIn) {
    const { now } = this.#step;
    if (now < this.#pausedUntil) {
      return;
    }
    this.#pausedUntil = 0;
    let free = IN_FLIGHT_MAX - this.items.filter(({ state }) => state === "sending").length;
    /** Conversations with an item that waits for another one. @type {Set<Key>} */
    const delayed = new Set();
    /** Conversations with a message that waits for its files. @type {Set<Key>} */
    const uploading = new Set();
    for (const item of this.items) {
      const { key, state, kind, files } = item;
      if (state === "waiting" && files?.some(({ id }) => !id)) uploading.add(key);
      if (!kind && uploading.has(key)) continue;
      if (free > 0 && state === "waiting" && !delayed.has(key) && (key.startsWith("@") || isIn(key.slice(1)))) {
        const awaited = item.targetNonce ?? item.replyToNonce;
        if (awaited !== undefined) {
          const message = this.find(awaited);
          if (!message) {
            this.#fail(item, "not_found");
          } else if (message.state !== "failed") {
            delayed.add(key);
          }
          continue;
        }
        const frame = frameOf(item);
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
      // Kept before the message is dropped: if the page is closed in between, they still know it.
      for (const waiting of this.#waitingFor(item)) {
        this.#resolve(waiting, item.nonce, seq);
        this.#keep(waiting);
      }
      this.#step.emit({ do: "drop", nonce: item.nonce });
    }
  }

  /**
   * A message has its number: items that wait for it can be sent.
   * @param {Item} item
   * @param {string} nonce of the message
   * @param {number} seq
   */
  #resolve(item, nonce, seq) {
    if (item.targetNonce === nonce) {
      item.target = seq;
      delete item.targetNonce;
    }
    if (item.replyToNonce === nonce) {
      item.replyTo = seq;
      delete item.replyToNonce;
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
  refused({ nonce, code, sentence, retry_after: after }, isTemporary) {
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
      if (typeof sentence === "string") item.sentence = sentence;
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

  /** How many of them are messages. */
  get unsentMessages() {
    return this.items.filter((item) => isUnsent(item) && !item.kind).length;
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
    if (item.state === "stored") {
      return;
    }
    item.state = "failed";
    item.reason = code;
    if (item.kind) {
      // Without a message there is nothing to take back. A reaction is not worth to be tried again.
      const isOver = item.kind !== "edit" && (code === "not_found" || item.kind !== "delete");
      this.#step.emit({ do: "refused", key: item.key, item });
      isOver ? this.#drop(item) : this.#keep(item);
    } else if (this.#waitingFor(item).some(({ kind }) => kind === "delete")) {
      // The user has deleted it already.
      this.discard(item.nonce);
    } else {
      this.#keep(item);
    }
  }

  /** @param {Item} item */
  #drop(item) {
    this.#remove(item.nonce);
    this.#step.emit({ do: "drop", nonce: item.nonce });
    this.#step.show(item.key);
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
 * The frame that sends an item.
 * @param {Item} item
 */
function frameOf({ key, kind, nonce, text, emoji, target, replyTo, mentions, mentionAll, files }) {
  const name = key.slice(1);
  const isPrivate = key.startsWith("@");
  const mentioned = isPrivate ? {} : { ...(mentions && { mentions }), ...(mentionAll && { mention_all: true }) };
  const where = isPrivate ? { to: name } : { room: name };
  switch (kind) {
    case "edit":
      return { type: kind, ...where, target, text, nonce, ...mentioned };
    case "delete":
      return { type: kind, ...where, target, nonce };
    case "react":
    case "unreact":
      return { type: kind, ...where, target, emoji, nonce };
    default:
      return { type: isPrivate ? "private" : "message", ...where, text, nonce, ...(replyTo && { reply_to: replyTo }), ...(files && { files: files.map(({ id }) => id) }), ...mentioned };
  }
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
