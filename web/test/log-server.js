// A server of the protocol in memory, for tests of the logic: logs whose entries
// change messages, and connections whose frames are late, lost, or refused.

/** @typedef {{ kind: string, seq: number, from: string, to?: string, text?: string, target?: number, emoji?: string, nonce: string, timestamp: number, replyTo?: number }} Stored */

export class Log {
  /** @type {Stored[]} */
  entries = [];
  /** The oldest number that is kept. */
  first = 1;

  get end() {
    return this.entries.length;
  }

  /** @param {number} seq */
  at(seq) {
    return seq < this.first ? undefined : this.entries[seq - 1];
  }

  /** @param {Stored} entry */
  isMessage(entry) {
    return entry.kind === "message";
  }

  /**
   * What the changes up to the end have made of a message.
   * @param {number} seq
   */
  state(seq) {
    const message = /** @type {Stored} */ (this.entries[seq - 1]);
    const state = { text: message.text ?? "", edited: 0, deleted: false, updated: 0, /** @type {{ emoji: string, users: string[] }[]} */ reactions: [] };
    for (const { kind, seq: at, target, text = "", emoji = "", from, timestamp } of this.entries) {
      if (target !== seq) continue;
      state.updated = at;
      if (kind === "edit") Object.assign(state, { text, edited: timestamp });
      if (kind === "delete") Object.assign(state, { text: "", edited: 0, deleted: true, reactions: [] });
      const known = state.reactions.find((reaction) => reaction.emoji === emoji);
      if (kind === "react") known ? known.users.push(from) : state.reactions.push({ emoji, users: [from] });
      if (kind === "unreact" && known) known.users = known.users.filter((user) => user !== from);
      state.reactions = state.reactions.filter(({ users }) => users.length > 0);
    }
    return state;
  }

  /**
   * Decides about a send, as the server does.
   * @param {any} frame
   * @param {string} from
   * @param {number} timestamp
   * @returns {{ error: string } | { seq: number, duplicate: boolean }}
   */
  append({ type, target, text, emoji, nonce, reply_to: replyTo, to }, from, timestamp) {
    const known = this.entries.find((entry) => entry.from === from && entry.nonce === nonce);
    if (known) return { seq: known.seq, duplicate: true };
    const kind = type === "private" ? "message" : type;
    if (kind !== "message") {
      const message = this.at(target);
      if (!message || !this.isMessage(message)) return { error: "not_found" };
      const { deleted, reactions } = this.state(target);
      const first = (/** @type {string} */ kind, emoji = "") =>
        this.entries.find((entry) => entry.kind === kind && entry.target === target && (entry.emoji ?? "") === emoji && (kind === "delete" || entry.from === from))?.seq ?? 0;
      if (kind === "delete" && deleted) return { seq: first("delete"), duplicate: true };
      if (deleted) return { error: "not_found" };
      if ((kind === "edit" || kind === "delete") && message.from !== from) return { error: "forbidden" };
      const hasReacted = reactions.some((reaction) => reaction.emoji === emoji && reaction.users.includes(from));
      if (kind === "react" && hasReacted) return { seq: first("react", emoji), duplicate: true };
      if (kind === "unreact" && !hasReacted) return { error: "not_found" };
    }
    const seq = this.end + 1;
    const isAnswer = kind === "message" && replyTo > 0 && replyTo < seq && this.at(replyTo)?.kind === "message";
    this.entries.push({ kind, seq, from, to, text, target, emoji, nonce, timestamp, ...(isAnswer && { replyTo }) });
    return { seq, duplicate: false };
  }

  /**
   * The frame of an entry.
   * @param {Stored} entry
   * @param {object} where
   * @param {boolean} isLive whether it is delivered for the first time: else a message comes with its state
   */
  frame({ kind, seq, from, text, target, emoji, nonce, timestamp, replyTo }, where, isLive) {
    const frame = { ...where, seq, from, timestamp, nonce };
    if (kind === "message") {
      const { deleted, edited, updated, reactions, text: now } = this.state(seq);
      const answered = replyTo && !(deleted && !isLive) ? { reply_to: replyTo } : {};
      if (isLive) return { type: "message", ...frame, text, ...answered };
      const listed = reactions.map(({ emoji, users }) => ({ emoji, count: users.length, users: users.slice(0, 5) }));
      return {
        type: "message", ...frame, text: now, ...answered,
        ...(updated && { updated }), ...(edited && { edited }), ...(deleted && { deleted }), ...(listed.length && { reactions: listed }),
      };
    }
    const isNewest = target !== undefined && this.entries.findLast((entry) => entry.target === target && (entry.kind === "edit" || entry.kind === "delete"))?.seq === seq;
    return { type: kind, ...frame, target, ...(kind === "edit" && (isLive || isNewest) && { text }), ...(emoji && { emoji }) };
  }

  /**
   * A page of the log.
   * @param {any} request
   * @param {object} where
   * @param {number} [end] the last number that it may have
   */
  page({ before, after, around, seqs, limit = 50, fold }, where, end = this.end) {
    const all = this.entries.filter(({ seq }) => seq >= this.first && seq <= end);
    const matching = fold ? all.filter((entry) => this.isMessage(entry)) : all;
    const frames = (/** @type {Stored[]} */ some) => some.map((entry) => this.frame(entry, where, false));
    const last = (/** @type {Stored[]} */ some) => some.at(-1)?.seq ?? 0;
    if (seqs) {
      return { messages: frames(all.filter((entry) => this.isMessage(entry) && seqs.includes(entry.seq))), has_more: false, from: 1, upto: end };
    }
    if (around !== undefined) {
      const older = matching.filter(({ seq }) => seq < around);
      const newer = matching.filter(({ seq }) => seq >= around);
      const some = [...older.slice(-Math.floor(limit / 2)), ...newer.slice(0, limit - Math.floor(limit / 2))];
      const [before, behind] = [older.length > Math.floor(limit / 2), newer.length > limit - Math.floor(limit / 2)];
      return { messages: frames(some), has_more_before: before, has_more_after: behind, from: before ? some[0]?.seq : this.first, upto: behind ? last(some) : end };
    }
    if (after !== undefined) {
      const newer = matching.filter(({ seq }) => seq > after);
      const some = newer.slice(0, limit);
      return { messages: frames(some), has_more: newer.length > limit, from: after + 1, upto: newer.length > limit ? last(some) : Math.max(end, after) };
    }
    const older = matching.filter(({ seq }) => before === undefined || seq < before);
    const some = older.slice(-limit);
    const hasMore = older.length > limit;
    return { messages: frames(some), has_more: hasMore, from: hasMore ? some[0]?.seq : this.first, upto: Math.min(end, (before ?? Infinity) - 1) };
  }
}

/** The connection of a client to the logs of rooms and of pairs. */
export class Link {
  #logs;
  #user;
  #random;
  /** Rooms that are joined, and pairs, each with the last number that was delivered. @type {Map<string, number>} */
  #cursors = new Map();
  /** Frames on their way to the client. @type {any[]} */
  out = [];
  /** Requests whose answers are read, but not sent. @type {(() => void)[]} */
  #reads = [];
  /** The nonce that could not be stored: nothing is, until it is sent again, or given up. */
  #refused = "";
  #refusedUntil = 0;

  /**
   * @param {Map<string, Log>} logs by names of topics: `#room`, or the two names of a pair
   * @param {string} user
   * @param {(below: number) => number} random
   */
  constructor(logs, user, random) {
    this.#logs = logs;
    this.#user = user;
    this.#random = random;
    const privates = [];
    for (const [topic, log] of logs) {
      if (!topic.startsWith("#") && topic.split(" ").includes(user)) {
        this.#cursors.set(topic, log.end);
        if (log.end > 0) privates.push({ with: topic.split(" ").find((name) => name !== user), seq: log.end });
      }
    }
    this.out.push({ type: "hello", protocol: 2, user, epoch: "e1", heartbeat_seconds: 30, limits: {}, features: ["edit", "delete", "react", "reply"], privates, has_more: false });
  }

  /** @param {any} frame */
  #topicOf(frame) {
    return frame.room === undefined ? [this.#user, frame.to ?? frame.with].toSorted().join(" ") : `#${frame.room}`;
  }

  /**
   * The fields that say where an entry is.
   * @param {string} topic
   * @param {Stored} entry
   */
  #where(topic, { from }) {
    if (topic.startsWith("#")) return { room: topic.slice(1) };
    const names = topic.split(" ");
    return { to: names.find((name) => name !== from) ?? from };
  }

  /** @param {string} topic */
  #log(topic) {
    const log = this.#logs.get(topic) ?? new Log();
    this.#logs.set(topic, log);
    return log;
  }

  /**
   * @param {any} frame of the client
   * @param {number} timestamp
   */
  receive(frame, timestamp) {
    const topic = this.#topicOf(frame);
    const log = this.#log(topic);
    const { ref, room } = frame;
    switch (frame.type) {
      case "join": {
        const seq = log.end;
        const isResumed = frame.since !== undefined && frame.since >= log.first - 1 && this.#random(6) > 0;
        const isFolded = frame.fold === true;
        this.#later(() => {
          const messages = isResumed ? log.page({ after: frame.since, limit: Infinity }, { room }, seq).messages : log.page({ fold: isFolded, limit: 10 }, { room }, seq).messages;
          const from = isFolded ? { from: messages[0]?.seq ?? seq + 1 } : {};
          this.out.push({ type: "joined", room, epoch: "e1", seq, recovered: isResumed, online: 1, members: [], ref, ...from }, ...messages);
          if (isFolded) this.out.push({ type: "replayed", room, upto: seq });
          this.#cursors.set(topic, seq);
        });
        break;
      }
      case "leave":
        this.#cursors.delete(topic);
        this.out.push({ type: "left", room });
        break;
      case "history": {
        const page = log.page(frame, {});
        const where = room === undefined ? { with: frame.with } : { room };
        this.#later(() => this.out.push({ type: "history", ...where, epoch: "e1", first: log.first, ...page, ref }));
        break;
      }
      case "read":
      case "typing":
        break;
      default: {
        if (this.#refused === frame.nonce || timestamp > this.#refusedUntil) {
          this.#refused = "";
        }
        if (this.#refused || this.#random(15) === 0) {
          if (!this.#refused) [this.#refused, this.#refusedUntil] = [frame.nonce, timestamp + REFUSED_FOR];
          this.out.push({ type: "error", code: "unavailable", message: "", nonce: frame.nonce });
          return;
        }
        const result = log.append(frame, this.#user, timestamp);
        const where = room === undefined ? { to: frame.to } : { room };
        this.#later(() =>
          this.out.push("error" in result ? { type: "error", code: result.error, message: "", nonce: frame.nonce } : { type: "ack", nonce: frame.nonce, ...where, ...result, timestamp }),
        );
      }
    }
  }

  /** @param {() => void} answer */
  #later(answer) {
    this.#random(2) === 0 ? this.#reads.push(answer) : this.#flush(answer);
  }

  /** Answers stay in order. @param {() => void} [answer] */
  #flush(answer) {
    for (const read of this.#reads.splice(0)) read();
    answer?.();
  }

  /** Sends what is committed, or some of it, and answers that are late. */
  pump() {
    if (this.#random(2) === 0) this.#flush();
    for (const [topic, cursor] of this.#cursors) {
      const log = this.#log(topic);
      const end = this.#random(3) === 0 ? Math.min(log.end, cursor + 1) : log.end;
      for (const entry of log.entries.slice(cursor, end)) this.out.push(privately(log.frame(entry, this.#where(topic, entry), true)));
      this.#cursors.set(topic, end);
    }
    for (const topic of this.#logs.keys()) {
      if (!topic.startsWith("#") && topic.split(" ").includes(this.#user) && !this.#cursors.has(topic)) this.#cursors.set(topic, 0);
    }
  }

  /** Whether nothing is on its way. */
  get isIdle() {
    return this.out.length === 0 && this.#reads.length === 0 && [...this.#cursors].every(([topic, cursor]) => cursor === this.#log(topic).end);
  }
}

/** @param {any} frame */
function privately(frame) {
  return frame.room === undefined && frame.type === "message" ? { ...frame, type: "private" } : frame;
}

/** After this time, the server takes it that a client has given up what could not be stored. */
const REFUSED_FOR = 40;
