import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { test } from "node:test";

const WEB = new URL("../", import.meta.url);
const read = (/** @type {string} */ file) => readFileSync(new URL(file, WEB), "utf8");
const modules = readdirSync(WEB, { recursive: true, encoding: "utf8" }).filter(
  (file) => file.endsWith(".js") && !file.startsWith("test/") && !["sw.js", "first.js"].includes(file),
);

/** @param {string} file */
const isOfAdministration = (file) => file.startsWith("administration/") || /^words\/\w+\/administration\.js$/.test(file);

/**
 * All modules that a module imports, directly or not.
 * @param {string} file
 * @param {Set<string>} found
 */
function needs(file, found = new Set()) {
  for (const [, path = ""] of read(file).matchAll(/^import (?:[^;]*? from )?"(\.[^"]+)";/gm)) {
    const needed = posix.join(posix.dirname(file), path);
    if (!found.has(needed)) needs(needed, found.add(needed));
  }
  return found;
}

/**
 * The modules that index.html preloads, all of them or those of one template.
 * @param {string} [template]
 */
function named(template) {
  const page = read("index.html");
  const [, inside = ""] = template ? (new RegExp(`id="${template}-code"[^>]*>([^]*?)</template>`).exec(page) ?? []) : ["", page];
  return [...inside.matchAll(/rel="modulepreload" href="\/assets\/([^"]+)"/g)].map(([, path = ""]) => path).toSorted();
}

test("index.html names every module once, so that the service worker keeps all but those that need the server", () => {
  assert.deepEqual(named(), modules.filter((file) => file !== "app.js" && !isOfAdministration(file)).toSorted());
  for (const file of named()) assert.deepEqual([...needs(file)].filter(isOfAdministration), [], file);
});

test("the first view preloads exactly the modules that it imports", () => {
  const app = needs("app.js");
  const without = (/** @type {Set<string>} */ needed) => [...needed].filter((file) => !app.has(file)).toSorted();
  assert.deepEqual(named("chat"), without(needs("view/chat.js").add("view/chat.js")));
  assert.deepEqual(named("door"), without(needs("view/door.js").add("view/door.js")));
  const languages = ["ru", "en"].flatMap((language) => [[language, "first"], [`${language}-later`, "later"]]);
  for (const [part = "", file] of languages) assert.deepEqual(named(part), [`words/${part.slice(0, 2)}/${file}.js`]);
  const later = ["chat", "door", "later", "markdown", "rare", ...languages.map(([part = ""]) => part)].flatMap((part) => named(part));
  assert.deepEqual(named().filter((file) => !later.includes(file)), [...app].toSorted());
});

test("modules in logic/ use no DOM, no clock and no other modules of the page", () => {
  for (const file of modules.filter((name) => name.startsWith("logic/"))) {
    for (const needed of needs(file)) assert.match(needed, /^(logic|vendor)\//, `${file} needs ${needed}`);
    const code = read(file).replace(/\/\*[^]*?\*\/|^ *\/\/.*$/gm, "");
    assert.doesNotMatch(code, /\b(document|window|localStorage|indexedDB|WebSocket|setTimeout|Date\.now|Math\.random|performance)\b/, file);
  }
});

test("index.html has no inline code, and no module makes markup from text", () => {
  const page = read("index.html");
  assert.doesNotMatch(page, /\son\w+=|<style|style=|javascript:/i);
  for (const [tag] of page.matchAll(/<script[^>]*>/g)) assert.match(tag, /src="\/assets\//);
  for (const file of modules.filter((file) => file !== "vendor/highlight.js")) assert.doesNotMatch(read(file), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/, file);
});

test("the words that index.html names exist", async () => {
  const [{ first }, { later }] = [await import("../words/ru/first.js"), await import("../words/ru/later.js")];
  assert.deepEqual(Object.keys(first).filter((key) => key in later), []);
  const asked = [...read("index.html").matchAll(/data-t(?:-\w+)?="(\w+)"/g)].map(([, key]) => key);
  for (const key of asked) assert.equal(typeof (/** @type {any} */ (first)[key ?? ""]), "string", key);
});
