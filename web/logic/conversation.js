// The entries of a room or of a private conversation that this page has in memory.

/**
 * @typedef {object} Entry one numbered item of a topic's log
 * @property {string} kind `message` or `private`; entries of another kind are not shown
 * @property {number} seq
 * @property {string} from
 * @property {string} text
 * @property {number} timestamp whole Unix seconds
 * @property {string} [nonce]
 * @property {string[]} [mentions] names of the users that the server says it mentions
 * @property {boolean} [mentionAll] whether it mentions every member of the room
 */

/** @typedef {import("./client.js").Part} Part */
/** @typedef {`#${string}` | `@${string}`} Key a room by its name, or a private conversation by the other user's */

/**
 * A topic's log, which is numbered 1, 2, 3 … The page knows two things of it, each
 * without a gap: `seen`, the number up to which it has received everything as it
 * was delivered (a resume begins there), and the `entries` in memory, which may be
 * an older range while the user reads back.
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
  /** Whether the server has answered what is in it. */
  isLoaded = false;
  /** In rising order, without a gap. @type {Entry[]} */
  entries = [];
  /** Whether there is something before `entries`. */
  hasOlder = false;
  /** Orders conversations by their newest entry: the higher, the later. */
  recency = 0;
  /** Counts how often `entries` were replaced by others. */
  generation = 0;
  /** Entries behind a gap, which wait for those before them. @type {Map<number, Entry>} */
  #ahead = new Map();

  /** @param {Key} key */
  constructor(key) {
    this.key = key;
  }

  get isRoom() {
    return this.key.startsWith("#");
  }

  /** The name of the room, or of the other user. */
  get name() {
    return this.key.slice(1);
  }

  get first() {
    return this.entries[0]?.seq ?? 0;
  }

  get last() {
    return this.entries.at(-1)?.seq ?? 0;
  }

  /** The last number of the log, as far as this page knows. */
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

  /** Whether entries after `seen` must be requested. A room's replay brings them by itself. */
  get isBehind() {
    return this.hasGap || (!this.isRoom && (this.seen ?? 0) < this.top);
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
    this.replayTo = top;
    this.isLoaded = false;
    this.entries = [];
    this.hasOlder = false;
    this.generation += 1;
    this.#ahead.clear();
  }

  /**
   * Adds an entry that the server delivered or replayed.
   * @param {Entry} entry
   * @returns {Entry[] | "known" | "gap"} the entries that are new, in order; `gap`: others are missing before it
   */
  receive(entry) {
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
      this.#accept(next);
      news.push(next);
    }
    return news;
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
    this.entries = [];
    this.hasOlder = true;
    this.generation += 1;
    const news = this.receive(entry);
    return Array.isArray(news) ? news : [];
  }

  /**
   * The fields of a `history` request for a part; undefined: there is nothing of it.
   * @param {Part} part
   * @param {number} seq
   * @returns {{ before?: number, after?: number } | undefined}
   */
  queryFor(part, seq) {
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
   * Adds a page that was requested.
   * @param {Part} part
   * @param {Entry[]} page
   * @param {number} kept the oldest number that the server has
   * @param {boolean} hasMore
   * @returns {Part | undefined} the part to request next
   */
  addPage(part, page, kept, hasMore) {
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
        // Entries that came meanwhile are newer than an empty page.
        if (first || this.last === 0 || !this.isAtEnd) {
          this.replace(page, hasMore);
        }
        break;
    }
    // Entries that came while the page was on its way.
    return first && !this.isAtEnd && this.end - this.last <= PAGE ? "newer" : undefined;
  }

  /**
   * @param {Entry[]} page
   * @param {boolean} hasMore
   * @returns {boolean} false if it does not end where `entries` begin
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
   * @returns {boolean} false if it does not begin where `entries` end
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
   * Replaces `entries` by another range of the log.
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
 * All conversations by key. Each is made at its first use.
 * @extends {Map<Key, Conversation>}
 */
export class Conversations extends Map {
  /** The id of the numbering that the server has. */
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

  /** The private conversations. */
  get privates() {
    return [...this.values()].filter(({ isRoom }) => !isRoom);
  }
}

/**
 * @param {any} frame
 * @returns {Entry}
 */
export function entryOf({ type, seq, from, text, timestamp, nonce, mentions, mention_all: mentionAll }) {
  const isKnown = (type === "message" || type === "private") && typeof from === "string" && typeof text === "string";
  return {
    kind: isKnown ? type : "unknown",
    seq,
    from: String(from ?? ""),
    text: String(text ?? ""),
    timestamp: Number(timestamp ?? 0),
    nonce,
    mentions,
    mentionAll,
  };
}

/** Entries requested at once: the server's limit. */
export const PAGE = 100;
/** Entries in memory for one conversation; beyond that, the oldest are dropped until `ENTRIES_KEPT` are left. */
export const ENTRIES_MAX = 12_000;
const ENTRIES_KEPT = 8_000;
/** Entries held behind a gap. The rest is requested like the gap. */
const AHEAD_MAX = 1_000;
