// Asks the server whose chat this is. The browser keeps the answer in its settings.

import { call } from "./api.js";
import { settings } from "./settings.js";

/**
 * What anybody may know of the server. Older ones say less.
 * @typedef {object} ServerInfo
 * @property {string} title
 * @property {string} [welcome] lines that a visitor reads before signing in
 * @property {string} [accent] the name of a colour
 * @property {string} [logo] the address of a picture
 * @property {string} [registration] `open`, `closed` or `invite`
 * @property {string} [room_creation] `everybody` or `administrators`
 * @property {number} [password_min_chars]
 * @property {string[]} [features]
 * @property {boolean} [setup] whether there is no administrator yet
 * @property {string} [sign_in_url] where users sign in instead of here
 * @property {string} [sign_in_with] the name of the OpenID provider that signs users in
 * @property {boolean} [passwords] whether users have passwords here
 */

/**
 * Asks the server, unless it has answered in this page.
 * @returns {Promise<ServerInfo | null>} what is known by then
 */
export async function learnWhose() {
  // If it fails, the next one who needs it asks again.
  asking ??= learnAnew().catch(() => (asking = null));
  await asking;
  return settings.server;
}

/** Asks the server, and shows its colour. */
export async function learnAnew() {
  settings.server = await call("/api/server");
  document.documentElement.dataset.accent = settings.server?.accent ?? "";
}

/** @type {Promise<unknown> | null} */
let asking = null;
