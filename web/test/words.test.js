// Every language has every word.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const WEB = path.join(path.dirname(fileURLToPath(import.meta.url)), "..");
const LANGUAGES = readdirSync(path.join(WEB, "words"));
const PARTS = ["administration", "first", "later"];
/** Titles that the server gives: each language translates those that are not in it. */
const OWN = "roomTitles";

/**
 * The words of a language: `words/ru/first.js` has `first`, `words/ru/later.js` has `later`.
 * @param {string} language
 * @param {string} part
 */
async function wordsOf(language, part) {
  return (await import(path.join(WEB, "words", language, `${part}.js`)))[part];
}

/** @param {string} file */
const read = (file) => readFileSync(path.join(WEB, file), "utf8");

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
  assert.ok(LANGUAGES.includes("ru") && LANGUAGES.includes("en"));
  for (const language of LANGUAGES) {
    assert.deepEqual(readdirSync(path.join(WEB, "words", language)).toSorted(), PARTS.map((part) => `${part}.js`));
    for (const part of PARTS) {
      assert.deepEqual(lacking(await wordsOf("ru", part), await wordsOf(language, part)), [], `${language} ${part}`);
    }
  }
  assert.deepEqual(lacking({ a: "x", b: { c: () => "" }, d: ["x"] }, { a: " ", b: {}, d: "x" }), ["a is empty", "b.c is undefined, not function", "d is string, not object"]);
});

test("every language can be chosen, and stands in the two documents", () => {
  const page = read("index.html");
  const named = [...page.matchAll(/<template id="(\w+)-code" data-name="[^"]+"><link rel="modulepreload" href="\/assets\/words\/(\w+)\/first\.js">/g)].map(([, id, folder]) => (id === folder ? id : ""));
  assert.deepEqual(named.toSorted(), LANGUAGES.toSorted(), "a template of index.html for each");
  for (const language of LANGUAGES) assert.match(page, new RegExp(`<template id="${language}-later-code"><link rel="modulepreload" href="/assets/words/${language}/later.js">`));
  const gone = [...read("not-found.html").matchAll(/<main lang="(\w+)"/g)].map(([, language]) => language);
  assert.deepEqual(gone.toSorted(), LANGUAGES.toSorted(), "a part of not-found.html for each");
});

test("plural forms are right", async () => {
  const [ru, en] = await Promise.all(["ru", "en"].map((language) => wordsOf(language, "later")));
  assert.deepEqual([1, 2, 5, 11, 21, 104].map((n) => ru.members(n)), ["1 участник", "2 участника", "5 участников", "11 участников", "21 участник", "104 участника"]);
  assert.deepEqual([1, 2].map((n) => en.members(n)), ["1 member", "2 members"]);
  assert.match(ru.notMembers("Анна", 1), /не узнает/);
  assert.match(ru.notMembers("Анна и Пётр", 2), /не узнают/);
});
