// Files: pasting, dropping, choosing and sending them, with and without a network; how
// they are shown, on the whole screen too; and what a browser does with hostile ones.

import assert from "node:assert/strict";

import { AXE, fourColours, Network, person, picture, problems, scenario, Server, withServiceWorker } from "./harness.mjs";

withServiceWorker();

const server = await Server.start("--message-rate", "off", "--database-url", "memory:");
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
const PNG = await fourColours(200);
const LARGE = await picture(noise, 900);

/** Runs in a page: a picture that compresses badly. */
function noise(context, size) {
  for (let i = 0; i < 4_000; i += 1) {
    context.fillStyle = `hsl(${(i * 47) % 360} 60% 50%)`;
    context.fillRect((i * 7919) % size, (i * 104_729) % size, 40, 40);
  }
}

const png = (name = "a.png", buffer = PNG) => ({ name, mimeType: "image/png", buffer });
const text = (name, words = "hello") => ({ name, mimeType: "text/plain", buffer: Buffer.from(words) });

/**
 * Chooses files with the button in the box.
 * @param {import("./harness.mjs").Person} someone
 * @param {...{ name: string, mimeType: string, buffer: Buffer }} files
 */
async function attach({ page }, ...files) {
  const before = await page.locator(".chip-file").count();
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("#attach")]);
  await chooser.setFiles(files);
  await page.waitForFunction((count) => document.querySelectorAll(".chip-file").length === count, before + files.length);
}

/**
 * Waits until the files of the draft are uploaded.
 * @param {import("./harness.mjs").Person} someone
 */
async function uploaded({ page }) {
  await page.waitForFunction(() => !document.querySelector(".attached [data-local]"));
}

/**
 * Lets a page paste or drop files, as it gets them from the system.
 * @param {any} page
 * @param {string} kind of the event
 * @param {string} on a selector
 * @param {{ name: string, mimeType: string, buffer: Buffer }[]} files
 * @param {Record<string, string>} [texts] by type
 */
async function give(page, kind, on, files, texts = {}) {
  return page.evaluate(
    ([kind, on, files, texts]) => {
      const data = new DataTransfer();
      for (const { name, type, bytes } of files) data.items.add(new File([Uint8Array.from(bytes)], name, { type }));
      for (const [type, text] of Object.entries(texts)) data.setData(type, text);
      const event =
        kind === "paste"
          ? new ClipboardEvent("paste", { bubbles: true, cancelable: true, clipboardData: data })
          : new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: data });
      document.querySelector(on).dispatchEvent(event);
      return event.defaultPrevented;
    },
    [kind, on, files.map(({ name, mimeType, buffer }) => ({ name, type: mimeType, bytes: [...buffer] })), texts],
  );
}

/** The code behind the button is there. */
async function isReady({ page }) {
  await page.hover("#messages");
  await page.mouse.move(1, 1);
  await page.waitForSelector(".attached", { state: "attached" });
}

/** @param {any} page */
const shownPictures = (page) => page.waitForFunction(() => {
  const all = [...document.querySelectorAll("#messages a.picture[href] img")];
  return all.length > 0 && all.every((image) => image.complete && image.naturalWidth > 0 && !image.src.startsWith("blob:"));
});

/** The files of the last message. */
const lastFiles = (page) => page.$$eval("#messages .message:nth-last-child(1 of .message) a[data-id], #messages .message:nth-last-child(1 of .message) a.file-card", (all) => all.map((link) => new URL(link.href).pathname));

scenario("a pasted picture is sent with Enter, and has its space before it is there", async () => {
  const [alice, bob] = [await person(server.url, "alice", { path: "/r/pasted" }), await person(server.url, "bob", { path: "/r/pasted", serviceWorkers: "block" })];
  await isReady(alice);
  assert.equal(await give(alice.page, "paste", "#text", [png("image.png", LARGE)]), true);
  await alice.page.waitForSelector(".chip-file.is-picture img");
  await uploaded(alice);
  let release = () => {};
  const held = new Promise((resolve) => (release = resolve));
  await bob.page.route("**/files/**", async (route) => {
    await held;
    await route.continue();
  });
  await alice.say("look at this");
  await bob.sees("look at this");
  await bob.page.waitForSelector("#messages a.picture img");
  const box = () => bob.page.$eval("#messages a.picture", (link) => [link.offsetWidth, link.offsetHeight, link.offsetTop].join());
  const before = await box();
  assert.match(before, /^320,320,/);
  release();
  await shownPictures(bob.page);
  assert.equal(await box(), before, "nothing moved");
  const image = await bob.page.$eval("#messages a.picture img", ({ alt, src, naturalWidth }) => ({ alt, isPreview: src.endsWith("?preview"), naturalWidth }));
  assert.deepEqual(image, { alt: "image.png", isPreview: true, naturalWidth: 720 });
  // The author's is the server's by now too.
  await alice.allStored();
  await shownPictures(alice.page);
  assert.equal(await alice.page.locator(".chip-file").count(), 0);
});

scenario("text that comes with a picture of it is pasted as text, and other boxes keep what is pasted", async () => {
  const alice = await person(server.url, "alice", { path: "/r/office" });
  await isReady(alice);
  assert.equal(await give(alice.page, "paste", "#text", [png()], { "text/plain": "a\tb", "text/html": "<table></table>" }), false);
  await alice.page.keyboard.press("Control+k");
  await alice.page.waitForSelector(".finder[open]");
  assert.equal(await give(alice.page, "paste", ".finder input", [png()]), false);
  assert.equal(await alice.page.locator(".chip-file").count(), 0);
});

scenario("files are dropped anywhere, removed, and sent without a text", async () => {
  const [alice, bob] = [await person(server.url, "alice", { path: "/r/dropped" }), await person(server.url, "bob", { path: "/r/dropped" })];
  const { page } = alice;
  await isReady(alice);
  await give(page, "dragenter", "#sidebar", [png()]);
  await page.getByText("Drop the files to attach them in “dropped”").waitFor();
  await give(page, "dragleave", "#sidebar", [png()]);
  await page.waitForSelector(".drop-here", { state: "hidden" });
  await give(page, "dragenter", "#scroller", [png()]);
  assert.equal(await give(page, "dragover", "#scroller", [png()]), true, "the browser does not open the file");
  assert.equal(await give(page, "drop", "#scroller", [png("one.png"), text("two.txt"), png("three.png")]), true);
  await page.waitForSelector(".drop-here", { state: "hidden" });
  assert.equal(await page.locator(".chip-file").count(), 3);
  await page.getByRole("button", { name: "Do not attach two.txt" }).click();
  assert.deepEqual(await page.$$eval(".chip-file .title", (all) => all.map(({ textContent }) => textContent)), ["one.png", "three.png"]);
  await page.waitForFunction(() => document.activeElement?.getAttribute("aria-label") === "Do not attach three.png");
  await page.press("#text", "Enter");
  await alice.allStored();
  await shownPictures(bob.page);
  assert.deepEqual(await bob.page.$$eval("#messages a.picture", (all) => all.map(({ title }) => title)), ["one.png", "three.png"]);
  assert.equal(await bob.page.locator(".pictures.columns-2").count(), 1);
  // With a dialog above the page, a file neither comes in nor replaces the page.
  await page.keyboard.press("Control+k");
  await page.waitForSelector(".finder[open]");
  assert.equal(await give(page, "drop", "body", [png()]), true);
  assert.equal(await page.locator(".chip-file").count(), 0);
});

scenario("without a network, messages wait with their files, also over a reload, and go out in order", async () => {
  const network = await Network.before(server);
  const [alice, bob] = [await person(network.url, "alice", { path: "/r/offline" }), await person(server.url, "bob", { path: "/r/offline" })];
  const { page } = alice;
  await isReady(alice);
  await page.evaluate(() => navigator.serviceWorker.ready);
  await alice.until(() => page.evaluate(async () => (await (await caches.open("page")).match("/")) !== undefined), "the worker keeps what the page needs to open");
  network.down();
  await page.waitForSelector("#subtitle.away");
  await attach(alice, png("one.png"), text("two.txt", "two"));
  await alice.say("with files");
  await alice.say("behind them");
  await alice.hasWaiting("with files", "behind them");
  await page.waitForSelector("#messages .pending .picture img");
  await page.reload();
  await alice.hasWaiting("with files", "behind them");
  await page.waitForFunction(() => document.querySelector("#messages .pending .picture img")?.naturalWidth === 200);
  network.up();
  await bob.sees("behind them");
  assert.deepEqual((await bob.texts()).slice(-2), ["with files", "behind them"]);
  await alice.allStored();
  assert.deepEqual((await alice.texts()).slice(-2), ["with files", "behind them"]);
  await shownPictures(bob.page);
  const card = bob.page.locator("#messages a.file-card");
  assert.equal(await (await bob.context.request.get(server.url + (await card.getAttribute("href")))).text(), "two");
  // Nothing stays behind.
  await alice.until(async () => (await keptFiles(page)) === 0, "the bytes are dropped from the disk");
});

/** How many files the browser keeps. */
function keptFiles(page) {
  return page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const opening = indexedDB.open("chat files");
        opening.onerror = reject;
        opening.onsuccess = () => {
          const request = opening.result.transaction("files").objectStore("files").count();
          request.onsuccess = () => {
            opening.result.close();
            resolve(request.result);
          };
        };
      }),
  );
}

scenario("files of a draft survive a reload, and a sign-out forgets them", async () => {
  const alice = await person(server.url, "drafter", { path: "/r/draft" });
  await attach(alice, png("kept.png"), text("kept.txt"));
  await uploaded(alice);
  await alice.page.reload();
  await isReady(alice);
  await alice.page.waitForFunction(() => document.querySelectorAll(".chip-file").length === 2);
  await alice.page.press("#text", "Enter");
  await alice.allStored();
  assert.equal((await lastFiles(alice.page)).length, 2);
  await attach(alice, png("secret.png"));
  await alice.until(async () => (await keptFiles(alice.page)) === 1, "it is kept");
  await alice.settings();
  await alice.page.click("#sign-out");
  await alice.page.waitForSelector("#sign-in", { state: "visible" });
  assert.equal(await keptFiles(alice.page), 0);
});

scenario("a file that the server does not take says why, and there is a way out", async () => {
  const alice = await person(server.url, "alice", { path: "/r/refused", serviceWorkers: "block" });
  const { page } = alice;
  await isReady(alice);
  let status = 413;
  await page.route("**/api/files?*", (route) => (status ? route.fulfill({ status, json: { error: "no" } }) : route.continue()));
  await attach(alice, text("large.txt"));
  await page.getByText("too large for this server").waitFor();
  await alice.say("not yet");
  await page.getByText("One of the files cannot be sent.").waitFor();
  assert.equal(await page.inputValue("#text"), "not yet", "nothing is lost");
  status = 507;
  await page.getByRole("button", { name: "Try again: large.txt" }).click();
  await page.getByText("no room left on the server").waitFor();
  status = 0;
  await page.getByRole("button", { name: "Try again: large.txt" }).click();
  await uploaded(alice);
  await page.press("#text", "Enter");
  await alice.allStored();
  assert.equal((await lastFiles(page)).length, 1);

  // One that is refused only after the message was written.
  let release = () => {};
  const held = new Promise((resolve) => (release = resolve));
  await page.route("**/api/files?*", async (route) => {
    await held;
    await (status ? route.fulfill({ status, json: { error: "no" } }) : route.continue());
  });
  await attach(alice, text("late.txt"));
  await alice.say("written at once");
  await alice.say("and behind it");
  await alice.hasWaiting("written at once", "and behind it");
  status = 507;
  release();
  await page.getByText("Not sent: there is no room left for files on the server.").waitFor();
  await alice.sees("and behind it");
  status = 0;
  await page.locator(".not-sent").getByRole("button", { name: "Edit" }).click();
  assert.equal(await page.inputValue("#text"), "written at once");
  await page.getByRole("button", { name: "Try again: late.txt" }).click();
  await uploaded(alice);
  await page.press("#text", "Enter");
  await alice.allStored();
  assert.equal((await lastFiles(page)).length, 1);
});

scenario("too many files, and too large ones, are said before they are sent", async () => {
  const alice = await person(server.url, "alice", { path: "/r/many" });
  await isReady(alice);
  const many = Array.from({ length: 12 }, (_, i) => text(`${i}.txt`));
  await give(alice.page, "drop", "#messages", many);
  await alice.page.getByText("A message holds up to 10 files.").waitFor();
  assert.equal(await alice.page.locator(".chip-file").count(), 10);
  await give(alice.page, "drop", "#messages", [text("11.txt")]);
  assert.equal(await alice.page.locator(".chip-file").count(), 10);
  await uploaded(alice);
  await alice.page.press("#text", "Enter");
  await alice.allStored();
  assert.equal((await lastFiles(alice.page)).length, 10);
  await alice.page.evaluate(() => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(26 * 1024 * 1024)], "film.bin"));
    document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: data }));
  });
  await alice.page.getByText("Too large: film.bin. A file may have up to 25 MB.").waitFor();
});

scenario("an edit leaves the files, an answer quotes them, and a deletion takes them at once", async () => {
  const [alice, bob] = [await person(server.url, "alice", { path: "/r/changed" }), await person(server.url, "bob", { path: "/r/changed" })];
  const { page } = alice;
  await attach(alice, png("first.png"), png("second.png"));
  await alice.say("a caption");
  await alice.allStored();
  await bob.sees("a caption");
  await page.press("#text", "ArrowUp");
  await page.waitForSelector("#about.edits");
  assert.equal(await page.isVisible("#attach"), false, "an edit changes the text only");
  await page.fill("#text", "");
  await page.press("#text", "Enter");
  await bob.page.waitForFunction(() => document.querySelector("#messages .edited") && document.querySelectorAll("#messages a.picture").length === 2);
  const order = await bob.page.$eval("#messages .message", (item) => [...item.children].map(({ className }) => className).filter((name) => /body|with-files/.test(name)));
  assert.deepEqual(order, ["with-files", "body"], "without a text, the files stand above the note");

  await bob.page.focus("#messages .message");
  await bob.page.keyboard.press("r");
  await bob.say("nice ones");
  await page.waitForFunction(() => document.querySelector("#messages .quoted")?.textContent === "2 photos");
  assert.equal(await page.$eval("#messages .quote img", ({ complete, naturalWidth }) => !complete || naturalWidth > 0), true);

  await shownPictures(bob.page);
  const address = await bob.page.$eval("#messages a.picture", ({ href }) => href);
  const status = async () => (await bob.context.request.get(address)).status();
  assert.equal(await status(), 200);
  await bob.page.click("#messages a.picture");
  await bob.page.waitForSelector("#lightbox[open]");
  await page.focus("#messages .message.mine");
  await page.keyboard.press("Delete");
  await bob.page.waitForSelector("#lightbox", { state: "hidden" });
  assert.equal(await bob.page.locator("#messages a.picture").count(), 0);
  assert.equal(await status(), 404);
  await page.waitForFunction(() => document.querySelectorAll("#messages a.picture").length === 0);
});

scenario("pictures on the whole screen: keys, focus, and a finger", async () => {
  const [alice, bob] = [await person(server.url, "alice", { path: "/r/large" }), await person(server.url, "bob", { path: "/r/large", ...PHONE })];
  const { page } = alice;
  await attach(alice, png("one.png"), png("two.png", LARGE));
  await alice.say("two");
  await attach(alice, png("three.png"), text("no picture.txt"));
  await alice.say("three");
  await alice.allStored();
  await shownPictures(page);
  await page.focus("#messages .message:nth-last-child(2 of .message)");
  await page.focus("#messages a.picture");
  await page.keyboard.press("Enter");
  const shows = (page, name) => page.waitForFunction((name) => document.querySelector("#lightbox[open] img.loaded")?.alt === name, name);
  await shows(page, "one.png");
  await page.evaluate(AXE);
  const violations = await page.evaluate(async () => (await axe.run("#lightbox", { resultTypes: ["violations"] })).violations.map(({ id }) => id));
  assert.deepEqual(violations, []);
  await page.keyboard.press("ArrowRight");
  await shows(page, "two.png");
  const spaceLeft = await page.$eval(".stage", (stage) => stage.getBoundingClientRect().bottom - stage.querySelector("img").getBoundingClientRect().bottom);
  assert.ok(spaceLeft >= 0, `all of a picture is seen that is higher than the window: ${spaceLeft}`);
  await page.keyboard.press("End");
  await shows(page, "three.png");
  await page.keyboard.press("ArrowRight");
  await shows(page, "three.png");
  await page.keyboard.press("ArrowLeft");
  await shows(page, "two.png");
  await page.keyboard.press("Home");
  await shows(page, "one.png");
  for (let i = 0; i < 8; i += 1) {
    await page.keyboard.press("Tab");
    // The browser's own controls are between the last and the first.
    assert.ok(await page.evaluate(() => document.activeElement === document.body || document.querySelector("#lightbox").contains(document.activeElement)), "the focus stays in it");
  }
  await page.keyboard.press("Escape");
  await page.waitForSelector("#lightbox", { state: "hidden" });
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("title")), "one.png", "the focus is back");

  const phone = bob.page;
  await shownPictures(phone);
  await phone.tap("#messages a.picture[title='two.png']");
  await shows(phone, "two.png");
  const touch = await bob.context.newCDPSession(phone);
  const swipe = async (from, to, y = 400, toY = 400) => {
    await touch.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: [{ x: from, y }] });
    for (let i = 1; i <= 5; i += 1) await touch.send("Input.dispatchTouchEvent", { type: "touchMove", touchPoints: [{ x: from + ((to - from) * i) / 5, y: y + ((toY - y) * i) / 5 }] });
    await touch.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  };
  await swipe(300, 100);
  await shows(phone, "three.png");
  await swipe(100, 300);
  await shows(phone, "two.png");
  await swipe(200, 200, 300, 600);
  await phone.waitForSelector("#lightbox", { state: "hidden" });
});

scenario("video and sound play where they are, and go on when their message changes", async () => {
  const [alice, bob] = [await person(server.url, "alice", { path: "/r/media" }), await person(server.url, "bob", { path: "/r/media" })];
  const { page } = alice;
  const webm = Buffer.from(await page.evaluate(recorded), "base64");
  await attach(alice, { name: "film.webm", mimeType: "video/webm", buffer: webm }, { name: "sound.wav", mimeType: "audio/wav", buffer: wav(2) });
  await alice.say("listen");
  await bob.page.waitForFunction(() => ["video", "audio"].every((kind) => (document.querySelector(`#messages ${kind}`)?.readyState ?? 0) >= 1));
  assert.deepEqual(await bob.page.$$eval("#messages video, #messages audio", (all) => all.map((media) => [media.preload, media.controls, media.ariaLabel].join())), ["metadata,true,film.webm", "metadata,true,sound.wav"]);
  await bob.page.$eval("#messages audio", (audio) => {
    audio.muted = true;
    audio.loop = true;
    audio.dataset.same = "yes";
    return audio.play();
  });
  await bob.page.focus("#messages .message");
  await alice.page.hover("#messages .message");
  await alice.page.click(".message-bar button >> nth=0");
  await bob.page.waitForSelector("#messages .chip");
  assert.deepEqual(await bob.page.$eval("#messages audio", ({ paused, dataset }) => [paused, dataset.same]), [false, "yes"]);
});

/** Runs in a page: a second of moving colours. */
async function recorded() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const context = canvas.getContext("2d");
  const recorder = new MediaRecorder(canvas.captureStream(20), { mimeType: "video/webm" });
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.start();
  for (let i = 0; i < 10; i += 1) {
    context.fillStyle = `hsl(${i * 36} 80% 50%)`;
    context.fillRect(0, 0, 64, 64);
    await new Promise((next) => setTimeout(next, 60));
  }
  await new Promise((done) => {
    recorder.onstop = done;
    recorder.stop();
  });
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

/** A low tone. */
function wav(seconds) {
  const rate = 8_000;
  const bytes = Buffer.alloc(44 + rate * seconds, 128);
  bytes.write("RIFF", 0);
  bytes.writeUInt32LE(36 + rate * seconds, 4);
  bytes.write("WAVEfmt ", 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(rate, 24);
  bytes.writeUInt32LE(rate, 28);
  bytes.writeUInt16LE(1, 32);
  bytes.writeUInt16LE(8, 34);
  bytes.write("data", 36);
  bytes.writeUInt32LE(rate * seconds, 40);
  for (let i = 0; i < rate * seconds; i += 1) bytes[44 + i] = 128 + Math.round(60 * Math.sin(i / 6));
  return bytes;
}

scenario("a file of a private conversation is for its two users only", async () => {
  const [alice, bob, eve] = [await person(server.url, "alice", { path: "/u/bob" }), await person(server.url, "bob"), await person(server.url, "eve")];
  await attach(alice, png("ours.png"), text("ours.txt"));
  await uploaded(alice);
  await alice.page.press("#text", "Enter");
  await alice.allStored();
  const addresses = await lastFiles(alice.page);
  assert.equal(addresses.length, 2);
  await bob.open("@alice");
  await shownPictures(bob.page);
  for (const address of addresses) {
    assert.equal((await bob.context.request.get(server.url + address)).status(), 200);
    assert.equal((await eve.context.request.get(server.url + address)).status(), 404);
  }
});

const SCRIPT = "document.title = 'taken'; localStorage.setItem('taken', 'yes'); fetch('/api/me').then((answer) => answer.text()).then((text) => { window.taken = text; });";
const HOSTILE = [
  { name: "script.svg", mimeType: "image/svg+xml", buffer: Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" onload="${SCRIPT.replaceAll('"', "'")}"><script>${SCRIPT}</script></svg>`) },
  { name: "page.html", mimeType: "text/html", buffer: Buffer.from(`<!doctype html><title>page</title><script>${SCRIPT}</script>`) },
  { name: "page.png", mimeType: "image/png", buffer: Buffer.from(`<!doctype html><title>page</title><script>${SCRIPT}</script>`) },
  { name: "both.gif", mimeType: "text/html", buffer: Buffer.from(`GIF89a/*\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;*/=0;${SCRIPT}//<script>${SCRIPT}</script>`, "latin1") },
  { name: "page.xhtml", mimeType: "application/xhtml+xml", buffer: Buffer.from(`<html xmlns="http://www.w3.org/1999/xhtml"><head><script>${SCRIPT}</script></head></html>`) },
  { name: "script.js", mimeType: "text/javascript", buffer: Buffer.from(SCRIPT) },
  { name: "script.pdf", mimeType: "application/pdf", buffer: Buffer.from("%PDF-1.4\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\ntrailer<</Root 1 0 R>>") },
  { name: "../../../etc/passwd.png", mimeType: "image/png", buffer: PNG },
  { name: "photo\u202Egpj.exe", mimeType: "application/x-msdownload", buffer: Buffer.from("MZ") },
  { name: `${"ы".repeat(120)}.png`, mimeType: "image/png", buffer: PNG },
];

scenario("hostile files and names: no file opens as a page of this chat, and no script of one runs", async () => {
  const [alice, bob] = [await person(server.url, "alice", { path: "/r/hostile" }), await person(server.url, "bob", { path: "/r/hostile", serviceWorkers: "block", acceptDownloads: true })];
  await isReady(alice);
  await give(alice.page, "drop", "#messages", HOSTILE);
  await uploaded(alice);
  await alice.page.press("#text", "Enter");
  await alice.allStored();
  const files = await bob.page.waitForFunction(() => {
    const all = [...document.querySelectorAll("#messages a.picture, #messages a.file-card")];
    return all.length === 10 && all.map((link) => ({ href: link.href, title: link.title, isPicture: link.matches(".picture") }));
  });
  const shown = await files.jsonValue();
  for (const { title } of shown) assert.doesNotMatch(title, /[/\\\u202E]/);
  const table = [];
  for (const { href, title, isPicture } of shown) {
    const answer = await bob.context.request.get(href);
    const headers = answer.headers();
    const tab = await bob.context.newPage();
    const outcome = await tab.goto(href).then(
      async () => ({ did: "opened", title: await tab.title(), taken: await tab.evaluate("window.taken ?? null").catch(() => null), origin: await tab.evaluate("self.origin") }),
      (error) => ({ did: /Download is starting/.test(error.message) ? "downloaded" : error.message.split("\n", 1)[0] }),
    );
    table.push([title.length > 30 ? `${title.slice(0, 12)}… (${Buffer.byteLength(title)} bytes)` : title, answer.status(), headers["content-type"], headers["content-disposition"], outcome.did, outcome.origin ?? ""].join(" | "));
    assert.equal(answer.status(), 200);
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.match(headers["content-security-policy"], /sandbox/);
    if (outcome.did === "opened") {
      assert.ok(isPicture || /gif/.test(headers["content-type"]), title);
      assert.equal(outcome.origin, "null", `${title}: the tab is of no origin`);
      assert.notEqual(outcome.title, "taken");
    } else {
      assert.equal(outcome.did, "downloaded", title);
      assert.match(headers["content-disposition"], /^attachment/);
    }
    await tab.close();
  }
  console.log(table.map((line) => `  ${line}`).join("\n"));
  assert.deepEqual(await bob.page.evaluate(() => [localStorage.getItem("taken"), document.title === "taken", "taken" in window]), [null, false, false]);
  // As pictures and as scripts of the page they do nothing either.
  const asScript = await bob.page.evaluate(
    (addresses) =>
      Promise.all(
        addresses.map(
          (address) =>
            new Promise((done) => {
              const script = document.createElement("script");
              script.onload = () => done("ran");
              script.onerror = () => done("refused");
              script.src = address;
              document.body.append(script);
            }),
        ),
      ),
    shown.filter(({ title }) => /\.(js|gif|html)$/.test(title)).map(({ href }) => href),
  );
  for (const outcome of asScript) assert.equal(outcome, "refused");
  const refusals = problems.filter((problem) => problem.startsWith("Refused to execute script"));
  assert.equal(refusals.length, asScript.length);
  for (const refusal of refusals) problems.splice(problems.indexOf(refusal), 1);
  assert.equal(await bob.page.evaluate(() => localStorage.getItem("taken")), null);
  // A click on a card is a download.
  const [download] = await Promise.all([bob.page.waitForEvent("download"), bob.page.click("#messages a.file-card[title='page.html']")]);
  assert.equal(download.suggestedFilename(), "page.html");
});

for (const [size, look] of [["a desktop", { viewport: { width: 1280, height: 800 } }], ["a phone", PHONE]]) {
  scenario(`messages and drafts with files on ${size}: axe finds no fault, and nothing is wider than the page`, async () => {
    const alice = await person(server.url, "alice", { path: "/r/axe", ...look });
    const { page } = alice;
    await attach(alice, png("one.png"), png("two.png"), text("a".repeat(100) + ".txt"));
    await uploaded(alice);
    await alice.say("files");
    await alice.allStored();
    await attach(alice, png("three.png"), text("b".repeat(100) + ".txt"));
    await uploaded(alice);
    await page.evaluate(AXE);
    const violations = await page.evaluate(async () => {
      const { violations } = await axe.run(document, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
      return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} ${target}: ${failureSummary}`));
    });
    assert.deepEqual(violations, []);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  });
}
