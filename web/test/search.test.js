import assert from "node:assert/strict";
import { test } from "node:test";

import { comparable, excerpt, filterIn, foundIn, queryOf } from "../logic/search.js";

/**
 * What is found of a text, with the found words in brackets.
 * @param {string} text
 * @param {string} query
 */
function marked(text, query) {
  return foundIn(text, queryOf(query)).map(({ text, isFound }) => (isFound ? `[${text}]` : text)).join("");
}

test("the searched words are marked whatever their case, accents and width, and ё is е", () => {
  assert.equal(marked("Ёлка и ЁЖ", "елка еж"), "[Ёлка] и [ЁЖ]");
  assert.equal(marked("все ещё", "ещё"), "все [ещё]");
  assert.equal(marked("Café CAFE cafe\u0301", "cafe"), "[Café] [CAFE] [cafe\u0301]");
  assert.equal(marked("ｗｉｄｅ words", "wide "), "[ｗｉｄｅ] words");
  assert.equal(marked("Straße STRASSE", "strasse "), "[Straße] [STRASSE]");
  assert.equal(marked("ΣΟΦΟΣ σοφός", "σοφος "), "[ΣΟΦΟΣ] [σοφός]");
});

test("й is no и", () => {
  assert.equal(comparable("Йод"), "йод");
  assert.equal(marked("мои мой", "мой "), "мои [мой]");
});

test("the last word may be a beginning, unless something follows it", () => {
  assert.equal(marked("teapots and tea", "and tea"), "[teapots] [and] [tea]");
  assert.equal(marked("teapots and tea", "and tea "), "teapots [and] [tea]");
  assert.equal(marked("teapots and tea", '"tea"'), "teapots and [tea]");
  assert.equal(marked("teapots and tea", "tea and"), "teapots [and] [tea]");
});

test("words in quotation marks stand side by side", () => {
  assert.equal(marked("green tea, black tea", '"black tea"'), "green tea, [black] [tea]");
  assert.equal(marked("чай зелёный, зеленый чай", "«зелёный чай»"), "чай зелёный, [зеленый] [чай]");
  assert.equal(marked("black green tea", "“black tea”"), "black green tea");
});

test("pieces are together the text, also with punctuation and emoji", () => {
  const text = "I don't know 🫖, ask @bob: it's <b>tea</b>!\nOr not";
  assert.equal(foundIn(text, queryOf("don tea or")).map(({ text }) => text).join(""), text);
  assert.equal(marked(text, "don tea or "), "I [don]'t know 🫖, ask @bob: it's <b>[tea]</b>!\n[Or] not");
  assert.deepEqual(foundIn("", queryOf("x")), [{ text: "", isFound: false }]);
});

test("of a long text, the part around what is found is shown", () => {
  const long = `${"before ".repeat(60)}needle${" after".repeat(100)}`;
  const shown = excerpt(foundIn(long, queryOf("needle "))).map(({ text }) => text).join("");
  assert.ok(shown.startsWith("… ") && shown.endsWith(" …") && shown.includes("needle") && shown.length < 260);
  assert.deepEqual(excerpt(foundIn("a needle", queryOf("needle"))).map(({ text }) => text), ["a ", "needle"]);
});

test("a filter is known while it is typed", () => {
  assert.deepEqual(filterIn("tea in:gen"), { kind: "in", text: "gen", start: 4 });
  assert.deepEqual(filterIn("от:"), { kind: "from", text: "", start: 0 });
  assert.deepEqual(filterIn("from: Anna Karenina"), { kind: "from", text: "Anna Karenina", start: 0 });
  assert.equal(filterIn("margin:0"), null);
  assert.equal(filterIn("tea"), null);
});
