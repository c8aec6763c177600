// A client of the chat for programs. It needs no DOM: browsers, workers and Node have all that it
// uses.

import { Driver } from "./driver.js";

/** @typedef {import("./logic/client.js").Input} Input */
/** @typedef {import("./logic/client.js").Output} Output */
/** @typedef {import("./logic/conversation.js").Entry} Entry */
/** @typedef {import("./logic/conversation.js").Key} Key `#room` or `@user` */
/** @typedef {import("./logic/outbox.js").Item} Item */

/**
 * @typedef {object} Options
 * @property {string | URL} url of the server, such as `https://chat.example.org`
 * @property {string} user who is signed in
 * @property {string} [token] of the session; in a browser that has its cookie: none
 * @property {(output: Output) => void} [listener] is told what happens
 */

/** Connects, and connects again, until it is ended. What is sent is sent until the server has stored or refused it. */
export class Chat extends Driver {
  #options;
  /** Messages whose outcome somebody waits for. @type {Map<Item, { resolve: (seq: number) => void, reject: (error: Error) => void }>} */
  #awaited = new Map();

  /** @param {Options} options */
  constructor(options) {
    super(options.user);
    this.#options = options;
    this.step({ type: "start" });
  }

  /**
   * Joins a room, now and after each new connection. Its newest messages, and those that follow,
   * come as `arrived` and are in `messages`.
   * @param {string} room
   */
  join(room) {
    this.step({ type: "join", room });
  }

  /** @param {string} room */
  leave(room) {
    this.step({ type: "leave", room });
  }

  /**
   * Sends a message to a room that is joined (`#room`) or to a user (`@user`).
   * @param {Key} key
   * @param {string} text
   * @param {Pick<Item, "mentions" | "mentionAll" | "replyTo">} [more]
   * @returns {Promise<number>} its number, once it is stored. `reason` of the error is the code of a refusal; its
   *   text is the same, or the sentence of a program that has refused the message
   */
  send(key, text, more) {
    const item = this.itemOf({ key, text, ...more });
    return new Promise((resolve, reject) => {
      this.#awaited.set(item, { resolve, reject });
      this.step({ type: "send", item });
    });
  }

  /**
   * The messages of a conversation that are here, in their order.
   * @param {Key} key
   * @returns {Entry[]}
   */
  messages(key) {
    return this.client.conversations.get(key)?.entries ?? [];
  }

  /** Closes the connection for good. */
  end() {
    super.end();
    this.#settle("ended");
  }

  /**
   * Gives the client an input: what this class has no method for.
   * @param {Input} input
   */
  step(input) {
    super.step(input);
    this.#settle(this.client.state === "ended" ? "signed_out" : undefined);
  }

  /** @param {Output} output */
  perform(output) {
    output.do === "check-session" ? this.#checkSession() : this.#options.listener?.(output);
  }

  open() {
    const url = new URL("ws", withSlash(this.#options.url));
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    // Node takes headers, which browsers do not have here.
    const options = /** @type {any} */ (this.#options.token ? { protocols: "chat.v2", headers: this.#headers } : "chat.v2");
    return new WebSocket(url, options);
  }

  /** @param {string} [reason] why nothing more is sent */
  #settle(reason) {
    for (const [item, { resolve, reject }] of this.#awaited) {
      if (item.state === "stored") {
        resolve(item.seq ?? 0);
      } else if (item.state === "failed" || reason) {
        // A program that refuses a message may say why in its own words.
        reject(Object.assign(new Error(item.sentence ?? item.reason ?? reason), { reason: item.reason ?? reason }));
      } else {
        continue;
      }
      this.#awaited.delete(item);
    }
  }

  async #checkSession() {
    let signedIn = true;
    try {
      const answer = await fetch(new URL("api/me", withSlash(this.#options.url)), { headers: this.#headers });
      // Only the answer 401 means no: the server may be unreachable.
      signedIn = answer.status !== 401;
    } catch {}
    this.step({ type: "session", signedIn });
  }

  /** @returns {Record<string, string>} */
  get #headers() {
    const { token } = this.#options;
    return token ? { authorization: `Bearer ${token}` } : {};
  }
}

/**
 * Signs in with a password. For programs: a browser keeps the token in a cookie, which no script can read.
 * @param {string | URL} url of the server
 * @param {string} username
 * @param {string} password
 * @returns {Promise<string>} the token of the session
 */
export async function signIn(url, username, password) {
  const body = JSON.stringify({ username, password });
  const headers = { "content-type": "application/json" };
  const answer = await fetch(new URL("api/login", withSlash(url)), { method: "POST", headers, body });
  const token = /(?:^|, )auth=([^;]+)/.exec(answer.headers.get("set-cookie") ?? "")?.[1];
  if (!answer.ok || !token) {
    const { error } = await answer.json().catch(() => ({}));
    throw new Error(error ?? `the server answered ${answer.status}`);
  }
  return token;
}

/** @param {string | URL} url */
function withSlash(url) {
  return String(url).replace(/\/*$/, "/");
}
