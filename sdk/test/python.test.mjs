// The bot of `docs/bot.py`, on a real server.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

import { PASSWORD, Server } from "./server.mjs";

const BOT = path.join(path.dirname(fileURLToPath(import.meta.url)), "../../docs/bot.py");
const server = await Server.start();
after(() => server.stop());

test("the bot answers each question once, also across a restart of the server", { timeout: 120_000 }, async () => {
  await server.register("alice");
  const body = JSON.stringify({ username: "alice", password: PASSWORD });
  const login = await fetch(`${server.url}/api/login`, { method: "POST", headers: { "content-type": "application/json" }, body });
  const [cookie] = login.headers.get("set-cookie").split(";");

  /**
   * @param {string} query
   * @param {object} [message]
   */
  const messages = async (query, message) => {
    const init = message ? { method: "POST", body: JSON.stringify(message) } : {};
    const headers = { cookie, origin: server.url, "content-type": "application/json" };
    const answer = await fetch(`${server.url}/api/rooms/default/messages${query}`, { ...init, headers });
    assert.ok(answer.ok, `${answer.status}: ${await answer.clone().text()}`);
    return answer.json();
  };
  /** The answers of the bot, once there are so many. */
  const answers = async (count) => {
    for (;;) {
      const all = (await messages("?limit=100")).messages.filter(({ from }) => from === "clock");
      if (all.length >= count) return all;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };

  const before = await messages("", { text: "!time" });
  const token = /bot_[\w-]+/.exec(await server.command("bot", "add", "clock", "--room", "default"))?.[0];
  assert.ok(token);
  const bot = spawn("python3", [BOT, server.url, "default"], { env: { ...process.env, CHAT_TOKEN: token }, stdio: ["ignore", "pipe", "pipe"] });
  after(() => bot.kill());
  const complaints = createInterface(bot.stderr);
  const [line] = await once(createInterface(bot.stdout), "line");
  assert.equal(line, `listening after message ${before.seq}`);

  const first = await messages("", { text: "!time" });
  await messages("", { text: "what is the !time" });
  const [answer] = await answers(1);
  assert.equal(answer.reply_to, first.seq);
  assert.match(answer.text, /^It is \d\d:\d\d UTC\.$/);

  const complaint = once(complaints, "line");
  await server.end("SIGKILL");
  assert.match(String(await complaint), /will try again/);
  await server.restart();
  const second = await messages("", { text: "!time" });
  assert.deepEqual((await answers(2)).map(({ reply_to: to }) => to), [first.seq, second.seq]);
});
