// The pieces of a message: text, links, mentions and code. A message is only cut
// into pieces; nothing in it becomes markup.

import { NAME_MAX_CHARS } from "./address.js";

/**
 * @typedef {{ kind: "text" | "code" | "block", text: string }
 *   | { kind: "link", text: string, href: string }
 *   | { kind: "mention", text: string, name: string }} Piece
 */

/** @typedef {{ names: Map<string, string>, lengths: number[] }} Known names by their folded form, and the lengths of these, the longest first */

/**
 * @param {string} text
 * @param {Iterable<string>} [names] of users who may be mentioned in it; of two that fold to the same, the last counts
 * @returns {Piece[]}
 */
export function piecesOf(text, names = []) {
  // Most messages mention nobody: they need no list of names.
  const known = knownOf(text.includes("@") ? names : []);
  /** @type {Piece[]} */
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(CODE)) {
    pieces.push(...linksIn(text.slice(end, match.index), known));
    const [whole, block, code] = match;
    pieces.push(block !== undefined ? { kind: "block", text: block } : { kind: "code", text: code ?? "" });
    end = match.index + whole.length;
  }
  pieces.push(...linksIn(text.slice(end), known));
  return pieces;
}

/**
 * The pieces of a text in which nothing is code: together they are the text.
 * @param {string} text
 * @param {Iterable<string>} names
 */
export function plainPiecesOf(text, names) {
  return linksIn(text, knownOf(text.includes("@") ? names : []));
}

/**
 * Whether a text consists of a few emoji, which are then shown large.
 * @param {string} text
 */
export function isEmojiAlone(text) {
  return text.length <= 100 && EMOJI_ALONE.test(text);
}

/**
 * Whether a text mentions a user.
 * @param {string} text
 * @param {string} name
 * @param {Iterable<string>} [names] all names that may be mentioned: a longer one may begin with `name`
 */
export function mentions(text, name, names = [name]) {
  return text.includes("@") && piecesOf(text, names).some((piece) => piece.kind === "mention" && piece.name === name);
}

/**
 * What is sent for a text: the users that it mentions, which the server finds in it
 * only as they spell themselves.
 * @param {string} text
 * @param {object} people
 * @param {Iterable<string>} people.names of users who may be mentioned
 * @param {boolean} people.mentionAll whether `@all` means every member
 * @param {number} people.max how many users a message may mention
 * @returns {{ text: string, mentions?: string[], mentionAll?: boolean }} without what is empty
 */
export function mentionedIn(text, { names, mentionAll, max }) {
  const found = new Set();
  for (const piece of piecesOf(text, mentionAll ? [...names, EVERYBODY] : names)) {
    if (piece.kind === "mention") {
      found.add(piece.name);
      const exact = `@${piece.name}`;
      if (!text.includes(exact)) text = text.replace(piece.text, () => exact);
    }
  }
  const isAll = mentionAll && found.delete(EVERYBODY);
  return { text, ...(found.size > 0 && { mentions: [...found].slice(0, max) }), ...(isAll && { mentionAll: true }) };
}

/**
 * The form of a name in which names are compared: NFC and lower case. It does not
 * depend on the language of the browser, as a text must mention the same users
 * everywhere, nor on the letters that follow, as the lower case of a sigma does.
 * @param {string} text
 */
export function folded(text) {
  return text.normalize("NFC").toLowerCase().replaceAll("ς", "σ");
}

/**
 * The length of a text as the server counts it: trimmed, and in characters, while
 * `length` counts most emoji twice.
 * @param {string} text
 */
export function charsOf(text) {
  let chars = 0;
  for (const _ of text.trim()) {
    chars += 1;
  }
  return chars;
}

/**
 * The parts of a long address: its beginning, what is not shown, and its end.
 * @param {string} address
 * @returns {[string, string, string] | null} null where the address is short
 */
export function cutOf(address) {
  const chars = [...address];
  const end = chars.length - CUT_END;
  return chars.length > CUT_FROM ? [chars.slice(0, CUT_START).join(""), chars.slice(CUT_START, end).join(""), chars.slice(end).join("")] : null;
}

/**
 * Whether a text fills more lines than a message shows at once.
 * @param {string} text
 * @param {number} perLine about how many characters fit into a line
 */
export function isLong(text, perLine) {
  const lines = text.split("\n", LINES_MAX + 1);
  return lines.reduce((sum, { length }) => sum + Math.max(1, Math.ceil(length / perLine)), 0) > LINES_MAX;
}

/**
 * @param {Iterable<string>} names
 * @returns {Known}
 */
function knownOf(names) {
  const known = new Map(Array.from(names, (name) => [folded(name), name]));
  const lengths = new Set(Array.from(known.keys(), ({ length }) => length));
  return { names: known, lengths: [...lengths].sort((a, b) => b - a) };
}

/**
 * @param {string} text
 * @param {Known} known
 * @returns {Piece[]}
 */
function linksIn(text, known) {
  /** @type {Piece[]} */
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const link = withoutTail(match[0]);
    const href = hrefOf(link);
    if (href === null) {
      continue;
    }
    pieces.push(...mentionsIn(text.slice(end, match.index), known), { kind: "link", text: link, href });
    end = match.index + link.length;
  }
  pieces.push(...mentionsIn(text.slice(end), known));
  return pieces;
}

/**
 * @param {string} text
 * @param {Known} known
 * @returns {Piece[]}
 */
function mentionsIn(text, { names, lengths }) {
  /** @type {Piece[]} */
  const pieces = [];
  let end = 0;
  for (const { index } of names.size > 0 ? text.matchAll(AT) : []) {
    // One look-up of all that may belong to a name: mostly no name begins like it,
    // and a message of nothing but `@` must not keep every page busy.
    const ahead = folded(text.slice(index + 1, index + 1 + NAME_MAX_LENGTH));
    const longest = lengths.find((length) => names.has(ahead.slice(0, length))) ?? 0;
    const reach = Math.min(longest * UNFOLDED_MAX, NAME_MAX_LENGTH, text.length - index - 1);
    // The longest name first: a name may begin with another.
    for (let to = index + 1 + reach; to > index + 1 && index >= end; to -= 1) {
      const name = names.get(folded(text.slice(index + 1, to)));
      if (name && !IN_WORD.test(text.slice(to))) {
        if (index > end) {
          pieces.push({ kind: "text", text: text.slice(end, index) });
        }
        pieces.push({ kind: "mention", text: text.slice(index, to), name });
        end = to;
      }
    }
  }
  if (end < text.length) {
    pieces.push({ kind: "text", text: text.slice(end) });
  }
  return pieces;
}

/**
 * A link without the punctuation that ends its sentence, and without a closing
 * bracket that was opened before the link.
 * @param {string} link
 */
function withoutTail(link) {
  /** How many more closing than opening brackets there are, by closing bracket. @type {Map<string, number>} */
  const excess = new Map();
  let to = link.length;
  for (; to > 0; to -= 1) {
    const last = link[to - 1] ?? "";
    const opening = BRACKETS.get(last);
    if (opening) {
      // Counted once for each kind: every bracket that is cut off is one less.
      const left = excess.get(last) ?? count(link, last) - count(link, opening);
      if (left <= 0) {
        break;
      }
      excess.set(last, left - 1);
    } else if (!ENDS.includes(last)) {
      break;
    }
  }
  return link.slice(0, to);
}

/**
 * @param {string} link
 * @returns the address, if it is one of the web without a name and a password
 */
export function hrefOf(link) {
  try {
    const url = new URL(link);
    const isPlain = (url.protocol === "https:" || url.protocol === "http:") && !url.username && !url.password;
    return isPlain && url.hostname ? url.href : null;
  } catch {
    return null;
  }
}

/**
 * @param {string} text
 * @param {string} char
 */
function count(text, char) {
  return text.split(char).length - 1;
}

/** An address with more characters is cut in the middle; so many are left of its beginning and of its end. */
const CUT_FROM = 64;
const CUT_START = 36;
const CUT_END = 20;
/** A longer message begins folded. */
const LINES_MAX = 20;
/** Behind an `@`, it stands for every member of the room. */
export const EVERYBODY = "all";
/** Code: lines of it (1), or some words (2). */
export const CODE = /\x60{3}(?:[a-z0-9+#-]*\n)?([\s\S]+?)\n?\x60{3}\n?|\x60([^\x60\n]+)\x60/g;
// Bidi controls could make a link look like another.
const LINK = /(?<![\p{L}\p{N}])https?:\/\/[^\s<>"\x60\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]+/giu;
/** An `@` that may begin a mention, and is not in an e-mail address. */
const AT = /(?<![\p{L}\p{M}\p{N}_])@/gu;
const IN_WORD = /^[\p{L}\p{M}\p{N}_]/u;
/** Each character of a name may be a pair of surrogates. */
const NAME_MAX_LENGTH = 2 * NAME_MAX_CHARS;
/** How many times longer NFD may be than NFC, in UTF-16 code units. */
const UNFOLDED_MAX = 4;
const EMOJI_ALONE = /^(?:\p{RGI_Emoji}\uFE0F?\s*){1,4}$/v;
const ENDS = ".,:;!?…'\"*_~»";
const BRACKETS = new Map([
  [")", "("],
  ["]", "["],
  ["}", "{"],
]);
