// The rooms that this page has joined or is to join, and who is in them. Of the
// rooms of the account that is a few: those that were opened last.

/** @typedef {import("./connection.js").Connection} Connection */
/** @typedef {import("./connection.js").Request} Request */
/** @typedef {import("./connection.js").Step} Step */
/** @typedef {import("./conversation.js").Conversations} Conversations */
/** @typedef {import("./outbox.js").Outbox} Outbox */

/**
 * @typedef {object} Room
 * @property {"out" | "joining" | "in" | "refused"} status
 * @property {Set<string>} members names of users in the room, at most 200
 * @property {number} online the number of users in the room
 * @property {boolean} isPresenceKnown whether `members` and `online` hold: not before `joined`, nor some time after the connection is lost
 * @property {number} opened the higher, the later it was opened; 0: only messages wait for it
 * @property {string} [reason] why it is refused: the code of an error, or the reason why the server ended it
 */

export class Rooms {
  /** By name. @type {Map<string, Room>} */
  all = new Map();
  #opened = 0;
  /** When to join the rooms again that were refused for a while; 0: there are none. */
  #rejoinAt = 0;
  /** When the presence of rooms that are not joined again becomes unknown; 0: it is not due. */
  #presenceUntil = 0;
  #step;
  #connection;
  #conversations;
  #outbox;

  /**
   * @param {Step} step
   * @param {Connection} connection
   * @param {Conversations} conversations
   * @param {Outbox} outbox
   */
  constructor(step, connection, conversations, outbox) {
    this.#step = step;
    this.#connection = connection;
    this.#conversations = conversations;
    this.#outbox = outbox;
  }

  /** @param {string} name */
  isIn(name) {
    return this.all.get(name)?.status === "in";
  }

  /**
   * Joins a room, and leaves others where there are too many. A room that was left
   * so keeps its entries, and continues with them.
   * @param {string} name
   * @param {boolean} [isOpened] whether the user opens it: then it stays for a while
   */
  join(name, isOpened = false) {
    const known = this.all.get(name);
    if (isOpened) this.#opened += 1;
    const opened = isOpened ? this.#opened : (known?.opened ?? 0);
    if (known && known.status !== "refused") {
      known.opened = opened;
      return;
    }
    this.all.set(name, { status: "out", members: new Set(), online: 0, isPresenceKnown: false, opened });
    this.#conversations.of(`#${name}`);
    if (this.#connection.state === "open") {
      this.#requestJoin(name);
    }
    this.#show();
  }

  /** @param {string} name */
  leave(name) {
    const status = this.all.get(name)?.status;
    this.all.delete(name);
    if (this.#connection.state === "open" && (status === "in" || status === "joining")) {
      this.#connection.send({ type: "leave", room: name });
    }
    this.#show();
  }

  /**
   * Joins a room again that the server says was not joined.
   * @param {string} name
   */
  rejoin(name) {
    this.isIn(name) ? this.#requestJoin(name) : this.join(name);
  }

  /**
   * @param {string} name
   * @param {boolean} fresh joins without `since`
   */
  leaveAndJoin(name, fresh) {
    this.#connection.send({ type: "leave", room: name });
    this.#requestJoin(name, fresh);
  }

  /** There is a connection: joins all rooms that are not joined yet. */
  hello() {
    for (const [name, room] of this.all) {
      if (room.status === "out") {
        this.#requestJoin(name);
      }
    }
  }

  /** The connection is lost. */
  disconnected() {
    this.#rejoinAt = 0;
    for (const room of this.all.values()) {
      if (room.status !== "refused") {
        room.status = "out";
      }
      if (room.isPresenceKnown) {
        this.#presenceUntil ||= this.#step.now + PRESENCE_KEPT_MS;
      }
    }
  }

  /** Makes the presence of rooms unknown that were not joined again in time. */
  expirePresence() {
    if (this.#presenceUntil && this.#step.now >= this.#presenceUntil) {
      this.#presenceUntil = 0;
      for (const room of this.all.values()) {
        room.isPresenceKnown &&= room.status === "in";
      }
      this.#show();
    }
  }

  /**
   * The server has ended the join of a room: the user may not read it any more.
   * @param {string} name
   * @param {string} reason
   */
  ended(name, reason) {
    const room = this.all.get(name);
    if (room) {
      Object.assign(room, { status: "refused", reason, members: new Set(), online: 0, isPresenceKnown: false });
      this.#outbox.failAll(`#${name}`, "forbidden");
    }
  }

  /** Joins the rooms whose retry is due, and leaves those that were opened longest ago. */
  proceed() {
    if (this.all.size > JOINED_MAX) {
      const idle = [...this.all].filter(([name]) => !this.#outbox.hasUnsent(`#${name}`)).sort(([, a], [, b]) => b.opened - a.opened);
      for (const [name] of idle.slice(JOINED_MAX)) {
        this.#connection.dropRequests(`#${name}`);
        this.leave(name);
      }
    }
    if (this.#rejoinAt && this.#step.now >= this.#rejoinAt) {
      this.#rejoinAt = 0;
      this.hello();
    }
  }

  /** When `proceed` or `expirePresence` has something to do. */
  get dueAt() {
    return Math.min(this.#rejoinAt || Infinity, this.#presenceUntil || Infinity);
  }

  /**
   * @param {any} joined
   * @returns {boolean} whether it answers a request
   */
  joined({ room: name, online, members, ref }) {
    const request = this.#connection.takeRequest(ref);
    const room = this.all.get(name);
    if (!room || !request) {
      return false;
    }
    room.status = "in";
    room.isPresenceKnown = true;
    room.members = new Set(members ?? []);
    room.online = Math.max(online ?? 0, room.members.size);
    this.#connection.succeeded();
    this.#show();
    return true;
  }

  /** @param {any} presence */
  presence({ room: name, user, online }) {
    const room = this.all.get(name);
    if (!room) {
      return;
    }
    if (typeof online === "number") {
      room.online = online;
    } else if (typeof user === "string") {
      const { members } = room;
      // In a large room, a user may leave whose name the server has never sent.
      if (members.has(user) !== online || (!online && members.size < room.online)) {
        room.online = Math.max(0, room.online + (online ? 1 : -1));
        online ? members.add(user) : members.delete(user);
      }
    }
    this.#show();
  }

  /**
   * @param {Request} request the join
   * @param {any} error
   * @param {boolean} isTemporary
   */
  refused({ key, fresh }, { code, retry_after: after }, isTemporary) {
    const name = key.slice(1);
    const room = this.all.get(name);
    if (!room) {
      return;
    }
    if (code === "already_joined") {
      this.leaveAndJoin(name, false);
    } else if (isTemporary) {
      room.status = "out";
      this.#rejoinAt ||= this.#step.now + this.#connection.retryDelay(after);
    } else if (code === "bad_request" && !fresh) {
      this.#requestJoin(name, true);
    } else {
      room.status = "refused";
      room.reason = code;
      this.#outbox.failAll(key, code);
    }
    this.#step.show(key);
  }

  /** @param {string} name */
  #requestJoin(name, fresh = false) {
    const room = this.all.get(name);
    if (!room) {
      return;
    }
    room.status = "joining";
    const { seen, epoch } = this.#conversations.of(`#${name}`);
    const isResumed = seen !== null && epoch !== "" && !fresh;
    const how = isResumed ? { since: seen, epoch } : this.#connection.folds ? { fold: true } : {};
    this.#connection.request("join", `#${name}`, { type: "join", room: name, ...how }, { fresh: !isResumed });
  }

  #show() {
    this.#step.emit({ do: "show", what: "conversations" });
  }
}

/** A connection that is back within this time changes nothing of what is shown as online. */
const PRESENCE_KEPT_MS = 1_500;
/** Rooms that are joined at once, but for those that messages wait for: a switch between them needs no answer of the server. */
export const JOINED_MAX = 5;
