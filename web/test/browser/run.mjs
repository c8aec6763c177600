// Runs files of scenarios: `node run.mjs [--concurrency=N] [--name=PATTERN] FILE...`
//
// A file with a scenario that failed is run once more, alone, with a new server and a
// new browser. The run fails if a scenario fails again. What passed only the second time
// is listed at the end: such a scenario, or the page, has a race that must be mended.
//
// With SECONDS_LEFT in the environment, no file begins after so many seconds. The files that were left out are
// listed at the end, and the exit code is 75. Each day begins with another file, so that a slow machine
// does not always leave out the same ones.

import path from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { concurrency: { type: "string", default: "1" }, name: { type: "string" } },
});

const LEFT_SOME_OUT = 75;
const { SECONDS_LEFT } = process.env;
const deadline = SECONDS_LEFT === undefined ? Infinity : Date.now() + Number(SECONDS_LEFT) * 1_000;
/** @type {string[]} */
const leftOut = [];
const start = SECONDS_LEFT === undefined ? 0 : Math.floor(Date.now() / 86_400_000) % positionals.length;

const first = await played([...positionals.slice(start), ...positionals.slice(0, start)], Number(values.concurrency));
if (first.failed.size > 0) {
  const again = [...new Set(first.failed.values())];
  console.log(`\n==> ${names(first.failed.keys())} failed. Run once more, alone: ${again.map((file) => path.basename(file)).join(", ")}\n`);
  // These are always played: what failed once may be broken.
  const second = await played(again, 1, Infinity);
  const late = [...first.failed.keys()].filter((name) => second.passed.has(name));
  const failed = [...first.failed.keys(), ...second.failed.keys()].filter((name) => !second.passed.has(name));
  if (late.length > 0) console.log(`\nwarning: passed only the second time: ${names(late)}`);
  if (failed.length > 0) {
    console.log(`\nerror: failed twice: ${names(new Set(failed))}`);
    process.exitCode = 1;
  }
}

if (leftOut.length > 0) {
  console.log(`\nwarning: not played for lack of time: ${leftOut.map((file) => path.basename(file)).join(", ")}`);
  process.exitCode ??= LEFT_SOME_OUT;
}

// What a file that crashed has left running must not keep this from ending.
process.stdout.write("", () => process.exit());

/**
 * Runs files, and prints what happens in each.
 * @param {string[]} files
 * @param {number} concurrency how many files at once
 * @param {number} until when the last file may begin
 * @returns {Promise<{ failed: Map<string, string>, passed: Set<string> }>} the scenarios that failed, with their files, and those that passed
 */
async function played(files, concurrency, until = deadline) {
  /** @type {Map<string, string>} */
  const failed = new Map();
  /** @type {Set<string>} */
  const passed = new Set();
  const waiting = [...files];
  const play = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      if (Date.now() > until) {
        leftOut.push(file);
        continue;
      }
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
  if (passed.size + failed.size === 0 && leftOut.length === 0) throw new Error("no scenario ran");
  return { failed, passed };
}

/** @param {Iterable<string>} scenarios */
function names(scenarios) {
  return [...scenarios].map((name) => `“${name}”`).join(", ");
}
