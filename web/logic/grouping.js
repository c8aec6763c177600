// What stands together in a conversation, and on which day.

/** @typedef {import("./conversation.js").Entry} Entry */

/**
 * Whether an entry stands below another without repeating whose it is.
 * @param {Pick<Entry, "from" | "timestamp"> | undefined} above
 * @param {Pick<Entry, "from" | "timestamp">} entry
 */
export function continues(above, entry) {
  return (
    above !== undefined &&
    above.from === entry.from &&
    entry.timestamp - above.timestamp < TOGETHER_SECONDS &&
    dayNumberOf(above.timestamp) === dayNumberOf(entry.timestamp)
  );
}

/**
 * A number for the day where this browser is; the next day has a higher one.
 * @param {number} timestamp Unix seconds
 */
export function dayNumberOf(timestamp) {
  const date = new Date(timestamp * 1000);
  return (date.getFullYear() * 12 + date.getMonth()) * 31 + date.getDate();
}

/** Messages of one person within this time stand together. */
const TOGETHER_SECONDS = 300;
