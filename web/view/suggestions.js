// Suggestions for what is being typed in the box, in a list above it. The focus stays
// in the box, which gets all keys that choose nothing.

import { element, TOUCH } from "./dom.js";

/** @typedef {{ from: number, to: number, query: string }} Typed what is being typed: its range, and what to look for */

/**
 * @template T
 * @typedef {object} Kind
 * @property {string} id
 * @property {() => string} label what the list is for
 * @property {(text: string, caret: number) => Typed | null} typedAt
 * @property {(typed: Typed) => void} offer finds what to suggest, and shows it
 * @property {(item: T) => HTMLLIElement} option
 * @property {(item: T) => string} keyOf
 * @property {(text: string, typed: Typed, item: T) => { from: number, to: number, words: string }} replacement
 */

/** @template T */
export class Suggestions {
  #text;
  #kind;
  #list = element("ul", "menu names");
  /** @type {T[]} */
  #shown = [];
  #chosen = 0;
  /** Whether the user has chosen another one than the first, for what is typed now. */
  #hasMoved = false;
  /** @type {Typed | null} */
  #typed = null;
  /** Where that begins for which the list was closed; -1: it was not. */
  #dismissedAt = -1;

  /**
   * @param {HTMLTextAreaElement} text
   * @param {Kind<T>} kind
   */
  constructor(text, kind) {
    this.#text = text;
    this.#kind = kind;
    this.#list.id = kind.id;
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
    text.addEventListener("blur", () => this.show([]));
    // When the caret moves, an open list changes or closes, but none opens.
    document.addEventListener("selectionchange", () => this.#shown.length > 0 && this.suggest());
    // Pressing the list does not take the focus from the box.
    this.#list.addEventListener("mousedown", (event) => event.preventDefault());
    this.#list.addEventListener("click", (event) => {
      const option = event.target instanceof Element ? event.target.closest("li") : null;
      if (option) this.#choose(this.#shown[Number(option.dataset.index)]);
    });
  }

  /** What is being typed, unless its list was closed. */
  get typed() {
    return this.#dismissedAt < 0 ? this.#typed : null;
  }

  /** Whether the user is typing what is suggested. */
  get isTyping() {
    return this.#typed !== null && document.activeElement === this.#text;
  }

  /** Shows suggestions for what is before the caret. */
  suggest() {
    const { value, selectionStart, selectionEnd } = this.#text;
    const typed = selectionStart === selectionEnd ? this.#kind.typedAt(value, selectionStart) : null;
    if (typed?.from !== this.#dismissedAt) {
      this.#dismissedAt = -1;
    }
    if (this.#shown.length === 0 || typed?.from !== this.#typed?.from || typed?.query !== this.#typed?.query) {
      this.#typed = typed;
      this.#hasMoved = false;
      this.offer();
    }
  }

  /** Finds again what to suggest. */
  offer() {
    const { typed } = this;
    typed ? this.#kind.offer(typed) : this.show([]);
  }

  /** @param {T[]} items */
  show(items) {
    if (items.length === 0 && this.#shown.length === 0) {
      return;
    }
    const { keyOf, option, label } = this.#kind;
    // What the user has moved to stays chosen when more is known.
    const chosen = this.#hasMoved ? this.#shown[this.#chosen] : undefined;
    this.#shown = items;
    this.#chosen = chosen === undefined ? 0 : Math.max(0, items.findIndex((item) => keyOf(item) === keyOf(chosen)));
    this.#list.hidden = items.length === 0;
    this.#list.ariaLabel = label();
    this.#list.replaceChildren(
      ...items.map((item, index) => {
        const made = option(item);
        made.role = "option";
        made.id = `${this.#kind.id}-${index}`;
        made.dataset.index = String(index);
        return made;
      }),
    );
    this.#mark();
  }

  /** Closes the list: the box has another text. */
  close() {
    this.#dismissedAt = -1;
    // An answer about the text before must not open it again.
    this.#typed = null;
    this.show([]);
  }

  /** @param {KeyboardEvent} event */
  #keyDown(event) {
    const { key, shiftKey, altKey, ctrlKey, metaKey, isComposing, keyCode } = event;
    if (this.#shown.length === 0 || shiftKey || altKey || ctrlKey || metaKey || isComposing || keyCode === 229) {
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
        this.#choose(this.#shown[this.#chosen]);
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

  /** @param {T | undefined} item */
  #choose(item) {
    const typed = this.#typed;
    if (item !== undefined && typed) {
      this.#dismiss();
      const { from, to, words } = this.#kind.replacement(this.#text.value, typed, item);
      this.#text.setSelectionRange(from, to);
      // Inserts as typing does: with an input event, and so that it can be undone.
      // Browsers have no other way for that.
      document.execCommand("insertText", false, words);
    }
  }

  #dismiss() {
    this.#dismissedAt = this.#typed?.from ?? -1;
    this.show([]);
  }

  /** Marks what is chosen, which is the first one after the last, and the other way round. */
  #mark() {
    const { length } = this.#shown;
    this.#chosen = length && (this.#chosen + length) % length;
    for (const [index, option] of [...this.#list.children].entries()) {
      option.ariaSelected = String(index === this.#chosen);
      if (index === this.#chosen) option.scrollIntoView({ block: "nearest" });
    }
    this.#set("aria-controls", this.#list.id);
    this.#set("aria-activedescendant", `${this.#list.id}-${this.#chosen}`);
  }

  /**
   * @param {string} attribute an attribute of the box while the list is open
   * @param {string} value
   */
  #set(attribute, value) {
    this.#list.hidden ? this.#text.removeAttribute(attribute) : this.#text.setAttribute(attribute, value);
  }
}
