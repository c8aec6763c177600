// Naming somebody while one writes: what is typed after an `@`, who may be
// meant by it, and what takes its place.

import { NAME_MAX_CHARS } from "./address.js";
import { folded } from "./text.js";

/** @typedef {{ from: number, to: number, query: string }} Typed where it begins with its `@`, and what comes behind that */

/**
 * What is being typed where the caret is.
 * @param {string} text
 * @param {number} caret
 * @returns {Typed | null}
 */
export function mentionAt(text, caret) {
  // A name may have spaces and even an `@`: the nearest that could begin one does.
  for (let from = caret - 1; from >= Math.max(0, caret - TYPED_MAX_LENGTH) && text[from] !== "\n"; from -= 1) {
    if (text[from] === "@" && BEFORE_NAME.test(text[from - 1] ?? " ")) {
      const query = text.slice(from + 1, caret);
      return /^\s/.test(query) ? null : { from, to: caret, query };
    }
  }
  return null;
}

/**
 * Whom to offer: those whose name begins with what was typed, and then those of
 * whose names another word does. To whoever has typed nothing yet, those who
 * spoke last.
 * @param {string} query
 * @param {object} people
 * @param {string} people.me is not offered
 * @param {Iterable<string>} people.names in the order in which to offer them
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
  const offered = [...first, ...then].slice(0, OFFERED_MAX);
  // Whoever has typed all of the only name that fits has nothing left to choose.
  return offered.length === 1 && folded(offered[0] ?? "") === wanted ? [] : offered;
}

/**
 * What to put where, so that somebody is named.
 * @param {string} text
 * @param {Typed} typed
 * @param {string} name
 */
export function replacement(text, { from, to }, name) {
  // A space that is there already will do.
  return { from, to: text[to] === " " ? to + 1 : to, words: `@${name} ` };
}

/**
 * Where in a name a word begins with that, or words do.
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

const OFFERED_MAX = 6;
/** A name's characters may be pairs of surrogates; the `@` is before them. */
const TYPED_MAX_LENGTH = 1 + 2 * NAME_MAX_CHARS;
/** Not a letter, which would make it an e-mail address. */
const BEFORE_NAME = /[\s\p{Ps}\p{Pi}]/u;
const IN_WORD = /[\p{L}\p{M}\p{N}]$/u;
