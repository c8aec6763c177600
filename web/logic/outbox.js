// What was written here and is not known to be stored.

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

/** The items in the order in which they were written. */
export class Outbox {
  /** @type {Item[]} */
  items = [];

  /** @param {string} nonce */
  find(nonce) {
    return this.items.find((item) => item.nonce === nonce);
  }

  /** @param {Key} key */
  of(key) {
    return this.items.filter((item) => item.key === key);
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
    return true;
  }

  /** @param {string} nonce */
  remove(nonce) {
    this.items = this.items.filter((item) => item.nonce !== nonce);
  }

  /**
   * What to send now, in order. An item that may not be sent yet holds back
   * only its own conversation.
   * @param {(key: Key) => boolean} isReady
   * @returns {Item[]} marked as being sent
   */
  take(isReady) {
    let free = IN_FLIGHT_MAX - this.items.filter(({ state }) => state === "sending").length;
    const taken = [];
    for (const item of this.items) {
      if (free > 0 && item.state === "waiting" && isReady(item.key)) {
        item.state = "sending";
        taken.push(item);
        free -= 1;
      }
    }
    return taken;
  }

  /** Nothing is known of what was under way: all of it has to be sent again. */
  takeBack() {
    for (const item of this.items) {
      if (item.state === "sending") {
        item.state = "waiting";
      }
    }
  }

  get isSending() {
    return this.items.some(({ state }) => state === "sending");
  }

  /** How many wait for their turn or their answer. */
  get unsent() {
    return this.items.filter(({ state }) => state === "waiting" || state === "sending").length;
  }
}

/** Messages without an answer at once; half of what the server takes from one connection. */
export const IN_FLIGHT_MAX = 16;
