// Both themes, both languages, desktop and phone: axe finds no fault, and nothing
// is wider than the page.

import assert from "node:assert/strict";

import { AXE, fourColours, Network, person, Server, scenario, visitor } from "./harness.mjs";

const server = await Server.start("--message-rate", "off", "--database-url", "memory:");
const WIDE = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

async function isFine(page, where) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
  const violations = await page.evaluate(async () => {
    const { violations } = await axe.run(document, { iframes: false, resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} ${target}: ${failureSummary}`));
  });
  assert.deepEqual(violations, [], where);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${where}: nothing is wider than the page`);
}

for (const colorScheme of ["light", "dark"]) {
  for (const locale of ["ru-RU", "en-GB"]) {
    for (const [size, options] of [["1280", WIDE], ["390", PHONE]]) {
      const name = `${colorScheme}, ${locale}, ${size} pixels`;
      scenario(name, async () => {
        const look = { colorScheme, locale, ...options, reducedMotion: "reduce" };
        const newcomer = await visitor(server.url, look);
        await newcomer.page.goto(`${server.url}/`);
        await newcomer.page.click("#register button.primary");
        await newcomer.page.setInputFiles("picture-crop input[type=file]", { name: "a.png", mimeType: "image/png", buffer: await fourColours() });
        await newcomer.page.waitForSelector("picture-crop.has-picture");
        await isFine(newcomer.page, `${name}: registering`);
        await newcomer.page.click("#to-sign-in");
        await newcomer.page.fill("#sign-in-name", "eve");
        await newcomer.page.fill("#sign-in-password", "wrong");
        await newcomer.page.press("#sign-in-password", "Enter");
        await newcomer.page.waitForFunction(() => document.querySelector("#sign-in > .error")?.textContent);
        await isFine(newcomer.page, `${name}: sign-in error`);

        const network = await Network.before(server);
        const there = `axe ${name}`;
        const bob = await person(server.url, "bob", { path: `/r/${encodeURIComponent(there)}` });
        const alice = await person(network.url, "alice", { path: `/r/${encodeURIComponent(there)}`, ...look });
        const { page } = alice;
        await isFine(page, `${name}: empty room`);
        await bob.pour(there, ["hello @alice", "`code` and https://example.org", "```\nblock\n```", "🎉", "x".repeat(2000)]);
        await alice.say("my own");
        await alice.sees("🎉");
        await alice.allStored();
        await isFine(page, `${name}: lively room`);

        if (size === "390") {
          await page.click("#open-sidebar");
          await page.waitForSelector("#chat.sidebar-open");
          await isFine(page, `${name}: drawer`);
        }
        await alice.settings();
        await isFine(page, `${name}: settings`);
        for (const part of ["profile", "password", "look", "notices", "devices", ...(size === "1280" ? ["keys"] : [])]) {
          await page.click(`#settings [data-page=${part}]`);
          if (part === "devices") await page.locator("#sessions li").first().waitFor();
          await isFine(page, `${name}: settings, ${part}`);
          if (size === "390") await page.click("#settings .back");
        }
        await page.keyboard.press("Escape");
        await page.waitForSelector("#settings:not([open])", { state: "attached" });
        await page.keyboard.press("Control+k");
        await page.waitForSelector("#finder[open]");
        await page.keyboard.type("o");
        await isFine(page, `${name}: finder`);
        await page.keyboard.press("Escape");
        for (const [opener, part] of [["#new-room-open", "new-room"], ["#new-talk-open", "new-talk"], ["#browse-open", "browse"]]) {
          if (await page.isVisible("#open-sidebar")) await page.click("#open-sidebar");
          await page.click(opener);
          await page.waitForSelector(`#${part}[open]`);
          await isFine(page, `${name}: ${part}`);
          await page.keyboard.press("Escape");
          await page.waitForSelector(`#${part}`, { state: "hidden" });
        }
        await page.click("#messages [data-from=bob] button.name >> nth=0");
        await page.waitForSelector("#card[open]");
        await isFine(page, `${name}: card`);
        await page.keyboard.press("Escape");
        await page.click("#title");
        await page.waitForSelector("#details:not([hidden])");
        await isFine(page, `${name}: details`);
        await page.click("#close-details");

        network.down();
        await page.waitForSelector("#subtitle.away");
        await alice.say("waiting");
        await isFine(page, `${name}: offline`);
        network.up();
        await alice.allStored();
        await alice.takesFor("nobody-here");
        await page.goto(`${network.url}/u/nobody-here`);
        await alice.isIn();
        await alice.say("not sent");
        await page.locator(".not-sent").waitFor();
        await isFine(page, `${name}: private, not sent`);
        await page.click(".not-sent [data-act=discard]");
      });
    }
  }
}

scenario("the sidebar opens and closes on a phone", async () => {
  const alice = await person(server.url, "alice", PHONE);
  await alice.joins("/r/random");
  const { page } = alice;
  assert.equal(await page.locator("#sidebar").isVisible(), false);
  const focused = () => page.evaluate(() => document.activeElement?.id);
  assert.notEqual(await focused(), "text", "no keyboard comes up by itself");
  await page.tap("#open-sidebar");
  await page.waitForSelector("#chat.sidebar-open");
  assert.equal(await focused(), "find");
  await page.locator("[data-key='#random']").tap();
  await page.waitForURL("**/r/random");
  await page.waitForFunction(() => !document.querySelector("#chat.sidebar-open"));
  assert.notEqual(await focused(), "text");
  await page.tap("#text");
  await page.keyboard.type("from");
  await page.keyboard.press("Enter");
  await page.keyboard.type("a phone");
  await page.tap("#send");
  await alice.sees("from\na phone");
  await alice.allStored();
  assert.equal(await focused(), "text", "the next message can be written");
  await page.tap("#open-sidebar");
  await page.waitForSelector("#chat.sidebar-open");
  await page.touchscreen.tap(380, 400);
  await page.waitForFunction(() => !document.querySelector("#chat.sidebar-open"));
  const small = await page.$$eval("button, a, input, textarea", (all) =>
    all.filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest("[inert], .unseen") && one.tabIndex >= 0).flatMap((one) => {
      const { width, height } = one.getBoundingClientRect();
      return width >= 24 && height >= 24 ? [] : [one.id || one.className];
    }),
  );
  assert.deepEqual(small.filter((name) => name !== "skip"), [], "a finger finds everything");
});

scenario("a chosen theme overrides the system's", async () => {
  const alice = await person(server.url, "alice", { colorScheme: "light" });
  const { page } = alice;
  const background = () => page.evaluate(() => getComputedStyle(document.querySelector("#talk")).backgroundColor);
  const light = await background();
  await alice.settings("look");
  await page.click("[data-theme-choice=dark]");
  const dark = await background();
  assert.notEqual(dark, light);
  await page.reload();
  await alice.isIn();
  assert.equal(await background(), dark);
  await alice.settings("look");
  await page.click("#settings [data-language=ru]");
  await page.waitForFunction(() => document.querySelector("#rooms-heading")?.textContent === "Комнаты");
  await page.waitForFunction(() => document.querySelector("#title")?.textContent === "Общая");
});

scenario("a language whose words are in one file is chosen like the others", async () => {
  const { page, context } = await visitor(server.url, { locale: "eo", serviceWorkers: "block" });
  const words = `import { first as chat } from "./en/first.js";
    import { later as rest } from "./en/later.js";
    export const first = { ...chat, rooms: "Ĉambroj" };
    export const later = { ...rest, register: "Ekbabili", settings: "Agordoj" };`;
  await context.route("**/words/eo.js", (route) => route.fulfill({ contentType: "text/javascript", body: words }));
  // What the server adds to the page for each such file.
  await context.route(`${server.url}/`, async (route) => {
    const response = await route.fetch();
    const body = await response.text();
    const assets = /\/assets\/[^/]+/.exec(body)?.[0];
    const added = `<template id="eo-code" data-name="" data-words="whole"><link rel="modulepreload" href="${assets}/words/eo.js"></template><template id="eo-later-code"></template>`;
    await route.fulfill({ response, body: body.replace('<template id="later-code">', `${added}$&`) });
  });
  await page.goto(`${server.url}/`);
  await page.getByRole("button", { name: "Ekbabili" }).waitFor();
  assert.equal(await page.getAttribute("html", "lang"), "eo");
  assert.deepEqual(await page.locator(".languages [data-language]").allTextContents(), ["Русский", "English", "Esperanto"]);
  await page.click(".languages [data-language=en]");
  await page.getByRole("button", { name: "Start talking" }).waitFor();
  await page.click(".languages [data-language=eo]");
  await page.getByRole("button", { name: "Ekbabili" }).waitFor();
  await page.fill("#register-name", "Ludoviko");
  await page.fill("#register-password", "correct horse");
  await page.press("#register-password", "Enter");
  await page.waitForFunction(() => document.querySelector("#rooms-heading")?.textContent === "Ĉambroj");
});

scenario("the page can be installed", async () => {
  const { page } = await visitor(server.url);
  await page.goto(`${server.url}/`);
  const manifest = await (await fetch(new URL(await page.getAttribute("link[rel=manifest]", "href"), server.url))).json();
  assert.equal(manifest.display, "standalone");
  for (const { src, type } of manifest.icons) {
    const icon = await fetch(new URL(src, server.url));
    assert.deepEqual([icon.status, icon.headers.get("content-type")], [200, type]);
  }
});
