// Text of users stays text: two hundred payloads in names, rooms, messages and file
// names.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";

import { fourColours, PASSWORD, person, problems, register, Server, scenario, visitor } from "./harness.mjs";

const server = await Server.start("--message-rate", "off", "--database-url", "memory:");

const RUN = ["alert(1)", "alert`1`", "top.alert(1)", "self['al'+'ert'](1)"];
const SHAPES = [
  (js) => `<script>${js}</script>`,
  (js) => `"><script>${js}</script>`,
  (js) => `</textarea><script>${js}</script>`,
  (js) => `</title><svg/onload=${js}>`,
  (js) => `<img src=x onerror=${js}>`,
  (js) => `<img/src='x'/onerror='${js}'>`,
  (js) => `'><img src=x onerror=${js}//`,
  (js) => `<svg onload=${js}>`,
  (js) => `<svg><script>${js}</script></svg>`,
  (js) => `<svg><animate onbegin=${js} attributeName=x dur=1s>`,
  (js) => `<math><mi//xlink:href="data:x,<script>${js}</script>">`,
  (js) => `<iframe src="javascript:${js}">`,
  (js) => `<iframe srcdoc="<script>parent.${js}</script>">`,
  (js) => `<object data="javascript:${js}">`,
  (js) => `<embed src="javascript:${js}">`,
  (js) => `<a href="javascript:${js}">x</a>`,
  (js) => `javascript:${js}`,
  (js) => `JaVaScRiPt:${js}//https://example.org`,
  (js) => `java\tscript:${js}`,
  (js) => `https://example.org/"onmouseover="${js}`,
  (js) => `https://example.org/'onfocus='${js}'autofocus='`,
  (js) => `http://javascript:${js}@example.org/`,
  (js) => `data:text/html,<script>${js}</script>`,
  (js) => `vbscript:${js}`,
  (js) => `<body onload=${js}>`,
  (js) => `<input autofocus onfocus=${js}>`,
  (js) => `<details open ontoggle=${js}>`,
  (js) => `<video><source onerror=${js}></video>`,
  (js) => `<audio src=x onerror=${js}>`,
  (js) => `<marquee onstart=${js}>`,
  (js) => `<style>@import 'javascript:${js}';</style>`,
  (js) => `<link rel=stylesheet href="javascript:${js}">`,
  (js) => `<meta http-equiv=refresh content="0;url=javascript:${js}">`,
  (js) => `<base href="javascript:${js}//">`,
  (js) => `<form action="javascript:${js}"><button>x`,
  (js) => `<button popovertarget=x formaction=javascript:${js}>`,
  (js) => `<x contenteditable onblur=${js}>x`,
  (js) => `<template><script>${js}</script></template>`,
  (js) => `<noscript><p title="</noscript><img src=x onerror=${js}>">`,
  (js) => `<!--<img src="--><img src=x onerror=${js}>">`,
  (js) => `<![CDATA[<script>${js}</script>]]>`,
  (js) => `\`\`\`html\n<script>${js}</script>\n\`\`\``,
  (js) => `\`<img src=x onerror=${js}>\``,
  (js) => `[x](javascript:${js})`,
  (js) => `![x](x"onerror="${js})`,
  (js) => `{{constructor.constructor('${js}')()}}`,
  (js) => `\${${js}}`,
  (js) => `<%= ${js} %>`,
  (js) => `&lt;script&gt;${js}&lt;/script&gt;`,
  (js) => `\\u003cscript\\u003e${js}\\u003c/script\\u003e`,
  (js) => `";${js};//`,
  (js) => `');${js};//`,
  (js) => `\u2028${js}\u2029x`,
  (js) => `__proto__[onerror]=${js}`,
];
const PAYLOADS = SHAPES.flatMap((shape) => RUN.map(shape)).slice(0, 216);
const NAMES = ["<img src=x onerror=a()>", "<svg onload=alert(1)>", "<script>alert(1)", "'onload='alert(1)", '"><b>x', "${alert(1)}", "{{7*7}}", "__proto__", "constructor", "toString", "javascript:alert(1)", "../../api/logout", "<i>x</i>", "&lt;b&gt;", "`x`", "%3Cscript%3E", "<a href=//x>", "\\u003cb\\u003e", "<!--", "]]>"];

/** The elements of a page that payloads could have made. */
function elements(page) {
  return page.evaluate(() =>
    [...document.querySelectorAll("*")]
      .filter((element) => {
        const isStrange = element.matches("iframe, object, embed, base, math, video, audio, marquee, style, animate, meta[http-equiv], body script, x, img:not([src^='/uploads/'], #door img)");
        const isArmed = element.getAttributeNames().some((name) => name.startsWith("on"));
        const isScript = /^(javascript|data|vbscript):/i.test(element.getAttribute("href") ?? element.getAttribute("src") ?? "");
        return isStrange || isArmed || isScript;
      })
      .map(({ outerHTML }) => outerHTML.slice(0, 200)),
  );
}

scenario("two hundred payloads stay text, as messages, room names and user names", async () => {
  assert.ok(PAYLOADS.length >= 200);
  const mallory = await person(server.url, "mallory", { path: "/r/payloads" });
  const texts = PAYLOADS.map((payload) => payload.trim());
  await mallory.pour("payloads", texts);

  // As user names: each sends a message, so that it is shown in the room and in the sidebar.
  const names = [...NAMES, ...PAYLOADS.filter((payload) => [...payload].length <= 24)];
  let registered = 0;
  for (const name of new Set(names)) {
    const form = new FormData();
    form.set("username", name);
    form.set("password", PASSWORD);
    if (!(await fetch(`${server.url}/api/register`, { method: "POST", body: form })).ok) continue;
    registered += 1;
    const login = await fetch(`${server.url}/api/login`, { method: "POST", body: JSON.stringify({ username: name, password: PASSWORD }) });
    const cookie = login.headers.getSetCookie()[0]?.split(";")[0] ?? "";
    await mallory.context.addCookies([{ url: server.url, name: "auth", value: cookie.slice("auth=".length) }]);
    await mallory.pour("payloads", [`I am ${name}`]);
    await mallory.page.evaluate(() => {
      const socket = new WebSocket(new URL("/ws", location.href), "chat.v2");
      return new Promise((resolve) => {
        socket.onmessage = ({ data }) => {
          const { type } = JSON.parse(data);
          if (type === "hello") socket.send(JSON.stringify({ type: "private", to: "victim", text: "psst", nonce: String(Math.random()) }));
          if (type === "ack" || type === "error") resolve(socket.close());
        };
      });
    });
    if (registered === 1) await register(server.url, "victim");
  }
  assert.ok(registered >= 15, `${registered} of these names are taken by the server`);

  // As rooms in use, of which the victim is a member.
  const rooms = PAYLOADS.filter((payload) => [...payload].length <= 64 && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(payload) && payload.trim());
  assert.ok(rooms.length > 150);
  await mallory.signIn();
  await mallory.page.evaluate((rooms) => {
    const socket = (window.kept = new WebSocket(new URL("/ws", location.href), "chat.v2"));
    return new Promise((resolve) => {
      let joined = 0;
      socket.onmessage = ({ data }) => {
        const { type } = JSON.parse(data);
        if (type === "hello") for (const room of rooms) socket.send(JSON.stringify({ type: "join", room }));
        if (type === "joined" || type === "error") (joined += 1) === rooms.length && resolve(undefined);
      };
    });
  }, rooms);
  for (const room of rooms) await mallory.pour(room, ["here"]);

  const victim = await visitor(server.url);
  victim.name = "victim";
  await victim.signIn();
  for (const room of rooms) await victim.joins(`/r/${encodeURIComponent(room)}`);
  await victim.goto("/r/payloads");
  await victim.page.waitForFunction(() => document.querySelectorAll("#rooms .line").length > 100);
  await victim.page.waitForFunction(() => document.querySelectorAll("#people .line").length > 10);
  const seen = new Set();
  for (let isBeginning = false; !isBeginning; ) {
    isBeginning = await victim.page.evaluate(() => document.querySelector("#top.beginning") !== null && document.getElementById("scroller").scrollTop === 0);
    for (const text of await victim.page.$$eval("#messages .message", (all) => all.map((item) => item.querySelector(".text").textContent))) seen.add(text);
    await victim.page.evaluate(() => (document.getElementById("scroller").scrollTop -= 500));
    await victim.page.waitForTimeout(30);
  }
  // Only the marks of code are not shown.
  for (const text of texts.filter((text) => !text.includes("`"))) assert.ok(seen.has(text), text);
  assert.deepEqual(await elements(victim.page), []);
  for (const [at, room] of rooms.entries()) {
    if (at % 12 === 0) {
      await victim.goto(`/r/${encodeURIComponent(room)}`);
      assert.equal(await victim.page.textContent("#title"), room);
      assert.deepEqual(await elements(victim.page), [], room);
    }
  }
  await victim.page.keyboard.press("Control+k");
  await victim.page.waitForSelector("#finder[open]");
  for (const payload of PAYLOADS.filter((_, i) => i % 9 === 0)) {
    await victim.page.fill("#finder-text", payload);
    assert.deepEqual(await elements(victim.page), [], payload);
  }
  await victim.page.keyboard.press("Escape");
  await victim.page.fill("#text", PAYLOADS.join("\n").slice(0, 4000));
  await victim.page.reload();
  await victim.isIn();
  assert.deepEqual(await elements(victim.page), []);
  assert.deepEqual(problems, [], "no dialog, and nothing that the policy had to stop");
});

scenario("two hundred payloads stay text as file names", async () => {
  const { page } = await visitor(server.url);
  await page.goto(`${server.url}/`);
  const buffer = await fourColours(16);
  for (const [i, payload] of PAYLOADS.entries()) {
    await page.setInputFiles("picture-crop input[type=file]", { name: `${payload.replaceAll("/", "∕")}.png`, mimeType: "image/png", buffer });
    if (i === 0) await page.waitForSelector("picture-crop.has-picture");
  }
  await page.fill("#register-name", "filer");
  await page.fill("#register-password", PASSWORD);
  await page.press("#register-password", "Enter");
  await page.waitForSelector("#text", { state: "visible" });
  assert.deepEqual(await elements(page), []);
  // Straight to the server, without the page's own processing.
  const names = await page.evaluate(
    async ([payloads, password, bytes]) => {
      const found = [];
      for (const [i, payload] of payloads.entries()) {
        if (i % 20) continue;
        const form = new FormData();
        form.set("username", `filer ${i}`);
        form.set("password", password);
        form.set("avatar", new File([new Uint8Array(bytes)], payload, { type: "text/html" }));
        const answer = await fetch("/api/register", { method: "POST", body: form });
        if (answer.ok) found.push((await (await fetch(`/api/users/${encodeURIComponent(`filer ${i}`)}`)).json()).avatar);
      }
      return found;
    },
    [PAYLOADS, PASSWORD, [...buffer]],
  );
  assert.ok(names.length >= 10);
  for (const name of names) assert.match(name, /^\/uploads\/[0-9a-f-]+\.webp$/);
});

scenario("a page on another port of the same host does nothing for a user", async () => {
  const chat = await Server.start("--database-url", "memory:");
  const alice = await person(chat.url, "alice", { path: "/r/default" });
  await alice.say("only this");
  await alice.allStored();
  const foreign = createServer((_, response) => response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><title>x</title>")).listen(0, "127.0.0.1");
  try {
    await once(foreign, "listening");
    const origin = `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (foreign.address()).port}`;
    const uploads = async () => (await (await fetch(`${chat.url}/metrics`)).text()).split("\n").filter((line) => /^chat_(uploads_total|files |file_bytes)/.test(line));
    const before = await uploads();

    // Not a page of the harness: this one is full of errors.
    const page = await alice.context.newPage();
    // By the protocol of the browser's tools: the page is not shown the answers, and neither are its listeners.
    const wire = await alice.context.newCDPSession(page);
    await wire.send("Network.enable");
    /** What the requests carried, and how they were answered. @type {Map<string, { method?: string, url?: string, cookie?: string, status?: number }>} */
    const seen = new Map();
    const note = (/** @type {string} */ id, /** @type {object} */ facts) => seen.set(id, { ...seen.get(id), ...facts });
    wire.on("Network.requestWillBeSent", ({ requestId, request: { method, url } }) => note(requestId, { method, url }));
    wire.on("Network.requestWillBeSentExtraInfo", ({ requestId, headers }) => note(requestId, { cookie: headers.cookie ?? headers.Cookie ?? "" }));
    wire.on("Network.responseReceivedExtraInfo", ({ requestId, statusCode: status }) => note(requestId, { status }));
    const answered = () => [...seen.values()].filter(({ url, status }) => url?.startsWith(chat.url) && status !== undefined);
    await page.goto(origin);
    for (const [method, path, body] of UNSAFE) {
      await page.evaluate(
        ([url, method, body]) =>
          fetch(url, { method, body, credentials: "include", mode: method === "POST" ? "no-cors" : "cors" }).catch(() => {}),
        [chat.url + path, method, body],
      );
    }
    // Forms need no permission of another site.
    for (const [path, enctype] of [["/api/logout", "text/plain"], ["/api/rooms", "text/plain"], ["/api/files?name=form.txt", "multipart/form-data"]]) {
      await page.goto(origin);
      await page.evaluate(
        ([action, enctype]) => {
          const form = Object.assign(document.createElement("form"), { method: "post", action, enctype });
          // As plain text it is JSON.
          form.append(Object.assign(document.createElement("input"), { name: '{"title":"From a form","x":"', value: '"}' }));
          document.body.append(form);
          form.submit();
        },
        [chat.url + path, enctype],
      );
      await page.waitForURL((url) => url.pathname === path.split("?")[0]);
    }
    await page.goto(origin);
    const sockets = await page.evaluate(
      (url) =>
        Promise.all(
          [[`${url}/ws?room=default`], [`${url}/ws`, "chat.v2"]].map(
            ([url, protocol]) =>
              new Promise((done) => {
                const socket = new WebSocket(url, protocol ? [protocol] : []);
                socket.onopen = () => {
                  socket.send(JSON.stringify({ type: "message", text: "from a socket" }));
                  done("open");
                };
                socket.onerror = () => done("refused");
              }),
          ),
        ),
      chat.url.replace("http", "ws"),
    );
    assert.deepEqual(sockets, ["refused", "refused"]);

    const posted = UNSAFE.filter(([method]) => method === "POST").length + 3;
    await alice.until(async () => answered().filter(({ method }) => method === "POST").length >= posted, "all answers are there");
    // The cookie came along: to the browser it is one site, and only the server knows better.
    const posts = answered().filter(({ method }) => method === "POST");
    assert.equal(posts.length, posted, JSON.stringify(posts));
    for (const { url, cookie = "", status } of posts) assert.deepEqual([url, /(^|; )auth=/.test(cookie), status], [url, true, 403]);
    // The browser asks before others, and is told nothing.
    assert.deepEqual(answered().filter(({ method = "", status = 0 }) => ["PUT", "DELETE", "PATCH"].includes(method) && status < 400), []);
    await page.close();

    const texts = async () => (await alice.call("GET", "/api/rooms/default/messages")).messages.map((/** @type {{ text: string }} */ { text }) => text);
    assert.deepEqual(await texts(), ["only this"]);
    assert.deepEqual(await uploads(), before);
    assert.deepEqual((await alice.call("GET", "/api/rooms")).rooms.map((/** @type {{ title: string }} */ { title }) => title).filter((/** @type {string} */ title) => title.startsWith("From")), []);
    assert.equal((await alice.call("GET", "/api/me")).username, "alice");
    await alice.say("still here");
    await alice.allStored();

    // The same requests work from the chat's own origin: they were refused for theirs.
    for (const [method, path, body] of UNSAFE) {
      const answer = await alice.context.request.fetch(chat.url + path, { method, data: body, headers: { Origin: chat.url } });
      assert.ok(answer.ok(), `${method} ${path}: ${answer.status()} ${await answer.text()}`);
    }
    assert.notDeepEqual(await uploads(), before);
  } finally {
    foreign.close();
  }
});

/** Requests that change something, in an order in which all of them succeed. @type {[method: string, path: string, body?: string][]} */
const UNSAFE = [
  ["POST", "/api/rooms/default/messages", '{"text":"from elsewhere"}'],
  ["POST", "/api/rooms", '{"title":"From elsewhere"}'],
  ["POST", "/api/files?name=elsewhere.txt", "from elsewhere"],
  ["PUT", "/api/rooms/random/membership", "{}"],
  ["PATCH", "/api/rooms/from-elsewhere", '{"title":"From elsewhere, again"}'],
  ["DELETE", "/api/rooms/random/membership"],
  ["POST", "/api/me/password", `{"current":"${PASSWORD}","new":"from elsewhere"}`],
  ["POST", "/api/logout"],
];
