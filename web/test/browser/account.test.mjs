// What belongs to the account: its rooms, what is read and unread, mentions and
// levels. Stories of two people on two devices.

import assert from "node:assert/strict";

import { person, register, scenario, Server, withServiceWorker, withWholeBrowser } from "./harness.mjs";

withServiceWorker();
withWholeBrowser();

const server = await Server.start("--database-url", "memory:", "--message-rate", "off");
const room = (() => {
  let rooms = 0;
  return () => `account-${(rooms += 1)}`;
})();
/** What was read on one device is read on the other within this time; on an idle machine, a second. */
const SOON_MS = 30_000;
const line = ({ page }, key) => page.locator(`#sidebar [data-key=${JSON.stringify(key)}]`);
const badge = (someone, key) => line(someone, key).locator(".badge");

/** Another device of a user, with nothing in its browser. */
const device = (name, where = "/r/default", options = {}) => person(server.url, name, { path: where, ...options });

/** Waits until a line shows a number of unread messages; "": none. */
async function counts(someone, key, number) {
  await line(someone, key).waitFor();
  const shown = async () => ((await badge(someone, key).count()) > 0 ? badge(someone, key).textContent() : "");
  await someone.until(async () => (await shown()) === number, `${number || "nothing"} in ${key}`);
}

/** How long something takes, in milliseconds. */
async function timed(wait) {
  const start = Date.now();
  await wait();
  return Date.now() - start;
}

scenario("a private message is unread on every device, and read on all once it is read on one", async () => {
  await register(server.url, "anna");
  const boris = await device("boris", "/u/anna");
  await boris.say("are you there?");
  await boris.say("hello?");
  await boris.allStored();
  const phone = await device("anna");
  const laptop = await device("anna");
  for (const here of [phone, laptop]) {
    await counts(here, "@boris", "2");
    await here.until(async () => (await here.page.title()).startsWith("(2)"), "the title counts");
  }
  await laptop.open("@boris");
  await laptop.sees("hello?");
  assert.ok((await timed(() => counts(phone, "@boris", ""))) < SOON_MS);
  await phone.until(async () => !(await phone.page.title()).startsWith("("), "nothing is unread");

  // A third device knows it as well, and a message that comes now is unread there.
  const tablet = await device("anna");
  await counts(tablet, "@boris", "");
  await laptop.open("#default");
  await boris.say("one more");
  for (const here of [phone, laptop, tablet]) await counts(here, "@boris", "1");
  await tablet.open("@boris");
  await tablet.sees("one more");
  for (const here of [phone, laptop]) await counts(here, "@boris", "");
});

scenario("own messages are never unread, on no device", async () => {
  const there = room();
  await register(server.url, "denis");
  const phone = await device("clara");
  const laptop = await device("clara", `/r/${there}`);
  for (let i = 0; i < 3; i += 1) await laptop.say(`note ${i}`);
  await laptop.allStored();
  await laptop.open("@denis");
  await laptop.say("just to you");
  await laptop.allStored();
  await line(phone, `#${there}`).waitFor();
  await line(phone, "@denis").waitFor();
  await counts(phone, `#${there}`, "");
  await counts(phone, "@denis", "");
  assert.ok(!(await phone.page.title()).startsWith("("));
  const tablet = await device("clara");
  await counts(tablet, `#${there}`, "");
  await counts(tablet, "@denis", "");
  assert.equal(await tablet.page.locator("#sidebar .badge:visible").count(), 0);

  // Nor those of a program that writes as this user, where no device shows the room.
  for (const here of [phone, laptop]) {
    await here.open(`#${there}`);
    await here.open("#default");
  }
  await laptop.pour(there, ["from a program", "and again"]);
  const denis = await device("denis", `/r/${there}`);
  await denis.say("is that you?");
  for (const here of [phone, laptop, tablet]) await counts(here, `#${there}`, "1");
});

scenario("a room that somebody opened stays listed, and its members see it without a reload", async () => {
  const there = room();
  const [ella, fedor] = [await device("ella"), await device("fedor")];
  await ella.page.goto(`${server.url}/r/${there}`);
  await ella.page.locator(".refused .primary").click();
  await ella.isIn();
  await ella.say("somebody should water it");
  await ella.allStored();
  await ella.open("#default");
  await line(ella, `#${there}`).waitFor();

  // Added by ella, while his page is open.
  const added = await ella.context.request.put(`${server.url}/api/rooms/${there}/members/fedor`, { data: {} });
  assert.ok(added.ok(), await added.text());
  await line(fedor, `#${there}`).waitFor();
  await counts(fedor, `#${there}`, "");
  await ella.open(`#${there}`);
  await ella.say("who does it?");
  await counts(fedor, `#${there}`, "1");
  await fedor.open(`#${there}`);
  await fedor.sees("somebody should water it");

  // When all have left the page, it is still there.
  await ella.context.close();
  await fedor.context.close();
  const again = await device("ella");
  await line(again, `#${there}`).waitFor();
  const { rooms } = await (await again.context.request.get(`${server.url}/api/rooms`)).json();
  assert.ok(rooms.some(({ name, member }) => name === there && member), "listed for all");
});

scenario("users who make the same room at once are both in it", async () => {
  const there = room();
  const [uma, viktor] = [await device("uma"), await device("viktor")];
  for (const someone of [uma, viktor]) {
    await someone.page.goto(`${server.url}/r/${there}`);
    await someone.page.locator(".refused .primary").waitFor();
  }
  // Neither has heard of the other's room.
  await Promise.all([uma, viktor].map((someone) => someone.page.locator(".refused .primary").click()));
  for (const someone of [uma, viktor]) await someone.page.waitForSelector("#text", { state: "visible" });
  await uma.say("the first");
  await viktor.sees("the first");
  await viktor.say("the second");
  await uma.sees("the second");
  for (const someone of [uma, viktor]) await line(someone, `#${there}`).and(someone.page.locator(".member")).waitFor();

  // Who leaves is a guest like any other.
  const left = await viktor.context.request.delete(`${server.url}/api/rooms/${there}/membership`);
  assert.ok(left.ok(), await left.text());
  await viktor.page.locator(".foot .primary").waitFor();
});

scenario("a mention reaches a member who has never opened the room on this device", async () => {
  const there = room();
  const laptop = await device("gleb", `/r/${there}`);
  await laptop.say("I am here");
  await laptop.allStored();
  await laptop.context.close();
  const phone = await device("gleb", "/r/default", { permissions: ["notifications"] });
  await phone.page.evaluate(() => navigator.serviceWorker.ready);
  await phone.settings("notices");
  await phone.page.check("#notifies");
  await phone.page.keyboard.press("Escape");
  const hanna = await device("hanna", `/r/${there}`);
  await hanna.sees("I am here");
  await hanna.say("nobody is meant");
  await counts(phone, `#${there}`, "1");
  await hanna.say("@gleb, do you hear?");
  await counts(phone, `#${there}`, "@2");
  assert.ok(await badge(phone, `#${there}`).evaluate((badge) => badge.matches(".loud")));
  const notices = () => phone.page.evaluate(async () => (await (await navigator.serviceWorker.ready).getNotifications()).map(({ tag }) => tag));
  await phone.until(async () => String(await notices()) === `#${there}`, "a notification");
  await phone.open(`#${there}`);
  await phone.sees("@gleb, do you hear?");
  const order = await phone.page.$$eval("#messages > li:not(.day)", (all) => all.map((item) => (item.matches(".new-line") ? "—" : item.querySelector(".text")?.textContent)));
  assert.deepEqual(order, ["I am here", "—", "nobody is meant", "@gleb, do you hear?"], "the line stands where the account has read up to");
  await phone.until(async () => (await notices()).length === 0, "it is read");
});

scenario("the list begins with what is unread, mentions before others", async () => {
  const [first, second, third] = [room(), room(), room()];
  const igor = await device("igor");
  for (const there of [first, second, third]) {
    await igor.open(`#${there}`);
    await igor.say("I am here");
    await igor.allStored();
  }
  await igor.open("#default");
  const order = () => igor.page.$$eval("#rooms a", (all) => all.map(({ dataset }) => dataset.key));
  const begins = async (...names) => {
    const wanted = names.map((name) => `#${name}`);
    await igor.until(async () => String((await order()).slice(0, wanted.length)) === String(wanted), String(wanted));
  };
  await begins(third, second, first);
  const julia = await device("julia", `/r/${first}`);
  await julia.say("@igor, a question");
  await counts(igor, `#${first}`, "@1");
  await julia.open(`#${second}`);
  await julia.say("nothing special");
  await counts(igor, `#${second}`, "1");
  await begins(first, second, third);
});

scenario("a level that is chosen on one device holds on the other", async () => {
  const there = room();
  const laptop = await device("kostja", `/r/${there}`);
  await laptop.say("I am here");
  await laptop.allStored();
  await laptop.open("#default");
  const phone = await device("kostja");
  await laptop.page.evaluate((room) => {
    const socket = new WebSocket(new URL("/ws", location.href), "chat.v2");
    socket.onmessage = ({ data }) => JSON.parse(data).type === "hello" && socket.send(JSON.stringify({ type: "level", room, level: "none" }));
  }, there);
  const lida = await device("lida", `/r/${there}`);
  await phone.page.waitForTimeout(500);
  await lida.say("chatter");
  await counts(phone, `#${there}`, "1");
  assert.equal(await line(phone, `#${there}`).evaluate((line) => line.matches(".unread")), false);
  assert.ok(!(await phone.page.title()).startsWith("("));
});

scenario("it is seen who is typing, and nothing moves", async () => {
  const there = room();
  const mila = await device("mila", `/r/${there}`);
  await mila.say("I am here");
  await mila.allStored();
  const [nina, oleg] = [await device("nina", `/r/${there}`), await device("oleg", `/r/${there}`)];
  const shown = () => mila.page.textContent("#typing");
  const isShown = (pattern) => mila.until(async () => pattern.test((await shown())?.replace(/[\u2068\u2069]/g, "") ?? ""), String(pattern));
  const place = () => mila.page.locator("#composer").boundingBox();
  // What the first view does without is there by then.
  for (const { page } of [mila, nina, oleg]) await page.waitForFunction(() => document.querySelector("#talk-menu"));
  const before = await place();
  await nina.page.locator("#text").pressSequentially("well");
  await isShown(/^nina is typing…$/);
  // A user who stops typing is shown for six seconds. A busy machine takes longer for the next step,
  // so that these users go on typing.
  const typed = async (/** @type {RegExp} */ pattern, /** @type {{ page: import("playwright-core").Page }[]} */ ...people) => {
    const read = async () => ((await shown()) ?? "").replace(/[\u2068\u2069]/g, "");
    await mila.until(async () => {
      for (const { page } of people) await page.locator("#text").press("x");
      return pattern.test(await read());
    }, String(pattern));
  };
  await typed(/^(nina and oleg|oleg and nina) are typing…$/, nina, oleg);
  assert.deepEqual(await place(), before);
  await nina.page.press("#text", "Enter");
  await mila.page.locator("#messages .text", { hasText: /^well/ }).waitFor();
  await typed(/^oleg is typing…$/, oleg);
  await oleg.page.fill("#text", "");
  await isShown(/^$/);
});

scenario("what a browser kept before is handed over once", async () => {
  const there = room();
  const pavel = await device("pavel", `/r/${there}`);
  await pavel.say("I am here");
  await pavel.allStored();
  const rita = await device("rita");
  await rita.page.evaluate((room) => {
    localStorage.setItem('chat "rita" rooms', JSON.stringify(["default", room]));
    localStorage.setItem('chat "rita" listed', "[]");
  }, there);
  await rita.page.reload();
  await line(rita, `#${there}`).waitFor();
  assert.deepEqual(await rita.page.evaluate(() => Object.keys(localStorage).filter((key) => /rooms|listed|reads/.test(key))), []);
  const other = await device("rita");
  await line(other, `#${there}`).waitFor();
});

scenario("a user who is removed sees nothing more, and gets the room out of the list", async () => {
  const sonja = await device("sonja");
  await register(server.url, "timur");
  const made = await sonja.context.request.post(`${server.url}/api/rooms`, { data: { title: "Plans", access: "closed", members: ["timur"] } });
  assert.equal(made.status(), 201, await made.text());
  const { name } = await made.json();
  const timur = await device("timur");
  await line(timur, `#${name}`).waitFor();
  await line(sonja, `#${name}`).waitFor();
  assert.equal(await line(timur, `#${name}`).locator(".title").textContent(), "Plans");
  await sonja.open(`#${name}`);
  await sonja.say("between us");
  await timur.open(`#${name}`);
  await timur.sees("between us");
  const removed = await sonja.context.request.delete(`${server.url}/api/rooms/${encodeURIComponent(name)}/members/timur`);
  assert.ok(removed.ok(), await removed.text());
  await timur.page.waitForFunction(() => document.querySelectorAll("#messages .message").length === 0);
  await sonja.say("now without him");
  await sonja.allStored();
  await timur.open("#default");
  await timur.page.waitForFunction((key) => !document.querySelector(`#sidebar [data-key="${key}"]`), `#${name}`);
  assert.ok(!(await timur.page.content()).includes("now without him"));
});
