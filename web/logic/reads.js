// The numbers up to which the user has read, on this browser.

/** @typedef {import("./conversation.js").Key} Key */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {{ epoch: string, upTo: { [key: string]: number } }} Stored */

export class Reads {
  #epoch = "";
  /** @type {Map<Key, number>} */
  #upTo = new Map();
  /** Whether nothing is known yet: then everything counts as read. */
  #isNew = true;

  /** @param {Stored | null} stored */
  constructor(stored) {
    if (stored) {
      this.#epoch = stored.epoch;
      this.merge(stored);
      this.#isNew = false;
    }
  }

  /**
   * Forgets everything if the epoch is another: its numbers mean other entries.
   * @param {string} epoch
   * @param {Iterable<Conversation>} conversations those that the server has named
   */
  setEpoch(epoch, conversations) {
    if (this.#epoch !== epoch) {
      this.#upTo.clear();
      this.#isNew ||= this.#epoch !== "";
      this.#epoch = epoch;
    }
    if (this.#isNew) {
      for (const { key, end } of conversations) {
        this.#upTo.set(key, end);
      }
      this.#isNew = false;
    }
  }

  /**
   * Counts a room as read that is joined for the first time.
   * @param {Conversation} conversation
   * @returns {boolean} whether it was
   */
  addRoom({ key, end }) {
    if (!this.#upTo.has(key)) {
      this.#upTo.set(key, end);
      return true;
    }
    return false;
  }

  /** @param {Key} key */
  upTo(key) {
    return this.#upTo.get(key) ?? 0;
  }

  /** @param {Key} key */
  has(key) {
    return this.#upTo.has(key);
  }

  /** @param {Conversation} conversation */
  unread({ key, end }) {
    return Math.max(0, end - this.upTo(key));
  }

  /**
   * @param {Key} key
   * @param {number} seq
   * @returns {boolean} whether that is new
   */
  mark(key, seq) {
    if (seq <= this.upTo(key) && this.#upTo.has(key)) {
      return false;
    }
    this.#upTo.set(key, Math.max(seq, this.upTo(key)));
    return true;
  }

  /** @param {Key} key */
  forget(key) {
    this.#upTo.delete(key);
  }

  /**
   * Adds what was read in another tab.
   * @param {Stored} stored
   */
  merge(stored) {
    if (stored.epoch !== this.#epoch) {
      return;
    }
    for (const [key, seq] of Object.entries(stored.upTo)) {
      this.mark(/** @type {Key} */ (key), seq);
    }
  }

  /** @returns {Stored} */
  get snapshot() {
    return { epoch: this.#epoch, upTo: Object.fromEntries(this.#upTo) };
  }
}
