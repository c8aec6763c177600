// The keys that lead from message to message. They work once what the first view does
// without is loaded.

import { byId } from "./dom.js";

/** @param {HTMLElement} list */
export function useKeys(list) {
  list.addEventListener("focusin", ({ target }) => setTabStops(target, 0));
  list.addEventListener("focusout", ({ target }) => setTabStops(target, -1));
  list.addEventListener("keydown", (event) => move(list, event));
  setTabStops(document.activeElement, 0);
}

/**
 * @param {HTMLElement} list
 * @param {KeyboardEvent} event
 */
function move(list, event) {
  const item = event.target instanceof Element ? event.target.closest(".message") : null;
  if (!(item instanceof HTMLElement) || event.altKey || event.ctrlKey || event.metaKey) {
    return;
  }
  const items = [...list.querySelectorAll(".message")].filter((item) => item instanceof HTMLElement);
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

/**
 * The Tab key stops at links and buttons only in the message with the focus.
 * @param {EventTarget | null} target
 * @param {number} tabIndex
 */
function setTabStops(target, tabIndex) {
  const item = target instanceof Element ? target.closest(".message") : null;
  for (const stop of item?.querySelectorAll("a, button, audio, video") ?? []) {
    if (stop instanceof HTMLElement) stop.tabIndex = tabIndex;
  }
}
