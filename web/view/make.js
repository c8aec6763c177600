// Elements with attributes, for what opens above the chat: it is made when its code
// is loaded, so that the first view does not carry it.

import { translate } from "../words.js";
import { TOUCH } from "./dom.js";

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | boolean>} [attributes] words are named by `data-t` and `data-t-…`; true: it is there, without a value
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/**
 * Puts an element into the page, with its words.
 * @template {HTMLElement} T
 * @param {T} made
 * @param {Element} [parent]
 * @returns {T}
 */
export function mount(made, parent = document.body) {
  parent.append(made);
  translate(parent);
  if (TOUCH.matches && made.matches(".sheet, .lower-sheet, .emoji-picker, .menu[popover]")) import("./pull.js").then(({ pullable }) => pullable(made), () => {});
  return made;
}
