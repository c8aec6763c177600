// Moving the focus among the messages by keys.

import { byId } from "./dom.js";

export class MessageKeys {
  #list = byId("messages", HTMLElement);

  constructor() {
    this.#list.addEventListener("focusin", (event) => setTabStops(event.target, 0));
    this.#list.addEventListener("focusout", (event) => setTabStops(event.target, -1));
    this.#list.addEventListener("keydown", (event) => this.#key(event));
  }

  focusLast() {
    this.#items().at(-1)?.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const item = event.target instanceof Element ? event.target.closest(".message") : null;
    if (!(item instanceof HTMLElement) || event.altKey || event.ctrlKey || event.metaKey) {
      return;
    }
    const items = this.#items();
    const index = items.indexOf(item);
    const next = { ArrowUp: index - 1, ArrowDown: index + 1, Home: 0, End: items.length - 1 }[event.key];
    if (next === undefined) {
      return;
    }
    event.preventDefault();
    if (next >= items.length) {
      byId("text", HTMLTextAreaElement).focus();
    } else {
      items[Math.max(0, next)]?.focus();
    }
  }

  /** @returns {HTMLElement[]} */
  #items() {
    return [...this.#list.querySelectorAll(".message")].filter((item) => item instanceof HTMLElement);
  }
}

/**
 * The Tab key stops at links and buttons only in the message with the focus.
 * @param {EventTarget | null} target
 * @param {number} tabIndex
 */
function setTabStops(target, tabIndex) {
  const item = target instanceof Element ? target.closest(".message") : null;
  for (const stop of item?.querySelectorAll("a, button") ?? []) {
    if (stop instanceof HTMLElement) stop.tabIndex = tabIndex;
  }
}
