// A list that keeps the elements of its lines while their content changes: an
// element that is replaced or moved loses the focus, and a click that has begun.

import { t } from "../words.js";

/**
 * @template T
 * @typedef {object} Line
 * @property {HTMLElement} node
 * @property {(data: T) => void} show
 * @property {string} [shown]
 */

/** @template T */
export class Lines {
  #list;
  #make;
  /** @type {Map<string, Line<T>>} */
  #lines = new Map();
  /** Whether the pointer is pressed in the list: then no line moves. */
  #isPressed = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #releasing;

  /**
   * @param {HTMLElement} list
   * @param {(key: string) => Line<T>} make
   */
  constructor(list, make) {
    this.#list = list;
    this.#make = make;
    list.addEventListener("pointerdown", ({ button }) => {
      clearTimeout(this.#releasing);
      this.#isPressed = button === 0;
    });
    for (const end of ["pointerup", "pointercancel", "contextmenu"]) {
      addEventListener(end, () => {
        if (this.#isPressed) this.#releasing = setTimeout(() => this.#release(), CLICKED_AFTER_MS);
      });
    }
  }

  /** @param {Map<string, T>} all the content of the lines in order, by keys */
  show(all) {
    const lines = new Map();
    for (const [key, data] of all) {
      const line = this.#lines.get(key) ?? this.#make(key);
      lines.set(key, line);
      // The words differ in another language.
      const shown = JSON.stringify([data, t.chat]);
      if (line.shown !== shown) {
        line.shown = shown;
        line.show(data);
      }
    }
    this.#lines = lines;
    this.#arrange();
  }

  #release() {
    this.#isPressed = false;
    this.#arrange();
  }

  #arrange() {
    if (!this.#isPressed) {
      const focused = this.#list.contains(document.activeElement) ? document.activeElement : null;
      arrange(this.#list, [...this.#lines.values()].map(({ node }) => node));
      if (focused instanceof HTMLElement && focused !== document.activeElement) {
        focused.focus({ preventScroll: true });
      }
    }
  }
}

/**
 * Makes nodes the children of a list, in this order. It moves only nodes that are
 * out of order.
 * @param {HTMLElement} list
 * @param {HTMLElement[]} nodes
 */
export function arrange(list, nodes) {
  const wanted = new Set(/** @type {Element[]} */ (nodes));
  for (const child of [...list.children]) {
    if (!wanted.has(child)) child.remove();
  }
  let at = list.firstElementChild;
  for (const node of nodes) {
    if (at !== node && at?.nextElementSibling === node) {
      // The element before it stands wrong, and comes further down.
      at.remove();
      at = node;
    }
    if (at === node) {
      at = node.nextElementSibling;
    } else {
      list.insertBefore(node, at);
    }
  }
}

/** A click event comes right after the pointer is released; on a touch screen a little later. */
const CLICKED_AFTER_MS = 100;
