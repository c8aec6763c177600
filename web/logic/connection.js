// The connection to the server: attempts and their backoff, probes of a silent
// connection, and requests that are not answered yet.

/** @typedef {import("./client.js").Moment} Moment */
/** @typedef {import("./client.js").Output} Output */
/** @typedef {import("./client.js").Part} Part */
/** @typedef {import("./conversation.js").Key} Key */

/** @typedef {"join" | "probe" | "gap" | "end" | "quotes" | Part} Kind */
/** @typedef {{ kind: Kind, key: Key, seq?: number, seqs?: number[], at: number, fresh?: boolean }} Request */

export class Connection {
  /** `waiting` for the next attempt, `ended` for good. @type {"waiting" | "connecting" | "open" | "ended"} */
  state = "waiting";
  /** When the next attempt is due; null while one is made or there is a connection. @type {number | null} */
  retryAt = null;
  /** When the connection was lost; null while there is one. @type {number | null} */
  lostAt = 0;
  /** Whether `hello` has ever come. */
  hasConnected = false;
  /** What the server has beyond the first version of the protocol. @type {Set<string>} */
  features = new Set();

  #step;
  #user;
  #attempts = 0;
  #openedAt = 0;
  #receivedAt = 0;
  #probeAfterMs = PROBE_AFTER_MS;
  /** When the server wants the client to reconnect; 0: it has not said. */
  #reconnectAt = 0;
  /** Temporary refusals since a request last succeeded. */
  #refusals = 0;
  /** @type {Map<string, Request>} */
  #requests = new Map();
  #refs = 0;

  /**
   * @param {Step} step
   * @param {string} user who is signed in
   */
  constructor(step, user) {
    this.#step = step;
    this.#user = user;
  }

  connect() {
    this.state = "connecting";
    this.retryAt = null;
    this.#openedAt = this.#step.now;
    this.#step.emit({ do: "connect" });
    this.#step.emit({ do: "show", what: "connection" });
  }

  received() {
    this.#receivedAt = this.#step.now;
  }

  /** @param {any} hello */
  hello({ heartbeat_seconds: heartbeatSeconds, features = [] }) {
    this.features = new Set(features);
    this.state = "open";
    this.hasConnected = true;
    this.lostAt = null;
    this.#openedAt = this.#step.now;
    if (heartbeatSeconds > 0) {
      this.#probeAfterMs = Math.min(Math.max(heartbeatSeconds * 1000, PROBE_AFTER_MS), PROBE_AFTER_MAX_MS);
    }
    this.#step.emit({ do: "show", what: "connection" });
  }

  /** @param {unknown} ms until the server wants the client to reconnect */
  reconnectAfter(ms) {
    this.#reconnectAt = this.#step.now + nonNegative(ms);
  }

  /** The connection is lost: schedules the next attempt. */
  disconnected() {
    const { now, random } = this.#step;
    if (this.state === "open") {
      // A server that closes connections at once is not to be asked again at once.
      if (now - this.#openedAt > STEADY_MS) {
        this.#attempts = 0;
      }
      this.lostAt = now;
    }
    this.state = "waiting";
    if (this.#reconnectAt > now) {
      this.retryAt = this.#reconnectAt;
    } else {
      this.retryAt = now + backoff(this.#attempts, random);
      this.#attempts += 1;
    }
    this.#reconnectAt = 0;
    this.#requests.clear();
    this.#step.emit({ do: "show", what: "connection" });
  }

  end() {
    this.state = "ended";
    this.#step.emit({ do: "close" });
    this.#step.emit({ do: "signed-out" });
  }

  /** Makes the next attempt soon, or probes a connection that may be dead: the network or the page is back. */
  retrySoon() {
    const { now, random } = this.#step;
    if (this.state === "waiting" && this.retryAt !== null) {
      this.retryAt = Math.min(this.retryAt, now + random() * RETRY_WITHIN_MS);
    } else if (this.state === "open" && now - this.#receivedAt > DOUBT_AFTER_MS) {
      this.#probe();
    }
  }

  /** Time has passed. */
  tick() {
    const { now } = this.#step;
    if (this.state === "waiting" && this.retryAt !== null && now >= this.retryAt) {
      this.connect();
    } else if (this.state === "open" && now - this.#receivedAt >= this.#probeAfterMs) {
      this.#probe();
    }
  }

  /** When `tick` has something to do. */
  get dueAt() {
    if (this.state === "waiting") {
      return this.retryAt ?? Infinity;
    }
    const probeAt = this.state === "open" && !this.#isProbing ? this.#receivedAt + this.#probeAfterMs : Infinity;
    return Math.min(probeAt, this.overdueAt);
  }

  /** The deadline after which the connection counts as dead. */
  get overdueAt() {
    if (this.state === "connecting") {
      return this.#openedAt + ANSWER_MS;
    }
    const due = [...this.#requests.values()].map(({ kind, at }) =>
      this.answerDueAt(at, kind === "probe" ? PROBE_ANSWER_MS : ANSWER_MS),
    );
    return Math.min(Infinity, ...due);
  }

  /**
   * The deadline of an answer. Every frame that arrives extends it: a server may be
   * slow to store, and delays the answers to a client that asks for much.
   * @param {number} at when the request was sent
   */
  answerDueAt(at, withinMs = ANSWER_MS) {
    return Math.max(at, this.#receivedAt) + withinMs;
  }

  /**
   * Sends a request that costs little. Pings are invisible to a script, so silence
   * alone does not show whether the connection still lives.
   */
  #probe() {
    if (!this.#isProbing) {
      this.request("probe", `@${this.#user}`, { type: "history", with: this.#user, limit: 1 });
    }
  }

  get #isProbing() {
    return [...this.#requests.values()].some(({ kind }) => kind === "probe");
  }

  /** @param {object} frame */
  send(frame) {
    this.#step.emit({ do: "send", frame });
  }

  /**
   * Sends a frame that will be answered.
   * @param {Kind} kind
   * @param {Key} key
   * @param {object} frame
   * @param {{ seq?: number, seqs?: number[], fresh?: boolean }} [more]
   */
  request(kind, key, frame, more = {}) {
    this.#refs += 1;
    const ref = String(this.#refs);
    this.#requests.set(ref, { kind, key, at: this.#step.now, ...more });
    this.send({ ...frame, ref });
  }

  /**
   * The request that an answer belongs to. It is answered now.
   * @param {string} ref
   */
  takeRequest(ref) {
    const request = this.#requests.get(ref);
    this.#requests.delete(ref);
    return request;
  }

  /**
   * @param {Key} key
   * @param {Kind} kind
   */
  hasRequest(key, kind) {
    return [...this.#requests.values()].some((request) => request.key === key && request.kind === kind);
  }

  /** Whether the server has replays and pages of messages only, without the changes. */
  get folds() {
    return ["edit", "delete", "react"].some((feature) => this.features.has(feature));
  }

  /**
   * Whether messages of a conversation were requested and are not there yet.
   * @param {Key} key
   */
  awaitsPage(key) {
    return [...this.#requests.values()].some((request) => request.key === key && request.kind !== "join" && request.kind !== "probe");
  }

  /**
   * Whether a message was requested by its number and is not there yet.
   * @param {Key} key
   * @param {number} seq
   */
  awaitsQuote(key, seq) {
    return [...this.#requests.values()].some((request) => request.key === key && request.seqs?.includes(seq));
  }

  /** Whether a page of entries was requested and is not there yet. */
  get hasPageRequest() {
    return [...this.#requests.values()].some(({ kind }) => kind !== "join" && kind !== "probe");
  }

  /**
   * Ignores the answers to all requests about a conversation.
   * @param {Key} key
   */
  dropRequests(key) {
    for (const [ref, request] of this.#requests) {
      if (request.key === key) {
        this.#requests.delete(ref);
      }
    }
  }

  /**
   * How long to wait after a temporary refusal.
   * @param {unknown} after the server's `retry_after`, in seconds
   * @returns {number} milliseconds
   */
  retryDelay(after) {
    const pause = Math.max(nonNegative(after) * 1000, backoff(this.#refusals, this.#step.random));
    this.#refusals += 1;
    return pause;
  }

  /** A request that may be refused has succeeded. */
  succeeded() {
    this.#refusals = 0;
  }
}

/** What the parts of a client share during one `step`: its time, its randomness and its outputs. */
export class Step {
  now = 0;
  random = () => 0;
  /** @type {Output[]} */
  outputs = [];

  /** @param {Moment} moment */
  begin({ now, random }) {
    this.now = now;
    this.random = random;
    this.outputs = [];
  }

  /** @param {Output} output */
  emit(output) {
    this.outputs.push(output);
  }

  /** @param {Key} key */
  show(key) {
    this.emit({ do: "show", what: "conversation", key });
  }
}

/**
 * How long to wait before an attempt: a random time between `BACKOFF_MIN_MS` and a
 * limit that doubles, so that clients that were disconnected together do not
 * reconnect together.
 * @param {number} attempts made so far
 * @param {() => number} random from 0 up to 1
 * @returns {number} milliseconds
 */
export function backoff(attempts, random) {
  const most = Math.min(BACKOFF_MAX_MS, 2 * BACKOFF_MIN_MS * 2 ** attempts);
  return BACKOFF_MIN_MS + random() * (most - BACKOFF_MIN_MS);
}

/** @param {unknown} value */
function nonNegative(value) {
  return typeof value === "number" && value > 0 ? value : 0;
}

export const BACKOFF_MIN_MS = 500;
export const BACKOFF_MAX_MS = 30_000;
/** After silence for this long, an answer does not come any more. */
export const ANSWER_MS = 15_000;
const PROBE_ANSWER_MS = 8_000;
/** Silence after which the connection is probed. */
const PROBE_AFTER_MS = 25_000;
const PROBE_AFTER_MAX_MS = 90_000;
/** The same, when the page or the network was away. */
const DOUBT_AFTER_MS = 3_000;
const RETRY_WITHIN_MS = 1_000;
/** A connection that lasted this long resets the backoff. */
const STEADY_MS = 10_000;
