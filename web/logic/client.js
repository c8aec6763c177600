// The client's half of the protocol `chat.v2`, as a state machine. Inputs go into
// `step`, with the time and the randomness; it returns outputs, which the caller
// performs. No DOM, no clock, no socket.

import { Account } from "./account.js";
import { withChanges } from "./changes.js";
import { Connection, Step } from "./connection.js";
import { Conversations } from "./conversation.js";
import { Outbox } from "./outbox.js";
import { Reading } from "./reading.js";
import { Rooms } from "./rooms.js";

/** @typedef {import("./account.js").Level} Level */
/** @typedef {import("./changes.js").Shown} Shown */
/** @typedef {import("./conversation.js").Entry} Entry */
/** @typedef {import("./conversation.js").Key} Key */
/** @typedef {import("./outbox.js").FileOf} FileOf */
/** @typedef {import("./outbox.js").Item} Item */
/** @typedef {import("./typing.js").Typing} Typing */

/**
 * Inputs. `timer`: `wakeAt` has come. `session` answers `check-session`; without
 * an answer, the user counts as signed in. `offline`, `online`: what the browser
 * says about the network. `foreground`: the page came to the front. `background`: it is hidden or left. `join`: the user
 * opens a room. `leave`: the page forgets a room. `read`: the user has read up to
 * `seq`. `typing`: whether the user types. `rooms`: what `GET /api/rooms` says.
 * `send`: a message, or a change of one, is to be sent. `files`: what has become of the
 * files of a message; `reason`: the code why one of them cannot be sent. `quotes`: replies that are shown
 * quote messages. `reactions`: which reactions to a message are the user's, as the server
 * was asked for it when the message was as the changes up to `updated` had made it.
 * `cancel-latest`: the newest page is no longer wanted.
 * @typedef {{ type: "start" }
 *   | { type: "opened" }
 *   | { type: "frame", frame: any }
 *   | { type: "closed", code: number, wasOpen: boolean }
 *   | { type: "timer" }
 *   | { type: "session", signedIn: boolean }
 *   | { type: "offline" }
 *   | { type: "online" }
 *   | { type: "foreground" }
 *   | { type: "background" }
 *   | { type: "join", room: string }
 *   | { type: "leave", room: string }
 *   | { type: "send", item: Item }
 *   | { type: "files", nonce: string, files: FileOf[], reason?: string }
 *   | { type: "retry", nonce: string }
 *   | { type: "discard", nonce: string }
 *   | { type: "read", key: Key, seq: number }
 *   | { type: "level", key: Key, level: Level }
 *   | { type: "typing", key: Key, isActive: boolean }
 *   | { type: "rooms", rooms: any[] }
 *   | { type: "load", key: Key, part: Part, seq?: number }
 *   | { type: "quotes", key: Key, seqs: number[] }
 *   | { type: "reactions", key: Key, seq: number, updated: number, mine: Map<string, boolean> }
 *   | { type: "cancel-latest", key: Key }} Input
 */

/** @typedef {"older" | "newer" | "around" | "latest"} Part */

/**
 * Outputs. `close`: no input may come from that socket any more.
 * `check-session`: ask the server whether the user is still signed in. `keep` and
 * `drop`: write an item to the store, delete it. `arrived`: an entry that the
 * server sent by itself; `isNews`: it is newer than what the connection began with.
 * `changed`: a change of a message arrived, which is in its conversation by now. `refused`:
 * a change that was made here is refused, and taken back; an edit or a deletion stays in
 * the outbox.
 * `hello`: the rooms of the account are known. `read`: the user has read more, here or
 * elsewhere. `activity`: others have written in a room that is not joined. `membership`: the user has become a member of a room, is none any more,
 * or the room has changed. `role`: the user has become an administrator, or is none any more. `left`: the server has ended the join of a room, as the
 * user was `removed`, the room was `closed`, or the user `left` it. `not-members`: a
 * message mentions users who are no members of its room.
 * @typedef {{ do: "connect" }
 *   | { do: "send", frame: object }
 *   | { do: "close" }
 *   | { do: "check-session" }
 *   | { do: "keep", item: Item }
 *   | { do: "drop", nonce: string }
 *   | { do: "arrived", key: Key, entry: Entry, isNews: boolean }
 *   | { do: "changed", key: Key, change: Entry }
 *   | { do: "refused", key: Key, item: Item }
 *   | { do: "hello" }
 *   | { do: "read", key: Key }
 *   | { do: "activity", key: Key, unread: number, mentions: number }
 *   | { do: "membership", room: string, isMember: boolean }
 *   | { do: "role" }
 *   | { do: "left", room: string, reason: string }
 *   | { do: "not-members", key: Key, names: string[] }
 *   | { do: "show", what: "connection" | "conversations" }
 *   | { do: "show", what: "conversation" | "typing", key: Key }
 *   | { do: "signed-out" }} Output
 */

/** @typedef {{ now: number, random: () => number }} Moment monotonic milliseconds; a number from 0 up to 1 */

/**
 * Passes each input to the part that it concerns. Each part owns its state, and
 * knows only the parts before it.
 */
export class Client {
  /** @type {string} */
  user;
  /** When `step` wants a `timer`, on the clock of `now`; null: it needs none. @type {number | null} */
  wakeAt = null;
  textMaxChars = 4096;
  conversations = new Conversations();
  /** Users who are online as the server has said when it was asked. @type {Set<string>} */
  online = new Set();
  /** How many users a message may mention. */
  mentionsMax = 20;
  /** How many different reactions a message may have. */
  reactionsMax = 20;
  /** What the server allows, as `hello` says it. @type {Record<string, number | undefined>} */
  limits = {};
  /** For how long a message may be edited, in seconds. */
  editSeconds = Infinity;
  /** Whether the user is an administrator of the server. */
  isAdministrator = false;
  outbox;
  account;
  /** Added later, as the first view does without it. @type {Typing | null} */
  typing = null;
  #step = new Step();
  #connection;
  #rooms;
  #reading;

  /** @param {string} user who is signed in */
  constructor(user) {
    this.user = user;
    this.conversations.user = user;
    this.#connection = new Connection(this.#step, user);
    this.outbox = new Outbox(this.#step, this.#connection);
    this.#rooms = new Rooms(this.#step, this.#connection, this.conversations, this.outbox);
    this.account = new Account(user, this.#step, this.#connection, this.conversations);
    this.#reading = new Reading(user, this.#step, this.#connection, this.conversations, this.outbox, this.#rooms, this.account);
  }

  /** @param {typeof import("./typing.js").Typing} Typing */
  addTyping(Typing) {
    this.typing ??= new Typing(this.#step, this.#connection);
  }

  /**
   * @param {Input} input
   * @param {Moment} moment
   * @returns {Output[]}
   */
  step(input, moment) {
    this.#step.begin(moment);
    if (this.state !== "ended") {
      this.#handle(input);
      this.#proceed();
    }
    return this.#step.outputs;
  }

  /** `waiting` for the next attempt, `ended` for good. */
  get state() {
    return this.#connection.state;
  }

  /** When the next attempt is due; null while one is made or there is a connection. */
  get retryAt() {
    return this.#connection.retryAt;
  }

  /** When the connection was lost; null while there is one. */
  get lostAt() {
    return this.#connection.lostAt;
  }

  /** Whether `hello` has ever come. */
  get hasConnected() {
    return this.#connection.hasConnected;
  }

  get epoch() {
    return this.conversations.epoch;
  }

  /** The rooms that this page has joined, or is to join. */
  get rooms() {
    return this.#rooms.all;
  }

  /** The private conversations. */
  get privates() {
    return this.conversations.privates;
  }

  /**
   * Whether a message is still being looked for.
   * @param {Key} key
   * @param {number} seq
   */
  isSeeking(key, seq) {
    return this.#reading.isSeeking(key, seq);
  }

  /** What the server has beyond the first version of the protocol. */
  get features() {
    return this.#connection.features;
  }

  /**
   * A message as it is to be shown: as the log has it, with the changes that were made
   * here and are on their way.
   * @param {Key} key
   * @param {Entry} entry
   * @returns {Shown}
   */
  shown(key, entry) {
    const changes = this.outbox.changesOf(key);
    const own = changes.length === 0 ? changes : changes.filter(({ target, targetNonce }) => target === entry.seq || this.#isOwn(entry, targetNonce));
    return withChanges({ ...entry, key }, own, this.user);
  }

  /**
   * A message of the outbox as it is to be shown.
   * @param {Item} item
   * @returns {Shown}
   */
  shownItem({ nonce, key, text, mentions, mentionAll, replyTo, replyToNonce, files, at, seq = 0, state }) {
    /** @type {Shown} */
    const message = { key, kind: "message", seq, from: this.user, text, timestamp: at / 1000, nonce, mentions, mentionAll, replyTo, replyToNonce, files, updated: 0, state };
    const own = this.outbox.changesOf(key).filter(({ target = -1, targetNonce }) => target === seq || targetNonce === nonce);
    return withChanges(message, own, this.user);
  }

  /**
   * The message that an element of the page shows.
   * @param {Key} key
   * @param {{ seq?: number, nonce?: string }} which its number, or the nonce of an own one
   * @returns {Shown | undefined}
   */
  look(key, { seq = 0, nonce }) {
    const item = nonce === undefined ? undefined : this.outbox.find(nonce);
    const entries = this.conversations.get(key)?.entries ?? [];
    const entry = this.conversations.get(key)?.at(seq) ?? entries.findLast((entry) => this.#isOwn(entry, nonce));
    return entry ? this.shown(key, entry) : item && !item.kind ? this.shownItem(item) : undefined;
  }

  /**
   * The message that a reply answers.
   * @param {Key} key
   * @param {number} seq
   * @returns {Entry | null | undefined} null: it is not there; undefined: that is not known yet
   */
  quote(key, seq) {
    const quoted = this.conversations.get(key)?.quote(seq);
    return quoted ? this.shown(key, quoted) : quoted;
  }

  /**
   * @param {Entry} entry
   * @param {string | undefined} nonce
   */
  #isOwn(entry, nonce) {
    return nonce !== undefined && entry.nonce === nonce && entry.from === this.user;
  }

  /** Whether it is known who is online: not once the connection has been lost for a while. */
  get isPresenceKnown() {
    return this.state === "open" || [...this.rooms.values()].some((room) => room.isPresenceKnown);
  }

  /**
   * Whether a user is known to be online: in one of the joined rooms, or as the server has said.
   * @param {string} name
   */
  isOnline(name) {
    return this.online.has(name) || [...this.rooms.values()].some((room) => room.isPresenceKnown && room.members.has(name));
  }

  /** @param {Input} input */
  #handle(input) {
    switch (input.type) {
      case "start":
        this.#connection.connect();
        break;
      case "opened":
        this.#connection.received();
        break;
      case "frame":
        this.#connection.received();
        if (input.frame !== null && typeof input.frame === "object") {
          this.#frame(input.frame);
        }
        break;
      case "closed":
        this.#closed(input.code, input.wasOpen);
        break;
      case "timer":
        if (this.#step.now >= Math.min(this.#connection.overdueAt, this.outbox.overdueAt)) {
          this.#disconnect();
        } else {
          this.#connection.tick();
        }
        break;
      case "session":
        if (!input.signedIn) {
          this.#connection.end();
        }
        break;
      case "offline":
        if (this.state === "open" || this.state === "connecting") {
          this.#disconnect();
        }
        break;
      case "online":
        if (this.state === "connecting") {
          // The attempt was made on a network that is no longer there.
          this.#disconnect();
        }
        this.#connection.retrySoon();
        break;
      case "foreground":
        this.#connection.retrySoon();
        break;
      case "background":
        this.account.hurry();
        break;
      case "join":
        this.#rooms.join(input.room, true);
        break;
      case "leave":
        this.#reading.forget(`#${input.room}`);
        this.#rooms.leave(input.room);
        break;
      case "read":
        this.account.read(input.key, input.seq);
        break;
      case "level":
        this.account.setLevel(input.key, input.level);
        break;
      case "typing":
        this.typing?.say(input.key, input.isActive);
        break;
      case "rooms":
        this.account.know(input.rooms);
        break;
      case "send":
        this.#number(input.item);
        if (this.outbox.add(input.item)) {
          this.#ensureConversation(input.item.key);
        }
        break;
      case "files":
        this.outbox.setFiles(input.nonce, input.files, input.reason);
        break;
      case "retry": {
        const item = this.outbox.retry(input.nonce);
        if (item) {
          this.#ensureConversation(item.key);
        }
        break;
      }
      case "discard":
        this.outbox.discard(input.nonce);
        break;
      case "load":
        this.#reading.load(input.key, input.part, input.seq ?? 0);
        break;
      case "quotes":
        this.#reading.quotes(input.key, input.seqs);
        break;
      case "reactions":
        this.conversations.get(input.key)?.knowMine(input.seq, input.updated, input.mine);
        this.#step.show(input.key);
        break;
      case "cancel-latest":
        this.#reading.cancelLatest(input.key);
        break;
    }
  }

  /**
   * Names messages by their numbers where the log has them by now.
   * @param {Item} item
   */
  #number(item) {
    const { key, targetNonce, replyToNonce } = item;
    const seqOf = (/** @type {string | undefined} */ nonce) =>
      nonce !== undefined && !this.outbox.find(nonce) ? this.conversations.get(key)?.entries.findLast((entry) => this.#isOwn(entry, nonce))?.seq : undefined;
    const [target, replyTo] = [seqOf(targetNonce), seqOf(replyToNonce)];
    if (target) Object.assign(item, { target, targetNonce: undefined });
    if (replyTo) Object.assign(item, { replyTo, replyToNonce: undefined });
  }

  /** Sends what can be sent by now, and finds out when the next timer is due. */
  #proceed() {
    this.#rooms.expirePresence();
    if (this.state === "open") {
      this.#rooms.proceed();
      this.#reading.proceed();
      this.outbox.proceed((room) => this.#rooms.isIn(room));
      this.account.proceed();
    }
    this.typing?.proceed(this.#step.outputs);
    const due = Math.min(this.outbox.overdueAt, ...this.#parts.map(({ dueAt }) => dueAt));
    this.wakeAt = this.state === "ended" || due === Infinity ? null : due;
  }

  get #parts() {
    return [this.#connection, this.#rooms, this.#reading, this.outbox, this.account, ...(this.typing ? [this.typing] : [])];
  }

  /**
   * Joins the room that a message is for, even if it was left in the meantime.
   * @param {Key} key
   */
  #ensureConversation(key) {
    key.startsWith("#") ? this.#rooms.join(key.slice(1)) : this.conversations.of(key);
  }

  /**
   * @param {number} code
   * @param {boolean} wasOpen
   */
  #closed(code, wasOpen) {
    if (code === SIGNED_OUT) {
      this.#connection.end();
      return;
    }
    // A browser does not tell a script why the upgrade to a WebSocket was refused.
    if (code === POLICY || !wasOpen) {
      this.#step.emit({ do: "check-session" });
    }
    this.#disconnected();
  }

  /** Closes a connection that does not answer, or whose state is out of date. */
  #disconnect() {
    this.#step.emit({ do: "close" });
    this.#disconnected();
  }

  #disconnected() {
    for (const part of this.#parts) part.disconnected();
  }

  /** @param {any} frame */
  #frame(frame) {
    switch (frame.type) {
      case "hello":
        this.#hello(frame);
        break;
      case "joined":
        if (this.#rooms.joined(frame)) {
          this.#reading.joined(frame);
          this.account.joined(frame);
        }
        break;
      case "replayed":
        this.#reading.replayed(frame);
        break;
      case "left":
        this.#left(frame);
        break;
      case "ack":
        this.#ack(frame);
        break;
      case "history":
        this.#history(frame);
        break;
      case "presence":
        this.#rooms.presence(frame);
        break;
      case "activity":
        this.account.activity(frame);
        break;
      case "read":
        this.account.readElsewhere(frame);
        break;
      case "level":
        this.account.levelElsewhere(frame);
        break;
      case "rights":
        this.isAdministrator = frame.role === "administrator";
        this.#step.emit({ do: "role" });
        this.#step.emit({ do: "show", what: "conversations" });
        break;
      case "room":
        this.#room(frame);
        break;
      case "typing":
        this.typing?.received(frame);
        break;
      case "error":
        this.#error(frame);
        break;
      case "reconnect":
        this.#connection.reconnectAfter(frame.after_ms);
        break;
      default:
        this.#reading.entry(frame);
    }
  }

  /** @param {any} hello */
  #hello(hello) {
    if (hello.user !== this.user) {
      this.#connection.end();
      return;
    }
    const limits = hello.limits ?? {};
    this.limits = limits;
    this.textMaxChars = limits.text_max_chars ?? this.textMaxChars;
    this.outbox.frameMaxBytes = limits.message_max_bytes ?? Infinity;
    this.mentionsMax = limits.mentions_max ?? this.mentionsMax;
    this.reactionsMax = limits.reactions_max ?? this.reactionsMax;
    this.editSeconds = limits.edit_seconds ?? Infinity;
    const isFirst = !this.hasConnected;
    this.#connection.hello(hello);
    this.account.hello(hello);
    if (isFirst) this.#skip();
    this.#reading.hello(hello);
    this.#rooms.hello();
    this.#step.emit({ do: "hello" });
  }

  /** Begins anew in conversations that were kept from an earlier visit, and have many new messages. */
  #skip() {
    for (const conversation of this.conversations.values()) {
      const { key, isRoom, seen } = conversation;
      const { top = 0 } = this.account.places.get(key) ?? {};
      if (seen !== null && top - seen > RESUMED_MAX) {
        conversation.seen = null;
        if (!isRoom) {
          conversation.top = top;
          this.#reading.load(key, "latest", 0);
        }
      }
    }
  }

  /** @param {any} left the answer to `leave`, or the end of a join that this page did not ask for */
  #left({ room, reason }) {
    if (typeof reason === "string") {
      this.#rooms.ended(room, reason);
      this.#reading.ended(`#${room}`);
      this.#step.emit({ do: "left", room, reason });
    }
  }

  /** @param {any} frame the user's membership, or the room, has changed */
  #room(frame) {
    this.account.room(frame);
    if (frame.member !== false && this.rooms.get(frame.room)?.status === "refused") {
      this.#rooms.join(frame.room);
    }
  }

  /** @param {any} ack */
  #ack({ nonce, seq, not_members: names = [] }) {
    this.#connection.succeeded();
    const item = this.outbox.find(nonce);
    if (item) {
      this.outbox.stored(item, seq);
      this.outbox.dropStored(item.key, this.conversations.get(item.key)?.seen ?? 0);
      this.#step.show(item.key);
      if (names.length > 0) this.#step.emit({ do: "not-members", key: item.key, names });
    }
  }

  /** @param {any} frame */
  #history(frame) {
    const request = this.#connection.takeRequest(frame.ref);
    const conversation = request && this.conversations.get(request.key);
    if (!request || !conversation || request.kind === "probe") {
      return;
    }
    if (conversation.epoch !== String(frame.epoch)) {
      // The epoch has changed since `hello`: reconnect and join again.
      this.#disconnect();
      return;
    }
    this.#reading.page(request, conversation, frame);
  }

  /** @param {any} error */
  #error(error) {
    const isTemporary = error.code === "unavailable" || typeof error.retry_after === "number";
    if (typeof error.nonce === "string") {
      const item = this.outbox.refused(error, isTemporary);
      if (item) {
        this.#rooms.rejoin(item.key.slice(1));
      }
      return;
    }
    const request = this.#connection.takeRequest(error.ref);
    if (request?.kind === "join") {
      this.#rooms.refused(request, error, isTemporary);
      // Messages may be in memory that were kept from an earlier visit.
      if (this.rooms.get(request.key.slice(1))?.status === "refused") this.#reading.ended(request.key);
    } else if (request && request.kind !== "probe") {
      this.#reading.refused(request, error);
    }
  }
}

/** Kept messages that are further behind are replaced by the newest ones, instead of being continued. */
export const RESUMED_MAX = 200;
/** Close codes: the origin or the token is no longer accepted; the session has ended. */
const POLICY = 1008;
const SIGNED_OUT = 4001;

export { ANSWER_MS } from "./connection.js";
export { PAGE } from "./conversation.js";
