// Links that lead to the page and name no conversation: an invitation, a new password,
// and the first administrator.

import assert from "node:assert/strict";

import { AXE, Network, PASSWORD, person, register, scenario, Server, visitor, WAIT_MAX_MS, withServiceWorker } from "./harness.mjs";

withServiceWorker();

const server = await Server.start("--registration", "invite", "--database-url", "memory:");
const open = await Server.start("--database-url", "memory:");

/** Waits until the page of a link has a text. */
const sees = (page, text) => page.waitForFunction((text) => document.querySelector("#door:not([hidden])")?.textContent?.replace(/[\u2068\u2069]/g, "").includes(text), text, { timeout: WAIT_MAX_MS });
/** Waits until a room is open. */
const isIn = (page, title) => page.waitForFunction((title) => document.querySelector("#chat:not([hidden]) #title")?.textContent === title, title);

async function hasNoBarriers(page) {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => (await globalThis.axe.run("#door")).violations.map(({ id }) => id));
  assert.deepEqual(found, []);
}

scenario("an invitation leads who registers, and who is signed in, into the room", async () => {
  const anna = await person(open.url, "anna");
  await anna.call("POST", "/api/rooms", { title: "The orchard", access: "closed" });
  const { rooms } = await anna.call("GET", "/api/rooms");
  const { name } = rooms.find(({ title }) => title === "The orchard");
  const invite = (uses) => anna.call("POST", "/api/invites", { room: name, uses });

  // Registering uses it up, and the room is opened nevertheless.
  const once = await invite(1);
  const { page } = await visitor(open.url);
  await page.goto(`${open.url}/join/${once.secret}`);
  await sees(page, "anna invites you to “The orchard”.");
  await hasNoBarriers(page);
  await page.fill("#register-name", "boris");
  await page.fill("#register-password", PASSWORD);
  const sent = page.waitForRequest((request) => request.url().endsWith("/api/register"));
  await page.press("#register-password", "Enter");
  assert.ok((await sent).postData()?.includes(once.secret), "the field `invite`");
  await isIn(page, "The orchard");
  assert.ok(!page.url().includes("/join/"));

  // A room that the server has made has its title in the language of the visitor.
  const general = await anna.call("POST", "/api/invites", { room: "default" });
  const stranger = await visitor(open.url);
  await stranger.page.goto(`${open.url}/join/${general.secret}`);
  await sees(stranger.page, "anna invites you to “General”.");

  // Somebody who has an account signs in with it.
  const two = await invite(2);
  await register(open.url, "clara");
  const clara = await visitor(open.url);
  await clara.page.goto(`${open.url}/join/${two.secret}`);
  await sees(clara.page, "anna invites you");
  await clara.page.click("#to-sign-in");
  await clara.page.fill("#sign-in-name", "clara");
  await clara.page.fill("#sign-in-password", PASSWORD);
  await clara.page.press("#sign-in-password", "Enter");
  await isIn(clara.page, "The orchard");

  // Somebody who is signed in presses one button.
  const denis = await person(open.url, "denis");
  await denis.page.goto(`${open.url}/join/${two.secret}`);
  await sees(denis.page, "anna invites you to “The orchard”.");
  await hasNoBarriers(denis.page);
  await denis.page.getByRole("button", { name: "Join", exact: true }).click();
  await isIn(denis.page, "The orchard");
});

scenario("the first administrator presses one button, invites, and gives somebody a new password", async () => {
  const fresh = await Server.start("--database-url", "memory:");
  const { page, context } = await visitor(fresh.url);
  // The line comes after the one that says where the chat is.
  const printed = () => fresh.printed.map((line) => /#setup=\S+/.exec(line)?.[0]).find(Boolean);
  for (const start = Date.now(); !printed() && Date.now() - start < WAIT_MAX_MS; ) await new Promise((done) => setTimeout(done, 20));
  const code = printed();
  assert.ok(code, "the server prints a set-up link");
  await page.goto(`${fresh.url}/${code}`);
  await page.fill("#register-name", "anna");
  await page.fill("#register-password", PASSWORD);
  await page.press("#register-password", "Enter");
  await page.getByRole("button", { name: "Become the administrator" }).click();
  await sees(page, "You are the administrator now");
  await hasNoBarriers(page);
  assert.equal(page.url(), `${fresh.url}/`);
  await page.getByRole("button", { name: "To the chat" }).click();
  await page.waitForSelector("#text", { state: "visible" });

  await register(fresh.url, "boris");
  const made = await context.request.post(`${fresh.url}/api/users/boris/password`);
  const { secret } = await made.json();
  const boris = await visitor(fresh.url);
  await boris.page.goto(`${fresh.url}/password/${secret}`);
  await sees(boris.page, "Choose a new password");
  await hasNoBarriers(boris.page);
  await boris.page.fill("#password-link", "another horse");
  await boris.page.press("#password-link", "Enter");
  await sees(boris.page, "The password is set. Sign in with it.");
  assert.equal(boris.page.url(), `${fresh.url}/`);
  await boris.page.fill("#sign-in-name", "boris");
  await boris.page.fill("#sign-in-password", "another horse");
  await boris.page.press("#sign-in-password", "Enter");
  await boris.page.waitForSelector("#text", { state: "visible" });
});

scenario("without an invitation the door says so; a link that is not valid says so too", async () => {
  const { page } = await visitor(server.url);
  await page.goto(`${server.url}/`);
  await sees(page, "New accounts need an invitation.");
  assert.ok(await page.isVisible("#sign-in"));
  assert.ok(await page.isDisabled("#to-register"));

  await page.goto(`${open.url}/join/nothing`);
  await sees(page, "This invitation is no longer valid");
  await hasNoBarriers(page);
  await page.getByRole("button", { name: "To the chat" }).click();
  await page.waitForSelector("#register", { state: "visible" });
  assert.equal(page.url(), `${open.url}/`);

  await page.goto(`${open.url}/password/nothing`);
  await page.fill("#password-link", "another horse");
  await page.press("#password-link", "Enter");
  await sees(page, "This link is no longer valid");

  const eva = await person(open.url, "eva");
  await eva.page.goto(`${open.url}/?again#setup=nothing`);
  await eva.page.getByRole("button", { name: "Become the administrator" }).click();
  await sees(eva.page, "This link is no longer valid");
});

scenario("the page of a link is in Russian too", async () => {
  const { page } = await visitor(open.url, { locale: "ru-RU" });
  await page.goto(`${open.url}/join/nothing`);
  await sees(page, "Это приглашение больше не действует");
  await page.goto(`${open.url}/password/nothing`);
  await sees(page, "Придумайте новый пароль");
});

scenario("a link that is opened without a network says so, and is followed once there is one", async () => {
  const network = await Network.before(open);
  const { page } = await visitor(network.url);
  await page.goto(network.url);
  await page.waitForFunction(async () => (await navigator.serviceWorker.ready) && (await caches.match("/")) !== undefined);
  network.down();
  await page.goto(`${network.url}/join/nothing`);
  await sees(page, "No network");
  await hasNoBarriers(page);
  await page.goto(`${network.url}/password/nothing`);
  await page.fill("#password-link", "another horse");
  await page.press("#password-link", "Enter");
  await sees(page, "The server does not answer");
  await page.goto(`${network.url}/join/nothing`);
  await sees(page, "No network");
  network.up();
  await page.getByRole("button", { name: "Try now" }).click();
  await sees(page, "This invitation is no longer valid");
});
