// Reading: entries as they are delivered, gaps between them, and pages that the
// user wants to see.

import { isChange, isMessage } from "./changes.js";
import { entryOf, PAGE } from "./conversation.js";

/** @typedef {import("./account.js").Account} Account */
/** @typedef {import("./client.js").Part} Part */
/** @typedef {import("./connection.js").Connection} Connection */
/** @typedef {import("./connection.js").Request} Request */
/** @typedef {import("./connection.js").Step} Step */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./conversation.js").Conversations} Conversations */
/** @typedef {import("./conversation.js").Entry} Entry */
/** @typedef {import("./conversation.js").Key} Key */
/** @typedef {import("./outbox.js").Outbox} Outbox */
/** @typedef {import("./rooms.js").Rooms} Rooms */

export class Reading {
  /** The part of a conversation that the user waits to see, until it is there. @type {Map<Key, { part: "around" | "latest", seq: number }>} */
  #wanted = new Map();
  /** Messages that replies quote and that were not asked for yet. @type {Map<Key, Set<number>>} */
  #quoted = new Map();
  /** Conversations in which entries may be missing after `seen`. @type {Set<Key>} */
  #gaps = new Set();
  /** Private conversations whose last number was not in `hello`. @type {Set<Key>} */
  #unsure = new Set();
  /** Joined rooms without an entry since the join, each with the deadline of its first entry. @type {Map<Key, number>} */
  #silent = new Map();
  /** Conversations with an entry received since `hello`. @type {Set<Key>} */
  #received = new Set();
  /** Nothing is requested before this time, as the server could not read; 0: it could. */
  #pausedUntil = 0;
  /** Counts arrivals, for `recency`. */
  #arrivals = 0;
  #user;
  #step;
  #connection;
  #conversations;
  #outbox;
  #rooms;
  #account;

  /**
   * @param {string} user who is signed in
   * @param {Step} step
   * @param {Connection} connection
   * @param {Conversations} conversations
   * @param {Outbox} outbox
   * @param {Rooms} rooms
   * @param {Account} account
   */
  constructor(user, step, connection, conversations, outbox, rooms, account) {
    this.#user = user;
    this.#step = step;
    this.#connection = connection;
    this.#conversations = conversations;
    this.#outbox = outbox;
    this.#rooms = rooms;
    this.#account = account;
  }

  /** @param {any} hello with the last numbers of the private conversations, the latest first; at most 200 */
  hello({ epoch, privates = [], has_more: hasMore }) {
    this.#setEpoch(String(epoch));
    /** @type {Map<Key, number>} */
    const listed = new Map(privates.map((/** @type {any} */ { with: name, seq }) => [`@${name}`, seq]));
    // Conversations that are left out are older than all that are listed: if a
    // listed one is as it was at the last `hello`, all of those are. One that
    // received an entry since does not count, as that may have overtaken another.
    const mayHide =
      hasMore && ![...listed].some(([key, seq]) => (this.#conversations.get(key)?.seen ?? -1) >= seq && !this.#received.has(key));
    this.#received.clear();
    this.#arrivals += listed.size;
    let recency = this.#arrivals;
    for (const [key, seq] of listed) {
      const conversation = this.#conversations.of(key);
      conversation.recency = recency;
      recency -= 1;
      this.#setEnd(conversation, seq);
    }
    for (const { key } of mayHide ? this.#conversations.privates : []) {
      if (!listed.has(key)) {
        this.#unsure.add(key);
      }
    }
    this.#step.emit({ do: "show", what: "conversations" });
  }

  /**
   * Forgets all entries if the epoch is another: its numbers mean other entries.
   * @param {string} epoch
   */
  #setEpoch(epoch) {
    if (this.#conversations.epoch === epoch) {
      return;
    }
    this.#conversations.epoch = epoch;
    for (const conversation of this.#conversations.values()) {
      const { key, isRoom, isLoaded } = conversation;
      if (conversation.epoch !== epoch) {
        if (isLoaded && !isRoom) {
          this.#wanted.set(key, { part: "latest", seq: 0 });
        }
        conversation.restart(epoch, 0);
        conversation.seen = null;
        this.#outbox.dropStored(key, Infinity);
        this.#step.show(key);
      }
    }
  }

  /**
   * Takes the last number of a private conversation from the server. If the
   * conversation is loaded, the entries up to there are requested, without a gap.
   * @param {Conversation} conversation
   * @param {number} seq
   */
  #setEnd(conversation, seq) {
    const { key, isLoaded, seen } = conversation;
    this.#unsure.delete(key);
    conversation.replayTo = seq;
    conversation.top = Math.max(conversation.top, seq);
    if (isLoaded && seen !== null && seen < seq) {
      this.#gaps.add(key);
    } else {
      conversation.seen = Math.max(seen ?? 0, seq);
      this.#outbox.dropStored(key, conversation.seen);
    }
  }

  /** @param {any} joined the answer to a join: the room's entries follow */
  joined({ room: name, epoch, seq, recovered, from }) {
    /** @type {Key} */
    const key = `#${name}`;
    const conversation = this.#conversations.of(key);
    if (!recovered) {
      conversation.restart(String(epoch), seq);
      this.#outbox.dropStored(key, Infinity);
      if (this.#wanted.get(key)?.part === "latest") {
        // The replay brings it.
        this.#wanted.delete(key);
      }
      if (Number.isSafeInteger(from)) {
        conversation.beginReplay(from, seq);
      } else if (seq > 0) {
        this.#silent.set(key, this.#step.now + SILENT_MS);
      }
    }
    conversation.top = Math.max(conversation.top, seq);
    conversation.replayTo = conversation.top;
    conversation.isLoaded = true;
    this.#step.show(key);
  }

  /** @param {any} replayed the end of a replay that contains messages only */
  replayed({ room }) {
    const conversation = this.#conversations.get(`#${room}`);
    if (conversation?.isReplaying && this.#rooms.isIn(room)) {
      conversation.endReplay();
      this.#outbox.dropStored(conversation.key, conversation.seen ?? 0);
      this.#step.show(conversation.key);
    }
  }

  /** @param {Key} key */
  forget(key) {
    this.#stop(key);
    this.#conversations.delete(key);
  }

  /**
   * Forgets the entries of a room that the user may not read any more.
   * @param {Key} key
   */
  ended(key) {
    this.#stop(key);
    const conversation = this.#conversations.of(key);
    conversation.restart(conversation.epoch, 0);
    conversation.seen = null;
    this.#step.show(key);
  }

  /** @param {Key} key */
  #stop(key) {
    this.#wanted.delete(key);
    this.#quoted.delete(key);
    this.#silent.delete(key);
    this.#connection.dropRequests(key);
  }

  /** The connection is lost. */
  disconnected() {
    this.#pausedUntil = 0;
    this.#silent.clear();
  }

  /** @param {any} frame an entry, perhaps of an unknown kind */
  entry(frame) {
    if (!Number.isSafeInteger(frame.seq) || frame.seq < 1) {
      return;
    }
    /** @type {Key} */
    let key;
    if (typeof frame.room === "string") {
      // Entries before `joined` belong to an earlier join, and come again.
      if (!this.#rooms.isIn(frame.room)) {
        return;
      }
      key = `#${frame.room}`;
    } else if (typeof frame.from === "string" && typeof frame.to === "string") {
      key = `@${frame.from === this.#user ? frame.to : frame.from}`;
    } else {
      return;
    }
    const isNew = !this.#conversations.has(key);
    const conversation = this.#conversations.of(key);
    const news = this.#receive(conversation, entryOf(frame, this.#user));
    this.#received.add(key);
    this.#silent.delete(key);
    if (news === "gap") {
      this.#gaps.add(key);
    } else if (news !== "known") {
      this.#arrived(conversation, news);
    }
    if (isNew) {
      this.#step.emit({ do: "show", what: "conversations" });
    }
  }

  /**
   * @param {Conversation} conversation
   * @param {Entry} entry
   */
  #receive(conversation, entry) {
    conversation.isPageDue = this.#connection.awaitsPage(conversation.key);
    return conversation.receive(entry);
  }

  /**
   * @param {Conversation} conversation
   * @param {Entry[]} news
   */
  #arrived(conversation, news) {
    const { key } = conversation;
    if (!news.every(isChange)) {
      this.#arrivals += 1;
      conversation.recency = this.#arrivals;
    }
    for (const entry of news) {
      const mine = entry.from === this.#user && entry.nonce ? this.#outbox.find(entry.nonce) : undefined;
      if (mine) {
        // An entry is delivered only once it is stored, so the item need not wait for its acknowledgement.
        this.#outbox.stored(mine, entry.seq);
      }
      this.#account.entry(key, entry);
      const isNews = entry.seq > conversation.replayTo;
      this.#step.emit(isChange(entry) ? { do: "changed", key, change: entry } : { do: "arrived", key, entry, isNews });
    }
    this.#outbox.dropStored(key, conversation.seen ?? 0);
    this.#step.show(key);
  }

  /**
   * Loads a part of a conversation that the user wants to see.
   * @param {Key} key
   * @param {Part} part
   * @param {number} seq
   */
  load(key, part, seq) {
    const conversation = this.#conversations.of(key);
    if (part === "around" || part === "latest") {
      this.#wanted.set(key, { part, seq });
    }
    if (
      this.#connection.state !== "open" ||
      this.#step.now < this.#pausedUntil ||
      !this.#mayRead(key) ||
      this.#connection.hasRequest(key, part)
    ) {
      return;
    }
    const where = conversation.queryFor(part, seq, this.#connection.folds);
    if (where) {
      this.#request(part, key, this.#folded(where), { seq });
    }
    this.#step.show(key);
  }

  /**
   * Asks for messages that replies quote, unless they are known.
   * @param {Key} key
   * @param {number[]} seqs
   */
  quotes(key, seqs) {
    const conversation = this.#conversations.of(key);
    for (const seq of seqs) {
      if (conversation.quote(seq) === undefined && !this.#connection.awaitsQuote(key, seq)) {
        this.#quoted.set(key, (this.#quoted.get(key) ?? new Set()).add(seq));
      }
    }
  }

  /**
   * The fields of a request for messages without the changes.
   * @template {object} T
   * @param {T} where
   * @returns {T & { fold?: true }}
   */
  #folded(where) {
    return this.#connection.folds ? { ...where, fold: true } : where;
  }

  /**
   * Whether a message is still being looked for.
   * @param {Key} key
   * @param {number} seq
   */
  isSeeking(key, seq) {
    const wanted = this.#wanted.get(key);
    return (wanted?.part === "around" && wanted.seq === seq) || this.#connection.hasRequest(key, "around");
  }

  /**
   * Gives up loading the newest entries: the reader goes on where they are.
   * @param {Key} key
   */
  cancelLatest(key) {
    if (this.#wanted.get(key)?.part === "latest" && this.#conversations.of(key).last > 0) {
      this.#wanted.delete(key);
    }
  }

  /**
   * Requests the next page. There is one request at a time: while a server reads two
   * pages for a client, it takes no other frame from it.
   */
  proceed() {
    for (const [key, until] of this.#silent) {
      if (this.#step.now >= until) {
        // Perhaps none of its entries is kept any more. Only a page says so.
        this.#silent.delete(key);
        if (!this.#wanted.has(key)) this.#wanted.set(key, { part: "latest", seq: 0 });
      }
    }
    if (this.#step.now < this.#pausedUntil) {
      return;
    }
    this.#pausedUntil = 0;
    if (this.#connection.hasPageRequest) {
      return;
    }
    for (const [key, { part, seq }] of this.#wanted) {
      if (this.#mayRead(key)) {
        this.load(key, part, seq);
        return;
      }
    }
    for (const [key, seqs] of this.#quoted) {
      if (this.#mayRead(key)) {
        const some = [...seqs].slice(0, QUOTES_AT_ONCE);
        for (const seq of some) seqs.delete(seq);
        if (seqs.size === 0) this.#quoted.delete(key);
        this.#request("quotes", key, { ...this.#folded({ seqs: some }), limit: undefined }, { seqs: some });
        return;
      }
    }
    for (const key of this.#gaps) {
      const conversation = this.#conversations.get(key);
      if (conversation?.isBehind && this.#mayRead(key)) {
        this.#request("gap", key, { after: conversation.seen ?? 0 });
        return;
      }
      this.#gaps.delete(key);
      // A view whose request was refused meanwhile repeats it.
      this.#step.show(key);
    }
    for (const key of this.#unsure) {
      this.#request("end", key, { limit: 1 });
      return;
    }
  }

  /** When `proceed` has something to do. */
  get dueAt() {
    return Math.min(this.#pausedUntil || Infinity, ...this.#silent.values());
  }

  /**
   * Whether pages may be requested: those of a room only after joining it.
   * @param {Key} key
   */
  #mayRead(key) {
    return key.startsWith("@") || (this.#rooms.isIn(key.slice(1)) && !this.#conversations.get(key)?.isReplaying);
  }

  /**
   * @param {"gap" | "end" | "quotes" | Part} kind
   * @param {Key} key
   * @param {object} where
   * @param {{ seq?: number, seqs?: number[] }} [more]
   */
  #request(kind, key, where, more) {
    const whose = key.startsWith("#") ? { room: key.slice(1) } : { with: key.slice(1) };
    this.#connection.request(kind, key, { type: "history", ...whose, limit: PAGE, ...where }, more);
  }

  /**
   * Takes a page that was requested.
   * @param {Request} request
   * @param {Conversation} conversation
   * @param {any} frame
   */
  page({ key, kind, seq = 0, seqs = [] }, conversation, frame) {
    /** @type {Entry[]} */
    const entries = (frame.messages ?? []).map((/** @type {any} */ entry) => entryOf(entry, this.#user));
    const first = Math.max(1, frame.first ?? 1);
    this.#connection.succeeded();
    conversation.kept = Math.max(conversation.kept, first);
    if (kind === "gap") {
      this.#fillGap(conversation, entries);
    } else if (kind === "end") {
      // All of its entries may be too old to be kept.
      this.#setEnd(conversation, entries.at(-1)?.seq ?? first - 1);
    } else if (kind === "quotes") {
      conversation.addQuotes(seqs, entries.filter(isMessage));
    } else if (kind !== "join" && kind !== "probe") {
      const wanted = this.#wanted.get(key);
      if (wanted?.part === kind && wanted.seq === seq) {
        this.#wanted.delete(key);
      }
      // Without `from` and `upto`, the page contains every entry.
      const { from = entries[0]?.seq ?? 1, upto = entries.at(-1)?.seq ?? 0 } = frame;
      const hasMore = kind === "around" ? (frame.has_more_before ?? from > first) : frame.has_more;
      const next = conversation.addPage(kind, { messages: entries.filter(isMessage), from, upto }, first, Boolean(hasMore));
      if (next) {
        this.load(key, next, next === kind ? seq : 0);
      }
    }
    this.#step.show(key);
  }

  /**
   * @param {Conversation} conversation
   * @param {Entry[]} page
   */
  #fillGap(conversation, page) {
    const { key, name, seen, isRoom, epoch, top } = conversation;
    for (const entry of page) {
      const news = this.#receive(conversation, entry);
      if (Array.isArray(news)) {
        this.#arrived(conversation, news);
      }
    }
    if (conversation.seen !== seen) {
      return;
    }
    // The missing entries are no longer kept.
    if (isRoom) {
      this.#rooms.leaveAndJoin(name, true);
    } else if (conversation.hasGap) {
      this.#arrived(conversation, conversation.skipGap());
    } else {
      conversation.restart(epoch, top);
      conversation.seen = top;
      this.load(key, "latest", 0);
    }
  }

  /**
   * A request for a page was refused: it is repeated after a while.
   * @param {Request} request
   * @param {any} error
   */
  refused({ key, kind, seqs = [] }, { code, retry_after: after }) {
    if (kind === "quotes") {
      this.quotes(key, seqs);
    }
    if (code === "not_joined") {
      this.#rooms.rejoin(key.slice(1));
      return;
    }
    const queue = kind === "end" ? this.#unsure : this.#gaps;
    // To the end of the queue.
    queue.delete(key);
    queue.add(key);
    this.#pausedUntil ||= this.#step.now + this.#connection.retryDelay(after);
    this.#step.show(key);
  }
}

/** Quoted messages in one request: the server's limit. */
const QUOTES_AT_ONCE = 50;
/** The entries of a room follow `joined` within this time, unless there are none. */
const SILENT_MS = 1_000;
