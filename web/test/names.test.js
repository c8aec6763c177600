import assert from "node:assert/strict";
import { test } from "node:test";

import { suggestionsFor, replacement, mentionAt } from "../logic/names.js";
import { mentions, piecesOf } from "../logic/text.js";

/**
 * The suggestions for a text with the caret at the `|`.
 * @param {string} written
 * @param {string[]} names
 * @param {string[]} [authors]
 */
function offered(written, names, authors = []) {
  const typed = mentionAt(written.replace("|", ""), written.indexOf("|"));
  return typed && suggestionsFor(typed.query, { me: "me", names, authors }).map(({ name }) => name);
}

/**
 * The mentions in a text. Checks that its pieces make up the whole text.
 * @param {string} text
 * @param {string[]} names
 */
function marked(text, names) {
  const pieces = piecesOf(text, names);
  assert.equal(pieces.map((piece) => piece.text).join(""), text, "nothing is lost");
  return pieces.flatMap((piece) => (piece.kind === "mention" ? [`${piece.text} = ${piece.name}`] : []));
}

test("a mention is typed after an @ that does not end a word", () => {
  for (const written of ["@b|", "hello @b|", "(@b|", "«@b|", "one\n@b|", "@alice and @b|", "\t@b|o", "@x@b|"]) {
    assert.equal(mentionAt(written.replace("|", ""), written.indexOf("|"))?.query.at(-1), "b", written);
  }
  for (const written of ["|@b", "a@b|", "b|", "@ b|", "@\nb|", "@one\nb|", `@${"b".repeat(60)}|`, "", "|"]) {
    assert.equal(mentionAt(written.replace("|", ""), written.indexOf("|")), null, written);
  }
  assert.deepEqual(mentionAt("so, @Анна П and more", 11), { from: 4, to: 11, query: "Анна П" });
});

test("names are suggested in which a word begins with the query", () => {
  const names = ["Rob", "carol-bo", "bob", "Bo Dylan", "Анна Борисова", "me", "<b>", "bob"];
  assert.deepEqual(offered("@b|", names), ["bob", "Bo Dylan", "carol-bo", "<b>", "Анна Борисова"], "those in the other script at the end");
  assert.deepEqual(offered("@BO|", names), ["bob", "Bo Dylan", "carol-bo", "Анна Борисова"]);
  assert.deepEqual(offered("@bo d|", names), ["Bo Dylan"]);
  assert.deepEqual(offered("@бор|", names), ["Анна Борисова"]);
  assert.deepEqual(offered("@анна Б|", names), ["Анна Борисова"]);
  assert.deepEqual(offered("@ob|", names), []);
  assert.deepEqual(offered("@me|", names), [], "nobody calls themselves");
  assert.deepEqual(offered("@и\u0306о|", ["Йозеф", "Иосиф"]), ["Йозеф"], "in either form of Unicode");
  assert.deepEqual(offered("@王|", ["王小明", "小王"]), ["王小明"]);
  assert.equal(offered("@a|", Array.from({ length: 9 }, (_, i) => `a${i}`))?.length, 6);
});

test("for an empty query, the latest authors are suggested first", () => {
  assert.deepEqual(offered("@|", ["ann", "bob", "carol"], ["carol", "me", "dave", "carol"]), ["carol", "dave", "ann", "bob"]);
});

test("members are suggested first, then everybody is, and others once a letter is typed", () => {
  const room = { me: "me", names: ["ann", "stranger"], authors: ["stranger", "bob"], members: ["ann", "bob", "me", "alan"], others: ["alice", "bob"], everybody: ["all", "everyone"] };
  const kinds = (/** @type {string} */ query) => suggestionsFor(query, room).map(({ name, kind }) => `${kind} ${name}`);
  assert.deepEqual(kinds(""), ["member bob", "member ann", "member alan", "everybody all"]);
  assert.deepEqual(kinds("a"), ["everybody all", "member ann", "member alan", "other alice"]);
  assert.deepEqual(kinds("EV"), ["everybody all"], "also by the word that the user sees");
  assert.deepEqual(kinds("str"), ["other stranger"]);
  assert.deepEqual(kinds("all"), [], "it is typed completely");
  const large = { ...room, members: Array.from({ length: 9 }, (_, i) => `a${i}`) };
  assert.deepEqual(suggestionsFor("", large).map(({ kind }) => kind).lastIndexOf("everybody"), 5, "the list is not longer for it");
});

test("a name that is typed completely is not suggested", () => {
  assert.deepEqual(offered("@Bob|", ["bob", "carol"]), []);
  assert.deepEqual(offered("@Bob|", ["bobby", "bob"]), ["bobby", "bob"]);
});

test("the query is replaced by the name and one space", () => {
  for (const [before, name, after] of /** @type {const} */ ([
    ["@b|", "bob", "@bob |"],
    ["hi (@b|)", "bob", "hi (@bob |)"],
    ["hi @b| there", "Bo Dylan", "hi @Bo Dylan |there"],
  ])) {
    const text = before.replace("|", "");
    const typed = mentionAt(text, before.indexOf("|"));
    assert.ok(typed);
    const { from, to, words } = replacement(text, typed, name);
    assert.equal(`${text.slice(0, from)}${words}|${text.slice(to)}`, after);
  }
});

test("the longest name that fits is the mention", () => {
  const names = ["Anna", "Anna Petrova", "Ian", "राम", "王小明", "o_o", "<b>x</b>", "👩‍🚀"];
  assert.deepEqual(marked("@anna, @Anna Petrova!", names), ["@anna = Anna", "@Anna Petrova = Anna Petrova"]);
  assert.deepEqual(marked("@Anna Petrovas @Ian@Ian", names), ["@Anna = Anna", "@Ian = Ian"]);
  assert.deepEqual(marked("@annabel mail@anna x@ian.example @anna1 रा@Ian", names), []);
  assert.deepEqual(marked("@राम @रामा 王@王小明 (@王小明)", names), ["@राम = राम", "@王小明 = 王小明"]);
  assert.deepEqual(marked("@o_o @<b>x</b> @👩‍🚀!", names), ["@o_o = o_o", "@<b>x</b> = <b>x</b>", "@👩‍🚀 = 👩‍🚀"]);
  assert.deepEqual(marked("@И\u0306озеф", ["Йозеф"]), ["@И\u0306озеф = Йозеф"]);
  assert.deepEqual(marked("@ΟΔΟΣ.γεια @Οδοσα @@bob @@@bob @K.", ["οδος", "@bob", "K"]), ["@ΟΔΟΣ = οδος", "@@bob = @bob", "@@bob = @bob", "@K = K"]);
  assert.deepEqual(marked("@constructor @__proto__", names), []);
  assert.deepEqual(marked("@anna", []), []);
});

test("links and code contain no mentions", () => {
  assert.deepEqual(piecesOf("@ian `@ian` https://x.example/@ian @ian", ["ian"]), [
    { kind: "mention", text: "@ian", name: "ian" },
    { kind: "text", text: " " },
    { kind: "code", text: "@ian" },
    { kind: "text", text: " " },
    { kind: "link", text: "https://x.example/@ian", href: "https://x.example/@ian" },
    { kind: "text", text: " " },
    { kind: "mention", text: "@ian", name: "ian" },
  ]);
  assert.deepEqual(piecesOf("```\n@ian\n```", ["ian"]), [{ kind: "block", text: "@ian" }]);
  assert.ok(!mentions("`@ian`", "ian"));
});

test("a longer name is not a mention of the shorter one", () => {
  assert.ok(mentions("@Anna Petrova", "Anna"));
  assert.ok(!mentions("@Anna Petrova", "Anna", ["Anna", "Anna Petrova"]));
  assert.ok(mentions("@Anna Petrova and @Anna", "Anna", ["Anna Petrova", "Anna"]));
});

test("a hostile text does not make the search for mentions slow", () => {
  const names = Array.from({ length: 1000 }, (_, i) => `a${i}`);
  const start = performance.now();
  for (const text of ["@".repeat(4096), "@a ".repeat(1365), `@${"a".repeat(4095)}`, "@😀 ".repeat(1000)]) {
    piecesOf(text, names);
    mentionAt(text, text.length);
  }
  assert.ok(performance.now() - start < 400);
});
