// Mentions while the user types: the text after an `@`, the names to suggest for
// it, and what replaces it.

import { NAME_MAX_CHARS } from "./address.js";
import { folded } from "./text.js";

/** @typedef {{ from: number, to: number, query: string }} Typed an unfinished mention: its range with the `@`, and the text behind that */

/**
 * The mention that is being typed at the caret.
 * @param {string} text
 * @param {number} caret
 * @returns {Typed | null}
 */
export function mentionAt(text, caret) {
  // A name may contain spaces and even an `@`: the nearest `@` that can begin a mention counts.
  for (let from = caret - 1; from >= Math.max(0, caret - TYPED_MAX_LENGTH) && text[from] !== "\n"; from -= 1) {
    if (text[from] === "@" && BEFORE_NAME.test(text[from - 1] ?? " ")) {
      const query = text.slice(from + 1, caret);
      return /^\s/.test(query) ? null : { from, to: caret, query };
    }
  }
  return null;
}

/**
 * The names to suggest: first names that begin with the query, then names in which
 * another word does. For an empty query, the latest authors come first.
 * @param {string} query
 * @param {object} people
 * @param {string} people.me is not suggested
 * @param {Iterable<string>} people.names in the order in which to suggest them
 * @param {Iterable<string>} people.authors the latest first
 * @returns {string[]}
 */
export function suggestionsFor(query, { me, names, authors }) {
  const wanted = folded(query);
  /** @type {string[]} */
  const first = [];
  /** @type {string[]} */
  const then = [];
  for (const name of new Set(wanted ? names : [...authors, ...names])) {
    const at = name && name !== me ? wordAt(folded(name), wanted) : -1;
    if (at >= 0) (at === 0 ? first : then).push(name);
  }
  const suggested = [...first, ...then].slice(0, SUGGESTIONS_MAX);
  // If the only name that fits is typed completely, there is nothing left to choose.
  return suggested.length === 1 && folded(suggested[0] ?? "") === wanted ? [] : suggested;
}

/**
 * The text that completes a mention, and the range that it replaces.
 * @param {string} text
 * @param {Typed} typed
 * @param {string} name
 */
export function replacement(text, { from, to }, name) {
  // A space that is there already is not doubled.
  return { from, to: text[to] === " " ? to + 1 : to, words: `@${name} ` };
}

/**
 * The index in a name at which a word begins with the wanted text; -1: none does.
 * @param {string} name
 * @param {string} wanted
 */
function wordAt(name, wanted) {
  let at = name.indexOf(wanted);
  while (at > 0 && IN_WORD.test(name.slice(0, at))) {
    at = name.indexOf(wanted, at + 1);
  }
  return at;
}

const SUGGESTIONS_MAX = 6;
/** A name's characters may be pairs of surrogates; the `@` is before them. */
const TYPED_MAX_LENGTH = 1 + 2 * NAME_MAX_CHARS;
/** Not a letter, which would make it an e-mail address. */
const BEFORE_NAME = /[\s\p{Ps}\p{Pi}]/u;
const IN_WORD = /[\p{L}\p{M}\p{N}]$/u;
