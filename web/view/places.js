// All that can be opened: rooms and people, what is unread in them, who may be
// named there, and where one was.

import * as api from "../api.js";
import { titleOf } from "../words.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("../logic/reads.js").Reads} Reads */
/** @typedef {import("../settings.js").Memory} Memory */
/** @typedef {import("./finder.js").Choice} Choice */
/** @typedef {import("./sidebar.js").Line} Line */

export class Places {
  /** The one that is open. @type {Key | null} */
  current = null;
  /** Where one was named. @type {Set<Key>} */
  mentioned = new Set();
  /** Whether the rooms come from the server and not from an earlier visit. */
  isListed = false;
  #me;
  #client;
  #reads;
  #memory;
  /** @type {api.Room[]} */
  #rooms;
  /** @type {Set<Key>} */
  #muted;
  /** The latest first. @type {Key[]} */
  #visited = [];

  /**
   * @param {string} me
   * @param {Client} client
   * @param {Reads} reads
   * @param {Memory} memory
   */
  constructor(me, client, reads, memory) {
    this.#me = me;
    this.#client = client;
    this.#reads = reads;
    this.#memory = memory;
    this.#rooms = (memory.listed ?? []).map(([name, title]) => ({ name, title, online: 0 }));
    this.#muted = new Set(memory.muted);
  }

  /** Asks the server which rooms there are; without an answer, they stay as they were. */
  async load() {
    try {
      this.#rooms = await api.rooms();
      this.isListed = true;
      this.#memory.listed = this.#rooms.map(({ name, title }) => [name, title]);
    } catch {
      // The connection tells when something is wrong.
    }
  }

  /** @param {Key} key */
  visit(key) {
    this.current = key;
    this.#visited = [key, ...this.#visited.filter((visited) => visited !== key)];
    this.#memory.last = key;
  }

  /** Where all is read, nobody waits for an answer. */
  forgetMentions() {
    for (const key of this.mentioned) {
      const conversation = this.#client.conversations.get(key);
      if (!conversation || this.#reads.unread(conversation) === 0) this.mentioned.delete(key);
    }
  }

  /** @param {Key} key */
  isMuted(key) {
    return this.#muted.has(key);
  }

  /** @param {Key} key */
  turnMute(key) {
    this.#muted.delete(key) || this.#muted.add(key);
    this.#memory.setMuted(key, this.isMuted(key));
  }

  /** @param {Key} key */
  titleOf(key) {
    const name = key.slice(1);
    return key.startsWith("#") ? titleOf(this.#rooms.find((room) => room.name === name)?.title || name) : name;
  }

  /** @returns {Line[]} */
  get rooms() {
    const listed = new Map(this.#rooms.map((room) => [room.name, room]));
    for (const name of this.#client.rooms.keys()) {
      if (!listed.has(name)) listed.set(name, { name, title: name, online: 0 });
    }
    return [...listed.values()].map(({ name, title, online }) => {
      const key = /** @type {Key} */ (`#${name}`);
      const room = this.#client.rooms.get(name);
      const conversation = this.#client.conversations.get(key);
      return {
        key,
        title: titleOf(title || name),
        unread: conversation && this.#reads.knows(key) ? this.#reads.unread(conversation) : 0,
        isMentioned: this.mentioned.has(key),
        isJoined: room !== undefined,
        isMuted: this.isMuted(key),
        online: room?.isPresenceKnown ? room.online : this.#client.isPresenceKnown ? online : 0,
        unfinished: this.#unfinished(key),
      };
    });
  }

  /** Those with whom one talks in private, the latest first. @returns {Line[]} */
  get people() {
    return this.#partners
      .filter(({ key, end }) => end > 0 || key === this.current || this.#client.outbox.of(key).length > 0 || this.#memory.draft(key))
      .map((conversation) => ({
        key: conversation.key,
        title: conversation.name,
        unread: this.#reads.unread(conversation),
        isMentioned: false,
        isJoined: true,
        isMuted: false,
        online: this.#client.isOnline(conversation.name) ? 1 : 0,
        unfinished: this.#unfinished(conversation.key),
      }));
  }

  /** All of them: what is unread, then where one was last, and at the end where one is. @returns {Choice[]} */
  get all() {
    const rooms = this.rooms;
    const lines = [...rooms.filter(({ isJoined }) => isJoined), ...this.people, ...rooms.filter(({ isJoined }) => !isJoined)];
    const rank = (/** @type {Choice} */ { key, unread }) => {
      const at = this.#visited.indexOf(key);
      return key === this.current ? Infinity : unread ? -1 : at < 0 ? this.#visited.length : at;
    };
    return [...lines, ...this.#strangers].sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)));
  }

  /**
   * Who may be named somewhere: those who are there, those with whom one talks,
   * those who have said something, and oneself.
   * @param {Key} key
   */
  *names(key) {
    if (key.startsWith("#")) yield* this.#client.rooms.get(key.slice(1))?.members ?? [];
    for (const { name, end } of this.#partners) {
      if (end > 0) yield name;
    }
    yield* this.#speakers(key);
    yield this.#me;
  }

  /** Who may be named in what is written now. */
  get nameable() {
    const key = this.current ?? "#";
    return { me: this.#me, names: this.names(key), speakers: this.#speakers(key) };
  }

  get #partners() {
    return this.#client.privates.sort((a, b) => b.recency - a.recency);
  }

  /**
   * Who has said something, the latest first.
   * @param {Key} key
   */
  #speakers(key) {
    const entries = this.#client.conversations.get(key)?.entries ?? [];
    return new Set(entries.slice(-SPEAKERS_AMONG).reverse().map(({ from }) => from));
  }

  /** Those who are here, and with whom there is no conversation yet. */
  get #strangers() {
    const names = new Set([...this.#client.rooms.values()].flatMap(({ members }) => [...members]));
    return [...names]
      .filter((name) => !this.#client.conversations.has(`@${name}`))
      .map((name) => ({ key: /** @type {Key} */ (`@${name}`), title: name }));
  }

  /**
   * @param {Key} key
   * @returns {Line["unfinished"]}
   */
  #unfinished(key) {
    const states = this.#client.outbox.of(key).map(({ state }) => state);
    if (states.includes("failed")) return "failed";
    if (this.#client.state !== "open" && states.some((state) => state !== "stored")) return "waiting";
    return key !== this.current && this.#memory.draft(key).trim() ? "draft" : "";
  }
}

/** So many of the latest messages are looked through for whoever may be named. */
const SPEAKERS_AMONG = 1_000;
