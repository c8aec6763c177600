// A client with a clock, and a test that plays the server.

import { Client } from "../logic/client.js";

export class World {
  now = 1000;
  random = 0.5;
  client = new Client("alice");
  /** @type {any[]} */
  sent = [];
  /** @type {any[]} */
  outputs = [];
  /** The items in the store. @type {Map<string, any>} */
  kept = new Map();

  /** @param {any} input */
  step(input) {
    const outputs = this.client.step(input, { now: this.now, random: () => this.random });
    for (const output of outputs) {
      if (output.do === "send") this.sent.push(output.frame);
      if (output.do === "keep") this.kept.set(output.item.nonce, structuredClone(output.item));
      if (output.do === "drop") this.kept.delete(output.nonce);
    }
    this.outputs.push(...outputs);
    return outputs;
  }

  /** The frames that were sent since the last call. */
  take() {
    return this.sent.splice(0);
  }

  /** @param {string} kind */
  did(kind) {
    return this.outputs.splice(0).filter((output) => output.do === kind);
  }

  /** Moves the clock to the next timer. */
  wake() {
    this.now = Math.max(this.now, this.client.wakeAt ?? this.now);
    return this.step({ type: "timer" });
  }

  /** @param {any} frame */
  frame(frame) {
    return this.step({ type: "frame", frame });
  }

  /** @param {any} [hello] */
  open(hello = {}) {
    if (this.client.state === "waiting") {
      this.client.wakeAt === null ? this.step({ type: "start" }) : this.wake();
    }
    this.step({ type: "opened" });
    return this.frame({ type: "hello", protocol: 2, user: "alice", epoch: "e1", heartbeat_seconds: 30, limits: {}, privates: [], has_more: false, ...hello });
  }

  /** @param {number} [code] */
  cut(code = 1006) {
    return this.step({ type: "closed", code, wasOpen: true });
  }

  /**
   * Answers the last join of a room, with entries behind it.
   * @param {string} room
   * @param {number[]} seqs
   * @param {any} [joined]
   */
  joined(room, seqs = [], joined = {}) {
    const join = this.sent.findLast((frame) => frame.type === "join" && frame.room === room);
    this.frame({ type: "joined", room, epoch: "e1", seq: seqs.at(-1) ?? 0, recovered: false, online: 1, members: ["alice"], ref: join?.ref, ...joined });
    for (const seq of seqs) this.message(room, seq);
  }

  /**
   * @param {string} room
   * @param {number} seq
   * @param {any} [more]
   */
  message(room, seq, more = {}) {
    return this.frame({ type: "message", room, seq, from: "bob", text: `text ${seq}`, timestamp: 1000 + seq, ...more });
  }

  /**
   * @param {string} key
   * @param {string} text
   * @param {string} [nonce]
   */
  write(key, text, nonce = `n-${text}`) {
    return this.step({ type: "send", item: { nonce, key, text, at: this.client.outbox.timestampFor(this.now), state: "waiting" } });
  }

  /** @param {any} key */
  seqs(key) {
    return this.client.conversations.get(key)?.entries.map(({ seq }) => seq);
  }

  /** @param {any} key */
  waiting(key) {
    return this.client.outbox.of(key).map(({ text, state }) => `${text} ${state}`);
  }
}

/**
 * @param {number} from
 * @param {number} to
 */
export function range(from, to) {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/**
 * @param {number} from
 * @param {number} to
 */
export function page(from, to) {
  return range(from, to).map((seq) => ({ type: "message", seq, from: "bob", text: `text ${seq}`, timestamp: 1000 + seq }));
}
