// Every language has every word.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

const WEB = path.join(path.dirname(fileURLToPath(import.meta.url)), "..");
const WORDS = path.join(WEB, "words");
const PARTS = ["administration", "first", "later"];
/** Titles that the server gives: each language translates those that are not in it. */
const OWN = "roomTitles";
/** The folders: `ru`, and files: `de.js`. */
const ALL = readdirSync(WORDS);
const FOLDERS = ALL.filter((name) => statSync(path.join(WORDS, name)).isDirectory());

/**
 * A part of the words of a language: `words/ru/first.js` has `first`, `words/de.js` has all.
 * @param {string} name of a folder or file
 * @param {string} part
 * @param {string} [words] the folder of the languages
 */
async function wordsOf(name, part, words = WORDS) {
  const file = path.join(words, name.endsWith(".js") ? name : `${name}/${part}.js`);
  return (await import(pathToFileURL(file).href))[part];
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

/**
 * What a language lacks.
 * @param {string} name of its folder or file
 * @param {string} [words] the folder of the languages
 */
async function lackingIn(name, words) {
  const found = await Promise.all(PARTS.map(async (part) => lacking(await wordsOf("ru", part), await wordsOf(name, part, words), part)));
  return found.flat();
}

test("every language has every word", async () => {
  assert.ok(FOLDERS.includes("ru") && FOLDERS.includes("en"));
  for (const folder of FOLDERS) assert.deepEqual(readdirSync(path.join(WORDS, folder)).toSorted(), PARTS.map((part) => `${part}.js`));
  for (const name of ALL) {
    assert.match(name, /^[a-z]{2}(\.js)?$/);
    assert.deepEqual(await lackingIn(name), [], name);
  }
  assert.deepEqual(lacking({ a: "x", b: { c: () => "" }, d: ["x"] }, { a: " ", b: {}, d: "x" }), ["a is empty", "b.c is undefined, not function", "d is string, not object"]);
});

test("one file is a language, and what it lacks is found", async (context) => {
  const folder = mkdtempSync(path.join(tmpdir(), "words-"));
  context.after(() => rmSync(folder, { recursive: true }));
  /** A made-up language: English, each text in other quotation marks. */
  const begin = PARTS.map((part) => `import { ${part} as ${part}En } from ${JSON.stringify(pathToFileURL(path.join(WORDS, "en", `${part}.js`)).href)};`).join("\n");
  const made = `${begin}
const other = (text) => (typeof text === "string" ? "«" + text + "»" : typeof text === "function" || Array.isArray(text) ? text : Object.fromEntries(Object.entries(text).map(([key, value]) => [key, other(value)])));
${PARTS.map((part) => `export const ${part} = other(${part}En);`).join("\n")}`;
  writeFileSync(path.join(folder, "eo.js"), made);
  assert.deepEqual(await lackingIn("eo.js", folder), []);
  assert.equal((await wordsOf("eo.js", "first", folder)).chat, "«Chat»");
  writeFileSync(path.join(folder, "ia.js"), `${made}\ndelete later.signIn;\nfirst.chat = "";\nadministration.refusals = {};`);
  const lacks = await lackingIn("ia.js", folder);
  for (const fault of ["later.signIn is undefined, not string", "first.chat is empty", "administration.refusals.noInvite is undefined, not string"]) assert.ok(lacks.includes(fault), String(lacks));
});

test("every language of a folder can be chosen, and stands in the two documents", () => {
  const page = read("index.html");
  const named = [...page.matchAll(/<template id="(\w+)-code" data-name="[^"]+"><link rel="modulepreload" href="\/assets\/words\/(\w+)\/first\.js">/g)].map(([, id, folder]) => (id === folder ? id : ""));
  assert.deepEqual(named.toSorted(), FOLDERS.toSorted(), "a template of index.html for each");
  for (const folder of FOLDERS) assert.match(page, new RegExp(`<template id="${folder}-later-code"><link rel="modulepreload" href="/assets/words/${folder}/later.js">`));
  const gone = [...read("not-found.html").matchAll(/<main lang="(\w+)"/g)].map(([, language = ""]) => language);
  for (const folder of FOLDERS) assert.ok(gone.includes(folder), `a part of not-found.html for ${folder}`);
});

test("plural forms are right", async () => {
  const [ru, en] = await Promise.all(["ru", "en"].map((language) => wordsOf(language, "later")));
  assert.deepEqual([1, 2, 5, 11, 21, 104].map((n) => ru.members(n)), ["1 участник", "2 участника", "5 участников", "11 участников", "21 участник", "104 участника"]);
  assert.deepEqual([1, 2].map((n) => en.members(n)), ["1 member", "2 members"]);
  assert.match(ru.notMembers("Анна", 1), /не узнает/);
  assert.match(ru.notMembers("Анна и Пётр", 2), /не узнают/);
});
