// Notifications while no page is open: from the message, through a push service of this
// file, which decrypts as a browser does, to the worker and the click.

import assert from "node:assert/strict";
import { createDecipheriv, createECDH, hkdfSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { after } from "node:test";

import { person, scenario, Server, withServiceWorker, withWholeBrowser } from "./harness.mjs";

withServiceWorker();
withWholeBrowser();

const server = await Server.start("--database-url", "memory:", "--outgoing-private", "--push-delay-seconds", "0");

const keys = createECDH("prime256v1");
keys.generateKeys();
const secret = randomBytes(16);

const received = [];
const service = http.createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  received.push({ headers: request.headers, text: decrypt(Buffer.concat(chunks)) });
  response.writeHead(201).end();
  service.emit("received");
});
service.listen(0, "127.0.0.1");
await once(service, "listening");
after(() => service.close());

/** RFC 8291, as a browser does it. */
function decrypt(body) {
  const [salt, theirs, sealed] = [body.subarray(0, 16), body.subarray(21, 86), body.subarray(86)];
  const info = Buffer.concat([Buffer.from("WebPush: info\0"), keys.getPublicKey(), theirs]);
  const key = hkdfSync("sha256", keys.computeSecret(theirs), secret, info, 32);
  const contentKey = hkdfSync("sha256", key, salt, "Content-Encoding: aes128gcm\0", 16);
  const nonce = hkdfSync("sha256", key, salt, "Content-Encoding: nonce\0", 12);
  const cipher = createDecipheriv("aes-128-gcm", Buffer.from(contentKey), Buffer.from(nonce));
  cipher.setAuthTag(sealed.subarray(-16));
  const padded = Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]);
  assert.equal(padded.at(-1), 2);
  return padded.subarray(0, -1).toString();
}

scenario("a message to somebody without a page is pushed, shown, and opened by a click", async () => {
  const alice = await person(server.url, "alice", { permissions: ["notifications"] });
  await alice.page.evaluate(() => navigator.serviceWorker.ready);
  const subscription = {
    endpoint: `http://127.0.0.1:${service.address().port}/alice`,
    keys: { p256dh: keys.getPublicKey("base64url"), auth: secret.toString("base64url") },
    language: "en",
  };
  const answer = await alice.context.request.put(`${server.url}/api/push`, { data: subscription });
  assert.equal(answer.status(), 200, await answer.text());
  const worker = alice.context.serviceWorkers()[0] ?? (await alice.context.waitForEvent("serviceworker"));
  const devtools = await alice.context.newCDPSession(alice.page);
  const registration = new Promise((known) => {
    devtools.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
      const [own] = registrations.filter(({ scopeURL }) => scopeURL.startsWith(server.url));
      if (own) known(own.registrationId);
    });
  });
  await devtools.send("ServiceWorker.enable");
  const registrationId = await registration;

  // The page is closed, but for the browser.
  await alice.page.goto("about:blank");
  const bob = await person(server.url, "bob", { path: "/u/alice" });
  // The server may learn a moment later that the page is gone: what comes by then is not pushed.
  const said = [];
  while (received.length === 0) {
    said.push(`are you there? ${said.length}`);
    const come = once(service, "received");
    await bob.say(said.at(-1));
    await Promise.race([come, new Promise((resolve) => setTimeout(resolve, 10_000))]);
  }
  const [{ headers, text }] = received;
  assert.match(headers.authorization, /^vapid t=.+, k=.+$/);
  assert.equal(headers["content-encoding"], "aes128gcm");
  const message = JSON.parse(text);
  assert.equal(message.with, "bob");
  assert.ok(said.includes(message.text), text);

  await devtools.send("ServiceWorker.deliverPushMessage", { origin: server.url, registrationId, data: text });
  const shown = () => worker.evaluate(async () => (await self.registration.getNotifications()).map(({ title, body, data }) => ({ title, body, data })));
  await alice.until(async () => (await shown()).length === 1, "no notification");
  assert.deepEqual(await shown(), [{ title: "bob", body: message.text, data: `/u/bob#${message.seq}` }]);

  await alice.goto("/r/default");
  await worker.evaluate(async () => {
    const [notification] = await self.registration.getNotifications();
    self.dispatchEvent(new NotificationEvent("notificationclick", { notification }));
  });
  await alice.page.waitForURL(`**/u/bob#${message.seq}`);
  await alice.sees(message.text);
});

scenario("the settings say what this browser can do while the chat is closed", async () => {
  const carol = await person(server.url, "carol", { permissions: ["notifications"] });
  await carol.settings("notices");
  const state = carol.page.locator("#notifies-closed-state");
  await carol.until(async () => (await state.textContent()) !== "", "nothing is said");
  assert.equal(await carol.page.isChecked("#notifies-closed"), false);
});
