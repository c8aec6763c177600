// Makes the files of `web/vendor` from the npm packages of `package.json`: the parser
// of Markdown, the highlighter of code, and the emoji with their names. They are
// committed, so that neither building the server nor running it needs Node.
//
//     node web/test/vendor.mjs [folder with node_modules]

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
export const VENDOR = path.join(here, "../vendor");

/**
 * @param {string} tools a folder with `node_modules`
 * @returns {Promise<Record<string, string>>} the content of each file
 */
export async function vendored(tools) {
  const require = createRequire(path.join(path.resolve(tools), "package.json"));
  const files = {
    "markdown.js": await bundle(require, tools, MARKDOWN, ["mdast-util-from-markdown", "micromark", "mdast-util-gfm-strikethrough", "micromark-extension-gfm-strikethrough"]),
    "highlight.js": await bundle(require, tools, HIGHLIGHT, ["highlight.js"]),
    ...emoji(require),
  };
  files["LICENSES.txt"] = licences(require);
  return files;
}

const MARKDOWN = [
  'export { fromMarkdown } from "mdast-util-from-markdown";',
  'export { gfmStrikethrough } from "micromark-extension-gfm-strikethrough";',
  'export { gfmStrikethroughFromMarkdown } from "mdast-util-gfm-strikethrough";',
].join("\n");

const LANGUAGES = ["bash", "c", "cpp", "css", "diff", "go", "java", "javascript", "json", "python", "rust", "sql", "typescript", "xml", "yaml"];
const HIGHLIGHT = [
  'import hljs from "highlight.js/lib/core";',
  ...LANGUAGES.map((name) => `import ${name} from "highlight.js/lib/languages/${name}"; hljs.registerLanguage("${name}", ${name});`),
  "export { hljs };",
].join("\n");

/** One module, in which a line never ends within a string: the server removes indentation. */
async function bundle(require, tools, contents, packages) {
  const { build } = require("esbuild");
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: path.resolve(tools) },
    bundle: true,
    format: "esm",
    target: "es2022",
    // Not the variant for browsers, which reads character references by `innerHTML`.
    platform: "neutral",
    mainFields: ["module", "main"],
    // Nothing here resolves character references, and their table is large.
    alias: { "decode-named-character-reference": path.join(here, "no-references.mjs") },
    supported: { "template-literal": false },
    minify: true,
    legalComments: "none",
    write: false,
  });
  const code = outputFiles[0].text.replaceAll("`", "\\x60");
  return `// @ts-nocheck\n// ${packages.map((name) => `${name} ${version(require, name)}`).join(", ")}. Made by test/vendor.mjs; licences in LICENSES.txt.\n${code}`;
}

/** The emoji by groups, and their words in each language, in the same order. */
function emoji(require) {
  const load = (language, file = "data") => require(`emojibase-data/${language}/${file}.json`);
  const codes = load("en", "shortcodes/github");
  const known = load("en").filter(({ group }) => group !== undefined && group !== COMPONENTS).sort((a, b) => a.order - b.order);
  const russian = new Map(load("ru").map((one) => [one.hexcode, one]));
  const groups = [...new Set(known.map(groupOf))].map((number) => known.filter((one) => groupOf(one) === number));
  const all = groups.flat();
  const words = {
    en: all.map(({ label, tags = [], hexcode }) => [label, ...[codes[hexcode] ?? []].flat(), ...tags]),
    ru: all.map(({ hexcode }) => [russian.get(hexcode)?.label ?? "", ...(russian.get(hexcode)?.tags ?? [])]),
  };
  const head = `// emojibase-data ${version(require, "emojibase-data")}. Made by test/vendor.mjs; licences in LICENSES.txt.\n`;
  const lines = (all) => JSON.stringify(all.map((words) => [...new Set(words)].map((word) => word.replace(/[;|`\\]/g, "")).join(";")).join("|"));
  const form = "// Each emoji, fully qualified; `a`: a skin tone stands behind its first character, `b`: also behind its last one; `v`: its version, from 14 on.\n";
  return {
    "emoji.js": `${head}${form}export const groups = ${JSON.stringify(groups.map((group) => group.map(formOf).join(" ")), null, 1)};\n`,
    "emoji-en.js": `${head}export const words = ${lines(words.en)};\n`,
    "emoji-ru.js": `${head}export const words = ${lines(words.ru)};\n`,
  };
}

const COMPONENTS = 2;

function groupOf({ group }) {
  return group;
}

function formOf({ emoji, skins = [], version }) {
  const qualified = qualify(emoji);
  const toned = skins.filter(({ tone }) => typeof tone === "number").map(({ emoji }) => qualify(emoji));
  const rule = toned.length === 5 ? ["a", "b"].find((rule) => toned.every((one, tone) => one === withTone(qualified, rule, tone + 1))) : "";
  if (rule === undefined) throw new Error(`no rule makes ${toned} of ${qualified}`);
  return qualified + rule + (version >= 14 ? `v${version}` : "");
}

/** The form that Unicode recommends: emojibase adds a variation selector to more. */
function qualify(emoji) {
  return !RGI.test(emoji) && RGI.test(emoji.replace(/\uFE0F$/, "")) ? emoji.replace(/\uFE0F$/, "") : emoji;
}

const RGI = new RegExp("^\\p{RGI_Emoji}$", "v");

/** The same rule is in `logic/emoji.js`. */
function withTone(emoji, rule, tone) {
  const sign = String.fromCodePoint(0x1f3fa + tone);
  const first = emoji.replace(/^(.)\uFE0F?/u, `$1${sign}`);
  return rule === "a" ? first : first.replace(/(.)\uFE0F?$/u, `$1${sign}`);
}

function version(require, name) {
  return require(path.join(folder(require, name), "package.json")).version;
}

function folder(require, name) {
  const found = require.resolve.paths(name).map((where) => path.join(where, name)).find((where) => {
    try {
      return readFileSync(path.join(where, "package.json"));
    } catch {
      return null;
    }
  });
  if (!found) throw new Error(`${name} is not installed`);
  return found;
}

function licences(require) {
  return PARTS.map(([names, file]) => `${names.map((name) => `${name} ${version(require, name)}`).join(", ")}\n\n${readFileSync(path.join(folder(require, names[0]), file), "utf8").trim()}\n`).join(`\n${"-".repeat(72)}\n\n`);
}

/** Packages with one licence, and its file. */
const PARTS = [
  [["micromark", "mdast-util-from-markdown", "mdast-util-gfm-strikethrough", "micromark-extension-gfm-strikethrough"], "license"],
  [["highlight.js"], "LICENSE"],
  [["emojibase-data"], "LICENSE"],
];

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const files = await vendored(process.argv[2] ?? process.env.TEST_TOOLS ?? path.join(here, "../../target/web"));
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(path.join(VENDOR, name), content);
    console.log(`${name}: ${content.length} characters`);
  }
}
