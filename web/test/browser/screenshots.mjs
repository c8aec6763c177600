// Pictures of the page for the README: a room with people in it, whose clock and
// past are made up, and a server and a page that are real. `cargo xtask
// screenshots` runs it.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { person, picture, register, Server, visitor } from "./harness.mjs";

const FOLDER = process.env.CHAT_SCREENSHOTS ?? "docs/images";
const MAX_BYTES = 150_000;
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

/** Who says what in the room, how many minutes ago. @type {Record<"ru" | "en", [string, string, number][]>} */
const TALK = {
  ru: [
    ["Анна", "Всем доброе утро! Сегодня в шесть собираемся во дворе?", 1510],
    ["Пётр", "Да, я принесу чай", 1506],
    ["Пётр", "и печенье, если Марина не съест его раньше", 1506],
    ["Марина", "Это была разовая акция 🙈", 1490],
    ["Ольга", "План лежит здесь: https://example.org/plans/yard — кто хочет, поправьте.", 96],
    ["Анна", "Отлично, спасибо! Я только исправила бы время: `18:00` вместо `18:30`", 92],
    ["Тимур", "```js\nconst guests = people.filter((who) => who.comes);\nconsole.log(guests.length); // 14\n```", 61],
    ["Тимур", "Посчитал, нас четырнадцать", 60],
    ["Sam", "I’ll bring the big table. Нужны ещё стулья?", 33],
    ["Ольга", "Стульев хватит. @Пётр, захвати, пожалуйста, большой чайник", 12],
    ["Марина", "🎉🫖", 11],
    ["Пётр", "Беру. Буду в половине шестого", 9],
  ],
  en: [
    ["Anna", "Good morning, everybody! Shall we meet in the yard at six?", 1510],
    ["Peter", "Yes, I’ll bring the tea", 1506],
    ["Peter", "and biscuits, unless Marina eats them first", 1506],
    ["Marina", "That happened once 🙈", 1490],
    ["Olga", "The plan is here: https://example.org/plans/yard — please put right what is wrong.", 96],
    ["Anna", "Great, thank you! I would only change the time: `18:00` instead of `18:30`", 92],
    ["Tim", "```js\nconst guests = people.filter((who) => who.comes);\nconsole.log(guests.length); // 14\n```", 61],
    ["Tim", "I counted, there are fourteen of us", 60],
    ["Соня", "Я принесу большой стол. Do we need more chairs?", 33],
    ["Olga", "We have enough of them. @Peter, please take the big teapot", 12],
    ["Marina", "🎉🫖", 11],
    ["Peter", "I will. See you at half past five", 9],
  ],
};
/** @type {Record<"ru" | "en", [string, string, string][]>} */
const PRIVATE = {
  ru: [
    ["Анна", "Пётр", "Слушай, а подарок Марине готов?"],
    ["Пётр", "Анна", "Почти. Осталась лента"],
    ["Анна", "Пётр", "Тогда вечером передам тебе открытку, все подпишут 🎁"],
    ["Ольга", "Пётр", "Пришлёшь снимки с воскресенья?"],
  ],
  en: [
    ["Anna", "Peter", "Listen, is Marina’s present ready?"],
    ["Peter", "Anna", "Almost. All it needs is a ribbon"],
    ["Anna", "Peter", "Then I’ll give you the card tonight, everybody signs it 🎁"],
    ["Olga", "Peter", "Could you send me the photos from Sunday?"],
  ],
};
const FACES = [
  ["Анна Anna", "#ffd7a8", "#e8894a", "🦊"],
  ["Ольга Olga", "#c9e4ff", "#5a8fd6", "🐳"],
  ["Тимур Tim", "#d9f2c4", "#5da34b", "🌵"],
  ["Пётр Peter", "#e9dcff", "#8d6fd1", "🫖"],
];

test("screenshots", { timeout: 300_000 }, async () => {
  mkdirSync(FOLDER, { recursive: true });
  for (const language of /** @type {const} */ (["ru", "en"])) {
    await take(language);
  }
});

/** @param {"ru" | "en"} language */
async function take(language) {
  const server = await Server.start("--database-url", "memory:");
  const talk = TALK[language];
  const me = language === "ru" ? "Пётр" : "Peter";
  const locale = language === "ru" ? "ru-RU" : "en-GB";
  for (const [names, from, to, emoji] of FACES) {
    const name = names.split(" ")[language === "ru" ? 0 : 1];
    await register(server.url, name, await face(from, to, emoji));
  }
  const people = new Map();
  for (const name of new Set(talk.map(([name]) => name))) {
    if (name !== me) people.set(name, await person(server.url, name));
  }
  const look = { locale, timezoneId: "UTC", viewport: { width: 1280, height: 800 }, deviceScaleFactor: 1.5 };
  const peter = await visitor(server.url, look);
  peter.name = me;
  await register(server.url, me);
  await peter.signIn();
  await dress(peter.page, talk);
  await peter.goto("/r/default");
  people.set(me, peter);
  for (const [from, to, text] of PRIVATE[language]) {
    await people.get(from).goto(`/u/${encodeURIComponent(to)}`);
    await people.get(from).say(text);
    await people.get(from).allStored();
    await people.get(from).goto("/r/default");
  }
  const [first, second] = [...people.keys()];
  await people.get(first).pour("music", [language === "ru" ? "Кто идёт на концерт?" : "Who comes to the concert?"]);
  for (const [name, text] of talk) {
    await people.get(name).say(text);
    await people.get(name).allStored();
  }
  // The room at the side has something that is not read yet.
  await peter.open("#music");
  await peter.open("#tech");
  await peter.open(`@${language === "ru" ? "Анна" : "Anna"}`);
  await people.get(second === me ? first : second).pour("music", [language === "ru" ? "Я!" : "I do!", language === "ru" ? "И я" : "So do I"]);
  await shoot(peter.page, `private-${language}`);
  await peter.open("#default");
  await peter.page.focus("#scroller");
  await shoot(peter.page, `light-${language}`);
  await peter.page.emulateMedia({ colorScheme: "dark" });
  await shoot(peter.page, `dark-${language}`);

  const phone = await visitor(server.url, { ...look, ...PHONE });
  phone.name = me;
  await phone.signIn();
  await phone.context.addInitScript(`for (const [key, value] of ${JSON.stringify(await memory(peter.page))}) localStorage.setItem(key, value);`);
  await dress(phone.page, talk);
  await phone.goto("/r/default");
  await shoot(phone.page, `phone-${language}`);
  await phone.page.click("#open-sidebar");
  await phone.page.waitForTimeout(400);
  await shoot(phone.page, `phone-rooms-${language}`);
  await server.stop();
}

/** What a browser remembers, for another one of the same person. */
function memory(page) {
  return page.evaluate(() => Object.entries(localStorage));
}

/** Lets the talk of the room have taken its time. */
async function dress(page, talk) {
  await page.routeWebSocket(/\/ws$/, (socket) => {
    const server = socket.connectToServer();
    server.onMessage((message) => {
      const frame = JSON.parse(String(message));
      const now = Math.floor(new Date().setUTCHours(17, 4, 0, 0) / 1000);
      for (const entry of [frame, ...(frame.messages ?? [])]) {
        if (!entry.timestamp) continue;
        const [, , minutes = 1] = talk.find(([from, text]) => entry.from === from && entry.text === text) ?? [];
        entry.timestamp = now - minutes * 60;
      }
      socket.send(JSON.stringify(frame));
    });
  });
}

/** @param {string} name */
async function shoot(page, name) {
  await page.mouse.move(0, 0);
  await page.waitForFunction(() => [...document.images].every(({ complete }) => complete));
  await page.waitForTimeout(500);
  const file = path.join(FOLDER, `${name}.webp`);
  const browser = await page.context().newCDPSession(page);
  const { data } = await browser.send("Page.captureScreenshot", { format: "webp", quality: 82 });
  const picture = Buffer.from(data, "base64");
  assert.ok(picture.length <= MAX_BYTES, `${file} is large: ${picture.length} bytes`);
  writeFileSync(file, picture);
}

/** A picture of somebody who would rather not be recognised. */
function face(from, to, emoji) {
  return picture(
    new Function(
      "context",
      "size",
      `const colours = context.createLinearGradient(0, 0, size, size);
      colours.addColorStop(0, ${JSON.stringify(from)});
      colours.addColorStop(1, ${JSON.stringify(to)});
      context.fillStyle = colours;
      context.fillRect(0, 0, size, size);
      context.font = size * 0.6 + 'px "Noto Color Emoji"';
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(${JSON.stringify(emoji)}, size / 2, size * 0.54);`,
    ),
    256,
  );
}
