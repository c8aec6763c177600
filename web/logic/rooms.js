// The rooms that the user is in or wants to join, and who is in them.

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
 * @property {Notice} notice
 * @property {string} [reason] the code of the refusal
 */

/** @typedef {{ afterSeq: number, came: string[], left: string[] }} Notice users who came and left since a message */

export class Rooms {
  /** By name. @type {Map<string, Room>} */
  all = new Map();
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

  /** @param {string} name */
  join(name) {
    const known = this.all.get(name);
    if (known && known.status !== "refused") {
      return;
    }
    this.all.set(name, { status: "out", members: new Set(), online: 0, isPresenceKnown: false, notice: { afterSeq: 0, came: [], left: [] } });
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

  /** Joins the rooms whose retry is due. */
  proceed() {
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
        const { last = 0 } = this.#conversations.get(`#${name}`) ?? {};
        room.notice = noticed(room.notice, user, online, last);
        this.#step.show(`#${name}`);
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
    const from = seen !== null && epoch && !fresh ? { since: seen, epoch } : {};
    this.#connection.request("join", `#${name}`, { type: "join", room: name, ...from }, { fresh: !("since" in from) });
  }

  #show() {
    this.#step.emit({ do: "show", what: "conversations" });
  }
}

/**
 * A notice with one more user in it.
 * @param {Notice} notice
 * @param {string} user
 * @param {boolean} isOnline
 * @param {number} afterSeq the last message before it
 * @returns {Notice}
 */
function noticed(notice, user, isOnline, afterSeq) {
  const { came, left } = notice.afterSeq === afterSeq ? notice : { came: [], left: [] };
  const isBack = (isOnline ? left : came).includes(user);
  const others = (/** @type {string[]} */ names) => names.filter((name) => name !== user);
  // A user who leaves and comes back is not mentioned.
  return {
    afterSeq,
    came: [...others(came), ...(isOnline && !isBack ? [user] : [])],
    left: [...others(left), ...(!isOnline && !isBack ? [user] : [])],
  };
}

/** A connection that is back within this time changes nothing of what is shown as online. */
const PRESENCE_KEPT_MS = 1_500;
