// Makes the files of `web/fonts` from the npm packages of `package.json`: Inter for text
// and JetBrains Mono for code, with Latin and Cyrillic letters and the weights 400 to 700.
// They are committed, so that neither building the server nor running it needs Node.
//
//     node web/test/fonts.mjs [folder with node_modules]

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
export const FONTS = path.join(here, "../fonts");
/** The largest font, in bytes. */
export const FONT_MAX_BYTES = 60_000;

const LATIN = `${range(0x20, 0x7e)}${range(0xa0, 0xff)}ŁłŒœŠšŸŽžı–—‘’‚“”„†•…‰‹›\u2060`;
const CYRILLIC = `${range(0x400, 0x45f)}Ґґ№`;
const SIGNS = "€™−≈≠≤≥←↑→↓↵⌘⇧⌥×·✓";
const CODE = "@fontsource-variable/jetbrains-mono";
const WEIGHTS = { min: 400, max: 700 };
/** Figures of one width, and what letters need; `opsz`: one design for all sizes. */
const TEXT_FEATURES = ["kern", "mark", "mkmk", "ccmp", "locl", "calt", "tnum", "case"];

/** @type {Record<string, { source: string, letters: string, axes: any, features: string[] }>} */
const FILES = {
  "text.woff2": { source: "inter-ui/variable/InterVariable.woff2", letters: LATIN + CYRILLIC + SIGNS, axes: { wght: WEIGHTS, opsz: 14 }, features: TEXT_FEATURES },
  "code.woff2": { source: `${CODE}/files/jetbrains-mono-latin-wght-normal.woff2`, letters: LATIN + SIGNS, axes: { wght: WEIGHTS }, features: ["ccmp", "locl"] },
  "code-cyrillic.woff2": { source: `${CODE}/files/jetbrains-mono-cyrillic-wght-normal.woff2`, letters: CYRILLIC, axes: { wght: WEIGHTS }, features: ["ccmp", "locl"] },
};

/**
 * @param {string} tools a folder with `node_modules`
 * @returns {Promise<Record<string, Buffer>>} the content of each file
 */
export async function fonts(tools) {
  const packages = path.join(path.resolve(tools), "node_modules");
  const subset = createRequire(path.join(path.resolve(tools), "package.json"))("subset-font");
  /** @type {Record<string, Buffer>} */
  const files = {};
  for (const [name, { source, letters, axes, features }] of Object.entries(FILES)) {
    const whole = readFileSync(path.join(packages, source));
    files[name] = await subset(whole, letters, { targetFormat: "woff2", variationAxes: axes, keepFeatures: features });
  }
  const licences = ["inter-ui/LICENSE.txt", `${CODE}/LICENSE`].map((file) => readFileSync(path.join(packages, file), "utf8").trim());
  files["LICENSES.txt"] = Buffer.from(`${licences.join(`\n\n${"-".repeat(72)}\n\n`)}\n`);
  return files;
}

/**
 * @param {number} first
 * @param {number} last
 */
function range(first, last) {
  return String.fromCodePoint(...Array.from({ length: last - first + 1 }, (_, at) => first + at));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const made = await fonts(process.argv[2] ?? process.env.TEST_TOOLS ?? path.join(here, "../../target/web"));
  for (const [name, content] of Object.entries(made)) {
    writeFileSync(path.join(FONTS, name), content);
    console.log(`${name}: ${content.length} bytes`);
  }
}
