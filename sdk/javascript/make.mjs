// Makes the npm package of the client: this folder's files, the page's `logic/` and `driver.js`, and
// their types.
//
//     node sdk/javascript/make.mjs [folder to make] [folder with node_modules/typescript]

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.join(here, "../..");

/**
 * @param {string} folder is made anew
 * @param {string} tools
 */
export function make(folder, tools) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(path.join(folder, "vendor"), { recursive: true });
  for (const file of ["package.json", "README.md", "chat.js", "example.js"]) {
    cpSync(path.join(here, file), path.join(folder, file));
  }
  cpSync(path.join(root, "LICENSE"), path.join(folder, "LICENSE"));
  cpSync(path.join(root, "web/driver.js"), path.join(folder, "driver.js"));
  cpSync(path.join(root, "web/logic"), path.join(folder, "logic"), { recursive: true });
  for (const file of ["markdown.js", "LICENSES.txt"]) {
    cpSync(path.join(root, "web/vendor", file), path.join(folder, "vendor", file));
  }
  // The page's own rules (`web/tsconfig.json`), and declarations.
  const config = path.join(folder, "tsconfig.json");
  const compilerOptions = { noEmit: false, declaration: true, emitDeclarationOnly: true, outDir: ".", rootDir: "." };
  writeFileSync(config, JSON.stringify({ extends: path.join(root, "web/tsconfig.json"), compilerOptions, include: ["chat.js", "driver.js", "logic"], exclude: [] }));
  execFileSync(process.execPath, [path.join(tools, "node_modules/typescript/bin/tsc"), "--project", config], { stdio: "inherit" });
  rmSync(config);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder = path.join(root, "target/npm/chat-v2"), tools = path.join(root, "target/web")] = process.argv.slice(2);
  make(path.resolve(folder), path.resolve(tools));
}
