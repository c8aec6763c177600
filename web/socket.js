// A room over protocol v1. No DOM.

/**
 * What the server sends. The room's last 50 messages come first, whenever a
 * connection opens.
 * @typedef {object} Frame
 * @property {"message" | "private" | "system"} type
 * @property {string} from
 * @property {string} [to] of a private message
 * @property {string} text
 * @property {number} timestamp in Unix seconds
 * @property {string} room the sender's
 */

/**
 * @typedef {object} Listener
 * @property {() => void} opened what was shown of the room is about to be sent again
 * @property {(frame: Frame) => void} received
 * @property {() => void} lost the connection will be made anew
 * @property {() => void} signedOut it will not
 */

/** A connection to one room that is made anew whenever it is lost. */
export class RoomSocket {
  #room;
  #listener;
  #isSignedIn;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #attempts = 0;
  #closed = false;

  /**
   * @param {string} room
   * @param {Listener} listener
   * @param {() => Promise<boolean>} isSignedIn asked when the server refuses a
   *   connection: a browser does not tell a script why
   */
  constructor(room, listener, isSignedIn) {
    this.#room = room;
    this.#listener = listener;
    this.#isSignedIn = isSignedIn;
    this.#connect();
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /**
   * Says something to the room, or to one person if `to` is not empty. v1 has
   * no receipts: it is sent once the server sends it back.
   * @param {string} text
   * @param {string} to
   * @returns {boolean} false if there is no connection
   */
  send(text, to) {
    if (!this.isOpen) {
      return false;
    }
    this.#socket?.send(JSON.stringify(to ? { type: "private", text, to } : { type: "message", text }));
    return true;
  }

  /** Leaves the room. The listener hears nothing more. */
  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  #connect() {
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("room", this.#room);
    const socket = new WebSocket(url);
    this.#socket = socket;
    /** @type {number | null} */
    let openedAt = null;

    socket.addEventListener("open", () => {
      if (this.#closed) {
        return;
      }
      openedAt = performance.now();
      this.#listener.opened();
    });
    socket.addEventListener("message", ({ data }) => {
      const frame = this.#closed ? null : parse(data);
      if (frame) {
        this.#listener.received(frame);
      }
    });
    socket.addEventListener("close", ({ code }) => {
      // A server that accepts and then closes at once is to be left in peace as well.
      if (openedAt !== null && performance.now() - openedAt > STEADY_MS) {
        this.#attempts = 0;
      }
      this.#lost(code, openedAt !== null);
    });
  }

  /**
   * @param {number} code
   * @param {boolean} wasOpen
   */
  async #lost(code, wasOpen) {
    if (this.#closed) {
      return;
    }
    this.#listener.lost();
    const mayBeSignedOut = !wasOpen || code === POLICY;
    const signedOut = code === SIGNED_OUT || (mayBeSignedOut && !(await this.#isSignedIn()));
    if (this.#closed) {
      return;
    }
    if (signedOut) {
      this.close();
      this.#listener.signedOut();
      return;
    }
    this.#timer = setTimeout(() => this.#connect(), backoff(this.#attempts));
    this.#attempts += 1;
  }
}

/**
 * How long to wait before the next attempt: somewhere between a least time
 * and one that doubles, so that those who were cut off together do not come
 * back together.
 * @param {number} attempts made so far
 * @param {() => number} random
 * @returns {number} milliseconds
 */
export function backoff(attempts, random = Math.random) {
  const most = Math.min(BACKOFF_MAX_MS, 2 * BACKOFF_MIN_MS * 2 ** attempts);
  return BACKOFF_MIN_MS + random() * (most - BACKOFF_MIN_MS);
}

/**
 * @param {unknown} data
 * @returns {Frame | null} null for a kind that this page does not know
 */
export function parse(data) {
  let frame;
  try {
    frame = JSON.parse(String(data));
  } catch {
    return null;
  }
  const known =
    ["message", "private", "system"].includes(frame?.type) &&
    typeof frame.from === "string" &&
    typeof frame.text === "string" &&
    typeof frame.timestamp === "number";
  return known ? frame : null;
}

const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 30_000;
/** A connection that lasted this long starts the waiting times anew. */
const STEADY_MS = 10_000;
/** Close codes: the origin or the token is no longer good; signed out. */
const POLICY = 1008;
const SIGNED_OUT = 4001;
