// Addresses of conversations and messages.

/** @typedef {import("./conversation.js").Key} Key */
/** @typedef {{ key: Key, seq: number }} Target `seq` is 0 for the conversation as a whole */

export const DEFAULT_ROOM = "default";
export const ROOM_NAME_MAX_CHARS = 64;
/** The longest name of a user. */
export const NAME_MAX_CHARS = 24;

/**
 * @param {{ pathname: string, hash: string }} url
 * @returns {Target | null} null where it names no conversation
 */
export function targetOf({ pathname, hash }) {
  const [, kind, escaped = "", ...rest] = pathname.split("/");
  const name = unescape(escaped);
  if ((kind === "r" || kind === "u") && rest.length === 0 && name !== null && isRoomName(name)) {
    return { key: kind === "r" ? `#${name}` : `@${name}`, seq: seqIn(hash) };
  }
  // Links to rooms had this form before `/r/…`.
  const old = pathname === "/" ? unescape(hash.slice(1)) : null;
  return old && isRoomName(old) ? { key: `#${old}`, seq: 0 } : null;
}

/**
 * @param {Key} key
 * @param {number} [seq]
 */
export function addressOf(key, seq = 0) {
  return `/${key.startsWith("#") ? "r" : "u"}/${encodeURIComponent(key.slice(1))}${seq > 0 ? `#${seq}` : ""}`;
}

/** @param {string} name */
export function isRoomName(name) {
  const chars = [...name].length;
  return name.trim() !== "" && chars <= ROOM_NAME_MAX_CHARS && !/\p{Cc}/u.test(name) && name.isWellFormed();
}

/** @param {string} hash */
function seqIn(hash) {
  const [, digits] = /^#(\d{1,15})$/.exec(hash) ?? [];
  return Number(digits ?? 0);
}

/** @param {string} escaped */
function unescape(escaped) {
  try {
    return decodeURIComponent(escaped);
  } catch {
    return null;
  }
}
