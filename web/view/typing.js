// The line above the box that says who is typing.

import { listOf, t } from "../words.js";
import { byId } from "./dom.js";

/** @param {string[]} names of the users who are typing in the open conversation */
export function showTyping(names) {
  const line = byId("typing", HTMLElement);
  // Isolates: a name that is written from right to left must not reorder the sentence.
  const shown = names.slice(0, NAMES_MAX).map((name) => `\u2068${name}\u2069`);
  if (names.length > NAMES_MAX) shown.push(t.others(names.length - NAMES_MAX));
  const sentence = names.length > 0 ? t.typing(listOf(shown), names.length) : "";
  if (line.textContent !== sentence) line.textContent = sentence;
}

/** Names that are shown at most; the rest is a number. */
const NAMES_MAX = 2;
