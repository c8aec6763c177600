// Every language has every word.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const WORDS = path.join(path.dirname(fileURLToPath(import.meta.url)), "../words");
/** Titles that the server gives: each language translates those that are not in it. */
const OWN = "roomTitles";

/**
 * The words of a file: `ru.js` has `ru`, `ru-later.js` has `ruLater`.
 * @param {string} file
 */
async function wordsOf(file) {
  const name = file.replace(".js", "").replace(/-(\w)/, (_, letter) => letter.toUpperCase());
  return (await import(path.join(WORDS, file)))[name];
}

/**
 * What one language has and another one lacks, or has in another form.
 * @param {any} wanted
 * @param {any} given
 * @param {string} at
 * @returns {string[]}
 */
function lacking(wanted, given, at = "") {
  if (typeof wanted !== typeof given || Array.isArray(wanted) !== Array.isArray(given)) return [`${at} is ${typeof given}, not ${typeof wanted}`];
  if (typeof wanted === "string") return given.trim() === "" && wanted.trim() !== "" ? [`${at} is empty`] : [];
  if (typeof wanted === "function") return given.length > wanted.length ? [`${at} takes too much`] : [];
  const names = new Set([...Object.keys(wanted), ...Object.keys(given)]);
  return [...names].filter((name) => name !== OWN).flatMap((name) => lacking(wanted[name], given[name], at ? `${at}.${name}` : name));
}

test("every language has every word", async () => {
  const files = readdirSync(WORDS);
  const languages = files.filter((file) => !file.includes("-later")).map((file) => file.replace(".js", ""));
  assert.ok(languages.includes("ru") && languages.includes("en"));
  for (const language of languages) {
    for (const part of ["", "-later"]) {
      assert.deepEqual(lacking(await wordsOf(`ru${part}.js`), await wordsOf(`${language}${part}.js`)), [], `${language}${part}`);
    }
  }
  assert.deepEqual(lacking({ a: "x", b: { c: () => "" }, d: ["x"] }, { a: " ", b: {}, d: "x" }), ["a is empty", "b.c is undefined, not function", "d is string, not object"]);
});

test("plural forms are right", async () => {
  const [ru, en] = await Promise.all(["ru-later.js", "en-later.js"].map(wordsOf));
  assert.deepEqual([1, 2, 5, 11, 21, 104].map((n) => ru.members(n)), ["1 участник", "2 участника", "5 участников", "11 участников", "21 участник", "104 участника"]);
  assert.deepEqual([1, 2].map((n) => en.members(n)), ["1 member", "2 members"]);
  assert.match(ru.notMembers("Анна", 1), /не узнает/);
  assert.match(ru.notMembers("Анна и Пётр", 2), /не узнают/);
});
