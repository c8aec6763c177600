import assert from "node:assert/strict";
import { test } from "node:test";

import { emojiAt, emojiOf, favourites, found, inTone, withUse } from "../logic/emoji.js";
import { groups } from "../vendor/emoji.js";
import { words as english } from "../vendor/emoji-en.js";
import { words as russian } from "../vendor/emoji-ru.js";

const all = emojiOf(groups, [english, russian]);
const of = (/** @type {string} */ emoji) => all.find((one) => one.emoji === emoji) ?? assert.fail(emoji);

test("emoji are found in both languages, by beginnings of words", () => {
  for (const [query, first] of [
    ["thumbs up", "👍"],
    ["+1", "👍"],
    ["tada", "🎉"],
    ["joy", "😂"],
    ["огонь", "🔥"],
    ["красное сердце", "❤️"],
    ["ёлка", "🎄"],
    ["елка", "🎄"],
    ["FIRE", "🔥"],
    ["🙏", "🙏"],
  ]) {
    assert.ok(found(all, query ?? "", 12).some(({ emoji }) => emoji === first), `${query}: ${found(all, query ?? "", 12).map(({ emoji }) => emoji)}`);
  }
  assert.equal(found(all, "heart red")[0]?.emoji, "❤️");
  assert.deepEqual(found(all, "  "), []);
  assert.deepEqual(found(all, "no such thing"), []);
  assert.ok(found(all, "a", 6).length === 6);
});

test("skin tones make emoji that the server takes", () => {
  assert.equal(inTone(of("👍"), 3), "👍🏽");
  assert.equal(inTone(of("👍"), 0), "👍");
  assert.equal(inTone(of("☝️"), 1), "☝🏻");
  assert.equal(inTone(of("🧑‍🤝‍🧑"), 5), "🧑🏿‍🤝‍🧑🏿");
  assert.equal(inTone(of("😂"), 5), "😂");
  for (const one of all.filter(({ version, rule }) => rule && version < 15)) {
    for (let tone = 1; tone <= 5; tone += 1) assert.match(inTone(one, tone), /^\p{RGI_Emoji}$/v);
  }
  for (const { emoji, version } of all) if (version < 15) assert.match(emoji, /^\p{RGI_Emoji}$/v);
  assert.ok(all.every(({ emoji }) => [...emoji].length <= 10));
});

test("a name behind a colon is completed, but no time and no smiley", () => {
  for (const [text, query] of [[":tad", "tad"], ["so (:fire", "fire"], ["ну :огон", "огон"], [":+1", "+1"], [":thumbs_u", "thumbs u"]]) {
    assert.equal(emojiAt(text ?? "", (text ?? "").length)?.query, query);
  }
  for (const text of ["10:30", ":)", ":", ":a", "a:tada", "https://x", ": tada", "::tada", ":tada:"]) assert.equal(emojiAt(text, text.length), null, text);
  assert.deepEqual(emojiAt("a :fire b", 7), { from: 2, to: 7, query: "fire" });
});

test("the most used emoji come first, and the usual ones where there are few", () => {
  assert.deepEqual(favourites([], 3), ["👍", "❤️", "😂"]);
  let used = /** @type {string[]} */ ([]);
  for (const emoji of ["🦄", "👀", "🦄", "🐙"]) used = withUse(used, emoji);
  assert.deepEqual(favourites(used, 4), ["🦄", "🐙", "👀", "👍"]);
  for (let i = 0; i < 100; i += 1) used = withUse(used, "👍");
  assert.equal(favourites(used, 1)[0], "👍");
  assert.ok(used.length <= 60);
});
