// What reaches somebody who is not looking.

import assert from "node:assert/strict";

import { person, Server, story } from "./harness.mjs";

const server = await Server.start("--database-url", "memory:");

/** Somebody who lets the chat notify them. */
async function listener(name) {
  const someone = await person(server.url, name, { permissions: ["notifications"] });
  const { page } = someone;
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.click("#me");
  await page.check("#notifies");
  await page.keyboard.press("Escape");
  return someone;
}

/** @returns {Promise<string[]>} the notifications that are shown */
function shown({ page }) {
  return page.evaluate(async () => {
    const worker = await navigator.serviceWorker.ready;
    return (await worker.getNotifications()).map(({ title, body }) => `${title}: ${body}`);
  });
}

/** Waits until just these are shown. */
async function hasNotices(someone, ...notices) {
  await someone.until(async () => String(await shown(someone)) === String(notices), `not ${notices}, but ${await shown(someone)}`);
}

story("a notification comes for a direct message and a mention, and goes once it is read", async () => {
  const alice = await listener("alice");
  const bob = await person(server.url, "bob", { path: "/u/alice" });
  await bob.say("are you there?");
  await hasNotices(alice, "bob: are you there?");
  await bob.say("hello?");
  await hasNotices(alice, "bob: hello?");
  await alice.open("@bob");
  await alice.sees("hello?");
  await hasNotices(alice);

  await bob.goto("/r/default");
  await bob.say("nobody is meant");
  await bob.say("look, @alice");
  await hasNotices(alice, "bob · Main: look, @alice");
  await alice.open("#default");
  await hasNotices(alice);
  await bob.say("and @alice again, who is looking");
  await alice.sees("and @alice again, who is looking");
  await alice.page.waitForTimeout(1_500);
  await hasNotices(alice);
});

story("what another tab shows needs no notification", async () => {
  const carol = await listener("carol");
  const bob = await person(server.url, "bob", { path: "/u/carol" });
  const other = await carol.tab("/u/bob");
  await bob.say("seen at once");
  await other.sees("seen at once");
  await carol.page.waitForTimeout(1_500);
  await hasNotices(carol);
});

story("a chosen notification leads to its message", async () => {
  const dave = await listener("dave");
  const bob = await person(server.url, "bob", { path: "/u/dave" });
  await bob.say("come here");
  await hasNotices(dave, "bob: come here");
  const [worker] = dave.context.serviceWorkers();
  const isClosed = await worker.evaluate(async () => {
    const [notification] = await self.registration.getNotifications();
    self.dispatchEvent(new NotificationEvent("notificationclick", { notification }));
    return (await self.registration.getNotifications()).length === 0;
  });
  assert.ok(isClosed);
  await dave.page.waitForURL("**/u/bob#1");
  await dave.sees("come here");
});

story("nothing private stays after signing out, with a network or without", async () => {
  const fred = await listener("fred");
  const bob = await person(server.url, "bob", { path: "/u/fred" });
  await bob.say("between us");
  await hasNotices(fred, "bob: between us");
  await fred.page.fill("#text", "half a thought");
  await fred.page.click("#me");
  await fred.page.click("#sign-out");
  await fred.page.waitForSelector("#sign-in", { state: "visible" });
  assert.equal(await fred.page.inputValue("#sign-in-name"), "fred");
  await hasNotices(fred);
  assert.ok(!JSON.stringify(await fred.page.evaluate(() => ({ ...localStorage }))).includes("half a thought"));
  await fred.context.setOffline(true);
  await fred.page.goto(`${server.url}/u/bob`).catch(() => {});
  await fred.page.waitForSelector("#door:not([hidden])");
  assert.equal(await fred.page.locator("#chat").isVisible(), false);
  await fred.context.setOffline(false);
});

story("nobody is notified who did not ask for it", async () => {
  const erin = await person(server.url, "erin", { permissions: ["notifications"] });
  const bob = await person(server.url, "bob", { path: "/u/erin" });
  await bob.say("psst");
  await erin.page.waitForFunction(() => document.title.startsWith("(1)"));
  await erin.page.waitForTimeout(1_500);
  await hasNotices(erin);
});
