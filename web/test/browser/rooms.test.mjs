// Rooms and their members: making, finding, joining, leaving and managing them.

import assert from "node:assert/strict";

import { PASSWORD, person, register, Server, scenario, visitor } from "./harness.mjs";

const server = await Server.start("--database-url", "memory:", "--message-rate", "off");
let rooms = 0;
/** A title that no other scenario uses. */
const titled = (word) => `${word} ${(rooms += 1)}`;
const line = ({ page }, title) => page.locator("#rooms a", { hasText: title });
const heading = ({ page }) => page.locator(".refused h2");

/** A user whose page has loaded what the first view does without. */
async function settled(name, options) {
  const someone = await person(server.url, name, options);
  await someone.page.waitForFunction(() => document.querySelector("#details"));
  return someone;
}

/** Makes a room over the interface. */
function made(someone, data) {
  return someone.call("POST", "/api/rooms", data);
}

const pathOf = ({ name }) => `/r/${encodeURIComponent(name)}`;

/** Opens a conversation's details. */
async function details({ page }) {
  await page.click("#title");
  await page.waitForSelector("#details:not([hidden])");
}

scenario("a closed room is made with a member, who sees it at once; a stranger with its link is told", async () => {
  const title = titled("Surprise");
  const alice = await person(server.url, "alice");
  const bob = await person(server.url, "bob");
  await alice.page.click("#new-room-open");
  await alice.page.fill("#new-room-title", title);
  await alice.page.fill("#new-room-description", "for Carol");
  await alice.page.check("#new-room input[value=closed]");
  await alice.page.fill("#new-room-people-text", "bo");
  await alice.page.locator("#new-room-people-list [data-name=bob]").click();
  await alice.page.locator("#new-room .chips [data-name=bob]").waitFor();
  await alice.page.click("#new-room footer .primary");
  await alice.page.waitForURL("**/r/~*");
  await alice.page.waitForFunction((title) => document.querySelector("#title")?.textContent === title, title);

  await line(bob, title).click();
  await alice.say("the cake is ordered");
  await bob.sees("the cake is ordered");
  await bob.say("great");
  await alice.sees("great");

  const carol = await person(server.url, "carol");
  await carol.page.goto(alice.page.url());
  assert.equal(await heading(carol).textContent(), "This room is closed");
  assert.equal(await carol.page.isVisible("#text"), false);
  assert.equal(await carol.page.textContent("#title"), "Closed room");
  await carol.page.click("#browse-open");
  await carol.page.locator("#browse-list li").first().waitFor();
  assert.equal(await carol.page.locator("#browse-list li", { hasText: title }).count(), 0);
  await carol.page.keyboard.press("Escape");
  await carol.page.locator(".refused .primary").click();
  await carol.page.waitForURL("**/r/default");
  await heading(carol).waitFor({ state: "hidden" });

  // Once she is added, the same link opens it.
  await alice.call("PUT", `/api/rooms/${encodeURIComponent(decodeURIComponent(new URL(alice.page.url()).pathname.slice(3)))}/members/carol`, {});
  await line(carol, title).click();
  await carol.sees("the cake is ordered");
});

scenario("where only administrators make rooms, others are told", async () => {
  const own = await Server.start("--database-url", "memory:", "--room-creation", "administrators");
  const alice = await person(own.url, "alice");
  await alice.page.click("#new-room-open");
  await alice.page.press("#new-room-title", "Enter");
  assert.equal(await alice.page.textContent("#new-room-title-error"), "Please enter a title.");
  await alice.page.fill("#new-room-title", "Mine");
  assert.equal(await alice.page.textContent("#new-room-title-error"), "");
  await alice.page.press("#new-room-title", "Enter");
  await alice.page.locator("#new-room footer .error", { hasText: "Only administrators" }).waitFor();
  await alice.page.goto(`${own.url}/r/nowhere`);
  await heading(alice).waitFor();
  assert.equal(await heading(alice).textContent(), "There is no such room");
});

scenario("rooms are browsed, searched and joined", async () => {
  const title = titled("Gardening");
  const alice = await person(server.url, "alice");
  await made(alice, { title, description: "Seeds and tools" });
  const old = await made(alice, { title: titled("Old times") });
  await alice.call("PATCH", `/api/rooms/${encodeURIComponent(old.name)}`, { archived: true });
  const bob = await settled("bob");
  await bob.page.click("#browse-open");
  const found = bob.page.locator("#browse-list li", { hasText: title });
  await found.waitFor();
  assert.match((await found.textContent()) ?? "", /1 member.*Seeds and tools/);
  assert.ok((await bob.page.locator("#browse-list li").last().textContent())?.includes("archived"), "archived ones come last");
  await bob.page.fill("#browse-text", "gardening");
  await bob.page.waitForFunction(() => [...document.querySelectorAll("#browse-list li")].every((one) => one.textContent?.includes("Gardening")));
  await bob.page.fill("#browse-text", "no such room at all");
  await bob.page.locator("#browse p", { hasText: "There is no such room." }).waitFor();
  await bob.page.fill("#browse-text", title);
  await found.getByRole("button").click();
  await line(bob, title).waitFor();
  await bob.page.waitForSelector("#text", { state: "visible" });
  await bob.say("hello");
  await bob.allStored();
  await bob.page.click("#browse-open");
  await bob.page.fill("#browse-text", title);
  await found.getByRole("button", { name: "Open" }).waitFor();
  await bob.page.fill("#browse-text", "random");
  await bob.page.keyboard.press("Enter");
  await bob.page.waitForURL("**/r/random");
});

scenario("a guest reads an open room, and joins to write", async () => {
  const alice = await person(server.url, "alice");
  const room = await made(alice, { title: titled("Books") });
  await alice.goto(pathOf(room));
  await alice.say("read it yet?");
  await alice.allStored();
  const bob = await person(server.url, "bob");
  await bob.page.goto(server.url + pathOf(room));
  await bob.sees("read it yet?");
  const join = bob.page.locator(".foot .primary");
  await join.waitFor();
  assert.equal(await bob.page.isVisible("#text"), false);
  await bob.page.locator(".foot .joining", { hasText: /Books.*1 member/ }).waitFor();
  await alice.say("no hurry");
  await bob.sees("no hurry");
  await join.click();
  await bob.page.waitForSelector("#text", { state: "visible" });
  await bob.say("I have");
  await alice.sees("I have");
  // Another page of the user knows it as well.
  const tab = await bob.tab("/");
  await line(tab, room.title).waitFor();
});

scenario("who is removed from a closed room while reading it is told, and writes no more", async () => {
  const alice = await person(server.url, "alice");
  await register(server.url, "bob");
  const room = await made(alice, { title: titled("Board"), access: "closed", members: ["bob"] });
  await alice.goto(pathOf(room));
  const bob = await settled("bob", { path: pathOf(room) });
  await alice.say("between us");
  await bob.sees("between us");
  await details(alice);
  const row = alice.page.locator("#members li", { hasText: "bob" });
  await row.locator(".more").click();
  await alice.page.locator("#member-menu button", { hasText: "Remove" }).click();
  await alice.page.locator(".ask .primary").click();
  await heading(bob).waitFor();
  assert.equal(await heading(bob).textContent(), "You were removed from this room");
  assert.equal(await bob.page.isVisible("#text"), false);
  assert.deepEqual(await bob.texts(), [], "nothing of it stays in the page");
  await row.waitFor({ state: "hidden" });
  await alice.say("now he is gone");
  await alice.allStored();
  await bob.page.reload();
  await heading(bob).waitFor();
  assert.deepEqual(await bob.texts(), []);
});

scenario("a room that is made closed is gone for its guests", async () => {
  const alice = await person(server.url, "alice");
  const room = await made(alice, { title: titled("Plans") });
  await alice.goto(pathOf(room));
  await alice.say("still for everybody");
  await alice.allStored();
  const bob = await person(server.url, "bob");
  await bob.page.goto(server.url + pathOf(room));
  await bob.page.locator(".foot .primary").waitFor();
  await details(alice);
  await alice.page.locator("#details button", { hasText: "Make it closed" }).click();
  assert.match((await alice.page.textContent(".ask")) ?? "", /cannot be undone/);
  await alice.page.locator(".ask .primary").click();
  await heading(bob).waitFor();
  assert.equal(await heading(bob).textContent(), "This room has been closed");
  await alice.page.locator("#details .fact", { hasText: "Only its members can see it" }).waitFor();
  assert.equal(await alice.page.locator("#details button", { hasText: "Make it closed" }).count(), 0);
});

scenario("moderators archive a room and bring it back", async () => {
  const alice = await person(server.url, "alice");
  await register(server.url, "bob");
  const room = await made(alice, { title: titled("Summer"), members: ["bob"] });
  await alice.goto(pathOf(room));
  const bob = await settled("bob", { path: pathOf(room) });
  await bob.say("what a summer");
  await alice.sees("what a summer");
  await details(alice);
  await alice.page.locator("#details .actions button", { hasText: "Archive" }).click();
  await alice.page.locator(".ask .primary").click();
  for (const someone of [alice, bob]) {
    await someone.page.locator(".foot", { hasText: "archived" }).waitFor();
    assert.equal(await someone.page.isVisible("#text"), false);
    await someone.sees("what a summer");
  }
  await alice.page.locator("#details .actions button", { hasText: "Bring back" }).click();
  await bob.page.waitForSelector("#text", { state: "visible" });
  await bob.say("here again");
  await alice.sees("here again");
});

scenario("the details say what a room is about, and members of it more than guests", async () => {
  const alice = await person(server.url, "alice");
  await register(server.url, "bob");
  const room = await made(alice, { title: titled("Music"), description: "What we listen to", members: ["bob"] });
  await alice.goto(pathOf(room));
  await alice.say("a song a day");
  await alice.allStored();
  const bob = await settled("bob", { path: pathOf(room) });
  await details(bob);
  await bob.page.locator("#details .description", { hasText: "What we listen to" }).waitFor();
  assert.equal(await bob.page.locator("#details .about .icon").count(), 0, "members do not edit");
  assert.equal(await bob.page.locator("#members .more:visible").count(), 0, "nor remove");
  await bob.page.locator("#members li", { hasText: "alice" }).locator(".quiet", { hasText: "moderator" }).waitFor();

  // Members add people.
  await register(server.url, "dora");
  await bob.page.click("#add-people");
  await bob.page.fill("#add-text", "dor");
  // The answer has not come when Enter is pressed: it is waited for.
  await bob.page.keyboard.press("Enter");
  await bob.page.locator("#members li", { hasText: "dora" }).waitFor();
  await bob.page.keyboard.press("Escape");

  // Moderators edit and appoint.
  await details(alice);
  const title = `${room.title}, live`;
  await alice.page.locator("#details .about .icon").click();
  await alice.page.fill("#edit-title", title);
  await alice.page.fill("#edit-description", "Concerts");
  await alice.page.press("#edit-title", "Enter");
  await line(bob, title).waitFor();
  await alice.page.locator("#details .description", { hasText: "Concerts" }).waitFor();
  await alice.page.locator("#members li", { hasText: "bob" }).locator(".more").click();
  await alice.page.locator("#member-menu button", { hasText: "Make a moderator" }).click();
  await bob.page.locator("#details .about .icon").waitFor();

  // The level is the same on another device.
  await bob.page.check("#level [value=none]");
  const phone = await settled("bob", { path: pathOf(room), viewport: { width: 390, height: 844 } });
  await details(phone);
  await phone.page.waitForFunction(() => document.querySelector("#level [value=none]")?.checked);
  await phone.page.check("#level [value=all]");
  await bob.page.waitForFunction(() => document.querySelector("#level [value=all]")?.checked);

  // Escape closes the panel, and the focus is where it was.
  await bob.page.focus("#close-details");
  await bob.page.keyboard.press("Escape");
  await bob.page.waitForSelector("#details", { state: "hidden" });

  await phone.page.locator("#details .actions button", { hasText: "Leave" }).click();
  await phone.page.waitForURL((url) => url.pathname !== pathOf(room));
  await line(bob, title).and(bob.page.locator(".member")).waitFor({ state: "hidden" });
});

scenario("an @ completes to members, to everybody, and to others, who can be added", async () => {
  const alice = await person(server.url, "alice");
  const [bob, eve] = [await settled("bob"), await settled("evelyn")];
  const room = await made(alice, { title: titled("Tea"), members: ["bob"] });
  await alice.goto(pathOf(room));
  const offered = () => alice.page.$$eval("#names [role=option]", (all) => all.map(({ textContent }) => textContent));
  await alice.page.focus("#text");
  await alice.page.keyboard.type("@");
  await alice.until(async () => String(await offered()) === "bob,@allall members", `bob and everybody, not ${await offered()}`);
  await alice.page.keyboard.press("ArrowDown");
  await alice.page.keyboard.press("Enter");
  await alice.page.keyboard.type("the kettle is on");
  await alice.page.keyboard.press("Enter");
  await alice.sees("@all the kettle is on");
  await bob.until(async () => (await line(bob, room.title).locator(".badge").textContent()) === "@1", "bob is mentioned");

  await alice.page.keyboard.type("@eve");
  await alice.until(async () => (await offered()).some((one) => one === "evelynnot in this room"), `evelyn, not ${await offered()}`);
  await alice.page.keyboard.press("Enter");
  await alice.page.keyboard.type("come too");
  await alice.page.keyboard.press("Enter");
  const absent = alice.page.locator(".absent");
  await absent.waitFor();
  assert.match((await absent.textContent()) ?? "", /evelyn.* is not in this room/);
  assert.equal(await line(eve, room.title).count(), 0);
  await absent.locator(".link").click();
  await line(eve, room.title).click();
  await eve.sees("@evelyn come too");
  await absent.waitFor({ state: "hidden" });
});

scenario("the directory opens a private conversation, by keyboard", async () => {
  const alice = await settled("alice");
  for (const name of ["theodora", "theodore"]) await register(server.url, name);
  await alice.page.focus("#new-talk-open");
  await alice.page.keyboard.press("Enter");
  await alice.page.waitForSelector("#new-talk[open]");
  await alice.page.keyboard.type("theod");
  await alice.page.waitForFunction(() => document.querySelectorAll("#directory-list li").length === 2);
  await alice.page.keyboard.press("ArrowDown");
  await alice.page.keyboard.press("Enter");
  await alice.page.waitForURL("**/u/theodore");
  await alice.page.click("#new-talk-open");
  await alice.page.keyboard.type("nobody of this name");
  await alice.page.locator("#new-talk p", { hasText: "Nobody found." }).waitFor();
  await alice.page.keyboard.press("Enter");
  assert.ok(await alice.page.isVisible("#new-talk"), "only people who exist can be chosen");
});

scenario("a list that does not come is asked for again", async () => {
  const alice = await settled("alice");
  const { page } = alice;
  await register(server.url, "ruth");
  for (const [asked, open, list] of [
    [/\/api\/rooms$/, () => page.click("#browse-open"), "#browse"],
    [/\/api\/users$/, () => page.click("#new-talk-open"), "#new-talk"],
    [/\/members$/, () => details(alice), "#details"],
  ]) {
    const url = (/** @type {URL} */ { pathname }) => asked.test(pathname);
    await page.route(url, (route) => route.abort());
    await open();
    const again = page.locator(list).getByRole("button", { name: "Try again" });
    await again.waitFor();
    assert.match((await page.textContent(`${list} :is([role=status], [role=alert]):not(:empty)`)) ?? "", /does not answer/);
    await page.unroute(url);
    await again.click();
    await page.locator(`${list} :is(#browse-list, [role=listbox], #members) li`).first().waitFor();
    await again.waitFor({ state: "hidden" });
    if (list !== "#details") await page.keyboard.press("Escape");
  }
});

scenario("the finder finds rooms and people of the server", async () => {
  const alice = await settled("alice");
  const bob = await person(server.url, "bob");
  const room = await made(bob, { title: titled("Quilting") });
  await register(server.url, "quincy");
  await alice.page.keyboard.press("Control+k");
  await alice.page.keyboard.type("qui");
  const offered = (text) => alice.page.locator("#finder-list li", { hasText: text });
  await offered(room.title).waitFor();
  await offered("quincy").waitFor();
  await alice.page.keyboard.press("Control+a");
  // The answer has not come when Enter is pressed: it is waited for.
  await alice.page.keyboard.type("quincy");
  await alice.page.keyboard.press("Enter");
  await alice.page.waitForURL("**/u/quincy");
  // Words that name nothing are looked for in messages, and open no room.
  await alice.page.keyboard.press("Control+k");
  await alice.page.keyboard.type("sandpaper");
  await alice.page.keyboard.press("Enter");
  await alice.page.locator("#search-text").waitFor();
  assert.equal(await alice.page.inputValue("#search-text"), "sandpaper");
  assert.equal(new URL(alice.page.url()).pathname, "/u/quincy");
});

/** Registers in the page, as somebody does who comes for the first time. */
async function newcomer(url, name, options) {
  const someone = await visitor(url, options);
  someone.name = name;
  await someone.page.goto(`${url}/`);
  await someone.page.fill("#register-name", name);
  await someone.page.fill("#register-password", PASSWORD);
  await someone.page.press("#register-password", "Enter");
  return someone;
}

scenario("a new user of a new server is welcomed, and has three things to do", async () => {
  const own = await Server.start("--database-url", "memory:", "--title", "Our garden");
  const alice = await newcomer(own.url, "alice", { permissions: ["clipboard-read", "clipboard-write"] });
  const welcome = alice.page.locator(".welcome");
  await welcome.locator("h2", { hasText: "Welcome to Our garden" }).waitFor();
  await welcome.locator("button", { hasText: "Invite people" }).click();
  await alice.page.locator("#toast", { hasText: "copied" }).waitFor();
  assert.equal(await alice.page.evaluate(() => navigator.clipboard.readText()), `${own.url}/`);
  await welcome.locator("button", { hasText: "Say hello" }).click();
  assert.match(await alice.page.inputValue("#text"), /^Hello everybody/);
  await alice.page.press("#text", "Enter");
  await welcome.waitFor({ state: "hidden" });
  await alice.allStored();
  // What is left of it stands above the box, also after a reload.
  await alice.page.reload();
  const strip = alice.page.locator(".welcome-strip");
  await strip.locator("button", { hasText: "Create a room" }).waitFor();
  assert.deepEqual(await strip.locator(".choices button").allTextContents(), ["Create a room"]);
  await strip.locator("button", { hasText: "Create a room" }).click();
  await alice.page.waitForSelector("#new-room[open]");
  await alice.page.keyboard.press("Escape");
  await strip.waitFor({ state: "hidden" });
});

scenario("a new user invites by a link where the address of the chat lets nobody in", async () => {
  const own = await Server.start("--database-url", "memory:");
  const alice = await newcomer(own.url, "alice");
  const { page, context } = alice;
  await page.locator(".welcome button", { hasText: "Say hello" }).click();
  await page.waitForFunction(() => document.querySelector("#text")?.value.startsWith("Hello"));
  await page.press("#text", "Enter");
  const steps = page.locator(".welcome-strip .choices button");
  await steps.first().waitFor();
  assert.deepEqual(await steps.allTextContents(), ["Invite people", "Create a room"]);
  // She came while everybody could register.
  const turn = async (/** @type {string} */ registration, more = {}) => {
    await context.unrouteAll();
    await context.route("**/api/server", async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...(await response.json()), registration, ...more } });
    });
    // The page asks a while after it has begun, and keeps the answer.
    await Promise.all([page.waitForResponse("**/api/server"), page.reload()]);
    await page.waitForFunction((said) => Object.values(localStorage).some((kept) => said.every((word) => kept.includes(`"${word}"`))), [registration, ...Object.values(more)]);
    await page.reload();
    await steps.first().waitFor();
    return steps.allTextContents();
  };
  assert.deepEqual(await turn("closed"), ["Create a room"]);
  assert.deepEqual(await turn("closed", { sign_in_with: "Garden" }), ["Invite people", "Create a room"]);
  assert.deepEqual(await turn("invite"), ["Invite people", "Create a room"]);
  await steps.first().click();
  await page.locator("#room-invites[open]").getByRole("button", { name: "Make a link" }).waitFor();
});

scenario("a new user of a lively server joins by saying hello", async () => {
  const own = await Server.start("--database-url", "memory:");
  const bob = await person(own.url, "bob");
  await bob.say("a word");
  await bob.allStored();
  const alice = await newcomer(own.url, "alice");
  await alice.sees("a word");
  await alice.page.locator(".welcome-strip button", { hasText: "Say hello" }).click();
  await alice.page.waitForFunction(() => document.querySelector("#text")?.value.startsWith("Hello"));
  await alice.page.press("#text", "Enter");
  await bob.page.locator("#messages .text", { hasText: "Hello everybody" }).waitFor();
  await alice.page.locator(".welcome-strip [aria-label=Close]").click();
  await alice.page.locator(".welcome-strip").waitFor({ state: "hidden" });
});

scenario("an address of a room that does not exist asks before one is made", async () => {
  const alice = await settled("alice");
  const name = titled("orchard");
  await alice.page.goto(`${server.url}/r/${encodeURIComponent(name)}`);
  await heading(alice).waitFor();
  assert.equal(await heading(alice).textContent(), `There is no room “${name}” yet`);
  await alice.page.locator(".refused .primary").click();
  await alice.page.waitForSelector("#text", { state: "visible" });
  await alice.say("first");
  await alice.allStored();
  // Somebody who does not exist is no empty conversation either, and is not offered later.
  await alice.page.goto(`${server.url}/u/nobody-of-this-name`);
  await alice.page.locator("#top", { hasText: "Nobody has this name" }).waitFor();
  await alice.page.locator("#composer").waitFor({ state: "hidden" });
  assert.equal((await alice.page.textContent("#subtitle")).trim(), "", "nobody sees it");
  await alice.page.click("#top button");
  await alice.page.waitForSelector("#new-talk[open]");
  await alice.page.keyboard.press("Escape");
  await alice.open("#default");
  await alice.page.keyboard.press("Control+k");
  await alice.page.waitForSelector("#finder[open]");
  assert.equal(await alice.page.locator("#finder-list li", { hasText: "nobody-of-this-name" }).count(), 0);
});

scenario("an administrator who is an ordinary member moderates a room", async () => {
  const own = await Server.start("--message-rate", "off");
  for (const name of ["ada", "carol"]) await register(own.url, name);
  // The command needs the database for itself.
  await own.terminate();
  await own.command("user", "promote", "ada");
  await own.restart();
  const bob = await person(own.url, "bob");
  const room = await made(bob, { title: titled("Market"), members: ["ada", "carol"] });
  const ada = await person(own.url, "ada", { path: pathOf(room) });
  const carol = await person(own.url, "carol", { path: pathOf(room) });
  const { page } = ada;
  await page.waitForFunction(() => document.querySelector("#details"));
  assert.equal((await ada.call("GET", `/api${pathOf(room).replace("/r/", "/rooms/")}/members`)).members.find(({ username }) => username === "ada").role, "member");

  // The message of another.
  await carol.say("buy now, cheap");
  await ada.sees("buy now, cheap");
  await page.locator("#messages .message", { hasText: "buy now" }).focus();
  await page.keyboard.press("Delete");
  await page.locator(".message.deleting .undo").waitFor();
  await carol.page.waitForSelector(".message.deleted");
  assert.deepEqual(await carol.texts(), []);

  // Closed, and a member removed.
  await details(ada);
  await page.locator("#details button", { hasText: "Make it closed" }).click();
  await page.locator(".ask .primary").click();
  await page.locator("#details .fact", { hasText: "Only its members can see it" }).waitFor();
  await page.locator("#members li[data-name=carol] .more").click();
  await page.locator("#member-menu button", { hasText: "Remove" }).click();
  await page.locator(".ask .primary").click();
  await heading(carol).waitFor();
  assert.equal(await heading(carol).textContent(), "You were removed from this room");

  // Carol, who is none, sees no such choices anywhere else.
  await carol.goto("/r/default");
  await carol.page.waitForFunction(() => document.querySelector("#details"));
  await details(carol);
  await carol.page.locator("#details .part.actions button", { hasText: "Leave" }).waitFor();
  assert.equal(await carol.page.locator("#details button", { hasText: "Make it closed" }).count(), 0);
});

scenario("the menu of a conversation in the sidebar: what is read, what to be told, and leaving", async () => {
  const [alice, bob] = [await settled("alice"), await settled("bob")];
  const { page } = alice;
  const [here, other] = [titled("here"), titled("other")];
  await alice.goto(`/r/${other}`);
  await bob.goto(`/r/${other}`);
  await alice.goto(`/r/${here}`);
  await page.waitForSelector("#line-menu", { state: "attached" });
  await bob.say("read me");
  const line = page.locator(`#sidebar [data-key="#${other}"]`);
  await line.locator(".badge", { hasText: "1" }).waitFor();
  const menu = async () => {
    await line.click({ button: "right" });
    await page.waitForSelector("#line-menu:popover-open");
    return page.$$eval("#line-menu button", (all) => all.map(({ role, ariaChecked, textContent }) => `${role} ${textContent}${ariaChecked === "true" ? " ✓" : ""}`));
  };
  assert.deepEqual(await menu(), ["menuitem Mark as read", "menuitemradio all messages", "menuitemradio mentions only ✓", "menuitemradio nothing", "menuitem Leave the room"]);
  await page.locator("#line-menu button").first().click();
  await line.locator(".badge").waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.querySelector("#sidebar [aria-current]").dataset.key), `#${here}`, "nothing is opened");

  // The menu key, and arrows in the menu.
  await line.focus();
  await page.keyboard.press("Shift+F10");
  await page.waitForSelector("#line-menu:popover-open");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => !document.querySelector("#line-menu:popover-open"));
  assert.ok(await line.evaluate((line) => line === document.activeElement), "the focus is where it was");
  await bob.say("a mention of nobody");
  await line.locator(".badge", { hasText: "1" }).waitFor();
  assert.ok(!(await line.evaluate((line) => line.matches(".unread"))), "a muted room is quiet");
  assert.ok((await menu()).includes("menuitemradio nothing ✓"));

  await page.locator("#line-menu button", { hasText: "Leave" }).click();
  await line.waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.querySelector("#sidebar [aria-current]").dataset.key), `#${here}`, "another room than the open one is left");
});

scenario("the details list who joins while they are open", async () => {
  const name = titled("lobby");
  const alice = await settled("alice");
  await alice.call("POST", "/api/rooms", { name, title: "Lobby" });
  await alice.goto(`/r/${encodeURIComponent(name)}`);
  await alice.page.click("#title");
  await alice.page.locator("#members [data-name=alice]").waitFor();
  // What is asked for now and then cannot help within this scenario.
  await alice.page.evaluate(() => {
    for (let id = setInterval(() => {}, 1e9); id > 0; id -= 1) clearInterval(id);
  });
  const dora = await settled("dora");
  await dora.goto(`/r/${encodeURIComponent(name)}`);
  await dora.say("here I am");
  await alice.page.locator("#members [data-name=dora]").waitFor();
  await alice.page.locator("#members-heading", { hasText: "Members · 2" }).waitFor();
});
