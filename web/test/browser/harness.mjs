// What the scenarios of this folder are made of: a server of their own, a browser,
// and users in it. `cargo xtask page` sets the paths in the environment.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";

const { TEST_SERVER, TEST_TOOLS, CHROMIUM, CHROMIUM_LIGHT = CHROMIUM, HEADED } = process.env;
if (!TEST_SERVER || !TEST_TOOLS || !CHROMIUM) {
  throw new Error("run these by `cargo xtask test`, or set TEST_SERVER, TEST_TOOLS (a folder with node_modules) and CHROMIUM");
}
const require = createRequire(path.join(TEST_TOOLS, "package.json"));
const { chromium } = require("playwright-core");
export const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const PASSWORD = "correct horse";
/** How long to wait for something that takes no time on an idle machine. */
export const WAIT_MAX_MS = 60_000;
/** How long a scenario may take: the longest ones take a tenth of that on an idle machine. */
const SCENARIO_MAX_MS = 600_000;

/**
 * Plays a scenario, and closes its browser contexts. An error in a page fails it.
 * @param {string} name
 * @param {() => Promise<void>} play
 */
export function scenario(name, play) {
  test(name, { timeout: SCENARIO_MAX_MS }, async () => {
    try {
      await play();
      assert.deepEqual(problems.splice(0), [], "the pages logged no errors or warnings");
    } finally {
      problems.length = 0;
      await Promise.all(contexts.splice(0).map((context) => context.close()));
    }
  });
}

/**
 * Notes layout shifts of a page from now on.
 * @param {any} page
 */
export async function watchShifts(page) {
  await page.evaluate(noteShifts);
}

/** Notes layout shifts; runs in a page, also as it begins. */
export function noteShifts() {
  window.shifts = [];
  const nameOf = (node) => (node instanceof Element ? `${node.tagName}#${node.id}.${node.className}` : node?.nodeName ?? "gone");
  const at = ({ x, y, width, height }) => `${[x, y].map(Math.round)} ${Math.round(width)}×${Math.round(height)}`;
  new PerformanceObserver((list) => {
    for (const { value, startTime, hadRecentInput, sources } of list.getEntries()) {
      if (!hadRecentInput) window.shifts.push({ value, at: startTime, sources: sources.map(({ node, previousRect, currentRect }) => `${nameOf(node)}: ${at(previousRect)} → ${at(currentRect)}`) });
    }
  }).observe({ type: "layout-shift" });
}

/**
 * The layout shifts since `watchShifts`, or since this was asked for.
 * @param {any} page
 * @returns {Promise<{ sum: number, shifts: { value: number, at: number, sources: string[] }[] }>}
 */
export async function shiftsOf(page) {
  const shifts = await page.evaluate(() => window.shifts.splice(0));
  return { sum: shifts.reduce((sum, { value }) => sum + value, 0), shifts };
}

/** Called at the end, the last one first. @type {(() => unknown)[]} */
const closers = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});

/** Errors and warnings of the pages. @type {string[]} */
export const problems = [];
/** @type {any[]} */
const contexts = [];

export class Server {
  url = "";
  /** The lines that the server has printed. @type {string[]} */
  printed = [];
  #flags;
  #port = 0;
  #process;
  #folder = mkdtempSync(path.join(tmpdir(), "chat-page-"));

  /** @param {string[]} flags */
  static async start(...flags) {
    const server = new Server(flags);
    await server.restart();
    closers.push(() => server.stop());
    return server;
  }

  /**
   * A server on a port that is known before, as whoever sends browsers to it has to know it.
   * @param {number} port
   * @param {string[]} flags
   */
  static async startAt(port, ...flags) {
    const server = new Server(flags);
    server.#port = port;
    await server.restart();
    closers.push(() => server.stop());
    return server;
  }

  /** @param {string[]} flags */
  constructor(flags) {
    this.#flags = flags;
  }

  /** Starts again, with the same folders and the same port. */
  async restart() {
    const { PATH, LLVM_PROFILE_FILE = "" } = process.env;
    const flags = [...this.#folders, ...this.#flags];
    this.#process = spawn(TEST_SERVER, ["--listen", `127.0.0.1:${this.#port}`, ...flags], {
      env: { PATH, LLVM_PROFILE_FILE, CHAT_LOG: "warn" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface(this.#process.stdout);
    lines.on("line", (line) => this.printed.push(line));
    const [line] = await once(lines, "line");
    this.#port = Number(/:(\d+)\D*$/.exec(line)?.[1]);
    this.url = `http://127.0.0.1:${this.#port}`;
  }

  get port() {
    return this.#port;
  }

  get #folders() {
    return ["--data-dir", path.join(this.#folder, "data"), "--uploads-dir", path.join(this.#folder, "uploads")];
  }

  /**
   * Runs a command of the server with its folders, such as `user promote alice`.
   * @param {...string} command
   */
  async command(...command) {
    const { PATH, LLVM_PROFILE_FILE = "" } = process.env;
    const run = spawn(TEST_SERVER, [...command, ...this.#folders], { env: { PATH, LLVM_PROFILE_FILE, CHAT_LOG: "warn" }, stdio: ["ignore", "ignore", "inherit"] });
    const [code] = await once(run, "exit");
    assert.equal(code, 0, command.join(" "));
  }

  /** `kill -9`. */
  kill() {
    return this.#end("SIGKILL");
  }

  /** `kill`: it tells all clients to reconnect later. */
  terminate() {
    return this.#end("SIGTERM");
  }

  /** @param {NodeJS.Signals} signal */
  async #end(signal) {
    const ended = once(this.#process, "exit");
    this.#process.kill(signal);
    await ended;
  }

  async stop() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      await this.kill();
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A network between a browser and the server, which can fail. */
export class Network {
  #server;
  #listener;
  /** @type {Set<net.Socket>} */
  #sockets = new Set();
  #isDown = false;
  #isHole = false;
  url = "";

  /** @param {Server} server */
  static async before(server) {
    const network = new Network(server);
    network.#listener.listen(0, "127.0.0.1");
    await once(network.#listener, "listening");
    network.url = `http://127.0.0.1:${network.#listener.address().port}`;
    closers.push(() => {
      network.cut();
      network.#listener.close();
    });
    return network;
  }

  /** @param {Server} server */
  constructor(server) {
    this.#server = server;
    this.#listener = net.createServer((browser) => this.#join(browser));
  }

  /** All connections break; new ones are fine. */
  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  down() {
    this.#isDown = true;
    this.cut();
  }

  /** No connection breaks, but no byte gets through any more. */
  swallow() {
    this.#isHole = true;
  }

  up() {
    if (this.#isHole) this.cut();
    this.#isDown = false;
    this.#isHole = false;
  }

  /** @param {net.Socket} browser */
  #join(browser) {
    if (this.#isDown) {
      browser.destroy();
      return;
    }
    const server = net.connect(this.#server.port, "127.0.0.1");
    for (const [from, to] of [[browser, server], [server, browser]]) {
      this.#sockets.add(from);
      from.on("data", (bytes) => this.#isHole || to.write(bytes));
      from.on("error", () => {});
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }
}

let browser;
/** Whether the browser has windows and notifications. It takes twice the time then. */
let isWhole = Boolean(HEADED);

/** Has a file of scenarios played by the whole browser: with notifications, and with text as on a screen. */
export function withWholeBrowser() {
  isWhole = true;
}

/** The browser of all scenarios of a file. */
export async function theBrowser() {
  if (!browser) {
    browser = await chromium.launch({ executablePath: isWhole ? CHROMIUM : CHROMIUM_LIGHT, args: FLAGS, headless: !HEADED });
    closers.push(() => browser.close());
  }
  return browser;
}

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** @type {"allow" | "block"} */
let serviceWorkers = "block";

/**
 * Has the service worker in all browsers of a file of scenarios. Elsewhere browsers block it: in a new
 * browser it loads all files of the page, which takes as long as many a scenario.
 */
export function withServiceWorker() {
  serviceWorkers = "allow";
}

/**
 * A browser in which nobody is signed in.
 * @param {string} url
 * @param {any} [options] of the context
 */
export async function visitor(url, options = {}) {
  const context = await (await theBrowser()).newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", serviceWorkers, ...options });
  contexts.push(context);
  context.setDefaultTimeout(WAIT_MAX_MS);
  return new Person("", context, await newPage(context), url);
}

/**
 * A user who has an account, is signed in, and has the chat open.
 * @param {string} url
 * @param {string} name
 * @param {{ path?: string, picture?: Buffer } & any} [options]
 */
export async function person(url, name, { path: where = "/", picture, ...options } = {}) {
  const someone = await visitor(url, options);
  someone.name = name;
  await register(url, name, picture);
  await someone.signIn();
  await someone.goto(where);
  return someone;
}

/**
 * Makes an account, unless it exists.
 * @param {string} url
 * @param {string} name
 * @param {Buffer} [picture]
 */
export async function register(url, name, picture) {
  const form = new FormData();
  form.set("username", name);
  form.set("password", PASSWORD);
  if (picture) form.set("avatar", new Blob([picture]), "picture.png");
  const response = await fetch(`${url}/api/register`, { method: "POST", body: form });
  const body = await response.text();
  assert.ok(response.ok || body.includes("already exists"), `${name}: ${body}`);
}

/** The server may close a connection that was idle while a request is on its way: browsers send it again. */
const AGAIN = { maxRetries: 2 };

export class Person {
  name;
  context;
  page;
  url;

  constructor(name, context, page, url) {
    this.name = name;
    this.context = context;
    this.page = page;
    this.url = url;
  }

  /** Signs in as a user whom this browser has welcomed before: what the welcome says is in the way of most scenarios. */
  async signIn() {
    await this.context.addInitScript((key) => {
      try {
        localStorage.setItem(key, localStorage.getItem(key) ?? "[]");
      } catch {
        // A page without an address has no storage.
      }
    }, `chat ${JSON.stringify(this.name)} steps`);
    const response = await this.context.request.post(`${this.url}/api/login`, { data: { username: this.name, password: PASSWORD }, ...AGAIN });
    assert.ok(response.ok(), await response.text());
  }

  /**
   * Opens an address. A user who goes to a room is one of its members.
   * @param {string} where
   */
  async goto(where) {
    await this.joins(where);
    await this.page.goto(this.url + where);
    await this.isIn();
  }

  /**
   * Becomes a member of the room that an address names. It is made if there is none.
   * @param {string} where
   */
  async joins(where) {
    const name = where === "/" ? "default" : /^\/r\/([^#]+)/.exec(where)?.[1];
    if (!name) return;
    const { request } = this.context;
    const join = () => request.put(`${this.url}/api/rooms/${name}/membership`, AGAIN).then((answer) => answer.status()).catch(() => 0);
    if ((await join()) === 404) {
      const title = decodeURIComponent(name);
      await request.post(`${this.url}/api/rooms`, { data: { name: title, title }, ...AGAIN });
      await join();
    }
  }

  /**
   * Sends a request of this user.
   * @param {string} method
   * @param {string} path
   * @param {object} [data]
   */
  async call(method, path, data) {
    const response = await this.context.request.fetch(this.url + path, { method, ...(data ? { data } : {}), ...AGAIN });
    assert.ok(response.ok(), `${method} ${path}: ${response.status()} ${await response.text()}`);
    return response.json();
  }

  /** Waits until the chat is there, and connected, and the server has said what is in the conversation. */
  async isIn() {
    // Whose name nobody has is written to once somebody has taken it.
    await this.page.waitForFunction(() => document.querySelector("#text")?.checkVisibility() || document.querySelector("#composer[hidden]"));
    // Before the first frame is drawn, `#top` has no state; where nothing is written, it is filled a little later.
    await this.page.waitForFunction(() => document.querySelector("#top[data-shown]:not(.loading, .empty:empty), #messages li") !== null && document.querySelector("#subtitle.away") === null);
  }

  /**
   * The page takes a name that nobody has for that of a user, who may be gone by now: then it has a box.
   * @param {string} name
   */
  async takesFor(name) {
    await this.context.route(`**/api/users/${name}`, (route) => route.fulfill({ json: { username: name, avatar: "" } }));
  }

  /**
   * Opens a page of the settings.
   * @param {string} [page]
   */
  async settings(page) {
    await this.page.click("#me");
    await this.page.waitForSelector("#settings[open]");
    if (page) await this.page.click(`#settings [data-page=${page}]`);
  }

  /** Another tab of the same browser. */
  async tab(where = "/") {
    const other = new Person(this.name, this.context, await newPage(this.context), this.url);
    await other.goto(where);
    return other;
  }

  /** @param {string} text */
  async say(text) {
    await this.page.fill("#text", text);
    // On a touch screen, Enter begins a new line.
    const isTouched = await this.page.evaluate(() => matchMedia("(hover: none) and (pointer: coarse)").matches);
    isTouched ? await this.page.tap("#send") : await this.page.press("#text", "Enter");
  }

  /**
   * Waits until a text is shown.
   * @param {string} text
   */
  async sees(text) {
    await this.page.waitForFunction((text) => [...document.querySelectorAll("#messages .text")].some((shown) => shown.textContent === text), text);
  }

  /** @returns {Promise<string[]>} what is shown, from top to bottom */
  texts() {
    return this.page.$$eval("#messages .message .text", (shown) => shown.map(({ textContent }) => textContent));
  }

  /** @returns {Promise<string[]>} what is not known to be stored */
  waiting() {
    return this.page.$$eval("#messages .pending:not([data-state=stored]) .text", (shown) => shown.map(({ textContent }) => textContent));
  }

  /** @param {...string} texts */
  async hasWaiting(...texts) {
    await this.until(async () => String(await this.waiting()) === String(texts), `${await this.waiting()} wait, not ${texts}`);
  }

  async allStored() {
    // A message that was just sent is shown at the next frame.
    await this.page.evaluate(() => new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown))));
    await this.page.waitForFunction(() => !document.querySelector("#messages .pending:not([data-state=stored])"), null, { timeout: 60_000 });
  }

  /**
   * Opens a conversation from the sidebar, or by a link where it is not listed:
   * `#default`, `@bob`.
   * @param {string} key
   */
  async open(key) {
    const address = `/${key.startsWith("#") ? "r" : "u"}/${encodeURIComponent(key.slice(1))}`;
    await this.joins(address);
    const line = this.page.locator(`#sidebar [data-key=${JSON.stringify(key)}]`);
    if (await line.count()) {
      await line.click();
    } else {
      await this.page.evaluate((address) => {
        const link = document.createElement("a");
        link.href = address;
        document.body.append(link);
        link.click();
        link.remove();
      }, address);
    }
    await this.page.waitForFunction((key) => document.querySelector("#sidebar [aria-current]")?.dataset.key === key, key);
    await this.isIn();
  }

  /**
   * Waits until a condition is true.
   * @param {() => Promise<boolean>} isTrue
   * @param {string} what
   */
  async until(isTrue, what) {
    const start = Date.now();
    while (!(await isTrue())) {
      assert.ok(Date.now() - start < WAIT_MAX_MS, what);
      await this.page.waitForTimeout(50);
    }
  }

  /**
   * Sends many messages over a socket of its own, and waits until all are stored.
   * @param {string} room
   * @param {string[]} texts
   */
  async pour(room, texts) {
    await this.page.evaluate(pour, { room, texts });
  }
}

/** Runs in the page. */
function pour({ room, texts }) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(new URL("/ws", location.href), "chat.v2");
    const run = Math.random();
    let sent = 0;
    let stored = 0;
    const send = () => {
      while (sent < texts.length && sent - stored < 30) {
        socket.send(JSON.stringify({ type: "message", room, text: texts[sent], nonce: `${run} ${sent}` }));
        sent += 1;
      }
      if (stored === texts.length) {
        socket.close();
        resolve(undefined);
      }
    };
    socket.onclose = () => reject(new Error("closed"));
    socket.onmessage = ({ data }) => {
      const { type, message } = JSON.parse(data);
      if (type === "hello") socket.send(JSON.stringify({ type: "join", room }));
      if (type === "joined") send();
      if (type === "error") reject(new Error(message));
      if (type === "ack") {
        stored += 1;
        send();
      }
    };
  });
}

async function newPage(context) {
  const page = await context.newPage();
  page.on("pageerror", (error) => problems.push(String(error.stack ?? error)));
  page.on("dialog", (dialog) => {
    problems.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", (message) => {
    // Some scenarios are about a lost network or a wrong password.
    if (["error", "warning"].includes(message.type()) && !/Failed to load resource|An unknown error occurred when fetching the script|WebSocket connection|Service Worker registration blocked/.test(message.text())) {
      problems.push(message.text());
    }
  });
  return page;
}

/**
 * A picture with four colours: red, green / blue, white.
 * @param {number} size
 * @returns {Promise<Buffer>}
 */
export async function fourColours(size = 200) {
  return picture(
    (context, size) => {
      for (const [i, colour] of ["#f00", "#0f0", "#00f", "#fff"].entries()) {
        context.fillStyle = colour;
        context.fillRect(((i % 2) * size) / 2, (i > 1 ? size : 0) / 2, size / 2, size / 2);
      }
    },
    size,
  );
}

/**
 * @param {(context: any, size: number) => void} draw runs in a page
 * @param {number} size
 */
export async function picture(draw, size = 200) {
  const page = await (await theBrowser()).newPage();
  const address = await page.evaluate(
    ([draw, size]) => {
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = size;
      new Function(`return ${draw}`)()(canvas.getContext("2d"), size);
      return canvas.toDataURL("image/png");
    },
    [String(draw), size],
  );
  await page.close();
  return Buffer.from(address.split(",")[1], "base64");
}
