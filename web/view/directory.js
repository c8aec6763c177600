// All conversations that can be opened: the rooms of the account and the people,
// what is unread in them, which users may be mentioned there, and which ones were
// open.

import { inOrder, isLoud } from "../logic/account.js";
import { settings } from "../settings.js";
import { titleOf } from "../words.js";
import { isNobody } from "./avatar.js";

/** @typedef {import("../logic/account.js").Place} Place */
/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/conversation.js").Conversation} Conversation */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("../settings.js").Memory} Memory */
/** @typedef {import("./sidebar.js").Line} Line */

export class Directory {
  /** The conversation that is open. @type {Key | null} */
  current = null;
  /** Conversations that were open, the latest first. @type {Key[]} */
  visited = [];
  #me;
  #client;
  #memory;

  /**
   * @param {string} me
   * @param {Client} client
   * @param {Memory} memory
   */
  constructor(me, client, memory) {
    this.#me = me;
    this.#client = client;
    this.#memory = memory;
  }

  /** @param {Key} key */
  visit(key) {
    this.current = key;
    this.visited = [key, ...this.visited.filter((visited) => visited !== key)];
    this.#memory.last = key;
  }

  /** Whether the user may make rooms, also by opening a new name, as far as is known. */
  get mayMakeRooms() {
    return this.#client.isAdministrator || settings.server?.room_creation !== "administrators";
  }

  /** The open conversation, as the account has it. */
  get currentPlace() {
    return this.current ? this.#client.account.places.get(this.current) : undefined;
  }

  /** @param {Key} key */
  titleOf(key) {
    const name = key.slice(1);
    return key.startsWith("#") ? titleOf(name, this.#client.account.places.get(key)?.title ?? "") : name;
  }

  /** The rooms of the account, and the open one. @returns {Line[]} */
  get rooms() {
    const { account } = this.#client;
    if (this.current?.startsWith("#")) account.of(this.current);
    return this.#lines(true, ({ key, role }) => role !== null || !account.isKept || key === this.current);
  }

  /** Users with whom there is a private conversation. @returns {Line[]} */
  get people() {
    if (this.current?.startsWith("@")) this.#client.account.of(this.current);
    return this.#lines(false, ({ key, top }) => top > 0 || (key === this.current && !isNobody(key.slice(1))));
  }

  /**
   * @param {boolean} areRooms
   * @param {(place: Place) => boolean} isListed
   */
  #lines(areRooms, isListed) {
    const { account, outbox } = this.#client;
    for (const { key } of outbox.items) account.of(key);
    const places = [...account.places.values()].filter(
      (place) => place.key.startsWith("#") === areRooms && (isListed(place) || outbox.of(place.key).length > 0 || this.#memory.draft(place.key)),
    );
    return inOrder(places, this.current).map((place) => this.#lineOf(place));
  }

  /**
   * @param {Place} place
   * @returns {Line}
   */
  #lineOf(place) {
    const { key, title, unread, mentions, access, role, archived } = place;
    return {
      key,
      title: this.titleOf(key),
      unread,
      isMentioned: mentions > 0 && !archived,
      isLoud: isLoud(place),
      // One that the user may not read has no title, and is closed.
      isClosed: access === "closed" || (!title && key.startsWith("#~")),
      isMember: role !== null && !archived,
      isOnline: key.startsWith("@") && this.#client.isOnline(key.slice(1)),
      unfinished: this.#unfinished(key),
    };
  }

  /**
   * Users who may be mentioned in a conversation: those who are in the room,
   * partners of private conversations, authors, and the user.
   * @param {Key} key
   */
  *names(key) {
    if (key.startsWith("#")) yield* this.#client.rooms.get(key.slice(1))?.members ?? [];
    for (const { key, top } of this.#client.account.places.values()) {
      if (top > 0 && key.startsWith("@")) yield key.slice(1);
    }
    yield* this.#authors(key);
    yield this.#me;
  }

  /** Users who may be mentioned in the open conversation. */
  get nameable() {
    const key = this.current ?? "#";
    return { me: this.#me, names: this.names(key), authors: this.#authors(key) };
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
