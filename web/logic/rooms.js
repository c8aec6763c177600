// The rooms that somebody is in or wants to be in, and who is there.

/** @typedef {import("./connection.js").Connection} Connection */
/** @typedef {import("./connection.js").Request} Request */
/** @typedef {import("./connection.js").Turn} Turn */
/** @typedef {import("./conversation.js").Conversations} Conversations */
/** @typedef {import("./outbox.js").Outbox} Outbox */

/**
 * @typedef {object} Room
 * @property {"out" | "joining" | "in" | "refused"} status
 * @property {Set<string>} members at most 200 of those who are here
 * @property {number} online how many there are
 * @property {boolean} isPresenceKnown whether `members` and `online` hold: not before `joined`, nor some time after the connection is lost
 * @property {Notice} notice
 * @property {string} [reason] the code of the refusal
 */

/** @typedef {{ afterSeq: number, came: string[], left: string[] }} Notice users who came and left since a message */

export class Rooms {
  /** Those that are to be joined. @type {Map<string, Room>} */
  all = new Map();
  /** When to try again those that could not be joined; 0: there are none. */
  #rejoinAt = 0;
  /** When the presence of rooms that are not joined again becomes unknown; 0: it is not due. */
  #presenceUntil = 0;
  #turn;
  #connection;
  #conversations;
  #outbox;

  /**
   * @param {Turn} turn
   * @param {Connection} connection
   * @param {Conversations} conversations
   * @param {Outbox} outbox
   */
  constructor(turn, connection, conversations, outbox) {
    this.#turn = turn;
    this.#connection = connection;
    this.#conversations = conversations;
    this.#outbox = outbox;
  }

  /** @param {string} name */
  isIn(name) {
    return this.all.get(name)?.status === "in";
  }

  /** @param {string} name */
  want(name) {
    const known = this.all.get(name);
    if (known && known.status !== "refused") {
      return;
    }
    this.all.set(name, { status: "out", members: new Set(), online: 0, isPresenceKnown: false, notice: { afterSeq: 0, came: [], left: [] } });
    this.#conversations.of(`#${name}`);
    if (this.#connection.state === "open") {
      this.#join(name);
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
   * The server says that we are not in it.
   * @param {string} name
   */
  comeBack(name) {
    this.isIn(name) ? this.#join(name) : this.want(name);
  }

  /**
   * Leaves it and comes in again.
   * @param {string} name
   * @param {boolean} fresh does not go on from what is here
   */
  comeAnew(name, fresh) {
    this.#connection.send({ type: "leave", room: name });
    this.#join(name, fresh);
  }

  /** There is a connection: joins all that are not. */
  greeted() {
    for (const [name, room] of this.all) {
      if (room.status === "out") {
        this.#join(name);
      }
    }
  }

  /** The connection is lost. */
  lost() {
    this.#rejoinAt = 0;
    for (const room of this.all.values()) {
      if (room.status !== "refused") {
        room.status = "out";
      }
      if (room.isPresenceKnown) {
        this.#presenceUntil ||= this.#turn.now + PRESENCE_KEPT_MS;
      }
    }
  }

  /** Makes the presence of rooms unknown that were not joined again in time. */
  expirePresence() {
    if (this.#presenceUntil && this.#turn.now >= this.#presenceUntil) {
      this.#presenceUntil = 0;
      for (const room of this.all.values()) {
        room.isPresenceKnown &&= room.status === "in";
      }
      this.#show();
    }
  }

  /** Does what can be done by now. */
  goOn() {
    if (this.#rejoinAt && this.#turn.now >= this.#rejoinAt) {
      this.#rejoinAt = 0;
      this.greeted();
    }
  }

  /** When to look again. */
  get dueAt() {
    return Math.min(this.#rejoinAt || Infinity, this.#presenceUntil || Infinity);
  }

  /**
   * @param {any} joined
   * @returns {boolean} whether that was asked for
   */
  joined({ room: name, online, members, ref }) {
    const request = this.#connection.answered(ref);
    const room = this.all.get(name);
    if (!room || !request) {
      return false;
    }
    room.status = "in";
    room.isPresenceKnown = true;
    room.members = new Set(members ?? []);
    room.online = Math.max(online ?? 0, room.members.size);
    this.#connection.wentWell();
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
      // Where there are many, somebody goes whose name was never said.
      if (members.has(user) !== online || (!online && members.size < room.online)) {
        room.online = Math.max(0, room.online + (online ? 1 : -1));
        online ? members.add(user) : members.delete(user);
        const { last = 0 } = this.#conversations.get(`#${name}`) ?? {};
        room.notice = noticed(room.notice, user, online, last);
        this.#turn.show(`#${name}`);
      }
    }
    this.#show();
  }

  /**
   * @param {Request} request that to join it
   * @param {any} error
   * @param {boolean} isPassing
   */
  refused({ key, fresh }, { code, retry_after: after }, isPassing) {
    const name = key.slice(1);
    const room = this.all.get(name);
    if (!room) {
      return;
    }
    if (code === "already_joined") {
      this.comeAnew(name, false);
    } else if (isPassing) {
      room.status = "out";
      this.#rejoinAt ||= this.#turn.now + this.#connection.pause(after);
    } else if (code === "bad_request" && !fresh) {
      this.#join(name, true);
    } else {
      room.status = "refused";
      room.reason = code;
      this.#outbox.failAll(key, code);
    }
    this.#turn.show(key);
  }

  /** @param {string} name */
  #join(name, fresh = false) {
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
    this.#turn.do({ do: "show", what: "conversations" });
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
