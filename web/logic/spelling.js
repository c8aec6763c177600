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
 * A text in the other script, as a server may have it that compares letters only: one
 * spelling of several. Empty where nothing in it has another one.
 * @param {string} text
 */
export function inOtherScript(text) {
  const plain = folded(text);
  const other = CYRILLIC.test(plain) ? plain.replace(CYRILLIC_ALL, (letter) => LATIN_OF[letter] ?? letter) : plain.replace(LATIN_PARTS, (part) => CYRILLIC_OF[part] ?? part);
  return other === plain ? "" : other;
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
const CYRILLIC = /[а-яёєіїґ]/;
const CYRILLIC_ALL = /[а-яёєіїґ]/g;
const LATIN_PARTS = /shch|sch|sh|ch|zh|kh|ts|tz|yu|ju|ya|ja|yo|jo|ye|je|ph|ck|[a-z]/g;
