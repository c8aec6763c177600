// What is in a message: text, links and code. What people wrote is only ever
// cut into pieces; nothing in it becomes markup.

/**
 * @typedef {{ kind: "text" | "code" | "block", text: string }
 *   | { kind: "link", text: string, href: string }} Piece
 */

/**
 * @param {string} text
 * @returns {Piece[]}
 */
export function piecesOf(text) {
  /** @type {Piece[]} */
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(CODE)) {
    pieces.push(...linksIn(text.slice(end, match.index)));
    const [whole, block, code] = match;
    pieces.push(block !== undefined ? { kind: "block", text: block } : { kind: "code", text: code ?? "" });
    end = match.index + whole.length;
  }
  pieces.push(...linksIn(text.slice(end)));
  return pieces;
}

/**
 * Whether it is nothing but a few emoji, which are then shown large.
 * @param {string} text
 */
export function isEmojiAlone(text) {
  return text.length <= 100 && EMOJI_ALONE.test(text);
}

/**
 * Whether somebody is named in it.
 * @param {string} text
 * @param {string} name
 */
export function mentions(text, name) {
  const said = text.toLowerCase();
  const wanted = `@${name.toLowerCase()}`;
  for (let at = said.indexOf(wanted); at >= 0; at = said.indexOf(wanted, at + 1)) {
    const before = said.slice(0, at);
    const after = said.slice(at + wanted.length);
    if (!/[\p{L}\p{N}_]$/u.test(before) && !/^[\p{L}\p{N}_]/u.test(after)) {
      return true;
    }
  }
  return false;
}

/**
 * As the server counts: trimmed, and in characters, where `length` counts most
 * emoji twice.
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
 * @param {string} text
 * @returns {Piece[]}
 */
function linksIn(text) {
  /** @type {Piece[]} */
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const link = withoutTail(match[0]);
    const href = hrefOf(link);
    if (href === null) {
      continue;
    }
    if (match.index > end) {
      pieces.push({ kind: "text", text: text.slice(end, match.index) });
    }
    pieces.push({ kind: "link", text: link, href });
    end = match.index + link.length;
  }
  if (end < text.length) {
    pieces.push({ kind: "text", text: text.slice(end) });
  }
  return pieces;
}

/**
 * What ends the sentence is no part of the link, and neither is a bracket that
 * was opened before it.
 * @param {string} link
 */
function withoutTail(link) {
  for (;;) {
    const last = link.at(-1) ?? "";
    const opening = BRACKETS.get(last);
    if (".,:;!?…'\"*_~».".includes(last) || (opening && count(link, opening) < count(link, last))) {
      link = link.slice(0, -1);
    } else {
      return link;
    }
  }
}

/** @param {string} link */
function hrefOf(link) {
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

const CODE = /\x60{3}(?:[a-z0-9+#-]*\n)?([\s\S]+?)\n?\x60{3}\n?|\x60([^\x60\n]+)\x60/g;
// Bidi controls could make a link look like another.
const LINK = /(?<![\p{L}\p{N}])https?:\/\/[^\s<>"\x60\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]+/giu;
const EMOJI_ALONE = /^(?:\p{RGI_Emoji}\uFE0F?\s*){1,4}$/v;
const BRACKETS = new Map([
  [")", "("],
  ["]", "["],
  ["}", "{"],
]);
