// The finder: a dialog in which a conversation is found by a part of its name, or
// a new one is opened.

import { isRoomName, NAME_MAX_CHARS } from "../logic/address.js";
import { folded } from "../logic/text.js";
import { t } from "../words.js";
import { avatar } from "./avatar.js";
import { element, isolated } from "./dom.js";
import { make, mount } from "./make.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("./directory.js").Directory} Directory */
/** @typedef {{ key: Key, title: string, unread?: number, isNew?: boolean }} Choice */

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

  /**
   * @param {object} hooks
   * @param {() => Choice[]} hooks.known all conversations, in the order in which to show them
   * @param {(key: Key) => void} hooks.chosen
   */
  constructor(hooks) {
    this.#hooks = hooks;
    this.#text.addEventListener("input", () => this.#search());
    this.#text.addEventListener("keydown", (event) => this.#keyDown(event));
    this.#list.addEventListener("click", (event) => {
      const option = event.target instanceof Element ? event.target.closest("li") : null;
      if (option) this.#choose(Number(option.dataset.index));
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
    this.#search();
    this.#dialog.showModal();
  }

  #search() {
    const typed = this.#text.value.trim();
    const wanted = folded(typed.replace(/^[#@]/, ""));
    const known = this.#hooks.known().filter(({ title, key }) => folded(`${title}\n${key.slice(1)}`).includes(wanted));
    // Titles that begin with the text come before those that contain it.
    known.sort((a, b) => Number(!folded(a.title).startsWith(wanted)) - Number(!folded(b.title).startsWith(wanted)));
    this.#choices = known.slice(0, CHOICES_MAX);
    const name = typed.replace(/^[#@]/, "").trim();
    // The server keeps names of users in NFC, and names of rooms as they are.
    const person = name.normalize("NFC");
    for (const key of /** @type {Key[]} */ ([`#${name}`, `@${person}`])) {
      const fits = key.startsWith("#") ? !typed.startsWith("@") : !typed.startsWith("#") && [...person].length <= NAME_MAX_CHARS;
      if (isRoomName(name) && fits && !known.some((choice) => choice.key === key)) {
        this.#choices.push({ key, title: key.slice(1), isNew: true });
      }
    }
    this.#chosen = 0;
    this.#list.replaceChildren(...this.#choices.map(option));
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

  /** @param {number} index */
  #choose(index) {
    const choice = this.#choices[index];
    if (choice) {
      this.#dialog.close();
      this.#hooks.chosen(choice.key);
    }
  }
}

/**
 * @param {Choice} choice
 * @param {number} index
 */
function option({ key, title, unread, isNew }, index) {
  const isRoom = key.startsWith("#");
  const sign = isRoom ? element("span", "sign", "#") : avatar(title, "small");
  const words = isNew ? (isRoom ? t.goToRoom(title) : t.writeTo(title)) : title;
  const made = element("li", "", sign, isolated(words, "title"));
  if (unread) {
    made.append(element("span", "quiet", t.unread(unread)));
  } else if (!isNew) {
    made.append(element("span", "quiet", isRoom ? t.room : t.person));
  }
  made.role = "option";
  made.id = `choice-${index}`;
  made.dataset.index = String(index);
  return made;
}

/**
 * All conversations there are: first those with unread messages, then the latest
 * visited, and the open one at the end.
 * @param {Client} client
 * @param {Directory} directory
 * @returns {Choice[]}
 */
export function choicesOf(client, { rooms, people, visited, current }) {
  const users = new Set([...client.rooms.values()].flatMap(({ members }) => [...members]));
  // Users in the joined rooms with whom there is no conversation yet.
  const strangers = [...users].filter((name) => !client.conversations.has(`@${name}`));
  /** @type {Choice[]} */
  const choices = [
    ...rooms,
    ...people,
    ...strangers.map((name) => ({ key: /** @type {const} */ (`@${name}`), title: name })),
  ];
  /** @param {Choice} choice */
  const rank = ({ key, unread }) => {
    const index = visited.indexOf(key);
    return key === current ? Infinity : unread ? -1 : index < 0 ? visited.length : index;
  };
  return choices.sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)));
}

const CHOICES_MAX = 8;
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
