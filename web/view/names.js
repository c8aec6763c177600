// Suggests names for a mention, in a list above the box. The focus stays in the
// box, which gets all keys that choose no name.

import { suggestionsFor, replacement, mentionAt } from "../logic/names.js";
import { EVERYBODY } from "../logic/text.js";
import { t } from "../words.js";
import { avatar } from "./avatar.js";
import { element, isolated, symbol, TOUCH } from "./dom.js";
import { RoomPeople } from "./room-people.js";

/** @typedef {import("../logic/account.js").Place} Place */
/** @typedef {import("../logic/names.js").Suggestion} Suggestion */
/** @typedef {Pick<import("../logic/names.js").People, "me" | "names" | "authors"> & { place: Place | undefined }} People `place`: the open conversation; undefined: a server that keeps no members */

export class Names {
  #text;
  #people;
  #list = element("ul", "menu names");
  #more = new RoomPeople(() => this.#typed && document.activeElement === this.#text && this.#offer());
  /** @type {Suggestion[]} */
  #suggested = [];
  #chosen = 0;
  /** Whether the user has chosen another one than the first, for what is typed now. */
  #hasMoved = false;
  /** @type {import("../logic/names.js").Typed | null} */
  #typed = null;
  /** The index of an `@` for which the list was closed; -1: there is none. */
  #dismissedAt = -1;

  /**
   * @param {HTMLTextAreaElement} text
   * @param {() => People} people the users who may be mentioned
   */
  constructor(text, people) {
    this.#text = text;
    this.#people = people;
    this.#list.id = "names";
    this.#list.role = "listbox";
    this.#list.hidden = true;
    text.after(this.#list);
    // No role `combobox`: a box of several lines may not have it, nor `aria-expanded`.
    text.setAttribute("aria-autocomplete", "list");
    text.setAttribute("aria-haspopup", "listbox");
    text.addEventListener("input", (event) => {
      // An input method shows a list of its own. On the keyboard of a phone, every
      // word is being composed.
      if (!(event instanceof InputEvent && event.isComposing) || TOUCH.matches) this.suggest();
    });
    text.addEventListener("compositionend", () => this.suggest());
    // Before the composer, in which Enter sends.
    text.addEventListener("keydown", (event) => this.#keyDown(event), { capture: true });
    text.addEventListener("blur", () => this.#show([]));
    // When the caret moves, an open list changes or closes, but none opens.
    document.addEventListener("selectionchange", () => this.#suggested.length > 0 && this.suggest());
    // Pressing the list does not take the focus from the box.
    this.#list.addEventListener("mousedown", (event) => event.preventDefault());
    this.#list.addEventListener("click", (event) => {
      const option = event.target instanceof Element ? event.target.closest("li") : null;
      if (option) this.#choose(this.#suggested[Number(option.dataset.index)]?.name);
    });
  }

  /** Shows suggestions for the mention before the caret. */
  suggest() {
    const { value, selectionStart, selectionEnd } = this.#text;
    const typed = selectionStart === selectionEnd ? mentionAt(value, selectionStart) : null;
    if (typed?.from !== this.#dismissedAt) {
      this.#dismissedAt = -1;
    }
    if (this.#suggested.length === 0 || typed?.from !== this.#typed?.from || typed?.query !== this.#typed?.query) {
      this.#typed = typed;
      this.#hasMoved = false;
      this.#offer();
    }
  }

  /** Shows whom to mention, as far as that is known. */
  #offer() {
    const typed = this.#dismissedAt < 0 ? this.#typed : null;
    const { place, ...people } = this.#people();
    const room = place?.key.startsWith("#") ? place.key.slice(1) : null;
    if (!typed || room === null) {
      this.#show(typed ? suggestionsFor(typed.query, people) : []);
      return;
    }
    const members = this.#more.membersOf(room)?.names ?? null;
    const isOpen = place?.access === "open";
    if (isOpen) this.#more.find(typed.query);
    const suggested = suggestionsFor(typed.query, {
      ...people,
      ...(isOpen ? {} : { names: [] }),
      members,
      others: isOpen ? this.#more.found : [],
      everybody: this.mayMentionAll ? [EVERYBODY, t.everybody] : [],
    });
    this.#show(suggested);
  }

  /** Whether every member of the open room may be mentioned at once: in a large one only by moderators. */
  get mayMentionAll() {
    const { place } = this.#people();
    if (!place?.key.startsWith("#")) {
      return false;
    }
    const members = this.#more.membersOf(place.key.slice(1));
    return members !== null && (place.role === "moderator" || (members.isComplete && members.names.length <= ALL_MAX));
  }

  /** Names of users who may be mentioned in the open room, beside those that the chat knows. */
  get known() {
    const { place } = this.#people();
    const members = place?.key.startsWith("#") ? this.#more.membersOf(place.key.slice(1)) : null;
    return [...(members?.names ?? []), ...this.#more.found];
  }

  /** Closes the list: the box has another text. */
  close() {
    this.#dismissedAt = -1;
    // An answer about the text before must not open it again.
    this.#typed = null;
    this.#show([]);
  }

  /** @param {KeyboardEvent} event */
  #keyDown(event) {
    const { key, shiftKey, altKey, ctrlKey, metaKey, isComposing, keyCode } = event;
    if (this.#suggested.length === 0 || shiftKey || altKey || ctrlKey || metaKey || isComposing || keyCode === 229) {
      return;
    }
    switch (key) {
      case "ArrowDown":
      case "ArrowUp":
        this.#hasMoved = true;
        this.#chosen += key === "ArrowDown" ? 1 : -1;
        this.#mark();
        break;
      case "Enter":
      case "Tab":
        this.#choose(this.#suggested[this.#chosen]?.name);
        break;
      case "Escape":
        this.#dismiss();
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  /** @param {string | undefined} name */
  #choose(name) {
    const typed = this.#typed;
    if (name !== undefined && typed) {
      this.#dismiss();
      const { from, to, words } = replacement(this.#text.value, typed, name);
      this.#text.setSelectionRange(from, to);
      // Inserts as typing does: with an input event, and so that it can be undone.
      // Browsers have no other way for that.
      document.execCommand("insertText", false, words);
    }
  }

  #dismiss() {
    this.#dismissedAt = this.#typed?.from ?? -1;
    this.#show([]);
  }

  /** @param {Suggestion[]} suggested */
  #show(suggested) {
    if (suggested.length === 0 && this.#suggested.length === 0) {
      return;
    }
    // Whom the user has moved to stays chosen when more is known.
    const chosen = this.#hasMoved ? this.#suggested[this.#chosen]?.name : undefined;
    this.#suggested = suggested;
    this.#chosen = Math.max(0, suggested.findIndex(({ name }) => name === chosen));
    this.#list.hidden = suggested.length === 0;
    this.#list.ariaLabel = t.whomToName;
    this.#list.replaceChildren(...suggested.map(option));
    this.#mark();
  }

  /** Marks the chosen name, which is the first one after the last, and the other way round. */
  #mark() {
    const { length } = this.#suggested;
    this.#chosen = length && (this.#chosen + length) % length;
    for (const [index, option] of [...this.#list.children].entries()) {
      option.ariaSelected = String(index === this.#chosen);
      if (index === this.#chosen) option.scrollIntoView({ block: "nearest" });
    }
    this.#set("aria-controls", this.#list.id);
    this.#set("aria-activedescendant", `named-${this.#chosen}`);
  }

  /**
   * @param {string} attribute an attribute of the box while the list is open
   * @param {string} value
   */
  #set(attribute, value) {
    this.#list.hidden ? this.#text.removeAttribute(attribute) : this.#text.setAttribute(attribute, value);
  }
}

/**
 * @param {Suggestion} suggestion
 * @param {number} index
 */
function option({ name, kind }, index) {
  const isAll = kind === "everybody";
  const made = element("li", "", isAll ? element("span", "sign", symbol("people")) : avatar(name, "small"), isolated(isAll ? `@${name}` : name, "title"));
  if (kind !== "member") made.append(element("span", "quiet", isAll ? t.everybody : t.notInRoom));
  made.role = "option";
  made.id = `named-${index}`;
  made.dataset.index = String(index);
  return made;
}

/** In a room of more members, only moderators may mention all of them at once. */
const ALL_MAX = 100;
