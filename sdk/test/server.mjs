// A server of a test, with users. `cargo xtask test sdk` sets the paths in the environment.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

const { TEST_SERVER, PATH, LLVM_PROFILE_FILE = "" } = process.env;
if (!TEST_SERVER) {
  throw new Error("run this by `cargo xtask test sdk`, or set TEST_SERVER and TEST_TOOLS (a folder with node_modules)");
}

export const PASSWORD = "correct horse";

export class Server {
  folder = mkdtempSync(path.join(tmpdir(), "chat-sdk-"));
  url = "";
  #port = 0;
  #flags;
  #process;

  /** @param {string[]} flags */
  constructor(flags) {
    this.#flags = flags;
  }

  /** @param {...string} flags of the server, beside its folders */
  static async start(...flags) {
    const server = new Server(flags);
    await server.restart();
    return server;
  }

  /** Starts again, with the same folder and the same port. */
  async restart() {
    this.#process = spawn(TEST_SERVER, ["--listen", `127.0.0.1:${this.#port}`, ...this.#flags, ...this.#folders], {
      env: { PATH, LLVM_PROFILE_FILE, CHAT_LOG: "warn" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await once(createInterface(this.#process.stdout), "line");
    this.#port = Number(/:(\d+)\D*$/.exec(line)?.[1]);
    this.url = `http://127.0.0.1:${this.#port}`;
  }

  get #folders() {
    return ["--data-dir", path.join(this.folder, "data"), "--uploads-dir", path.join(this.folder, "uploads")];
  }

  /** The server stands still, and its connections stay, until it is ended. */
  suspend() {
    this.#process.kill("SIGSTOP");
  }

  /** @param {NodeJS.Signals} signal */
  async end(signal) {
    const ended = once(this.#process, "exit");
    this.#process.kill(signal);
    await ended;
  }

  /**
   * Runs a command of the server, and returns what it prints.
   * @param {...string} command
   */
  async command(...command) {
    const run = spawn(TEST_SERVER, [...command, ...this.#folders], { env: { PATH, LLVM_PROFILE_FILE, CHAT_LOG: "warn" }, stdio: ["ignore", "pipe", "inherit"] });
    let printed = "";
    run.stdout.on("data", (data) => (printed += data));
    const [code] = await once(run, "close");
    if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}`);
    return printed;
  }

  /** @param {string} username */
  async register(username) {
    const body = new FormData();
    body.set("username", username);
    body.set("password", PASSWORD);
    const answer = await fetch(`${this.url}/api/register`, { method: "POST", body });
    if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  }

  async stop() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) await this.end("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}
