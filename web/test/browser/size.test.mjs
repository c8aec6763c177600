// The size of the first view, as bytes on the wire.
//
// A debug build of the server compresses the files quickly, not well. What it has compressed is
// counted as a release sends it: with the best quality of Brotli.

import assert from "node:assert/strict";
import { brotliCompressSync, constants } from "node:zlib";

import { person, register, Server, scenario, visitor } from "./harness.mjs";

const server = await Server.start("--database-url", "memory:");
const LIMIT_BYTES = 70 * 1024;

/** What the page loads after this time is no part of the first view, however slow the machine is: it never comes here. */
const LATER_AFTER_MS = 3_000;
function neverLater(laterMs) {
  const { setTimeout } = window;
  window.setTimeout = (act, ms, ...given) => (ms >= laterMs ? 0 : setTimeout(act, ms, ...given));
}

/** Counts bytes on the wire, with headers, and requests of a page. */
async function measured(someone, path, isThere) {
  const wire = await someone.context.newCDPSession(someone.page);
  await wire.send("Network.enable");
  const sum = { bytes: 0, requests: 0, ms: 0 };
  /** Fonts come after the first view. */
  const fonts = new Set();
  wire.on("Network.requestWillBeSent", ({ requestId, request }) => request.url.endsWith(".woff2") && fonts.add(requestId));
  /** The lengths of what the server has compressed. @type {Map<string, number>} */
  const compressed = new Map();
  /** @type {Promise<void>[]} */
  const counted = [];
  wire.on("Network.responseReceived", ({ requestId, response: { headers } }) => {
    if (fonts.has(requestId)) return;
    sum.requests += 1;
    const header = (wanted) => Object.entries(headers).find(([name]) => name.toLowerCase() === wanted)?.[1];
    if (header("content-encoding") === "br") compressed.set(requestId, Number(header("content-length")));
  });
  const count = async (requestId, encodedDataLength) => {
    const length = compressed.get(requestId);
    sum.bytes += encodedDataLength;
    if (length === undefined) return;
    assert.ok(length > 0 && length <= encodedDataLength, `${length} of ${encodedDataLength} bytes`);
    const best = bestLength(await wire.send("Network.getResponseBody", { requestId }));
    sum.bytes += best - length;
  };
  wire.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => fonts.has(requestId) || counted.push(count(requestId, encodedDataLength)));
  wire.on("Network.webSocketFrameReceived", ({ response }) => (sum.bytes += response.payloadData.length));
  await someone.context.addInitScript(neverLater, LATER_AFTER_MS);
  const start = Date.now();
  await someone.page.goto(server.url + path);
  await isThere(someone.page);
  sum.ms = Date.now() - start;
  // Requests that were made by then still count.
  await someone.page.waitForTimeout(300);
  await Promise.all(counted);
  return { ...sum };
}

function bestLength({ body, base64Encoded }) {
  const bytes = Buffer.from(body, base64Encoded ? "base64" : "utf8");
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  return brotliCompressSync(bytes, { params }).length;
}

scenario("the first view is at most 70 KB, without fonts", async () => {
  const door = await visitor(server.url, { serviceWorkers: "block" });
  const first = await measured(door, "/", (page) => page.waitForSelector("#register", { state: "visible" }));
  console.log(`  the door: ${first.bytes} bytes, ${first.requests} requests, ${first.ms} ms`);

  const bob = await person(server.url, "bob");
  for (let i = 0; i < 20; i += 1) await bob.say(`a sentence of a usual length, and it is number ${i}`);
  await bob.allStored();
  const alice = await visitor(server.url, { serviceWorkers: "block" });
  alice.name = "alice";
  await register(server.url, "alice");
  await alice.signIn();
  await alice.joins("/r/default");
  // The browser knows the user from an earlier visit, and nothing else.
  await alice.context.addInitScript(() => localStorage.setItem("user", '{"username":"alice","avatar":""}'));
  const chat = await measured(alice, "/r/default", (page) => page.waitForSelector("#messages .message"));
  console.log(`  the chat: ${chat.bytes} bytes, ${chat.requests} requests, ${chat.ms} ms to the first message`);
  assert.ok(first.bytes <= LIMIT_BYTES, `the door: ${first.bytes} bytes`);
  assert.ok(chat.bytes <= LIMIT_BYTES, `the chat: ${chat.bytes} bytes`);
});
