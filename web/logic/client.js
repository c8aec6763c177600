// The client's half of the protocol `chat.v2`: decides, and does nothing itself.
// What happens goes in through `step`, with the time and the randomness; what
// is to be done comes out. No DOM, no clock, no socket.

import { Connection, Turn } from "./connection.js";
import { Conversations } from "./conversation.js";
import { Outbox } from "./outbox.js";
import { Reading } from "./reading.js";
import { Rooms } from "./rooms.js";

/** @typedef {import("./conversation.js").Entry} Entry */
/** @typedef {import("./conversation.js").Key} Key */
/** @typedef {import("./outbox.js").Item} Item */

/**
 * What happens. `timer`: `wakeAt` has come. `session` answers `ask`, and no
 * answer counts as signed in. `offline`, `online`: what the browser says about
 * the network. `nudge`: the page came to the front. `stay`: the end is not to be loaded any more.
 * @typedef {{ type: "start" }
 *   | { type: "opened" }
 *   | { type: "frame", frame: any }
 *   | { type: "closed", code: number, wasOpen: boolean }
 *   | { type: "timer" }
 *   | { type: "session", signedIn: boolean }
 *   | { type: "offline" }
 *   | { type: "online" }
 *   | { type: "nudge" }
 *   | { type: "join", room: string }
 *   | { type: "leave", room: string }
 *   | { type: "send", item: Item }
 *   | { type: "retry", nonce: string }
 *   | { type: "discard", nonce: string }
 *   | { type: "load", key: Key, part: Part, seq?: number }
 *   | { type: "stay", key: Key }} Input
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
 *   | { do: "stored", item: Item }
 *   | { do: "show", what: "connection" | "conversations" }
 *   | { do: "show", what: "conversation", key: Key }
 *   | { do: "signed-out" }} Output
 */

/** @typedef {{ now: number, random: () => number }} Moment monotonic milliseconds; from 0 up to 1 */

/**
 * Gives what happens to the part that it concerns: each has its own state, and
 * knows only those before it.
 */
export class Client {
  /** @type {string} */
  user;
  /** When to step with `timer`; null: not needed. @type {number | null} */
  wakeAt = null;
  textMaxChars = 4096;
  conversations = new Conversations();
  outbox;
  #turn = new Turn();
  #connection;
  #rooms;
  #reading;

  /** @param {string} user who is signed in */
  constructor(user) {
    this.user = user;
    this.#connection = new Connection(this.#turn, user);
    this.outbox = new Outbox(this.#turn, this.#connection);
    this.#rooms = new Rooms(this.#turn, this.#connection, this.conversations, this.outbox);
    this.#reading = new Reading(user, this.#turn, this.#connection, this.conversations, this.outbox, this.#rooms);
  }

  /**
   * @param {Input} input
   * @param {Moment} moment
   * @returns {Output[]}
   */
  step(input, moment) {
    this.#turn.begin(moment);
    if (this.state !== "ended") {
      this.#take(input);
      this.#goOn();
    }
    return this.#turn.outputs;
  }

  /** `waiting` for the next attempt, `ended` for good. */
  get state() {
    return this.#connection.state;
  }

  /** When the next attempt is due; null while one is made or there is a connection. */
  get retryAt() {
    return this.#connection.retryAt;
  }

  /** When there was last a connection; null while there is one. */
  get lostAt() {
    return this.#connection.lostAt;
  }

  /** Whether `hello` has ever come. */
  get hasGreeted() {
    return this.#connection.hasGreeted;
  }

  get epoch() {
    return this.conversations.epoch;
  }

  /** Those that are to be joined. */
  get rooms() {
    return this.#rooms.all;
  }

  /** Those with whom one talks in private. */
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

  /** Whether the server has said lately who is online: not after the connection has been lost for a while. */
  get isPresenceKnown() {
    return this.state === "open" || [...this.rooms.values()].some((room) => room.isPresenceKnown);
  }

  /**
   * Whether a user is known to be online: in one of the joined rooms.
   * @param {string} name
   */
  isOnline(name) {
    return [...this.rooms.values()].some((room) => room.isPresenceKnown && room.members.has(name));
  }

  /** @param {Input} input */
  #take(input) {
    switch (input.type) {
      case "start":
        this.#connection.connect();
        break;
      case "opened":
        this.#connection.heard();
        break;
      case "frame":
        this.#connection.heard();
        if (input.frame !== null && typeof input.frame === "object") {
          this.#frame(input.frame);
        }
        break;
      case "closed":
        this.#closed(input.code, input.wasOpen);
        break;
      case "timer":
        if (this.#turn.now >= Math.min(this.#connection.overdueAt, this.outbox.overdueAt)) {
          this.#cut();
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
          this.#cut();
        }
        break;
      case "online":
        if (this.state === "connecting") {
          // The attempt was made on a network that is no longer there.
          this.#cut();
        }
        this.#connection.nudge();
        break;
      case "nudge":
        this.#connection.nudge();
        break;
      case "join":
        this.#rooms.want(input.room);
        break;
      case "leave":
        this.#reading.forget(`#${input.room}`);
        this.#rooms.leave(input.room);
        break;
      case "send":
        if (this.outbox.add(input.item)) {
          this.#prepare(input.item.key);
        }
        break;
      case "retry": {
        const item = this.outbox.retry(input.nonce);
        if (item) {
          this.#prepare(item.key);
        }
        break;
      }
      case "discard":
        this.outbox.discard(input.nonce);
        break;
      case "load":
        this.#reading.load(input.key, input.part, input.seq ?? 0);
        break;
      case "stay":
        this.#reading.stay(input.key);
        break;
    }
  }

  /** Does what can be done by now. */
  #goOn() {
    this.#rooms.expirePresence();
    if (this.state === "open") {
      this.#rooms.goOn();
      this.#reading.goOn();
      this.outbox.goOn((room) => this.#rooms.isIn(room));
    }
    const due = Math.min(this.outbox.overdueAt, ...this.#parts.map(({ dueAt }) => dueAt));
    this.wakeAt = this.state === "ended" || due === Infinity ? null : due;
  }

  get #parts() {
    return [this.#connection, this.#rooms, this.#reading, this.outbox];
  }

  /**
   * A message needs its room, even one that was left in the meantime.
   * @param {Key} key
   */
  #prepare(key) {
    key.startsWith("#") ? this.#rooms.want(key.slice(1)) : this.conversations.of(key);
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
    // A browser does not tell a script why an upgrade was refused.
    if (code === POLICY || !wasOpen) {
      this.#turn.do({ do: "ask" });
    }
    this.#lost();
  }

  /** Gives up a connection of which nothing good is to be expected. */
  #cut() {
    this.#turn.do({ do: "close" });
    this.#lost();
  }

  #lost() {
    for (const part of this.#parts) part.lost();
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
        }
        break;
      case "left":
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
      case "error":
        this.#error(frame);
        break;
      case "reconnect":
        this.#connection.comeBackAfter(frame.after_ms);
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
    this.textMaxChars = hello.limits?.text_max_chars ?? this.textMaxChars;
    this.outbox.frameMaxBytes = hello.limits?.message_max_bytes ?? Infinity;
    this.#connection.greeted(hello.heartbeat_seconds);
    this.#reading.greeted(hello);
    this.#rooms.greeted();
  }

  /** @param {any} ack */
  #ack({ nonce, seq }) {
    this.#connection.wentWell();
    const item = this.outbox.find(nonce);
    if (item) {
      this.outbox.stored(item, seq);
      this.outbox.dropStored(item.key, this.conversations.get(item.key)?.seen ?? 0);
      this.#turn.show(item.key);
    }
  }

  /** @param {any} frame */
  #history(frame) {
    const request = this.#connection.answered(frame.ref);
    const conversation = request && this.conversations.get(request.key);
    if (!request || !conversation || request.kind === "probe") {
      return;
    }
    if (conversation.epoch !== String(frame.epoch)) {
      // The connection is older than the numbering: begin anew.
      this.#cut();
      return;
    }
    this.#reading.page(request, conversation, frame);
  }

  /** @param {any} error */
  #error(error) {
    const isPassing = error.code === "unavailable" || typeof error.retry_after === "number";
    if (typeof error.nonce === "string") {
      const item = this.outbox.refused(error, isPassing);
      if (item) {
        this.#rooms.comeBack(item.key.slice(1));
      }
      return;
    }
    const request = this.#connection.answered(error.ref);
    if (request?.kind === "join") {
      this.#rooms.refused(request, error, isPassing);
    } else if (request && request.kind !== "probe") {
      this.#reading.refused(request, error);
    }
  }
}

/** Close codes: the origin or the token is no longer good; signed out. */
const POLICY = 1008;
const SIGNED_OUT = 4001;

export { ANSWER_MS } from "./connection.js";
export { PAGE } from "./conversation.js";
