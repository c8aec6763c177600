// The tokens of `style/tokens.css`: nothing else has values of its own, and the contrast
// of the colours is that of WCAG 2.2 AA in both looks and with every accent.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const STYLES = path.join(path.dirname(fileURLToPath(import.meta.url)), "../style");
/** @param {string} file */
const style = (file) => readFileSync(path.join(STYLES, file), "utf8").replace(/\/\*[^]*?\*\//g, "");
const tokens = style("tokens.css");

/** What only tokens may say. @type {[what: string, RegExp][]} */
const RAW = [
  ["a colour", /#[0-9a-f]{3,8}\b|\b(?:rgba?|hsla?|oklch|oklab|light-dark|color-mix)\(|(?<![-\w])(?:white|black|red|gray|grey)(?![-\w])/i],
  ["a duration", /(?<![-\w.])(?!0s)[\d.]+m?s\b/],
  ["a size of text", /font-size: (?!var\(|max\(var\(|inherit|0;)/],
  ["a weight", /font-weight: (?!var\()/],
  ["a line height", /line-height: (?!var\(|1;|[\d.]+rem;|inherit)/],
  ["a font", /font-family: (?!var\()|font: (?!inherit|[^;]*var\(--(?:sans|mono)\))/],
  ["a corner", /border-radius: (?!var\(|calc\(var\(|50%|0;|0 |inherit)/],
  ["a space", /(?:gap|padding[a-z-]*|margin[a-z-]*): [^;]*(?<![-\w.])(?:0\.6|0\.75|1\.1|1\.25)rem/],
  ["a shadow", /box-shadow: (?!var\(|inset |0 0 0 1px var\(|none)/],
];

/**
 * The lines of a style that say what only tokens may say.
 * @param {string} text
 */
function rawIn(text) {
  return text.split("\n").flatMap((line) => RAW.filter(([, raw]) => raw.test(line)).map(([what]) => `${what}: ${line.trim()}`));
}

test("only tokens have colours, sizes, weights, corners, shadows and durations", () => {
  for (const file of readdirSync(STYLES).filter((file) => file !== "tokens.css" && file !== "fonts.css")) {
    assert.deepEqual(rawIn(style(file)), [], file);
  }
  for (const line of ["color: #fff;", "background: rgb(0 0 0);", "transition: color 0.2s;", "font-size: 14px;", "font-weight: 500;", "border-radius: 3px;", "box-shadow: 0 1px 2px var(--ink);", "color: white;", "line-height: 1.4;", "margin: 0 1.25rem;"]) {
    assert.equal(rawIn(line).length > 0, true, line);
  }
});

test("every token that is used exists, and every one is used", () => {
  const all = readdirSync(STYLES).map(style).join("\n");
  const declared = new Set(Array.from(all.matchAll(/(--[\w-]+):/g), ([, name]) => name));
  const used = new Set(Array.from(all.matchAll(/var\((--[\w-]+)/g), ([, name]) => name));
  // Set by the code, for each element.
  const byCode = ["--ratio", "--width", "--sent", "--shift", "--drawn"];
  assert.deepEqual([...used].filter((name) => !declared.has(name) && !byCode.includes(name ?? "")), []);
  assert.deepEqual([...declared].filter((name) => !used.has(name)), []);
});

test("the contrast is that of AA in both looks, with every accent", () => {
  const surfaces = ["page", "paper", "raised"];
  /** @type {[string, string[], number][]} */
  const pairs = [
    ["ink", [...surfaces, "accent-soft", "mention", "found", "thumb"], 4.5],
    ["quiet", [...surfaces, "accent-soft", "mention", "track"], 4.5],
    ["accent", ["page", "paper", "accent-soft", "mention"], 4.5],
    ["accent-strong", ["paper"], 4.5],
    ["on-accent", ["accent", "accent-strong"], 4.5],
    ["wrong", ["page", "paper", "wrong-soft"], 4.5],
    ["loud", ["page", "paper"], 4.5],
    ["on-loud", ["loud"], 4.5],
    ["paper", ["ink"], 4.5],
    ["on-night", ["night"], 4.5],
    ["night-quiet", ["night"], 4.5],
    ["edge", ["page", "paper"], 3],
    ["online", ["page", "paper"], 3],
    ...["comment", "keyword", "string", "number", "title"].map((part) => /** @type {[string, string[], number]} */ ([`code-${part}`, ["raised"], 4.5])),
  ];
  const accents = Array.from(tokens.matchAll(/data-accent="(\w+)"/g), ([, name]) => name);
  assert.deepEqual(accents, ["green", "violet", "orange", "red", "teal", "pink", "graphite"]);
  for (const isDark of [false, true]) {
    for (const accent of ["", ...accents]) {
      const palette = paletteOf(`[data-accent="${accent}"]`);
      const of = (/** @type {string} */ name) => luminance(palette, `var(--${name})`, isDark);
      for (const [text, grounds, min] of pairs) {
        for (const ground of grounds) {
          const found = contrast(of(text), of(ground));
          assert.ok(found >= min, `${isDark ? "dark" : "light"} ${accent} ${text} on ${ground}: ${found.toFixed(2)} < ${min}`);
        }
      }
    }
    for (let tint = 0; tint < 8; tint += 1) {
      const palette = paletteOf(`[data-tint="${tint}"]`);
      const of = (/** @type {string} */ name) => luminance(palette, `var(--${name})`, isDark);
      assert.ok(contrast(of("on-tint"), of("tint")) >= 4.5, `tint ${tint}`);
      assert.ok(contrast(of("tint-name"), of("paper")) >= 4.5 && contrast(of("tint-name"), of("mention")) >= 4.5, `name of tint ${tint}`);
    }
    const palette = paletteOf("");
    const [thumb, track] = ["thumb", "track"].map((name) => luminance(palette, `var(--${name})`, isDark));
    assert.ok(Number(thumb) > Number(track), "the selected part is lighter than its track");
  }
});

test("what is found is written in a colour that is measured on its ground", () => {
  const rules = readdirSync(STYLES).filter((file) => file !== "tokens.css").flatMap((file) => [...style(file).matchAll(/[^{}]*\{[^{}]*background: var\(--found\);[^{}]*\}/g)].map(([rule]) => rule));
  assert.equal(rules.length > 0, true);
  // A quiet text around it, such as the name of a file, would have too little contrast.
  for (const rule of rules) assert.match(rule, /[\s;]color: var\(--ink\);/);
});

/**
 * The tokens of the root, and those of another rule.
 * @param {string} selector
 */
function paletteOf(selector) {
  const rules = [":root {", "\n[data-tint] {", `${selector} {`].map((start) => {
    const at = selector && start.startsWith(selector) ? tokens.indexOf(start) : tokens.indexOf(start);
    return at < 0 ? "" : tokens.slice(at, tokens.indexOf("}", at));
  });
  return new Map(Array.from(rules.join("").matchAll(/(--[\w-]+):\s*([^;]+);/g), ([, name = "", value = ""]) => [name, value]));
}

/**
 * @param {Map<string, string>} palette
 * @param {string} value of a token
 * @param {boolean} isDark
 * @returns {number} WCAG's relative luminance
 */
function luminance(palette, value, isDark) {
  let plain = value;
  while (plain.includes("var(")) {
    plain = plain.replace(/var\((--[\w-]+)\)/g, (_, name) => palette.get(name) ?? assert.fail(`there is no ${name}`));
  }
  plain = plain.replace(/calc\(([\d.]+) \* ([\d.]+)\)/g, (_, a, b) => String(a * b));
  const [, light, dark] = /^light-dark\((.+\)|#\w+), (.+)\)$/.exec(plain) ?? [, plain, plain];
  const [r = 0, g = 0, b = 0] = linear(String(isDark ? dark : light));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/**
 * @param {string} colour `#rrggbb` or `oklch(l c h)`
 * @returns {number[]} linear sRGB, clipped to its gamut
 */
function linear(colour) {
  const lch = /^oklch\(([\d.]+) ([\d.]+) ([\d.]+)\)$/.exec(colour)?.slice(1).map(Number);
  if (!lch) {
    assert.match(colour, /^#[0-9a-f]{6}$/);
    return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  }
  const [lightness = 0, chroma = 0, hue = 0] = lch;
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((part) => Math.min(1, Math.max(0, part)));
}

/**
 * @param {number} a
 * @param {number} b
 */
function contrast(a, b) {
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
