// Keeps the last messages of each conversation in the browser, and shows them before
// the server answers. Signing out deletes them.

import { deleteKept, KeptStore } from "./kept-store.js";
import { changed, isOutdated, isShort, keptOf, listOf, mayRestore, newer, restore, restoreList, surplus } from "./logic/kept.js";
import { settings } from "./settings.js";

/** @typedef {import("./logic/client.js").Client} Client */
/** @typedef {import("./logic/client.js").Input} Input */
/** @typedef {import("./logic/client.js").Output} Output */
/** @typedef {import("./logic/conversation.js").Entry} Entry */
/** @typedef {import("./logic/conversation.js").Key} Key */

export class KeptMessages {
  #client;
  #hooks;
  #store;
  /** Conversations of which something is kept. @type {Set<Key>} */
  #keys = new Set();
  /** Conversations that have changed since they were last kept. @type {Set<Key>} */
  #due = new Set();
  #isListDue = false;
  /** When the list was last kept. */
  #listKeptAt = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** Private conversations whose last messages are to be asked for. @type {Set<Key>} */
  #short = new Set();
  #signal;

  /**
   * @param {Client} client
   * @param {object} hooks
   * @param {() => Key | null} hooks.current the conversation that is open
   * @param {(input: Input) => void} hooks.step
   * @param {() => void} hooks.changed
   * @param {AbortSignal} signal ends it
   */
  constructor(client, hooks, signal) {
    this.#client = client;
    this.#hooks = hooks;
    this.#signal = signal;
    this.#store = new KeptStore(client.user);
    document.addEventListener("visibilitychange", () => document.hidden && this.#keep(), { signal });
    addEventListener("pagehide", () => this.#keep(), { signal });
    const asking = setInterval(() => this.#askForShort(), ASKED_EVERY_MS);
    signal.addEventListener("abort", () => {
      clearInterval(asking);
      clearTimeout(this.#timer);
    });
  }

  /** Shows what is kept of the list, and of the open conversation, and begins to keep what is in memory. */
  async begin() {
    if (settings.kept === this.#client.user) {
      const current = this.#hooks.current();
      const [list, heads, kept] = await Promise.all([this.#store.list(), this.#store.heads(), current ? this.#store.kept(current) : undefined]);
      for (const { key } of heads) this.#keys.add(key);
      if (list) restoreList(this.#client, list);
      if (kept) restore(this.#client, kept);
      this.#hooks.changed();
    } else {
      // Perhaps another user's, which could not be deleted.
      await deleteKept().catch(() => {});
    }
    for (const key of this.#client.conversations.keys()) this.#note(key);
    if (this.#client.state === "open") {
      this.#dropOutdated();
      this.#noteList(true);
    }
  }

  /**
   * Puts what is kept of a conversation into memory, if memory has nothing of it.
   * @param {Key} key
   * @returns {Promise<void> | undefined} undefined: there is nothing to wait for
   */
  restore(key) {
    if (!this.#keys.has(key) || !mayRestore(this.#client, key)) {
      return undefined;
    }
    const reading = this.#store.kept(key).then((kept) => {
      if (kept) restore(this.#client, kept);
    });
    // Nobody waits for a slow disk.
    return Promise.race([reading, new Promise((done) => setTimeout(done, READ_WITHIN_MS))]).catch(() => {});
  }

  /** @param {Output} output of the client */
  handle(output) {
    switch (output.do) {
      case "hello":
        this.#dropOutdated();
        this.#noteList(true);
        break;
      case "changed":
        this.#change(output.key, output.change);
        this.#note(output.key);
        break;
      case "left":
        this.#drop([`#${output.room}`]);
        break;
      case "membership":
        if (!output.isMember) this.#drop([`#${output.room}`]);
        this.#noteList(true);
        break;
      case "show":
        if (output.what === "conversation") this.#note(output.key);
        if (output.what === "conversations") this.#noteList();
        break;
    }
  }

  /** @param {Key} key a conversation that has changed */
  #note(key) {
    this.#due.add(key);
    this.#keepSoon();
  }

  /** @param {boolean} [isOther] whether other rooms or people are in it */
  #noteList(isOther = false) {
    this.#isListDue = true;
    if (isOther) this.#listKeptAt = -Infinity;
    this.#keepSoon();
  }

  #keepSoon() {
    this.#timer ??= setTimeout(() => this.#keep(), KEPT_AFTER_MS);
  }

  /** Keeps what has changed. */
  #keep() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#isAllowed || this.#client.state !== "open") {
      return;
    }
    settings.kept = this.#client.user;
    const now = performance.now();
    if (this.#isListDue && (document.hidden || now - this.#listKeptAt >= LIST_EVERY_MS)) {
      this.#isListDue = false;
      this.#listKeptAt = now;
      this.#store.keepList(listOf(this.#client));
    }
    for (const key of this.#due) {
      const conversation = this.#client.conversations.get(key);
      const kept = conversation && keptOf(conversation, Date.now());
      const isEmpty = conversation?.isLoaded && conversation.isAtEnd && conversation.entries.length === 0;
      const isRefused = key.startsWith("#") && this.#client.rooms.get(key.slice(1))?.status === "refused";
      if (isEmpty || isRefused) {
        this.#drop([key]);
      } else if (isShort(conversation) && key !== this.#hooks.current()) {
        this.#short.add(key);
      } else if (kept) {
        this.#keys.add(key);
        this.#store.replace(key, (old) => newer(old, kept), surplus);
      }
    }
    this.#due.clear();
    if (this.#isListDue) this.#keepSoon();
  }

  /**
   * Changes kept messages that are not in memory, or whose end is not.
   * @param {Key} key
   * @param {Entry} change
   */
  #change(key, change) {
    if (this.#keys.has(key) && this.#isAllowed) {
      this.#store.replace(key, (old) => (old ? changed(old, change, this.#client.user) : null), surplus);
    }
  }

  /** Drops what may hold messages that were deleted while this browser was away. */
  async #dropOutdated() {
    const heads = await this.#store.heads();
    const outdated = heads.filter((head) => isOutdated(head, this.#client)).map(({ key }) => key);
    this.#drop(outdated);
    for (const key of outdated) {
      if (key.startsWith("@") && this.#client.account.places.has(key)) this.#short.add(key);
    }
  }

  /** @param {Key[]} keys */
  #drop(keys) {
    for (const key of keys) {
      this.#keys.delete(key);
      this.#due.delete(key);
    }
    this.#store.drop(keys);
  }

  /** Asks for the last messages of one private conversation; that needs no join, and nobody notices. */
  #askForShort() {
    const [key] = this.#short;
    if (key && this.#client.state === "open" && !document.hidden) {
      this.#short.delete(key);
      const conversation = this.#client.conversations.get(key);
      if (!conversation?.isLoaded || isShort(conversation)) this.#hooks.step({ type: "load", key, part: "latest" });
    }
  }

  /** Whether the user is still signed in, as far as this browser knows. */
  get #isAllowed() {
    return !this.#signal.aborted && settings.user?.username === this.#client.user;
  }
}

/** What changes within this time is kept at once. */
const KEPT_AFTER_MS = 1_000;
/** The list of rooms and people is kept at most this often, as it may be long. */
const LIST_EVERY_MS = 5_000;
/** A conversation is opened without what is kept of it if that is not read within this time. */
const READ_WITHIN_MS = 300;
/** How often the last messages of a private conversation are asked for. */
const ASKED_EVERY_MS = 1_000;
