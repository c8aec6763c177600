// Files of messages: how they are shown, and which of them may be attached. Pure
// functions.

import { BASE } from "./address.js";

/** @typedef {import("./outbox.js").FileOf} FileOf */

/** @typedef {"picture" | "video" | "audio" | "card"} FileKind how a file is shown; a card can only be downloaded */

/**
 * @param {Pick<FileOf, "type" | "width" | "height">} file
 * @returns {FileKind}
 */
export function kindOf({ type, width, height }) {
  if (PICTURES.has(type)) return width && height ? "picture" : "card";
  if (VIDEOS.has(type)) return "video";
  return AUDIOS.has(type) ? "audio" : "card";
}

/**
 * The address of a file on the server.
 * @param {FileOf} file that is uploaded
 */
export function addressOfFile({ id = "", name }) {
  return `${BASE}/files/${id}/${encodeURIComponent(name)}`;
}

/**
 * The address of a picture as it is shown among messages: a small one, and one that may
 * move, is shown itself.
 * @param {FileOf} file
 * @param {boolean} mayMove whether pictures that move are wanted
 */
export function previewOf(file, mayMove) {
  const { type, size, width = 0, height = 0 } = file;
  const isSmall = size <= SMALL_BYTES && Math.max(width, height) <= PREVIEW_PX;
  const moves = type === "image/gif" && mayMove && size <= MOVING_MAX_BYTES && hasModestSize(file);
  return isSmall || moves ? addressOfFile(file) : `${addressOfFile(file)}?preview`;
}

/**
 * Whether a picture of which the server makes no preview is shown itself.
 * @param {FileOf} file
 */
export function isShownItself(file) {
  return file.size <= ORIGINAL_MAX_BYTES && hasModestSize(file);
}

/**
 * Whether a browser may decode a picture that nobody has asked for. A file of a few kilobytes may
 * have a thousand million pixels, four bytes each.
 * @param {FileOf} file
 */
function hasModestSize({ width = 0, height = 0 }) {
  return width * height <= PIXELS_MAX;
}

/**
 * The size of a picture that stands alone. A very long one is cut: what is left has at
 * least `SIDE_MIN_PX`.
 * @param {{ width?: number, height?: number }} picture
 * @returns {{ width: number, height: number }} CSS pixels
 */
export function boxOf({ width = 1, height = 1 }) {
  const scale = Math.min(1, BOX_WIDTH_PX / width, BOX_HEIGHT_PX / height);
  const side = (/** @type {number} */ length, /** @type {number} */ max) => Math.round(Math.min(max, Math.max(SIDE_MIN_PX, length * scale)));
  return { width: side(width, BOX_WIDTH_PX), height: side(height, BOX_HEIGHT_PX) };
}

/**
 * How many pictures stand side by side.
 * @param {number} count
 */
export function columnsOf(count) {
  return count === 1 ? 1 : count === 2 || count === 4 ? 2 : 3;
}

/**
 * The kind of a file for a reader: its extension, or what its type says.
 * @param {Pick<FileOf, "name" | "type">} file
 */
export function labelOf({ name, type }) {
  const [, extension = ""] = /\.([\p{L}\p{N}]{1,6})$/u.exec(name) ?? [];
  const [, subtype = ""] = type.split("/");
  return (extension || (subtype === "octet-stream" ? "" : subtype)).toUpperCase();
}

/**
 * A message in one line: its text, or how many pictures it has and the names of its other files.
 * @param {{ text: string, files?: FileOf[] }} message
 * @param {(n: number) => string} photos the words for some pictures
 */
export function summaryOf({ text, files = [] }, photos) {
  const others = files.filter((file) => kindOf(file) !== "picture");
  const pictures = files.length - others.length;
  return text || [...(pictures > 0 ? [photos(pictures)] : []), ...others.map(({ name }) => name)].join(", ");
}

/**
 * The name of a file that is to be attached, without what the server would take out of it
 * too: a path, control characters, and characters that turn the writing direction.
 * @param {string} name
 */
export function cleanName(name) {
  const cleaned = name.normalize("NFC").replace(/^.*[/\\]/, "").replace(/(?![\u200C\u200D])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "").toWellFormed().trim();
  return cleaned === "" || cleaned === "." || cleaned === ".." ? "file" : cleaned;
}

/**
 * Which files can be attached, and why others cannot.
 * @template {{ size: number }} F
 * @param {F[]} files
 * @param {number} attached how many there are already
 * @param {Record<string, number | undefined>} limits of the server
 * @returns {{ taken: F[], tooLarge: F[], isTooMany: boolean }}
 */
export function chosen(files, attached, { files_max: max = FILES_MAX, file_max_bytes: maxBytes = Infinity }) {
  const small = files.filter(({ size }) => size <= maxBytes);
  const taken = small.slice(0, Math.max(0, max - attached));
  return { taken, tooLarge: files.filter(({ size }) => size > maxBytes), isTooMany: taken.length < small.length };
}

/** What browsers show as pictures, and the server sends as such. */
const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
const VIDEOS = new Set(["video/mp4", "video/webm", "video/ogg", "video/quicktime"]);
const AUDIOS = new Set(["audio/mpeg", "audio/mp4", "audio/aac", "audio/ogg", "audio/opus", "audio/webm", "audio/wav", "audio/x-wav", "audio/flac", "audio/x-flac", "audio/m4a", "audio/x-m4a"]);
/** The longer side of a preview. */
const PREVIEW_PX = 720;
const SMALL_BYTES = 150_000;
const MOVING_MAX_BYTES = 6_000_000;
/** A picture without a preview is loaded itself up to this size. */
const ORIGINAL_MAX_BYTES = 6_000_000;
/** That of the server's `picture_pixels_max`. */
const PIXELS_MAX = 25_000_000;
const BOX_WIDTH_PX = 400;
const BOX_HEIGHT_PX = 320;
const SIDE_MIN_PX = 96;
/** Files of a message, where the server does not say how many. */
export const FILES_MAX = 10;
/** So many bytes of files are kept in the browser until they are sent. */
export const KEPT_MAX_BYTES = 100 * 1024 * 1024;
