// Performs the outputs of `logic/client.js` with a socket, a timer and the store.
// It decides nothing.

import * as api from "./api.js";
import { Client } from "./logic/client.js";
import { nonce } from "./logic/outbox.js";
import { OutboxStore } from "./store.js";
import { LOOK_EVERY_MS, Tabs } from "./tabs.js";

/** @typedef {import("./logic/client.js").Input} Input */
/** @typedef {import("./logic/client.js").Output} Output */
/** @typedef {import("./logic/conversation.js").Key} Key */
/** @typedef {import("./logic/outbox.js").ChangeKind} ChangeKind */
/** @typedef {import("./logic/outbox.js").Item} Item */

export class Session {
  client;
  #listener;
  #store;
  #tabs = new Tabs();
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #isOver = false;
  #controller = new AbortController();

  /**
   * @param {string} user
   * @param {(output: Output) => void} listener
   */
  constructor(user, listener) {
    this.client = new Client(user);
    this.#listener = listener;
    this.#store = new OutboxStore(user, this.#tabs.name);
    const { signal } = this.#controller;
    const toForeground = () => this.step({ type: "foreground" });
    addEventListener("offline", () => this.step({ type: "offline" }), { signal });
    addEventListener("online", () => this.step({ type: "online" }), { signal });
    addEventListener("pageshow", toForeground, { signal });
    document.addEventListener("visibilitychange", () => document.hidden || toForeground(), { signal });
    // The request renews a session of which half the lifetime is over: no user is
    // signed out in the middle of a conversation.
    const renewal = setInterval(() => this.#checkSession(), RENEWED_EVERY_MS);
    const looking = setInterval(() => this.#adoptClosed(), LOOK_EVERY_MS);
    signal.addEventListener("abort", () => {
      clearInterval(renewal);
      clearInterval(looking);
    });
  }

  async start() {
    this.step({ type: "start" });
    // The messages of this tab from before its page was loaded again.
    const previous = await this.#tabs.previous;
    if (previous) await this.#adopt(new Set([previous]));
    await this.#adoptClosed();
  }

  /**
   * @param {Key} key
   * @param {string} text
   * @param {Pick<Item, "mentions" | "mentionAll" | "replyTo" | "replyToNonce">} [more] whom it mentions, and what it answers
   */
  write(key, text, more) {
    this.#send({ key, text, ...more });
  }

  /**
   * Changes a message, which `target` or `targetNonce` names.
   * @param {{ type: ChangeKind, key: Key, text?: string } & Pick<Item, "target" | "targetNonce" | "emoji" | "mentions" | "mentionAll">} change
   */
  change({ type, text = "", ...more }) {
    this.#send({ kind: type, text, ...more });
  }

  /** @param {Omit<Item, "nonce" | "at" | "state">} what */
  #send(what) {
    const at = this.client.outbox.timestampFor(Date.now());
    const random = crypto.getRandomValues(new Uint8Array(12));
    this.step({ type: "send", item: { ...what, nonce: nonce(at, random), at, state: "waiting" } });
  }

  /** Ends the session without telling the listener. */
  end() {
    this.#isOver = true;
    this.#controller.abort();
    clearTimeout(this.#timer);
    this.#close();
  }

  /** @param {Input} input */
  step(input) {
    if (this.#isOver) {
      return;
    }
    const moment = { now: performance.now(), random: Math.random };
    for (const output of this.client.step(input, moment)) {
      this.#perform(output);
    }
    clearTimeout(this.#timer);
    const { wakeAt } = this.client;
    if (wakeAt !== null && wakeAt !== Infinity) {
      this.#timer = setTimeout(() => this.step({ type: "timer" }), Math.max(0, wakeAt - performance.now()) + 1);
    }
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
      case "check-session":
        this.#checkSession();
        break;
      case "keep":
        this.#store.keep(output.item);
        break;
      case "drop":
        this.#store.drop(output.nonce);
        break;
      default:
        this.#listener(output);
    }
  }

  #connect() {
    this.#close();
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url, "chat.v2");
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
  }

  #close() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  async #checkSession() {
    try {
      const { username } = await api.me();
      this.step({ type: "session", signedIn: username === this.client.user });
    } catch (error) {
      // Only the answer 401 means no: the server may be unreachable.
      this.step({ type: "session", signedIn: !(error instanceof api.ApiError && error.status === 401) });
    }
  }

  /** Adopts unsent messages of closed tabs. */
  async #adoptClosed() {
    const closed = await this.#tabs.closed(await this.#store.tabs());
    if (closed.size > 0) await this.#adopt(closed);
  }

  /** @param {Set<string>} tabs */
  async #adopt(tabs) {
    for (const item of await this.#store.adopt(tabs)) {
      this.step({ type: "send", item });
    }
  }
}

const RENEWED_EVERY_MS = 3_600_000;

/** @param {unknown} data */
function parse(data) {
  try {
    return JSON.parse(String(data));
  } catch {
    return null;
  }
}
