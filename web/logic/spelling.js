// Names in Cyrillic letters and in Latin ones: a name is found however it is spelled.

import { folded } from "./text.js";

/**
 * Whether a text has what is wanted, in the same letters or in those of the other
 * script: `ma` is in Мария, and `ма` in Maria.
 * @param {string} text
 * @param {string} wanted
 */
export function hasSpelling(text, wanted) {
  if (lettersOf(text).includes(lettersOf(wanted))) return true;
  const sound = hasOtherLetters(text, wanted) ? soundOf(wanted) : "";
  return sound !== "" && soundOf(text).includes(sound);
}

/**
 * Whether a text begins so, in either script.
 * @param {string} text
 * @param {string} wanted
 */
export function beginsSo(text, wanted) {
  return lettersOf(text).startsWith(lettersOf(wanted)) || (hasOtherLetters(text, wanted) && soundOf(text).startsWith(soundOf(wanted)));
}

/**
 * Whether a text has letters of the script in which what is wanted is not.
 * @param {string} text
 * @param {string} wanted
 */
function hasOtherLetters(text, wanted) {
  return (CYRILLIC.test(folded(wanted)) ? /[a-z]/ : CYRILLIC).test(folded(text));
}

/**
 * What to ask a server for that compares letters, so that it finds a name which is spelled
 * in the other script: the usual spelling of the text there, and beginnings that sound
 * like its own. More than what is wanted begins so: `hasSpelling` tells.
 * @param {string} text
 * @returns {string[]} empty where nothing in the text has another spelling
 */
export function inOtherScript(text) {
  const plain = folded(text);
  const isCyrillic = CYRILLIC.test(plain);
  const usual = isCyrillic ? plain.replace(CYRILLIC_ALL, (letter) => LATIN_OF[letter] ?? letter) : plain.replace(LATIN_PARTS, (part) => CYRILLIC_OF[part] ?? part);
  return usual === plain ? [] : [...new Set([usual, ...beginningsOf(soundOf(text), isCyrillic ? LATIN : RUSSIAN)])].filter(Boolean);
}

/**
 * One or two letters with which a name begins that sounds so, the likeliest first: a name
 * that sounds like `iulia` begins with Юл.
 * @param {string} sound
 * @param {string} alphabet
 */
function beginningsOf(sound, alphabet) {
  const all = beginnings.get(alphabet) ?? allBeginnings(alphabet);
  beginnings.set(alphabet, all);
  const fitting = all.filter((one) => sound.startsWith(one.sound) || (one.letters.length === 1 && sound !== "" && one.sound.startsWith(sound)));
  // What begins with two letters is found by the first one, too, among much else.
  const best = fitting.filter(({ letters }) => letters.length > 1 || !fitting.some((other) => other.letters !== letters && other.letters.startsWith(letters)));
  const covered = (/** @type {Beginning} */ one) => Math.min(one.sound.length, sound.length);
  return best.sort((a, b) => covered(b) - covered(a) || a.letters.length - b.letters.length || a.rank - b.rank).slice(0, BEGINNINGS_MAX).map(({ letters }) => letters);
}

/** @typedef {{ letters: string, sound: string, rank: number }} Beginning `rank`: less for usual letters */

/**
 * @param {string} alphabet
 * @returns {Beginning[]}
 */
function allBeginnings(alphabet) {
  const single = [...alphabet].map((letter, rank) => ({ letters: letter, sound: soundOf(letter), rank }));
  const pairs = single.flatMap((a) => single.filter((b) => b !== a).map((b) => ({ letters: a.letters + b.letters, sound: soundOf(a.letters + b.letters), rank: a.rank + b.rank, apart: a.sound + b.sound })));
  // Letters of Russian do not change each other's sound: сш is no way to spell ш.
  return [...single, ...pairs.filter(({ sound, apart }) => alphabet === LATIN || sound === apart)];
}

/** @param {string} text */
function lettersOf(text) {
  return folded(text).replaceAll("ё", "е");
}

/**
 * A text in Latin letters, in which spellings of one name are alike: Юлия, Yulia and
 * Julia.
 * @param {string} text
 */
function soundOf(text) {
  return folded(text)
    .normalize("NFKD")
    .replace(/и\u0306/g, "и")
    .replace(/\p{M}/gu, "")
    .replace(CYRILLIC_ALL, (letter) => LATIN_OF[letter] ?? letter)
    .replace(/shch|sch/g, "sh")
    .replace(/ph/g, "f")
    .replace(/kh/g, "h")
    // Capital letters stand for sounds without a letter of their own.
    .replace(/tz|ts|c(?=[eiy])/g, "C")
    .replace(/ch/g, "H")
    .replace(/ck|[cq]/g, "k")
    .replace(/x/g, "ks")
    .replace(/w/g, "v")
    .replace(/[yj]e|[yj]o/g, "e")
    .replace(/[yj]/g, "i")
    .replace(/(.)\1+/gu, "$1");
}

/** The usual spelling of each letter. @type {Record<string, string>} */
const LATIN_OF = {
  а: "a", б: "b", в: "v", г: "g", ґ: "g", д: "d", е: "e", ё: "yo", є: "ye", ж: "zh", з: "z", и: "i", і: "i", ї: "yi", й: "y", к: "k", л: "l", м: "m", н: "n",
  о: "o", п: "p", р: "r", с: "s", т: "t", у: "u", ф: "f", х: "kh", ц: "ts", ч: "ch", ш: "sh", щ: "shch", ъ: "", ы: "y", ь: "", э: "e", ю: "yu", я: "ya",
};
/** @type {Record<string, string>} */
const CYRILLIC_OF = {
  shch: "щ", sch: "щ", sh: "ш", ch: "ч", zh: "ж", kh: "х", ts: "ц", tz: "ц", yu: "ю", ju: "ю", ya: "я", ja: "я", yo: "ё", jo: "ё", ye: "е", je: "е", ph: "ф", ck: "к",
  a: "а", b: "б", c: "к", d: "д", e: "е", f: "ф", g: "г", h: "х", i: "и", j: "й", k: "к", l: "л", m: "м", n: "н", o: "о", p: "п", q: "к", r: "р", s: "с", t: "т",
  u: "у", v: "в", w: "в", x: "кс", y: "й", z: "з",
};
/** The letters of either script, the usual ones first. */
const RUSSIAN = "аеионтсрлвкмдпуязбгчхжюшцщэфёйы";
const LATIN = "aeinorstlducmkvpgbhfzywxjq";
/** By alphabet: made when the first is needed. @type {Map<string, Beginning[]>} */
const beginnings = new Map();
/** Each is a request. */
const BEGINNINGS_MAX = 3;
const CYRILLIC = /[а-яёєіїґ]/;
const CYRILLIC_ALL = /[а-яёєіїґ]/g;
const LATIN_PARTS = /shch|sch|sh|ch|zh|kh|ts|tz|yu|ju|ya|ja|yo|jo|ye|je|ph|ck|[a-z]/g;
