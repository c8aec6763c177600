// Offers names above the box to whoever types an `@`. The focus stays in the
// box, and so do all keys that do not choose.

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
  #offered = [];
  #chosen = 0;
  /** @type {import("../logic/names.js").Typed | null} */
  #typed = null;
  /** Where an `@` is for which nothing is to be offered any more; -1: nowhere. */
  #dismissedAt = -1;

  /**
   * @param {HTMLTextAreaElement} text
   * @param {() => People} people who may be named now
   */
  constructor(text, people) {
    this.#text = text;
    this.#people = people;
    this.#list.id = "names";
    this.#list.role = "listbox";
    this.#list.hidden = true;
    text.after(this.#list);
    // No role: a box of several lines may have none but its own, which knows no
    // `aria-expanded` either.
    text.setAttribute("aria-autocomplete", "list");
    text.setAttribute("aria-haspopup", "listbox");
    text.addEventListener("input", (event) => {
      // An input method shows a list of its own. The keyboard of a phone says
      // of every word that it is being composed.
      if (!(event instanceof InputEvent && event.isComposing) || TOUCH.matches) this.offer();
    });
    text.addEventListener("compositionend", () => this.offer());
    // Before the composer, for which Enter sends.
    text.addEventListener("keydown", (event) => this.#keyDown(event), { capture: true });
    text.addEventListener("blur", () => this.#show([]));
    // The caret goes elsewhere. Where it merely comes by, nothing opens.
    document.addEventListener("selectionchange", () => this.#offered.length > 0 && this.offer());
    // What is pressed does not take the focus.
    this.#list.addEventListener("mousedown", (event) => event.preventDefault());
    this.#list.addEventListener("click", (event) => {
      const option = event.target instanceof Element ? event.target.closest("li") : null;
      if (option) this.#take(this.#offered[Number(option.dataset.index)]);
    });
  }

  /** Shows whom one may mean with what stands before the caret. */
  offer() {
    const { value, selectionStart, selectionEnd } = this.#text;
    const typed = selectionStart === selectionEnd ? mentionAt(value, selectionStart) : null;
    if (typed?.from !== this.#dismissedAt) {
      this.#dismissedAt = -1;
    }
    if (this.#offered.length === 0 || typed?.from !== this.#typed?.from || typed?.query !== this.#typed?.query) {
      this.#typed = typed;
      this.#show(typed && this.#dismissedAt < 0 ? suggestionsFor(typed.query, this.#people()) : []);
    }
  }

  /** What was in the box is gone. */
  close() {
    this.#dismissedAt = -1;
    this.#show([]);
  }

  /** @param {KeyboardEvent} event */
  #keyDown(event) {
    const { key, shiftKey, altKey, ctrlKey, metaKey, isComposing, keyCode } = event;
    if (this.#offered.length === 0 || shiftKey || altKey || ctrlKey || metaKey || isComposing || keyCode === 229) {
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
        this.#take(this.#offered[this.#chosen]);
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
  #take(name) {
    const typed = this.#typed;
    if (name !== undefined && typed) {
      this.#dismiss();
      const { from, to, words } = replacement(this.#text.value, typed, name);
      this.#text.setSelectionRange(from, to);
      // As if it was typed: the composer hears of it, and it can be undone.
      // Nothing else in a browser does that.
      document.execCommand("insertText", false, words);
    }
  }

  #dismiss() {
    this.#dismissedAt = this.#typed?.from ?? -1;
    this.#show([]);
  }

  /** @param {string[]} names */
  #show(names) {
    if (names.length === 0 && this.#offered.length === 0) {
      return;
    }
    this.#offered = names;
    this.#chosen = 0;
    this.#list.hidden = names.length === 0;
    this.#list.ariaLabel = t.whomToName;
    this.#list.replaceChildren(...names.map(option));
    this.#mark();
  }

  /** Shows which one is chosen, going on at the other end. */
  #mark() {
    const { length } = this.#offered;
    this.#chosen = length && (this.#chosen + length) % length;
    for (const [index, option] of [...this.#list.children].entries()) {
      option.ariaSelected = String(index === this.#chosen);
      if (index === this.#chosen) option.scrollIntoView({ block: "nearest" });
    }
    this.#set("aria-controls", this.#list.id);
    this.#set("aria-activedescendant", `named-${this.#chosen}`);
  }

  /**
   * @param {string} attribute which the box has only while there is a list
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
