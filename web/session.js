// The page's connection to the server: drives the client, tells it what the browser knows of the
// network, and keeps what is to be sent. It decides nothing.

import { BASE } from "./logic/address.js";
import * as api from "./api.js";
import { Driver } from "./driver.js";

/** @typedef {import("./logic/client.js").Output} Output */
/** @typedef {import("./logic/conversation.js").Key} Key */
/** @typedef {import("./logic/outbox.js").ChangeKind} ChangeKind */
/** @typedef {import("./logic/outbox.js").Item} Item */
/** @typedef {import("./keeping.js").Keeping} Keeping */

export class Session extends Driver {
  #listener;
  /** Loaded once there is something to keep. @type {Promise<Keeping> | null} */
  #keeping = null;
  #controller = new AbortController();

  /**
   * @param {string} user
   * @param {(output: Output) => void} listener
   */
  constructor(user, listener) {
    super(user);
    this.#listener = listener;
    const { signal } = this.#controller;
    const toForeground = () => this.step({ type: "foreground" });
    addEventListener("offline", () => this.step({ type: "offline" }), { signal });
    addEventListener("online", () => this.step({ type: "online" }), { signal });
    const toBackground = () => this.step({ type: "background" });
    addEventListener("pageshow", toForeground, { signal });
    addEventListener("pagehide", toBackground, { signal });
    document.addEventListener("visibilitychange", () => (document.hidden ? toBackground() : toForeground()), { signal });
    // The request renews a session of which half the lifetime is over: no user is
    // signed out in the middle of a conversation.
    const renewal = setInterval(() => this.#checkSession(), RENEWED_EVERY_MS);
    // A tab that showed a page before may have left something that is not sent.
    const adopting = setTimeout(() => this.#useKeeping(() => {}), hasStorage() ? 0 : LATER_AFTER_MS);
    signal.addEventListener("abort", () => {
      clearInterval(renewal);
      clearTimeout(adopting);
    });
  }

  start() {
    this.step({ type: "start" });
  }

  /**
   * @param {Key} key
   * @param {string} text
   * @param {Pick<Item, "mentions" | "mentionAll" | "replyTo" | "replyToNonce" | "files">} [more] whom it mentions, what it answers, and its files
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
    this.step({ type: "send", item: this.itemOf(what) });
  }

  /** Ends the session without telling the listener. */
  end() {
    super.end();
    this.#controller.abort();
  }

  open() {
    const url = new URL(`${BASE}/ws`, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return new WebSocket(url, "chat.v2");
  }

  /** @param {Output} output */
  perform(output) {
    switch (output.do) {
      case "check-session":
        this.#checkSession();
        break;
      case "keep": {
        // As it is now: it goes on changing.
        const item = { ...output.item };
        this.#useKeeping((keeping) => keeping.keep(item));
        break;
      }
      case "drop":
        this.#useKeeping((keeping) => keeping.drop(output.nonce));
        break;
      default:
        this.#listener(output);
    }
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

  /** @param {(keeping: Keeping) => void} act */
  #useKeeping(act) {
    const adopt = (/** @type {Item} */ item) => this.step({ type: "send", item });
    this.#keeping ??= import("./keeping.js").then(({ Keeping }) => new Keeping(this.client.user, adopt, this.#controller.signal));
    // Without a network it may fail, and may be tried again.
    this.#keeping.then(act, () => (this.#keeping = null));
  }
}

function hasStorage() {
  try {
    return sessionStorage.length > 0;
  } catch {
    return false;
  }
}

/** What the first view does without is loaded after this time. */
const LATER_AFTER_MS = 3_000;

const RENEWED_EVERY_MS = 3_600_000;
