// Notifications without a page, through a push service of others (npm `web-push-testing`): it checks the
// signature of each request by the key of the subscription, and decrypts what is sent.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import path from "node:path";
import { after, test } from "node:test";

import { PASSWORD, Server } from "./server.mjs";

const server = await Server.start("--outgoing-private", "--push-delay-seconds", "0");
after(() => server.stop());

/** The push service, whose port must be known before it listens there. */
async function startService() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  await new Promise((closed) => probe.close(closed));
  const program = path.join(process.env.TEST_TOOLS ?? "", "node_modules/web-push-testing/src/bin/server.js");
  const service = spawn(process.execPath, [program, String(port)], { stdio: ["ignore", "pipe", "inherit"] });
  after(() => service.kill("SIGKILL"));
  await once(service.stdout, "data");
  return async (/** @type {string} */ call, body = {}) => {
    const answer = await fetch(`http://localhost:${port}/${call}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    return text.startsWith("{") ? JSON.parse(text).data : text;
  };
}
const service = await startService();

/** A user who has signed in, and shows no page. */
async function person(username) {
  await server.register(username);
  const answer = await fetch(`${server.url}/api/login`, { method: "POST", body: JSON.stringify({ username, password: PASSWORD }) });
  const [cookie] = answer.headers.getSetCookie()[0].split(";");
  const call = async (method, place, body) => {
    const answer = await fetch(server.url + place, { method, headers: { cookie }, body: body && JSON.stringify(body) });
    assert.ok(answer.ok, `${method} ${place}: ${answer.status}`);
    return answer.json();
  };
  return {
    call,
    say: (to, text) => call("POST", `/api/users/${to}/messages`, { text }),
    /** Subscribes as a browser does, by the key of the server; returns what the push service calls the browser. */
    subscribe: async () => {
      const { push_key } = await call("GET", "/api/me");
      const { clientHash, endpoint, keys } = await service("subscribe", { userVisibleOnly: "true", applicationServerKey: push_key });
      await call("PUT", "/api/push", { endpoint, keys, language: "en" });
      return clientHash;
    },
  };
}

/** Waits until something is there, or is true. */
async function until(find) {
  for (;;) {
    const found = await find();
    if (found) return found;
    await new Promise((later) => setTimeout(later, 100));
  }
}

/** The notifications that a browser has got, once there is one. */
const notifications = (browser) =>
  until(async () => {
    const { messages } = await service("get-notifications", { clientHash: browser });
    return messages.length > 0 && messages.map((message) => JSON.parse(message));
  });

/** How many notifications had this outcome. */
async function outcome(name) {
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  return Number(new RegExp(`^chat_pushes_total\\{outcome="${name}"\\} (\\d+)$`, "m").exec(metrics)?.[1] ?? 0);
}

test("a private message is read by the browser of a user without a page", { timeout: 60_000 }, async () => {
  const [alice, bob] = [await person("alice"), await person("bob")];
  const browser = await bob.subscribe();
  const { seq } = await alice.say("bob", "Привет, Боб");
  const [message, ...others] = await notifications(browser);
  const { timestamp, ...rest } = message;
  assert.deepEqual(others, []);
  assert.ok(Math.abs(timestamp - Date.now() / 1000) < 60);
  assert.deepEqual(rest, { with: "alice", seq, from: "alice", text: "Привет, Боб", files: 0, language: "en", chat: "Chat" });
});

test("a subscription that has expired is sent nothing more", { timeout: 60_000 }, async () => {
  const [carol, dave, erin] = [await person("carol"), await person("dave"), await person("erin")];
  const [expired, other] = [await dave.subscribe(), await erin.subscribe()];
  await service(`expire-subscription/${expired}`);
  await carol.say("dave", "one");
  await until(async () => (await outcome("gone")) === 1);
  // The subscription is gone: of these, only the one for the other browser is sent.
  await carol.say("dave", "two");
  await carol.say("erin", "three");
  assert.equal((await notifications(other))[0].text, "three");
  assert.equal(await outcome("gone"), 1);
  assert.deepEqual(await service("get-notifications", { clientHash: expired }), { messages: [] });
});
