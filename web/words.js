// The language of the page: its words, and the formats of dates, lists and numbers.

import { settings } from "./settings.js";

/** @typedef {typeof import("./words/ru/first.js").first & typeof import("./words/ru/later.js").later & typeof import("./words/ru/administration.js").administration} Words */

/** The language of the page, at first the one that `first.js` has chosen: the name of a folder or file of `words`. */
export let language = document.documentElement.lang;
/** Whether the words are wanted that the first view of the chat does without. */
let isLaterWanted = false;
/** Ends when all words are there that were wanted. @type {Promise<void>} */
let loading = Promise.resolve();
/** The words. A live binding: it changes with the language, and when more words come. */
export let t = await wordsOf(language);

let hours = new Intl.DateTimeFormat("ru", { timeStyle: "short" });
let full = hours;
let day = hours;
let dayAndYear = hours;
let list = new Intl.ListFormat("ru");
let numbers = new Intl.NumberFormat("ru");

showDates();

/** @param {string} next */
export async function setLanguage(next) {
  await load(next);
  settings.language = next;
  document.documentElement.lang = next;
  showDates();
}

/** Loads the words of the door and of what opens above the chat, and puts them into the page. */
export async function wantLaterWords() {
  if (!isLaterWanted || !("signIn" in t)) {
    isLaterWanted = true;
    await load();
    translate(document);
  }
}

/**
 * Loads the words of a language, once all earlier loads are done.
 * @param {string} [next]
 */
function load(next) {
  loading = loading
    .catch(() => {})
    .then(async () => {
      t = await wordsOf(next ?? language);
      language = next ?? language;
    });
  return loading;
}

/**
 * Puts the words into elements that name them: `data-t` for the text,
 * `data-t-label`, `data-t-title` and `data-t-placeholder` for attributes.
 * @param {ParentNode} root
 */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-t], [data-t-label], [data-t-title], [data-t-placeholder]")) {
    if (!(element instanceof HTMLElement)) {
      continue;
    }
    const { t: text, tLabel, tTitle, tPlaceholder } = element.dataset;
    if (text) element.textContent = word(text);
    if (tLabel) element.ariaLabel = word(tLabel);
    if (tTitle) element.title = word(tTitle);
    if (tPlaceholder) element.setAttribute("placeholder", word(tPlaceholder));
  }
}

/** @param {number} timestamp Unix seconds */
export function timeOf(timestamp) {
  return hours.format(timestamp * 1000);
}

/** @param {number} timestamp */
export function fullTimeOf(timestamp) {
  return full.format(timestamp * 1000);
}

/** @param {number} timestamp */
export function dayOf(timestamp) {
  const date = new Date(timestamp * 1000);
  const now = new Date();
  // By the calendar: a day may have 23 hours, or 25.
  const dayBefore = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1);
  if (date.toDateString() === now.toDateString()) return t.today;
  if (date.toDateString() === dayBefore.toDateString()) return t.yesterday;
  return (date.getFullYear() === now.getFullYear() ? day : dayAndYear).format(date);
}

/** @param {string[]} names */
export function listOf(names) {
  return list.format(names);
}

/** @param {number} number */
export function count(number) {
  return number > 999 ? "999+" : numbers.format(number);
}

/** The name of this chat. */
export function chatTitle() {
  const { title } = settings.server ?? {};
  // A server to which nobody has given a name has this one.
  return !title || title === "Chat" ? t.chat : title;
}

/**
 * The title of a room. The titles that the server gives to its own rooms are translated.
 * @param {string} name
 * @param {string} title empty while it is not known
 */
export function titleOf(name, title) {
  const builtIn = `${name} ${title}`;
  // The name of a closed room says nothing to a reader.
  return (Object.hasOwn(t.roomTitles, builtIn) && t.roomTitles[builtIn]) || title || (name.startsWith("~") ? t.lockedRoom : name);
}

/**
 * The title of a room whose name is not known: that of an invitation.
 * @param {string} title
 */
export function titleAlone(title) {
  const builtIn = Object.keys(t.roomTitles).find((key) => key.slice(key.indexOf(" ") + 1) === title);
  return (title && builtIn && t.roomTitles[builtIn]) || title;
}

/**
 * @param {string} language
 * @returns {Promise<Words>} without the later ones until they are wanted
 */
async function wordsOf(language) {
  const [first, later] = await Promise.all([partOf(language, "first"), isLaterWanted ? partOf(language, "later") : {}]);
  return { ...first, ...later };
}

/**
 * A part of the words of a language: the folder of a language has a file for each, so that
 * the first view loads only what it needs; a language of which all is in one file has it there.
 * @param {string} language
 * @param {"first" | "later" | "administration"} part
 */
export async function partOf(language, part) {
  const isWhole = document.getElementById(`${language}-code`)?.dataset.words === "whole";
  return (await import(isWhole ? `./words/${language}.js` : `./words/${language}/${part}.js`))[part];
}

/** The browser's own variant of the language, with its 12 or 24 hours. */
export function localeOf() {
  return navigator.languages.find((tag) => tag.slice(0, 2).toLowerCase() === language) ?? language;
}

function showDates() {
  const locale = localeOf();
  hours = new Intl.DateTimeFormat(locale, { timeStyle: "short" });
  full = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "medium" });
  day = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" });
  dayAndYear = new Intl.DateTimeFormat(locale, { day: "numeric", month: "long", year: "numeric" });
  list = new Intl.ListFormat(locale);
  numbers = new Intl.NumberFormat(locale);
}

/**
 * @param {string} key
 * @returns {string} empty until the later words are there
 */
function word(key) {
  const found = /** @type {Record<string, unknown>} */ (t)[key];
  return typeof found === "string" ? found : "";
}
