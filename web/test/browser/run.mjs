// Runs files of scenarios: `node run.mjs [--concurrency=N] [--name=PATTERN] FILE...`
//
// A file with a scenario that failed is run once more, alone, with a new server and a
// new browser. The run fails if a scenario fails again. What passed only the second time
// is listed at the end: such a scenario, or the page, has a race that must be mended.

import path from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { concurrency: { type: "string", default: "1" }, name: { type: "string" } },
});

const first = await played(positionals, Number(values.concurrency));
if (first.failed.size > 0) {
  const again = [...new Set(first.failed.values())];
  console.log(`\n==> ${names(first.failed.keys())} failed. Run once more, alone: ${again.map((file) => path.basename(file)).join(", ")}\n`);
  const second = await played(again, 1);
  const late = [...first.failed.keys()].filter((name) => second.passed.has(name));
  const failed = [...first.failed.keys(), ...second.failed.keys()].filter((name) => !second.passed.has(name));
  if (late.length > 0) console.log(`\nwarning: passed only the second time: ${names(late)}`);
  if (failed.length > 0) {
    console.log(`\nerror: failed twice: ${names(new Set(failed))}`);
    process.exitCode = 1;
  }
}

// What a file that crashed has left running must not keep this from ending.
process.stdout.write("", () => process.exit());

/**
 * Runs files, and prints what happens in each.
 * @param {string[]} files
 * @param {number} concurrency how many files at once
 * @returns {Promise<{ failed: Map<string, string>, passed: Set<string> }>} the scenarios that failed, with their files, and those that passed
 */
async function played(files, concurrency) {
  /** @type {Map<string, string>} */
  const failed = new Map();
  /** @type {Set<string>} */
  const passed = new Set();
  const waiting = [...files];
  const play = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const named = values.name ? { testNamePatterns: [new RegExp(values.name)] } : {};
      const events = run({ files: [path.resolve(file)], concurrency: 1, ...named });
      const of = file;
      events.on("test:fail", ({ name }) => failed.set(name, of));
      events.on("test:pass", ({ name, skip }) => skip === undefined && passed.add(name));
      let text = "";
      for await (const part of events.compose(new spec())) text += part;
      process.stdout.write(`\n${path.basename(file)}\n${text}`);
      // A file that failed outside its scenarios, as its server did not start, has its path as the name.
      if (![...failed.values()].includes(of)) passed.add(file).add(path.resolve(file)).add(path.relative("", file));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, play));
  if (passed.size + failed.size === 0) throw new Error("no scenario ran");
  return { failed, passed };
}

/** @param {Iterable<string>} scenarios */
function names(scenarios) {
  return [...scenarios].map((name) => `“${name}”`).join(", ");
}
