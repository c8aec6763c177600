// Emoji to choose from: what there is, what people search for, and what a user uses.
// No DOM.

import { folded } from "./text.js";

/** @typedef {{ emoji: string, rule: string, version: number, group: number, names: string[], words: string[] }} Emoji `rule`: where a skin tone stands; empty: it has none. `names`: in English and in Russian. `words`: all to find it by, folded */

/**
 * All emoji, from the vendored data.
 * @param {string[]} groups
 * @param {string[]} languages their words, in the same order
 * @returns {Emoji[]}
 */
export function emojiOf(groups, languages) {
  const words = languages.map((language) => language.split("|").map((line) => line.split(";")));
  const forms = groups.flatMap((forms, group) => forms.split(" ").map((form) => ({ form, group })));
  return forms.map(({ form, group }, index) => {
    const [, emoji = "", rule = "", version = "0"] = /^(.+?)([ab]?)(?:v([\d.]+))?$/u.exec(form) ?? [];
    const all = words.map((language) => language[index] ?? []);
    return { emoji, rule, version: Number(version), group, names: all.map(([name = ""]) => name), words: all.flat().map(plain) };
  });
}

/**
 * An emoji in a skin tone.
 * @param {Pick<Emoji, "emoji" | "rule">} emoji
 * @param {number} tone 1 to 5, from light to dark; 0: none
 */
export function inTone({ emoji, rule }, tone) {
  if (!rule || !tone) {
    return emoji;
  }
  const sign = String.fromCodePoint(0x1f3fa + tone);
  const first = emoji.replace(/^(.)\uFE0F?/u, `$1${sign}`);
  return rule === "a" ? first : first.replace(/(.)\uFE0F?$/u, `$1${sign}`);
}

/**
 * The emoji of which every searched word begins a word of theirs: first those whose
 * name, or whole word, it is.
 * @param {Emoji[]} all
 * @param {string} query
 * @param {number} [max]
 */
export function found(all, query, max = Infinity) {
  const wanted = plain(query).split(" ").filter(Boolean);
  if (wanted.length === 0) {
    return [];
  }
  const query1 = wanted.join(" ");
  /** @type {Emoji[][]} */
  const ranked = [[], [], []];
  for (const one of all) {
    if (one.emoji === query.trim()) ranked[0]?.push(one);
    else if (wanted.every((word) => one.words.some((words) => begins(words, word)))) {
      const rank = one.words.includes(query1) ? 0 : one.names.some((name) => plain(name).startsWith(query1)) ? 1 : 2;
      ranked[rank]?.push(one);
    }
  }
  return ranked.flat().slice(0, max);
}

/**
 * The name of an emoji that is being typed at the caret, behind a colon.
 * @param {string} text
 * @param {number} caret
 * @returns {{ from: number, to: number, query: string } | null}
 */
export function emojiAt(text, caret) {
  const typed = TYPED.exec(text.slice(Math.max(0, caret - TYPED_MAX_LENGTH), caret));
  const query = typed?.[1];
  return query ? { from: caret - query.length - 1, to: caret, query: query.replaceAll("_", " ") } : null;
}

/**
 * What a user has used last.
 * @param {string[]} used the latest first
 * @param {string} emoji
 */
export function withUse(used, emoji) {
  return [emoji, ...used].slice(0, USES_MAX);
}

/**
 * The emoji that a user uses most, and others where these are too few.
 * @param {string[]} used the latest first
 * @param {number} count
 */
export function favourites(used, count) {
  /** @type {Map<string, number>} */
  const uses = new Map();
  for (const emoji of used) uses.set(emoji, (uses.get(emoji) ?? 0) + 1);
  // The order of equals is that of the last use.
  const most = [...uses].sort(([, a], [, b]) => b - a).map(([emoji]) => emoji);
  return [...new Set([...most, ...USUAL])].slice(0, count);
}

/**
 * @param {string} words
 * @param {string} wanted
 */
function begins(words, wanted) {
  for (let at = words.indexOf(wanted); at >= 0; at = words.indexOf(wanted, at + 1)) {
    if (at === 0 || /[ :-]/.test(words[at - 1] ?? "")) return true;
  }
  return false;
}

/** @param {string} text */
function plain(text) {
  return folded(text).replaceAll("ё", "е").replaceAll("_", " ").trim();
}

/** What everybody uses. */
const USUAL = ["👍", "❤️", "😂", "🎉", "😮", "🙏", "👀", "🔥"];
/** Older uses no longer count. */
const USES_MAX = 60;
const TYPED = /(?:^|[\s\p{Ps}\p{Pi}])[:]([\p{L}+-][\p{L}\p{N}_+-]+)$/u;
const TYPED_MAX_LENGTH = 40;
