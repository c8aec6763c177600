// The npm package, packed and unpacked, on a real server.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";

import { make } from "../javascript/make.mjs";
import { PASSWORD, Server } from "./server.mjs";

const { TEST_TOOLS } = process.env;
const server = await Server.start();
after(() => server.stop());
const installed = path.join(server.folder, "node_modules/chat-v2");
install();
const { Chat, signIn } = await import(pathToFileURL(path.join(installed, "chat.js")).href);

function install() {
  const made = path.join(server.folder, "made");
  make(made, TEST_TOOLS);
  execFileSync("npm", ["pack", "--silent", "--pack-destination", server.folder], { cwd: made, stdio: "inherit" });
  mkdirSync(installed, { recursive: true });
  execFileSync("tar", ["-xzf", path.join(server.folder, "chat-v2-0.1.0.tgz"), "-C", installed, "--strip-components=1"]);
}

/**
 * A client that is in a room, and what arrives there.
 * @param {string} user
 * @param {string} room
 */
async function enter(user, room) {
  /** @type {string[]} */
  const arrived = [];
  /** @type {(() => void)[]} */
  const waiting = [];
  const listener = (output) => {
    if (output.do === "arrived" && output.key === `#${room}`) {
      arrived.push(output.entry.text);
      waiting.splice(0).forEach((wake) => wake());
    }
  };
  const chat = new Chat({ url: server.url, user, token: await signIn(server.url, user, PASSWORD), listener });
  after(() => chat.end());
  chat.join(room);
  /** @param {string} text */
  const until = async (text) => {
    while (!arrived.includes(text)) await new Promise((resolve) => waiting.push(() => resolve(undefined)));
  };
  return { chat, arrived, until };
}

test("a program keeps its messages across a restart of the server", { timeout: 120_000 }, async () => {
  await Promise.all([server.register("alice"), server.register("bob")]);
  const { chat, arrived, until } = await enter("alice", "kitchen");
  const program = spawn(process.execPath, ["--experimental-websocket", "example.js", server.url, "bob", PASSWORD, "kitchen"], {
    cwd: installed,
    stdio: ["pipe", "pipe", "inherit"],
  });
  after(() => program.kill("SIGKILL"));
  let printed = "";
  program.stdout.on("data", (data) => (printed += data));

  program.stdin.write("one\n");
  await until("one");
  // It is sent, and nobody acknowledges it.
  server.suspend();
  const sent = chat.send("#kitchen", "from alice");
  assert.equal(chat.client.outbox.items.at(-1).state, "sending");
  await server.end("SIGKILL");
  program.stdin.write("two\nthree\n");
  await server.restart();
  await until("three");
  assert.ok((await sent) > 1);
  // The program ends when its input does, and all is stored.
  program.stdin.end("four\n");
  const [code] = await once(program, "exit");
  assert.equal(code, 0);
  await until("four");
  assert.equal(chat.messages("#kitchen").filter(({ text }) => text === "from alice").length, 1);
  assert.deepEqual(arrived.filter((text) => text !== "from alice"), ["one", "two", "three", "four"]);
  assert.deepEqual(chat.messages("#kitchen").map(({ text }) => text).filter((text) => text !== "from alice"), ["one", "two", "three", "four"]);
  assert.match(printed, /alice: from alice/);
  chat.end();
});

test("what is refused, and what is not sent any more, is an error", { timeout: 120_000 }, async () => {
  await assert.rejects(signIn(server.url, "nobody", "wrong password"), /credentials/);
  await server.register("carol");
  const { chat } = await enter("carol", "garden");
  await assert.rejects(chat.send("#garden", "x".repeat(4_097)), /text_too_long/);
  const unsent = chat.send("#never-joined", "x");
  chat.end();
  await assert.rejects(unsent, /ended/);
});

test("a program in TypeScript has the types", () => {
  writeFileSync(
    path.join(server.folder, "program.ts"),
    `import { Chat, type Output } from "chat-v2";
import { Outbox } from "chat-v2/logic/outbox.js";
const chat = new Chat({ url: "http://localhost", user: "a", listener: (output: Output) => { if (output.do === "arrived") output.entry.text.trim(); } });
const seq: number = await chat.send("#kitchen", "hi");
// @ts-expect-error a key has a room or a user
chat.send("kitchen", "hi");
export { Outbox, seq };
`,
  );
  writeFileSync(path.join(server.folder, "package.json"), `{"type":"module"}`);
  const tsc = path.join(TEST_TOOLS, "node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, "--noEmit", "--strict", "--target", "ES2024", "--module", "NodeNext", "--lib", "ES2024,DOM", "program.ts"], { cwd: server.folder, stdio: "inherit" });
});
