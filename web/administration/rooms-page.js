// The page of the settings with all rooms that the administrator may read: those of the
// administrator, and all open ones. What takes a form, or a list of members, is done in the
// details of the room.

import { roomsFound } from "../found.js";
import * as rooms from "../rooms.js";
import { ask } from "../view/ask.js";
import { button, element, isolated, symbol } from "../view/dom.js";
import { make } from "../view/make.js";
import { Menu } from "../view/menu.js";
import { Pages } from "../view/pages.js";
import { t, titleOf } from "../words.js";
import { listOf } from "./pieces.js";
import { sentenceOf } from "./wording.js";

/** @typedef {rooms.Room} Room */

export class RoomsPage {
  #text = make("input", { id: "all-rooms-text", type: "search", autocomplete: "off", autocapitalize: "none", spellcheck: "false", dir: "auto", "data-t-label": "searchRooms", "data-t-placeholder": "searchRooms" });
  #parts = listOf("all-rooms", "rooms");
  node = make("div", { class: "all-rooms" }, make("p", { class: "quiet", "data-t": "allRoomsHint" }), make("div", { class: "search" }, this.#text), this.#parts.node);
  #menu = new Menu("one-room", "more", this.node);
  #desk;
  /** @type {Pages<Room>} */
  #pages;
  /** @type {Room[]} */
  #rooms = [];

  /** @param {import("./main.js").Desk} desk */
  constructor(desk) {
    this.#desk = desk;
    this.#pages = new Pages(
      (q, after) => roomsFound({ q, after, limit: PAGE }),
      ({ items, hasMore, isLoading, error }) => {
        if (isLoading) return;
        this.#rooms = items;
        this.#parts.wrong.textContent = error ? sentenceOf(error) : "";
        this.#parts.more.hidden = !hasMore;
        this.retranslate();
      },
    );
    this.#text.addEventListener("input", () => this.#pages.type(this.#query));
    // No form is sent, and the settings stay open.
    this.#text.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#text.value) {
        event.preventDefault();
        this.#text.value = "";
        this.#search();
      }
    });
    this.#parts.more.addEventListener("click", () => this.#pages.more());
    this.#parts.list.addEventListener("click", ({ target }) => {
      const opener = target instanceof Element ? target.closest("button") : null;
      const room = this.#rooms.find(({ name }) => name === opener?.closest("li")?.dataset.name);
      if (opener && room) this.#openMenu(opener, room);
    });
  }

  open() {
    this.#text.value = "";
    this.#search();
  }

  close() {
    this.#menu.close();
    this.#pages.clear();
  }

  retranslate() {
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.closest("li")?.dataset.name : undefined;
    // One that was closed here is for its members from now on.
    const shown = this.#rooms.filter(({ access, member }) => access === "open" || member);
    this.#parts.list.replaceChildren(...shown.map((room) => this.#line(room)));
    this.#parts.words.textContent = shown.length > 0 || this.#parts.wrong.textContent ? "" : t.noRoomFound;
    if (focused !== undefined) this.#focus(focused);
  }

  get #query() {
    return this.#text.value.trim().replace(/^#/, "");
  }

  #search() {
    return this.#pages.search(this.#query);
  }

  /** @param {string} name */
  #focus(name) {
    const line = this.#parts.list.querySelector(`[data-name="${CSS.escape(name)}"] button`);
    (line instanceof HTMLElement ? line : this.#text).focus({ preventScroll: true });
  }

  /** @param {Room} room */
  #line({ name, title, description, access, members, archived }) {
    const isClosed = access === "closed";
    const shown = titleOf(name, title);
    const sign = element("span", "room-sign", isClosed ? symbol("lock") : "#");
    sign.ariaHidden = "true";
    const facts = [isClosed ? t.closed : t.openToAll, t.members(members), ...(archived ? [t.isArchived] : [])];
    const words = element("div", "", isolated(shown, "title"), element("small", "", facts.join(" · ")));
    const more = button("icon more", symbol("more"));
    more.ariaLabel = `${t.more}: ${shown}`;
    more.ariaHasPopup = "menu";
    const line = element("li", archived ? "archived" : "", sign, words, more);
    if (description) line.title = description;
    line.dataset.name = name;
    return line;
  }

  /**
   * @param {HTMLElement} opener
   * @param {Room} room
   */
  #openMenu(opener, { name, access, member, archived }) {
    const choices = [
      this.#menu.choice("", t.open, () => this.#desk.go(`#${name}`, 0)),
      this.#menu.choice("", t.membersAndDetails, () => this.#desk.about(name, false)),
      this.#menu.choice("", t.editRoom, () => this.#desk.about(name, true)),
      this.#menu.choice("", archived ? t.unarchive : t.archive, () => this.#archive(name, !archived)),
    ];
    // A closed room is never opened again.
    if (access === "open") choices.push(this.#menu.danger("", t.closeRoom, () => this.#close(name, member)));
    this.#menu.openBeside(choices, opener);
  }

  /**
   * @param {string} name
   * @param {boolean} archived
   */
  async #archive(name, archived) {
    if (!archived || (await ask(t.archiveQuestion, t.archive, t.archiveHint))) await this.#change(name, { archived });
  }

  /**
   * @param {string} name
   * @param {boolean} isMember whether the administrator will see it afterwards
   */
  async #close(name, isMember) {
    const hint = isMember ? t.closeHint : `${t.closeHint} ${t.closeLoses}`;
    if (await ask(t.closeQuestion, t.closeRoom, hint)) await this.#change(name, { access: "closed" });
  }

  /**
   * @param {string} name
   * @param {{ archived?: boolean, access?: rooms.Access }} wanted
   */
  async #change(name, wanted) {
    let sentence = "";
    try {
      const changed = await rooms.change(name, wanted);
      // The list of the server may be a second old.
      const room = this.#rooms.find((room) => room.name === name);
      if (room) Object.assign(room, changed);
      this.retranslate();
    } catch (error) {
      sentence = sentenceOf(error);
    }
    if (sentence) this.#parts.wrong.textContent = sentence;
    this.#focus(name);
  }
}

/** Rooms of one page. */
const PAGE = 50;
