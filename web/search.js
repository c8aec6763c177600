// The request that searches messages.

import { call } from "./api.js";

/**
 * @typedef {object} Result a message that was found
 * @property {string} [room] where it is: a room
 * @property {string} [with] or a private conversation with this user
 * @property {number} seq
 * @property {string} from
 * @property {string} text
 * @property {number} timestamp Unix seconds
 * @property {{ name: string }[]} [files]
 */

/** @typedef {{ q: string, room?: string, with?: string, from?: string, before?: string, limit?: number }} Wanted `before` is the `next` of the page before */

/**
 * @param {Wanted} wanted
 * @returns {Promise<{ results: Result[], next?: string }>} newest first; a page may be short, or empty
 */
export function search(wanted) {
  const set = Object.entries(wanted).filter(([, value]) => value !== undefined);
  return call(`/api/search?${new URLSearchParams(set.map(([name, value]) => [name, String(value)]))}`);
}

/**
 * Searches until there are some results, or all of them.
 * @param {Wanted} wanted
 * @returns {Promise<{ items: Result[], next?: string }>}
 */
export async function searchOn(wanted) {
  /** @type {Result[]} */
  const items = [];
  let { before } = wanted;
  for (let asked = 0; asked < ASKED_AT_ONCE; asked += 1) {
    const { results, next } = await search({ ...wanted, before });
    items.push(...results);
    before = next ?? undefined;
    if (before === undefined || items.length >= RESULTS_MIN) break;
  }
  return { items, next: before };
}

/** So many requests follow one another before the user is asked whether to go on. */
const ASKED_AT_ONCE = 10;
/** Fewer results are not shown yet. */
const RESULTS_MIN = 10;
