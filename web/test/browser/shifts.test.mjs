// Nothing in the list moves by itself: layout shifts are measured while messages,
// pictures and reactions arrive.

import assert from "node:assert/strict";

import { fourColours, person, Server, scenario, shiftsOf, watchShifts } from "./harness.mjs";

const server = await Server.start("--message-rate", "off", "--database-url", "memory:");
const SHIFT_MAX = 0.01;

/**
 * Checks the shifts that were noted.
 * @param {import("./harness.mjs").Person} someone
 * @param {string} when
 */
async function isCalm({ page }, when) {
  const { sum, shifts } = await page.evaluate(() => new Promise((done) => setTimeout(done, 500))).then(() => shiftsOf(page));
  console.log(`  ${when}: layout shift ${sum.toFixed(4)}`);
  assert.ok(sum <= SHIFT_MAX, `${when}: ${JSON.stringify(shifts, null, 1)}`);
}

const texts = (what, n) => Array.from({ length: n }, (_, i) => `${what} ${i}: a sentence of a usual length`);

/** Sends a picture with a message. */
async function sendPicture({ page }, caption) {
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("#attach")]);
  await chooser.setFiles([{ name: "a.png", mimeType: "image/png", buffer: await fourColours() }]);
  await page.waitForSelector(".chip-file");
  await page.fill("#text", caption);
  await page.press("#text", "Enter");
}

scenario("nothing moves while messages, pictures and reactions arrive", async () => {
  const where = { path: "/r/calm" };
  const [alice, bob] = [await person(server.url, "alice", where), await person(server.url, "bob", where)];
  await bob.pour("calm", texts("before", 60));
  await alice.sees("before 59: a sentence of a usual length");
  // What is loaded later is there.
  await alice.page.waitForSelector("#message-menu", { state: "attached" });
  await watchShifts(alice.page);
  await bob.pour("calm", [...texts("now", 20), "**marked** and https://example.org", "```js\nlet beds = 3;\n```"]);
  await alice.page.waitForSelector("#messages pre");
  await isCalm(alice, "messages");
  await sendPicture(bob, "a picture");
  await alice.sees("a picture");
  await alice.page.waitForFunction(() => { const image = document.querySelector("#messages a.picture img"); return image?.complete && image.naturalWidth > 0; });
  await isCalm(alice, "a picture");
  await bob.page.waitForSelector("#message-menu", { state: "attached" });
  for (const i of [0, 1, 2]) {
    await bob.page.locator("#messages [data-seq]").nth(-2 - i).focus();
    await bob.page.locator(".message-bar button").nth(i).click();
    await alice.page.waitForFunction((n) => document.querySelectorAll("#messages .chip").length === n, i + 1);
  }
  await isCalm(alice, "reactions");
  // Alice reads further up.
  await alice.page.$eval("#scroller", (scroller) => scroller.scrollBy(0, -500));
  await alice.page.waitForSelector("#to-newest:not([hidden])");
  await isCalm(alice, "scrolling");
  await bob.pour("calm", texts("later", 20));
  await alice.page.getByRole("button", { name: "20 new" }).waitFor();
  await isCalm(alice, "messages below the view");
});

scenario("nothing moves in a room that begins", async () => {
  const where = { path: "/r/short" };
  const [alice, bob] = [await person(server.url, "alice", where), await person(server.url, "bob", where)];
  await alice.page.waitForSelector("#message-menu", { state: "attached" });
  await bob.say("the first");
  await alice.sees("the first");
  await watchShifts(alice.page);
  await bob.pour("short", texts("now", 12));
  await alice.sees("now 11: a sentence of a usual length");
  await isCalm(alice, "messages");
  await sendPicture(bob, "a picture");
  await alice.sees("a picture");
  await isCalm(alice, "a picture");
});

scenario("rooms and people slide to their new places in the sidebar", async () => {
  const rooms = Array.from({ length: 8 }, (_, i) => `among-${i}`);
  const [alice, bob] = [await person(server.url, "alice"), await person(server.url, "bob")];
  for (const room of rooms) {
    await alice.goto(`/r/${room}`);
    await alice.say(`the beginning of ${room}`);
    await alice.allStored();
  }
  await alice.goto("/r/default");
  await alice.page.waitForSelector("#message-menu", { state: "attached" });
  const order = () => alice.page.$$eval("#rooms .line", (lines) => lines.map(({ dataset }) => dataset.key));
  const before = await order();
  await watchShifts(alice.page);
  for (const room of [0, 4, 2, 6, 1, 5, 3].map((i) => rooms[i])) {
    await bob.pour(room, ["something new"]);
    await alice.page.waitForFunction((key) => document.querySelector("#rooms .line")?.dataset.key === key, `#${room}`);
  }
  assert.notDeepEqual(await order(), before);
  await isCalm(alice, "rooms that rise");
});
