// The pictures of the README, and the recording at its top: a real server and page, with
// users in a room whose clock and history are made up. `cargo xtask screenshots` takes
// them.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { person } from "./harness.mjs";
import { dress, look, settled, stage } from "./scene.mjs";
import { Recording } from "./recording.mjs";

const FOLDER = process.env.SCREENSHOTS ?? "docs/images";
const PICTURE_MAX_BYTES = 200_000;
const RECORDING_MAX_BYTES = 1_000_000;
const WIDE = { viewport: { width: 1280, height: 800 }, deviceScaleFactor: 2 };
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

test("screenshots", { timeout: 600_000 }, async () => {
  mkdirSync(FOLDER, { recursive: true });
  for (const language of /** @type {const} */ (["ru", "en"])) {
    const { server, me, friend, talk } = await stage(language);
    const open = async (/** @type {any} */ options) => {
      const someone = await look(server, { language, ...options });
      someone.name = me;
      await someone.signIn();
      await dress(someone.page, talk);
      return someone;
    };
    const wide = await open(WIDE);
    await wide.goto(`/u/${encodeURIComponent(friend)}`);
    await shoot(wide.page, `private-${language}`);
    await wide.goto("/r/default");
    await shoot(wide.page, `light-${language}`);
    await wide.page.emulateMedia({ colorScheme: "dark" });
    await shoot(wide.page, `dark-${language}`);
    await wide.context.close();
    const phone = await open(PHONE);
    await phone.goto("/r/default");
    await shoot(phone.page, `phone-${language}`);
    await phone.page.click("#open-sidebar");
    await phone.page.waitForSelector("#chat.sidebar-open");
    await shoot(phone.page, `phone-rooms-${language}`);
    await phone.context.close();
    await record(server, await open({ viewport: { width: 960, height: 600 }, deviceScaleFactor: 1 }), friend, language);
    await server.stop();
  }
});

/** What is said in the recording. @type {Record<"ru" | "en", string[]>} */
const SAID = {
  ru: ["Кто-нибудь видел лейку?", "Она у сарая 🪣", "Нашёл, спасибо!", "Тогда полью и помидоры"],
  en: ["Has anybody seen the watering can?", "It stands by the shed 🪣", "Found it, thank you!", "I will water the tomatoes, too"],
};

/** Records a short conversation: what is typed, what arrives, and a reaction. */
async function record(server, someone, friend, language) {
  const { page } = someone;
  const other = await person(server.url, friend);
  await someone.goto("/r/default");
  await page.waitForSelector("#message-menu", { state: "attached" });
  await settled(page);
  const film = await Recording.of(page);
  const [question = "", answer = "", thanks = "", last = ""] = SAID[language];
  const say = async (/** @type {string} */ text) => {
    for (let end = 6; end < text.length; end += 6) {
      await page.fill("#text", text.slice(0, end));
      await film.frame(180);
    }
    await page.fill("#text", text);
    await film.frame(300);
    await page.press("#text", "Enter");
    await someone.allStored();
    await film.frame(900);
  };
  await film.frame(1_200);
  await say(question);
  await other.page.fill("#text", answer);
  await page.waitForFunction(() => document.querySelector("#typing")?.textContent).catch(() => {});
  await film.frame(1_100);
  await other.say(answer);
  await someone.sees(answer);
  await page.waitForTimeout(300);
  await film.frame(1_300);
  const answered = page.locator("#messages .message", { hasText: answer }).last();
  await answered.hover();
  await film.frame(600);
  await answered.locator(".message-bar button").first().click();
  await answered.locator(".chip").waitFor();
  await page.mouse.move(0, 0);
  await page.focus("#text");
  await page.waitForTimeout(300);
  await film.frame(900);
  await say(thanks);
  await other.page.locator("#messages .message", { hasText: thanks }).last().waitFor();
  await other.say(last);
  await someone.sees(last);
  await page.waitForTimeout(300);
  await film.frame(2_500);
  const bytes = film.webp();
  assert.ok(bytes.length <= RECORDING_MAX_BYTES, `the recording is large: ${bytes.length} bytes`);
  writeFileSync(path.join(FOLDER, `talk-${language}.webp`), bytes);
  await someone.context.close();
  await other.context.close();
}

/** @param {string} name */
async function shoot(page, name) {
  await settled(page);
  const browser = await page.context().newCDPSession(page);
  const { data } = await browser.send("Page.captureScreenshot", { format: "webp", quality: 82 });
  const picture = Buffer.from(data, "base64");
  assert.ok(picture.length <= PICTURE_MAX_BYTES, `${name} is large: ${picture.length} bytes`);
  writeFileSync(path.join(FOLDER, `${name}.webp`), picture);
}
