// The panel beside a conversation: what it is about, who is in it, and what the user
// is notified of. On a phone it covers the screen; on a wide screen it stays open, until
// the user closes it.

import { settings } from "../settings.js";
import { t } from "../words.js";
import { AboutRoom } from "./about-room.js";
import { avatar } from "./avatar.js";
import { byId, element, isolated, WIDE } from "./dom.js";
import { LevelChoice } from "./level-choice.js";
import { make } from "./make.js";
import { MemberList } from "./member-list.js";
import { Panel } from "./panel.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/client.js").Input} Input */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("./directory.js").Directory} Directory */

/**
 * @typedef {object} Hooks
 * @property {(key: Key) => void} go opens a conversation
 * @property {(input: Input) => void} step
 * @property {() => void} changed
 * @property {() => void} leave the user leaves the open room
 * @property {(name: string, opener: Element) => void} card opens the card of a user
 * @property {() => boolean} isAdministered whether the server has invitations and reports
 * @property {(room: string) => void} invite invites to a room by a link
 * @property {() => void} reports shows the reports of messages
 * @property {(sentence: string) => void} toast
 */

export class Details {
  #title = byId("title", HTMLElement);
  #person = make("div", { class: "person-about" });
  #about;
  #level;
  #members;
  #panel;
  /** @type {Key | null} */
  #key = null;
  #client;
  #directory;

  /**
   * @param {{ username: string }} me
   * @param {Client} client
   * @param {Directory} directory
   * @param {Hooks} hooks
   */
  constructor(me, client, directory, hooks) {
    this.#client = client;
    this.#directory = directory;
    this.#about = new AboutRoom(client, { ...hooks, loaded: (room) => this.#members.setTotal(room) });
    this.#level = new LevelChoice((level) => this.#key && hooks.step({ type: "level", key: this.#key, level }));
    this.#members = new MemberList(me.username, client, hooks);
    const body = make("div", { class: "details-body" }, this.#person, this.#about.node, this.#level.node, this.#members.node, this.#about.actions);
    this.#panel = new Panel("details", { heading: "details", close: "closeDetails" }, [body], (isByUser) => this.#closed(isByUser));
    Panel.vacant = () => this.update();
    // Where there is no more room, it covers a part of the conversation: then it is opened when it is wanted.
    WIDE.addEventListener("change", () => (WIDE.matches ? this.update() : this.close()));
    this.#title.ariaExpanded = "false";
    this.#title.setAttribute("aria-controls", "details");
    setInterval(() => this.isOpen && !document.hidden && this.#members.load(), MEMBERS_EVERY_MS);
  }

  get isOpen() {
    return this.#panel.isOpen;
  }

  /** Whether it stays open although the user has not just asked for it. */
  get isPinned() {
    return WIDE.matches && settings.hasDetails;
  }

  toggle() {
    this.isOpen ? this.#panel.close(true) : this.open();
  }

  /** @param {boolean} [isEdited] whether the title and the description of the room are to be changed */
  open(isEdited = false) {
    if (WIDE.matches) settings.hasDetails = true;
    this.#show();
    this.update();
    byId("close-details", HTMLElement).focus();
    if (isEdited) this.#about.edit();
  }

  #show() {
    this.#panel.open();
    this.#title.ariaExpanded = "true";
    this.#key = null;
  }

  /** @param {boolean} isByUser */
  #closed(isByUser) {
    this.#title.ariaExpanded = "false";
    if (isByUser && WIDE.matches) settings.hasDetails = false;
  }

  close() {
    this.#panel.close();
  }

  /** On a phone, the conversation behind it is wanted. */
  uncover() {
    if (this.#panel.covers) this.close();
  }

  /** Shows what has changed. */
  update() {
    const key = this.#directory.current;
    if (!key) {
      return;
    }
    const { account, rooms } = this.#client;
    const isRoom = key.startsWith("#");
    const name = key.slice(1);
    const isRefused = isRoom && account.isKept && rooms.get(name)?.status === "refused";
    if (!this.isOpen && this.isPinned && Panel.open === null && !isRefused) this.#show();
    if (!this.isOpen) {
      // The place that is kept for it from the beginning.
      if (Panel.open === null) byId("chat", HTMLElement).classList.remove("with-details");
      return;
    }
    const isNew = this.#key !== key;
    const isLeft = isNew && this.#key !== null && this.#panel.covers;
    if (isLeft || isRefused) {
      // What stands behind it now is what the user wants to see.
      this.close();
      return;
    }
    this.#key = key;
    const place = account.of(key);
    this.#person.hidden = isRoom;
    this.#about.node.hidden = this.#about.actions.hidden = this.#members.node.hidden = !isRoom;
    this.#level.node.hidden = !account.isKept || place.role === null;
    this.#level.show(place.level, isRoom);
    if (!isRoom) this.#showPerson(name);
    if (isRoom && isNew) this.#members.open(name);
    if (isRoom) this.#about.show(name, isNew);
    if (isRoom) this.#members.update();
  }

  /** @param {string} name */
  #showPerson(name) {
    const isOnline = this.#client.isOnline(name);
    const shown = JSON.stringify([name, isOnline, t.chat]);
    if (this.#person.dataset.shown !== shown) {
      this.#person.dataset.shown = shown;
      const words = isOnline ? `${t.online} · ${t.onlyYouTwo}` : t.onlyYouTwo;
      this.#person.replaceChildren(avatar(name, "large"), element("h3", "", isolated(name)), element("p", "quiet", name === this.#client.user ? t.onlyYou : words));
    }
  }
}

const MEMBERS_EVERY_MS = 30_000;
