// The language of the page: its words, dates and lists.

import { settings } from "./settings.js";

/** @typedef {"ru" | "en"} Language */
/** @typedef {typeof import("./words/ru.js").ru} Words */

/** Which one was chosen by first.js. @type {Language} */
export let language = document.documentElement.lang === "ru" ? "ru" : "en";
/** The words. A live binding: it changes with the language. */
export let t = await wordsOf(language);

let hours = new Intl.DateTimeFormat("ru", { timeStyle: "short" });
let full = hours;
let day = hours;
let dayAndYear = hours;
let list = new Intl.ListFormat("ru");
let numbers = new Intl.NumberFormat("ru");
let ago = new Intl.RelativeTimeFormat("ru");

showDates();

/** @param {Language} next */
export async function setLanguage(next) {
  t = await wordsOf(next);
  language = next;
  settings.language = next;
  document.documentElement.lang = next;
  showDates();
}

/**
 * Puts the words where the markup asks for them: `data-t` for the text,
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

/** @param {number} timestamp of something that is over */
export function agoOf(timestamp) {
  const minutes = Math.max(0, Math.round((Date.now() / 1000 - timestamp) / 60));
  if (minutes < 60) return ago.format(-minutes, "minute");
  return minutes < 1440 ? ago.format(-Math.round(minutes / 60), "hour") : ago.format(-Math.round(minutes / 1440), "day");
}

/** @param {number} seconds until something */
export function soonOf(seconds) {
  const minutes = Math.max(1, Math.ceil(seconds / 60));
  return minutes < 90 ? ago.format(minutes, "minute") : ago.format(Math.ceil(minutes / 60), "hour");
}

/** @param {string[]} names */
export function listOf(names) {
  return list.format(names);
}

/** @param {number} number */
export function count(number) {
  return number > 999 ? "999+" : numbers.format(number);
}

/**
 * A room's title. Those of the eight that every server has are translated.
 * @param {string} title
 */
export function titleOf(title) {
  return (Object.hasOwn(t.roomTitles, title) && t.roomTitles[title]) || title;
}

/**
 * @param {Language} language
 * @returns {Promise<Words>}
 */
async function wordsOf(language) {
  return language === "ru" ? (await import("./words/ru.js")).ru : (await import("./words/en.js")).en;
}

function showDates() {
  // The browser's own variant, with its 12 or 24 hours.
  const locale = navigator.languages.find((tag) => tag.slice(0, 2).toLowerCase() === language) ?? language;
  hours = new Intl.DateTimeFormat(locale, { timeStyle: "short" });
  full = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "medium" });
  day = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" });
  dayAndYear = new Intl.DateTimeFormat(locale, { day: "numeric", month: "long", year: "numeric" });
  list = new Intl.ListFormat(locale);
  numbers = new Intl.NumberFormat(locale);
  ago = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
}

/** @param {string} key */
function word(key) {
  const found = /** @type {Record<string, unknown>} */ (t)[key];
  if (typeof found !== "string") {
    throw new Error(`no word for ${key}`);
  }
  return found;
}
