// Notifications.

import assert from "node:assert/strict";

import { person, scenario, Server, withServiceWorker, withWholeBrowser } from "./harness.mjs";

withServiceWorker();
withWholeBrowser();

const server = await Server.start("--database-url", "memory:");

/** A user with notifications. */
async function listener(name) {
  const someone = await person(server.url, name, { permissions: ["notifications"] });
  await listens(someone);
  return someone;
}

async function listens(someone) {
  const { page } = someone;
  await page.evaluate(() => navigator.serviceWorker.ready);
  await someone.settings("notices");
  await page.check("#notifies");
  await page.keyboard.press("Escape");
}

/** Waits longer than a tab waits before it notifies. */
function hasHadItsSay({ page }) {
  return page.evaluate(async () => {
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await navigator.serviceWorker.getRegistration();
    await navigator.locks.request("chat notify", () => {});
  });
}

/** @returns {Promise<string[]>} the notifications that are shown */
function shown({ page }) {
  return page.evaluate(async () => {
    const worker = await navigator.serviceWorker.ready;
    return (await worker.getNotifications()).map(({ title, body }) => `${title}: ${body}`);
  });
}

/** Waits until exactly these notifications are shown. */
async function hasNotices(someone, ...notices) {
  await someone.until(async () => String(await shown(someone)) === String(notices), `not ${notices}, but ${await shown(someone)}`);
}

scenario("a notification comes for a private message and a mention, and closes once it is read", async () => {
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
  await hasNotices(alice, "bob · General: look, @alice");
  await alice.open("#default");
  await hasNotices(alice);
  await bob.say("and @alice again, who is looking");
  await alice.sees("and @alice again, who is looking");
  // A later message is shown later: by then, a notification for the earlier one would be there.
  await bob.goto("/u/alice");
  await bob.say("to you alone");
  await hasNotices(alice, "bob: to you alone");
});

scenario("a message that is in view in another tab makes no notification", async () => {
  const carol = await listener("carol");
  const bob = await person(server.url, "bob", { path: "/u/carol" });
  const other = await carol.tab("/u/bob");
  await bob.say("seen at once");
  await other.sees("seen at once");
  const gina = await person(server.url, "gina", { path: "/u/carol" });
  await gina.say("not seen by anybody");
  await hasNotices(carol, "gina: not seen by anybody");
});

scenario("several tabs notify once", async () => {
  const heidi = await listener("heidi");
  await heidi.context.addInitScript(() => {
    const show = ServiceWorkerRegistration.prototype.showNotification;
    window.notices = 0;
    ServiceWorkerRegistration.prototype.showNotification = function (...notice) {
      window.notices += 1;
      return show.apply(this, notice);
    };
  });
  await heidi.goto("/");
  const tabs = [heidi, await heidi.tab(), await heidi.tab()];
  const bob = await person(server.url, "bob", { path: "/u/heidi" });
  for (const [i, text] of ["can you hear me?", "and now?"].entries()) {
    await bob.say(text);
    for (const { page } of tabs) await page.waitForFunction((start) => document.title.startsWith(start), `(${i + 1})`);
    await Promise.all(tabs.map(hasHadItsSay));
    await hasNotices(heidi, `bob: ${text}`);
    const counts = await Promise.all(tabs.map(({ page }) => page.evaluate(() => window.notices)));
    assert.equal(counts.reduce((sum, count) => sum + count), i + 1, `${counts}`);
  }
});

scenario("a click on a notification opens its message", async () => {
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

scenario("nothing private stays after signing out, online or offline", async () => {
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

scenario("there are no notifications unless they were switched on", async () => {
  const erin = await person(server.url, "erin", { permissions: ["notifications"] });
  const bob = await person(server.url, "bob", { path: "/u/erin" });
  await bob.say("psst");
  await erin.page.waitForFunction(() => document.title.startsWith("(1)"));
  await hasHadItsSay(erin);
  await listens(erin);
  const gina = await person(server.url, "gina", { path: "/u/erin" });
  await gina.say("good that you ask");
  await hasNotices(erin, "gina: good that you ask");
});
