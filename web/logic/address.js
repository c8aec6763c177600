// Addresses of conversations and messages.

/** @typedef {import("./conversation.js").Key} Key */
/** @typedef {{ key: Key, seq: number }} Target `seq` is 0 for the conversation as a whole */

export const DEFAULT_ROOM = "default";
export const ROOM_NAME_MAX_CHARS = 64;
/** The longest name of a user. */
export const NAME_MAX_CHARS = 24;

/** The path below which the server has the chat: empty, or such as `/chat`. */
export const BASE = baseOf(import.meta.url);
/** The address of the chat without a conversation. */
export const ROOT = `${BASE}/`;

/**
 * @param {string} module the address of one, which is `<base>/assets/<version>/…`
 */
export function baseOf(module) {
  const [, base = ""] = /^https?:\/\/[^/]+(.*?)\/assets\//.exec(module) ?? [];
  return base;
}

/**
 * @param {string} pathname
 * @param {string} [base]
 * @returns {string | null} the path below the base, or null where it is not of this chat
 */
export function below(pathname, base = BASE) {
  if (pathname === base) return "/";
  return pathname.startsWith(`${base}/`) ? pathname.slice(base.length) : null;
}

/**
 * @param {{ pathname: string, hash: string }} url
 * @param {string} [base]
 * @returns {Target | null} null where it names no conversation
 */
export function targetOf({ pathname, hash }, base = BASE) {
  const path = below(pathname, base) ?? "";
  const [, kind, escaped = "", ...rest] = path.split("/");
  const name = unescape(escaped);
  if ((kind === "r" || kind === "u") && rest.length === 0 && name !== null && isRoomName(name)) {
    return { key: kind === "r" ? `#${name}` : `@${name}`, seq: seqIn(hash) };
  }
  // Links to rooms had this form before `/r/…`.
  const old = path === "/" ? unescape(hash.slice(1)) : null;
  return old && isRoomName(old) ? { key: `#${old}`, seq: 0 } : null;
}

/**
 * @param {Key} key
 * @param {number} [seq]
 */
export function addressOf(key, seq = 0) {
  return `${BASE}/${key.startsWith("#") ? "r" : "u"}/${encodeURIComponent(key.slice(1))}${seq > 0 ? `#${seq}` : ""}`;
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
