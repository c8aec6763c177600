// How far somebody has read, on this browser.

/** @typedef {import("./conversation.js").Key} Key */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {{ epoch: string, upTo: { [key: string]: number } }} Stored */

export class Reads {
  #epoch = "";
  /** @type {Map<Key, number>} */
  #upTo = new Map();
  /** Nothing was known: then everything counts as read, not as news. */
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
   * Numbers of another numbering say nothing.
   * @param {string} epoch
   * @param {Iterable<Conversation>} conversations what the server says there is
   */
  begin(epoch, conversations) {
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
   * A room that is entered for the first time begins at its end.
   * @param {Conversation} conversation
   */
  meet({ key, end }) {
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
  knows(key) {
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
   * What another tab knows.
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
  get stored() {
    return { epoch: this.#epoch, upTo: Object.fromEntries(this.#upTo) };
  }
}
