// What this page has of one room or one private conversation.

/**
 * @typedef {object} Entry one number of a log
 * @property {string} kind `message` or `private`; another kind is not shown, but counts
 * @property {number} seq
 * @property {string} from
 * @property {string} text
 * @property {number} timestamp whole Unix seconds
 * @property {string} [nonce]
 */

/** @typedef {import("./client.js").Part} Part */
/** @typedef {`#${string}` | `@${string}`} Key a room, or the one whom one talks to */

/**
 * A log that is numbered 1, 2, 3 … Two things are known of it, each without a
 * hole: how far everything has been *seen* as it happened (that is where a
 * resume begins), and the *entries* in memory, which may be an older stretch
 * while somebody reads back.
 */
export class Conversation {
  /** @type {Key} */
  key;
  /** The name of the numbering; empty until it is known. */
  epoch = "";
  /** The last number seen as it happened; null before the first. @type {number | null} */
  seen = null;
  /** How far the server said it goes. */
  top = 0;
  /** The oldest number that the server has, as far as it has said so. */
  kept = 1;
  /** What comes up to here was said while this page was away. */
  replayTo = 0;
  /** Whether the server was asked what is in it. */
  isLoaded = false;
  /** In rising order, without a hole. @type {Entry[]} */
  entries = [];
  /** Whether there is something before `entries`. */
  hasOlder = false;
  /** The higher, the later something was said in it. */
  recency = 0;
  /** Counts how often what was there has been replaced. */
  generation = 0;
  /** Entries that came before others they must follow. @type {Map<number, Entry>} */
  #ahead = new Map();

  /** @param {Key} key */
  constructor(key) {
    this.key = key;
  }

  get isRoom() {
    return this.key.startsWith("#");
  }

  /** The room's name, or the other one's. */
  get name() {
    return this.key.slice(1);
  }

  get first() {
    return this.entries[0]?.seq ?? 0;
  }

  get last() {
    return this.entries.at(-1)?.seq ?? 0;
  }

  /** How far the log goes, as far as is known here. */
  get end() {
    return Math.max(this.top, this.seen ?? 0);
  }

  /** Whether the newest entry is among those in memory, or none is kept. */
  get isAtEnd() {
    return this.entries.length === 0 ? this.end < this.kept : this.last >= this.end;
  }

  get hasGap() {
    return this.#ahead.size > 0;
  }

  /** Whether something has to be read from the log behind what was seen. A room's replay brings it by itself. */
  get isBehind() {
    return this.hasGap || (!this.isRoom && (this.seen ?? 0) < this.top);
  }

  /**
   * Forgets everything.
   * @param {string} epoch
   * @param {number} top
   */
  restart(epoch, top) {
    this.epoch = epoch;
    this.seen = top === 0 ? 0 : null;
    this.top = top;
    this.kept = 1;
    this.replayTo = top;
    this.isLoaded = false;
    this.entries = [];
    this.hasOlder = false;
    this.generation += 1;
    this.#ahead.clear();
  }

  /**
   * Takes an entry that the server sent by itself.
   * @param {Entry} entry
   * @returns {Entry[] | "known" | "gap"} what is new, in order
   */
  receive(entry) {
    this.seen ??= entry.seq - 1;
    if (entry.seq <= this.seen) {
      return "known";
    }
    if (!this.isRoom && !this.isLoaded) {
      // Nobody looks at what comes before it; who does will read it.
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
      this.#accept(next);
      news.push(next);
    }
    return news;
  }

  /**
   * A hole that cannot be filled because what was in it is no longer kept.
   * @returns {Entry[]} what comes after it
   */
  giveUpGap() {
    const next = Math.min(...this.#ahead.keys());
    const entry = this.#ahead.get(next);
    if (!entry) {
      return [];
    }
    this.seen = next - 1;
    this.entries = [];
    this.hasOlder = true;
    this.generation += 1;
    const news = this.receive(entry);
    return Array.isArray(news) ? news : [];
  }

  /**
   * Where in the log a part is; undefined: there is nothing of it.
   * @param {Part} part
   * @param {number} seq
   * @returns {{ before?: number, after?: number } | undefined}
   */
  where(part, seq) {
    switch (part) {
      case "older":
        return this.hasOlder && this.first > 1 ? { before: this.first } : undefined;
      case "newer":
        return this.isAtEnd ? undefined : { after: this.last };
      case "around":
        return { after: Math.max(0, seq - Math.floor(PAGE / 2)) };
      case "latest":
        return this.end > 0 ? { before: this.end + 1 } : {};
    }
  }

  /**
   * Takes a part that was asked for.
   * @param {Part} part
   * @param {Entry[]} page
   * @param {number} kept the oldest number that the server has
   * @param {boolean} hasMore
   * @returns {Part | undefined} what is to be asked for next
   */
  take(part, page, kept, hasMore) {
    const [first] = page;
    this.kept = kept;
    switch (part) {
      case "older":
        this.prepend(page, hasMore);
        break;
      case "newer":
        if (!this.append(page) || !first) {
          return "latest";
        }
        break;
      case "around":
        if (!first) {
          return "latest";
        }
        this.replace(page, first.seq > kept);
        break;
      case "latest":
        // What came meanwhile is newer than an empty page.
        if (first || this.last === 0 || !this.isAtEnd) {
          this.replace(page, hasMore);
        }
        break;
    }
    // What came while the page was under way.
    return first && !this.isAtEnd && this.end - this.last <= PAGE ? "newer" : undefined;
  }

  /**
   * @param {Entry[]} page
   * @param {boolean} hasMore
   * @returns {boolean} false if it does not end where what is here begins
   */
  prepend(page, hasMore) {
    const fitting = page.filter(({ seq }) => seq < this.first);
    if (this.entries.length === 0 || (fitting.length > 0 && fitting.at(-1)?.seq !== this.first - 1)) {
      return false;
    }
    this.entries.unshift(...fitting);
    this.hasOlder = hasMore && fitting.length > 0;
    return true;
  }

  /**
   * @param {Entry[]} page
   * @returns {boolean} false if it does not begin where what is here ends
   */
  append(page) {
    const fitting = page.filter(({ seq }) => seq > this.last);
    if (fitting.length > 0 && fitting[0]?.seq !== this.last + 1) {
      return false;
    }
    this.entries.push(...fitting);
    this.top = Math.max(this.top, this.last);
    return true;
  }

  /**
   * Has another stretch of the log instead.
   * @param {Entry[]} page
   * @param {boolean} hasOlder
   */
  replace(page, hasOlder) {
    this.entries = [...page];
    this.hasOlder = hasOlder;
    this.top = Math.max(this.top, this.last);
    this.seen ??= this.top;
    this.isLoaded = true;
    this.generation += 1;
  }

  /**
   * @param {number} seq
   * @returns {Entry | undefined}
   */
  at(seq) {
    return this.entries[seq - this.first];
  }

  /** @param {Entry} entry */
  #accept(entry) {
    const { seq } = entry;
    const wasAtEnd = this.entries.length === 0 || this.last === seq - 1;
    this.seen = seq;
    this.top = Math.max(this.top, seq);
    if (!wasAtEnd) {
      return;
    }
    if (this.entries.length === 0) {
      this.hasOlder = seq > 1;
      this.isLoaded = true;
    }
    this.entries.push(entry);
    if (this.entries.length > ENTRIES_MAX) {
      this.entries.splice(0, ENTRIES_MAX - ENTRIES_KEPT);
      this.hasOlder = true;
    }
  }
}

/**
 * All of them, each made when it is first heard of.
 * @extends {Map<Key, Conversation>}
 */
export class Conversations extends Map {
  /** The name of the numbering that the server has. */
  epoch = "";

  /**
   * @param {Key} key
   * @returns {Conversation}
   */
  of(key) {
    let conversation = this.get(key);
    if (!conversation) {
      conversation = new Conversation(key);
      this.set(key, conversation);
    }
    conversation.epoch ||= this.epoch;
    return conversation;
  }

  /** Those with one person. */
  get privates() {
    return [...this.values()].filter(({ isRoom }) => !isRoom);
  }
}

/**
 * @param {any} frame
 * @returns {Entry}
 */
export function entryOf({ type, seq, from, text, timestamp, nonce }) {
  const isKnown = (type === "message" || type === "private") && typeof from === "string" && typeof text === "string";
  return {
    kind: isKnown ? type : "unknown",
    seq,
    from: String(from ?? ""),
    text: String(text ?? ""),
    timestamp: Number(timestamp ?? 0),
    nonce,
  };
}

/** Entries asked for at once: what the server gives at most. */
export const PAGE = 100;
/** Entries in memory for one conversation; at the most, the oldest go. */
export const ENTRIES_MAX = 12_000;
const ENTRIES_KEPT = 8_000;
/** Entries held behind a hole. What does not fit is asked for as well. */
const AHEAD_MAX = 1_000;
