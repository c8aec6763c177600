// What the user may do in the open room, as far as it is known.

/** @typedef {import("./account.js").Place} Place */

/**
 * `write`: the box is there. `join`: the user reads as a guest. `archived`: nobody
 * writes. `unmade`: there is no such room, and the user may make it. `nobody`: there is no user of this
 * name. The others say why the room cannot be read: it is closed to the user
 * (`forbidden`), there is none and the user may not make it (`missing`), the user was
 * `removed`, it was `closed`, or the user has `left` it.
 * @typedef {"write" | "join" | "archived" | "unmade" | "nobody" | "forbidden" | "missing" | "removed" | "closed" | "left"} Standing
 */

/**
 * @param {object} known
 * @param {Pick<Place, "role" | "archived">} known.place
 * @param {{ status: string, reason?: string } | undefined} known.room as this page has joined it
 * @param {{ members: number, archived: boolean } | null} known.about what the server says about it; null: not yet
 * @param {boolean} [known.isMissing] whether the server says that there is no such room
 * @param {number} known.start the last number of its log when this page began to follow it
 * @param {number} [known.writers] how many users have written in it since
 * @returns {Standing}
 */
export function standingOf({ place, room, about, isMissing = false, start, writers = 0 }) {
  if (room?.status === "refused") {
    const { reason } = room;
    const isKnown = reason === "removed" || reason === "closed" || reason === "left";
    return isKnown ? reason : isMissing ? "missing" : "forbidden";
  }
  if (place.archived || about?.archived) {
    return "archived";
  }
  if (isMissing && place.role === null && start === 0 && writers === 0) {
    return "unmade";
  }
  // A room without members and messages is the user's who writes first, and who came
  // first keeps the box when others write. As writing makes members, and the server may
  // have been asked only after that, as many members as writers are no sign of others.
  return place.role === null && (start > 0 || (about?.members ?? 0) > writers) ? "join" : "write";
}
