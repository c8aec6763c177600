// The window of a conversation: the range of its log that has rows in the page.
// Decides which rows there are, how they stand together, where a reader begins,
// when the view follows the end of the log, and what stands around the rows.
// Pixels come in as arguments.

/** @typedef {import("./client.js").Part} Part */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./conversation.js").Entry} Entry */
/** @typedef {import("./outbox.js").Item} Item */

/** @typedef {Pick<Conversation, "first" | "last" | "from" | "end" | "hasOlder" | "isAtEnd" | "isLoaded" | "epoch" | "at" | "indexOf" | "covers" | "entries">} Log */
/** @typedef {{ first: number, last: number }} Range the numbers of the messages in the first and the last row; 0 and 0: no rows */
/** @typedef {{ epoch: string, seq: number, offset: number }} Anchor a message, and how many pixels below the upper edge of the view it begins */

/**
 * The rows to begin with, so that there are some on both sides of a number.
 * @param {Log} log
 * @param {number} seq
 * @returns {Range}
 */
export function rangeAround(log, seq) {
  const last = log.entries.length - 1;
  const at = Math.min(last, log.indexOf(seq));
  return rangeOf(log, at - ROWS_AT_ONCE, at + ROWS_AT_ONCE);
}

/**
 * @param {Log} log
 * @param {number} first an index in the log's messages
 * @param {number} last
 * @returns {Range} as far as there are messages
 */
function rangeOf({ entries }, first, last) {
  return { first: entries[Math.max(0, first)]?.seq ?? 0, last: entries[Math.min(entries.length - 1, last)]?.seq ?? 0 };
}

/**
 * What changes after the reader has scrolled, or the log has grown.
 * @typedef {object} Change
 * @property {Range} range the rows from now on, at most `ROWS_MAX`
 * @property {boolean} isRebuilt whether none of the old rows stays
 * @property {boolean} isAnchored whether what is in view must stay where it is
 * @property {boolean} [isMore] whether there is more to change in the next frame
 * @property {Part[]} loads parts of the log that are not in memory and come into reach
 */

/**
 * Adds rows that come into the reader's reach, and drops those that are far away.
 * @param {Log} log
 * @param {Range} shown
 * @param {object} reader
 * @param {number} reader.above pixels of the rows above the view
 * @param {number} reader.below pixels of the rows below the view
 * @param {boolean} reader.isFollowing whether the view follows the end of the log
 * @returns {Change}
 */
export function advance(log, shown, { above, below, isFollowing }) {
  /** @type {Part[]} */
  const loads = [];
  if (log.last === 0) {
    // The numbers in memory are those of changes only.
    if (log.isLoaded && log.hasOlder) loads.push("older");
    return { range: shown, isRebuilt: false, isAnchored: false, loads };
  }
  if (shown.last < log.first || shown.last === 0) {
    return rebuilt(rangeAround(log, isFollowing || shown.last === 0 ? log.last : log.first));
  }
  const newest = log.entries.length - 1;
  const shownLast = Math.min(newest, log.indexOf(shown.last));
  // Memory may have dropped its oldest entries.
  let first = log.indexOf(shown.first);
  let last = shownLast;
  if (above < REACH_PX) {
    if (first > 0) {
      first = Math.max(0, first - ROWS_AT_ONCE);
      last = Math.min(last, first + ROWS_MAX - 1);
    } else if (log.hasOlder) {
      loads.push("older");
    }
  }
  if (last < newest && (isFollowing || below < REACH_PX)) {
    const end = isFollowing ? newest : Math.min(newest, shownLast + ROWS_AT_ONCE);
    if (end - shownLast > ROWS_MAX) {
      return rebuilt(rangeAround(log, log.last));
    }
    if (isFollowing && end - first >= ROWS_MAX && end - shownLast <= ROWS_AT_ONCE) {
      // Rows that go and rows that come in one frame would move all others.
      const kept = rangeOf(log, shownLast - ROWS_MAX + ROWS_AT_ONCE + 1, shownLast);
      return { range: kept, isRebuilt: false, isAnchored: false, isMore: true, loads };
    }
    last = end;
    first = Math.max(first, last - ROWS_MAX + 1);
  } else if (last === newest && !log.isAtEnd && below < REACH_PX) {
    loads.push("newer");
  }
  const range = rangeOf(log, first, last);
  return { range, isRebuilt: false, isAnchored: !isFollowing || range.first < shown.first, loads };
}

/**
 * @param {Range} range
 * @returns {Change}
 */
function rebuilt(range) {
  return { range, isRebuilt: true, isAnchored: false, loads: [] };
}

/**
 * The number at which a reader begins who opens a conversation.
 * @param {Log} log
 * @param {object} wishes from the first to the last
 * @param {number} wishes.target the message that the address names; 0: none
 * @param {Anchor | undefined} wishes.anchor where the reader was before
 * @param {number} wishes.readUpTo the number after which the messages of others are new; 0: none is
 * @param {string} wishes.me
 */
export function startOf(log, { target, anchor, readUpTo, me }) {
  const found = target > 0 ? near(log, target) : 0;
  if (found > 0) return found;
  if (anchor && isIn(log, anchor)) return anchor.seq;
  return (readUpTo > 0 && firstNew(log, readUpTo, me)) || log.last;
}

/**
 * The message at a number, or the nearest one where the number is a change.
 * @param {Log} log
 * @param {number} seq
 * @returns {number} 0 if it is not in memory, or not there
 */
export function near(log, seq) {
  if (!log.covers(seq)) return 0;
  return log.entries[log.indexOf(seq)]?.seq ?? log.last;
}

/**
 * The first message of another user after a number, as far as that is known. An own message
 * is never new, even if the page was left before it said that the user has read it.
 * @param {Log} log
 * @param {number} readUpTo
 * @param {string} me
 * @returns {number} 0 if there is none
 */
export function firstNew(log, readUpTo, me) {
  if (readUpTo + 1 < log.from) return 0;
  let index = log.indexOf(readUpTo + 1);
  while (log.entries[index]?.from === me) index += 1;
  return log.entries[index]?.seq ?? 0;
}

/**
 * Whether the line that says "new" stands above a message.
 * @param {Entry[]} entries
 * @param {number} index of the message
 * @param {number} readUpTo
 * @param {string} me
 */
function isFirstNew(entries, index, readUpTo, me) {
  const isNew = (/** @type {Entry | undefined} */ entry) => entry !== undefined && entry.seq > readUpTo;
  if (readUpTo === 0 || !isNew(entries[index]) || entries[index]?.from === me) return false;
  let above = index - 1;
  while (isNew(entries[above]) && entries[above]?.from === me) above -= 1;
  return !isNew(entries[above]);
}

/**
 * Whether an anchor can still be found. Numbers of another epoch are other messages.
 * @param {Log} log
 * @param {Anchor} anchor
 */
export function isIn(log, { epoch, seq }) {
  return epoch === log.epoch && log.at(seq) !== undefined;
}

/**
 * Whether the view still follows the end of the log.
 * @param {boolean} wasFollowing
 * @param {object} view
 * @param {number} view.top how far it is scrolled, in pixels
 * @param {number} view.lastTop the same, when this was last asked
 * @param {number} view.below pixels of the rows below the view
 * @param {boolean} isAtEnd whether the rows reach the end of the log
 */
export function stillFollows(wasFollowing, { top, lastTop, below }, isAtEnd) {
  if (top < lastTop) {
    // The reader goes up, however slowly, unless there is only less to scroll.
    return wasFollowing && below < 1;
  }
  return wasFollowing || (isAtEnd && below < NEAR_PX);
}

/**
 * The number of the last row whose lower edge is in view. Rows are found by
 * halving, as each one that is measured costs time.
 * @template {{ seq: number }} Row
 * @param {Row[]} rows
 * @param {(row: Row) => number | undefined} bottomOf the lower edge of a row; undefined for a row that is not shown
 * @param {number} edge the lower edge of the view, as `bottomOf` counts
 * @returns {number} 0 if there is none
 */
export function lastInView(rows, bottomOf, edge) {
  let seen = 0;
  let [low, high] = [0, rows.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const shown = rows.slice(middle, high + 1).find((row) => bottomOf(row) !== undefined);
    if (shown && (bottomOf(shown) ?? 0) <= edge + EDGE_PX) {
      seen = shown.seq;
      low = rows.indexOf(shown) + 1;
    } else {
      high = middle - 1;
    }
  }
  return seen;
}

/**
 * How an entry stands below the one before it.
 * @typedef {object} Grouping
 * @property {Entry} entry
 * @property {boolean} isNewDay whether the day stands above it
 * @property {boolean} isFirstNew whether the line that says "new" stands above it
 * @property {boolean} isContinued whether its author is not repeated
 */

/**
 * @param {Pick<Conversation, "entries">} log
 * @param {number} index of the message in the log's messages
 * @param {boolean} isFirst whether its row is the first one, which has its day in any case
 * @param {{ readUpTo: number, me: string }} reader the number after which the messages of others are new (0: none is), and the user
 * @param {(entry: Entry) => Entry} [shownOf] a message as it is shown
 * @returns {Grouping | null} null where there is none
 */
export function groupingOf({ entries }, index, isFirst, { readUpTo, me }, shownOf = (entry) => entry) {
  const entry = entries[index];
  if (!entry) {
    return null;
  }
  const above = entries[index - 1];
  const isNewDay = isFirst || !above || dayNumberOf(above.timestamp) !== dayNumberOf(entry.timestamp);
  const isBelowLine = isFirstNew(entries, index, readUpTo, me);
  let isContinued = !isNewDay && !isBelowLine && continues(above, entry);
  // A deleted message has no head: those below it repeat the author, unless there is one above it.
  for (let i = index - 1; isContinued; i -= 1) {
    const head = entries[i];
    if (!head || index - i > DELETED_MAX || !continues(head, entry)) isContinued = false;
    else if (!shownOf(head).deleted) break;
    else if (isFirstNew(entries, i, readUpTo, me)) isContinued = false;
  }
  return { entry: shownOf(entry), isNewDay, isFirstNew: isBelowLine, isContinued };
}

/**
 * Whether an entry stands below another without repeating its author.
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
 * A number for the day in this browser's time zone; the next day has a higher one.
 * @param {number} timestamp Unix seconds
 */
export function dayNumberOf(timestamp) {
  const date = new Date(timestamp * 1000);
  return (date.getFullYear() * 12 + date.getMonth()) * 31 + date.getDate();
}

/**
 * Which buttons lead to what is not in view.
 * @param {Log} log
 * @param {Range} shown
 * @param {{ isFollowing: boolean, below: number, readUpTo: number, me: string }} reader
 * @returns {{ toNewest: boolean, toFirstNew: boolean }}
 */
export function pillsOf(log, shown, { isFollowing, below, readUpTo, me }) {
  // A view that follows is at the end, or will be once that is loaded.
  const isFar = !isFollowing && (!log.isAtEnd || shown.last < log.last || below > FAR_PX);
  return { toNewest: isFar && log.end > 0, toFirstNew: readUpTo > 0 && (firstNew(log, readUpTo, me) || readUpTo + 1) < shown.first };
}

/**
 * What stands above the first row.
 * @param {Log} log
 * @param {Range} shown
 * @param {boolean} hasWaiting whether there are messages that are not sent yet
 * @returns {"empty" | "loading" | "beginning" | "more"} `more`: rows that are not in the page
 */
export function topOf(log, shown, hasWaiting) {
  if (log.isLoaded && log.end === 0 && !hasWaiting) return "empty";
  if (log.hasOlder || !log.isLoaded) return "loading";
  return shown.first <= log.first && log.end > 0 ? "beginning" : "more";
}

/**
 * @typedef {{ kind: "gap" }
 *   | { kind: "day", timestamp: number }
 *   | { kind: "item", item: Item, isContinued: boolean }} TailPart
 */

/**
 * What stands below the last row and is not in the log: messages that are not sent
 * yet. They are there even where the end of the log is not, below a gap.
 * @param {Log} log
 * @param {Range} shown
 * @param {object} more
 * @param {string} more.me
 * @param {Item[]} more.items
 * @param {(message: Entry | Item) => boolean} [more.isDeleted] whether it is shown as deleted
 * @returns {TailPart[]}
 */
export function tailOf(log, shown, { me, items, isDeleted = () => false }) {
  if (shown.last !== log.last) {
    return [];
  }
  /** @type {TailPart[]} */
  const tail = [];
  if (items.length > 0 && shown.last > 0 && !log.isAtEnd) {
    tail.push({ kind: "gap" });
  }
  const last = log.isAtEnd ? log.entries.at(-1) : undefined;
  /** Below a deleted message, the author is repeated. @type {Pick<Entry, "from" | "timestamp"> | undefined} */
  let above = last && { ...last, from: isDeleted(last) ? "" : last.from };
  for (const item of items) {
    const entry = { from: me, timestamp: item.at / 1000 };
    if (!above || dayNumberOf(above.timestamp) !== dayNumberOf(entry.timestamp)) {
      tail.push({ kind: "day", timestamp: entry.timestamp });
    }
    tail.push({ kind: "item", item, isContinued: continues(above, entry) });
    above = { ...entry, from: isDeleted(item) ? "" : me };
  }
  return tail;
}

/** Messages of one author within this time stand together. */
const TOGETHER_SECONDS = 300;
/** So many deleted messages are looked through for an author above them. */
const DELETED_MAX = 20;
/** Rows added at once. */
export const ROWS_AT_ONCE = 60;
/** Rows in the page at most. */
export const ROWS_MAX = 300;
/** How near the first or the last row the reader may come before more are added. */
const REACH_PX = 900;
/** A view this near to the end of the log begins to follow it. */
export const NEAR_PX = 8;
/** A view this far from the end of the log gets a button that leads there. */
const FAR_PX = 300;
/** How much of a row may be below the view when it counts as seen. */
const EDGE_PX = 4;
