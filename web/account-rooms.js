// Rooms of the account that `hello` does not bring: those beyond its list, and
// those that this browser kept before the account did.

import { call } from "./api.js";
import { json, OLD, write } from "./settings.js";

/** @typedef {import("./logic/client.js").Client} Client */
/** @typedef {import("./logic/client.js").Input} Input */
/** @typedef {import("./logic/conversation.js").Key} Key */
/** @typedef {import("./settings.js").Memory} Memory */

/**
 * Asks for rooms that `hello` has not named, and hands over those that this browser kept.
 * @param {Client} client
 * @param {Memory} memory
 * @param {(input: Input) => void} step
 */
export async function completeRooms(client, memory, step) {
  const { isKept, hasMoreRooms } = client.account;
  if (hasMoreRooms || !isKept) await loadRooms(client, step);
  if (isKept && memory.isOld) await handOver(client, memory, step);
}

/**
 * Asks for all rooms of the account; of a server that does not keep them, for all rooms.
 * @param {Client} client
 * @param {(input: Input) => void} step
 */
export async function loadRooms(client, step) {
  for (let after = ""; ; ) {
    const { rooms, next } = await call(`/api/rooms${after && `?after=${encodeURIComponent(after)}`}`);
    step({ type: "rooms", rooms });
    // The user's own come first.
    if (!next || !client.account.isKept || !rooms.at(-1)?.member) return;
    after = next;
  }
}

/**
 * Hands over to the account what this browser kept: the rooms, how far each
 * conversation is read, and which ones are muted. Then it is forgotten here.
 * @param {Client} client
 * @param {Memory} memory
 * @param {(input: Input) => void} step
 */
export async function handOver(client, memory, step) {
  /** @type {{ epoch: string, upTo: Record<Key, number> } | null} */
  const reads = json(memory.keyOf("reads"));
  /** @type {string[]} */
  const rooms = json(memory.keyOf("rooms")) ?? [];
  /** @type {Key[]} */
  const muted = json(memory.keyOf("muted")) ?? [];
  for (const what of OLD) write(memory.keyOf(what), null);
  for (const [key, seq] of reads?.epoch === client.epoch ? Object.entries(reads.upTo) : []) {
    const place = client.account.places.get(/** @type {Key} */ (key));
    // A mark may be one of a room that has fewer messages by now.
    if (place?.role && seq <= place.top) step({ type: "read", key: place.key, seq });
  }
  for (const key of muted) step({ type: "level", key, level: "none" });
  for (const room of rooms) {
    if (!client.account.places.get(`#${room}`)?.role) {
      // A room that the user may not enter any more is no loss.
      await call(`/api/rooms/${encodeURIComponent(room)}/membership`, { method: "PUT" }).catch(() => {});
    }
  }
}
