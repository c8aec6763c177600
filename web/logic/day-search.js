// Finds the first message of a day in a log that is known by numbers only: asks for
// the times of some numbers at once, and narrows the range. Few questions suffice, as
// each one cuts the range to a small part of it. No I/O.

/** @typedef {{ seq: number, timestamp: number }} Known a message, with its time in Unix seconds */

export class DaySearch {
  /** Every message up to this number is older than the day. */
  #before;
  /** The first message that is known to be of that day, or later. @type {Known | null} */
  #found = null;
  /** Every number from this one on is of no interest. */
  #until;
  #time;
  /** How many times it was asked. */
  asked = 0;

  /**
   * @param {{ kept: number, end: number }} log the oldest number that is kept, and the last one
   * @param {number} time when the day begins, Unix seconds
   */
  constructor({ kept, end }, time) {
    this.#before = kept - 1;
    this.#until = end + 1;
    this.#time = time;
  }

  /**
   * The numbers to ask for; empty once the message is found, or there is none.
   * @returns {number[]}
   */
  get next() {
    const count = this.#until - this.#before - 1;
    if (count <= 0 || this.asked >= ASKED_MAX) {
      return [];
    }
    if (count <= AT_ONCE) {
      return Array.from({ length: count }, (_, i) => this.#before + 1 + i);
    }
    /** @type {Set<number>} */
    const numbers = new Set();
    // Close to both ends, too: numbers may be those of changes, or not be kept, and say nothing.
    for (let distance = 1; numbers.size < NEAR_ENDS; distance *= 4) {
      numbers.add(Math.max(this.#before + 1, this.#until - distance)).add(Math.min(this.#until - 1, this.#before + distance));
      if (distance > count) break;
    }
    const even = AT_ONCE - numbers.size;
    // Not the same numbers again where none of them was a message.
    const shift = (this.asked % 5) / 5;
    for (let i = 0; i < even; i += 1) numbers.add(this.#before + 1 + Math.floor(((i + shift) * count) / even));
    return [...numbers].filter((seq) => seq > this.#before && seq < this.#until).sort((a, b) => a - b);
  }

  /**
   * @param {number[]} seqs those that were asked for
   * @param {Known[]} messages those of them that are messages
   * @param {number} [kept] the oldest number that is kept, as it is known by now
   */
  add(seqs, messages, kept = 1) {
    this.asked += 1;
    const isAll = seqs.length > 0 && seqs.length === this.#until - this.#before - 1;
    for (const { seq, timestamp } of messages.toSorted((a, b) => a.seq - b.seq)) {
      if (timestamp >= this.#time) {
        this.#found = { seq, timestamp };
        this.#until = seq;
        break;
      }
      this.#before = Math.max(this.#before, seq);
    }
    this.#before = Math.max(this.#before, kept - 1);
    if (isAll) this.#before = this.#until - 1;
  }

  /** The first message of the day or after it, as far as is known; null: there is none. */
  get found() {
    return this.#found;
  }
}

/**
 * The first message at a time or after it among messages in memory.
 * @param {Pick<import("./conversation.js").Conversation, "entries" | "hasOlder" | "isAtEnd">} log
 * @param {number} time Unix seconds
 * @returns {Known | null | undefined} null: there is none; undefined: memory does not say
 */
export function firstInMemory({ entries, hasOlder, isAtEnd }, time) {
  const index = entries.findIndex(({ timestamp }) => timestamp >= time);
  if (index < 0) return isAtEnd && entries.length > 0 ? null : undefined;
  return index > 0 || !hasOlder ? entries[index] : undefined;
}

/** Numbers in one question: the server's limit. */
const AT_ONCE = 50;
/** So many of them are close to the ends of the range. */
const NEAR_ENDS = 20;
/** It is asked this often at most. What is found by then is near. */
export const ASKED_MAX = 12;
