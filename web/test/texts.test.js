import assert from "node:assert/strict";
import { test } from "node:test";

import { addressOf, targetOf } from "../logic/address.js";
import { Conversation } from "../logic/conversation.js";
import { deviceOf } from "../logic/device.js";
import { continues, dayNumberOf } from "../logic/window.js";
import { nonce } from "../logic/outbox.js";
import { charsOf, cutOf, isEmojiAlone, isLong, mentionedIn, mentions, piecesOf } from "../logic/text.js";

/** @param {string} text */
function links(text) {
  return piecesOf(text).flatMap((piece) => (piece.kind === "link" ? [piece.text] : []));
}

/**
 * Counts the calls of a method of a text.
 * @param {"split" | "normalize"} method
 * @param {() => void} act
 */
function callsOf(method, act) {
  const original = String.prototype[method];
  let calls = 0;
  String.prototype[method] = /** @this {string} @param {[any]} given */ function (...given) {
    calls += 1;
    return original.apply(this, given);
  };
  try {
    act();
  } finally {
    String.prototype[method] = original;
  }
  return calls;
}

test("links end before the punctuation of their sentence", () => {
  assert.deepEqual(links("see https://a.example/x, (http://b.example/y_(z)) and https://c.example."), [
    "https://a.example/x",
    "http://b.example/y_(z)",
    "https://c.example",
  ]);
  assert.deepEqual(links("https://пример.рф/путь?a=1&b=2#ц"), ["https://пример.рф/путь?a=1&b=2#ц"]);
});

test("only plain web addresses become links", () => {
  for (const text of [
    "javascript:alert(1)",
    "JaVaScRiPt://https://%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "https://",
    "https://user:pass@bank.example/",
    "xhttps://a.example",
    "//a.example",
  ]) {
    assert.deepEqual(links(text).filter((link) => !link.startsWith("https://%0a")), [], text);
  }
  for (const text of ['https://a.example/"onmouseover="alert(1)', "https://a.example/<script>", "https://a.example/\u202egpj.exe"]) {
    assert.deepEqual(links(text), ["https://a.example/"], text);
  }
});

test("code keeps its text", () => {
  assert.deepEqual(piecesOf("a `b <i>` c"), [
    { kind: "text", text: "a " },
    { kind: "code", text: "b <i>" },
    { kind: "text", text: " c" },
  ]);
  assert.deepEqual(piecesOf("look:\n```js\nlet x = `1`;\n```\nend"), [
    { kind: "text", text: "look:\n" },
    { kind: "block", text: "let x = `1`;" },
    { kind: "text", text: "end" },
  ]);
  assert.deepEqual(piecesOf("`https://a.example`"), [{ kind: "code", text: "https://a.example" }]);
  for (const text of ["`", "``", "``````", "a ` b", "```", "<img src=x onerror=alert(1)>"]) {
    assert.equal(piecesOf(text).map((piece) => piece.text).join(""), text);
  }
  const long = "`".repeat(4096) + "https://".repeat(512);
  const start = performance.now();
  piecesOf(long);
  assert.ok(performance.now() - start < 200);
});

test("the time for a text grows with its length only", () => {
  const names = Array.from({ length: 24 }, (_, i) => "😀".repeat(i + 1));
  const brackets = `@ https://a.example/(${")".repeat(4080)}`;
  assert.deepEqual(links(brackets), ["https://a.example/()"]);
  assert.ok(callsOf("split", () => piecesOf(brackets, names)) < 20, "brackets are counted once");
  for (const text of ["@".repeat(4096), "@-".repeat(2048), "@😀 ".repeat(1024)]) {
    const calls = callsOf("normalize", () => piecesOf(text, names));
    assert.ok(calls <= 4 * text.length, `${calls} for ${text.slice(0, 4)}`);
  }
  assert.ok(callsOf("normalize", () => piecesOf("@-".repeat(2048), names)) < 2_200, "what is nobody's name is looked at once");
});

test("only a few emoji alone are large", () => {
  for (const text of ["🎉", "👩‍👩‍👧‍👦 ❤️", "🇺🇳👍🏽", "🫖☕️ 🥐"]) assert.ok(isEmojiAlone(text), text);
  for (const text of ["", "ok 👍", "1", "#", "🎉🎉🎉🎉🎉", "©"]) assert.ok(!isEmojiAlone(text), text);
});

test("characters are counted as the server does", () => {
  assert.equal(charsOf("  🎉é  "), 2);
  assert.equal(charsOf("   "), 0);
});

test("only a whole name is a mention", () => {
  assert.ok(mentions("привет, @Анна!", "анна"));
  assert.ok(!mentions("@annabel", "anna") && !mentions("mail@anna", "anna") && !mentions("anna", "anna"));
});

test("addresses name conversations and back", () => {
  for (const [key, seq] of /** @type {const} */ ([["#default", 0], ["#a/b #1?", 12], ["@Анна", 3], ["#..", 0]])) {
    const url = new URL(addressOf(key, seq).replace("/r/..", "/r/%2E%2E"), "https://chat.example");
    if (key !== "#..") assert.deepEqual(targetOf(url), { key, seq });
  }
  assert.deepEqual(targetOf({ pathname: "/", hash: "#%D1%87%D0%B0%D0%B9" }), { key: "#чай", seq: 0 });
  for (const pathname of ["/", "/r/", "/r/a/b", "/x/y", "/r/%00", "/r/%ZZ", `/r/${"x".repeat(65)}`]) {
    assert.equal(targetOf({ pathname, hash: "" }), null, pathname);
  }
});

test("a text mentions the users whose whole names are in it, and everybody only where that may be", () => {
  const names = ["bob", "Анна", "Анна Борисова", "$& Co"];
  const mentioned = (/** @type {string} */ text, mentionAll = false) => mentionedIn(text, { names, mentionAll, max: 3 });
  /** @type {[text: string, mentions?: string[]][]} */
  const cases = [
    ["nobody@example.org"],
    ["@Анна Борисова, @bob, @bobby and @bob again", ["Анна Борисова", "bob"]],
    ["`@bob` is code"],
    ["@all of you"],
  ];
  for (const [text, mentions] of cases) assert.deepEqual(mentioned(text), { text, ...(mentions && { mentions }) });
  assert.deepEqual(mentioned("@all of you, @bob", true), { text: "@all of you, @bob", mentions: ["bob"], mentionAll: true });
  assert.deepEqual(mentioned("not any more", true), { text: "not any more" });
  assert.deepEqual(mentioned("@BOB and @анна б. and @$& co"), { text: "@bob and @Анна б. and @$& Co", mentions: ["bob", "Анна", "$& Co"] }, "as they spell themselves");
  assert.deepEqual(mentioned("@bob @Анна Борисова @$& Co @Анна").mentions, ["bob", "Анна Борисова", "$& Co"], "not more than the server takes");
});

test("messages of one author stand together for a while", () => {
  const first = { from: "bob", timestamp: 1_700_000_000 };
  assert.ok(continues(first, { from: "bob", timestamp: first.timestamp + 60 }));
  assert.ok(!continues(first, { from: "bob", timestamp: first.timestamp + 600 }));
  assert.ok(!continues(first, { from: "eve", timestamp: first.timestamp }));
  assert.ok(!continues(first, { from: "bob", timestamp: first.timestamp + 86_400 }));
});

test("days follow the calendar, also where the clock is changed", () => {
  const zone = process.env.TZ;
  process.env.TZ = "Europe/Berlin";
  try {
    const days = ["2025-10-25T23:59+02:00", "2025-10-26T00:00+02:00", "2025-10-26T23:59+01:00", "2025-10-27T00:00+01:00"];
    const [first = 0, ...rest] = days.map((day) => dayNumberOf(Date.parse(day) / 1000));
    assert.ok(rest[0] === rest[1] && Number(rest[0]) > first && Number(rest[2]) > Number(rest[1]));
  } finally {
    zone === undefined ? delete process.env.TZ : (process.env.TZ = zone);
  }
});

test("nonces rise with the time, and are short enough", () => {
  const [a, b] = [nonce(1, new Uint8Array(16).fill(255)), nonce(2, new Uint8Array(16))];
  assert.ok(a < b && a.length <= 64);
});

test("a device is named by its browser and system", () => {
  for (const [userAgent, device] of /** @type {const} */ ([
    ["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox · Linux"],
    ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0", "Edge · Windows"],
    ["Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", "Safari · iPhone"],
    ["Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36", "Chrome · Android"],
    ["curl/8.5.0", "curl"],
    ["", ""],
  ])) {
    assert.equal(deviceOf(userAgent), device);
  }
});

test("a long address is cut in the middle, and nothing of it is lost", () => {
  assert.equal(cutOf("https://example.org/a/short/one?with=words"), null);
  const address = `https://example.org/${"a-long-way/".repeat(9)}😀${"x".repeat(19)}`;
  const cut = cutOf(address) ?? ["", "", ""];
  assert.equal(cut.join(""), address);
  assert.deepEqual([cut[0].length, [...cut[2]].length, cut[2].startsWith("😀")], [36, 20, true]);
});

test("a text is long by the lines that it fills", () => {
  const lines = (/** @type {number} */ n) => Array.from({ length: n }, (_, i) => `${i}`).join("\n");
  assert.deepEqual([isLong(lines(20), 90), isLong(lines(21), 90), isLong("x".repeat(1_800), 90), isLong("x".repeat(1_801), 90), isLong("x".repeat(1_800), 40)], [false, true, false, true, true]);
});
