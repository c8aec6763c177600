// Drives `logic/client.js` with a socket and a timer. It decides nothing, and needs no DOM: the
// page's session is made of it, and so is the client of the npm package.

import { Client } from "./logic/client.js";
import { nonce } from "./logic/outbox.js";

/** @typedef {import("./logic/client.js").Input} Input */
/** @typedef {import("./logic/client.js").Output} Output */
/** @typedef {import("./logic/outbox.js").Item} Item */

/** @abstract */
export class Driver {
  /** What is known of rooms, messages and the account. */
  client;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #isOver = false;

  /** @param {string} user who is signed in */
  constructor(user) {
    this.client = new Client(user);
  }

  /**
   * Opens a socket of `chat.v2` to the server.
   * @abstract
   * @returns {WebSocket}
   */
  open() {
    throw new Error("no address");
  }

  /**
   * Performs an output that is about neither the socket nor the timer.
   * @abstract
   * @param {Output} _output
   */
  perform(_output) {}

  /** @param {Input} input */
  step(input) {
    if (this.#isOver) {
      return;
    }
    for (const output of this.client.step(input, { now: performance.now(), random: Math.random })) {
      this.#perform(output);
    }
    clearTimeout(this.#timer);
    const { wakeAt } = this.client;
    if (wakeAt !== null && wakeAt !== Infinity) {
      this.#timer = setTimeout(() => this.step({ type: "timer" }), Math.max(0, wakeAt - performance.now()) + 1);
    }
  }

  /**
   * A new message, or a change of one, which is to be sent by a `send`.
   * @param {Omit<Item, "nonce" | "at" | "state">} what
   * @returns {Item}
   */
  itemOf(what) {
    const at = this.client.outbox.timestampFor(Date.now());
    return { ...what, nonce: nonce(at, crypto.getRandomValues(new Uint8Array(12))), at, state: "waiting" };
  }

  /** Closes the connection for good, and performs nothing any more. */
  end() {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#close();
  }

  /** @param {Output} output */
  #perform(output) {
    switch (output.do) {
      case "connect":
        this.#connect();
        break;
      case "send":
        if (this.#socket?.readyState === WebSocket.OPEN) {
          this.#socket.send(JSON.stringify(output.frame));
        }
        break;
      case "close":
        this.#close();
        break;
      default:
        this.perform(output);
    }
  }

  #connect() {
    this.#close();
    const socket = this.open();
    this.#socket = socket;
    let wasOpen = false;
    /** @param {Input} input */
    const step = (input) => {
      if (this.#socket === socket) {
        this.step(input);
      }
    };
    socket.addEventListener("open", () => {
      wasOpen = true;
      step({ type: "opened" });
    });
    socket.addEventListener("message", ({ data }) => step({ type: "frame", frame: parse(data) }));
    socket.addEventListener("close", ({ code }) => step({ type: "closed", code, wasOpen }));
    // A close follows.
    socket.addEventListener("error", () => {});
  }

  #close() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }
}

/** @param {unknown} data */
function parse(data) {
  try {
    return JSON.parse(String(data));
  } catch {
    return null;
  }
}
