// All conversations that can be opened: rooms and people, what is unread in them,
// which users may be mentioned there, and which ones were open.

import * as api from "../api.js";
import { Reads } from "../logic/reads.js";
import { mentions } from "../logic/text.js";
import { titleOf } from "../words.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/conversation.js").Conversation} Conversation */
/** @typedef {import("../logic/conversation.js").Entry} Entry */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("../settings.js").Memory} Memory */
/** @typedef {import("./sidebar.js").Line} Line */

export class Directory {
  /** The conversation that is open. @type {Key | null} */
  current = null;
  /** Conversations that were open, the latest first. @type {Key[]} */
  visited = [];
  /** Whether the rooms come from the server and not from an earlier visit. */
  isListed = false;
  #me;
  #client;
  #memory;
  #reads;
  /** Conversations with an unread message that mentions the user. @type {Set<Key>} */
  #mentioned = new Set();
  /** @type {api.Room[]} */
  #rooms;
  /** @type {Promise<void> | null} */
  #loading = null;
  /** @type {Set<Key>} */
  #muted;
  #isSaveDue = false;

  /**
   * @param {string} me
   * @param {Client} client
   * @param {Memory} memory
   */
  constructor(me, client, memory) {
    this.#me = me;
    this.#client = client;
    this.#memory = memory;
    this.#reads = new Reads(memory.reads);
    this.#rooms = (memory.listed ?? []).map(([name, title]) => ({ name, title, online: 0 }));
    this.#muted = new Set(memory.muted);
  }

  /** Asks the server which rooms there are; without an answer, they stay as they were. */
  load() {
    this.#loading ??= this.#load();
    return this.#loading;
  }

  async #load() {
    try {
      this.#rooms = await api.rooms();
      this.isListed = true;
      this.#memory.listed = this.#rooms.map(({ name, title }) => [name, title]);
    } catch {
      // The header shows when the connection is lost.
    }
    this.#loading = null;
  }

  /** @param {Key} key */
  visit(key) {
    this.current = key;
    this.visited = [key, ...this.visited.filter((visited) => visited !== key)];
    this.#memory.last = key;
  }

  /** The room that is open, if it is not a private conversation. */
  get currentRoom() {
    return this.current?.startsWith("#") ? this.#client.rooms.get(this.current.slice(1)) : undefined;
  }

  /** The epoch is known: numbers that were read of another one are forgotten. */
  beginReads() {
    this.#reads.setEpoch(this.#client.epoch, this.#client.privates);
  }

  /**
   * A room that is joined for the first time counts as read.
   * @param {Conversation} room
   */
  addRoom(room) {
    if (this.#reads.addRoom(room)) this.#saveSoon();
  }

  /** @param {Key} key */
  readUpTo(key) {
    return this.#reads.upTo(key);
  }

  /** @param {Conversation} conversation */
  unreadOf(conversation) {
    return this.#reads.has(conversation.key) ? this.#reads.unread(conversation) : 0;
  }

  /**
   * @param {Conversation} conversation
   * @param {number} seq
   * @returns {boolean} whether that is news
   */
  markRead(conversation, seq) {
    const isNews = this.#reads.mark(conversation.key, seq);
    if (isNews) {
      if (this.#reads.unread(conversation) === 0) this.#mentioned.delete(conversation.key);
      this.#saveSoon();
    }
    return isNews;
  }

  /** Takes over what was read in another tab. */
  mergeReads() {
    if (this.#memory.reads) {
      this.#reads.merge(this.#memory.reads);
      for (const key of this.#mentioned) {
        const conversation = this.#client.conversations.get(key);
        if (!conversation || this.#reads.unread(conversation) === 0) this.#mentioned.delete(key);
      }
    }
  }

  /** Writes down what was read, if that has changed. */
  save() {
    if (this.#isSaveDue) {
      this.#isSaveDue = false;
      this.#memory.reads = this.#reads.snapshot;
    }
  }

  #saveSoon() {
    if (!this.#isSaveDue) {
      this.#isSaveDue = true;
      setTimeout(() => this.save(), SAVE_AFTER_MS);
    }
  }

  /**
   * Notes whether an entry mentions the user.
   * @param {Key} key
   * @param {Entry} entry
   */
  noteMention(key, { seq, text }) {
    const isMentioned = mentions(text, this.#me, this.names(key));
    if (isMentioned && seq > this.#reads.upTo(key)) {
      this.#mentioned.add(key);
    }
    return isMentioned;
  }

  /**
   * The user leaves a room.
   * @param {Key} key
   */
  forget(key) {
    this.#memory.setRoom(key.slice(1), false);
    this.#reads.forget(key);
    this.#mentioned.delete(key);
    this.#saveSoon();
  }

  /** @param {Key} key */
  isMuted(key) {
    return this.#muted.has(key);
  }

  /** @param {Key} key */
  toggleMute(key) {
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
      /** @type {Key} */
      const key = `#${name}`;
      const room = this.#client.rooms.get(name);
      const conversation = this.#client.conversations.get(key);
      return {
        key,
        title: titleOf(title || name),
        unread: conversation ? this.unreadOf(conversation) : 0,
        isMentioned: this.#mentioned.has(key),
        isJoined: room !== undefined,
        isMuted: this.isMuted(key),
        online: room?.isPresenceKnown ? room.online : this.#client.isPresenceKnown ? online : 0,
        unfinished: this.#unfinished(key),
      };
    });
  }

  /** Users with whom there is a private conversation, the latest first. @returns {Line[]} */
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

  /**
   * Users who may be mentioned in a conversation: those who are in the room,
   * partners of private conversations, authors, and the user.
   * @param {Key} key
   */
  *names(key) {
    if (key.startsWith("#")) yield* this.#client.rooms.get(key.slice(1))?.members ?? [];
    for (const { name, end } of this.#partners) {
      if (end > 0) yield name;
    }
    yield* this.#authors(key);
    yield this.#me;
  }

  /** Users who may be mentioned in the open conversation. */
  get nameable() {
    const key = this.current ?? "#";
    return { me: this.#me, names: this.names(key), authors: this.#authors(key) };
  }

  get #partners() {
    return this.#client.privates.sort((a, b) => b.recency - a.recency);
  }

  /**
   * Authors of recent messages, the latest first.
   * @param {Key} key
   */
  #authors(key) {
    const entries = this.#client.conversations.get(key)?.entries ?? [];
    return new Set(entries.slice(-AUTHORS_AMONG).reverse().map(({ from }) => from));
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

/** So many of the latest messages are looked through for authors. */
const AUTHORS_AMONG = 1_000;
/** Other tabs know after this time what was read here. */
export const SAVE_AFTER_MS = 500;
