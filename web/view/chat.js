// The chat of somebody who is signed in: what the session brings goes to the
// views, and what people do goes back.

import * as api from "../api.js";
import { addressOf, DEFAULT_ROOM, placeAt } from "../logic/address.js";
import { Comings } from "../logic/grouping.js";
import { Reads } from "../logic/reads.js";
import { mentions } from "../logic/text.js";
import { Session } from "../session.js";
import { Memory } from "../settings.js";
import { t } from "../words.js";
import { Attention } from "./attention.js";
import { Composer } from "./composer.js";
import { byId, LATER_AFTER_MS, want } from "./dom.js";
import { Header } from "./header.js";
import { MessageList } from "./list.js";
import { Places } from "./places.js";
import { Sidebar } from "./sidebar.js";

/** @typedef {import("../logic/client.js").Output} Output */
/** @typedef {import("../logic/conversation.js").Conversation} Conversation */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("./finder.js").Finder} Finder */

export class Chat {
  #user;
  #memory;
  #reads;
  #session;
  #list;
  #composer;
  #places;
  #header;
  #sidebar = new Sidebar();
  #hooks;
  /** Made when it is first wanted. @type {Finder | null} */
  #finder = null;
  #attention = new Attention();
  /** The message that the address names. */
  #target = 0;
  /** @type {Map<Key, Comings>} */
  #comings = new Map();
  #isShowDue = false;
  #isSaveDue = false;
  #controller = new AbortController();

  /**
   * @param {api.User} user
   * @param {object} hooks
   * @param {() => void} hooks.signedOut
   * @param {() => void} hooks.showKeys
   */
  constructor(user, hooks) {
    this.#user = user;
    this.#hooks = hooks;
    this.#memory = new Memory(user.username);
    this.#reads = new Reads(this.#memory.reads);
    this.#session = new Session(user.username, (output) => {
      output.do === "signed-out" ? hooks.signedOut() : this.#take(output);
    });
    const { client } = this.#session;
    this.#places = new Places(user.username, client, this.#reads, this.#memory);
    this.#header = new Header(user.username, (name) => this.go(`@${name}`));
    this.#list = new MessageList({
      me: user.username,
      load: ({ key }, part, seq) => this.#session.step({ type: "load", key, part, seq }),
      isSeeking: ({ key }, seq) => client.isSeeking(key, seq),
      missing: () => this.toast(t.messageGone),
      stay: ({ key }) => this.#session.step({ type: "stay", key }),
      obstacle: ({ key }) => this.#obstacle(key),
      waiting: ({ key }) => client.outbox.of(key),
      comings: ({ key }) => this.#comings.get(key)?.lines ?? [],
      read: (conversation, seq) => this.#read(conversation, seq),
      act: (act, item) => this.#act(act, item),
      invite: () => this.#copyLink(),
      names: ({ key }) => this.#places.names(key),
    });
    this.#composer = new Composer({
      send: (key, text) => this.#send(key, text),
      draft: (key) => this.#memory.draft(key),
      keepDraft: (key, text) => this.#memory.setDraft(key, text),
      scroll: (pages) => this.#list.scroll(pages),
      toMessages: () => this.#list.focusLast(),
      people: () => this.#places.nameable,
    });
    this.#listen();
  }

  get notifies() {
    return this.#memory.notifies && "Notification" in window && Notification.permission === "granted";
  }

  set notifies(value) {
    this.#memory.notifies = value;
  }

  /** How many messages would wait for the next time. */
  get unsent() {
    return this.#session.client.outbox.unsent;
  }

  start() {
    for (const room of this.#memory.rooms) {
      this.#session.step({ type: "join", room });
    }
    this.#session.start();
    this.#openAddress();
    this.#loadRooms();
    this.#composer.offer();
  }

  /**
   * The page goes after it.
   * @param {boolean} isLeft for good: somebody else may come
   */
  async end(isLeft) {
    this.#save();
    this.#composer.close();
    if (isLeft) this.#memory.forget();
    this.#controller.abort();
    this.#session.end();
    byId("chat", HTMLElement).hidden = true;
    this.#attention.show("", 0);
    await this.#attention.withdraw();
  }

  async find() {
    this.#sidebar.open(false);
    // Without a pause where it is there: what is typed next belongs into it.
    try {
      (this.#finder ?? (await this.#loadFinder())).open();
    } catch {
      this.toast(t.somethingBroke);
    }
  }

  async #loadFinder() {
    const [{ Finder }] = await Promise.all([import("./finder.js"), want("later")]);
    this.#finder ??= new Finder({
      known: () => this.#places.all,
      chosen: (key) => this.go(key),
    });
    return this.#finder;
  }

  speak() {
    this.#list.speak();
    this.#show();
  }

  /** @param {string} sentence */
  toast(sentence) {
    this.#attention.toast(sentence);
  }

  /**
   * Opens a conversation, and its address.
   * @param {Key} key
   * @param {number} [seq]
   */
  go(key, seq = 0) {
    const address = addressOf(key, seq);
    if (address !== location.pathname + location.hash) {
      history.pushState(null, "", address);
    }
    this.#open(key, seq);
    this.#sidebar.open(false);
    this.#composer.offer();
  }

  #openAddress() {
    const place = placeAt(location) ?? { key: this.#memory.last ?? /** @type {Key} */ (`#${DEFAULT_ROOM}`), seq: 0 };
    history.replaceState(null, "", addressOf(place.key, place.seq));
    this.#open(place.key, place.seq);
  }

  /**
   * @param {Key} key
   * @param {number} seq
   */
  #open(key, seq) {
    const { client } = this.#session;
    const isRoom = key.startsWith("#");
    if (isRoom) {
      this.#session.step({ type: "join", room: key.slice(1) });
      this.#memory.setRoom(key.slice(1), true);
    }
    const isSame = this.#current === key;
    this.#places.visit(key);
    this.#target = seq;
    const known = client.conversations.get(key);
    if (!isRoom && !known?.isLoaded) {
      this.#session.step({ type: "load", key, part: seq ? "around" : "latest", seq });
    }
    const conversation = client.conversations.get(key);
    if (conversation && (!isSame || seq > 0)) {
      isSame ? this.#list.toMessage(seq) : this.#showConversation(conversation);
    }
    this.#show();
  }

  get #current() {
    return this.#places.current;
  }

  /** @param {Conversation} conversation */
  #showConversation(conversation) {
    this.#list.open(conversation, {
      readUpTo: this.#reads.upTo(conversation.key),
      unread: this.#reads.knows(conversation.key) ? this.#reads.unread(conversation) : 0,
      target: this.#target,
    });
  }

  /** @param {Output} output */
  #take(output) {
    const { client } = this.#session;
    switch (output.do) {
      case "arrived":
        this.#arrived(output);
        break;
      case "presence": {
        const key = /** @type {Key} */ (`#${output.room}`);
        const comings = this.#comings.get(key) ?? new Comings();
        this.#comings.set(key, comings);
        comings.add(output.user, output.isOnline, client.conversations.get(key)?.last ?? 0);
        if (key === this.#current) this.#list.sync();
        break;
      }
      case "show":
        if (output.what === "conversation") {
          const conversation = client.conversations.get(output.key);
          if (conversation && conversation.isLoaded && client.state === "open") {
            this.#begin();
            if (conversation.isRoom && this.#reads.meet(conversation)) this.#saveSoon();
          }
          if (output.key === this.#current) this.#list.sync();
        } else if (client.state === "open" && output.what === "connection") {
          this.#begin();
          this.#composer.limit(client.textMaxChars);
          if (!this.#places.isListed) this.#loadRooms();
        }
        this.#show();
        break;
    }
  }

  #begin() {
    const { client } = this.#session;
    this.#reads.begin(client.epoch, client.privates);
  }

  /** @param {Extract<Output, { do: "arrived" }>} arrived */
  #arrived({ key, entry, isNews }) {
    const me = this.#user.username;
    if (entry.from === me) {
      // Whoever answers, even on another device, has read what is above.
      this.#read(this.#session.client.conversations.get(key), entry.seq);
      return;
    }
    if (entry.kind === "unknown") {
      return;
    }
    const isPrivate = key.startsWith("@");
    const isNamed = mentions(entry.text, me, this.#places.names(key));
    if (isNamed && entry.seq > this.#reads.upTo(key)) {
      this.#places.mentioned.add(key);
    }
    if (!isNews) {
      return;
    }
    if (key === this.#current && this.#isLooking) {
      this.#attention.announce(entry.from, entry.text);
    } else if (isPrivate || isNamed) {
      const title = isPrivate ? entry.from : `${entry.from} · ${this.#places.titleOf(key)}`;
      setTimeout(() => {
        // By now it may have been read, here or in another tab.
        if (this.notifies && entry.seq > this.#reads.upTo(key)) {
          this.#attention.notify(title, entry.text, key, addressOf(key, entry.seq));
        }
      }, NOTIFIED_AFTER_MS);
    }
  }

  get #isLooking() {
    return !document.hidden && document.hasFocus();
  }

  /**
   * @param {Conversation | undefined} conversation
   * @param {number} seq
   */
  #read(conversation, seq) {
    if (!conversation || (seq < conversation.end && seq <= this.#reads.upTo(conversation.key))) {
      return;
    }
    const isMine = conversation.at(seq)?.from === this.#user.username;
    if ((this.#isLooking || isMine) && this.#reads.mark(conversation.key, seq)) {
      if (this.#reads.unread(conversation) === 0) {
        this.#places.mentioned.delete(conversation.key);
        this.#attention.withdraw(conversation.key);
      }
      this.#saveSoon();
      this.#show();
    }
  }

  /**
   * @param {Key} key
   * @param {string} text
   */
  #send(key, text) {
    this.#session.write(key, text);
    this.#list.said();
  }

  /**
   * @param {string} act
   * @param {HTMLElement} item
   */
  #act(act, item) {
    const { nonce = "", from = "" } = item.dataset;
    const { client } = this.#session;
    switch (act) {
      case "write":
        this.go(`@${from}`);
        break;
      case "retry":
        this.#session.step({ type: "retry", nonce });
        this.#composer.focus();
        break;
      case "edit": {
        const text = client.outbox.find(nonce)?.text ?? "";
        this.#session.step({ type: "discard", nonce });
        this.#composer.take(text);
        break;
      }
      case "discard":
        this.#session.step({ type: "discard", nonce });
        this.#composer.focus();
        break;
    }
  }

  #listen() {
    const { signal } = this.#controller;
    addEventListener("popstate", () => this.#openAddress(), { signal });
    document.addEventListener("click", (event) => this.#link(event), { signal });
    document.addEventListener("keydown", (event) => this.#key(event), { signal });
    addEventListener("blur", () => this.#list.away(), { signal });
    addEventListener("focus", () => this.#list.sync(), { signal });
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#save() : this.#list.sync()), { signal });
    addEventListener("pagehide", () => this.#save(), { signal });
    navigator.serviceWorker?.addEventListener("message", ({ data }) => this.#goTo(new URL(data, location.href)), { signal });
    addEventListener("online", () => this.#show(), { signal });
    addEventListener("offline", () => this.#show(), { signal });
    addEventListener(
      "storage",
      ({ key }) => {
        if (key === this.#memory.keyOf("reads") && this.#memory.reads) {
          this.#reads.merge(this.#memory.reads);
          this.#places.forgetMentions();
          this.#show();
        }
      },
      { signal },
    );
    byId("copy-link", HTMLElement).addEventListener("click", () => this.#copyLink(), { signal });
    byId("mute", HTMLElement).addEventListener("change", () => this.#turnMute(), { signal });
    byId("leave", HTMLElement).addEventListener("click", () => this.#leave(), { signal });
    byId("skip", HTMLElement).addEventListener(
      "click",
      (event) => {
        event.preventDefault();
        this.#composer.focus();
      },
      { signal },
    );
    const later = setTimeout(() => Promise.all([this.#loadFinder(), this.#composer.loadNames()]).catch(() => {}), LATER_AFTER_MS);
    const refresh = setInterval(() => {
      if (!document.hidden) {
        this.#loadRooms();
        // By now it may be another day.
        this.#list.sync();
      }
    }, ROOMS_EVERY_MS);
    // What the connection says of itself depends on the time.
    const tick = setInterval(() => this.#session.client.state === "open" || this.#show(), 1_000);
    signal.addEventListener("abort", () => {
      clearTimeout(later);
      clearInterval(refresh);
      clearInterval(tick);
    });
  }

  /** @param {MouseEvent} event on a link into this chat, perhaps */
  #link(event) {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) {
      return;
    }
    if (link.origin === location.origin && this.#goTo(link)) {
      event.preventDefault();
      // An installed app shows no address to copy it from.
      if (link.matches(".when")) this.#copy(link.href);
    }
  }

  /**
   * @param {{ pathname: string, hash: string }} address
   * @returns whether it is one in this chat
   */
  #goTo(address) {
    const place = placeAt(address);
    if (place) this.go(place.key, place.seq);
    return place !== null;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { key, altKey, shiftKey, ctrlKey, metaKey } = event;
    if (document.querySelector("dialog[open]")) {
      return;
    }
    const isWriting = event.target instanceof HTMLTextAreaElement || event.target instanceof HTMLInputElement;
    if ((ctrlKey || metaKey) && !altKey && event.code === "KeyK") {
      event.preventDefault();
      this.find();
    } else if (altKey && !ctrlKey && !metaKey && (key === "ArrowUp" || key === "ArrowDown")) {
      event.preventDefault();
      this.#step(key === "ArrowDown" ? 1 : -1, shiftKey);
    } else if (key === "Escape" && !document.querySelector(":popover-open")) {
      if (this.#sidebar.isOpen) {
        this.#sidebar.open(false);
      } else {
        this.#list.toEnd();
        this.#composer.focus();
      }
    } else if (!isWriting && !ctrlKey && !metaKey && !altKey && key.length === 1 && key !== " ") {
      if (key === "?") {
        event.preventDefault();
        this.#hooks.showKeys();
      } else if (!document.querySelector(":popover-open")) {
        // What one types belongs into the box.
        this.#composer.focus();
      }
    }
  }

  /**
   * @param {1 | -1} step
   * @param {boolean} isUnreadOnly
   */
  #step(step, isUnreadOnly) {
    const lines = [...this.#places.rooms, ...this.#places.people];
    const at = lines.findIndex(({ key }) => key === this.#current);
    for (let i = 1; i <= lines.length; i++) {
      const line = lines[(at + step * i + lines.length * 2) % lines.length];
      if (line && line.key !== this.#current && (!isUnreadOnly || line.unread > 0)) {
        this.go(line.key);
        return;
      }
    }
  }

  #copyLink() {
    byId("talk-menu", HTMLElement).hidePopover();
    this.#copy(new URL(addressOf(this.#current ?? "#default"), location.href).href);
  }

  /** @param {string} address */
  async #copy(address) {
    try {
      await navigator.clipboard.writeText(address);
      this.toast(t.copied);
    } catch {
      this.toast(address);
    }
  }

  #turnMute() {
    const key = this.#current;
    if (key) {
      this.#places.turnMute(key);
      this.#show();
    }
  }

  #leave() {
    byId("talk-menu", HTMLElement).hidePopover();
    const key = this.#current;
    const unsent = key ? this.#session.client.outbox.of(key).filter(({ state }) => state !== "stored").length : 0;
    if (unsent > 0) {
      this.toast(t.leaveWaiting(unsent));
    } else if (key?.startsWith("#")) {
      this.#session.step({ type: "leave", room: key.slice(1) });
      this.#memory.setRoom(key.slice(1), false);
      this.#reads.forget(key);
      this.#places.mentioned.delete(key);
      this.#comings.delete(key);
      this.#saveSoon();
      const [next] = this.#session.client.rooms.keys();
      // In place of what was left, so that Back does not lead into it again.
      history.replaceState(null, "", addressOf(`#${next ?? DEFAULT_ROOM}`));
      this.#openAddress();
    }
  }

  async #loadRooms() {
    await this.#places.load();
    this.#show();
  }

  /** Brings everything around the messages in line, at the next frame. */
  #show() {
    if (!this.#isShowDue && !this.#controller.signal.aborted) {
      this.#isShowDue = true;
      // Not a frame: a page out of sight has none, and its title must be right.
      setTimeout(() => {
        this.#isShowDue = false;
        if (!this.#controller.signal.aborted) this.#showNow();
      }, 16);
    }
  }

  #showNow() {
    const key = this.#current;
    if (!key) {
      return;
    }
    const { client } = this.#session;
    const title = this.#places.titleOf(key);
    const isRoom = key.startsWith("#");
    // Before the side, which shows where a draft is.
    this.#composer.open(key, isRoom ? t.writeInRoom(title) : t.writeInPrivate(title));
    const { rooms, people } = this.#places;
    this.#sidebar.show(rooms, people, key);
    this.#header.show(key, title, isRoom ? client.rooms.get(key.slice(1)) : undefined);
    if (this.#header.say(...this.#state(key))) {
      // What keeps messages from coming may be another now.
      this.#list.sync();
    }
    byId("mute-room", HTMLElement).hidden = !isRoom;
    byId("mute", HTMLInputElement).checked = this.#places.isMuted(key);
    byId("leave", HTMLElement).hidden = !isRoom || client.rooms.size < 2;

    const heard = [...rooms, ...people].filter(({ isMuted, isMentioned }) => !isMuted || isMentioned);
    const isUnread = heard.some((line) => line.unread > 0 && line.key !== key);
    const isLoud = heard.some((line) => line.isMentioned || (line.unread > 0 && line.key.startsWith("@")));
    this.#header.showElsewhere(isUnread, isLoud);
    this.#attention.show(title, heard.reduce((sum, { unread }) => sum + unread, 0));
  }

  /**
   * What stands under the title: the state of the connection when there is
   * something to say of it, and otherwise who is here.
   * @param {Key} key
   * @returns {[string, boolean]} and whether that is bad
   */
  #state(key) {
    const { client } = this.#session;
    const name = key.slice(1);
    const isRoom = key.startsWith("#");
    if (this.#isAway) {
      const unsent = client.outbox.unsent;
      const state = !navigator.onLine ? t.offline : client.hasGreeted ? t.noConnection : t.connecting;
      const more = unsent > 0 ? t.waitingHere(unsent) : client.hasGreeted ? t.tryingAgain : "";
      return [more ? `${state} · ${more}` : state, true];
    }
    if (isRoom) {
      const room = client.rooms.get(name);
      if (room?.status === "refused") return [t.roomRefused, true];
      return [room && room.online > 0 ? t.hereNow(room.online) : "\u00a0", false];
    }
    if (name === this.#user.username) return [t.onlyYou, false];
    return [client.isOnline(name) ? `${t.online} · ${t.onlyYouTwo}` : t.onlyYouTwo, false];
  }

  /** Whether there has been no connection for so long that it is worth a word. */
  get #isAway() {
    const { state, lostAt } = this.#session.client;
    return state !== "open" && (!navigator.onLine || performance.now() - (lostAt ?? 0) > QUIET_MS);
  }

  /**
   * Why no messages come, in words; empty where they do.
   * @param {Key} key
   */
  #obstacle(key) {
    if (this.#isAway) return t.loadedLater;
    const room = key.startsWith("#") ? this.#session.client.rooms.get(key.slice(1)) : undefined;
    return room?.status === "refused" ? t.roomRefused : "";
  }

  #saveSoon() {
    if (!this.#isSaveDue) {
      this.#isSaveDue = true;
      setTimeout(() => this.#save(), SAVE_AFTER_MS);
    }
  }

  #save() {
    if (this.#isSaveDue) {
      this.#isSaveDue = false;
      this.#memory.reads = this.#reads.stored;
    }
  }
}

const ROOMS_EVERY_MS = 30_000;
/** A connection that is back within this time is not worth a word. */
const QUIET_MS = 1_500;
const SAVE_AFTER_MS = 500;
/** Other tabs have told by then what is read there. */
const NOTIFIED_AFTER_MS = 2 * SAVE_AFTER_MS;
