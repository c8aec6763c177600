// What belongs to the account and is the same on every device: its rooms, how far
// each conversation is read, what is unread in it, and what the user is notified of.

import { isMessage } from "./changes.js";

/** @typedef {import("./connection.js").Connection} Connection */
/** @typedef {import("./connection.js").Step} Step */
/** @typedef {import("./conversation.js").Conversations} Conversations */
/** @typedef {import("./conversation.js").Entry} Entry */
/** @typedef {import("./conversation.js").Key} Key */
/** @typedef {"all" | "mentions" | "none"} Level */

/**
 * @typedef {object} Place a room or a private conversation, as the account has it
 * @property {Key} key
 * @property {string} title of a room; empty while it is not known
 * @property {"open" | "closed"} access
 * @property {"member" | "moderator" | null} role null: the user is no member of the room
 * @property {boolean} archived
 * @property {number} top the last number that `unread` counts
 * @property {number} at when its last message was written, Unix seconds
 * @property {number} arrival orders places whose `at` is the same
 * @property {number} rose the higher, the later it became unread
 * @property {number | null} read the number up to which the user has read; null: what there is counts as read
 * @property {number} unread messages of others after `read`; `UNREAD_MAX`: that many or more
 * @property {number} mentions those of them that mention the user
 * @property {Level} level
 * @property {News[]} news what was counted since `hello`, the latest last
 */

/**
 * What an entry, or what was said about several up to a number, adds to the counts.
 * @typedef {{ seq: number, message: number, unread: number, mentions: number }} News `message`: the number of the message that is counted; unread again it would not be
 */

/** Keeps the places of the account, and tells the server what was read here. */
export class Account {
  /** @type {Map<Key, Place>} */
  places = new Map();
  /** Whether the account has more rooms than `hello` listed. */
  hasMoreRooms = false;
  /** What the server has beyond the first version of the protocol. @type {Set<string>} */
  features = new Set();
  #epoch = "";
  #arrivals = 0;
  /** Marks that the server does not know yet. @type {Set<Key>} */
  #unsaid = new Set();
  /** When each mark was last sent. @type {Map<Key, number>} */
  #saidAt = new Map();
  /** Levels that the server does not know yet. @type {Set<Key>} */
  #unsaidLevels = new Set();
  #user;
  #step;
  #connection;
  #conversations;

  /**
   * @param {string} user who is signed in
   * @param {Step} step
   * @param {Connection} connection
   * @param {Conversations} conversations
   */
  constructor(user, step, connection, conversations) {
    this.#user = user;
    this.#step = step;
    this.#connection = connection;
    this.#conversations = conversations;
  }

  /** Whether rooms and marks belong to the account: older servers leave them to the browser. */
  get isKept() {
    return this.features.has("read");
  }

  /**
   * The place of a room or a private conversation. It is made at its first use.
   * @param {Key} key
   * @returns {Place}
   */
  of(key) {
    let place = this.places.get(key);
    if (!place) {
      const isRoom = key.startsWith("#");
      place = {
        key,
        title: "",
        access: "open",
        role: isRoom ? null : "member",
        archived: false,
        top: 0,
        at: 0,
        arrival: 0,
        rose: 0,
        read: isRoom ? null : 0,
        unread: 0,
        mentions: 0,
        level: isRoom ? "mentions" : "all",
        news: [],
      };
      this.places.set(key, place);
    }
    return place;
  }

  /**
   * Whether an entry mentions the user, as the server says.
   * @param {Pick<Entry, "mentions" | "mentionAll">} entry
   */
  isMentioned({ mentions = [], mentionAll = false }) {
    return mentionAll || mentions.includes(this.#user);
  }

  /** @param {any} hello with the rooms and the private conversations that have the newest messages, the latest first */
  hello({ epoch, features = [], rooms = [], has_more_rooms: hasMoreRooms = false, privates = [] }) {
    this.features = new Set(features);
    this.hasMoreRooms = hasMoreRooms;
    if (this.#epoch !== epoch) {
      // The numbers mean other entries.
      this.places.clear();
      this.#unsaid.clear();
      this.#epoch = epoch;
    }
    const listed = new Set();
    this.#arrivals += rooms.length + privates.length;
    let arrival = this.#arrivals;
    for (const line of [...privates, ...rooms]) {
      const key = keyOf(line);
      listed.add(key);
      this.#list(key, line, arrival);
      arrival -= 1;
    }
    for (const place of this.isKept && !hasMoreRooms ? this.places.values() : []) {
      if (place.key.startsWith("#") && place.role !== null && !listed.has(place.key)) leave(place);
    }
  }

  /**
   * Takes over a line of `hello`.
   * @param {Key} key
   * @param {any} line
   * @param {number} arrival
   */
  #list(key, { title = "", access = "open", archived = false, role = "member", seq = 0, top = seq, at = 0, read, unread, mentions = 0, level }, arrival) {
    const isNew = !this.places.has(key);
    const place = this.of(key);
    const known = place.read;
    Object.assign(place, { title, access, archived, role, top, at, arrival, rose: arrival, news: [] });
    if (!this.#unsaidLevels.has(key)) place.level = level ?? place.level;
    if (!this.isKept) {
      // An older server has no marks: what was there when the page was opened counts as read.
      if (isNew) place.read = top;
      return;
    }
    place.read = Math.min(Math.max(known ?? 0, read ?? 0), top);
    // Under load the counts are left out, and follow.
    if (unread !== undefined) Object.assign(place, { unread, mentions });
    if (place.read > (read ?? 0)) {
      this.#unsaid.add(key);
      this.#shrink(place, place.read);
    }
  }

  /** @param {any[]} rooms as `GET /api/rooms` lists them */
  know(rooms) {
    for (const { name, title, access = "open", archived = false, member } of rooms) {
      const place = this.of(`#${name}`);
      Object.assign(place, { title, access, archived });
      if (member) place.role ??= "member";
    }
    this.#show();
  }

  /**
   * A room is joined: in one of which no mark is known, everything counts as read.
   * @param {any} joined
   */
  joined({ room, seq }) {
    const place = this.of(`#${room}`);
    if (!this.isKept) place.role ??= "member";
    if (place.read === null || place.role === null) {
      Object.assign(place, { read: seq, top: Math.max(place.top, seq), unread: 0, mentions: 0 });
    }
  }

  /**
   * Counts an entry that was delivered.
   * @param {Key} key
   * @param {Entry} entry
   */
  entry(key, entry) {
    const { kind, seq, from, timestamp } = entry;
    const isNew = isMessage(entry);
    const place = this.of(key);
    if (isNew) place.at = Math.max(place.at, timestamp);
    if (seq > place.top) {
      place.top = seq;
      if (isNew) this.#arrived(place, timestamp);
      if (place.role === null) {
        place.read = seq;
      } else if (isNew && from !== this.#user && !entry.deleted && seq > (place.read ??= seq - 1)) {
        this.#add(place, { seq, message: seq, unread: 1, mentions: Number(this.isMentioned(entry)) });
      } else if (kind === "edit" || kind === "delete") {
        this.#changed(place, entry);
      }
    }
    if (from === this.#user && isNew) {
      // A user who answers, even on another device, has read what is above.
      this.read(key, seq);
    }
  }

  /**
   * Counts a change of a message that is unread.
   * @param {Place} place
   * @param {Entry} change
   */
  #changed(place, { kind, seq, target: message = 0, before, mentions, mentionAll, isReplaced }) {
    // Own messages are read; one that is not in memory counts without a mention.
    if (message <= (place.read ?? 0) || before?.from === this.#user || before?.deleted) {
      return;
    }
    const was = Number(before !== undefined && this.isMentioned(before));
    if (kind === "delete") {
      this.#add(place, { seq, message, unread: -1, mentions: -was });
    } else if (before && !isReplaced) {
      const is = Number(this.isMentioned({ mentions, mentionAll }));
      if (is !== was) this.#add(place, { seq, message, unread: 0, mentions: is - was });
    }
  }

  /** @param {any} frame how much was written in a room that is not joined */
  activity({ room, top, at, new: unread = 0, mentions = 0 }) {
    const place = this.of(`#${room}`);
    if (top > place.top) {
      place.read ??= top - unread;
      this.#add(place, { seq: top, message: top, unread: Math.min(unread, top - place.top), mentions });
      place.top = top;
      this.#arrived(place, at);
      this.#step.emit({ do: "activity", key: place.key, unread, mentions });
      this.#show();
    }
  }

  /** @param {any} frame what was read on another connection of the user, or counts that `hello` left out */
  readElsewhere(frame) {
    const { upto, top, unread, mentions = 0 } = frame;
    const place = this.of(keyOf(frame));
    if (upto < (place.read ?? 0)) {
      // This page knows more, and says so.
      return;
    }
    place.read = upto;
    this.#unsaid.delete(place.key);
    if (unread !== undefined) {
      // The counts are as of `top`; later messages may be here already.
      Object.assign(place, { unread, mentions });
      for (const news of place.news) {
        if (news.seq > top && news.message > upto) increase(place, news);
      }
      place.top = Math.max(place.top, top);
    } else {
      this.#shrink(place, upto);
    }
    this.#step.emit({ do: "read", key: place.key });
    this.#show();
  }

  /**
   * Marks a conversation as read up to a number.
   * @param {Key} key
   * @param {number} upto
   */
  read(key, upto) {
    const place = this.of(key);
    if (place.read !== null && upto <= place.read) {
      return;
    }
    place.read = upto;
    this.#shrink(place, upto);
    if (place.role !== null) this.#unsaid.add(key);
    this.#step.emit({ do: "read", key });
    this.#show();
  }

  /**
   * @param {Key} key
   * @param {Level} level
   */
  setLevel(key, level) {
    this.of(key).level = level;
    this.#unsaidLevels.add(key);
    this.#show();
  }

  /** @param {any} frame */
  levelElsewhere(frame) {
    this.of(keyOf(frame)).level = frame.level;
    this.#unsaidLevels.delete(keyOf(frame));
    this.#show();
  }

  /**
   * The user's membership, or the room, has changed.
   * @param {any} frame
   */
  room({ room, member, title = "", access = "open", archived = false, role = "member" }) {
    const place = this.of(`#${room}`);
    if (member === false) {
      leave(place);
    } else {
      if (place.role === null) {
        // A new membership starts with everything read.
        this.#arrived(place, Math.max(...Array.from(this.places.values(), ({ at }) => at)));
        // What was shown before this frame came may be behind the membership's beginning.
        if (place.read !== null) this.#unsaid.add(place.key);
      }
      Object.assign(place, { title, access, archived, role });
    }
    this.#step.emit({ do: "membership", room, isMember: place.role !== null });
    this.#show();
  }

  /** Sends marks, for each conversation at most once in `SAID_EVERY_MS`, and levels. */
  proceed() {
    if (!this.isKept) {
      return;
    }
    for (const key of this.#unsaid) {
      if (this.#step.now >= this.#dueAt(key)) {
        this.#unsaid.delete(key);
        this.#saidAt.set(key, this.#step.now);
        this.#connection.send({ type: "read", ...whereOf(key), upto: this.of(key).read });
      }
    }
    for (const key of this.#unsaidLevels) {
      // A level of a room can be set by its members only.
      const { role, level } = this.of(key);
      if (role !== null) {
        this.#unsaidLevels.delete(key);
        this.#connection.send({ type: "level", ...whereOf(key), level });
      }
    }
  }

  /** Sends all marks at the next `proceed`: the page may be gone before they are due. */
  hurry() {
    this.#saidAt.clear();
  }

  /** When `proceed` has something to do. */
  get dueAt() {
    const isOpen = this.#connection.state === "open" && this.isKept;
    return isOpen ? Math.min(Infinity, ...Array.from(this.#unsaid, (key) => this.#dueAt(key))) : Infinity;
  }

  /** The connection is lost. The next `hello` shows which marks have arrived. */
  disconnected() {
    this.#saidAt.clear();
  }

  /** @param {Key} key */
  #dueAt(key) {
    return (this.#saidAt.get(key) ?? -Infinity) + SAID_EVERY_MS;
  }

  /**
   * @param {Place} place
   * @param {number} at
   */
  #arrived(place, at) {
    this.#arrivals += 1;
    place.arrival = this.#arrivals;
    place.at = Math.max(place.at, at);
  }

  /**
   * @param {Place} place
   * @param {News} news
   */
  #add(place, news) {
    if (place.unread === 0) place.rose = this.#arrivals;
    increase(place, news);
    place.news.push(news);
    if (place.news.length > UNREAD_MAX) place.news.shift();
  }

  /**
   * Counts anew after more was read.
   * @param {Place} place
   * @param {number} upto
   */
  #shrink(place, upto) {
    const { from = 1, upto: last = 0, entries = [] } = this.#conversations.get(place.key) ?? {};
    const counted = { unread: 0, mentions: 0 };
    if (upto >= place.top) {
      Object.assign(place, counted);
    } else if (from <= upto + 1 && last >= place.top) {
      for (const entry of entries) {
        if (entry.seq > upto && entry.from !== this.#user && !entry.deleted) {
          increase(counted, { unread: 1, mentions: Number(this.isMentioned(entry)) });
        }
      }
      Object.assign(place, counted);
    } else {
      // Which messages those are is not known: no more than there are numbers.
      place.unread = Math.min(place.unread, place.top - upto);
      place.mentions = Math.min(place.mentions, place.unread);
    }
  }

  #show() {
    this.#step.emit({ do: "show", what: "conversations" });
  }
}

/**
 * The order in which places are listed: unread ones first, those with a mention
 * before others, and then the latest. Unread ones keep their order while more is written
 * in them, so that lines do not move under the hand of the reader. Archived rooms are last.
 * @param {Place[]} places
 * @param {Key | null} current the one that is open: what is new in it is in view, and moves nothing
 */
export function inOrder(places, current) {
  const rank = (/** @type {Place} */ place) => (place.archived ? -1 : place.key === current || !isLoud(place) ? 0 : place.mentions > 0 ? 2 : 1);
  return places.toSorted((a, b) => rank(b) - rank(a) || (rank(a) > 0 ? b.rose - a.rose : b.at - a.at || b.arrival - a.arrival));
}

/**
 * Whether there is something unread that the user wants to know of: where nothing is
 * to be notified, only mentions are, and of an archived room nothing is.
 * @param {Place} place
 */
export function isLoud({ unread, mentions, level, archived }) {
  return !archived && (mentions > 0 || (unread > 0 && level !== "none"));
}

/**
 * Whether the user wants to be notified of a message.
 * @param {Place} place
 * @param {boolean} isMentioned
 */
export function isWanted({ role, level }, isMentioned) {
  return role !== null && (level === "all" || (level === "mentions" && isMentioned));
}

/**
 * Adds to counts, which end at `UNREAD_MAX`.
 * @param {{ unread: number, mentions: number }} counts
 * @param {{ unread: number, mentions: number }} more
 */
function increase(counts, more) {
  counts.unread = sum(counts.unread, more.unread);
  counts.mentions = sum(counts.mentions, more.mentions);
}

/**
 * @param {number} count
 * @param {number} more perhaps less than 0
 */
function sum(count, more) {
  // Where there are that many or more, one less may be as many.
  return count >= UNREAD_MAX && more < 0 ? count : Math.max(0, Math.min(UNREAD_MAX, count + more));
}

/**
 * The user is no member of a room any more.
 * @param {Place} place
 */
function leave(place) {
  Object.assign(place, { role: null, read: null, unread: 0, mentions: 0, level: "mentions", news: [] });
}

/**
 * @param {any} frame
 * @returns {Key}
 */
function keyOf({ room, with: name }) {
  return typeof room === "string" ? `#${room}` : `@${name}`;
}

/** @param {Key} key */
function whereOf(key) {
  return key.startsWith("#") ? { room: key.slice(1) } : { with: key.slice(1) };
}

/** Counts are exact below this number, which means that many or more. */
export const UNREAD_MAX = 100;
/** How often a mark of a conversation is sent at most. */
export const SAID_EVERY_MS = 1_000;
