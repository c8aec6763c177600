import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { groups } from "../vendor/emoji.js";
import { words as english } from "../vendor/emoji-en.js";
import { words as russian } from "../vendor/emoji-ru.js";
import { VENDOR, vendored } from "./vendor.mjs";

const tools = [process.env.TEST_TOOLS, path.join(VENDOR, "../../target/web")].find((folder) => folder && existsSync(path.join(folder, "node_modules/esbuild")));

test("the vendored files are those of the packages", { skip: !tools && !process.env.CI && "the packages are not installed" }, async () => {
  const files = await vendored(tools ?? "");
  assert.deepEqual(readdirSync(VENDOR).sort(), Object.keys(files).sort());
  for (const [name, content] of Object.entries(files)) {
    assert.ok(readFileSync(path.join(VENDOR, name), "utf8") === content, `${name}: run node web/test/vendor.mjs`);
  }
});

test("every emoji has words in both languages, and is in its recommended form", () => {
  const all = groups.join(" ").split(" ").map((form) => /^(.+?)[ab]?(?:v[\d.]+)?$/.exec(form)?.[1] ?? "");
  assert.equal(new Set(all).size, all.length);
  for (const words of [english, russian]) {
    const lines = words.split("|");
    assert.equal(lines.length, all.length);
    assert.ok(lines.every((line) => line.split(";")[0]), "each has a name");
  }
  assert.match(english.split("|")[all.indexOf("😂")] ?? "", /;joy;/);
  assert.match(russian.split("|")[all.indexOf("😂")] ?? "", /смешно/);
  for (const emoji of ["👍", "❤️", "☺️", "1️⃣", "🇺🇳", "🏳️‍🌈"]) assert.ok(all.includes(emoji), emoji);
  assert.ok(!all.includes("👍\ufe0f") && !all.includes("❤"));
});
