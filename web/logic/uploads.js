// Uploads of files, as a state machine: which ones run, how far they are, and what
// happens when one fails. Inputs go into `step`, with the time and the randomness; it
// returns outputs, which the caller performs. No DOM, no clock, no request.

import { backoff } from "./connection.js";

/** @typedef {import("./client.js").Moment} Moment */

/**
 * @typedef {object} Upload
 * @property {string} local the name of the file in this browser
 * @property {"waiting" | "sending" | "failed"} state
 * @property {number} sent the part that is sent, from 0 to 1
 * @property {string} [reason] the code why it failed
 * @property {number} heardAt when it last went on
 */

/**
 * Inputs. `add`: a file is to be uploaded. `retry`: one that failed. `remove`: its upload
 * is not wanted any more. `progress`: more of it is sent. `done`: it is stored. `refused`:
 * the server did not take it, or there was no answer (status 0). `network`: whether there
 * is a connection. `timer`: `wakeAt` has come.
 * @typedef {{ type: "add", local: string }
 *   | { type: "retry", local: string }
 *   | { type: "remove", local: string }
 *   | { type: "progress", local: string, sent: number }
 *   | { type: "done", local: string }
 *   | { type: "refused", local: string, status: number, retryAfterSeconds?: number }
 *   | { type: "network", isOpen: boolean }
 *   | { type: "timer" }} Input
 */

/**
 * Outputs. `start`: send the file. `stop`: end its request. `failed`: it is not tried
 * again by itself. `check-session`: ask whether the user is still signed in.
 * @typedef {{ do: "start" | "stop" | "changed", local: string }
 *   | { do: "failed", local: string, reason: string }
 *   | { do: "check-session" }} Output
 */

export class Uploads {
  /** In the order in which they were added. @type {Map<string, Upload>} */
  #all = new Map();
  #isOpen = false;
  /** Nothing is started before this time. */
  #pausedUntil = 0;
  /** Refusals that are temporary, since one was last stored. */
  #refusals = 0;
  /** @type {Output[]} */
  #outputs = [];

  /** @param {string} local */
  of(local) {
    return this.#all.get(local);
  }

  /**
   * @param {Input} input
   * @param {Moment} moment
   * @returns {Output[]}
   */
  step(input, moment) {
    this.#outputs = [];
    this.#handle(input, moment);
    this.#stopSilent(moment);
    this.#start(moment.now);
    return this.#outputs;
  }

  /** When `step` wants a `timer`, on the clock of `now`; Infinity: it needs none. */
  get wakeAt() {
    const all = [...this.#all.values()];
    const silent = all.filter(({ state }) => state === "sending").map(({ heardAt }) => heardAt + SILENT_MS);
    const isDue = this.#isOpen && all.some(({ state }) => state === "waiting") && silent.length < AT_ONCE;
    return Math.min(...silent, isDue ? this.#pausedUntil : Infinity);
  }

  /**
   * @param {Input} input
   * @param {Moment} moment
   */
  #handle(input, moment) {
    if (input.type === "network") {
      // A connection that is back may be a better one.
      if (input.isOpen && !this.#isOpen) this.#pausedUntil = 0;
      this.#isOpen = input.isOpen;
      return;
    }
    if (input.type === "timer") {
      return;
    }
    const { local } = input;
    const upload = this.#all.get(local);
    switch (input.type) {
      case "add":
        if (!upload) this.#all.set(local, { local, state: "waiting", sent: 0, heardAt: 0 });
        break;
      case "retry":
        if (upload?.state === "failed") this.#set(upload, { state: "waiting", reason: undefined });
        break;
      case "remove":
        if (upload?.state === "sending") this.#outputs.push({ do: "stop", local });
        this.#all.delete(local);
        break;
      case "progress":
        if (upload?.state === "sending") this.#set(upload, { sent: input.sent, heardAt: moment.now });
        break;
      case "done":
        this.#refusals = 0;
        this.#all.delete(local);
        break;
      case "refused":
        if (upload?.state === "sending") this.#refused(upload, input, moment);
        break;
    }
  }

  /**
   * @param {Upload} upload
   * @param {{ status: number, retryAfterSeconds?: number }} answer
   * @param {Moment} moment
   */
  #refused(upload, { status, retryAfterSeconds = 0 }, { now, random }) {
    if (status === 401) this.#outputs.push({ do: "check-session" });
    const reason = REASONS[status] ?? (status > 400 && status < 500 && !TEMPORARY.has(status) ? "file_refused" : "");
    if (reason) {
      this.#set(upload, { state: "failed", sent: 0, reason });
      this.#outputs.push({ do: "failed", local: upload.local, reason });
    } else {
      this.#set(upload, { state: "waiting", sent: 0 });
      this.#pausedUntil = now + Math.max(retryAfterSeconds * 1000, backoff(this.#refusals, random));
      this.#refusals += 1;
    }
  }

  /**
   * Ends requests that do not go on: the network may be gone without a word.
   * @param {Moment} moment
   */
  #stopSilent(moment) {
    for (const upload of this.#all.values()) {
      if (upload.state === "sending" && moment.now >= upload.heardAt + SILENT_MS) {
        this.#outputs.push({ do: "stop", local: upload.local });
        this.#refused(upload, { status: 0 }, moment);
      }
    }
  }

  /** @param {number} now */
  #start(now) {
    let free = AT_ONCE - [...this.#all.values()].filter(({ state }) => state === "sending").length;
    if (!this.#isOpen || now < this.#pausedUntil) {
      return;
    }
    for (const upload of this.#all.values()) {
      if (free > 0 && upload.state === "waiting") {
        this.#set(upload, { state: "sending", sent: 0, heardAt: now });
        this.#outputs.push({ do: "start", local: upload.local });
        free -= 1;
      }
    }
  }

  /**
   * @param {Upload} upload
   * @param {Partial<Upload>} changes
   */
  #set(upload, changes) {
    Object.assign(upload, changes);
    this.#outputs.push({ do: "changed", local: upload.local });
  }
}

/** Uploads at the same time: as the first ones are stored first, messages need not wait for all. */
export const AT_ONCE = 2;
/** A request that does not go on for this long is ended. At its end the server stores and looks at the file. */
export const SILENT_MS = 60_000;
/** Refusals that another try does not change. @type {Record<number, string>} */
const REASONS = { 400: "file_refused", 410: "file_lost", 413: "file_too_large", 507: "no_space" };
/** 401: signing in again may help; 408, 425, 429: later. */
const TEMPORARY = new Set([401, 408, 425, 429]);
