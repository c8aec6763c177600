// What the user may do in the open room, as far as it is known.

/** @typedef {import("./account.js").Place} Place */

/**
 * `write`: the box is there. `join`: the user reads as a guest. `archived`: nobody
 * writes. The others say why the room cannot be read: it is closed to the user
 * (`forbidden`), the user was `removed`, it was `closed`, or the user has `left` it.
 * @typedef {"write" | "join" | "archived" | "forbidden" | "removed" | "closed" | "left"} Standing
 */

/**
 * @param {object} known
 * @param {Pick<Place, "role" | "archived">} known.place
 * @param {{ status: string, reason?: string } | undefined} known.room as this page has joined it
 * @param {{ members: number, archived: boolean } | null} known.about what the server says about it; null: not yet
 * @param {number} known.end the number of its last message
 * @returns {Standing}
 */
export function standingOf({ place, room, about, end }) {
  if (room?.status === "refused") {
    const { reason } = room;
    return reason === "removed" || reason === "closed" || reason === "left" ? reason : "forbidden";
  }
  if (place.archived || about?.archived) {
    return "archived";
  }
  // A room without members and messages is the user's who writes first.
  return place.role === null && (end > 0 || (about?.members ?? 0) > 0) ? "join" : "write";
}
