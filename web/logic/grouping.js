// What stands together in a conversation, and on which day: messages, and who came
// and went.

/** @typedef {import("./conversation.js").Entry} Entry */
/** @typedef {{ afterSeq: number, came: string[], went: string[] }} Coming */

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

/** Who came and went, in one line for all between two messages. */
export class Comings {
  /** @type {Coming[]} */
  lines = [];

  /**
   * @param {string} user
   * @param {boolean} isOnline
   * @param {number} afterSeq the last message before it
   */
  add(user, isOnline, afterSeq) {
    let line = this.lines.at(-1);
    if (line?.afterSeq !== afterSeq) {
      line = { afterSeq, came: [], went: [] };
      this.lines.push(line);
      this.lines.splice(0, this.lines.length - LINES_MAX);
    }
    const [now, before] = isOnline ? [line.came, line.went] : [line.went, line.came];
    const opposite = before.indexOf(user);
    if (opposite >= 0) {
      // Away and back again is no news.
      before.splice(opposite, 1);
    } else if (!now.includes(user)) {
      now.push(user);
    }
    if (line.came.length === 0 && line.went.length === 0) {
      this.lines.pop();
    }
  }

  clear() {
    this.lines = [];
  }
}

const LINES_MAX = 50;
