// The finder: a dialog in which a conversation is found by a part of its name, also
// among the rooms and users that the user does not know yet, or a room is opened.

import { roomsFound, usersFound } from "../found.js";
import { isRoomName, NAME_MAX_CHARS } from "../logic/address.js";
import { beginsSo, hasSpelling } from "../logic/spelling.js";
import { t, titleOf } from "../words.js";
import { avatar, isNobody, knowPicture } from "./avatar.js";
import { element, isolated, symbol } from "./dom.js";
import { make, mount } from "./make.js";
import { Pages } from "./pages.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("./directory.js").Directory} Directory */
/** @typedef {{ key: Key, title: string, unread?: number, isClosed?: boolean, isNew?: boolean, isSearch?: boolean, isMe?: boolean }} Choice `isSearch`: messages are searched for what was typed */

export class Finder {
  #text = make("input", TEXT);
  #list = make("ul", { id: "finder-list", role: "listbox", "data-t-label": "conversations" });
  #dialog = mount(
    make("dialog", { id: "finder", class: "finder", "data-t-label": "find", closedby: "any" }, make("form", { method: "dialog" }, this.#text, this.#list)),
  );
  #hooks;
  /** @type {Choice[]} */
  #choices = [];
  #chosen = 0;
  /** What the server has found. @type {Choice[]} */
  #found = [];
  /** Whether its answer is awaited. */
  #isSearching = false;
  /** Whether the user has chosen before the answer came. */
  #isChosen = false;
  #pages = new Pages(find, ({ items, isLoading }) => this.#answered(items, isLoading));

  /**
   * @param {object} hooks
   * @param {string} hooks.me
   * @param {() => Choice[]} hooks.known all conversations, in the order in which to show them
   * @param {() => boolean} hooks.hasDirectory whether the server finds users; else any name may be written to
   * @param {() => boolean} hooks.searches whether the server searches messages
   * @param {() => boolean} hooks.mayMakeRooms
   * @param {(text: string) => void} hooks.search
   * @param {(key: Key) => void} hooks.chosen
   * @param {(title: string) => void} hooks.newRoom asks whether to make a room
   */
  constructor(hooks) {
    this.#hooks = hooks;
    this.#text.addEventListener("input", () => this.#typed());
    this.#text.addEventListener("keydown", (event) => this.#keyDown(event));
    this.#list.addEventListener("click", (event) => {
      const option = event.target instanceof Element ? event.target.closest("li") : null;
      if (option) this.#choose(Number(option.dataset.index), true);
    });
    this.#dialog.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#choose(this.#chosen);
    });
    // For browsers without `closedby`.
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
  }

  open() {
    this.#text.value = "";
    this.#typed();
    this.#dialog.showModal();
  }

  #typed() {
    const query = this.#text.value.trim();
    this.#isChosen = false;
    this.#isSearching = query.replace(/^[#@]/, "") !== "" && this.#hooks.hasDirectory();
    this.#isSearching ? this.#pages.type(query) : this.#pages.clear();
    if (!this.#isSearching) this.#found = [];
    this.#search();
  }

  /**
   * @param {Choice[]} found
   * @param {boolean} isLoading
   */
  #answered(found, isLoading) {
    if (!isLoading) {
      const chosen = this.#chosen > 0 ? this.#choices[this.#chosen]?.key : undefined;
      this.#found = found;
      this.#isSearching = false;
      this.#search();
      this.#chosen = Math.max(0, this.#choices.findIndex(({ key }) => key === chosen));
      this.#mark();
      if (this.#isChosen) this.#choose(this.#chosen);
    }
  }

  #search() {
    const typed = this.#text.value.trim();
    const wanted = typed.replace(/^[#@]/, "");
    const fits = (/** @type {Choice} */ { key, title }) => hasSpelling(`${title}\n${key.slice(1)}`, wanted);
    const known = this.#hooks.known().filter(fits);
    // Titles that begin with the text come before those that contain it.
    if (wanted) known.sort((a, b) => Number(!beginsSo(a.title, wanted)) - Number(!beginsSo(b.title, wanted)));
    const found = this.#found.filter((choice) => fits(choice) && !known.some(({ key }) => key === choice.key));
    const all = [...known.slice(0, found.length > 0 ? KNOWN_MAX : CHOICES_MAX), ...found];
    this.#choices = all.filter(({ key }) => (typed.startsWith("@") ? key.startsWith("@") : !typed.startsWith("#") || key.startsWith("#"))).slice(0, CHOICES_MAX);
    const name = typed.replace(/^[#@]/, "").trim();
    // A room is made by those who ask for one: words alone are first those of messages.
    const isAddress = /^[#@]/.test(typed);
    const search = this.#hooks.searches() ? [/** @type {Choice} */ ({ key: NOWHERE, title: typed, isSearch: true })] : [];
    if (!isAddress) this.#choices.push(...search);
    // The server keeps names of users in NFC, and names of rooms as they are.
    const person = name.normalize("NFC");
    for (const key of /** @type {Key[]} */ ([`#${name}`, `@${person}`])) {
      const isOffered = key.startsWith("#") ? !typed.startsWith("@") && this.#hooks.mayMakeRooms() : !typed.startsWith("#") && !this.#hooks.hasDirectory() && [...person].length <= NAME_MAX_CHARS;
      if (isRoomName(name) && isOffered && ![...known, ...found].some((choice) => choice.key === key)) {
        this.#choices.push({ key, title: key.slice(1), isNew: true });
      }
    }
    if (isAddress) this.#choices.push(...search);
    this.#chosen = 0;
    this.#list.replaceChildren(...this.#choices.map((choice, index) => option({ ...choice, isMe: choice.key === `@${this.#hooks.me}` }, index)));
    this.#mark();
  }

  /** @param {KeyboardEvent} event */
  #keyDown(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.#choices.length > 0) {
      event.preventDefault();
      this.#chosen = (this.#chosen + step + this.#choices.length) % this.#choices.length;
      this.#mark();
    }
  }

  #mark() {
    for (const [index, option] of [...this.#list.children].entries()) {
      option.ariaSelected = String(index === this.#chosen);
      if (index === this.#chosen) option.scrollIntoView({ block: "nearest" });
    }
    this.#text.setAttribute("aria-activedescendant", this.#choices.length > 0 ? `choice-${this.#chosen}` : "");
  }

  /**
   * @param {number} index
   * @param {boolean} [isMeant] whether the user has pointed at the choice, not only pressed Enter
   */
  #choose(index, isMeant = index > 0) {
    const choice = this.#choices[index];
    if (this.#isSearching && (!choice || choice.isNew || (choice.isSearch && !isMeant))) {
      // It is not known yet whether there is a room or somebody of this name.
      this.#isChosen = true;
      this.#chosen = Math.max(0, index);
    } else if (choice) {
      this.#dialog.close();
      if (choice.isSearch) this.#hooks.search(choice.title);
      else if (choice.isNew && choice.key.startsWith("#") && this.#hooks.hasDirectory()) this.#hooks.newRoom(choice.title);
      else this.#hooks.chosen(choice.key);
    }
  }
}

/**
 * Asks the server for rooms and users.
 * @param {string} query perhaps with a `#` or an `@`
 * @returns {Promise<{ items: Choice[] }>}
 */
async function find(query) {
  const wanted = { q: query.replace(/^[#@]/, ""), limit: CHOICES_MAX };
  const [places, people] = await Promise.all([
    query.startsWith("@") ? [] : roomsFound(wanted).then(({ items }) => items),
    query.startsWith("#") ? [] : usersFound(wanted).then(({ items }) => items),
  ]);
  for (const { username, avatar: picture, bot } of people) knowPicture(username, picture, bot);
  return {
    items: [
      ...places.map(({ name, title, access }) => ({ key: /** @type {const} */ (`#${name}`), title: titleOf(name, title), isClosed: access === "closed" })),
      ...people.map(({ username }) => ({ key: /** @type {const} */ (`@${username}`), title: username })),
    ],
  };
}

/**
 * @param {Choice} choice
 * @param {number} index
 */
function option({ key, title, unread, isClosed, isNew, isSearch, isMe }, index) {
  const isRoom = key.startsWith("#");
  const sign = isSearch ? element("span", "sign", symbol("search")) : isRoom ? element("span", "sign", isClosed ? symbol("lock") : "#") : avatar(title, "small");
  const words = isSearch ? (title ? t.searchFor(title) : t.searchMessages) : isNew ? (isRoom ? t.goToRoom(title) : t.writeTo(title)) : title;
  const made = element("li", "", sign, isolated(words, "title"));
  if (unread) {
    made.append(element("span", "quiet", t.unread(unread)));
  } else if (!isNew && !isSearch) {
    made.append(element("span", "quiet", isRoom ? t.room : isMe ? t.you : t.person));
  }
  made.role = "option";
  made.id = `choice-${index}`;
  made.dataset.index = String(index);
  return made;
}

/**
 * All conversations there are: first those with unread messages, then the latest
 * visited, the other people of private conversations, rooms, and the open one at the end.
 * @param {Client} client
 * @param {Directory} directory
 * @returns {Choice[]}
 */
export function choicesOf(client, { rooms, people, visited, current }) {
  const users = new Set([...client.rooms.values()].flatMap(({ members }) => [...members]));
  const talkedTo = new Set(people.map(({ key }) => key));
  // Others in the joined rooms with whom there is no conversation yet.
  const strangers = [...users].filter((name) => name !== client.user && !talkedTo.has(`@${name}`));
  /** @type {Choice[]} */
  const choices = [
    // An address may name somebody who does not exist.
    ...people.filter(({ key }) => !isNobody(key.slice(1))),
    ...rooms,
    ...strangers.map((name) => ({ key: /** @type {const} */ (`@${name}`), title: name })),
  ];
  /** @param {Choice} choice */
  const rank = ({ key, unread }) => {
    const index = visited.indexOf(key);
    return key === current ? Infinity : unread ? -1 : index < 0 ? visited.length : index;
  };
  return choices.sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)));
}

/** Stands for the search in place of a conversation: no room has this name. @type {Key} */
const NOWHERE = "#";
const CHOICES_MAX = 8;
/** As many of them are known ones if others are found. */
const KNOWN_MAX = 5;
const TEXT = {
  id: "finder-text",
  role: "combobox",
  "aria-expanded": "true",
  "aria-controls": "finder-list",
  "aria-autocomplete": "list",
  autocomplete: "off",
  autocapitalize: "none",
  spellcheck: "false",
  dir: "auto",
  "data-t-label": "findHint",
  "data-t-placeholder": "findHint",
};
