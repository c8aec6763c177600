// Which tabs are open, where the browser gives no locks: each tab notes in
// `localStorage` when it last looked.

import { keys, read, write } from "./settings.js";

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
  addEventListener("pagehide", ({ persisted }) => persisted || write(PREFIX + name, null));
  return true;
}

/** @param {string} own the name of this tab */
export async function openTabs(own) {
  note(own);
  const names = keys().flatMap((key) => (key.startsWith(PREFIX) ? [key.slice(PREFIX.length)] : []));
  const open = new Set(names.filter((name) => seenAt(name) > Date.now() - SEEN_WITHIN_MS));
  for (const name of names) {
    if (!open.has(name)) write(PREFIX + name, null);
  }
  return open;
}

/** @param {string} name */
function note(name) {
  write(PREFIX + name, String(Date.now()));
}

/** @param {string} name */
function seenAt(name) {
  return Number(read(PREFIX + name));
}

/** Before the name, in a key of `localStorage`. */
const PREFIX = "chat tab ";
/** The timers of a page in the background run once a minute. */
const SEEN_WITHIN_MS = 180_000;
