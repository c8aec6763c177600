// The sidebar, while messages arrive.

import assert from "node:assert/strict";

import { person, Server, scenario } from "./harness.mjs";

const server = await Server.start("--database-url", "memory:", "--message-rate", "off");
const line = ({ page }, key) => page.locator(`#sidebar [data-key=${JSON.stringify(key)}]`);

/** Presses an element, and releases it only after something else. */
async function pressed({ page }, what, meanwhile) {
  await what.hover();
  await page.mouse.down();
  await meanwhile();
  await page.mouse.up();
}

/** A user who is a member of a room, and looks at another. */
async function between(name, there) {
  const someone = await person(server.url, name, { path: `/r/${there}` });
  await someone.say("I am here");
  await someone.allStored();
  await someone.open("#games");
  return someone;
}

/** Waits until a line shows a number of unread messages. */
async function counts(someone, key, number) {
  await someone.until(async () => (await line(someone, key).locator(".badge").textContent()) === number, `${number} in ${key}`);
}

scenario("a click in the sidebar reaches its line although messages arrive meanwhile", async () => {
  const alice = await between("alice", "clicks");
  const bob = await person(server.url, "bob", { path: "/r/clicks" });
  for (const part of [".title", ".sign", ".badge", ".title"]) {
    await bob.say("once");
    await counts(alice, "#clicks", "1");
    await pressed(alice, line(alice, "#clicks").locator(part), async () => {
      await bob.say("twice");
      await counts(alice, "#clicks", "2");
    });
    await alice.page.waitForURL("**/r/clicks");
    await alice.sees("twice");
    await alice.open("#games");
  }
});

scenario("the latest conversation comes first in the sidebar, but not during a click", async () => {
  const alice = await person(server.url, "alice");
  const [bob, carol] = [await person(server.url, "bob", { path: "/u/alice" }), await person(server.url, "carol", { path: "/u/alice" })];
  const order = () => alice.page.$$eval("#people a", (all) => all.map(({ dataset }) => dataset.key));
  await carol.say("I was here first");
  await line(alice, "@carol").waitFor();
  await bob.say("and I am here now");
  await alice.until(async () => String(await order()) === "@bob,@carol", "the latest is the first");
  await line(alice, "@carol").focus();
  await pressed(alice, line(alice, "@bob"), async () => {
    await line(alice, "@carol").focus();
    await carol.say("it is my turn");
    await counts(alice, "@carol", "2");
    assert.deepEqual(await order(), ["@bob", "@carol"]);
  });
  await alice.page.waitForURL("**/u/bob");
  await alice.until(async () => String(await order()) === "@carol,@bob", "then it comes first");

  // The focus stays on its line.
  await alice.open("@carol");
  await alice.open("#default");
  await line(alice, "@bob").focus();
  await bob.say("mine again");
  await alice.until(async () => String(await order()) === "@bob,@carol", "the latest is the first");
  assert.equal(await alice.page.evaluate(() => document.activeElement?.dataset.key), "@bob");
  assert.equal(await alice.page.locator("#sidebar [aria-current]").count(), 1);
});

scenario("a message changes only one line of the sidebar", async () => {
  // A server of its own: the users of other scenarios are still leaving their rooms.
  const own = await Server.start("--database-url", "memory:");
  const alice = await person(own.url, "alice", { path: "/r/quiet" });
  await alice.say("I am here");
  await alice.allStored();
  const bob = await person(own.url, "bob", { path: "/r/quiet" });
  await alice.open("#games");
  await bob.say("once");
  await counts(alice, "#quiet", "1");
  await alice.page.evaluate(() => {
    window.changed = new Set();
    const observer = new MutationObserver((changes) => {
      for (const { target } of changes) {
        const node = target instanceof Element ? target : target.parentElement;
        window.changed.add(node.closest("a")?.dataset.key ?? node.id);
      }
    });
    for (const list of document.querySelectorAll("#sidebar ul")) {
      observer.observe(list, { subtree: true, childList: true, attributes: true, characterData: true });
    }
  });
  await bob.say("twice");
  await counts(alice, "#quiet", "2");
  assert.deepEqual(await alice.page.evaluate(() => [...window.changed]), ["#quiet"]);
});

scenario("while the server is down, nobody is shown as online", async () => {
  const own = await Server.start();
  const bob = await person(own.url, "bob", { path: "/u/alice" });
  const alice = await person(own.url, "alice", { path: "/u/bob" });
  await bob.say("hi");
  await alice.sees("hi");
  const dot = alice.page.locator("#people .with-presence.online");
  await dot.waitFor();
  await alice.open("#default");
  await alice.page.locator("#subtitle", { hasText: "here" }).waitFor();
  await own.kill();
  await alice.page.waitForSelector("#subtitle.away");
  await alice.until(async () => (await dot.count()) === 0, "no dot is left");
  await own.restart();
  // The page asks who is online when it is connected again, which may be before bob is,
  // and then every 30 s.
  await dot.waitFor({ timeout: 100_000 });
  await alice.page.locator("#subtitle", { hasText: "here" }).waitFor();
});
