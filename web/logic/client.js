// The client's half of the protocol `chat.v2`: decides, and does nothing itself.
// What happens goes in through `step`, with the time and the randomness; what
// is to be done comes out. No DOM, no clock, no socket.

import { backoff } from "./backoff.js";
import { Conversation } from "./conversation.js";
import { Outbox } from "./outbox.js";

/** @typedef {import("./conversation.js").Entry} Entry */
/** @typedef {import("./conversation.js").Key} Key */
/** @typedef {import("./outbox.js").Item} Item */

/**
 * What happens. `timer`: `wakeAt` has come. `session` answers `ask`, and no
 * answer counts as signed in. `nudge`: the network may have changed, or the
 * page came to the front.
 * @typedef {{ type: "start" }
 *   | { type: "opened" }
 *   | { type: "frame", frame: any }
 *   | { type: "closed", code: number, wasOpen: boolean }
 *   | { type: "timer" }
 *   | { type: "session", signedIn: boolean }
 *   | { type: "nudge" }
 *   | { type: "join", room: string }
 *   | { type: "leave", room: string }
 *   | { type: "send", item: Item }
 *   | { type: "retry", nonce: string }
 *   | { type: "discard", nonce: string }
 *   | { type: "load", key: Key, part: Part, seq?: number }} Input
 */

/** @typedef {"older" | "newer" | "around" | "latest"} Part */

/**
 * What is to be done. `close`: nothing more may come in from that socket.
 * `ask`: whether somebody is still signed in. `keep` and `drop`: in the store.
 * `arrived`: an entry that was not asked for.
 * @typedef {{ do: "connect" }
 *   | { do: "send", frame: object }
 *   | { do: "close" }
 *   | { do: "ask" }
 *   | { do: "keep", item: Item }
 *   | { do: "drop", nonce: string }
 *   | { do: "arrived", key: Key, entry: Entry, isNews: boolean }
 *   | { do: "presence", room: string, user: string, isOnline: boolean }
 *   | { do: "stored", item: Item }
 *   | { do: "show", what: "connection" | "conversations" }
 *   | { do: "show", what: "conversation", key: Key }
 *   | { do: "signed-out" }} Output
 */

/** @typedef {{ now: number, random: () => number }} Moment monotonic milliseconds; from 0 up to 1 */

/**
 * @typedef {object} Room
 * @property {"out" | "joining" | "in" | "refused"} status
 * @property {Set<string>} members at most 200 of those who are here
 * @property {number} online how many there are
 * @property {string} [reason] the code of the refusal
 */

/** @typedef {{ kind: "join" | "gap" | "probe" | Part, key: Key, seq?: number, at: number, fresh?: boolean }} Request */

export class Client {
  /** @type {string} */
  user;
  /** `waiting` for the next attempt, `ended` for good. @type {"waiting" | "connecting" | "open" | "ended"} */
  state = "waiting";
  /** When to step with `timer`; null: not needed. @type {number | null} */
  wakeAt = null;
  /** When there was last a connection; null while there is one. @type {number | null} */
  lostAt = 0;
  /** @type {Map<Key, Conversation>} */
  conversations = new Map();
  /** Those that are to be joined. @type {Map<string, Room>} */
  rooms = new Map();
  outbox = new Outbox();
  textMaxChars = 4096;
  /** Whether `hello` has ever come. */
  hasGreeted = false;

  #epoch = "";
  #attempts = 0;
  #openedAt = 0;
  #heardAt = 0;
  #probeAfterMs = PROBE_AFTER_MS;
  /** @type {number | null} */
  #retryAt = null;
  /** What the server asked for with `reconnect`. @type {number | null} */
  #returnAfterMs = null;
  /** Until then nothing is sent from the outbox: the server could not store. @type {number | null} */
  #heldUntil = null;
  /** @type {number | null} */
  #rejoinAt = null;
  #refusals = 0;
  /** @type {Map<string, Request>} */
  #requests = new Map();
  #refs = 0;
  #said = 0;
  #sentAt = 0;
  /** What somebody waits to see, until it is there. @type {Map<Key, { part: "around" | "latest", seq: number }>} */
  #wanted = new Map();
  /** @type {Output[]} */
  #out = [];
  /** @type {Moment} */
  #moment = { now: 0, random: () => 0 };

  /** @param {string} user who is signed in */
  constructor(user) {
    this.user = user;
  }

  /**
   * @param {Input} input
   * @param {Moment} moment
   * @returns {Output[]}
   */
  step(input, moment) {
    this.#moment = moment;
    this.#out = [];
    if (this.state !== "ended") {
      this.#take(input);
      if (this.state === "open") {
        this.#sendOutbox();
      }
      this.wakeAt = this.#nextWake();
    }
    return this.#out;
  }

  /** When the next attempt is due; null while one is made or there is a connection. */
  get retryAt() {
    return this.#retryAt;
  }

  /**
   * Whether a part is on its way.
   * @param {Key} key
   * @param {Part | "gap"} part
   */
  isLoading(key, part) {
    return [...this.#requests.values()].some((request) => request.key === key && request.kind === part);
  }

  /**
   * Those with whom one talks in private.
   * @returns {Conversation[]}
   */
  get privates() {
    return [...this.conversations.values()].filter((conversation) => !conversation.isRoom);
  }

  /**
   * Whether somebody is known to be here: in one of the joined rooms.
   * @param {string} name
   */
  isOnline(name) {
    return [...this.rooms.values()].some(({ members }) => members.has(name));
  }

  /** @param {Input} input */
  #take(input) {
    switch (input.type) {
      case "start":
        this.#connect();
        break;
      case "opened":
        this.#heardAt = this.#moment.now;
        break;
      case "frame":
        this.#frame(input.frame);
        break;
      case "closed":
        this.#closed(input.code, input.wasOpen);
        break;
      case "timer":
        this.#timer();
        break;
      case "session":
        if (!input.signedIn) {
          this.#end();
        }
        break;
      case "nudge":
        if (this.state === "waiting" && this.#retryAt !== null) {
          this.#retryAt = Math.min(this.#retryAt, this.#moment.now + this.#moment.random() * NUDGED_WITHIN_MS);
        } else if (this.state === "open" && this.#moment.now - this.#heardAt > NUDGE_AFTER_MS) {
          this.#probe();
        }
        break;
      case "join":
        this.#wantRoom(input.room);
        break;
      case "leave":
        this.#unwantRoom(input.room);
        break;
      case "send":
        if (this.outbox.add(input.item)) {
          this.#prepare(input.item);
          this.#do({ do: "keep", item: input.item });
          this.#showConversation(input.item.key);
        }
        break;
      case "retry":
        this.#retry(input.nonce);
        break;
      case "discard":
        this.#discard(input.nonce);
        break;
      case "load":
        this.#load(input.key, input.part, input.seq ?? 0);
        break;
    }
  }

  // The connection.

  #connect() {
    this.state = "connecting";
    this.#retryAt = null;
    this.#openedAt = this.#moment.now;
    this.#do({ do: "connect" });
    this.#do({ do: "show", what: "connection" });
  }

  /**
   * @param {number} code
   * @param {boolean} wasOpen
   */
  #closed(code, wasOpen) {
    if (code === SIGNED_OUT) {
      this.#end();
      return;
    }
    // A browser does not tell a script why an upgrade was refused.
    if (code === POLICY || !wasOpen) {
      this.#do({ do: "ask" });
    }
    this.#lost();
  }

  /** Makes the connection anew in a while. */
  #lost() {
    const { now, random } = this.#moment;
    if (this.state === "open") {
      // One that is closed at once is no reason to come back at once.
      if (now - this.#openedAt > STEADY_MS) {
        this.#attempts = 0;
      }
      this.lostAt = now;
    }
    this.state = "waiting";
    this.#retryAt = now + (this.#returnAfterMs ?? backoff(this.#attempts, random));
    this.#attempts += this.#returnAfterMs === null ? 1 : 0;
    this.#returnAfterMs = null;
    this.#requests.clear();
    this.#heldUntil = null;
    this.#rejoinAt = null;
    this.outbox.takeBack();
    for (const room of this.rooms.values()) {
      if (room.status !== "refused") {
        room.status = "out";
      }
    }
    this.#do({ do: "show", what: "connection" });
  }

  /** Gives up a connection from which nothing comes. */
  #cut() {
    this.#do({ do: "close" });
    this.#lost();
  }

  #end() {
    this.state = "ended";
    this.wakeAt = null;
    this.#do({ do: "close" });
    this.#do({ do: "signed-out" });
  }

  #timer() {
    const { now } = this.#moment;
    if (this.state === "waiting") {
      if (this.#retryAt !== null && now >= this.#retryAt) {
        this.#connect();
      }
      return;
    }
    if (now >= this.#answerDue()) {
      this.#cut();
      return;
    }
    if (this.state !== "open") {
      return;
    }
    if (this.#heldUntil !== null && now >= this.#heldUntil) {
      this.#heldUntil = null;
    }
    if (this.#rejoinAt !== null && now >= this.#rejoinAt) {
      this.#rejoinAt = null;
      for (const [name, room] of this.rooms) {
        if (room.status === "out") {
          this.#join(name);
        }
      }
    }
    if (now - this.#heardAt >= this.#probeAfterMs) {
      this.#probe();
    }
  }

  /**
   * Asks for something that costs nothing: pings are invisible to a script, so
   * silence alone does not tell whether there still is a connection.
   */
  #probe() {
    if (![...this.#requests.values()].some(({ kind }) => kind === "probe")) {
      this.#request("probe", `@${this.user}`, { type: "history", with: this.user, limit: 1 });
    }
  }

  /** When to stop waiting for an answer. */
  #answerDue() {
    if (this.state === "connecting") {
      return this.#openedAt + ANSWER_MS;
    }
    let due = Infinity;
    for (const { kind, at } of this.#requests.values()) {
      due = Math.min(due, at + (kind === "probe" ? PROBE_ANSWER_MS : ANSWER_MS));
    }
    // Whatever comes shows that the connection lives; a server may be slow to store.
    return this.outbox.isSending ? Math.min(due, Math.max(this.#sentAt, this.#heardAt) + ANSWER_MS) : due;
  }

  #nextWake() {
    if (this.state === "ended") {
      return null;
    }
    if (this.state === "waiting") {
      return this.#retryAt;
    }
    let next = this.#answerDue();
    if (this.state === "open") {
      next = Math.min(
        next,
        this.#heldUntil ?? Infinity,
        this.#rejoinAt ?? Infinity,
        this.#isProbing ? Infinity : this.#heardAt + this.#probeAfterMs,
      );
    }
    return next;
  }

  get #isProbing() {
    return [...this.#requests.values()].some(({ kind }) => kind === "probe");
  }

  /** @param {any} frame */
  #frame(frame) {
    this.#heardAt = this.#moment.now;
    if (frame === null || typeof frame !== "object") {
      return;
    }
    switch (frame.type) {
      case "hello":
        return this.#hello(frame);
      case "joined":
        return this.#joined(frame);
      case "left":
        return;
      case "ack":
        return this.#ack(frame);
      case "history":
        return this.#history(frame);
      case "presence":
        return this.#presence(frame);
      case "error":
        return this.#error(frame);
      case "reconnect":
        this.#returnAfterMs = nonNegative(frame.after_ms);
        return;
      default:
        this.#entry(frame);
    }
  }

  /** @param {any} hello */
  #hello(hello) {
    if (hello.user !== this.user) {
      this.#end();
      return;
    }
    this.state = "open";
    this.hasGreeted = true;
    this.lostAt = null;
    this.#openedAt = this.#moment.now;
    if (hello.heartbeat_seconds > 0) {
      this.#probeAfterMs = Math.min(Math.max(hello.heartbeat_seconds * 1000, PROBE_AFTER_MS), PROBE_AFTER_MAX_MS);
    }
    this.textMaxChars = hello.limits?.text_max_chars ?? this.textMaxChars;
    this.#newEpoch(String(hello.epoch));
    // The latest comes first.
    for (const { with: name, seq } of (hello.privates ?? []).toReversed()) {
      this.#privateGoesTo(name, seq);
    }
    for (const [name, room] of this.rooms) {
      if (room.status === "out") {
        this.#join(name);
      }
    }
    for (const [key, { part, seq }] of this.#wanted) {
      if (key.startsWith("@")) {
        this.#load(key, part, seq);
      }
    }
    this.#do({ do: "show", what: "connection" });
    this.#do({ do: "show", what: "conversations" });
  }

  /**
   * Other numbers mean nothing together with those known here.
   * @param {string} epoch
   */
  #newEpoch(epoch) {
    if (this.#epoch === epoch) {
      return;
    }
    this.#epoch = epoch;
    for (const conversation of this.conversations.values()) {
      if (conversation.epoch !== epoch) {
        conversation.restart(epoch, 0);
        conversation.seen = null;
        this.#dropStored(conversation.key, Infinity);
        this.#showConversation(conversation.key);
      }
    }
  }

  get epoch() {
    return this.#epoch;
  }

  // Rooms.

  /** @param {string} name */
  #wantRoom(name) {
    const known = this.rooms.get(name);
    if (known && known.status !== "refused") {
      return;
    }
    this.rooms.set(name, { status: "out", members: new Set(), online: 0 });
    this.#conversation(`#${name}`);
    if (this.state === "open") {
      this.#join(name);
    }
    this.#do({ do: "show", what: "conversations" });
  }

  /** @param {string} name */
  #unwantRoom(name) {
    const room = this.rooms.get(name);
    if (!room) {
      return;
    }
    this.rooms.delete(name);
    this.conversations.delete(`#${name}`);
    this.#wanted.delete(`#${name}`);
    for (const [ref, request] of this.#requests) {
      if (request.key === `#${name}`) {
        this.#requests.delete(ref);
      }
    }
    if (this.state === "open" && (room.status === "in" || room.status === "joining")) {
      this.#send({ type: "leave", room: name });
    }
    this.#do({ do: "show", what: "conversations" });
  }

  /**
   * @param {string} name
   * @param {boolean} fresh does not go on from what is here
   */
  #join(name, fresh = false) {
    const room = this.rooms.get(name);
    if (!room) {
      return;
    }
    room.status = "joining";
    const { seen, epoch } = this.#conversation(`#${name}`);
    const from = seen !== null && epoch && !fresh ? { since: seen, epoch } : {};
    this.#request("join", `#${name}`, { type: "join", room: name, ...from }, { fresh: !("since" in from) });
  }

  /** @param {any} joined */
  #joined({ room: name, epoch, seq, recovered, online, members, ref }) {
    const request = this.#requests.get(ref);
    this.#requests.delete(ref);
    const room = this.rooms.get(name);
    if (!room || !request) {
      return;
    }
    room.status = "in";
    room.members = new Set(members ?? []);
    room.online = Math.max(online ?? 0, room.members.size);
    this.#refusals = 0;
    const key = /** @type {Key} */ (`#${name}`);
    const conversation = this.#conversation(key);
    if (!recovered) {
      conversation.restart(String(epoch), seq);
      this.#dropStored(key, Infinity);
    }
    conversation.top = Math.max(conversation.top, seq);
    conversation.replayTo = conversation.top;
    conversation.isLoaded = true;
    const wanted = this.#wanted.get(key);
    if (wanted?.part === "latest" && !recovered) {
      // That is what is about to come.
      this.#wanted.delete(key);
    } else if (wanted) {
      this.#load(key, wanted.part, wanted.seq);
    }
    this.#showConversation(key);
    this.#do({ do: "show", what: "conversations" });
  }

  /** @param {any} presence */
  #presence({ room: name, user, online }) {
    const room = this.rooms.get(name);
    if (!room) {
      return;
    }
    if (typeof online === "number") {
      room.online = online;
    } else if (typeof user === "string" && room.members.has(user) !== online) {
      room.online = Math.max(0, room.online + (online ? 1 : -1));
      online ? room.members.add(user) : room.members.delete(user);
      this.#do({ do: "presence", room: name, user, isOnline: online });
    }
    this.#do({ do: "show", what: "conversations" });
  }

  // Entries.

  /** @param {any} frame one of a kind that may be unknown here */
  #entry(frame) {
    if (!Number.isSafeInteger(frame.seq) || frame.seq < 1) {
      return;
    }
    /** @type {Key} */
    let key;
    if (typeof frame.room === "string") {
      if (!this.rooms.has(frame.room)) {
        return;
      }
      key = `#${frame.room}`;
    } else if (typeof frame.from === "string" && typeof frame.to === "string") {
      key = `@${frame.from === this.user ? frame.to : frame.from}`;
    } else {
      return;
    }
    const isNew = !this.conversations.has(key);
    const news = this.#conversation(key).receive(entryOf(frame));
    if (news === "gap") {
      this.#fillGap(key);
    } else if (news !== "known") {
      this.#arrived(key, news);
    }
    if (isNew) {
      this.#do({ do: "show", what: "conversations" });
    }
  }

  /**
   * @param {Key} key
   * @param {Entry[]} news
   */
  #arrived(key, news) {
    const conversation = this.#conversation(key);
    this.#said += 1;
    conversation.recency = this.#said;
    for (const entry of news) {
      const mine = entry.from === this.user && entry.nonce ? this.outbox.find(entry.nonce) : undefined;
      if (mine && mine.state !== "stored") {
        // Nobody sees a message before it is stored, so it need not wait for its receipt.
        this.#stored(mine, entry.seq);
      }
      this.#do({ do: "arrived", key, entry, isNews: entry.seq > conversation.replayTo });
    }
    this.#dropStored(key, conversation.seen ?? 0);
    this.#showConversation(key);
  }

  /**
   * What the log shows needs not be shown from the outbox.
   * @param {Key} key
   * @param {number} upTo
   */
  #dropStored(key, upTo) {
    for (const item of this.outbox.of(key)) {
      if (item.state === "stored" && (item.seq ?? 0) <= upTo) {
        this.outbox.remove(item.nonce);
      }
    }
  }

  /** @param {Key} key */
  #fillGap(key) {
    const { seen } = this.#conversation(key);
    if (!this.isLoading(key, "gap")) {
      this.#requestPage("gap", key, { after: seen ?? 0 });
    }
  }

  /**
   * @param {string} name
   * @param {number} seq how far the server says it goes
   */
  #privateGoesTo(name, seq) {
    const key = /** @type {Key} */ (`@${name}`);
    const conversation = this.#conversation(key);
    this.#said += 1;
    conversation.recency = this.#said;
    conversation.replayTo = seq;
    if (conversation.seen !== null && seq > conversation.seen) {
      conversation.top = Math.max(conversation.top, seq);
      if (conversation.entries.length > 0) {
        this.#fillGap(key);
        return;
      }
    }
    conversation.seen = Math.max(conversation.seen ?? 0, seq);
    conversation.top = Math.max(conversation.top, seq);
  }

  /**
   * @param {Key} key
   * @param {Part} part
   * @param {number} seq
   */
  #load(key, part, seq) {
    const conversation = this.#conversation(key);
    if (part === "around" || part === "latest") {
      this.#wanted.set(key, { part, seq });
    }
    const isReady = conversation.isRoom ? this.rooms.get(conversation.name)?.status === "in" : true;
    if (this.state !== "open" || !isReady || this.isLoading(key, part)) {
      return;
    }
    switch (part) {
      case "older":
        if (conversation.hasOlder && conversation.first > 1) {
          this.#requestPage("older", key, { before: conversation.first });
        }
        break;
      case "newer":
        if (!conversation.isAtEnd) {
          this.#requestPage("newer", key, { after: conversation.last });
        }
        break;
      case "around":
        this.#requestPage("around", key, { after: Math.max(0, seq - Math.floor(PAGE / 2)) }, seq);
        break;
      case "latest":
        this.#requestPage("latest", key, conversation.end > 0 ? { before: conversation.end + 1 } : {});
        break;
    }
    this.#showConversation(key);
  }

  /**
   * @param {"gap" | Part} kind
   * @param {Key} key
   * @param {{ before?: number, after?: number }} where
   * @param {number} [seq]
   */
  #requestPage(kind, key, where, seq) {
    const whose = key.startsWith("#") ? { room: key.slice(1) } : { with: key.slice(1) };
    this.#request(kind, key, { type: "history", ...whose, ...where, limit: PAGE }, { seq });
  }

  /** @param {any} frame */
  #history(frame) {
    const request = this.#requests.get(frame.ref);
    this.#requests.delete(frame.ref);
    const conversation = request && this.conversations.get(request.key);
    if (!request || !conversation || request.kind === "probe" || request.kind === "join") {
      return;
    }
    if (conversation.epoch !== String(frame.epoch)) {
      // The connection is older than the numbering: begin anew.
      this.#cut();
      return;
    }
    const { key, kind } = request;
    /** @type {Entry[]} */
    const page = (frame.messages ?? []).map(entryOf);
    switch (kind) {
      case "gap":
        this.#gapPage(conversation, page);
        break;
      case "older":
        conversation.prepend(page, Boolean(frame.has_more));
        break;
      case "newer":
        conversation.append(page);
        if (page.length === 0) {
          this.#load(key, "latest", 0);
        }
        break;
      case "around":
        this.#wanted.delete(key);
        if (page.length > 0) {
          conversation.replace(page, (page[0]?.seq ?? 1) > Math.max(1, frame.first ?? 1));
        } else {
          this.#load(key, "latest", 0);
        }
        break;
      case "latest":
        this.#wanted.delete(key);
        conversation.replace(page, Boolean(frame.has_more));
        break;
    }
    // What came while the page was under way.
    if (kind !== "gap" && page.length > 0 && !conversation.isAtEnd && conversation.end - conversation.last <= PAGE) {
      this.#load(key, "newer", 0);
    }
    this.#showConversation(key);
  }

  /**
   * @param {Conversation} conversation
   * @param {Entry[]} page
   */
  #gapPage(conversation, page) {
    const { key } = conversation;
    const before = conversation.seen;
    for (const entry of page) {
      const news = conversation.receive(entry);
      if (Array.isArray(news)) {
        this.#arrived(key, news);
      }
    }
    if (conversation.seen !== before) {
      if (conversation.hasGap || (!conversation.isRoom && (conversation.seen ?? 0) < conversation.top)) {
        this.#fillGap(key);
      }
    } else if (conversation.isRoom) {
      this.#send({ type: "leave", room: conversation.name });
      this.#join(conversation.name, true);
    } else if (conversation.hasGap) {
      this.#arrived(key, conversation.giveUpGap());
    } else {
      conversation.restart(conversation.epoch, conversation.top);
      conversation.seen = conversation.top;
      this.#load(key, "latest", 0);
    }
  }

  // The outbox.

  #sendOutbox() {
    if (this.#heldUntil !== null) {
      return;
    }
    const isReady = (/** @type {Key} */ key) =>
      key.startsWith("@") || this.rooms.get(key.slice(1))?.status === "in";
    for (const { nonce, key, text } of this.outbox.take(isReady)) {
      this.#sentAt = this.#moment.now;
      const name = key.slice(1);
      this.#send(
        key.startsWith("@")
          ? { type: "private", to: name, text, nonce }
          : { type: "message", room: name, text, nonce },
      );
    }
  }

  /**
   * A message needs its room, even one that was left in the meantime.
   * @param {Item} item
   */
  #prepare({ key }) {
    if (key.startsWith("#")) {
      this.#wantRoom(key.slice(1));
    } else {
      this.#conversation(key);
    }
  }

  /** @param {any} ack */
  #ack({ nonce, seq }) {
    const item = this.outbox.find(nonce);
    this.#refusals = 0;
    if (item && item.state !== "stored") {
      this.#stored(item, seq);
      this.#dropStored(item.key, this.#conversation(item.key).seen ?? 0);
      this.#showConversation(item.key);
    }
  }

  /**
   * @param {Item} item
   * @param {number} seq
   */
  #stored(item, seq) {
    item.state = "stored";
    item.seq = seq;
    this.#do({ do: "drop", nonce: item.nonce });
    this.#do({ do: "stored", item });
  }

  /** @param {string} nonce */
  #retry(nonce) {
    const item = this.outbox.find(nonce);
    if (item?.state === "failed") {
      item.state = "waiting";
      delete item.reason;
      this.#prepare(item);
      this.#do({ do: "keep", item });
      this.#showConversation(item.key);
    }
  }

  /** @param {string} nonce */
  #discard(nonce) {
    const item = this.outbox.find(nonce);
    if (item && item.state !== "sending") {
      this.outbox.remove(nonce);
      this.#do({ do: "drop", nonce });
      this.#showConversation(item.key);
    }
  }

  /** @param {any} error */
  #error({ code, ref, nonce, retry_after: after }) {
    const isPassing = code === "unavailable" || typeof after === "number";
    if (typeof nonce === "string") {
      this.#notSent(nonce, code, isPassing, after);
      return;
    }
    const request = this.#requests.get(ref);
    this.#requests.delete(ref);
    if (!request || request.kind === "probe") {
      return;
    }
    const { key, kind } = request;
    if (kind !== "join") {
      if (kind === "gap") {
        // A resume begins where the hole is.
        this.#cut();
      }
      this.#showConversation(key);
      return;
    }
    const room = this.rooms.get(key.slice(1));
    if (!room) {
      return;
    }
    if (code === "already_joined") {
      this.#send({ type: "leave", room: key.slice(1) });
      this.#join(key.slice(1));
    } else if (isPassing) {
      room.status = "out";
      this.#rejoinAt = this.#moment.now + this.#pause(after);
    } else if (code === "bad_request" && !request.fresh) {
      this.#join(key.slice(1), true);
    } else {
      room.status = "refused";
      room.reason = code;
      for (const item of this.outbox.of(key)) {
        this.#fail(item, code);
      }
    }
    this.#showConversation(key);
  }

  /**
   * @param {string} nonce
   * @param {string} code
   * @param {boolean} isPassing
   * @param {unknown} after seconds
   */
  #notSent(nonce, code, isPassing, after) {
    const item = this.outbox.find(nonce);
    if (!item || item.state !== "sending") {
      return;
    }
    if (isPassing) {
      // Nothing sent after it is stored either: all of it again, in order.
      this.outbox.takeBack();
      this.#heldUntil ??= this.#moment.now + this.#pause(after);
    } else if (code === "not_joined") {
      item.state = "waiting";
      const name = item.key.slice(1);
      this.rooms.get(name)?.status === "in" ? this.#join(name) : this.#wantRoom(name);
    } else {
      this.#fail(item, code);
    }
    this.#showConversation(item.key);
  }

  /**
   * @param {Item} item
   * @param {string} code
   */
  #fail(item, code) {
    if (item.state !== "stored") {
      item.state = "failed";
      item.reason = code;
      this.#do({ do: "keep", item });
    }
  }

  /**
   * @param {unknown} after what the server asked for, in seconds
   * @returns {number} milliseconds
   */
  #pause(after) {
    const asked = typeof after === "number" ? nonNegative(after) * 1000 : 0;
    const pause = Math.max(asked, backoff(this.#refusals, this.#moment.random));
    this.#refusals += 1;
    return pause;
  }

  // Small things.

  /**
   * @param {Key} key
   * @returns {Conversation}
   */
  #conversation(key) {
    let conversation = this.conversations.get(key);
    if (!conversation) {
      conversation = new Conversation(key);
      conversation.epoch = this.#epoch;
      this.conversations.set(key, conversation);
    }
    conversation.epoch ||= this.#epoch;
    return conversation;
  }

  /**
   * @param {Request["kind"]} kind
   * @param {Key} key
   * @param {object} frame
   * @param {{ seq?: number, fresh?: boolean }} [more]
   */
  #request(kind, key, frame, more = {}) {
    this.#refs += 1;
    const ref = String(this.#refs);
    this.#requests.set(ref, { kind, key, at: this.#moment.now, ...more });
    this.#send({ ...frame, ref });
  }

  /** @param {object} frame */
  #send(frame) {
    this.#do({ do: "send", frame });
  }

  /** @param {Key} key */
  #showConversation(key) {
    this.#do({ do: "show", what: "conversation", key });
  }

  /** @param {Output} output */
  #do(output) {
    this.#out.push(output);
  }
}

/**
 * @param {any} frame
 * @returns {Entry}
 */
function entryOf({ type, seq, from, text, timestamp, nonce }) {
  const isKnown = typeof from === "string" && typeof text === "string";
  return {
    kind: isKnown ? (type ?? "message") : "unknown",
    seq,
    from: String(from ?? ""),
    text: String(text ?? ""),
    timestamp: Number(timestamp ?? 0),
    nonce,
  };
}

/** @param {unknown} value */
function nonNegative(value) {
  return typeof value === "number" && value > 0 ? value : 0;
}

/** Entries asked for at once: what the server gives at most. */
export const PAGE = 100;
/** An answer that takes longer will not come. */
export const ANSWER_MS = 15_000;
const PROBE_ANSWER_MS = 8_000;
/** Silence after which to ask whether there still is a connection. */
const PROBE_AFTER_MS = 25_000;
const PROBE_AFTER_MAX_MS = 90_000;
/** The same, when there is a reason to doubt it. */
const NUDGE_AFTER_MS = 3_000;
const NUDGED_WITHIN_MS = 1_000;
/** A connection that lasted this long starts the waiting times anew. */
const STEADY_MS = 10_000;
/** Close codes: the origin or the token is no longer good; signed out. */
const POLICY = 1008;
const SIGNED_OUT = 4001;
