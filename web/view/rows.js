// The rows of a message list: one for each message in the window, with the
// elements that it has in the page.

import { groupingOf, lastInView } from "../logic/window.js";
import { dayOf } from "../words.js";
import { dayItem, messageItem, newItem, turnFold } from "./message.js";

/** @typedef {import("../logic/conversation.js").Conversation} Conversation */
/** @typedef {import("../logic/window.js").Range} Range */

/** @typedef {import("../logic/changes.js").Shown} Shown */
/** @typedef {import("../logic/conversation.js").Entry} Entry */
/** @typedef {import("../logic/window.js").Grouping} Grouping */
/** @typedef {import("./message.js").Quote} Quote */

/** @typedef {{ seq: number, nodes: HTMLElement[], item: HTMLElement, shown: string }} Row `shown`: what its elements show */

/**
 * @typedef {object} RowHooks
 * @property {string} me
 * @property {(conversation: Conversation) => Iterable<string>} names of users who may be mentioned
 * @property {(conversation: Conversation, entry: Entry) => Shown} shown a message with the changes that are on their way
 * @property {(conversation: Conversation, shown: Shown) => Quote | undefined} quote what a message answers
 */

export class Rows {
  #list;
  #hooks;
  /** @type {Row[]} */
  #rows = [];

  /**
   * @param {HTMLElement} list
   * @param {RowHooks} hooks
   */
  constructor(list, hooks) {
    this.#list = list;
    this.#hooks = hooks;
  }

  /** @returns {Range} */
  get range() {
    return { first: this.#rows[0]?.seq ?? 0, last: this.#rows.at(-1)?.seq ?? 0 };
  }

  /** @param {number} seq */
  of(seq) {
    return this.#rows.find((row) => row.seq === seq);
  }

  /**
   * The first row that reaches below a line.
   * @param {number} y from the top of the page
   */
  at(y) {
    return this.#rows.find(({ item }) => item.getBoundingClientRect().bottom > y);
  }

  /**
   * The row of a message that was written here.
   * @param {string | undefined} nonce
   */
  withNonce(nonce) {
    return this.#rows.findLast(({ item }) => item.dataset.nonce === nonce);
  }

  /** @param {number} edge the lower edge of the view, from the top of the page */
  lastInView(edge) {
    return lastInView(this.#rows, ({ item }) => item.getBoundingClientRect().bottom, edge);
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
      this.#add(conversation, conversation.indexOf(first), conversation.indexOf(last), readUpTo, false);
      return;
    }
    this.#dropUnless(({ seq }) => seq >= first && seq <= last);
    if (first < shown.first) this.#add(conversation, conversation.indexOf(first), conversation.indexOf(shown.first) - 1, readUpTo, true);
    if (last > shown.last) this.#add(conversation, conversation.indexOf(shown.last) + 1, conversation.indexOf(last), readUpTo, false);
  }

  /**
   * Makes the rows again that show something else by now.
   * @param {Conversation} conversation
   * @param {number} readUpTo
   */
  refresh(conversation, readUpTo) {
    for (const [at, row] of this.#rows.entries()) {
      const grouping = this.#grouping(conversation, conversation.indexOf(row.seq), at === 0, readUpTo);
      if (grouping && row.shown !== this.#stamp(conversation, grouping)) this.remake(conversation, row.seq, readUpTo);
    }
  }

  /**
   * The messages that the rows quote.
   * @param {Conversation} conversation
   * @returns {number[]}
   */
  quoted(conversation) {
    return this.#rows.flatMap(({ seq }) => conversation.at(seq)?.replyTo ?? []);
  }

  /**
   * Makes a row again, and keeps its focus.
   * @param {Conversation} conversation
   * @param {number} seq
   * @param {number} readUpTo
   */
  remake(conversation, seq, readUpTo) {
    const index = this.#rows.findIndex((row) => row.seq === seq);
    const row = this.#rows[index];
    const made = row && this.#make(conversation, conversation.indexOf(seq), index === 0, readUpTo);
    if (!row || !made) {
      return;
    }
    row.nodes[0]?.before(...made.nodes);
    keepState(row.item, made.item);
    remove(row);
    this.#rows[index] = made;
  }

  /**
   * Writes the days again: what was today is yesterday after midnight.
   * @param {Conversation} conversation
   */
  renameDays(conversation) {
    for (const { seq, nodes } of this.#rows) {
      const words = nodes.find((node) => node.matches(".day"))?.querySelector("button");
      const entry = conversation.at(seq);
      if (words && entry) words.textContent = dayOf(entry.timestamp);
    }
  }

  /**
   * @param {Conversation} conversation
   * @param {number} first an index in the messages of the conversation
   * @param {number} last
   * @param {number} readUpTo
   * @param {boolean} isAbove
   */
  #add(conversation, first, last, readUpTo, isAbove) {
    const rows = [];
    const fragment = document.createDocumentFragment();
    for (let index = first; index <= last; index += 1) {
      const row = this.#make(conversation, index, index === first && (isAbove || this.#rows.length === 0), readUpTo);
      if (row) {
        rows.push(row);
        fragment.append(...row.nodes);
      }
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
      // A message of one's own was in view before it was stored.
      if (end) for (const { item } of rows) item.classList.toggle("came", !item.matches(".mine"));
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
   * @param {number} index
   * @param {boolean} isFirst
   * @param {number} readUpTo
   * @returns {Row | null}
   */
  #make(conversation, index, isFirst, readUpTo) {
    const grouping = this.#grouping(conversation, index, isFirst, readUpTo);
    if (!grouping) {
      return null;
    }
    const { entry, isNewDay, isFirstNew, isContinued } = grouping;
    const shown = this.#hooks.shown(conversation, entry);
    const nodes = [];
    if (isNewDay) nodes.push(dayItem(entry.timestamp));
    if (isFirstNew) nodes.push(newItem());
    const { me, names, quote } = this.#hooks;
    const item = messageItem(shown, { me, names: names(conversation), isContinued, quote: quote(conversation, shown) });
    nodes.push(item);
    return { seq: entry.seq, nodes, item, shown: this.#stamp(conversation, grouping) };
  }

  /**
   * @param {Conversation} conversation
   * @param {number} index
   * @param {boolean} isFirst
   * @param {number} readUpTo
   */
  #grouping(conversation, index, isFirst, readUpTo) {
    return groupingOf(conversation, index, isFirst, { readUpTo, me: this.#hooks.me }, (entry) => this.#hooks.shown(conversation, entry));
  }

  /**
   * @param {Conversation} conversation
   * @param {Grouping} grouping
   */
  #stamp(conversation, grouping) {
    return JSON.stringify([grouping, this.#hooks.quote(conversation, this.#hooks.shown(conversation, grouping.entry))]);
  }
}

/**
 * What a reader has done to an element goes over to the one that takes its place.
 * @param {HTMLElement} old
 * @param {HTMLElement} made
 */
function keepState(old, made) {
  if (made.classList.contains("folded") && !old.classList.contains("folded")) turnFold(made);
  made.classList.toggle("target", old.classList.contains("target"));
  for (const chip of made.querySelectorAll(".chip[data-emoji]")) {
    const same = chip instanceof HTMLElement && old.querySelector(`.chip[data-emoji="${chip.dataset.emoji}"]`);
    chip.classList.toggle("sprung", !same || same.ariaPressed !== chip.ariaPressed);
  }
  const focused = document.activeElement;
  if (focused instanceof HTMLElement && old.contains(focused)) {
    const { act, emoji } = focused.dataset;
    const same = act && made.querySelector(`[data-act="${act}"]${emoji ? `[data-emoji="${emoji}"]` : ""}`);
    (same instanceof HTMLElement ? same : made).focus({ preventScroll: true });
  }
}

/** @param {Row} row */
function remove({ nodes }) {
  for (const node of nodes) node.remove();
}
