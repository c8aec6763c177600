// Whose chat this is: the title, the welcome, the picture and the colour that the server
// has. The browser keeps them for the next visit.

import { call } from "./api.js";
import { json, write } from "./settings.js";
import { t } from "./words.js";

/**
 * What anybody may know of the server. Older ones say less.
 * @typedef {object} ServerInfo
 * @property {string} title
 * @property {string} [welcome] lines that a visitor reads before signing in
 * @property {string} [accent] the name of a colour
 * @property {string} [logo] the address of a picture
 * @property {string} [registration] `open`, `closed` or `invite`
 * @property {number} [password_min_chars]
 * @property {string[]} [features]
 * @property {boolean} [setup] whether there is no administrator yet
 * @property {string} [sign_in_url] where users sign in instead of here
 */

/** What was known at the last visit, until the server answers. @type {ServerInfo | null} */
export let whose = json("server");

/**
 * Asks the server.
 * @returns {Promise<ServerInfo | null>} what is known by then
 */
export async function learnWhose() {
  asking ??= ask();
  await asking;
  return whose;
}

/** The name of this chat. */
export function chatTitle() {
  const { title } = whose ?? {};
  // A server to which nobody has given a name has this one.
  return !title || title === "Chat" ? t.chat : title;
}

async function ask() {
  try {
    whose = await call("/api/server");
    write("server", JSON.stringify(whose));
    document.documentElement.dataset.accent = whose?.accent ?? "";
  } catch {
    // It is asked again by whoever needs it next.
    asking = null;
  }
}

/** @type {Promise<void> | null} */
let asking = null;
