// The entries of a room or of a private conversation that this page has in memory.

import { applied, isChange, isMessage, isMine } from "./changes.js";

/**
 * @typedef {object} Entry one numbered item of a topic's log. A message is shown as the
 *   changes have made it up to `updated`
 * @property {string} kind `message` or `private`; `edit`, `delete`, `react` or `unreact`, which change a message; `unknown`
 * @property {number} seq
 * @property {string} from
 * @property {string} text empty where there is none
 * @property {number} timestamp whole Unix seconds
 * @property {string} [nonce]
 * @property {string[]} [mentions] names of the users that the server says it mentions
 * @property {boolean} [mentionAll] whether it mentions every member of the room
 * @property {number} [replyTo] the number of the message that it answers
 * @property {import("./outbox.js").FileOf[]} [files]
 * @property {number} [edited] when it was last edited, Unix seconds
 * @property {boolean} [deleted]
 * @property {import("./changes.js").Reaction[]} [reactions]
 * @property {number} updated the highest number of a change that is in this message; 0: none is
 * @property {number} [target] of a change: the number of its message
 * @property {string} [emoji] of a change: the reaction
 * @property {boolean} [isReplaced] of an edit: it comes without its text, as a later change has replaced that
 * @property {Entry} [before] of a change that has arrived: its message as it was, if it is in memory
 */

/**
 * @typedef {object} Page messages of the log, and which numbers they cover: those between
 *   without a message are changes, or are no longer kept
 * @property {Entry[]} messages in rising order
 * @property {number} from
 * @property {number} upto below `from`: nothing is covered
 */

/** @typedef {import("./client.js").Part} Part */
/** @typedef {`#${string}` | `@${string}`} Key a room by its name, or a private conversation by the other user's */

/**
 * A topic's log, which is numbered 1, 2, 3 … The page knows two things of it, each
 * without a gap: `seen`, the number up to which it has received everything as it
 * was delivered (a resume begins there), and the messages in memory, which may be of
 * an older range while the user reads back. *Invariant*: each of them is as the changes
 * up to `seen`, and perhaps some later ones, have made it.
 */
export class Conversation {
  /** @type {Key} */
  key;
  /** The id of the numbering; empty until it is known. */
  epoch = "";
  /** The last number that was received as it was delivered; null before the first. @type {number | null} */
  seen = null;
  /** The last number of the log, as far as the server has said so. */
  top = 0;
  /** The oldest number that the server has, as far as it has said so. */
  kept = 1;
  /** Entries up to this number were stored before this connection: they are no news. */
  replayTo = 0;
  /** The last number of a room's log when this page began to follow it; a resume keeps it. */
  start = 0;
  /** Whether the server has answered what is in it. */
  isLoaded = false;
  /** The messages with the numbers from `from` to `upto`, in rising order. @type {Entry[]} */
  entries = [];
  /** The numbers that `entries` covers. `upto` is below `from` where it covers none. */
  from = 1;
  upto = 0;
  /** Whether there is something before `entries`. */
  hasOlder = false;
  /** Orders conversations by their newest message: the higher, the later. */
  recency = 0;
  /** Counts how often `entries` were replaced by others. */
  generation = 0;
  /** Counts what has changed in messages in memory, and in quotes. */
  revision = 0;
  /** Whether a page was requested and is not there yet: then all changes are kept for it. */
  isPageDue = false;
  #user;
  /** Entries behind a gap, which wait for those before them. @type {Map<number, Entry>} */
  #ahead = new Map();
  /** Changes that came while a page was due. @type {Entry[]} */
  #changes = [];
  /** Whether more changes came than are kept: the page must be requested again. */
  #isOverrun = false;
  /** Numbers of messages that came behind `entries`. @type {number[]} */
  #beyond = [];
  /** Messages that replies quote, by number; null: it is not there. @type {Map<number, Entry | null>} */
  #quotes = new Map();
  /** The last number of a folded replay, while it runs; 0: none does. */
  #replayEnd = 0;

  /**
   * @param {Key} key
   * @param {string} [user] who is signed in
   */
  constructor(key, user = "") {
    this.key = key;
    this.#user = user;
  }

  get isRoom() {
    return this.key.startsWith("#");
  }

  /** The name of the room, or of the other user. */
  get name() {
    return this.key.slice(1);
  }

  /** The number of the first message in memory; 0: there is none. */
  get first() {
    return this.entries[0]?.seq ?? 0;
  }

  /** The number of the last message in memory; 0: there is none. */
  get last() {
    return this.entries.at(-1)?.seq ?? 0;
  }

  /** The last number of the log, as far as this page knows. */
  get end() {
    return Math.max(this.top, this.seen ?? 0);
  }

  /** Whether the newest message is among those in memory, or none is kept. */
  get isAtEnd() {
    return this.#isEmpty ? this.end < this.kept : this.upto >= this.end;
  }

  /** Whether a folded replay runs. */
  get isReplaying() {
    return this.#replayEnd > 0;
  }

  get hasGap() {
    return this.#ahead.size > 0;
  }

  /** Whether entries after `seen` must be requested. A room's replay brings them by itself. */
  get isBehind() {
    return this.hasGap || (!this.isRoom && (this.seen ?? 0) < this.top);
  }

  get #isEmpty() {
    return this.upto < this.from;
  }

  /**
   * Forgets everything, and begins with another epoch.
   * @param {string} epoch
   * @param {number} top
   */
  restart(epoch, top) {
    this.epoch = epoch;
    this.seen = top === 0 ? 0 : null;
    this.top = top;
    this.kept = 1;
    this.replayTo = this.start = top;
    this.isLoaded = false;
    this.#forget(1);
    this.hasOlder = false;
    this.#ahead.clear();
    this.#replayEnd = 0;
  }

  /** @param {number} from the number with which it goes on */
  #forget(from) {
    this.entries = [];
    this.from = from;
    this.upto = from - 1;
    this.generation += 1;
    this.#changes = [];
    this.#beyond = [];
    this.#quotes.clear();
  }

  /**
   * A replay begins that contains messages only.
   * @param {number} from the first number that it covers
   * @param {number} end the last one
   */
  beginReplay(from, end) {
    this.from = from;
    this.upto = from - 1;
    this.hasOlder = from > 1 && from <= end;
    // Without a message, there is none.
    this.kept = from > end ? from : 1;
    this.#replayEnd = end;
  }

  /** The folded replay is complete. */
  endReplay() {
    if (this.#replayEnd > 0) {
      this.seen = this.#replayEnd;
      if (this.from <= this.#replayEnd) this.upto = this.#replayEnd;
      this.#replayEnd = 0;
    }
  }

  /**
   * Adds an entry that the server delivered or replayed.
   * @param {Entry} entry
   * @returns {Entry[] | "known" | "gap"} the entries that are new, in order; `gap`: others are missing before it
   */
  receive(entry) {
    if (this.#replayEnd > 0) {
      if (entry.seq <= this.#replayEnd) {
        return this.#replayed(entry);
      }
      this.endReplay();
    }
    this.seen ??= entry.seq - 1;
    if (entry.seq <= this.seen) {
      return "known";
    }
    if (!this.isRoom && !this.isLoaded) {
      // The entries before it are not shown. They are read when the conversation is opened.
      this.seen = entry.seq - 1;
    }
    if (entry.seq > this.seen + 1) {
      this.top = Math.max(this.top, entry.seq);
      if (this.#ahead.size < AHEAD_MAX) {
        this.#ahead.set(entry.seq, entry);
      }
      return "gap";
    }
    const news = [];
    for (let next = /** @type {Entry | undefined} */ (entry); next; next = this.#ahead.get(this.seen + 1)) {
      this.#ahead.delete(next.seq);
      news.push(this.#accept(next));
    }
    return news;
  }

  /**
   * @param {Entry} message of a folded replay
   * @returns {Entry[] | "known"}
   */
  #replayed(message) {
    if (message.seq <= this.upto) {
      return "known";
    }
    this.upto = message.seq;
    this.entries.push(message);
    return [message];
  }

  /**
   * Goes on behind a gap that cannot be filled, as its entries are no longer kept.
   * @returns {Entry[]} the entries behind it
   */
  skipGap() {
    const next = Math.min(...this.#ahead.keys());
    const entry = this.#ahead.get(next);
    if (!entry) {
      return [];
    }
    this.seen = next - 1;
    this.#forget(next);
    this.hasOlder = true;
    const news = this.receive(entry);
    return Array.isArray(news) ? news : [];
  }

  /**
   * The fields of a `history` request for a part; undefined: there is nothing of it.
   * @param {Part} part
   * @param {number} seq
   * @param {boolean} isFolded whether the server has pages of messages only
   * @returns {{ before?: number, after?: number, around?: number } | undefined}
   */
  queryFor(part, seq, isFolded = false) {
    switch (part) {
      case "older":
        return this.hasOlder && this.from > 1 ? { before: this.from } : undefined;
      case "newer":
        return this.isAtEnd ? undefined : { after: this.upto };
      case "around":
        return isFolded ? { around: seq } : { after: Math.max(0, seq - Math.floor(PAGE / 2)) };
      case "latest":
        return this.end > 0 ? { before: this.end + 1 } : {};
    }
  }

  /**
   * Adds a page that was requested.
   * @param {Part} part
   * @param {Page} page
   * @param {number} kept the oldest number that the server has
   * @param {boolean} hasMore in the direction that was asked for; of a part around a number, before it
   * @returns {Part | undefined} the part to request next
   */
  addPage(part, page, kept, hasMore) {
    if (this.#isOverrun) {
      this.#isOverrun = false;
      return part;
    }
    const isNothing = page.upto < page.from;
    const made = { ...page, messages: page.messages.map((message) => this.#changed(message)) };
    this.kept = kept;
    switch (part) {
      case "older":
        this.prepend(made, hasMore);
        break;
      case "newer":
        if (!this.append(made) || isNothing) {
          return "latest";
        }
        break;
      case "around":
        if (isNothing) {
          return "latest";
        }
        this.replace(made, hasMore);
        break;
      case "latest":
        // Entries that came meanwhile are newer than an empty page.
        if (!isNothing || this.#isEmpty || !this.isAtEnd) {
          this.replace(made, hasMore);
        }
        break;
    }
    // Entries that came while the page was on its way.
    return !isNothing && !this.isAtEnd && this.end - this.upto <= PAGE ? "newer" : undefined;
  }

  /**
   * @param {Page} page
   * @param {boolean} hasMore
   * @returns {boolean} false if it does not end where `entries` begin
   */
  prepend({ messages, from, upto }, hasMore) {
    if (this.#isEmpty || (from <= upto && upto + 1 < this.from)) {
      return false;
    }
    this.entries.unshift(...messages.filter(({ seq }) => seq < this.from));
    this.hasOlder = hasMore && from < this.from;
    if (from <= upto) this.from = Math.min(this.from, from);
    return true;
  }

  /**
   * @param {Page} page
   * @returns {boolean} false if it does not begin where `entries` end
   */
  append({ messages, from, upto }) {
    if (from <= upto && from > this.upto + 1) {
      return false;
    }
    this.entries.push(...messages.filter(({ seq }) => seq > this.upto));
    this.upto = Math.max(this.upto, upto);
    this.#reached();
    this.isLoaded ||= !this.#isEmpty;
    return true;
  }

  /**
   * Replaces `entries` by another range of the log.
   * @param {Page} page
   * @param {boolean} hasOlder
   */
  replace({ messages, from, upto }, hasOlder) {
    this.entries = [...messages];
    this.from = from;
    this.upto = upto;
    this.hasOlder = hasOlder;
    this.#reached();
    this.seen ??= this.top;
    this.isLoaded = true;
    this.generation += 1;
  }

  /** `upto` has become another number. */
  #reached() {
    this.top = Math.max(this.top, this.upto);
    this.#beyond = this.#beyond.filter((seq) => seq > this.upto);
  }

  /**
   * @param {number} seq
   * @returns {Entry | undefined} a message in memory
   */
  at(seq) {
    const entry = this.entries[this.indexOf(seq)];
    return entry?.seq === seq ? entry : undefined;
  }

  /**
   * The index in `entries` of the first message at or after a number.
   * @param {number} seq
   */
  indexOf(seq) {
    let [low, high] = [0, this.entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      (this.entries[middle]?.seq ?? 0) < seq ? (low = middle + 1) : (high = middle);
    }
    return low;
  }

  /**
   * Whether it is known what a number is.
   * @param {number} seq
   */
  covers(seq) {
    return seq >= this.from && seq <= this.upto;
  }

  /**
   * How many messages after a number are known of.
   * @param {number} seq
   */
  countAfter(seq) {
    return this.entries.length - this.indexOf(seq + 1) + this.#beyond.filter((beyond) => beyond > seq).length;
  }

  /**
   * The message that a reply quotes.
   * @param {number} seq
   * @returns {Entry | null | undefined} null: it is not there; undefined: that is not known
   */
  quote(seq) {
    return this.at(seq) ?? (this.covers(seq) || seq < this.kept ? null : this.#quotes.get(seq));
  }

  /**
   * @param {number[]} seqs that were asked for
   * @param {Entry[]} messages those of them that are there
   */
  addQuotes(seqs, messages) {
    for (const seq of this.#isOverrun ? [] : seqs) {
      const found = messages.find((message) => message.seq === seq);
      this.#quotes.set(seq, found ? this.#changed(found) : null);
    }
    for (const seq of [...this.#quotes.keys()].slice(0, Math.max(0, this.#quotes.size - QUOTES_MAX))) {
      this.#quotes.delete(seq);
    }
    this.revision += 1;
  }

  /**
   * Takes over whose reactions the user has made, as the server has said it.
   * @param {number} seq
   * @param {number} updated the state of the message for which it was asked
   * @param {Map<string, boolean>} mine by emoji
   */
  knowMine(seq, updated, mine) {
    const message = this.at(seq);
    if (message?.reactions && message.updated === updated) {
      const reactions = message.reactions.map((reaction) => ({ ...reaction, mine: mine.get(reaction.emoji) ?? reaction.mine }));
      this.entries[this.indexOf(seq)] = { ...message, reactions };
      this.revision += 1;
    }
  }

  /**
   * A message of a page, with the changes that came while the page was due.
   * @param {Entry} message
   */
  #changed(message) {
    return this.#changes.filter(({ target }) => target === message.seq).reduce((state, change) => applied(state, change, this.#user), message);
  }

  /**
   * Applies a change to its message, where that is in memory.
   * @param {Entry & { target: number }} change
   * @returns {Entry} the change, with its message as it was
   */
  #change(change) {
    const { target } = change;
    const message = this.at(target);
    const quote = this.#quotes.get(target);
    if (message) this.entries[this.indexOf(target)] = applied(message, change, this.#user);
    if (quote) this.#quotes.set(target, applied(quote, change, this.#user));
    if (message || quote) this.revision += 1;
    if (!this.isPageDue) {
      this.#changes = [];
    } else if (this.#changes.push(change) > CHANGES_MAX) {
      this.#changes = [];
      this.#isOverrun = true;
    }
    const before = message ?? quote;
    return before ? { ...change, before } : change;
  }

  /**
   * @param {Entry} entry
   * @returns {Entry}
   */
  #accept(entry) {
    const { seq } = entry;
    this.seen = seq;
    this.top = Math.max(this.top, seq);
    const accepted = isChange(entry) ? this.#change(entry) : entry;
    if (this.#isEmpty) {
      if (!this.isRoom && !this.isLoaded && !isMessage(entry)) {
        return accepted;
      }
      this.from = seq;
      this.hasOlder = seq > 1;
      this.isLoaded = true;
    } else if (seq !== this.upto + 1) {
      if (seq > this.upto && isMessage(entry)) this.#beyond.push(seq);
      return accepted;
    }
    this.upto = seq;
    if (isMessage(entry)) this.entries.push(entry);
    if (this.entries.length > ENTRIES_MAX) {
      this.entries.splice(0, ENTRIES_MAX - ENTRIES_KEPT);
      this.from = this.first;
      this.hasOlder = true;
    }
    return accepted;
  }
}

/**
 * All conversations by key. Each is made at its first use.
 * @extends {Map<Key, Conversation>}
 */
export class Conversations extends Map {
  /** The id of the numbering that the server has. */
  epoch = "";
  /** Who is signed in. */
  user = "";

  /**
   * @param {Key} key
   * @returns {Conversation}
   */
  of(key) {
    let conversation = this.get(key);
    if (!conversation) {
      conversation = new Conversation(key, this.user);
      this.set(key, conversation);
    }
    conversation.epoch ||= this.epoch;
    return conversation;
  }

  /** The private conversations. */
  get privates() {
    return [...this.values()].filter(({ isRoom }) => !isRoom);
  }
}

/**
 * @param {any} frame
 * @param {string} user who is signed in
 * @returns {Entry}
 */
export function entryOf(frame, user) {
  const { type, seq, from, text, timestamp, nonce, mentions, mention_all: mentionAll, target, emoji } = frame;
  /** @type {Entry} */
  const entry = { kind: "unknown", seq, from: String(from ?? ""), text: String(text ?? ""), timestamp: Number(timestamp ?? 0), nonce, mentions, mentionAll, updated: 0 };
  if (typeof from !== "string") {
    return entry;
  }
  if ((type === "message" || type === "private") && typeof text === "string") {
    const { reply_to: replyTo, files, edited, deleted, reactions, updated = 0 } = frame;
    Object.assign(entry, { kind: type, replyTo, files, edited, deleted, updated });
    if (reactions) {
      entry.reactions = reactions.map((/** @type {any} */ { emoji, count, users = [] }) => ({ emoji, count, users, mine: isMine({ emoji, count, users }, user) }));
    }
  } else if (Number.isSafeInteger(target) && (type === "edit" || type === "delete" || type === "react" || type === "unreact")) {
    Object.assign(entry, { kind: type, target, emoji, isReplaced: typeof text !== "string" });
  }
  return entry;
}

/** Entries requested at once: the server's limit. */
export const PAGE = 100;
/** Entries in memory for one conversation; beyond that, the oldest are dropped until `ENTRIES_KEPT` are left. */
export const ENTRIES_MAX = 12_000;
const ENTRIES_KEPT = 8_000;
/** Entries held behind a gap. The rest is requested like the gap. */
const AHEAD_MAX = 1_000;
/** Changes kept for a page that is on its way. */
const CHANGES_MAX = 5_000;
/** Quoted messages in memory for one conversation. */
const QUOTES_MAX = 500;
