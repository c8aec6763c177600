// Rooms and users that are found by a name. The server compares letters: it is asked for
// those of the other script, too.

import { hasSpelling, inOtherScript } from "./logic/spelling.js";
import { folded } from "./logic/text.js";
import * as rooms from "./rooms.js";

/**
 * @param {rooms.Wanted} wanted
 * @returns {Promise<import("./view/pages.js").Page<rooms.Found>>}
 */
export function usersFound(wanted) {
  return inBothScripts(wanted, async (one) => {
    const { users, next } = await rooms.users(one);
    return { items: users.map((user) => [user.username, user.username, user]), next };
  });
}

/**
 * @param {rooms.Wanted} wanted
 * @returns {Promise<import("./view/pages.js").Page<rooms.Room>>}
 */
export function roomsFound(wanted) {
  return inBothScripts(wanted, async (one) => {
    const { rooms: all, next } = await rooms.rooms(one);
    return { items: all.map((room) => [room.name, `${room.title}\n${room.name}`, room]), next };
  });
}

/**
 * A page of what the server finds. What it finds in the other script follows on the first one.
 * @template T
 * @param {rooms.Wanted} wanted
 * @param {(wanted: rooms.Wanted) => Promise<{ items: [key: string, name: string, item: T][], next?: string }>} ask
 * @returns {Promise<{ items: T[], next?: string }>}
 */
async function inBothScripts(wanted, ask) {
  const { q = "", after } = wanted;
  const spellings = after === undefined ? inOtherScript(q) : [];
  const [{ items, next }, others] = await Promise.all([ask(wanted), Promise.all(spellings.map((q) => ask({ q, limit: LIMIT })))]);
  // What has the letters that were typed is on one of the pages.
  const more = others.flatMap(({ items }) => items).filter(([, name]) => hasSpelling(name, q) && !folded(name).includes(folded(q)));
  const found = new Map([...items, ...more].map(([key, , item]) => [key, item]));
  return { items: [...found.values()], next };
}

/** The most that the server lists: by two letters it finds much that is not wanted. */
const LIMIT = 100;
