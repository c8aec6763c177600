// Mentions while the user types: the text after an `@`, the names to suggest for
// it, and what replaces it.

import { NAME_MAX_CHARS } from "./address.js";
import { beginsSo } from "./spelling.js";
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
 * Who may be mentioned in a conversation.
 * @typedef {object} People
 * @property {string} me is not suggested
 * @property {Iterable<string>} names in the order in which to suggest them
 * @property {Iterable<string>} authors the latest first
 * @property {Iterable<string> | null} [members] of the room; null: they are not known, or it is a private conversation
 * @property {Iterable<string>} [others] users who are no members, and may be mentioned all the same
 * @property {string[]} [everybody] words that mean every member, the first as it is written; empty: they may not be mentioned all at once
 */

/** @typedef {{ name: string, kind: "member" | "everybody" | "other" }} Suggestion */

/**
 * Whom to suggest: first those whose names begin with the query, then those in whose
 * names another word does, or one that begins so in the other script; members of the room before others. For an empty query, the
 * latest authors come first.
 * @param {string} query
 * @param {People} people
 * @returns {Suggestion[]}
 */
export function suggestionsFor(query, { me, names, authors, members = null, others = [], everybody = [] }) {
  const wanted = folded(query);
  const inRoom = members && new Set(members);
  const isHere = (/** @type {string} */ name) => !inRoom || inRoom.has(name);
  const here = fitting(wanted, [...(wanted ? [] : authors), ...(inRoom ?? names)].filter((name) => name !== me && isHere(name)));
  const elsewhere = fitting(wanted, inRoom ? [...names, ...others].filter((name) => name !== me && !isHere(name)) : []);
  const all = everybody.some((word) => folded(word).startsWith(wanted)) ? everybody.slice(0, 1) : [];
  /** @type {Suggestion[]} */
  const suggested = [
    ...(wanted ? all : []).map((name) => ({ name, kind: /** @type {const} */ ("everybody") })),
    ...here.map((name) => ({ name, kind: /** @type {const} */ ("member") })),
    ...(wanted ? elsewhere : []).map((name) => ({ name, kind: /** @type {const} */ ("other") })),
  ].slice(0, SUGGESTIONS_MAX - (wanted ? 0 : all.length));
  if (!wanted) suggested.push(...all.map((name) => ({ name, kind: /** @type {const} */ ("everybody") })));
  // If the only name that fits is typed completely, there is nothing left to choose.
  return suggested.length === 1 && folded(suggested[0]?.name ?? "") === wanted ? [] : suggested;
}

/**
 * The names in which a word begins with a text, those that begin with it first.
 * @param {string} wanted
 * @param {Iterable<string>} names
 */
function fitting(wanted, names) {
  /** @type {string[]} */
  const first = [];
  /** @type {string[]} */
  const then = [];
  /** @type {string[]} */
  const spelled = [];
  for (const name of new Set(names)) {
    const at = name ? wordAt(folded(name), wanted) : -1;
    if (at >= 0) (at === 0 ? first : then).push(name);
    else if (wanted && name.split(WORDS).some((word) => word && beginsSo(word, wanted))) spelled.push(name);
  }
  return [...first, ...then, ...spelled];
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
const WORDS = /[^\p{L}\p{M}\p{N}]+/u;
const IN_WORD = /[\p{L}\p{M}\p{N}]$/u;
