// The line to the server: made, watched, given up and made anew; and what was
// asked on it and has no answer yet.

/** @typedef {import("./client.js").Moment} Moment */
/** @typedef {import("./client.js").Output} Output */
/** @typedef {import("./client.js").Part} Part */
/** @typedef {import("./conversation.js").Key} Key */

/** @typedef {"join" | "probe" | "gap" | "end" | Part} Kind */
/** @typedef {{ kind: Kind, key: Key, seq?: number, at: number, fresh?: boolean }} Request */

export class Connection {
  /** `waiting` for the next attempt, `ended` for good. @type {"waiting" | "connecting" | "open" | "ended"} */
  state = "waiting";
  /** When the next attempt is due; null while one is made or there is a connection. @type {number | null} */
  retryAt = null;
  /** When there was last a connection; null while there is one. @type {number | null} */
  lostAt = 0;
  /** Whether `hello` has ever come. */
  hasGreeted = false;

  #turn;
  #user;
  #attempts = 0;
  #openedAt = 0;
  #heardAt = 0;
  #probeAfterMs = PROBE_AFTER_MS;
  /** When the server wants to see us again; 0: it did not say. */
  #returnAt = 0;
  /** Of what may pass, since something last went well. */
  #refusals = 0;
  /** @type {Map<string, Request>} */
  #requests = new Map();
  #refs = 0;

  /**
   * @param {Turn} turn
   * @param {string} user who is signed in
   */
  constructor(turn, user) {
    this.#turn = turn;
    this.#user = user;
  }

  connect() {
    this.state = "connecting";
    this.retryAt = null;
    this.#openedAt = this.#turn.now;
    this.#turn.do({ do: "connect" });
    this.#turn.do({ do: "show", what: "connection" });
  }

  heard() {
    this.#heardAt = this.#turn.now;
  }

  /** @param {number} heartbeatSeconds */
  greeted(heartbeatSeconds) {
    this.state = "open";
    this.hasGreeted = true;
    this.lostAt = null;
    this.#openedAt = this.#turn.now;
    if (heartbeatSeconds > 0) {
      this.#probeAfterMs = Math.min(Math.max(heartbeatSeconds * 1000, PROBE_AFTER_MS), PROBE_AFTER_MAX_MS);
    }
    this.#turn.do({ do: "show", what: "connection" });
  }

  /** @param {unknown} ms after which the server wants to see us again */
  comeBackAfter(ms) {
    this.#returnAt = this.#turn.now + nonNegative(ms);
  }

  /** It is to be made anew in a while. */
  lost() {
    const { now, random } = this.#turn;
    if (this.state === "open") {
      // One that is closed at once is no reason to come back at once.
      if (now - this.#openedAt > STEADY_MS) {
        this.#attempts = 0;
      }
      this.lostAt = now;
    }
    this.state = "waiting";
    if (this.#returnAt > now) {
      this.retryAt = this.#returnAt;
    } else {
      this.retryAt = now + backoff(this.#attempts, random);
      this.#attempts += 1;
    }
    this.#returnAt = 0;
    this.#requests.clear();
    this.#turn.do({ do: "show", what: "connection" });
  }

  end() {
    this.state = "ended";
    this.#turn.do({ do: "close" });
    this.#turn.do({ do: "signed-out" });
  }

  /** The network may have changed, or the page came to the front. */
  nudge() {
    const { now, random } = this.#turn;
    if (this.state === "waiting" && this.retryAt !== null) {
      this.retryAt = Math.min(this.retryAt, now + random() * NUDGED_WITHIN_MS);
    } else if (this.state === "open" && now - this.#heardAt > NUDGE_AFTER_MS) {
      this.#probe();
    }
  }

  /** Time has passed. */
  tick() {
    const { now } = this.#turn;
    if (this.state === "waiting" && this.retryAt !== null && now >= this.retryAt) {
      this.connect();
    } else if (this.state === "open" && now - this.#heardAt >= this.#probeAfterMs) {
      this.#probe();
    }
  }

  /** When to look again. */
  get dueAt() {
    if (this.state === "waiting") {
      return this.retryAt ?? Infinity;
    }
    const probeAt = this.state === "open" && !this.#isProbing ? this.#heardAt + this.#probeAfterMs : Infinity;
    return Math.min(probeAt, this.overdueAt);
  }

  /** When to give up waiting. */
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
   * Whatever comes shows that the connection lives: a server may be slow to
   * store, and takes its time with whoever asks for much.
   * @param {number} at when something was sent
   */
  answerDueAt(at, withinMs = ANSWER_MS) {
    return Math.max(at, this.#heardAt) + withinMs;
  }

  /**
   * Asks for something that costs nothing: pings are invisible to a script, so
   * silence alone does not tell whether there still is a connection.
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
    this.#turn.do({ do: "send", frame });
  }

  /**
   * Sends what has an answer.
   * @param {Kind} kind
   * @param {Key} key
   * @param {object} frame
   * @param {{ seq?: number, fresh?: boolean }} [more]
   */
  request(kind, key, frame, more = {}) {
    this.#refs += 1;
    const ref = String(this.#refs);
    this.#requests.set(ref, { kind, key, at: this.#turn.now, ...more });
    this.send({ ...frame, ref });
  }

  /**
   * What an answer is about.
   * @param {string} ref
   */
  answered(ref) {
    const request = this.#requests.get(ref);
    this.#requests.delete(ref);
    return request;
  }

  /**
   * @param {Key} key
   * @param {Kind} kind
   */
  isAsking(key, kind) {
    return [...this.#requests.values()].some((request) => request.key === key && request.kind === kind);
  }

  /** Whether a page is on its way. */
  get isReading() {
    return [...this.#requests.values()].some(({ kind }) => kind !== "join" && kind !== "probe");
  }

  /**
   * Answers about it are not wanted any more.
   * @param {Key} key
   */
  forget(key) {
    for (const [ref, request] of this.#requests) {
      if (request.key === key) {
        this.#requests.delete(ref);
      }
    }
  }

  /**
   * How long to wait after a refusal that may pass.
   * @param {unknown} after what the server asked for, in seconds
   * @returns {number} milliseconds
   */
  pause(after) {
    const pause = Math.max(nonNegative(after) * 1000, backoff(this.#refusals, this.#turn.random));
    this.#refusals += 1;
    return pause;
  }

  /** Something that may be refused was not. */
  wentWell() {
    this.#refusals = 0;
  }
}

/** What the parts of a client share of one step: its moment, and what is to be done after it. */
export class Turn {
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
  do(output) {
    this.outputs.push(output);
  }

  /** @param {Key} key */
  show(key) {
    this.do({ do: "show", what: "conversation", key });
  }
}

/**
 * How long to wait before coming back: somewhere between a least time and one
 * that doubles, so that those who were cut off together do not come back together.
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
/** After silence for this long, an answer will not come. */
export const ANSWER_MS = 15_000;
const PROBE_ANSWER_MS = 8_000;
/** Silence after which to ask whether there still is a connection. */
const PROBE_AFTER_MS = 25_000;
const PROBE_AFTER_MAX_MS = 90_000;
/** The same, when there is a reason to doubt it. */
const NUDGE_AFTER_MS = 3_000;
const NUDGED_WITHIN_MS = 1_000;
/** A connection that lasted this long starts the waiting times anew. */
const STEADY_MS = 10_000;
