// A whole session without a mouse.

import assert from "node:assert/strict";

import { PASSWORD, person, Server, scenario, visitor } from "./harness.mjs";

const server = await Server.start("--database-url", "memory:");

scenario("everything can be done by keyboard, from the door to signing out", async () => {
  const bob = await person(server.url, "bob");
  await bob.say("hello, everybody");
  const { page, ...rest } = await visitor(server.url);
  const keys = page.keyboard;
  const focused = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.className || document.activeElement?.tagName);
  await page.goto(`${server.url}/`);
  await page.waitForFunction(() => document.activeElement?.id === "register-name");
  await keys.type("kira");
  await keys.press("Tab");
  await keys.type(PASSWORD);
  await keys.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("#messages .message").length === 1);
  // A guest joins, and gets the box.
  await page.waitForFunction(() => document.activeElement?.matches(".foot button.primary"));
  await keys.press("Enter");
  await page.waitForFunction(() => document.activeElement?.id === "text");
  await keys.type("hello bob");
  await keys.press("Enter");
  await bob.sees("hello bob");

  // Among the messages, and back by typing.
  await keys.press("Shift+ArrowUp");
  assert.equal(await page.evaluate(() => document.activeElement?.querySelector(".text")?.textContent), "hello bob");
  await keys.press("ArrowUp");
  await keys.press("Tab");
  assert.match(await focused(), /name/);
  await keys.press("Enter");
  await page.waitForFunction(() => document.activeElement?.matches("#card [data-action=write]"));
  await keys.press("Enter");
  await page.waitForURL("**/u/bob");
  await page.waitForFunction(() => {
    const writing = document.activeElement;
    return writing instanceof HTMLTextAreaElement && writing.placeholder.includes("bob");
  });
  await keys.type("just for you");
  await keys.press("Enter");
  await bob.page.locator("[data-key='@kira'] .badge").waitFor();

  // To a new room by its name, then to the one before it in the sidebar.
  await keys.press("Control+k");
  await page.waitForFunction(() => document.activeElement?.id === "finder-text");
  await keys.type("#книги & books");
  await keys.press("Enter");
  // There is none of this name: the page asks whether to make it.
  await page.waitForFunction(() => document.activeElement?.id === "new-room-title");
  await keys.press("Enter");
  await page.waitForFunction(() => document.querySelector("#title")?.textContent === "книги & books");
  await page.waitForFunction(() => document.activeElement?.id === "text");
  await keys.press("Alt+ArrowUp");
  await page.waitForFunction(() => document.querySelector("#title")?.textContent !== "книги & books");
  await bob.say("one more");
  await page.locator("[data-key='#default'] .badge").waitFor();
  await keys.press("Alt+Shift+ArrowDown");
  await page.waitForURL("**/r/default");

  // Opens and closes the list of shortcuts.
  await page.waitForFunction(() => document.querySelectorAll("#messages .message").length > 1);
  await page.waitForFunction(() => document.activeElement?.id === "text");
  await keys.press("Shift+ArrowUp");
  await page.waitForFunction(() => document.activeElement?.closest("#messages"));
  await keys.press("?");
  await page.locator("#settings[open] #keys-list kbd").first().waitFor();
  await keys.press("Escape");
  await page.waitForSelector("#settings:not([open])", { state: "attached" });

  // Every element that gets the focus is visible.
  await keys.press("Escape");
  const stops = new Set();
  for (let i = 0; i < 40; i += 1) {
    await keys.press("Tab");
    const stop = await page.evaluate(() => {
      const at = document.activeElement;
      if (!at || at === document.body) return null;
      const { width, height, right, bottom } = at.getBoundingClientRect();
      const style = getComputedStyle(at);
      const frame = at.closest(".box") ?? at;
      return {
        name: at.id || at.dataset.key || at.className,
        isSeen: width > 4 && height > 4 && right > 0 && bottom > 0,
        isMarked: style.outlineStyle !== "none" || getComputedStyle(frame).boxShadow !== "none",
      };
    });
    if (stop) {
      stops.add(stop.name);
      assert.ok(stop.isSeen && stop.isMarked, JSON.stringify(stop));
    }
  }
  for (const stop of ["skip", "find", "new-room-open", "me", "title", "talk-more", "text"]) assert.ok(stops.has(stop), `${stop} of ${[...stops]}`);

  // Signs out in the settings.
  await page.focus("#me");
  await keys.press("Enter");
  await page.waitForSelector("#settings[open]");
  for (let i = 0; i < 20 && (await focused()) !== "sign-out"; i += 1) await keys.press("Tab");
  assert.equal(await focused(), "sign-out");
  await keys.press("Enter");
  await page.waitForSelector("#sign-in", { state: "visible" });
  await page.waitForFunction(() => document.activeElement?.id === "sign-in-password");
  assert.ok(rest);
});

scenario("a screen reader announces messages, and only the number of a flood", async () => {
  const [alice, bob] = [await person(server.url, "alice", { path: "/r/spoken" }), await person(server.url, "bob", { path: "/r/spoken" })];
  await bob.page.bringToFront();
  await alice.say("good morning");
  await bob.page.waitForFunction(() => document.querySelector("#announcer")?.textContent?.includes("alice: good morning"));
  // At once, which typing is not on a busy machine.
  await Promise.all(Array.from({ length: 12 }, (_, i) => alice.call("POST", "/api/rooms/spoken/messages", { text: `flood ${i}` })));
  await bob.page.waitForFunction(() => /\d+ new/.test(document.querySelector("#announcer")?.textContent ?? ""));
  for (const [role, name] of [["navigation", "Conversations"], ["main", undefined], ["region", "Messages"], ["log", undefined]]) {
    assert.equal(await bob.page.getByRole(role, name ? { name, exact: true } : {}).count(), 1, role);
  }
  assert.equal(await bob.page.getByRole("textbox", { name: "Message" }).count(), 1);
});
