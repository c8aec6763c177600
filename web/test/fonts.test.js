import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { FONT_MAX_BYTES, FONTS, fonts } from "./fonts.mjs";

const tools = [process.env.TEST_TOOLS, path.join(FONTS, "../../target/web")].find((folder) => folder && existsSync(path.join(folder, "node_modules/subset-font")));

test("the fonts are small", () => {
  for (const name of readdirSync(FONTS)) {
    assert.ok(readFileSync(path.join(FONTS, name)).length <= FONT_MAX_BYTES, name);
  }
});

test("the fonts are those of the packages", { skip: !tools && !process.env.CI && "the packages are not installed" }, async () => {
  const files = await fonts(tools ?? "");
  assert.deepEqual(readdirSync(FONTS).sort(), Object.keys(files).sort());
  for (const [name, content] of Object.entries(files)) {
    assert.ok(content.equals(readFileSync(path.join(FONTS, name))), `${name}: run node web/test/fonts.mjs`);
  }
});
