// The gallery: every state of the page in every width, look and language, as pictures
// below `target/gallery` with an index, each checked by axe, for anything wider than the page, and
// for what moves by itself while the state is made and after it. `cargo xtask page gallery`
// takes them; `cargo xtask page gallery phone-dark,desk-light-ru` only those with one of these in their name.

import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { AXE, fourColours, Network, noteShifts, register, Server, shiftsOf } from "./harness.mjs";
import { dress, look, OFFLINE, REFUSED, settled, stage } from "./scene.mjs";

const FOLDER = process.env.GALLERY ?? "target/gallery";
const WANTED = (process.env.GALLERY_NAME ?? "").split(",");
const WIDTHS = {
  desk: { viewport: { width: 1280, height: 800 } },
  wide: { viewport: { width: 1920, height: 1080 } },
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
};
/** The most that may move by itself in a state, as a layout shift. */
const SHIFT_MAX = 0.01;
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
    const states = await States.of(door.page, name);
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
    await takeDoors(door, states, me);
    await takeLinks(door, states, links);
    await door.context.close();

    const first = await look(empty, options);
    first.name = me;
    await first.signIn();
    const beginning = await States.of(first.page, name);
    await beginning.take("welcome", (page) => first.goto("/").then(() => page.waitForSelector(".welcome h2")));
    await beginning.take("setup", async (page) => {
      await page.goto(`${empty.url}/?again#setup=${setUpCode(empty)}`);
      await page.waitForSelector("#link-form");
    });
    await first.context.close();

    const waiting = await look(server, options);
    waiting.name = me;
    await waiting.signIn();
    await (await States.of(waiting.page, name)).take("skeletons", async (page) => {
      // The messages are still on their way.
      await page.routeWebSocket(/\/ws$/, (/** @type {any} */ socket) => {
        const chat = socket.connectToServer();
        chat.onMessage((/** @type {any} */ frame) => !["message", "replayed"].includes(JSON.parse(String(frame)).type) && socket.send(frame));
      });
      await page.goto(`${server.url}/r/default`);
      await page.locator("#rooms .line").nth(2).waitFor({ state: "attached" });
      await page.waitForSelector(".top.loading", { state: "attached" });
    });
    await waiting.context.close();

    const network = await Network.before(server);
    const someone = await look({ url: network.url }, options);
    someone.name = me;
    await someone.signIn();
    await dress(someone.page, talk);
    await takeChat(someone, name, { network, friend, words, closed, language, links });
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
  const [administrator, reporter] = [await signedIn(me), await signedIn(friend)];
  await administrator.call("POST", "/api/setup", { code: decodeURIComponent(setUpCode(server)) });
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
  await fillWorkshop(reporter, me, isRussian);
  for (const one of [administrator, reporter]) await one.context.close();
  const secretOf = (/** @type {string} */ url) => url.split("/").at(-1) ?? "";
  return { join: secretOf(join), password: secretOf(password) };
}

/**
 * The code with which the first user becomes the administrator, as it stands in a link.
 * @param {Server} server
 */
function setUpCode(server) {
  return server.printed.map((line) => /#setup=(\S+)/.exec(line)?.[1]).find(Boolean) ?? "";
}

/**
 * Fills a room with one message of each kind.
 * @param {any} author
 * @param {string} me
 * @param {boolean} isRussian
 */
async function fillWorkshop(author, me, isRussian) {
  const title = isRussian ? "Мастерская" : "Workshop";
  await author.call("POST", "/api/rooms", { title, name: "workshop", members: [me] });
  await author.goto("/r/workshop");
  const list = Array.from({ length: 40 }, (_, i) => (isRussian ? `${i + 1}. доска ${20 + i} см` : `${i + 1}. a board of ${20 + i} cm`));
  const code = "```rust\nfn shelf(boards: &[Board]) -> Option<Shelf> {\n    let longest = boards.iter().max_by_key(|board| board.length)?;\n    Some(Shelf::of(longest))\n}\n```";
  await author.page.evaluate(send, [
    { type: "message", text: isRussian ? "Продам верстак" : "I sell a workbench" },
    { type: "message", text: isRussian ? "Уже продал, не пишите" : "It is sold, please do not write", reply_to: 1 },
    { type: "message", text: isRussian ? `Список для полки, @${me}:\n${list.join("\n")}` : `The list for the shelf, @${me}:\n${list.join("\n")}`, mentions: [me] },
    { type: "message", text: code },
    { type: "message", text: isRussian ? "Сверлим в **субботу**, с _десяти_ до ~~пяти~~ шести:\n> тише не получится\n- дрель\n- `M6`" : "We drill on **Saturday**, from _ten_ to ~~five~~ six:\n> it cannot be quieter\n- the drill\n- `M6`" },
    { type: "edit", target: 5, text: isRussian ? "Сверлим в **воскресенье**, с _десяти_ до ~~пяти~~ шести:\n> тише не получится\n- дрель\n- `M6`" : "We drill on **Sunday**, from _ten_ to ~~five~~ six:\n> it cannot be quieter\n- the drill\n- `M6`" },
    { type: "react", target: 5, emoji: "👍" },
    { type: "react", target: 5, emoji: "🪚" },
    { type: "delete", target: 1 },
  ]);
}

/**
 * Sends frames to the workshop, one after the other; runs in a page.
 * @param {any[]} frames
 */
function send(frames) {
  return new Promise((done, failed) => {
    const socket = new WebSocket(new URL("/ws", location.href), "chat.v2");
    const run = Math.random();
    let at = 0;
    const next = () => (at === frames.length ? (socket.close(), done(null)) : socket.send(JSON.stringify({ room: "workshop", nonce: `${run} ${at}`, ...frames[at++] })));
    socket.onmessage = ({ data }) => {
      const { type, message } = JSON.parse(data);
      if (type === "hello") socket.send(JSON.stringify({ type: "join", room: "workshop" }));
      if (type === "joined" || type === "ack") next();
      if (type === "error") failed(new Error(message));
    };
  });
}

/**
 * The other forms of the door.
 * @param {any} someone
 * @param {States} states
 * @param {string} me
 */
async function takeDoors({ url, context }, states, me) {
  await states.take("door-name-taken", async (page) => {
    await page.click("#to-register");
    await page.fill("#register-name", me);
    await page.fill("#register-password", "correct horse");
    await page.press("#register-password", "Enter");
    await page.locator("#register-name-error:not(:empty)").waitFor();
  });
  await states.take("door-picture", async (page) => {
    await byHand(page);
    await page.setInputFiles("picture-crop input[type=file]", { name: "me.png", mimeType: "image/png", buffer: await fourColours(300) });
    await page.waitForSelector("picture-crop.has-picture");
  });
  await states.take("door-offline", async (page) => {
    await page.click("#to-sign-in");
    await page.fill("#sign-in-name", me);
    await page.fill("#sign-in-password", "correct horse");
    await context.route("**/api/login", (/** @type {any} */ route) => route.abort());
    await page.press("#sign-in-password", "Enter");
    await page.locator("#sign-in > .error:not(:empty)").waitFor();
  });
  await context.unrouteAll();
  await states.take("door-room", (page) => page.goto(`${url}/r/garden`).then(() => page.waitForSelector("#door-leads-to:not(:empty)")));
  await states.take("door-closed-room", (page) => page.goto(`${url}/r/~secret`).then(() => page.waitForSelector("#door-leads-to:not(:empty)")));
  for (const [state, server, shown] of /** @type {[string, object, string][]} */ ([
    ["door-invite-only", { registration: "invite" }, "#sign-in"],
    ["door-provider", { sign_in_with: "Keycloak" }, "#sign-in-elsewhere"],
    ["door-provider-only", { sign_in_with: "Keycloak", passwords: false, welcome: "Dormitory 7, staircase B" }, "#sign-in-elsewhere"],
  ])) {
    await context.route("**/api/server", async (/** @type {any} */ route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...(await response.json()), ...server } });
    });
    await states.take(state, async (page) => {
      await page.goto(url);
      await page.waitForSelector(shown, { state: "visible" });
    });
    await context.unrouteAll();
  }
}

/**
 * What a visitor sees who comes by a link.
 * @param {any} someone
 * @param {States} states
 * @param {{ join: string, password: string }} links
 */
async function takeLinks({ url, context }, states, { join, password }) {
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
  await states.take("password-gone", async (page) => {
    await page.goto(`${url}/password/nothing`);
    await page.fill("#password-link", "correct horse");
    await page.press("#password-link", "Enter");
    await page.waitForSelector("#link-form");
  });
  await states.take("join-offline", async (page) => {
    await context.route("**/api/join/**", (/** @type {any} */ route) => route.abort());
    await page.goto(`${url}/join/${join}`);
    await page.waitForSelector("#link-form");
  });
  await context.unrouteAll();
  await states.take("not-found", (page) => page.goto(`${url}/nothing/here`));
}

/**
 * The states of the chat.
 * @param {any} someone
 * @param {string} name
 * @param {any} scene
 */
async function takeChat(someone, name, { network, friend, words, closed, language, links }) {
  const states = await States.of(someone.page, name);
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
  const openMenu = async (/** @type {any} */ message) => {
    const { page } = someone;
    if (isPhone) {
      await message.scrollIntoViewIfNeeded();
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
  };
  await states.take("menu", (page) => openMenu(page.locator("#messages .message[data-seq]").last()));
  await someone.page.keyboard.press("Escape");
  await states.take("emoji", async (page) => {
    await page.locator("#messages .message[data-seq]").last().focus();
    await page.keyboard.press("+");
    await page.waitForSelector(".emoji-picker[open] .emoji-grid button");
  });
  await someone.page.keyboard.press("Escape");
  await takeWriting(someone, states, language);
  await states.take("private", () => someone.goto(`/u/${encodeURIComponent(friend)}`));
  await states.take("files", async (page) => {
    await someone.goto("/r/music");
    await page.waitForSelector("#messages a.picture img");
  });
  await states.take("uploading", async (page) => {
    await page.route("**/api/files?*", () => {});
    const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("#attach")]);
    await byHand(page);
    await chooser.setFiles([
      { name: "yard.png", mimeType: "image/png", buffer: await fourColours(300) },
      { name: "plan.pdf", mimeType: "application/pdf", buffer: Buffer.from("%PDF-1.4") },
    ]);
    await page.waitForFunction(() => document.querySelectorAll(".chip-file").length === 2);
  });
  await removeFiles(someone.page);
  await states.take("upload-failed", async (page) => {
    await page.route("**/api/files?*", (/** @type {any} */ route) => route.fulfill({ status: 413, json: { error: "no" } }));
    const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("#attach")]);
    await byHand(page);
    await chooser.setFiles([{ name: "film.zip", mimeType: "application/zip", buffer: Buffer.from("PK") }]);
    await page.locator(".attached .icon").first().waitFor();
  });
  await removeFiles(someone.page);
  await someone.page.unrouteAll();
  await states.take("lightbox", async (page) => {
    await page.locator("#messages a.picture").first().click();
    await page.waitForSelector("#lightbox[open] img.loaded");
  });
  await someone.page.keyboard.press("Escape");
  await states.take("workshop", async (page) => {
    await someone.goto("/r/workshop");
    await page.locator("#messages .folded").waitFor();
    await page.locator("#messages pre .copy-code").waitFor();
  });
  await states.take("workshop-top", (page) => page.$eval("#scroller", (/** @type {any} */ scroller) => (scroller.scrollTop = 0)));
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
  await states.take("finder-found", async (page) => {
    await page.fill("#finder-text", language === "ru" ? "му" : "mu");
    await page.locator('#finder [role=option] bdi').first().waitFor();
  });
  await states.take("finder-nothing", (page) => page.fill("#finder-text", "xyzzy"));
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
  await states.take("day-jump", async (page) => {
    await page.click("#talk-more");
    await page.click("#jump-to-day");
    await page.waitForSelector("#day-jump[open]");
  });
  await someone.page.keyboard.press("Escape");
  await states.take("leave", async (page) => {
    // Of open rooms it is not asked.
    await someone.goto(`/r/${closed}`);
    await page.waitForSelector("#talk-menu", { state: "attached" });
    await page.click("#talk-more");
    await page.click("#leave");
    await page.waitForSelector("dialog.ask[open]");
  });
  await someone.page.keyboard.press("Escape");
  await someone.goto("/r/default");
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
  await states.take("report", async (page) => {
    await openMenu(page.locator("#messages .message:not(.mine)[data-seq]").last());
    await page.locator(":is(#message-menu, #message-sheet) [data-action=report]").click();
    await page.waitForSelector("#report-reason");
  });
  await someone.page.keyboard.press("Escape");
  await someone.goto("/r/music");
  await states.take("offline", async (page) => {
    network.down();
    await page.waitForSelector("#subtitle.away");
    for (const text of OFFLINE[/** @type {"ru" | "en"} */ (language)]) await someone.say(text);
    await page.waitForTimeout(700);
  });
  await states.take("offline-reloaded", async (page) => {
    await page.reload();
    await page.locator("#messages .message").first().waitFor();
    await page.waitForSelector("#subtitle.away");
  });
  network.up();
  await someone.allStored();
  await states.take("join-signed-in", async (page) => {
    await page.goto(`${someone.url}/join/${links.join}`);
    await page.waitForSelector("#link-form");
  });
}

/**
 * What is seen around the box while something is written.
 * @param {any} someone
 * @param {States} states
 * @param {string} language
 */
async function takeWriting(someone, states, language) {
  const { keyboard } = someone.page;
  const type = async (/** @type {any} */ page, /** @type {string} */ text) => {
    await page.fill("#text", "");
    await page.focus("#text");
    await keyboard.type(text);
  };
  await states.take("mention-list", async (page) => {
    await type(page, "@");
    await page.locator("#names [role=option]").first().waitFor();
  });
  await keyboard.press("Escape");
  await states.take("emoji-names", async (page) => {
    await type(page, language === "ru" ? ":чай" : ":tea");
    await page.locator("#emoji-names [role=option]").first().waitFor();
  });
  await keyboard.press("Escape");
  await someone.page.fill("#text", "");
  const message = (/** @type {string} */ kind) => someone.page.locator(`#messages .message${kind}[data-seq]`).last();
  await states.take("replying", async (page) => {
    await message(":not(.mine)").focus();
    await keyboard.press("r");
    await page.waitForSelector("#about:not([hidden])");
  });
  await keyboard.press("Escape");
  await states.take("editing", async (page) => {
    await message(".mine").focus();
    await keyboard.press("e");
    await page.waitForSelector("#about:not([hidden])");
  });
  await keyboard.press("Escape");
  await states.take("deleting", async (page) => {
    await message(".mine").focus();
    await keyboard.press("Delete");
    await page.locator(".message.deleting .undo button").waitFor();
  });
  await someone.page.locator(".message.deleting .undo button").click();
  await states.take("too-long", async (page) => {
    await byHand(page);
    await page.fill("#text", "я".repeat(4_100));
  });
  await someone.page.fill("#text", "");
  await states.take("not-sent", async (page) => {
    await someone.say(REFUSED);
    await page.locator(".not-sent").waitFor();
  });
  await someone.page.locator(".not-sent [data-act=discard]").click();
}

/**
 * What follows is an answer to the user, and no layout shift.
 * @param {any} page
 */
function byHand(page) {
  return page.keyboard.press("Shift");
}

/**
 * Takes all files from the box.
 * @param {any} page
 */
async function removeFiles(page) {
  const remove = page.locator(".chip-remove");
  while ((await remove.count()) > 0) await remove.first().click();
}

/** The pictures of one page. */
class States {
  #page;
  #name;

  /**
   * @param {any} page
   * @param {string} name width, look and language
   */
  static async of(page, name) {
    await page.addInitScript(noteShifts);
    return new States(page, name);
  }

  /**
   * @param {any} page
   * @param {string} name
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
      await settled(page, () => this.#isCalm(name));
      await page.screenshot({ path: path.join(FOLDER, `${name}.png`) });
      if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
      const found = await page.evaluate(async (/** @type {string[]} */ rules) => {
        const { violations } = await /** @type {any} */ (window).axe.run(document, { iframes: false, resultTypes: ["violations"], runOnly: rules });
        const all = violations.flatMap((/** @type {any} */ { id, nodes }) => nodes.map((/** @type {any} */ { target, failureSummary }) => `${id} ${target}: ${failureSummary.replace(/\s+/g, " ")}`));
        return document.documentElement.scrollWidth > innerWidth ? [...all, "something is wider than the page"] : all;
      }, RULES);
      for (const fault of found) note(`${name}: ${fault}`);
      await this.#isCalm(name);
    } catch (error) {
      note(`${name}: ${String(error).split("\n")[0]}`);
      await page.screenshot({ path: path.join(FOLDER, `${name}.png`) }).catch(() => {});
    }
  }

  /**
   * Notes what has moved by itself since this was asked for, or since the page began.
   * @param {string} name
   */
  async #isCalm(name) {
    const { sum, shifts } = await shiftsOf(this.#page);
    if (sum > SHIFT_MAX) note(`${name}: layout shift ${sum.toFixed(4)}: ${shifts.flatMap(({ sources }) => sources).join("; ")}`);
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
