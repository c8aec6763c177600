// Administration in the page: the first administrator, invitations, roles, bans, removal,
// reports, and the log of it all. Stories of several people.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";

import { AXE, PASSWORD, person, register, Server, scenario, visitor, WAIT_MAX_MS } from "./harness.mjs";

/** A server of its own, and its first administrator with the chat open. */
async function begin(...flags) {
  const server = await Server.start("--database-url", "memory:", ...flags);
  const printed = () => server.printed.map((line) => /#setup=(\S+)/.exec(line)?.[1]).find(Boolean);
  for (const start = Date.now(); !printed() && Date.now() - start < WAIT_MAX_MS; ) await new Promise((done) => setTimeout(done, 20));
  const anna = await visitor(server.url);
  anna.name = "anna";
  await register(server.url, "anna");
  await anna.signIn();
  await anna.call("POST", "/api/setup", { code: decodeURIComponent(printed() ?? "") });
  await anna.goto("/r/default");
  return { server, anna };
}

/** Opens a page of the administration, and waits until it is there. */
async function administers(someone, page) {
  if (!(await someone.page.isVisible("#settings[open]"))) await someone.settings();
  await someone.page.locator(`#settings [data-page=${page}]`).click();
  await someone.page.waitForSelector(`#settings .server-page > *`);
}

/** Waits until something has a text. */
const shows = ({ page }, selector, text) =>
  page.waitForFunction(([selector, text]) => [...document.querySelectorAll(selector)].some(({ textContent }) => textContent?.replace(/[\u2066-\u2069]/g, "").includes(text)), [selector, text], { timeout: WAIT_MAX_MS });

const closeSettings = async ({ page }) => {
  await page.locator("#settings section > header .icon").last().click();
  await page.waitForSelector("#settings", { state: "hidden" });
};

/** Presses something in the menu of an account. */
async function choose({ page }, name, word) {
  await page.locator(`#accounts [data-name="${name}"] .more`).click();
  await page.locator("#account-menu:popover-open").getByRole("menuitem", { name: word, exact: true }).click();
}

/** Reports the message with this text from its menu. */
async function report(someone, text, reason) {
  const { page } = someone;
  await page.waitForSelector("#message-menu", { state: "attached" });
  await page.locator("#messages .message", { hasText: text }).hover();
  await page.locator("#messages .message", { hasText: text }).locator(".message-bar button").last().click();
  await page.locator("#message-menu [data-action=report]").click();
  await page.fill("#report-reason", reason);
  await page.getByRole("button", { name: "Send the report" }).click();
}

async function hasNoBarriers(page, where) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
  const found = await page.evaluate(async (where) => (await globalThis.axe.run(where)).violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target)}`), where);
  assert.deepEqual(found, []);
}

scenario("the first administrator invites by a link, and who comes with it is in the room", async () => {
  const { server, anna } = await begin();
  await anna.call("POST", "/api/rooms", { title: "The orchard", access: "closed" });
  await administers(anna, "invites");
  await anna.page.waitForFunction(() => document.querySelectorAll("#invite-room option").length > 2);
  await anna.page.selectOption("#invite-room", { label: "The orchard" });
  await anna.page.selectOption("#invite-uses", { label: "once" });
  await hasNoBarriers(anna.page, "#settings");
  await anna.page.getByRole("button", { name: "Make a link" }).click();
  const link = await anna.page.inputValue("#once-link");
  assert.match(link, /\/join\/\w+$/);
  await hasNoBarriers(anna.page, ".once");
  await anna.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await anna.page.locator(".once").getByRole("button", { name: "Copy link" }).click();
  await shows(anna, ".once .said", "Copied");
  assert.equal(await anna.page.evaluate(() => navigator.clipboard.readText()), link);
  await anna.page.locator(".once").getByRole("button", { name: "Close" }).click();
  await shows(anna, "#invites li", "0 of 1 used");

  const boris = await visitor(server.url);
  await boris.page.goto(link);
  await shows(boris, "#door", "anna invites you to “The orchard”");
  await boris.page.fill("#register-name", "boris");
  await boris.page.fill("#register-password", PASSWORD);
  await boris.page.press("#register-password", "Enter");
  await boris.page.waitForFunction(() => document.querySelector("#chat:not([hidden]) #title")?.textContent === "The orchard");

  // It is used up; another one is withdrawn, and the link stops working.
  await anna.page.getByRole("button", { name: "Make a link" }).click();
  const second = await anna.page.inputValue("#once-link");
  await anna.page.locator(".once").getByRole("button", { name: "Close" }).click();
  await anna.page.waitForFunction(() => document.querySelectorAll("#invites li").length === 1);
  await anna.page.locator("#invites li button").click();
  await anna.page.locator("dialog.ask").getByRole("button", { name: "Withdraw the invitation" }).click();
  await shows(anna, ".invites .quiet", "There are none.");
  const late = await visitor(server.url);
  await late.page.goto(second);
  await shows(late, "#door", "This invitation is no longer valid");

  // A member of a room invites from its details, and sees no page of administrators.
  await boris.page.waitForSelector("#finder", { state: "attached" });
  await boris.page.click("#title");
  await boris.page.locator(".actions").getByRole("button", { name: "Invite by a link" }).click();
  await boris.page.locator("#room-invites").getByRole("button", { name: "Make a link" }).click();
  const third = await boris.page.inputValue("#once-link");
  await boris.page.locator(".once").getByRole("button", { name: "Close" }).click();
  await shows(boris, "#room-invites #invites li", "0 of 1 used");
  await hasNoBarriers(boris.page, "#room-invites");
  await boris.page.locator("#room-invites > header button").click();
  await boris.settings();
  assert.equal(await boris.page.isVisible("#settings .server-pages button >> nth=0"), false);
  const clara = await visitor(server.url);
  await clara.page.goto(third);
  await shows(clara, "#door", "boris invites you to “The orchard”");

  await administers(anna, "audit");
  await shows(anna, "#audit li", "anna became the first administrator");
  await shows(anna, "#audit li[data-action='invite.create']", "An invitation to “The orchard” was made");
  await shows(anna, "#audit li[data-action='invite.create'] small", "boris");
  await shows(anna, "#audit li", "An invitation was withdrawn");
  await hasNoBarriers(anna.page, "#settings");
});

scenario("a ban closes two devices at once; roles, a new password, and the end of the ban", async () => {
  const { server, anna } = await begin();
  const phone = await person(server.url, "mallory", { path: "/r/default" });
  const laptop = await person(server.url, "mallory", { path: "/r/default" });
  const boris = await person(server.url, "boris");
  await phone.say("golden apples, only today");
  await anna.sees("golden apples, only today");

  await administers(anna, "accounts");
  await anna.page.locator("#accounts li").first().waitFor();
  await anna.page.fill("#accounts-text", "mal");
  await anna.page.waitForFunction(() => document.querySelectorAll("#accounts li").length === 1);
  await hasNoBarriers(anna.page, "#settings");
  await choose(anna, "mallory", "Ban");
  await hasNoBarriers(anna.page, "dialog.ask");
  await anna.page.fill("#ban-reason", "Spam");
  await anna.page.check("#ban-deletes");
  await anna.page.locator("dialog.ask").getByRole("button", { name: "Ban" }).click();
  await shows(anna, "#accounts li", "banned: Spam");
  await anna.page.fill("#accounts-text", "");
  await anna.page.locator("#accounts [data-name=boris]").waitFor();
  await anna.page.locator(".accounts [data-filter=banned]").click();
  await anna.page.waitForFunction(() => document.querySelectorAll("#accounts li").length === 1);
  await shows(anna, "#accounts li", "banned: Spam");
  await hasNoBarriers(anna.page, "#settings");
  await anna.page.fill("#accounts-text", "bor");
  await shows(anna, ".accounts .quiet", "Nobody found.");
  // Names are found in the letters of both scripts.
  await anna.page.fill("#accounts-text", "малл");
  await shows(anna, "#accounts li", "mallory");
  // All that the person wrote goes.
  await anna.page.waitForFunction(() => ![...document.querySelectorAll("#messages .text")].some(({ textContent }) => textContent === "golden apples, only today"), null, { timeout: WAIT_MAX_MS });
  for (const device of [phone, laptop]) {
    await device.page.waitForSelector("#sign-in", { state: "visible" });
    await device.page.fill("#sign-in-name", "mallory");
    await device.page.fill("#sign-in-password", PASSWORD);
    await device.page.press("#sign-in-password", "Enter");
    await shows(device, "#sign-in .error", "banned");
  }

  await choose(anna, "mallory", "End the ban");
  await shows(anna, ".accounts .quiet", "Nobody found.");
  await anna.page.fill("#accounts-text", "");
  await shows(anna, ".accounts .quiet", "Nobody is banned.");
  await anna.page.locator(".accounts [data-filter=all]").click();
  await anna.page.locator("#accounts [data-name=mallory]:not(.banned)").waitFor();
  await phone.page.press("#sign-in-password", "Enter");
  await phone.page.waitForSelector("#text", { state: "visible" });

  // A link for a new password, which is shown once.
  await choose(anna, "mallory", "Link for a new password");
  await anna.page.locator("dialog.ask").getByRole("button", { name: "Make a link" }).click();
  const link = await anna.page.inputValue("#once-link");
  await anna.page.locator(".once").getByRole("button", { name: "Close" }).click();
  const other = await visitor(server.url);
  await other.page.goto(link);
  await other.page.fill("#password-link", "another horse");
  await other.page.press("#password-link", "Enter");
  await shows(other, "#door", "The password is set");

  // Another administrator is appointed, who cannot be banned; the last one stays.
  await anna.page.fill("#accounts-text", "");
  await anna.page.locator("#accounts [data-name=boris]").waitFor();
  await boris.goto("/r/default");
  await boris.settings();
  await boris.page.locator("#settings [data-page=accounts]").waitFor({ state: "hidden" });
  await choose(anna, "boris", "Make an administrator");
  await anna.page.locator("dialog.ask").getByRole("button", { name: "Make an administrator" }).click();
  await anna.page.waitForSelector("dialog.ask", { state: "detached" });
  await anna.until(async () => (await boris.call("GET", "/api/me")).role === "administrator", "boris is an administrator");
  await shows(anna, "#accounts [data-name=boris]", "administrator");
  // His page shows it at once.
  await boris.page.locator("#settings [data-page=accounts]").waitFor({ state: "visible" });
  await administers(boris, "accounts");
  await choose(boris, "mallory", "Ban");
  await boris.page.waitForSelector("#ban-reason");
  await anna.page.locator('#accounts [data-name="boris"] .more').click();
  assert.deepEqual(await anna.page.locator("#account-menu button").allTextContents(), ["Remove the role of administrator", "Link for a new password"]);
  await anna.page.locator("#account-menu").getByRole("menuitem", { name: "Remove the role of administrator" }).click();
  await anna.page.locator("dialog.ask").getByRole("button", { name: "Remove the role of administrator" }).click();
  await anna.until(async () => (await boris.call("GET", "/api/me")).role === "member", "boris is none any more");
  await anna.page.waitForFunction(() => !document.querySelector("#accounts [data-name=boris]")?.textContent.includes("administrator"));
  // What he had open of it closes, and the question above it.
  await boris.page.locator("#settings [data-page=accounts]").waitFor({ state: "hidden" });
  await boris.page.waitForSelector("#ban-reason", { state: "detached" });
  await boris.page.waitForSelector("#settings [data-page=profile][aria-current]");
  assert.equal(await boris.page.locator("#settings .server-page").count(), 0);
  await choose(anna, "anna", "Remove the role of administrator");
  await anna.page.locator("dialog.ask").getByRole("button", { name: "Remove the role of administrator" }).click();
  await shows(anna, ".accounts .error", "This is the last administrator");

  await administers(anna, "audit");
  for (const line of ["mallory was banned", "The ban of mallory was ended", "A new password for mallory", "boris was made an administrator", "boris is no administrator any more"]) await shows(anna, "#audit li", line);
  await shows(anna, "#audit .report-reason", "Spam");
});

scenario("a report reaches the moderator of the room and the administrator, who delete and close it", async () => {
  const { server, anna } = await begin();
  const clara = await person(server.url, "clara");
  const mallory = await person(server.url, "mallory");
  const boris = await person(server.url, "boris");
  const { name } = await clara.call("POST", "/api/rooms", { title: "The garden", members: ["mallory", "boris", "anna"] });
  await mallory.goto(`/r/${encodeURIComponent(name)}`);
  await mallory.say("buy golden apples");
  await mallory.say("only today");
  await mallory.allStored();

  await boris.goto(`/r/${encodeURIComponent(name)}`);
  await report(boris, "buy golden apples", "Spam");
  await shows(boris, "#toast", "Reported");
  await report(boris, "only today", "Spam again");
  await shows(boris, "#toast", "Reported");
  // One cannot report oneself.
  await mallory.page.waitForSelector("#message-menu", { state: "attached" });
  await mallory.page.locator("#messages .message").last().hover();
  await mallory.page.locator("#messages .message").last().locator(".message-bar button").last().click();
  assert.equal(await mallory.page.locator("#message-menu [data-action=report]").count(), 0);

  // The moderator finds them in the details of the room.
  await clara.goto(`/r/${encodeURIComponent(name)}`);
  await clara.page.waitForSelector("#finder", { state: "attached" });
  await clara.page.click("#title");
  await shows(clara, ".actions button", "2 open");
  await clara.page.locator(".actions").getByRole("button", { name: /^Reports/ }).click();
  await shows(clara, "#reports li", "boris reports: Spam");
  assert.deepEqual(await clara.page.locator("#settings .server-pages button:visible span:first-of-type").allTextContents(), ["Reports"]);
  await hasNoBarriers(clara.page, "#settings");
  const card = clara.page.locator("#reports li", { hasText: "buy golden apples" });
  assert.deepEqual(await card.locator("button").evaluateAll((buttons) => buttons.map(({ dataset }) => dataset.action)), ["go", "delete", "done"]);
  await card.locator("[data-action=delete]").click();
  await clara.page.locator("dialog.ask").getByRole("button", { name: "Delete" }).click();
  await shows(clara, "#reports .reported", "The message was deleted");
  await boris.page.waitForFunction(() => ![...document.querySelectorAll("#messages .text")].some(({ textContent }) => textContent === "buy golden apples"));
  await clara.page.locator("#reports li", { hasText: "The message was deleted" }).locator("[data-action=done]").click();
  await clara.page.waitForFunction(() => document.querySelectorAll("#reports li").length === 1);
  await clara.page.locator("#reports [data-action=go]").click();
  await clara.page.waitForSelector("#settings", { state: "hidden" });
  await clara.sees("only today");

  // The administrator sees the other one, and closes it.
  await anna.settings();
  await shows(anna, "#settings [data-page=reports] .count", "1");
  await administers(anna, "reports");
  await shows(anna, "#reports li", "only today");
  await anna.page.locator("#reports [data-action=done]").click();
  await shows(anna, ".reports .quiet", "There are no open reports.");
  await anna.page.waitForFunction(() => !document.querySelector("#settings [data-page=reports] .count"));
  await anna.page.locator("[data-state=done]").click();
  await anna.page.waitForFunction(() => document.querySelectorAll("#reports li").length === 2);

  await administers(anna, "audit");
  await shows(anna, "#audit li[data-action='report.change'] small", "clara");
  await shows(anna, "#audit li[data-action='report.change'] small", "anna");
});

scenario("a bot posts by its token and its webhook, is seen to be a bot, and is silent once it is revoked", async () => {
  const { server, anna } = await begin();
  const boris = await person(server.url, "boris", { path: "/r/default" });
  /** Posts as a program does, which has no cookies. */
  const post = (/** @type {string} */ url, /** @type {object} */ body, /** @type {string} */ token) =>
    fetch(new URL(url, server.url), { method: "POST", headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) }, body: JSON.stringify(body) });
  const robot = anna.page.locator("#bots [data-name=Robot]");

  await administers(anna, "bots");
  await shows(anna, ".bots .quiet", "There are no bots yet.");
  await anna.page.locator("#bot-room option[value=default]").waitFor({ state: "attached" });
  await anna.page.selectOption("#bot-room", "default");
  await anna.page.fill("#bot-name", "Robot");
  await hasNoBarriers(anna.page, "#settings");
  await anna.page.getByRole("button", { name: "Make a bot" }).click();
  const token = await anna.page.inputValue("#once-link");
  assert.match(token, /^bot_\w{20,}$/);
  await anna.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await anna.page.locator(".once").getByRole("button", { name: "Copy" }).click();
  await shows(anna, ".once .said", "Copied");
  assert.equal(await anna.page.evaluate(() => navigator.clipboard.readText()), token);
  await anna.page.locator(".once").getByRole("button", { name: "Close" }).click();
  await robot.waitFor();
  assert.equal((await anna.page.content()).includes(token), false, "the token is shown once");

  assert.equal((await post("/api/rooms/default/messages", { text: "build 1207 is live" }, token)).status, 201);
  assert.equal((await post("/api/rooms/random/messages", { text: "not its room" }, token)).status, 403);
  for (const someone of [anna, boris]) {
    await someone.sees("build 1207 is live");
    await someone.page.waitForFunction(() => document.querySelector("#messages .message[data-from=Robot] .name .bot")?.textContent === "bot");
  }
  // People have no such mark.
  await boris.say("thanks, Robot");
  await anna.sees("thanks, Robot");
  assert.equal(await anna.page.locator("#messages .bot").count(), 1);
  await boris.page.locator("#messages .message[data-from=Robot] .name").click();
  await shows(boris, "#card .bot", "bot");
  await boris.page.keyboard.press("Escape");

  await robot.locator(".more").click();
  await anna.page.locator("#bot-menu:popover-open").getByRole("menuitem", { name: "Make a webhook" }).click();
  await anna.page.locator("dialog.ask").getByRole("button", { name: "Make a webhook" }).click();
  const hook = await anna.page.inputValue("#once-link");
  await anna.page.locator(".once").getByRole("button", { name: "Close" }).click();
  await shows(anna, "#bots li", "1 webhook");
  const slack = { username: "nobody", text: "Disk is full on <https://a.example/7|host 7>", attachments: [{ fallback: "90 %" }] };
  const taken = await post(hook, slack, "");
  assert.deepEqual([taken.status, await taken.text()], [200, "ok"]);
  for (const { page } of [anna, boris]) {
    const said = page.locator("#messages .message[data-from=Robot]", { hasText: "90 %" });
    await said.waitFor();
    assert.equal(await said.locator("a[href='https://a.example/7']").count(), 1);
  }

  await robot.locator(".more").click();
  await anna.page.locator("#bot-menu:popover-open").getByRole("menuitem", { name: "End the token" }).click();
  await anna.page.locator("dialog.ask").getByRole("button", { name: "End the token" }).click();
  await shows(anna, ".bots .quiet", "There are no bots yet.");
  assert.equal((await post("/api/rooms/default/messages", { text: "still there?" }, token)).status, 401);
  assert.equal((await post(hook, slack, "")).status, 404);
  // What it has written stays, and is still that of a bot.
  await boris.goto("/r/default");
  await boris.sees("build 1207 is live");
  await boris.page.locator("#messages .message[data-from=Robot] .name .bot").first().waitFor();
  await administers(anna, "audit");
  for (const line of ["Robot is a bot, with a new token", "Robot has a webhook for", "The token of the bot Robot has ended"]) await shows(anna, "#audit li", line);
});

scenario("messages of a room go to the address of a program, and the settings say whether it takes them", async () => {
  const { anna } = await begin("--webhook-private-addresses", "127.0.0.0/8");
  /** What the program has got, and how it answers. @type {{ texts: string[], status: number }} */
  const program = { texts: [], status: 204 };
  const receiver = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    program.texts.push(JSON.parse(body).data.message.text);
    response.writeHead(program.status).end();
  }).listen(0, "127.0.0.1");
  try {
    await once(receiver, "listening");
    const url = `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (receiver.address()).port}/chat`;
    await anna.call("POST", "/api/bots", { name: "Robot", rooms: ["default"] });
    await administers(anna, "bots");
    const line = anna.page.locator("#bots .outgoing");
    const asked = anna.page.locator("dialog.ask");

    await anna.page.locator("#bots [data-name=Robot] .more").click();
    await anna.page.locator("#bot-menu:popover-open").getByRole("menuitem", { name: "Send messages to a program" }).click();
    await anna.page.fill("#outgoing-url", "bot.example");
    await asked.getByRole("button", { name: "Add the address" }).click();
    await shows(anna, "dialog.ask .error", "Please enter the https address");
    await hasNoBarriers(anna.page, "dialog.ask");
    await anna.page.fill("#outgoing-url", url);
    await asked.getByRole("button", { name: "Add the address" }).click();
    await anna.page.locator("#once-link").waitFor();
    assert.match(await anna.page.inputValue("#once-link"), /^whsec_/);
    await asked.getByRole("button", { name: "Close" }).click();
    await shows(anna, "#bots .outgoing", url);
    await shows(anna, "#bots .outgoing", "All messages of “");
    await hasNoBarriers(anna.page, "#settings");
    assert.equal(await anna.page.evaluate(() => document.activeElement?.closest("li")?.dataset.name), "Robot", "the focus is back on the bot");

    /** Opens the page again until its line says something. */
    const says = (/** @type {string} */ words) =>
      anna.until(async () => {
        await administers(anna, "audit");
        await administers(anna, "bots");
        await line.waitFor();
        return ((await line.textContent()) ?? "").includes(words);
      }, `the line says ${words}`);
    await anna.pour("default", ["build it"]);
    await says("delivered");
    assert.deepEqual(program.texts, ["build it"]);
    assert.equal(await line.locator(".failing").count(), 0);
    program.status = 500;
    await anna.pour("default", ["and again"]);
    await says("in a row");
    await says("answer 500");
    assert.equal(await line.locator(".failing").count(), 1);

    await line.getByRole("button", { name: "Send nothing more" }).click();
    await asked.getByRole("button", { name: "Send nothing more" }).click();
    await line.waitFor({ state: "detached" });
  } finally {
    receiver.close();
  }
});

scenario("an administrator finds all rooms, and archives, closes and renames them", async () => {
  const { server, anna } = await begin();
  const boris = await person(server.url, "boris");
  for (const n of [1, 2, 3]) await boris.call("POST", "/api/rooms", { title: `Bed ${n}`, description: `The bed number ${n}` });
  await boris.call("POST", "/api/rooms", { title: "Secret bed", access: "closed" });
  await anna.call("POST", "/api/rooms", { title: "Tool shed", access: "closed" });
  const line = (/** @type {string} */ title) => anna.page.locator("#all-rooms li", { has: anna.page.locator(".title", { hasText: new RegExp(`^${title}$`) }) });
  const choose = async (/** @type {string} */ title, /** @type {string} */ word) => {
    await line(title).locator(".more").click();
    await anna.page.locator("#one-room-menu:popover-open").getByRole("menuitem", { name: word, exact: true }).click();
  };
  const asked = anna.page.locator("dialog.ask");

  await administers(anna, "rooms");
  await line("Bed 3").waitFor();
  await line("Tool shed").waitFor();
  await shows(anna, "#all-rooms li", "open · 1 member");
  await shows(anna, "#all-rooms li", "closed · 1 member");
  assert.equal(await line("Secret bed").count(), 0, "a closed room is for its members");
  await hasNoBarriers(anna.page, "#settings");
  await anna.page.fill("#all-rooms-text", "bed");
  await anna.page.waitForFunction(() => document.querySelectorAll("#all-rooms li").length === 3);
  await anna.page.fill("#all-rooms-text", "nothing like it");
  await shows(anna, ".all-rooms .quiet", "There is no such room.");
  await anna.page.press("#all-rooms-text", "Escape");
  await line("Bed 1").waitFor();
  assert.ok(await anna.page.isVisible("#settings[open]"), "Escape empties the box first");

  // Archived, and brought back.
  await choose("Bed 1", "Archive the room");
  await asked.getByRole("button", { name: "Archive the room" }).click();
  await shows(anna, "#all-rooms li.archived", "Bed 1");
  // The focus is back on the room.
  await anna.page.waitForFunction(() => document.activeElement?.closest("li")?.querySelector(".title")?.textContent === "Bed 1");
  await choose("Bed 1", "Bring back from the archive");
  await anna.page.waitForFunction(() => document.querySelectorAll("#all-rooms li.archived").length === 0);

  // Closed, and never opened again. Whoever is no member does not see it any more, and is told so before.
  await choose("Bed 2", "Make it closed");
  await shows(anna, "dialog.ask", "You are no member: you will not see it any more.");
  await hasNoBarriers(anna.page, "dialog.ask");
  await asked.getByRole("button", { name: "Make it closed" }).click();
  await line("Bed 2").waitFor({ state: "detached" });
  assert.equal((await boris.call("GET", "/api/rooms/bed-2")).access, "closed");
  await line("Tool shed").locator(".more").click();
  assert.deepEqual(await anna.page.locator("#one-room-menu button").allTextContents(), ["Open", "Members and details", "Change title and description", "Archive the room"]);
  await anna.page.keyboard.press("Escape");

  // By keys: the menu of a room, and its title in the details.
  await line("Bed 3").locator(".more").focus();
  await anna.page.keyboard.press("Enter");
  for (const _ of [1, 2]) await anna.page.keyboard.press("ArrowDown");
  await anna.page.keyboard.press("Enter");
  await anna.page.waitForSelector("#settings", { state: "hidden" });
  await anna.page.waitForFunction(() => document.activeElement?.id === "edit-title");
  assert.equal(await anna.page.inputValue("#edit-description"), "The bed number 3");
  await anna.page.fill("#edit-title", "Bed of roses");
  await anna.page.keyboard.press("Enter");
  await shows(anna, ".about-head h3", "Bed of roses");
  await boris.until(async () => (await boris.call("GET", "/api/rooms/bed-3")).title === "Bed of roses", "it has another title");

  // Its members, of another room than the one that is open.
  await administers(anna, "rooms");
  await line("Bed of roses").waitFor();
  await choose("Bed 1", "Members and details");
  await shows(anna, "#details .about-head h3", "Bed 1");
  await anna.page.locator("#members [data-name=boris]").waitFor();
  await administers(anna, "rooms");
  await line("Tool shed").waitFor();
  await choose("Tool shed", "Open");
  await anna.page.waitForFunction(() => document.querySelector("#title")?.textContent === "Tool shed");

  await administers(anna, "audit");
  for (const words of ["was archived", "was brought back from the archive", "was made closed", "was changed: title"]) await shows(anna, "#audit li", words);

  // Boris sees no such page.
  await boris.settings();
  assert.equal(await boris.page.isVisible("#settings [data-page=rooms]"), false);
});

scenario("more rooms than one page has, on a phone and in Russian", async () => {
  const { server, anna } = await begin();
  for (let n = 0; n < 55; n++) await anna.call("POST", "/api/rooms", { title: `Грядка ${n}` });
  const phone = await visitor(server.url, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, locale: "ru-RU" });
  phone.name = "anna";
  await phone.signIn();
  await phone.goto("/r/default");
  await phone.page.evaluate(() => document.getElementById("me")?.click());
  await phone.page.waitForSelector("#settings[open]");
  await phone.page.locator("#settings [data-page=rooms]").tap();
  await phone.page.locator("#all-rooms li").first().waitFor();
  assert.equal(await phone.page.textContent("#settings-page-heading"), "Комнаты");
  assert.equal(await phone.page.locator("#all-rooms li").count(), 50);
  await hasNoBarriers(phone.page, "#settings");
  assert.ok(await phone.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the phone");
  await phone.page.locator(".all-rooms .link").tap();
  await phone.page.waitForFunction(() => document.querySelectorAll("#all-rooms li").length === 57);
  assert.equal(await phone.page.isVisible(".all-rooms .link"), false);
  await phone.page.locator("#all-rooms .more").last().scrollIntoViewIfNeeded();
  await phone.page.locator("#all-rooms .more").last().tap();
  assert.deepEqual(await phone.page.locator("#one-room-menu button").allTextContents(), ["Открыть", "Участники и сведения", "Изменить название и описание", "Убрать в архив", "Сделать закрытой"]);
  await hasNoBarriers(phone.page, "#one-room-menu");
});

scenario("where only administrators make rooms, nobody else is offered to", async () => {
  const { server, anna } = await begin("--room-creation", "administrators");
  const boris = await visitor(server.url);
  await boris.page.goto(`${server.url}/`);
  await boris.page.fill("#register-name", "boris");
  await boris.page.fill("#register-password", PASSWORD);
  await boris.page.press("#register-password", "Enter");
  await boris.page.waitForSelector(".welcome:not([hidden]), .welcome-strip:not([hidden])");
  await boris.page.waitForSelector("#finder", { state: "attached" });
  await boris.page.waitForSelector("#new-room-open", { state: "hidden" });
  assert.deepEqual(await boris.page.locator(".welcome:not([hidden]) .choices, .welcome-strip:not([hidden]) .choices").getByText("Create a room").count(), 0);
  const offered = async (/** @type {import("./harness.mjs").Person} */ { page }) => {
    await page.keyboard.press("Control+k");
    await page.fill("#finder-text", "#compost");
    await page.waitForFunction(() => [...document.querySelectorAll("#finder-list li")].some(({ textContent }) => textContent?.includes("compost")));
    const found = await page.locator("#finder-list li").allTextContents();
    await page.keyboard.press("Escape");
    return found.some((words) => words.includes("Open the room"));
  };
  assert.equal(await offered(boris), false);
  await anna.page.waitForSelector("#finder", { state: "attached" });
  await anna.page.waitForSelector("#new-room-open", { state: "visible" });
  assert.equal(await offered(anna), true);
});

scenario("members who are removed, and rooms that are archived, are in the log", async () => {
  const { server, anna } = await begin();
  const boris = await person(server.url, "boris");
  const { name } = await anna.call("POST", "/api/rooms", { title: "The shed", access: "closed", members: ["boris"] });
  await boris.goto(`/r/${encodeURIComponent(name)}`);
  await anna.goto(`/r/${encodeURIComponent(name)}`);
  await anna.page.waitForSelector("#finder", { state: "attached" });
  await anna.page.click("#title");
  await anna.page.locator("#members [data-name=boris] .more").click();
  await anna.page.locator("#member-menu").getByRole("menuitem", { name: "Remove from the room" }).click();
  await anna.page.locator("dialog.ask").getByRole("button", { name: "Remove" }).click();
  await shows(boris, ".refused", "You were removed from this room");
  await anna.page.locator(".actions").getByRole("button", { name: "Archive the room" }).click();
  await anna.page.locator("dialog.ask").getByRole("button", { name: "Archive the room" }).click();
  await anna.page.locator(".actions").getByRole("button", { name: "Bring back from the archive" }).waitFor();
  // An archived room invites nobody.
  assert.equal(await anna.page.locator(".actions").getByRole("button", { name: "Invite by a link" }).count(), 0);
  await administers(anna, "audit");
  await shows(anna, "#audit li", "boris was removed from “The shed”");
  await shows(anna, "#audit li", "“The shed” was archived");
});

scenario("the chat gets a title, a welcome, a colour and a logo, as the preview has shown", async () => {
  const { server, anna } = await begin();
  await administers(anna, "server");
  await anna.page.fill("#server-title", "Gardeners");
  await anna.page.fill("#server-welcome", "Whoever gardens here is welcome.");
  await anna.page.locator(".swatch input[value=green]").check();
  await shows(anna, ".door-preview", "Gardeners");
  await shows(anna, ".door-preview", "Whoever gardens here is welcome.");
  const colours = await anna.page.evaluate(() => [".door-preview .primary", "#server-form button.primary"].map((selector) => getComputedStyle(document.querySelector(selector)).backgroundColor));
  assert.notEqual(colours[0], colours[1]);
  const logo = await anna.page.evaluate(async () => {
    const canvas = new OffscreenCanvas(64, 64);
    canvas.getContext("2d").fillRect(0, 0, 64, 64);
    return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
  });
  await anna.page.setInputFiles("#server-form [type=file]", { name: "logo.png", mimeType: "image/png", buffer: Buffer.from(logo) });
  await anna.page.waitForFunction(() => document.querySelector(".door-preview img")?.src.startsWith("blob:"));
  await hasNoBarriers(anna.page, "#settings");
  await anna.page.locator("#server-form").getByRole("button", { name: "Save" }).click();
  await shows(anna, "#server-form .said", "Saved");
  const after = await anna.page.evaluate(() => [".door-preview .primary", "#server-form button.primary"].map((selector) => getComputedStyle(document.querySelector(selector)).backgroundColor));
  assert.equal(after[0], after[1]);

  const guest = await visitor(server.url);
  const isThere = async () => {
    await guest.page.goto(server.url);
    await guest.page.waitForSelector("#register", { state: "visible" });
    return guest.page.evaluate(() => `${document.querySelector("#door h1")?.textContent} ${document.documentElement.dataset.accent} ${new URL(document.querySelector("#door img")?.src).pathname.includes("logo")}`);
  };
  await guest.until(async () => (await isThere()) === "Gardeners green true", "the door has the new looks");
  assert.equal(await guest.page.textContent(".door-welcome"), "Whoever gardens here is welcome.");
  await anna.page.getByRole("button", { name: "Remove the logo" }).click();
  await anna.page.waitForFunction(() => !document.querySelector(".door-preview img")?.src.includes("logo"));
  await closeSettings(anna);
});

scenario("on a phone and in Russian, the pages of administrators are pages, too", async () => {
  const { server } = await begin();
  const anna = await visitor(server.url, { locale: "ru-RU", viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
  anna.name = "anna";
  await anna.signIn();
  await anna.goto("/r/default");
  await anna.page.tap("#open-sidebar");
  await anna.page.tap("#me");
  for (const [page, heading] of [["server", "Чат"], ["accounts", "Люди"], ["invites", "Приглашения"], ["rooms", "Комнаты"], ["bots", "Боты"], ["reports", "Жалобы"], ["audit", "Журнал"]]) {
    await anna.page.tap(`#settings [data-page=${page}]`);
    await anna.page.waitForSelector("#settings .server-page > *");
    assert.equal(await anna.page.textContent("#settings-page-heading"), heading);
    assert.ok(await anna.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${page} is as wide as the page`);
    await hasNoBarriers(anna.page, "#settings");
    await anna.page.tap("#settings .back");
    await anna.page.waitForSelector("#settings:not(.on-page)");
  }
});
