// A wide screen: the details stay open beside the conversation.

import assert from "node:assert/strict";

import { person, Server, scenario } from "./harness.mjs";

const server = await Server.start("--message-rate", "off", "--database-url", "memory:");
const WIDE = { viewport: { width: 1920, height: 1000 } };

scenario("the details stay open beside the conversation until the user closes them", async () => {
  const alice = await person(server.url, "alice", { path: "/r/wide", ...WIDE });
  const { page } = alice;
  await alice.pour("wide", ["word ".repeat(150)]);
  await alice.joins("/r/other");
  const isOpen = (is) => page.waitForSelector("#details", { state: is ? "visible" : "hidden" });
  await page.waitForSelector("#message-menu", { state: "attached" });
  await isOpen(false);
  await page.click("#title");
  await isOpen(true);
  await page.click("#text");
  await page.keyboard.press("Escape");
  await alice.open("#other");
  await isOpen(true);
  await alice.open("#wide");
  assert.equal(await page.isVisible("#details"), true, "neither a key nor another room closes them");
  const words = await page.$eval("#messages .text", (text) => text.getBoundingClientRect().width / parseFloat(getComputedStyle(text).fontSize));
  assert.ok(words < 50, `a line of text has at most 50 em: ${words}`);

  // Another panel takes their place, and gives it back.
  await page.click("#talk-more");
  await page.click("#search-here");
  await page.waitForSelector("#search", { state: "visible" });
  await isOpen(false);
  await page.click("#close-search");
  await isOpen(true);

  // After a reload, the conversation does not move when they come.
  await page.reload();
  await alice.isIn();
  await page.waitForFunction(() => document.querySelector("#chat.with-details") && document.querySelector("#messages .text"));
  const left = await page.$eval("#messages", (list) => list.getBoundingClientRect().left);
  await isOpen(true);
  assert.equal(await page.$eval("#messages", (list) => list.getBoundingClientRect().left), left);
  assert.equal(await page.evaluate(() => document.activeElement?.id), "text", "they take no focus by themselves");

  // Without room they are closed; with it, they are back.
  await page.setViewportSize({ width: 1000, height: 800 });
  await isOpen(false);
  await page.setViewportSize(WIDE.viewport);
  await isOpen(true);
  await page.click("#close-details");
  await isOpen(false);
  await page.reload();
  await page.waitForSelector("#message-menu", { state: "attached" });
  assert.deepEqual([await page.isVisible("#details"), await page.locator("#chat.with-details").count()], [false, 0], "until they are wanted again");
});
