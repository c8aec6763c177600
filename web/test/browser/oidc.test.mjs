// Users whom a real OpenID provider signs in.

import assert from "node:assert/strict";
import { after } from "node:test";

import { person, register, Server, scenario, visitor } from "./harness.mjs";
import { freePort, OpenIdProvider } from "./provider.mjs";

const port = await freePort();
const chat = `http://127.0.0.1:${port}`;
const provider = await OpenIdProvider.start(chat);
after(() => provider.goAway().catch(() => {}));
/** The flags of a server whose users sign in by a provider. */
const flags = (chat, issuer) => ["--public-url", chat, "--oidc-issuer", issuer, "--oidc-client-id", "chat", "--oidc-client-secret", "a secret of the chat", "--oidc-name", "Work"];
await Server.startAt(port, ...flags(chat, provider.issuer));

/**
 * Signs in by the provider, from the address that is open.
 * @param {import("./harness.mjs").Person} someone
 * @param {string} login
 */
async function signIn(someone, login) {
  await someone.page.click("#sign-in-elsewhere");
  await someone.page.fill("input[name=login]", login);
  await someone.page.click("#enter");
}

/** Who opens a room, sees the door, and signs in by the provider. */
async function enters(login, path = "/r/kitchen", options = {}) {
  const someone = await visitor(chat, options);
  await someone.page.goto(chat + path);
  await signIn(someone, login);
  await someone.isIn();
  if (path !== "/") assert.equal(new URL(someone.page.url()).pathname, path);
  return someone;
}

/**
 * Signs in at the provider, but stops on the way back.
 * @returns {Promise<string>} where the provider sends the browser
 */
async function comingBack(someone, login) {
  const { request } = someone.context;
  await someone.page.click("#sign-in-elsewhere");
  await someone.page.waitForSelector("input[name=login]");
  const entered = await request.post(someone.page.url(), { form: { login }, maxRedirects: 0 });
  const resumed = await request.get(entered.headers().location, { maxRedirects: 0 });
  return resumed.headers().location;
}

/** The name of the user who is signed in. */
async function nameOf(someone) {
  return (await someone.call("GET", "/api/me")).username;
}

/** The sentence at the door. */
async function sentence(someone) {
  await someone.page.waitForSelector("#sign-in-elsewhere", { state: "visible" });
  return someone.page.textContent("#door-words");
}

scenario("a user signs in by the provider, chats, and signs out of both", async () => {
  const host = await person(chat, "host");
  await host.call("POST", "/api/rooms", { name: "kitchen", title: "kitchen" });
  const someone = await visitor(chat);
  await someone.page.goto(`${chat}/r/kitchen`);
  await someone.page.waitForSelector("#sign-in-elsewhere", { state: "visible" });
  assert.equal((await someone.page.textContent("#door-leads-to"))?.replace(/[\u2068\u2069]/g, ""), "This link leads to “kitchen”.");
  assert.equal(await someone.page.textContent("#sign-in-elsewhere"), "Continue with \u2068Work\u2069");
  // Passwords are still there.
  assert.equal(await someone.page.isVisible("#register"), true);
  await signIn(someone, "alice.1");
  await someone.isIn();
  assert.equal(new URL(someone.page.url()).pathname, "/r/kitchen");
  assert.equal(await nameOf(someone), "alice");
  await someone.joins("/r/kitchen");
  // Who is new is shown what to do first.
  const steps = someone.page.locator(".welcome-strip .choices button");
  await steps.first().waitFor();
  assert.deepEqual(await steps.allTextContents(), ["Say hello", "Invite people", "Create a room"]);
  await someone.page.locator(".welcome-strip .icon").click();
  await someone.page.reload();
  await someone.isIn();
  assert.equal(await steps.count(), 0, "once is enough");
  await someone.say("from the provider");
  await someone.allStored();

  // Somebody else of that name there has another account here.
  const other = await enters("alice.2", "/r/kitchen", { locale: "ru-RU" });
  assert.equal(await nameOf(other), "alice-2");
  await other.sees("from the provider");
  const again = await enters("alice.1");
  assert.equal(await nameOf(again), "alice");
  assert.equal((await again.call("GET", "/api/sessions")).sessions.length, 2);

  await someone.settings();
  await someone.page.click("#sign-out");
  // The provider asks, and sends the browser back to the door.
  await someone.page.click("button[name=logout]");
  await someone.page.waitForSelector("#sign-in-elsewhere", { state: "visible" });
  assert.equal((await someone.context.request.get(`${chat}/api/me`)).status(), 401);
  // It has forgotten the user, too: it asks for a login again.
  await signIn(someone, "bob.1");
  await someone.isIn();
  assert.equal(await nameOf(someone), "bob");
  // The other session goes on.
  assert.equal(await nameOf(again), "alice");
});

scenario("a name with a password is nobody else's", async () => {
  await register(chat, "carol");
  const someone = await enters("carol.1", "/");
  assert.equal(await nameOf(someone), "carol-2");
});

scenario("a new key of the provider is found", async () => {
  provider.rotate("ES256");
  const someone = await enters("dave.1", "/");
  assert.equal(await nameOf(someone), "dave");
});

scenario("what the provider sends back is good once, and in one browser", async () => {
  const thief = await visitor(chat);
  const victim = await visitor(chat);
  await victim.page.goto(`${chat}/`);
  const callback = await comingBack(victim, "erin.1");
  assert.ok(callback.startsWith(`${chat}/api/oidc/callback?`), callback);
  // Without the cookie of that browser, the answer is worth nothing.
  await thief.page.goto(callback);
  assert.match((await sentence(thief)) ?? "", /another browser/);
  assert.equal((await thief.context.request.get(`${chat}/api/me`)).status(), 401);
  // Also not beside a sign-in of its own.
  await thief.context.request.get(`${chat}/api/oidc/start`, { maxRedirects: 0 });
  await thief.page.goto(callback);
  assert.match((await sentence(thief)) ?? "", /another browser/);
  assert.equal((await thief.context.request.get(`${chat}/api/me`)).status(), 401);
  await victim.page.goto(callback);
  await victim.isIn();
  assert.equal(await nameOf(victim), "erin");
  // A second time, it signs nobody in.
  await victim.context.clearCookies({ name: "auth" });
  await victim.page.evaluate(() => localStorage.clear());
  await victim.page.goto(callback);
  await sentence(victim);
  assert.equal((await victim.context.request.get(`${chat}/api/me`)).status(), 401);
});

scenario("an answer of another sign-in, or of another issuer, signs nobody in", async () => {
  const FAILED = "Signing in did not work. If it fails again, please tell the operator of this chat.";
  const isRefused = async (someone, chat) => {
    assert.equal(await sentence(someone), FAILED);
    assert.equal((await someone.context.request.get(`${chat}/api/me`)).status(), 401);
  };

  // The ID token has the nonce of another sign-in.
  const replayed = await visitor(chat);
  const begun = await replayed.context.request.get(`${chat}/api/oidc/start`, { maxRedirects: 0 });
  const address = new URL(begun.headers().location);
  address.searchParams.set("nonce", "of another sign-in");
  await replayed.page.goto(address.href);
  await replayed.page.fill("input[name=login]", "henry.1");
  await replayed.page.click("#enter");
  await isRefused(replayed, chat);

  // The browser brings the answer of another provider.
  const misled = await visitor(chat);
  await misled.page.goto(`${chat}/`);
  const callback = new URL(await comingBack(misled, "henry.1"));
  assert.equal(callback.searchParams.get("iss"), provider.issuer);
  callback.searchParams.set("iss", "https://other.example");
  await misled.page.goto(callback.href);
  await isRefused(misled, chat);

  // The ID token is of another issuer, and signed with the right key.
  const second = await freePort();
  const elsewhere = `http://127.0.0.1:${second}`;
  const other = await OpenIdProvider.start(elsewhere, "https://other.example");
  await Server.startAt(second, ...flags(elsewhere, other.issuer));
  const forged = await visitor(elsewhere);
  await forged.page.goto(`${elsewhere}/`);
  const answer = new URL(await comingBack(forged, "henry.1"));
  answer.searchParams.delete("iss");
  await forged.page.goto(answer.href);
  await isRefused(forged, elsewhere);
  await other.goAway();
});

scenario("a lost answer leaves nothing behind, and another click signs in", async () => {
  const someone = await visitor(chat);
  await someone.page.goto(`${chat}/r/kitchen`);
  const isLost = async () => {
    assert.equal(await sentence(someone), "The other server does not answer. Please try again in a moment.");
    assert.equal((await someone.context.request.get(`${chat}/api/me`)).status(), 401);
  };
  const callback = await comingBack(someone, "ida.1");
  provider.tokensArrive = "none";
  await someone.page.goto(callback);
  await isLost();
  // The provider knows the user by now, and asks nothing.
  provider.tokensArrive = "half";
  const comesBack = someone.page.waitForResponse((response) => response.url().startsWith(`${chat}/api/oidc/callback?`));
  await someone.page.click("#sign-in-elsewhere");
  await comesBack;
  await isLost();
  provider.tokensArrive = "all";
  await someone.page.click("#sign-in-elsewhere");
  await someone.isIn();
  assert.equal(await nameOf(someone), "ida");
  assert.equal(new URL(someone.page.url()).pathname, "/r/kitchen");
  assert.equal((await someone.call("GET", "/api/sessions")).sessions.length, 1);

  // The browser has lost that it began.
  const forgetful = await visitor(chat);
  await forgetful.page.goto(`${chat}/`);
  const late = await comingBack(forgetful, "jan.1");
  await forgetful.context.clearCookies({ name: "oidc" });
  await forgetful.page.goto(late);
  assert.match((await sentence(forgetful)) ?? "", /try again/);
  await forgetful.page.click("#sign-in-elsewhere");
  await forgetful.isIn();
  assert.equal(await nameOf(forgetful), "jan");
});

scenario("who says no, or finds the provider away, is at the door with a sentence", async () => {
  const someone = await visitor(chat);
  await someone.page.goto(`${chat}/`);
  await someone.page.click("#sign-in-elsewhere");
  await someone.page.click("#no");
  assert.equal(await sentence(someone), "You were not signed in.");

  const late = await visitor(chat, { locale: "ru-RU" });
  await late.page.goto(`${chat}/`);
  const callback = await comingBack(late, "fred.1");
  await provider.goAway();
  await late.page.goto(callback);
  assert.match((await sentence(late)) ?? "", /не отвечает/);
  // The page works.
  await register(chat, "grete");
  await late.page.click("#to-sign-in");
  await late.page.fill("#sign-in-name", "grete");
  await late.page.fill("#sign-in-password", "correct horse");
  await late.page.click("#sign-in button.primary");
  await late.isIn();
  assert.equal(await nameOf(late), "grete");

  // A server that has not asked the provider yet says so at once.
  const second = await freePort();
  const other = await Server.startAt(second, ...flags(`http://127.0.0.1:${second}`, provider.issuer), "--passwords", "false");
  const first = await visitor(other.url);
  await first.page.goto(`${other.url}/r/kitchen`);
  await first.page.click("#sign-in-elsewhere");
  await first.page.waitForURL(`${other.url}/r/kitchen?sign_in=away`);
  assert.match((await sentence(first)) ?? "", /does not answer/);
  // Without passwords, there is nothing else at this door.
  assert.equal(await first.page.isVisible("#sign-in, #register, #to-register"), false);
});
