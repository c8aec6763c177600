// The request for all reactions to a message. No DOM.

import { call } from "./api.js";

/** @typedef {import("./logic/conversation.js").Key} Key */

/**
 * @param {Key} key
 * @param {number} seq of the message
 * @returns {Promise<{ emoji: string, count: number, mine: boolean, users: string[] }[]>}
 */
export async function reactionsTo(key, seq) {
  const where = new URLSearchParams({ [key.startsWith("#") ? "room" : "with"]: key.slice(1), seq: String(seq) });
  return (await call(`/api/reactions?${where}`)).reactions;
}
