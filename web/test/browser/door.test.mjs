// The door: registering, signing in, and their errors.

import assert from "node:assert/strict";

import { fourColours, PASSWORD, person, register, Server, scenario, visitor } from "./harness.mjs";

const server = await Server.start();

scenario("a user registers with a picture, cut to a square, and others see it", async () => {
  const { page } = await visitor(server.url);
  await page.goto(`${server.url}/`);
  await page.fill("#register-name", "Рита");
  await page.fill("#register-password", PASSWORD);
  await page.setInputFiles("picture-crop input[type=file]", { name: "me.png", mimeType: "image/png", buffer: await fourColours(400) });
  await page.waitForSelector("picture-crop.has-picture");
  // Zooms in on the corner at the top left, which is red.
  await page.fill("picture-crop input[type=range]", "2");
  await page.focus(".crop-stage");
  for (let i = 0; i < 12; i += 1) {
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowUp");
  }
  await page.click("#register button.primary");
  await page.waitForSelector("#text", { state: "visible" });
  await page.fill("#text", "I am here");
  await page.press("#text", "Enter");

  const bob = await person(server.url, "bob");
  await bob.sees("I am here");
  const shown = await bob.page.waitForSelector("#messages .message chat-avatar[name='Рита'] img");
  const colours = await shown.evaluate((image) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return [0.1, 0.9].flatMap((x) => [0.1, 0.9].map((y) => [...context.getImageData(x * canvas.width, y * canvas.height, 1, 1).data.slice(0, 3)]));
  });
  assert.ok(colours.every(([red, green, blue]) => red > 200 && green < 60 && blue < 60), String(colours));
});

/** Where the link leads that was opened. */
const leadsTo = async (page) => (await page.textContent("#door-leads-to"))?.replace(/[\u2068\u2069]/g, "");

scenario("a link to a room names it at the door", async () => {
  const { page } = await visitor(server.url);
  await page.goto(`${server.url}/r/garden`);
  await page.waitForSelector("#register", { state: "visible" });
  assert.equal(await leadsTo(page), "This link leads to “garden”.");
  await page.fill("#register-name", "gardener");
  await page.fill("#register-password", PASSWORD);
  await page.press("#register-password", "Enter");
  await page.waitForFunction(() => document.querySelector("#title")?.textContent === "garden");
});

scenario("the door shows whose chat it is, and the tab too", async () => {
  const own = await Server.start("--database-url", "memory:", "--title", "Our garden", "--welcome", "For all who plant trees.\nCome in!", "--accent", "violet", "--registration", "closed");
  const { page } = await visitor(own.url);
  await page.goto(`${own.url}/r/~secret`);
  await page.waitForSelector("#sign-in", { state: "visible" });
  assert.equal(await page.textContent("#door h1"), "Our garden");
  assert.equal(await page.textContent(".door-welcome"), "For all who plant trees.\nCome in!");
  assert.match((await page.textContent("#door-words")) ?? "", /Registration is closed/);
  assert.ok(await page.isDisabled("#to-register"));
  assert.equal(await page.title(), "Our garden");
  assert.equal(await page.evaluate(() => document.documentElement.dataset.accent), "violet");
  await page.reload();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.accent), "violet", "before the server says it");
  // The name of a closed room says nothing, and the server is not asked for its title.
  const other = await visitor(server.url);
  await other.page.goto(`${server.url}/r/~secret`);
  await other.page.waitForSelector("#register", { state: "visible" });
  assert.equal(await leadsTo(other.page), "This link leads to a closed room.");
  // So it is for somebody who has an account, and in another language.
  await other.page.click("#to-sign-in");
  await other.page.click(".languages [data-language=ru]");
  await other.page.waitForFunction(() => document.documentElement.lang === "ru");
  assert.equal(await leadsTo(other.page), "Ссылка ведёт в\u00a0закрытую комнату.");
});

scenario("errors are shown at their fields, in both languages", async () => {
  await register(server.url, "anna");
  const { page } = await visitor(server.url, { locale: "ru-RU" });
  await page.goto(`${server.url}/`);
  const saidIn = (form) => page.$$eval(`#${form} .error`, (all) => all.map(({ textContent }) => textContent).filter(Boolean));
  const tryIt = async (form, name, password) => {
    await page.click(form === "register" ? "#to-register" : "#to-sign-in");
    await page.fill(`#${form}-name`, name);
    await page.fill(`#${form}-password`, password);
    await page.press(`#${form}-password`, "Enter");
    await page.waitForFunction((form) => [...document.querySelectorAll(`#${form} .error`)].some(({ textContent }) => textContent), form);
    return saidIn(form);
  };
  assert.equal(await page.getAttribute("html", "lang"), "ru");
  assert.deepEqual(await tryIt("sign-in", "anna", "wrong"), ["Неверное имя или пароль."]);
  assert.deepEqual(await tryIt("sign-in", "nobody", "wrong"), ["Неверное имя или пароль."]);
  assert.deepEqual(await tryIt("register", "anna", PASSWORD), ["Это имя уже занято."]);
  assert.deepEqual(await tryIt("register", "аnnа", PASSWORD), ["Это имя слишком похоже на уже занятое."]);
  assert.deepEqual(await tryIt("register", "   ", PASSWORD), ["Введите имя."]);
  assert.equal(await page.getAttribute("#register-name", "aria-invalid"), "true");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "register-name");

  await page.click(".languages [data-language=en]");
  await page.waitForFunction(() => document.documentElement.lang === "en");
  assert.deepEqual(await tryIt("register", "x".repeat(25), PASSWORD), ["24 characters at most."]);
  assert.deepEqual(await tryIt("register", "a\u202eb", PASSWORD), ["The name has invisible characters."]);
  assert.deepEqual(await tryIt("register", "new", ""), ["Please enter a password."]);
  assert.deepEqual(await tryIt("register", "new", "1234567"), ["At least 8 characters."]);
  assert.equal(await page.textContent("#register-password-hint"), "At least 8 characters.");
  assert.deepEqual(await tryIt("register", "new name", "New Name"), ["The password must not be your name."]);
  assert.deepEqual(await tryIt("sign-in", "anna", "wrong"), ["Wrong name or password."]);
  await page.fill("#sign-in-password", PASSWORD);
  await page.press("#sign-in-password", "Enter");
  await page.waitForSelector("#text", { state: "visible" });
  await page.reload();
  await page.waitForSelector("#text", { state: "visible" });
  assert.equal(await page.getAttribute("html", "lang"), "en", "the choice is remembered");
});

scenario("a file that is no picture is refused, and the form stays", async () => {
  const { page } = await visitor(server.url);
  await page.goto(`${server.url}/`);
  await page.fill("#register-name", "carol");
  await page.setInputFiles("picture-crop input[type=file]", { name: "me.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
  await page.waitForFunction(() => document.querySelector("picture-crop .error")?.textContent?.includes("cannot be opened"));
  assert.equal(await page.inputValue("#register-name"), "carol");
});

scenario("the door says when registration is closed, and when the server is down", async () => {
  const closed = await Server.start("--registration", "closed", "--database-url", "memory:");
  const { page } = await visitor(closed.url, { locale: "ru-RU" });
  // Until everything is loaded that it cannot load later.
  await page.goto(`${closed.url}/`, { waitUntil: "networkidle" });
  await page.waitForFunction(() => document.querySelector("#door-words")?.textContent?.startsWith("Регистрация закрыта"));
  await closed.kill();
  await page.fill("#sign-in-name", "dora");
  await page.fill("#sign-in-password", PASSWORD);
  await page.press("#sign-in-password", "Enter");
  await page.waitForFunction(() => document.querySelector("#sign-in > .error")?.textContent?.startsWith("Нет связи с сервером"));
});

scenario("too many failed attempts show when to try again", async () => {
  const strict = await Server.start("--address-failures-max", "1", "--database-url", "memory:");
  await register(strict.url, "alice");
  const { page } = await visitor(strict.url);
  await page.goto(`${strict.url}/`);
  await page.click("#to-sign-in");
  await page.fill("#sign-in-name", "alice");
  await page.fill("#sign-in-password", "wrong");
  await page.press("#sign-in-password", "Enter");
  await page.waitForFunction(() => document.querySelector("#sign-in > .error")?.textContent === "Wrong name or password.");
  await page.press("#sign-in-password", "Enter");
  await page.waitForFunction(() => document.querySelector("#sign-in > .error")?.textContent === "Too many attempts. Please try again in 15 minutes.");
});

scenario("a busy server is asked once more, and a limit says when to come back", async () => {
  await register(server.url, "patient");
  const { page } = await visitor(server.url);
  /** How many requests there were, and how many of the next ones are refused. */
  let asked = 0;
  let refused = 1;
  let answer = { status: 503, headers: { "Retry-After": "1" }, json: { error: "the server is busy" } };
  await page.route("**/api/login", (route) => {
    asked += 1;
    refused -= 1;
    return refused >= 0 ? route.fulfill(answer) : route.continue();
  });
  const says = (/** @type {string} */ words) => page.waitForFunction((words) => document.querySelector("#sign-in > .error")?.textContent === words, words);
  await page.goto(`${server.url}/`);
  await page.click("#to-sign-in");
  await page.fill("#sign-in-name", "patient");
  await page.fill("#sign-in-password", PASSWORD);

  // It stays busy: nothing is asked a third time.
  refused = 10;
  await page.press("#sign-in-password", "Enter");
  await says("The server is busy. One moment: this is tried once more.");
  assert.equal(await page.getAttribute("#sign-in button.primary", "aria-busy"), "true");
  await says("The server is busy. Please try again in a few seconds.");
  assert.equal(asked, 2);
  assert.equal(await page.getAttribute("#sign-in button.primary", "aria-busy"), null);

  // Neither a longer time nor a limit is waited for.
  for (const [status, seconds, words] of /** @type {[number, string, string][]} */ ([
    [503, "60", "The server is busy. Please try again in a few seconds."],
    [429, "120", "Too many attempts. Please try again in 2 minutes."],
    [429, "1", "Too many attempts. Please try again in 1 minute."],
  ])) {
    asked = 0;
    answer = { status, headers: { "Retry-After": seconds }, json: { error: "refused" } };
    await page.press("#sign-in-password", "Enter");
    await says(words);
    assert.equal(asked, 1, words);
  }

  asked = 0;
  refused = 1;
  answer = { status: 503, headers: { "Retry-After": "1" }, json: { error: "the server is busy" } };
  await page.press("#sign-in-password", "Enter");
  await page.waitForSelector("#text", { state: "visible" });
  assert.equal(asked, 2);

  // An account that was made is not made a second time, because its sign-in has to wait.
  const other = await visitor(server.url);
  let registrations = 0;
  let logins = 0;
  await other.page.route("**/api/register", (route) => {
    registrations += 1;
    return route.continue();
  });
  await other.page.route("**/api/login", (route) => {
    logins += 1;
    return logins === 1 ? route.fulfill(answer) : route.continue();
  });
  await other.page.goto(`${server.url}/`);
  await other.page.fill("#register-name", "newcomer");
  await other.page.fill("#register-password", PASSWORD);
  await other.page.press("#register-password", "Enter");
  await other.page.waitForSelector("#text", { state: "visible" });
  assert.deepEqual([registrations, logins], [1, 2]);
});

scenario("the forms suit password managers and screen readers", async () => {
  const { page } = await visitor(server.url);
  await page.goto(`${server.url}/`);
  await page.waitForSelector("#register", { state: "visible" });
  const fields = await page.$$eval("form input:not([type=file]):not([type=range]):not(#finder-text)", (all) => all.map(({ name, autocomplete }) => `${name} ${autocomplete}`));
  assert.deepEqual(fields, ["username username", "password new-password", "username username", "password current-password"]);
  await page.getByRole("button", { name: "Show password" }).first().click();
  assert.equal(await page.getAttribute("#register-password", "type"), "text");
});
