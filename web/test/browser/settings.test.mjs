// The settings, and the cards of users: oneself and others.

import assert from "node:assert/strict";

import { fourColours, PASSWORD, person, picture, Server, scenario } from "./harness.mjs";

const server = await Server.start("--database-url", "memory:", "--message-rate", "off");
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
let rooms = 0;
const room = () => `settings-${(rooms += 1)}`;
const focused = ({ page }) => page.evaluate(() => document.activeElement?.id || document.activeElement?.dataset.action || document.activeElement?.dataset.page);
const isClosed = ({ page }, dialog) => page.waitForSelector(`${dialog}:not([open])`, { state: "attached" });

scenario("on a phone the settings are pages: a button and the Back gesture lead to their list", async () => {
  const alice = await person(server.url, "alice", PHONE);
  const { page } = alice;
  await page.tap("#open-sidebar");
  await alice.settings();
  assert.equal(await page.locator("#settings section").isVisible(), false);
  assert.equal(await page.locator("#settings [data-page=keys]").isVisible(), false, "a touch screen has no keys");
  await page.tap("#settings [data-page=look]");
  assert.equal(await page.locator("#settings nav").isVisible(), false);
  assert.equal(await page.textContent("#settings-page-heading"), "Appearance");
  await page.tap("#settings .back");
  assert.equal(await focused(alice), "look");
  await page.tap("#settings [data-page=devices]");
  // The gesture asks the dialog to close, as Escape does.
  await page.keyboard.press("Escape");
  await page.locator("#settings nav").waitFor();
  assert.equal(await page.locator("#settings section").isVisible(), false);
  await page.keyboard.press("Escape");
  await isClosed(alice, "#settings");
});

scenario("a device is signed out from another one", async () => {
  const laptop = await person(server.url, "dora");
  const phone = await person(server.url, "dora", { userAgent: "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1" });
  await laptop.settings("devices");
  await laptop.page.locator("#sessions li.current", { hasText: "this device" }).waitFor();
  await laptop.page.click("#sessions [aria-label='Sign out on Safari · iPhone']");
  await phone.page.waitForSelector("#sign-in", { state: "visible" });
  await laptop.page.waitForFunction(() => document.querySelectorAll("#sessions li").length === 1);
  assert.equal(await laptop.page.isVisible("#end-others"), false, "there is no other");
});

scenario("a message that is not seen makes a sound, in one tab, where that is switched on", async () => {
  const listen = () => {
    window.tones = 0;
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...when) {
      window.tones += 1;
      return start.apply(this, when);
    };
  };
  const erik = await person(server.url, "erik");
  await erik.context.addInitScript(listen);
  const other = await erik.tab("/r/random");
  await erik.page.reload();
  await erik.isIn();
  const tones = async () => (await Promise.all([erik, other].map(({ page }) => page.evaluate(() => window.tones)))).reduce((sum, count) => sum + count);
  const fay = await person(server.url, "fay", { path: "/u/erik" });
  // Both tabs are used: a page that was never touched may make no sound.
  for (const { page } of [erik, other]) await page.click("#title");
  await fay.say("in silence");
  await erik.page.waitForFunction(() => document.title.startsWith("(1)"));
  await erik.page.waitForTimeout(2_500);
  assert.equal(await tones(), 0);
  await erik.settings("notices");
  await erik.page.click("#test-sound");
  await erik.until(async () => (await tones()) === 2, "the test");
  await erik.page.check("#sound");
  await erik.until(async () => (await tones()) === 4, "it is heard when it is switched on");
  await erik.page.keyboard.press("Escape");
  await fay.say("do you hear me?");
  await erik.until(async () => (await tones()) === 6, "one sound");
  await erik.page.waitForTimeout(1_000);
  assert.equal(await tones(), 6, "of one tab");
  await erik.open("@fay");
  await erik.page.bringToFront();
  await erik.sees("do you hear me?");
  await fay.say("and now you look");
  await erik.sees("and now you look");
  await erik.page.waitForTimeout(2_500);
  assert.equal(await tones(), 6, "what is in view needs none");
});

scenario("a card is behind faces, names, mentions and members: to write, to mention, and one's own", async () => {
  const there = room();
  const gus = await person(server.url, "gus", { path: `/r/${there}` });
  const hedi = await person(server.url, "hedi", { path: `/r/${there}` });
  const { page } = hedi;
  const card = page.locator("#card[open]");
  await gus.say("hello from gus");
  await hedi.sees("hello from gus");
  await hedi.say("it is @gus again");
  await hedi.allStored();

  // By its face, and away with Escape: the focus returns.
  await page.click("#messages [data-from=gus] chat-avatar");
  await card.getByRole("heading", { name: "gus" }).waitFor();
  await card.getByText("online", { exact: true }).waitFor();
  await page.keyboard.press("Escape");
  await isClosed(hedi, "#card");

  // By its name, with the keyboard.
  await page.focus("#text");
  await page.keyboard.press("Shift+ArrowUp");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await card.waitFor();
  assert.equal(await focused(hedi), "write");
  await page.keyboard.press("Tab");
  assert.equal(await focused(hedi), "mention");
  await page.keyboard.press("Enter");
  await isClosed(hedi, "#card");
  assert.equal(await page.inputValue("#text"), "@gus ");
  assert.equal(await focused(hedi), "text");
  await page.keyboard.type("is meant");
  await page.keyboard.press("Enter");
  await gus.page.locator(".message.mention", { hasText: "is meant" }).waitFor();

  // By a mention; a click beside it closes it.
  await page.click("#messages a.mention-name >> nth=0");
  await card.waitFor();
  await page.mouse.click(1200, 20);
  await isClosed(hedi, "#card");

  // Among the members, oneself: the settings.
  await page.click("#title");
  await page.click("#members [data-name=hedi] .person");
  await card.getByText("That is you").waitFor();
  await card.getByRole("button", { name: "Settings" }).click();
  await page.waitForSelector("#settings[open]");
  assert.equal(await page.textContent("#settings-page-heading"), "Profile");
  await page.keyboard.press("Escape");
  await page.click("#members [data-name=gus] .person");
  await card.getByRole("button", { name: "Write privately" }).click();
  await page.waitForURL("**/u/gus");
  assert.equal(await focused(hedi), "text");
});

scenario("on a phone a card is a sheet, and a mention leads from the members to the box", async () => {
  const there = room();
  const ivy = await person(server.url, "ivy", { path: `/r/${there}` });
  await ivy.say("here");
  await ivy.allStored();
  const jon = await person(server.url, "jon", { path: `/r/${there}`, ...PHONE });
  const { page } = jon;
  await page.tap("#messages [data-from=ivy] chat-avatar");
  await page.locator("#card[open]").evaluate((sheet) => Promise.all(sheet.getAnimations().map(({ finished }) => finished)));
  const sheet = await page.locator("#card[open]").boundingBox();
  assert.deepEqual([sheet.x, sheet.width, Math.round(sheet.y + sheet.height)], [0, 390, 844]);
  await page.keyboard.press("Escape");
  await page.tap("#title");
  await page.tap("#members [data-name=ivy] .person");
  await page.locator("#card").getByRole("button", { name: "Mention here" }).tap();
  await page.waitForSelector("#details", { state: "hidden" });
  assert.equal(await page.inputValue("#text"), "@ivy ");
  assert.equal(await focused(jon), "text");
});

scenario("a picture is chosen, moved, saved, seen by others without a reload, and removed", async () => {
  const there = room();
  const kim = await person(server.url, "kim", { path: `/r/${there}` });
  const leo = await person(server.url, "leo", { path: `/r/${there}` });
  await kim.say("how do I look?");
  await leo.sees("how do I look?");
  const shown = ({ page }, where) => page.evaluate((where) => document.querySelector(`${where} chat-avatar[name=kim] img`)?.getAttribute("src") ?? "", where);
  assert.equal(await shown(leo, "#messages"), "");
  await kim.settings("profile");
  assert.equal(await kim.page.isVisible("#save-picture"), false, "nothing is chosen");
  const file = "#settings picture-crop input[type=file]";
  await kim.page.setInputFiles(file, { name: "a.txt", mimeType: "image/png", buffer: Buffer.from("no picture") });
  await kim.page.locator("#settings picture-crop .error", { hasText: "cannot be opened" }).waitFor();
  await kim.page.setInputFiles(file, { name: "a.png", mimeType: "image/png", buffer: await fourColours() });
  await kim.page.locator("#settings .crop-stage").focus();
  await kim.page.keyboard.press("ArrowRight");
  await kim.page.click("#save-picture");
  await kim.page.getByText("The picture is saved.").waitFor();
  await kim.until(async () => (await shown(kim, "#me")) !== "" && (await shown(kim, "#messages")) === (await shown(kim, "#me")), "everywhere in the own page");
  const first = await shown(kim, "#me");
  // The card asks how kim looks by now.
  await leo.page.click("#messages [data-from=kim] chat-avatar");
  await leo.until(async () => (await shown(leo, "#messages")) === first, "others see it");
  await leo.page.keyboard.press("Escape");

  // Another one has another address.
  const other = await picture((context, size) => {
    context.fillStyle = "#888";
    context.fillRect(0, 0, size, size);
  });
  await kim.page.setInputFiles(file, { name: "b.png", mimeType: "image/png", buffer: other });
  await kim.page.click("#save-picture");
  await kim.until(async () => ![first, ""].includes(await shown(kim, "#messages")), "the next");
  await kim.page.click("#remove-picture");
  await kim.page.getByText("The picture is removed.").waitFor();
  await kim.until(async () => (await shown(kim, "#messages")) === "" && (await shown(kim, "#me")) === "", "no picture");
  assert.equal(await kim.page.isVisible("#remove-picture"), false);
  await kim.page.reload();
  await kim.isIn();
  assert.equal(await shown(kim, "#me"), "");
});

scenario("a password is changed: the rule is said, a wrong one is told, other devices end", async () => {
  const mia = await person(server.url, "mia");
  const phone = await person(server.url, "mia");
  const { page } = mia;
  await mia.settings("password");
  await page.locator("#password-new-hint", { hasText: "At least 8 characters" }).waitFor();
  const tries = async (current, next, id) => {
    await page.fill("#password-current", current);
    await page.fill("#password-new", next);
    await page.press("#password-new", "Enter");
    const error = page.locator(`#${id}-error:not(:empty)`);
    await error.waitFor();
    assert.equal(await focused(mia), id);
    return error.textContent();
  };
  assert.equal(await tries(PASSWORD, "", "password-new"), "Please enter a password.");
  assert.match(await tries(PASSWORD, "short", "password-new"), /8 characters/);
  assert.equal(await tries("not this one", "a new password", "password-current"), "That is not your current password.");
  assert.equal(await phone.page.isVisible("#text"), true);
  await page.fill("#password-current", PASSWORD);
  await page.click("#password-form [data-t-label=showPassword] >> nth=1");
  assert.equal(await page.getAttribute("#password-new", "type"), "text");
  await page.click("#password-form .primary");
  await page.getByText("The password is changed.").waitFor();
  assert.equal(await page.inputValue("#password-new"), "");
  await phone.page.waitForSelector("#sign-in", { state: "visible" });
  await page.keyboard.press("Escape");
  await mia.say("still here");
  await mia.allStored();
  await phone.page.fill("#sign-in-password", "a new password");
  await phone.page.press("#sign-in-password", "Enter");
  await phone.isIn();
});
