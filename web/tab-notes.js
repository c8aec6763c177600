// Which tabs are open, where the browser gives no locks: each tab notes in
// `localStorage` when it last looked.

import { PREFIX, storage } from "./tabs.js";

/**
 * Shows the other tabs that this one is open, until its page is gone.
 * @param {string} name
 * @returns {Promise<boolean>} false if another tab has the name
 */
export async function hold(name) {
  if (seenAt(name) > Date.now() - SEEN_WITHIN_MS) {
    return false;
  }
  note(name);
  addEventListener("pagehide", ({ persisted }) => persisted || storage(() => localStorage.removeItem(PREFIX + name)));
  return true;
}

/** @param {string} own the name of this tab */
export async function openTabs(own) {
  note(own);
  const keys = storage(() => Object.keys(localStorage).filter((key) => key.startsWith(PREFIX))) ?? [];
  const names = keys.map((key) => key.slice(PREFIX.length));
  const open = new Set(names.filter((name) => seenAt(name) > Date.now() - SEEN_WITHIN_MS));
  for (const name of names) {
    if (!open.has(name)) storage(() => localStorage.removeItem(PREFIX + name));
  }
  return open;
}

/** @param {string} name */
function note(name) {
  storage(() => localStorage.setItem(PREFIX + name, String(Date.now())));
}

/** @param {string} name */
function seenAt(name) {
  return Number(storage(() => localStorage.getItem(PREFIX + name)));
}

/** The timers of a page in the background run once a minute. */
const SEEN_WITHIN_MS = 180_000;
