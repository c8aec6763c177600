import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation } from "../logic/conversation.js";
import { advance, firstNew, groupingOf, isIn, lastInView, pillsOf, rangeAround, ROWS_AT_ONCE, ROWS_MAX, startOf, stillFollows, tailOf, topOf } from "../logic/window.js";
import { range } from "./world.js";

const FAR = 10_000;

/**
 * A conversation with entries in memory.
 * @param {number} first
 * @param {number} last
 * @param {{ end?: number, hasOlder?: boolean }} [more]
 */
function log(first, last, { end = last, hasOlder = first > 1 } = {}) {
  const conversation = new Conversation("#tea");
  conversation.epoch = "e1";
  const entries = last === 0 ? [] : range(first, last).map((seq) => ({ kind: "message", seq, from: "bob", text: `text ${seq}`, timestamp: 1000 + seq, updated: 0 }));
  conversation.replace({ messages: entries, from: first, upto: last }, hasOlder);
  conversation.top = end;
  return conversation;
}

/** @param {Partial<{ above: number, below: number, isFollowing: boolean }>} [reader] */
const reader = (reader = {}) => ({ above: FAR, below: FAR, isFollowing: false, ...reader });

test("the first rows are around a number, and as many as there is room for at an end", () => {
  assert.deepEqual(rangeAround(log(1, 1000), 500), { first: 500 - ROWS_AT_ONCE, last: 500 + ROWS_AT_ONCE });
  assert.deepEqual(rangeAround(log(1, 1000), 1000), { first: 1000 - ROWS_AT_ONCE, last: 1000 });
  assert.deepEqual(rangeAround(log(1, 1000), 1), { first: 1, last: 1 + ROWS_AT_ONCE });
  assert.deepEqual(rangeAround(log(11, 20), 15), { first: 11, last: 20 });
  assert.deepEqual(rangeAround(log(1, 0), 0), { first: 0, last: 0 });
});

test("a reader in the middle of the rows changes nothing", () => {
  const shown = { first: 400, last: 600 };
  const change = advance(log(1, 1000), shown, reader());
  assert.deepEqual([change.range, change.isRebuilt, change.loads], [shown, false, []]);
});

test("rows come where the reader comes near, and go at the other end", () => {
  const up = advance(log(1, 1000), { first: 400, last: 699 }, reader({ above: 0 }));
  assert.deepEqual(up.range, { first: 400 - ROWS_AT_ONCE, last: 399 - ROWS_AT_ONCE + ROWS_MAX });
  assert.ok(up.isAnchored);
  const down = advance(log(1, 1000), { first: 400, last: 699 }, reader({ below: 0 }));
  assert.deepEqual(down.range, { first: 400 + ROWS_AT_ONCE, last: 699 + ROWS_AT_ONCE });
  assert.ok(down.isAnchored);
});

test("never are there more rows than the most, nor any that are not in memory", () => {
  let seed = 1;
  const random = (/** @type {number} */ below) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  for (let run = 0; run < 300; run += 1) {
    const first = 1 + random(200);
    const conversation = log(first, first + random(2_000));
    let shown = rangeAround(conversation, first + random(2_000));
    for (let step = 0; step < 20; step += 1) {
      const change = advance(conversation, shown, reader({ above: random(2_000), below: random(2_000), isFollowing: random(4) === 0 }));
      const { range } = change;
      assert.ok(range.first >= conversation.first && range.last <= conversation.last && range.first <= range.last, JSON.stringify([shown, range]));
      assert.ok(range.last - range.first < ROWS_MAX, JSON.stringify(range));
      const isJoined = range.first <= shown.last + 1 && range.last >= shown.first - 1;
      assert.ok(change.isRebuilt || isJoined, `a gap between rows: ${JSON.stringify([shown, range])}`);
      shown = range;
    }
  }
});

test("a view that follows gets all that came, or is built anew where that is too much", () => {
  const shown = { first: 1, last: 100 };
  const some = advance(log(1, 150), shown, reader({ isFollowing: true, below: 0 }));
  assert.deepEqual([some.range, some.isAnchored], [{ first: 1, last: 150 }, false]);
  const many = advance(log(1, 150 + ROWS_MAX), shown, reader({ isFollowing: true }));
  assert.deepEqual([many.range.last, many.isRebuilt], [150 + ROWS_MAX, true]);
  const none = advance(log(1, 150), shown, reader());
  assert.deepEqual(none.range, shown, "a reader elsewhere gets nothing");
});

test("rows go in one frame and come in the next, where both at once would move the others", () => {
  const full = { first: 1, last: ROWS_MAX };
  const went = advance(log(1, ROWS_MAX + 3), full, reader({ isFollowing: true, below: 0 }));
  assert.deepEqual([went.range, went.isMore], [{ first: ROWS_AT_ONCE + 1, last: ROWS_MAX }, true]);
  const came = advance(log(1, ROWS_MAX + 3), went.range, reader({ isFollowing: true, below: 0 }));
  assert.deepEqual([came.range, came.isMore], [{ first: ROWS_AT_ONCE + 1, last: ROWS_MAX + 3 }, undefined]);
});

test("what is not in memory is loaded where the reader comes near", () => {
  const shown = { first: 101, last: 200 };
  assert.deepEqual(advance(log(101, 200, { end: 500 }), shown, reader({ above: 0 })).loads, ["older"]);
  assert.deepEqual(advance(log(101, 200, { end: 500 }), shown, reader({ below: 0 })).loads, ["newer"]);
  assert.deepEqual(advance(log(101, 200, { end: 500 }), shown, reader({ above: 0, below: 0 })).loads, ["older", "newer"]);
  assert.deepEqual(advance(log(101, 200), shown, reader({ below: 0 })).loads, []);
  assert.deepEqual(advance(log(101, 200, { hasOlder: false }), shown, reader({ above: 0 })).loads, []);
});

test("rows go whose entries memory has dropped", () => {
  const shown = { first: 1, last: 200 };
  assert.deepEqual(advance(log(101, 300), shown, reader()).range, { first: 101, last: 200 });
  const gone = advance(log(500, 900), shown, reader());
  assert.deepEqual([gone.isRebuilt, gone.range.first], [true, 500]);
});

test("the first entries of an empty conversation get rows", () => {
  const empty = { first: 0, last: 0 };
  assert.deepEqual(advance(log(1, 0), empty, reader({ isFollowing: true })).range, empty);
  assert.ok(!advance(log(1, 0), empty, reader()).isRebuilt, "what stands below no rows stays");
  const change = advance(log(1, 3), empty, reader({ isFollowing: true }));
  assert.deepEqual([change.range, change.isRebuilt], [{ first: 1, last: 3 }, true]);
});

test("a conversation begins at its target, else where it was left, else at what is new, else at its end", () => {
  const anchor = { epoch: "e1", seq: 20, offset: -5 };
  const wishes = { target: 10, anchor, readUpTo: 30, me: "alice" };
  assert.equal(startOf(log(1, 100), wishes), 10);
  assert.equal(startOf(log(1, 100), { ...wishes, target: 0 }), 20);
  assert.equal(startOf(log(1, 100), { ...wishes, target: 200 }), 20, "a target that is not there");
  assert.equal(startOf(log(1, 100), { ...wishes, target: 0, anchor: { ...anchor, epoch: "e0" } }), 31, "numbers of another epoch");
  assert.equal(startOf(log(50, 100), { ...wishes, target: 0 }), 100, "nothing of it is in memory");
  assert.equal(startOf(log(1, 100), { target: 0, anchor: undefined, readUpTo: 0, me: "alice" }), 100);
  assert.ok(isIn(log(1, 100), anchor) && !isIn(log(21, 100), anchor));
});

test("a view follows the end until the reader goes up, and again once they are there", () => {
  assert.ok(stillFollows(true, { top: 500, lastTop: 500, below: 120 }, true), "rows were added");
  assert.ok(!stillFollows(true, { top: 491, lastTop: 500, below: 9 }, true), "a slow finger");
  assert.ok(stillFollows(true, { top: 480, lastTop: 500, below: 0 }, true), "there is less to scroll");
  assert.ok(stillFollows(false, { top: 500, lastTop: 300, below: 2 }, true));
  assert.ok(!stillFollows(false, { top: 500, lastTop: 300, below: 2 }, false), "there are newer entries");
  assert.ok(!stillFollows(false, { top: 500, lastTop: 300, below: 50 }, true));
});

test("the last row in view is found, whatever rows are not shown", () => {
  const rows = range(1, 50).map((seq) => ({ seq, bottom: seq % 7 === 0 ? undefined : seq * 20 }));
  for (const edge of [0, 15, 100, 140, 505, 2_000]) {
    const found = lastInView(rows, ({ bottom }) => bottom, edge);
    const shown = rows.filter(({ bottom }) => bottom !== undefined && bottom <= edge + 4).at(-1)?.seq ?? 0;
    assert.equal(found, shown, `${edge}`);
  }
  assert.equal(lastInView([], () => 0, 100), 0);
});

test("buttons lead to the end and to the first new message where these are far", () => {
  const shown = { first: 50, last: 100 };
  const far = { isFollowing: false, below: 500, readUpTo: 10, me: "alice" };
  assert.deepEqual(pillsOf(log(1, 100), shown, far), { toNewest: true, toFirstNew: true });
  assert.deepEqual(pillsOf(log(1, 100), shown, { ...far, below: 100, readUpTo: 60 }), { toNewest: false, toFirstNew: false });
  assert.ok(pillsOf(log(1, 100, { end: 200 }), shown, { ...far, below: 0 }).toNewest, "there are newer entries");
  assert.ok(!pillsOf(log(1, 100, { end: 200 }), shown, { ...far, isFollowing: true }).toNewest, "they are on their way");
});

test("the line that says new stands above the first message of another user", () => {
  const messages = log(1, 8);
  /** @param {number} readUpTo @param {string} me */
  const lineOf = (readUpTo, me) => messages.entries.filter((_, i) => groupingOf(messages, i, i === 0, { readUpTo, me })?.isFirstNew).map(({ seq }) => seq);
  assert.deepEqual(lineOf(3, "alice"), [4]);
  // The page was left before it said that its user, who had answered, had read up to there.
  for (const index of [3, 4]) Object.assign(messages.entries[index] ?? {}, { from: "alice" });
  assert.deepEqual([lineOf(3, "alice"), firstNew(messages, 3, "alice")], [[6], 6]);
  assert.deepEqual([lineOf(3, "carol"), firstNew(messages, 3, "carol")], [[4], 4]);
  Object.assign(messages.entries[7] ?? {}, { from: "alice" });
  assert.deepEqual([lineOf(7, "alice"), firstNew(messages, 7, "alice"), lineOf(0, "alice")], [[], 0, []]);
});

test("above the first row stands that there is more, or that it is the beginning", () => {
  const conversation = log(1, 100);
  assert.equal(topOf(conversation, { first: 1, last: 60 }, false), "beginning");
  assert.equal(topOf(conversation, { first: 30, last: 60 }, false), "more");
  assert.equal(topOf(log(101, 200), { first: 101, last: 200 }, false), "loading");
  assert.equal(topOf(log(1, 0), { first: 0, last: 0 }, false), "empty");
  assert.notEqual(topOf(log(1, 0), { first: 0, last: 0 }, true), "empty");
  assert.equal(topOf(new Conversation("#tea"), { first: 0, last: 0 }, false), "loading");
});

test("below the last row stands what is not sent, below a gap where the end is elsewhere", () => {
  const item = (/** @type {string} */ nonce, at = 1_100_000) => ({ nonce, key: /** @type {const} */ ("#tea"), text: nonce, at, state: /** @type {const} */ ("waiting") });
  const more = { me: "alice", items: [item("a"), item("b", 1_101_000), item("c", 200_000_000)] };
  const shown = { first: 50, last: 100 };
  const kinds = (/** @type {import("../logic/window.js").TailPart[]} */ tail) => tail.map((part) => (part.kind === "item" ? `${part.item.nonce}${part.isContinued ? " continued" : ""}` : part.kind));
  assert.deepEqual(kinds(tailOf(log(1, 100), shown, more)), ["a", "b continued", "day", "c"]);
  assert.deepEqual(kinds(tailOf(log(1, 100, { end: 200 }), shown, more)), ["gap", "day", "a", "b continued", "day", "c"]);
  assert.deepEqual(tailOf(log(1, 100), { first: 1, last: 60 }, more), [], "the last rows are not in the page");
  assert.deepEqual(kinds(tailOf(log(1, 0), { first: 0, last: 0 }, { ...more, items: [item("a")] })), ["day", "a"]);
});
