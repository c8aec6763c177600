// The list of messages: long addresses, code, long messages, and what stands together.

import assert from "node:assert/strict";

import { person, Server, scenario } from "./harness.mjs";

const server = await Server.start("--message-rate", "off", "--database-url", "memory:");

const LONG = `https://example.org/${"planning/".repeat(10)}beds?revision=12345&highlight=tomatoes#section-4`;

scenario("a long address is shown without its middle, and copied with it", async () => {
  const alice = await person(server.url, "alice", { path: "/r/addresses" });
  await alice.say(`read ${LONG} first`);
  await alice.say(`**and** ${LONG}`);
  await alice.sees(`read ${LONG} first`);
  await alice.allStored();
  // What shows Markdown is loaded by now, which takes long on a busy machine.
  await alice.page.waitForSelector("#messages .text strong", { timeout: 60_000 });
  const shown = await alice.page.$$eval("#messages .text a", (links) =>
    links.map((link) => {
      getSelection().selectAllChildren(link);
      return { href: link.href, title: link.title, copied: getSelection().toString(), width: link.getClientRects().length };
    }),
  );
  assert.deepEqual(shown, Array(2).fill({ href: LONG, title: LONG, copied: LONG, width: 1 }), "one line, and all of it in the clipboard");
});

scenario("the code of a message is copied with the mouse, and with the keyboard", async () => {
  const alice = await person(server.url, "alice", { path: "/r/code", permissions: ["clipboard-read", "clipboard-write"] });
  const { page } = alice;
  const code = "let beds = 3;\nlet water = beds * 20;";
  await alice.say(`\`\`\`js\n${code}\n\`\`\``);
  await alice.allStored();
  const copied = () => page.evaluate(() => navigator.clipboard.readText());
  await page.locator("#messages [data-seq] pre").hover();
  await page.click("#messages [data-seq] .copy-code");
  await page.getByText("Code copied").waitFor();
  assert.equal(await copied(), code);
  await page.evaluate(() => navigator.clipboard.writeText(""));
  await page.press("#text", "Shift+ArrowUp");
  const stops = [];
  for (let i = 0; i < 6 && stops.at(-1) !== "copy-code"; i += 1) {
    await page.keyboard.press("Tab");
    stops.push(await page.evaluate(() => document.activeElement?.className));
  }
  await page.keyboard.press("Enter");
  await alice.until(async () => (await copied()) === code, `the Tab key stops at ${stops}`);
});

scenario("a long message that is folded again leaves the reader at its beginning", async () => {
  const alice = await person(server.url, "alice", { path: "/r/folding" });
  const { page } = alice;
  const lines = (n) => Array.from({ length: n }, (_, i) => `line ${i}`);
  await alice.pour("folding", [...lines(20), lines(120).join("\n"), ...lines(40), "after"]);
  await alice.sees("after");
  await page.$eval("#messages .unfold", (more) => more.scrollIntoView({ block: "center" }));
  const top = () => page.$eval("#messages .message:has(.unfold)", (item) => Math.round(item.getBoundingClientRect().top - document.querySelector("#scroller").getBoundingClientRect().top));
  const before = await top();
  await page.click("#messages .unfold");
  await page.waitForFunction(() => document.querySelector("#messages .unfold")?.ariaExpanded === "true");
  assert.equal(await top(), before, "nothing above it moves");
  await page.$eval("#messages .unfold", (more) => more.scrollIntoView({ block: "center" }));
  assert.ok((await top()) < 0);
  await page.click("#messages .unfold");
  await alice.until(async () => (await top()) === 0, "its beginning is at the upper edge");
});
