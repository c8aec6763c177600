// What a browser keeps of an account, so that it can be shown before the server
// answers: the list of rooms and people, and the last messages of each conversation.
// Which part of it is kept, what is shown of it, and what must go. No storage.

import { applied } from "./changes.js";
import { RESUMED_MAX } from "./client.js";

/** @typedef {import("./account.js").Place} Place */
/** @typedef {import("./client.js").Client} Client */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./conversation.js").Entry} Entry */
/** @typedef {import("./conversation.js").Key} Key */

/**
 * The last messages of a conversation. *Invariant*: they are as the changes up to
 * `upto`, and perhaps some later ones, have made them.
 * @typedef {Head & { from: number, hasOlder: boolean, messages: Entry[] }} Kept `from`: the first number that `messages` covers
 */

/**
 * What is known of kept messages without reading them.
 * @typedef {object} Head
 * @property {Key} key
 * @property {string} epoch the numbering that the numbers belong to
 * @property {number} upto the last number that the messages cover
 * @property {number} bytes about how much they take
 * @property {number} at when they were last kept, Unix milliseconds
 */

/** @typedef {{ places: Omit<Place, "news">[], features: string[] }} List the rooms and people of the account */

/**
 * The last messages of a conversation that is in memory.
 * @param {Conversation} conversation
 * @param {number} at Unix milliseconds
 * @returns {Kept | null} null where memory does not have them, or not all changes of them
 */
export function keptOf({ key, epoch, isLoaded, isAtEnd, isReplaying, hasGap, hasOlder, seen, from, upto, entries }, at) {
  if (!isLoaded || !isAtEnd || isReplaying || hasGap || epoch === "" || seen !== upto || entries.length === 0) {
    return null;
  }
  let bytes = 0;
  let first = entries.length;
  while (first > Math.max(0, entries.length - MESSAGES_KEPT)) {
    // A character takes up to two bytes.
    bytes += JSON.stringify(entries[first - 1]).length * 2;
    if (bytes > CONVERSATION_MAX_BYTES) break;
    first -= 1;
  }
  const messages = entries.slice(first);
  const isCut = first > 0;
  return messages.length === 0 ? null : { key, epoch, from: isCut ? (messages[0]?.seq ?? 0) : from, upto, hasOlder: hasOlder || isCut, messages, bytes, at };
}

/**
 * Puts kept messages into memory. A conversation goes on behind them, as after a lost
 * connection: what was changed or deleted meanwhile comes with what is new.
 * @param {Client} client
 * @param {Kept} kept
 * @returns {boolean} false if memory has something better, or other numbers
 */
export function restore(client, { key, epoch, from, upto, hasOlder, messages }) {
  if (!mayRestore(client, key) || (client.epoch !== "" && client.epoch !== epoch)) {
    return false;
  }
  const conversation = client.conversations.of(key);
  const { top } = client.account.of(key);
  if (key.startsWith("@") && (conversation.seen ?? upto) > upto) {
    // What came since was not received for these messages.
    return false;
  }
  Object.assign(conversation, { epoch, seen: upto, top: upto });
  conversation.replace({ messages, from, upto }, hasOlder);
  if (client.state === "open" && top - upto > RESUMED_MAX) conversation.seen = null;
  return true;
}

/**
 * Whether kept messages of a conversation are of use: not where the server has
 * answered, or is about to.
 * @param {Client} client
 * @param {Key} key
 */
export function mayRestore(client, key) {
  const status = client.rooms.get(key.slice(1))?.status;
  const isAsked = key.startsWith("#") && status !== undefined && status !== "out";
  return !isAsked && !client.conversations.get(key)?.isLoaded;
}

/**
 * The rooms and people of the account.
 * @param {Client} client
 * @returns {List}
 */
export function listOf({ account }) {
  const places = [...account.places.values()].filter(({ key, role, top }) => (key.startsWith("#") ? role !== null : top > 0));
  const latest = places.sort((a, b) => b.at - a.at || b.arrival - a.arrival).slice(0, PLACES_MAX);
  return { places: latest.map(({ news: _, ...place }) => place), features: [...account.features] };
}

/**
 * Shows the rooms and people until the server names them.
 * @param {Client} client
 * @param {List} list
 */
export function restoreList(client, { places, features }) {
  if (client.hasConnected) {
    return;
  }
  client.account.features = new Set(features);
  for (const place of places) Object.assign(client.account.of(place.key), place);
}

/**
 * Which of two is kept: two tabs may write at the same time, and one may know less.
 * @template {Head} H
 * @param {Head | undefined} old
 * @param {H} made
 * @returns {H | null} null: the old one stays
 */
export function newer(old, made) {
  return old && old.epoch === made.epoch && old.upto > made.upto ? null : made;
}

/**
 * Kept messages after a change of one of them, which is not in memory.
 * @param {Kept} kept
 * @param {Entry} change
 * @param {string} user who is signed in
 * @returns {Kept | null} null: it changes none of them
 */
export function changed(kept, change, user) {
  if (!kept.messages.some(({ seq, updated }) => seq === change.target && updated < change.seq)) {
    return null;
  }
  return { ...kept, messages: kept.messages.map((message) => (message.seq === change.target ? applied(message, change, user) : message)) };
}

/**
 * Whether kept messages must go once the server has said what the account has: they
 * may have been deleted meanwhile, or the user may read them no longer. Those of a
 * conversation in memory are brought up to date there.
 * @param {Head} head
 * @param {Client} client
 */
export function isOutdated({ key, epoch, upto }, client) {
  const place = client.account.places.get(key);
  const room = client.rooms.get(key.slice(1));
  const isHeld = key.startsWith("#") ? room !== undefined && room.status !== "refused" : client.conversations.get(key)?.isLoaded === true;
  return epoch !== client.epoch || (!isHeld && (!place || place.role === null || place.top > upto));
}

/**
 * Whether the last messages of a private conversation are to be asked for, as memory
 * has only the newest of them.
 * @param {Conversation | undefined} conversation
 */
export function isShort(conversation) {
  return conversation !== undefined && !conversation.isRoom && conversation.hasOlder && conversation.isAtEnd && conversation.entries.length < MESSAGES_KEPT;
}

/**
 * Those for which there is no room: the ones that were kept longest ago.
 * @param {Head[]} heads
 * @returns {Key[]}
 */
export function surplus(heads) {
  let bytes = 0;
  const latest = heads.toSorted((a, b) => b.at - a.at);
  return latest.filter((head, index) => (bytes += head.bytes) > ALL_MAX_BYTES || index >= CONVERSATIONS_MAX).map(({ key }) => key);
}

/** Messages kept of each conversation. */
export const MESSAGES_KEPT = 50;
/** What the messages of one conversation may take; beyond that, fewer are kept. */
export const CONVERSATION_MAX_BYTES = 256 * 1024;
/** Conversations of which messages are kept. */
export const CONVERSATIONS_MAX = 100;
/** What the messages of all conversations may take. */
export const ALL_MAX_BYTES = 8 * 1024 * 1024;
/** Rooms and people kept. */
const PLACES_MAX = 500;
