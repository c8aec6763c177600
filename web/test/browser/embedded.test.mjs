// The chat below a path of its server, and in a host that has users of its own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after } from "node:test";

import { fourColours, person, scenario, Server, visitor, withServiceWorker } from "./harness.mjs";

withServiceWorker();

const server = await Server.start("--base-path", "/team/chat");

/** The example of docs/embedding.md, which is built beside the server. */
async function startHost() {
  const folder = mkdtempSync(path.join(tmpdir(), "chat-host-"));
  const host = spawn(path.join(path.dirname(process.env.TEST_SERVER ?? ""), "axum-host"), ["127.0.0.1:0", folder], { stdio: ["ignore", "pipe", "inherit"] });
  after(async () => {
    const ended = once(host, "exit");
    host.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });
  const [line] = await once(createInterface(host.stdout), "line");
  return /http:\S+/.exec(line)?.[0] ?? "";
}

scenario("a chat below a path has everything there", async () => {
  const url = `${server.url}/team/chat`;
  const { page, context } = await visitor(server.url);
  /** @type {string[]} */
  const elsewhere = [];
  context.on("request", (request) => {
    const { pathname, origin } = new URL(request.url());
    if (origin === server.url && !pathname.startsWith("/team/chat/") && pathname !== "/") elsewhere.push(pathname);
  });
  // The root of the server leads to the chat.
  await page.goto(`${server.url}/`);
  await page.waitForSelector("#register", { state: "visible" });
  assert.equal(new URL(page.url()).pathname, "/team/chat/");
  await page.fill("#register-name", "anna");
  await page.fill("#register-password", "correct horse");
  await page.setInputFiles("picture-crop input[type=file]", { name: "me.png", mimeType: "image/png", buffer: await fourColours(40) });
  await page.waitForSelector("picture-crop.has-picture");
  await page.click("#register button.primary");
  await page.waitForSelector("#text", { state: "visible" });

  const bob = await person(url, "bob", { path: "/r/default" });
  await bob.say("below the path");
  await page.waitForFunction(() => [...document.querySelectorAll("#messages .text")].some((shown) => shown.textContent === "below the path"));
  await page.fill("#text", "hello");
  await page.press("#text", "Enter");
  await bob.sees("hello");
  await bob.page.waitForFunction(() => {
    const image = document.querySelector("#messages chat-avatar[name=anna] img");
    return image instanceof HTMLImageElement && image.naturalWidth > 0 && new URL(image.src).pathname.startsWith("/team/chat/uploads/");
  });
  assert.equal(new URL(bob.page.url()).pathname, "/team/chat/r/default");

  // The worker keeps the page below the path, and only that.
  await page.waitForFunction(async () => (await navigator.serviceWorker.ready) && (await caches.match("/team/chat/")) !== undefined);
  assert.equal(await page.evaluate(async () => new URL((await navigator.serviceWorker.ready).scope).pathname), "/team/chat/");
  const { scope, start_url } = await (await fetch(`${url}/manifest.webmanifest`)).json();
  assert.deepEqual([scope, start_url], ["/team/chat/", "/team/chat/"]);
  assert.deepEqual(elsewhere, []);
});

scenario("users of a host sign in there, and chat below a path of it", async () => {
  const host = await startHost();
  const enter = async (name) => {
    const someone = await visitor(`${host}/chat`);
    await someone.page.goto(`${host}/chat/r/default`);
    // They are sent to the host, and come back to the room.
    await someone.page.fill("input[name=name]", name);
    assert.equal(new URL(someone.page.url()).pathname, "/sign-in");
    await someone.page.click("button");
    await someone.isIn();
    assert.equal(new URL(someone.page.url()).pathname, "/chat/r/default");
    return someone;
  };
  const [alice, bob] = [await enter("alice"), await enter("bob")];
  await alice.say("from the host");
  await bob.sees("from the host");
  // Who is new is shown what to do first, as after a registration.
  await bob.page.locator(".welcome-strip button", { hasText: "Say hello" }).waitFor();
  await bob.say("me too");
  await alice.sees("me too");

  // The host posts, and refuses.
  const posted = await fetch(`${host}/deployed`, { method: "POST", body: "1.2" });
  assert.match(await posted.text(), /^message \d+$/m);
  await alice.sees("Version 1.2 is live.");
  await bob.say("password: hunter2");
  await bob.page.waitForFunction(() => document.body.innerText.includes("Passwords do not belong here."));
  await bob.say("sorry");
  await alice.sees("sorry");
  assert.equal(await alice.page.evaluate(() => document.body.innerText.includes("hunter2")), false);

  await alice.settings();
  await alice.page.click("#sign-out");
  await alice.page.waitForSelector("input[name=name]");
  await alice.page.goto(`${host}/`);
  assert.equal(await alice.page.textContent("#who"), "nobody");
  // Who comes back without having signed in is not sent away again, but has a way.
  await alice.page.goto(`${host}/chat/`);
  await alice.page.waitForSelector("#sign-in-elsewhere", { state: "visible" });
  assert.equal(await alice.page.isVisible("#sign-in, #register"), false);
  await alice.page.click("#sign-in-elsewhere");
  await alice.page.fill("input[name=name]", "alice");
  await alice.page.click("button");
  await alice.isIn();
  await alice.sees("me too");
});
