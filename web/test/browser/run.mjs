// Runs files of scenarios: `node run.mjs [--concurrency=N] [--name=PATTERN] FILE...`
//
// A file with a scenario that failed is run once more, alone, with a new server and a
// new browser. The run fails if it fails again. What passed only the second time is
// listed at the end: such a scenario, or the page, has a race that must be mended.

import path from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { concurrency: { type: "string", default: "1" }, name: { type: "string" } },
});
const files = positionals.map((file) => path.resolve(file));

const first = await played(files, Number(values.concurrency));
if (first.size > 0) {
  const again = [...new Set(first.values())];
  console.log(`\n==> ${names(first)} failed. Run once more, alone: ${again.map((file) => path.basename(file)).join(", ")}\n`);
  const second = await played(again, 1);
  for (const failed of second.keys()) first.delete(failed);
  if (first.size > 0) console.log(`\nwarning: passed only the second time: ${names(first)}`);
  if (second.size > 0) console.log(`\nerror: failed twice: ${names(second)}`);
  process.exitCode = second.size > 0 ? 1 : 0;
}

/**
 * Runs files, and prints what happens.
 * @param {string[]} files
 * @param {number} concurrency how many files at once
 * @returns {Promise<Map<string, string>>} the scenarios that failed, with their files
 */
async function played(files, concurrency) {
  /** @type {Map<string, string>} */
  const failed = new Map();
  let count = 0;
  const events = run({ files, concurrency, ...(values.name ? { testNamePatterns: [new RegExp(values.name)] } : {}) });
  events.on("test:fail", ({ name, file }) => failed.set(name, file ?? files[0]));
  events.on("test:pass", () => (count += 1));
  for await (const text of events.compose(new spec())) process.stdout.write(text);
  if (count + failed.size === 0) throw new Error("no scenario ran");
  return failed;
}

/** @param {Map<string, string>} scenarios */
function names(scenarios) {
  return [...scenarios.keys()].map((name) => `“${name}”`).join(", ");
}
