// The gallery: every state of the page in every width, look and language, as pictures
// below `target/gallery` with an index, each checked by axe. `cargo xtask page gallery`
// takes them; `cargo xtask page gallery phone-dark,desk-light-ru` only those with one of these in their name.

import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { AXE, Network, register, Server } from "./harness.mjs";
import { dress, look, OFFLINE, settled, stage } from "./scene.mjs";

const FOLDER = process.env.GALLERY ?? "target/gallery";
const WANTED = (process.env.GALLERY_NAME ?? "").split(",");
const WIDTHS = {
  desk: { viewport: { width: 1280, height: 800 } },
  wide: { viewport: { width: 1920, height: 1080 } },
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
};
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** What is wrong, for each picture. @type {string[]} */
const faults = [];

/**
 * Says it at once, too: all pictures take a while.
 * @param {string} fault
 */
function note(fault) {
  console.log(fault);
  faults.push(fault);
}

test("the gallery", { timeout: 3_600_000 }, async () => {
  mkdirSync(FOLDER, { recursive: true });
  for (const language of /** @type {const} */ (["en", "ru"])) {
    const looks = Object.keys(WIDTHS).flatMap((width) => ["light", "dark"].map((colours) => `${width}-${colours}-${language}`));
    const wanted = looks.filter((name) => WANTED.some((part) => name.includes(part)));
    if (wanted.length > 0) await take(language, wanted);
  }
  index();
  if (faults.length > 0) throw new Error(`the pictures are in ${FOLDER}\n${faults.join("\n")}`);
});

/**
 * @param {"ru" | "en"} language
 * @param {string[]} looks
 */
async function take(language, looks) {
  const { server, me, friend, talk, words, closed } = await stage(language);
  const empty = await Server.start("--database-url", "memory:");
  await register(empty.url, me);
  const links = await administrate(server, me, friend, language);
  for (const name of looks) {
    const [width = "", colorScheme] = name.split("-");
    const options = { language, colorScheme, reducedMotion: "reduce", ...WIDTHS[width] };
    const door = await look(server, options);
    const states = new States(door.page, name);
    await states.take("door", async (page) => {
      await page.goto(server.url);
      await page.waitForSelector("#register", { state: "visible" });
    });
    await states.take("door-error", async (page) => {
      await page.click("#to-sign-in");
      await page.fill("#sign-in-name", me);
      await page.fill("#sign-in-password", "12345678");
      await page.press("#sign-in-password", "Enter");
      await page.waitForFunction(() => document.querySelector("#sign-in > .error")?.textContent);
    });
    await takeLinks(door, states, links);
    await door.context.close();

    const first = await look(empty, options);
    first.name = me;
    await first.signIn();
    await new States(first.page, name).take("welcome", (page) => first.goto("/").then(() => page.waitForSelector(".welcome h2")));
    await first.context.close();

    const network = await Network.before(server);
    const someone = await look({ url: network.url }, options);
    someone.name = me;
    await someone.signIn();
    await dress(someone.page, talk);
    await takeChat(someone, name, { network, friend, words, closed, language });
    await someone.context.close();
  }
}

/**
 * Makes the user the administrator of the server, who has invitations, a bot, a ban, and a report.
 * @param {Server} server
 * @param {string} me
 * @param {string} friend
 * @param {string} language
 * @returns {Promise<{ join: string, password: string }>} the secrets of an invitation, and of a new password
 */
async function administrate(server, me, friend, language) {
  /** @param {string} name */
  const signedIn = async (name) => {
    const someone = await look(server, { language });
    someone.name = name;
    await someone.signIn();
    return someone;
  };
  const isRussian = language === "ru";
  const printed = server.printed.map((line) => /#setup=(\S+)/.exec(line)?.[1]).find(Boolean);
  const [administrator, reporter] = [await signedIn(me), await signedIn(friend)];
  await administrator.call("POST", "/api/setup", { code: decodeURIComponent(printed ?? "") });
  await register(server.url, "Mallory");
  await administrator.call("PUT", "/api/users/Mallory/ban", { reason: isRussian ? "Реклама" : "Advertising" });
  await administrator.call("POST", "/api/invites", { uses: 5 });
  const { url: join } = await administrator.call("POST", "/api/invites", { room: "default", days: 30 });
  const { url: password } = await administrator.call("POST", "/api/users/Mallory/password");
  await reporter.call("POST", "/api/reports", { room: "default", seq: 4, reason: isRussian ? "Это была не разовая акция" : "It happened more than once" });
  const robot = isRussian ? "Робот" : "Robot";
  const { token } = await administrator.call("POST", "/api/bots", { name: robot, rooms: ["music"] });
  await administrator.call("POST", `/api/bots/${encodeURIComponent(robot)}/webhooks`, { room: "music" });
  // One of them nobody has tried yet; nothing listens at the other one.
  for (const [url, onlyMentions] of [["https://bot.example/chat", true], ["http://127.0.0.1:9/", false]]) {
    await administrator.call("POST", `/api/bots/${encodeURIComponent(robot)}/outgoing-webhooks`, { room: "music", url, only_mentions: onlyMentions });
  }
  await fetch(`${server.url}/api/rooms/music/messages`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: JSON.stringify({ text: isRussian ? "До концерта три дня" : "The concert is in three days" }),
  });
  await reporter.goto("/r/music");
  await reporter.pour("music", [isRussian ? "До встречи!" : "See you there!"]);
  for (const one of [administrator, reporter]) await one.context.close();
  const secretOf = (/** @type {string} */ url) => url.split("/").at(-1) ?? "";
  return { join: secretOf(join), password: secretOf(password) };
}

/**
 * What a visitor sees who comes by a link.
 * @param {any} someone
 * @param {States} states
 * @param {{ join: string, password: string }} links
 */
async function takeLinks({ url }, states, { join, password }) {
  await states.take("join", async (page) => {
    await page.goto(`${url}/join/${join}`);
    await page.waitForSelector("#register", { state: "visible" });
  });
  for (const [state, link, shown] of [
    ["join-gone", "/join/nothing", "#link-form"],
    ["password", `/password/${password}`, "#password-link-form"],
  ]) {
    await states.take(state, async (page) => {
      await page.goto(url + link);
      await page.waitForSelector(shown);
    });
  }
  await states.take("not-found", (page) => page.goto(`${url}/nothing/here`));
}

/**
 * The states of the chat.
 * @param {any} someone
 * @param {string} name
 * @param {any} scene
 */
async function takeChat(someone, name, { network, friend, words, closed, language }) {
  const states = new States(someone.page, name);
  const isPhone = name.startsWith("phone");
  const press = async (/** @type {any} */ page, /** @type {string} */ opener) => {
    if (await page.isVisible("#open-sidebar")) await page.click("#open-sidebar");
    await page.click(opener);
  };
  await states.take("conversation", async (page) => {
    await someone.goto("/r/default");
    await page.waitForSelector("#message-menu", { state: "attached" });
  });
  if (isPhone) {
    await states.take("drawer", async (page) => {
      await page.click("#open-sidebar");
      await page.waitForSelector("#chat.sidebar-open");
    });
    await states.take("line", async (page) => {
      const line = page.locator('#sidebar .line[data-key^="#"]').first();
      const { x, y } = await line.boundingBox();
      const wire = await someone.context.newCDPSession(page);
      await wire.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: [{ x: x + 80, y: y + 20 }] });
      await page.waitForSelector("#line-sheet[open]");
      await wire.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
    });
    await someone.page.keyboard.press("Escape");
    await someone.page.click("#close-sidebar").catch(() => {});
  } else {
    await states.take("line", async (page) => {
      await page.locator('#sidebar .line[data-key^="#"]').first().click({ button: "right" });
      await page.waitForSelector("#line-menu:popover-open");
    });
    await someone.page.keyboard.press("Escape");
  }
  await states.take("menu", async (page) => {
    const message = page.locator("#messages .message[data-seq]").last();
    if (isPhone) {
      const { x, y } = await message.boundingBox();
      const wire = await someone.context.newCDPSession(page);
      await wire.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: [{ x: x + 120, y: y + 20 }] });
      await page.waitForSelector("#message-sheet[open]");
      await wire.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
    } else {
      await message.hover();
      await message.locator(".message-bar button").last().click();
      await page.waitForSelector("#message-menu:popover-open");
    }
  });
  await someone.page.keyboard.press("Escape");
  await states.take("emoji", async (page) => {
    await page.locator("#messages .message[data-seq]").last().focus();
    await page.keyboard.press("+");
    await page.waitForSelector(".emoji-picker[open] .emoji-grid button");
  });
  await someone.page.keyboard.press("Escape");
  await states.take("private", () => someone.goto(`/u/${encodeURIComponent(friend)}`));
  await states.take("files", async (page) => {
    await someone.goto("/r/music");
    await page.waitForSelector("#messages a.picture img");
  });
  await states.take("lightbox", async (page) => {
    await page.locator("#messages a.picture").first().click();
    await page.waitForSelector("#lightbox[open] img.loaded");
  });
  await someone.page.keyboard.press("Escape");
  await states.take("empty", () => someone.goto(`/r/${language === "ru" ? "огород" : "garden"}`));
  await states.take("nobody", async (page) => {
    await page.goto(`${someone.url}/u/${language === "ru" ? "никто" : "nobody"}`);
    await page.locator("#top button").waitFor();
  });
  await states.take("archived", () => someone.page.goto(`${someone.url}/r/repairs`).then(() => someone.page.waitForSelector(".foot")));
  await states.take("preview", async (page) => {
    await page.goto(`${someone.url}/r/books`);
    await page.locator(".foot .primary").waitFor();
  });
  await states.take("removed", async (page) => {
    await page.goto(`${someone.url}/r/~0000000000000000000000`);
    await page.locator(".refused h2").waitFor();
  });
  await states.take("details", async (page) => {
    await someone.goto(`/r/${closed}`);
    await page.click("#title");
    await page.locator("#members li").first().waitFor();
  });
  await someone.page.click("#close-details").catch(() => {});
  await someone.goto("/r/default");
  await someone.page.waitForSelector("#finder", { state: "attached" });
  await states.take("finder", async (page) => {
    await page.keyboard.press("Control+k");
    await page.waitForSelector("#finder[open]");
  });
  await states.take("search", async (page) => {
    await page.fill("#finder-text", language === "ru" ? "чай" : "tea");
    await page.locator('#finder [role=option]:has([href="#i-search"])').first().click();
    await page.locator("#search-results li").first().waitFor();
  });
  await states.take("search-nothing", async (page) => {
    await page.fill("#search-text", "xyzzy");
    await page.locator("#search").getByText(language === "ru" ? "Ничего не нашлось" : "Nothing found").waitFor();
  });
  await someone.goto("/r/default");
  await someone.page.waitForSelector("#message-menu", { state: "attached" });
  await states.take("card", async (page) => {
    await page.locator("#messages .message:not(.mine) [data-act=profile]").last().click();
    await page.waitForSelector("#card[open]");
  });
  await someone.page.keyboard.press("Escape");
  await states.take("talk-menu", async (page) => {
    await page.click("#talk-more");
    await page.waitForSelector("#talk-menu:popover-open, #talk-menu[open]");
  });
  await someone.page.keyboard.press("Escape");
  await states.take("create", async (page) => {
    await press(page, "#new-room-open");
    await page.waitForSelector("#new-room[open]");
    await page.fill("#new-room-title", words.created.title);
    await page.fill("#new-room-description", words.created.description);
  });
  await someone.page.keyboard.press("Escape");
  await states.take("directory", async (page) => {
    await press(page, "#new-talk-open");
    await page.locator("#directory-list li").first().waitFor();
  });
  await someone.page.keyboard.press("Escape");
  await states.take("browse", async (page) => {
    await press(page, "#browse-open");
    await page.locator("#browse-list li").first().waitFor();
  });
  await someone.page.keyboard.press("Escape");
  await someone.goto("/r/default");
  for (const part of ["profile", "password", "look", "notices", "devices", ...(isPhone ? [] : ["keys"]), "server", "accounts", "invites", "rooms", "bots", "reports", "audit"]) {
    await states.take(`settings-${part}`, async (page) => {
      if (await page.isVisible("#open-sidebar")) await page.click("#open-sidebar");
      await page.click("#me");
      await page.waitForSelector("#settings[open]");
      await page.click(`#settings [data-page=${part}]`);
      if (part === "devices") await page.locator("#sessions li").first().waitFor();
      if (["accounts", "invites", "bots", "reports", "audit"].includes(part)) await page.locator(`#${part} li`).first().waitFor();
      if (part === "rooms") await page.locator("#all-rooms li").first().waitFor();
      if (part === "server") await page.locator(".door-preview").waitFor();
    });
    if (part === "rooms") {
      await states.take("one-room-menu", async (page) => {
        await page.locator("#all-rooms .more").first().click();
        await page.waitForSelector("#one-room-menu:popover-open");
      });
      await someone.page.keyboard.press("Escape");
    }
    if (part === "accounts") {
      await states.take("account-menu", async (page) => {
        await page.locator("#accounts [data-name=Mallory] button").click();
        await page.waitForSelector("#account-menu:popover-open");
      });
      await someone.page.keyboard.press("Escape");
      await states.take("ban", async (page) => {
        await page.locator(`#accounts [data-name="${friend}"] button`).click();
        await page.locator("#account-menu button").last().click();
        await page.waitForSelector("#ban-reason");
      });
    }
    if (part === "bots") {
      const more = someone.page.locator("#bots [data-name] .more").first();
      await states.take("bot-menu", async (page) => {
        await more.click();
        await page.waitForSelector("#bot-menu:popover-open");
      });
      await states.take("bot-webhook", async (page) => {
        await page.locator("#bot-menu button").nth(0).click();
        await page.waitForSelector("#webhook-room");
      });
      await someone.page.keyboard.press("Escape");
      await states.take("bot-outgoing", async (page) => {
        await more.click();
        await page.locator("#bot-menu button").nth(1).click();
        await page.fill("#outgoing-url", "bot.example");
        await page.locator("dialog.ask .primary").click();
        await page.locator("dialog.ask .error:not(:empty)").waitFor();
      });
      await states.take("bot-secret", async (page) => {
        await page.fill("#outgoing-url", "https://bot.example/other");
        await page.locator("dialog.ask .primary").click();
        await page.waitForSelector("#once-link");
      });
      await someone.page.locator("dialog.ask .plain").click();
      await states.take("bot-remove", async (page) => {
        await page.locator("#bots .outgoing button").last().click();
        await page.waitForSelector("dialog.ask");
      });
      // As it was before, for the other looks.
      await someone.page.locator("dialog.ask .primary").click();
      await someone.page.waitForSelector("dialog.ask", { state: "detached" });
    }
    if (part === "invites") {
      await states.take("invite-link", async (page) => {
        await page.click("#invite-form .primary");
        await page.waitForSelector("dialog.once[open]");
      });
    }
    await someone.page.reload();
    await someone.isIn();
  }
  await someone.goto("/r/default");
  await someone.page.waitForSelector("#finder", { state: "attached" });
  await states.take("room-invites", async (page) => {
    await page.click("#title");
    await page.locator("#details .actions button:has([href='#i-link'])").click();
    await page.locator("#room-invites #invites li").first().waitFor();
  });
  await someone.page.reload();
  await someone.isIn();
  await someone.page.waitForSelector("#message-menu", { state: "attached" });
  if (!isPhone) {
    await states.take("report", async (page) => {
      const message = page.locator("#messages .message[data-seq]").first();
      await message.hover();
      await message.locator(".message-bar button").last().click();
      await page.locator("#message-menu [data-action=report]").click();
      await page.waitForSelector("#report-reason");
    });
    await someone.page.keyboard.press("Escape");
  }
  await someone.goto("/r/music");
  await states.take("offline", async (page) => {
    network.down();
    await page.waitForSelector("#subtitle.away");
    for (const text of OFFLINE[/** @type {"ru" | "en"} */ (language)]) await someone.say(text);
    await page.waitForTimeout(700);
  });
  network.up();
  await someone.allStored();
}

/** The pictures of one page. */
class States {
  #page;
  #name;

  /**
   * @param {any} page
   * @param {string} name width, look and language
   */
  constructor(page, name) {
    this.#page = page;
    this.#name = name;
  }

  /**
   * Goes to a state, takes its picture, and checks it. What fails is told at the end.
   * @param {string} state
   * @param {(page: any) => Promise<unknown>} go
   */
  async take(state, go) {
    const name = `${state}-${this.#name}`;
    const page = this.#page;
    try {
      await go(page);
      await settled(page);
      await page.screenshot({ path: path.join(FOLDER, `${name}.png`) });
      if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
      const found = await page.evaluate(async (/** @type {string[]} */ rules) => {
        const { violations } = await /** @type {any} */ (window).axe.run(document, { iframes: false, resultTypes: ["violations"], runOnly: rules });
        const all = violations.flatMap((/** @type {any} */ { id, nodes }) => nodes.map((/** @type {any} */ { target, failureSummary }) => `${id} ${target}: ${failureSummary.replace(/\s+/g, " ")}`));
        return document.documentElement.scrollWidth > innerWidth ? [...all, "something is wider than the page"] : all;
      }, RULES);
      for (const fault of found) note(`${name}: ${fault}`);
    } catch (error) {
      note(`${name}: ${String(error).split("\n")[0]}`);
      await page.screenshot({ path: path.join(FOLDER, `${name}.png`) }).catch(() => {});
    }
  }
}

/** Writes a page with all pictures, one state after the other. */
function index() {
  /** @type {Map<string, string[]>} */
  const states = new Map();
  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith(".png")).sort()) {
    const state = file.replace(/-(?:desk|wide|phone)-.*$/, "");
    states.set(state, [...(states.get(state) ?? []), file]);
  }
  const rows = [...states].map(([state, files]) => {
    const pictures = files.map((file) => `<figure><a href="${file}"><img loading="lazy" src="${file}"></a><figcaption>${file.slice(state.length + 1, -4)}</figcaption></figure>`);
    return `<h2>${state}</h2><div>${pictures.join("")}</div>`;
  });
  const style = "body{font:14px system-ui;background:#888;margin:1rem}div{display:flex;gap:1rem;overflow:auto}img{height:24rem}figure{margin:0}";
  writeFileSync(path.join(FOLDER, "index.html"), `<!doctype html><meta charset="utf-8"><title>Gallery</title><style>${style}</style>${rows.join("\n")}\n`);
}
