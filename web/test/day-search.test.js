import assert from "node:assert/strict";
import { test } from "node:test";

import { ASKED_MAX, DaySearch, firstInMemory } from "../logic/day-search.js";

/**
 * Searches in a log.
 * @param {{ end: number, kept?: number, timeOf: (seq: number) => number | null }} log the time of a message; null: the number is one of a change
 * @param {number} time
 */
function search({ end, kept = 1, timeOf }, time, isKeptKnown = true) {
  const search = new DaySearch({ kept: isKeptKnown ? kept : 1, end }, time);
  for (let seqs = search.next; seqs.length > 0; seqs = search.next) {
    assert.ok(seqs.length <= 50 && new Set(seqs).size === seqs.length, `${seqs.length} numbers`);
    assert.ok(seqs.every((seq) => seq >= 1 && seq <= end));
    const messages = seqs.flatMap((seq) => {
      const timestamp = seq < kept ? null : timeOf(seq);
      return timestamp === null ? [] : { seq, timestamp };
    });
    search.add(seqs, messages, kept);
  }
  return { seq: search.found?.seq ?? null, asked: search.asked };
}

/**
 * @param {{ end: number, kept?: number, timeOf: (seq: number) => number | null }} log
 * @param {number} time
 */
function expected({ end, kept = 1, timeOf }, time) {
  for (let seq = kept; seq <= end; seq += 1) {
    const timestamp = timeOf(seq);
    if (timestamp !== null && timestamp >= time) return seq;
  }
  return null;
}

test("the first message of a day is found by few questions among a million", () => {
  const log = { end: 1_000_000, timeOf: (/** @type {number} */ seq) => 1_000_000 + seq * 7 };
  for (const time of [0, 1_000_007, 1_000_008, 3_456_789, 7_999_999, 8_000_000, 8_000_001]) {
    const { seq, asked } = search(log, time);
    assert.equal(seq, expected(log, time), String(time));
    assert.ok(asked <= 6, `${asked} questions`);
  }
});

test("also where almost everything was written on one day", () => {
  const log = { end: 300_000, timeOf: (/** @type {number} */ seq) => (seq < 250_000 ? 1_000 : seq < 250_100 ? 1_000 + seq : 900_000) };
  for (const time of [999, 1_001, 251_050, 251_100, 899_999]) {
    const { seq, asked } = search(log, time);
    assert.equal(seq, expected(log, time), String(time));
    assert.ok(asked <= 8, `${asked} questions`);
  }
});

test("also where many numbers are those of changes", () => {
  for (const isMessage of [(/** @type {number} */ seq) => seq % 10 === 3, (/** @type {number} */ seq) => seq % 5_000 < 1_500]) {
    const log = { end: 60_000, timeOf: (/** @type {number} */ seq) => (isMessage(seq) ? seq : null) };
    for (const time of [1, 13, 14, 20_000, 31_234, 59_000]) {
      const { seq, asked } = search(log, time);
      assert.ok(asked <= ASKED_MAX);
      assert.equal(seq, expected(log, time), String(time));
    }
  }
});

test("where the beginning is no longer kept, the oldest message is found", () => {
  const log = { end: 400_000, kept: 390_123, timeOf: (/** @type {number} */ seq) => seq };
  for (const isKeptKnown of [true, false]) {
    for (const time of [5, 390_123, 395_000]) assert.equal(search(log, time, isKeptKnown).seq, expected(log, time));
  }
});

test("after the last message there is none, and in an empty log neither", () => {
  assert.deepEqual(search({ end: 100, timeOf: (seq) => seq }, 101), { seq: null, asked: 1 });
  assert.deepEqual(search({ end: 30, timeOf: (seq) => (seq > 20 ? null : seq) }, 101), { seq: null, asked: 1 }, "the last numbers are those of changes");
  assert.deepEqual(search({ end: 0, timeOf: () => null }, 1), { seq: null, asked: 0 });
});

test("random logs", () => {
  let state = 7;
  const random = (/** @type {number} */ below) => (state = (state * 48271) % 0x7fffffff) % below;
  for (let run = 0; run < 200; run += 1) {
    let time = 1_000;
    const times = Array.from({ length: 1 + random(3_000) }, () => {
      if (random(20) === 0) time += random(50_000);
      return random(3) === 0 ? null : (time += random(5));
    });
    const log = { end: times.length, timeOf: (/** @type {number} */ seq) => times[seq - 1] ?? null };
    const wanted = 900 + random(time - 800);
    assert.equal(search(log, wanted).seq, expected(log, wanted), `run ${run}`);
  }
});

test("what is in memory is not asked for", () => {
  const entries = [5, 6, 8].map((seq) => ({ kind: "message", seq, from: "bob", text: "", timestamp: seq * 10, updated: 0 }));
  const log = { entries, hasOlder: true, isAtEnd: true };
  assert.equal(firstInMemory(log, 60)?.seq, 6);
  assert.equal(firstInMemory(log, 61)?.seq, 8);
  assert.equal(firstInMemory(log, 50), undefined, "an older one may be of that day");
  assert.equal(firstInMemory({ ...log, hasOlder: false }, 40)?.seq, 5);
  assert.equal(firstInMemory(log, 81), null);
  assert.equal(firstInMemory({ ...log, isAtEnd: false }, 81), undefined);
});
