// Suggests names for a mention, in a list above the box. The focus stays in the
// box, which gets all keys that choose no name.

import { suggestionsFor, replacement, mentionAt } from "../logic/names.js";
import { t } from "../words.js";
import { avatar } from "./avatar.js";
import { element, isolated, TOUCH } from "./dom.js";

/** @typedef {Parameters<typeof suggestionsFor>[1]} People */

export class Names {
  #text;
  #people;
  #list = element("ul", "menu names");
  /** @type {string[]} */
  #suggested = [];
  #chosen = 0;
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
      if (option) this.#choose(this.#suggested[Number(option.dataset.index)]);
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
      this.#show(typed && this.#dismissedAt < 0 ? suggestionsFor(typed.query, this.#people()) : []);
    }
  }

  /** Closes the list: the box has another text. */
  close() {
    this.#dismissedAt = -1;
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
        this.#chosen += key === "ArrowDown" ? 1 : -1;
        this.#mark();
        break;
      case "Enter":
      case "Tab":
        this.#choose(this.#suggested[this.#chosen]);
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

  /** @param {string[]} names */
  #show(names) {
    if (names.length === 0 && this.#suggested.length === 0) {
      return;
    }
    this.#suggested = names;
    this.#chosen = 0;
    this.#list.hidden = names.length === 0;
    this.#list.ariaLabel = t.whomToName;
    this.#list.replaceChildren(...names.map(option));
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
 * @param {string} name
 * @param {number} index
 */
function option(name, index) {
  const made = element("li", "", avatar(name, "small"), isolated(name, "title"));
  made.role = "option";
  made.id = `named-${index}`;
  made.dataset.index = String(index);
  return made;
}
