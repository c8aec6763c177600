// The rows of a message list: one for each number in the window, with the
// elements that it has in the page.

import { groupingOf, lastInView } from "../logic/window.js";
import { dayOf } from "../words.js";
import { dayItem, messageItem, newItem } from "./message.js";

/** @typedef {import("../logic/conversation.js").Conversation} Conversation */
/** @typedef {import("../logic/window.js").Range} Range */

/** @typedef {{ seq: number, nodes: HTMLElement[], item: HTMLElement | null }} Row `item` is null for an entry that is not shown */

export class Rows {
  #list;
  #me;
  #names;
  /** @type {Row[]} */
  #rows = [];

  /**
   * @param {HTMLElement} list
   * @param {string} me
   * @param {(conversation: Conversation) => Iterable<string>} names of users who may be mentioned
   */
  constructor(list, me, names) {
    this.#list = list;
    this.#me = me;
    this.#names = names;
  }

  /** @returns {Range} */
  get range() {
    return { first: this.#rows[0]?.seq ?? 0, last: this.#rows.at(-1)?.seq ?? 0 };
  }

  /** @param {number} seq */
  of(seq) {
    return this.#rows[seq - this.range.first];
  }

  /**
   * The first row that reaches below a line.
   * @param {number} y from the top of the page
   */
  at(y) {
    return this.#rows.find(({ item }) => item && item.getBoundingClientRect().bottom > y);
  }

  /**
   * The row of a message that was written here.
   * @param {string | undefined} nonce
   */
  withNonce(nonce) {
    return this.#rows.findLast(({ item }) => item?.dataset.nonce === nonce);
  }

  /** @param {number} edge the lower edge of the view, from the top of the page */
  lastInView(edge) {
    return lastInView(this.#rows, ({ item }) => item?.getBoundingClientRect().bottom, edge);
  }

  /** Removes all rows. */
  clear() {
    for (const row of this.#rows) remove(row);
    this.#rows = [];
  }

  /**
   * Adds and removes rows so that there are those of a range, which overlaps with
   * or adjoins the rows that are there.
   * @param {Conversation} conversation
   * @param {Range} range
   * @param {number} readUpTo
   */
  moveTo(conversation, { first, last }, readUpTo) {
    const shown = this.range;
    if (last === 0) {
      return;
    }
    if (shown.last === 0) {
      this.#add(conversation, first, last, readUpTo, false);
      return;
    }
    this.#dropUnless(({ seq }) => seq >= first && seq <= last);
    if (first < shown.first) this.#add(conversation, first, shown.first - 1, readUpTo, true);
    if (last > shown.last) this.#add(conversation, shown.last + 1, last, readUpTo, false);
  }

  /**
   * Makes a row again, and keeps its focus.
   * @param {Conversation} conversation
   * @param {number} seq
   * @param {number} readUpTo
   */
  remake(conversation, seq, readUpTo) {
    const index = seq - this.range.first;
    const row = this.#rows[index];
    if (!row) {
      return;
    }
    const made = this.#make(conversation, seq, index === 0, readUpTo);
    row.nodes[0]?.before(...made.nodes);
    if (row.item?.contains(document.activeElement)) made.item?.focus({ preventScroll: true });
    remove(row);
    this.#rows[index] = made;
  }

  /**
   * Writes the days again: what was today is yesterday after midnight.
   * @param {Conversation} conversation
   */
  renameDays(conversation) {
    for (const { seq, nodes } of this.#rows) {
      const words = nodes.find((node) => node.matches(".day"))?.querySelector("span");
      const entry = conversation.at(seq);
      if (words && entry) words.textContent = dayOf(entry.timestamp);
    }
  }

  /**
   * @param {Conversation} conversation
   * @param {number} first
   * @param {number} last
   * @param {number} readUpTo
   * @param {boolean} isAbove
   */
  #add(conversation, first, last, readUpTo, isAbove) {
    const rows = [];
    const fragment = document.createDocumentFragment();
    for (let seq = first; seq <= last; seq += 1) {
      const row = this.#make(conversation, seq, seq === first && (isAbove || this.#rows.length === 0), readUpTo);
      rows.push(row);
      fragment.append(...row.nodes);
    }
    const [next] = this.#rows;
    if (isAbove && next) {
      next.nodes[0] ? next.nodes[0].before(fragment) : this.#list.prepend(fragment);
      this.#rows.unshift(...rows);
      // It was the first row, and no longer is.
      this.remake(conversation, next.seq, readUpTo);
    } else {
      const end = this.#rows.findLast(({ nodes }) => nodes.length > 0)?.nodes.at(-1);
      end ? end.after(fragment) : this.#list.prepend(fragment);
      this.#rows.push(...rows);
    }
  }

  /** @param {(row: Row) => boolean} stays */
  #dropUnless(stays) {
    if (!this.#rows.every(stays)) {
      for (const row of this.#rows) stays(row) || remove(row);
      this.#rows = this.#rows.filter(stays);
    }
  }

  /**
   * @param {Conversation} conversation
   * @param {number} seq
   * @param {boolean} isFirst
   * @param {number} readUpTo
   * @returns {Row}
   */
  #make(conversation, seq, isFirst, readUpTo) {
    const grouping = groupingOf(conversation, seq, isFirst, readUpTo);
    if (!grouping) {
      return { seq, nodes: [], item: null };
    }
    const { entry, isNewDay, isFirstNew, isContinued } = grouping;
    const nodes = [];
    if (isNewDay) nodes.push(dayItem(entry.timestamp));
    if (isFirstNew) nodes.push(newItem());
    const item = messageItem(entry, { key: conversation.key, me: this.#me, names: this.#names(conversation), isContinued });
    nodes.push(item);
    return { seq, nodes, item };
  }
}

/** @param {Row} row */
function remove({ nodes }) {
  for (const node of nodes) node.remove();
}
