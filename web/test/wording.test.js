// The server refuses in English sentences: the page has its own, in the language of the user.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const CRATES = path.join(path.dirname(fileURLToPath(import.meta.url)), "../../crates");
/** Where the sentences are that a request can be refused with. */
const SOURCES = ["chat-http/src/error.rs", "chat-http/src/bots.rs", "chat-http/src/body.rs", "chat-http/src/avatar/error.rs", "chat-core/src/membership.rs", "chat-core/src/room_text.rs", "chat-core/src/names.rs", "chat-core/src/words.rs", "chat-core/src/emoji.rs", "chat-auth/src/password.rs"];
/** What only a program sends: the page leaves nothing out and encodes what it asks. */
const OF_PROGRAMS =
  /^(not found|method not allowed|invalid json|the form|the field|the query|limit|name and q|after|before|room and with|either room|seq must|the file needs|Idempotency|this token|the room's name|this address speaks|unknown subprotocol|only version 13|state must|an invitation (can|lasts)|a bot is for|the chat was built|a reason|there is no such report|username must not be empty|password must not be empty|the text|something went wrong|the request is too large)/;

/** A sentence of each kind, with a number for what it fills in. */
const sentences = SOURCES.flatMap((file) => {
  const source = readFileSync(path.join(CRATES, file), "utf8");
  const shown = [...source.matchAll(/#\[error\("([^"]+)"\)\]/g), ...source.matchAll(/^\s+(?:FileRefused::\w+ => (?:\{\s*)?)"([^"]+)"/gm)];
  return shown.map(([, sentence = ""]) => sentence.replace(/\{what\}/g, "title").replace(/\{[^}]*\}/g, "7"));
}).filter((sentence) => sentence !== "7");

Object.assign(globalThis, { document: { documentElement: { lang: "ru", dataset: {} }, querySelectorAll: () => [], getElementById: () => null } });
// Node 20 has none.
if (!("navigator" in globalThis)) Object.assign(globalThis, { navigator: { languages: ["ru"] } });
const { ApiError } = await import("../api.js");
const words = await import("../words.js");
const { wording } = await import("../wording.js");
const { sentenceOf } = await import("../administration/wording.js");
const { administration } = await import("../words/ru/administration.js");
await words.wantLaterWords();

test("no English sentence of the server is shown in Russian", async () => {
  assert.ok(sentences.length > 100, String(sentences.length));
  await words.setLanguage("ru");
  for (const sentence of sentences) {
    const [, shown] = wording(new ApiError(400, sentence, 7));
    assert.match(shown, /[а-я]/i, sentence);
    assert.doesNotMatch(shown, /[a-z]+ [a-z]+/, sentence);
  }
});

test("what a user can meet has words of its own", async () => {
  await words.setLanguage("ru");
  Object.assign(words.t, administration);
  const general = words.t.refused("");
  const without = sentences.filter((sentence) => !OF_PROGRAMS.test(sentence) && !/^too many|please try again/.test(sentence) && sentenceOf(new ApiError(400, sentence)) === general);
  assert.deepEqual(without, []);
  await words.setLanguage("en");
  assert.equal(wording(new ApiError(400, "a sentence that is new"))[1], "a sentence that is new");
});
