// What is read: entries as they come, what is missing of them, and the pages
// that somebody wants to see.

import { entryOf, PAGE } from "./conversation.js";

/** @typedef {import("./client.js").Part} Part */
/** @typedef {import("./connection.js").Connection} Connection */
/** @typedef {import("./connection.js").Request} Request */
/** @typedef {import("./connection.js").Turn} Turn */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./conversation.js").Conversations} Conversations */
/** @typedef {import("./conversation.js").Entry} Entry */
/** @typedef {import("./conversation.js").Key} Key */
/** @typedef {import("./outbox.js").Outbox} Outbox */
/** @typedef {import("./rooms.js").Rooms} Rooms */

export class Reading {
  /** What somebody waits to see, until it is there. @type {Map<Key, { part: "around" | "latest", seq: number }>} */
  #wanted = new Map();
  /** Where something may be missing behind what was seen. @type {Set<Key>} */
  #missing = new Set();
  /** Private conversations of which `hello` did not say how far they go. @type {Set<Key>} */
  #unsure = new Set();
  /** Rooms of which nothing came yet, and until when it may. @type {Map<Key, number>} */
  #silent = new Map();
  /** Where something came since `hello`. @type {Set<Key>} */
  #heard = new Set();
  /** Until then nothing is asked: the server could not read; 0: it could. */
  #heldUntil = 0;
  /** Counts what was said, for `recency`. */
  #said = 0;
  #user;
  #turn;
  #connection;
  #conversations;
  #outbox;
  #rooms;

  /**
   * @param {string} user who is signed in
   * @param {Turn} turn
   * @param {Connection} connection
   * @param {Conversations} conversations
   * @param {Outbox} outbox
   * @param {Rooms} rooms
   */
  constructor(user, turn, connection, conversations, outbox, rooms) {
    this.#user = user;
    this.#turn = turn;
    this.#connection = connection;
    this.#conversations = conversations;
    this.#outbox = outbox;
    this.#rooms = rooms;
  }

  /** @param {any} hello how far the private conversations go, the latest first; at most 200 */
  greeted({ epoch, privates = [], has_more: hasMore }) {
    this.#begin(String(epoch));
    /** @type {Map<Key, number>} */
    const listed = new Map(privates.map((/** @type {any} */ { with: name, seq }) => [`@${name}`, seq]));
    // What is left out is older than all that is listed: if anything listed is
    // as it was at the last `hello`, so is all of that. What came since does not
    // tell, as it may have overtaken something on its way here.
    const mayHide =
      hasMore && ![...listed].some(([key, seq]) => (this.#conversations.get(key)?.seen ?? -1) >= seq && !this.#heard.has(key));
    this.#heard.clear();
    this.#said += listed.size;
    let recency = this.#said;
    for (const [key, seq] of listed) {
      const conversation = this.#conversations.of(key);
      conversation.recency = recency;
      recency -= 1;
      this.#goesTo(conversation, seq);
    }
    for (const { key } of mayHide ? this.#conversations.privates : []) {
      if (!listed.has(key)) {
        this.#unsure.add(key);
      }
    }
    this.#turn.do({ do: "show", what: "conversations" });
  }

  /**
   * Other numbers mean nothing together with those known here.
   * @param {string} epoch
   */
  #begin(epoch) {
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
        this.#turn.show(key);
      }
    }
  }

  /**
   * The server says how far a private conversation goes. What is shown of it
   * must go on without a hole; of another one, that is all there is to know.
   * @param {Conversation} conversation
   * @param {number} seq
   */
  #goesTo(conversation, seq) {
    const { key, isLoaded, seen } = conversation;
    this.#unsure.delete(key);
    conversation.replayTo = seq;
    conversation.top = Math.max(conversation.top, seq);
    if (isLoaded && seen !== null && seen < seq) {
      this.#missing.add(key);
    } else {
      conversation.seen = Math.max(seen ?? 0, seq);
      this.#outbox.dropStored(key, conversation.seen);
    }
  }

  /** @param {any} joined of a room: what is in it is about to come */
  joined({ room: name, epoch, seq, recovered }) {
    /** @type {Key} */
    const key = `#${name}`;
    const conversation = this.#conversations.of(key);
    if (!recovered) {
      conversation.restart(String(epoch), seq);
      this.#outbox.dropStored(key, Infinity);
      if (this.#wanted.get(key)?.part === "latest") {
        // That is what comes.
        this.#wanted.delete(key);
      }
      if (seq > 0) {
        this.#silent.set(key, this.#turn.now + SILENT_MS);
      }
    }
    conversation.top = Math.max(conversation.top, seq);
    conversation.replayTo = conversation.top;
    conversation.isLoaded = true;
    this.#turn.show(key);
  }

  /** @param {Key} key */
  forget(key) {
    this.#conversations.delete(key);
    this.#wanted.delete(key);
    this.#silent.delete(key);
    this.#connection.forget(key);
  }

  /** The connection is lost. */
  lost() {
    this.#heldUntil = 0;
    this.#silent.clear();
  }

  /** @param {any} frame one of a kind that may be unknown here */
  entry(frame) {
    if (!Number.isSafeInteger(frame.seq) || frame.seq < 1) {
      return;
    }
    /** @type {Key} */
    let key;
    if (typeof frame.room === "string") {
      // What comes before `joined` is of an earlier stay, and comes again.
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
    const news = conversation.receive(entryOf(frame));
    this.#heard.add(key);
    this.#silent.delete(key);
    if (news === "gap") {
      this.#missing.add(key);
    } else if (news !== "known") {
      this.#arrived(conversation, news);
    }
    if (isNew) {
      this.#turn.do({ do: "show", what: "conversations" });
    }
  }

  /**
   * @param {Conversation} conversation
   * @param {Entry[]} news
   */
  #arrived(conversation, news) {
    const { key } = conversation;
    this.#said += 1;
    conversation.recency = this.#said;
    for (const entry of news) {
      const mine = entry.from === this.#user && entry.nonce ? this.#outbox.find(entry.nonce) : undefined;
      if (mine) {
        // Nobody sees a message before it is stored, so it need not wait for its receipt.
        this.#outbox.stored(mine, entry.seq);
      }
      this.#turn.do({ do: "arrived", key, entry, isNews: entry.seq > conversation.replayTo });
    }
    this.#outbox.dropStored(key, conversation.seen ?? 0);
    this.#turn.show(key);
  }

  /**
   * Somebody wants to see a part of a conversation.
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
      this.#turn.now < this.#heldUntil ||
      !this.#mayAsk(key) ||
      this.#connection.isAsking(key, part)
    ) {
      return;
    }
    const where = conversation.where(part, seq);
    if (where) {
      this.#ask(part, key, where, seq);
    }
    this.#turn.show(key);
  }

  /**
   * Whether a message is still being looked for.
   * @param {Key} key
   * @param {number} seq
   */
  isSeeking(key, seq) {
    const wanted = this.#wanted.get(key);
    return (wanted?.part === "around" && wanted.seq === seq) || this.#connection.isAsking(key, "around");
  }

  /**
   * Somebody who wanted to see the end goes on reading where they are.
   * @param {Key} key
   */
  stay(key) {
    if (this.#wanted.get(key)?.part === "latest" && this.#conversations.of(key).last > 0) {
      this.#wanted.delete(key);
    }
  }

  /**
   * Asks for what is to be asked next, one page at a time: while it reads two
   * for somebody, a server takes nothing else from them.
   */
  goOn() {
    for (const [key, until] of this.#silent) {
      if (this.#turn.now >= until) {
        // Perhaps nothing is kept of it. Only a page says so.
        this.#silent.delete(key);
        if (!this.#wanted.has(key)) this.#wanted.set(key, { part: "latest", seq: 0 });
      }
    }
    if (this.#turn.now < this.#heldUntil) {
      return;
    }
    this.#heldUntil = 0;
    if (this.#connection.isReading) {
      return;
    }
    for (const [key, { part, seq }] of this.#wanted) {
      if (this.#mayAsk(key)) {
        this.load(key, part, seq);
        return;
      }
    }
    for (const key of this.#missing) {
      const conversation = this.#conversations.get(key);
      if (conversation?.isBehind && this.#mayAsk(key)) {
        this.#ask("gap", key, { after: conversation.seen ?? 0 });
        return;
      }
      this.#missing.delete(key);
      // Whoever was refused a part of it asks again.
      this.#turn.show(key);
    }
    for (const key of this.#unsure) {
      this.#ask("end", key, { limit: 1 });
      return;
    }
  }

  /** When to look again. */
  get dueAt() {
    return Math.min(this.#heldUntil || Infinity, ...this.#silent.values());
  }

  /**
   * Pages of a room are for those who are in it.
   * @param {Key} key
   */
  #mayAsk(key) {
    return key.startsWith("@") || this.#rooms.isIn(key.slice(1));
  }

  /**
   * @param {"gap" | "end" | Part} kind
   * @param {Key} key
   * @param {{ before?: number, after?: number, limit?: number }} where
   * @param {number} [seq]
   */
  #ask(kind, key, where, seq) {
    const whose = key.startsWith("#") ? { room: key.slice(1) } : { with: key.slice(1) };
    this.#connection.request(kind, key, { type: "history", ...whose, limit: PAGE, ...where }, { seq });
  }

  /**
   * A page came.
   * @param {Request} request
   * @param {Conversation} conversation
   * @param {any} frame
   */
  page({ key, kind, seq }, conversation, frame) {
    /** @type {Entry[]} */
    const page = (frame.messages ?? []).map(entryOf);
    const first = Math.max(1, frame.first ?? 1);
    this.#connection.wentWell();
    if (kind === "gap") {
      this.#fill(conversation, page);
    } else if (kind === "end") {
      // All of it may have been said too long ago to be kept.
      this.#goesTo(conversation, page.at(-1)?.seq ?? first - 1);
    } else if (kind !== "join" && kind !== "probe") {
      const wanted = this.#wanted.get(key);
      if (wanted?.part === kind && wanted.seq === seq) {
        this.#wanted.delete(key);
      }
      const next = conversation.take(kind, page, first, Boolean(frame.has_more));
      if (next) {
        this.load(key, next, 0);
      }
    }
    this.#turn.show(key);
  }

  /**
   * @param {Conversation} conversation
   * @param {Entry[]} page
   */
  #fill(conversation, page) {
    const { key, name, seen, isRoom, epoch, top } = conversation;
    for (const entry of page) {
      const news = conversation.receive(entry);
      if (Array.isArray(news)) {
        this.#arrived(conversation, news);
      }
    }
    if (conversation.seen !== seen) {
      return;
    }
    // What is missing is no longer kept.
    if (isRoom) {
      this.#rooms.comeAnew(name, true);
    } else if (conversation.hasGap) {
      this.#arrived(conversation, conversation.giveUpGap());
    } else {
      conversation.restart(epoch, top);
      conversation.seen = top;
      this.load(key, "latest", 0);
    }
  }

  /**
   * A page did not come, and is asked for again in a while.
   * @param {Request} request
   * @param {any} error
   */
  refused({ key, kind }, { code, retry_after: after }) {
    if (code === "not_joined") {
      this.#rooms.comeBack(key.slice(1));
      return;
    }
    const line = kind === "end" ? this.#unsure : this.#missing;
    line.delete(key);
    line.add(key);
    this.#heldUntil ||= this.#turn.now + this.#connection.pause(after);
    this.#turn.show(key);
  }
}

/** The entries of a room follow `joined` at once, unless there are none. */
const SILENT_MS = 1_000;
