// What a search looks for, and where a text has it. The server decides which messages
// are found; this shows in them why.

/**
 * @typedef {object} Query
 * @property {string[][]} phrases words that stand side by side, as `comparable` has them; often only one
 * @property {boolean} isOpen whether the last word may be the beginning of one
 */

/** @typedef {{ text: string, isFound: boolean }} Piece */

/** @typedef {{ kind: "in" | "from", text: string, start: number }} Filter a filter that is being typed: `in:gen` */

/**
 * @param {string} text
 * @returns {Query}
 */
export function queryOf(text) {
  /** @type {string[][]} */
  const phrases = [];
  for (const [index, part] of text.split(QUOTES).entries()) {
    const words = wordsOf(part).map(({ word }) => word);
    if (index % 2 === 0) phrases.push(...words.map((word) => [word]));
    else if (words.length > 0) phrases.push(words);
  }
  return { phrases, isOpen: !/[\s"«»“”„]$/.test(text) };
}

/**
 * The pieces of a text: together they are the text.
 * @param {string} text
 * @param {Query} query
 * @returns {Piece[]}
 */
export function foundIn(text, { phrases, isOpen }) {
  const words = wordsOf(text);
  const isMarked = new Set();
  for (const [number, phrase] of phrases.entries()) {
    const isLast = isOpen && number === phrases.length - 1;
    for (let at = 0; at + phrase.length <= words.length; at += 1) {
      const fits = phrase.every((wanted, i) => {
        const word = words[at + i]?.word ?? "";
        return isLast && i === phrase.length - 1 ? word.startsWith(wanted) : word === wanted;
      });
      for (let i = 0; fits && i < phrase.length; i += 1) isMarked.add(at + i);
    }
  }
  /** @type {Piece[]} */
  const pieces = [];
  let end = 0;
  for (const [index, { start, end: wordEnd }] of words.entries()) {
    if (isMarked.has(index)) {
      if (start > end) pieces.push({ text: text.slice(end, start), isFound: false });
      pieces.push({ text: text.slice(start, wordEnd), isFound: true });
      end = wordEnd;
    }
  }
  if (end < text.length || pieces.length === 0) pieces.push({ text: text.slice(end), isFound: false });
  return pieces;
}

/**
 * The part of a long text around what is found in it.
 * @param {Piece[]} pieces
 * @returns {Piece[]}
 */
export function excerpt(pieces) {
  const first = pieces.findIndex(({ isFound }) => isFound);
  const before = pieces.slice(0, Math.max(0, first)).reduce((sum, { text }) => sum + text.length, 0);
  const cut = before > BEFORE_MAX_CHARS ? before - BEFORE_CHARS : 0;
  /** @type {Piece[]} */
  const shown = [];
  let at = 0;
  for (const { text, isFound } of pieces) {
    const [from, to] = [Math.max(0, cut - at), Math.min(text.length, cut + EXCERPT_MAX_CHARS - at)];
    at += text.length;
    if (to > from) shown.push({ text: wellFormed(text.slice(from, to)), isFound });
  }
  if (cut > 0) shown.unshift({ text: "… ", isFound: false });
  if (at > cut + EXCERPT_MAX_CHARS) shown.push({ text: " …", isFound: false });
  return shown;
}

/**
 * The filter at the end of what is typed.
 * @param {string} text
 * @returns {Filter | null}
 */
export function filterIn(text) {
  const match = FILTER.exec(text);
  const [, sign = "", name = "", , typed = ""] = match ?? [];
  if (!match) return null;
  return { kind: /^(?:in|в)$/i.test(name) ? "in" : "from", text: typed, start: match.index + sign.length };
}

/**
 * A text without case, width and accents, as the server compares words. `й` stays.
 * @param {string} text
 */
export function comparable(text) {
  return text
    .normalize("NFKD")
    .toUpperCase()
    .toLowerCase()
    .replace(/(и)\u0306|[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u00ad\u200c-\u200f\ufe00-\ufe0f]/g, (_, letter) => (letter ? "й" : ""))
    .replaceAll("ς", "σ");
}

/**
 * @param {string} text
 * @returns {{ word: string, start: number, end: number }[]}
 */
function wordsOf(text) {
  const words = [];
  for (const { segment, index, isWordLike } of SEGMENTS.segment(text)) {
    for (const match of isWordLike ? segment.matchAll(/[\p{L}\p{N}\p{M}\u00ad\u200c-\u200f]+/gu) : []) {
      const start = index + match.index;
      const word = comparable(match[0]);
      if (word) words.push({ word, start, end: start + match[0].length });
    }
  }
  return words;
}

/** @param {string} text perhaps with half a character at its ends */
function wellFormed(text) {
  return text.replace(/^[\udc00-\udfff]|[\ud800-\udbff]$/g, "");
}

const SEGMENTS = new Intl.Segmenter("en", { granularity: "word" });
const QUOTES = /["«»“”„]/;
/** A filter has its name in English or in Russian. */
const FILTER = /(^|\s)(in|from|в|от):(\s*)([^:]{0,64})$/iu;
/** What is found stands within this many characters of an excerpt, or the excerpt begins later. */
const BEFORE_MAX_CHARS = 90;
const BEFORE_CHARS = 40;
const EXCERPT_MAX_CHARS = 240;
