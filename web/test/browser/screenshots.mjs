// Screenshots of the page, for the README and for changes of its style: a real
// server and page, with users in a room whose clock and history are made up.
// `cargo xtask screenshots` takes them.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { Network, person, picture, register, Server, visitor } from "./harness.mjs";

const FOLDER = process.env.SCREENSHOTS ?? "docs/images";
const MAX_BYTES = 150_000;
/** The folder of all screenshots. */
const ALL = "target/screenshots";
/** The names of those in the README. @type {Record<string, string>} */
const README = {
  "lively-wide-light": "light",
  "lively-wide-dark": "dark",
  "private-wide-light": "private",
  "lively-phone-light": "phone",
  "drawer-phone-light": "phone-rooms",
};
const SIZES = {
  wide: { viewport: { width: 1280, height: 800 }, deviceScaleFactor: 1.5 },
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
};

/** The messages of the room: author, text, and age in minutes. @type {Record<"ru" | "en", [string, string, number][]>} */
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
/** Rooms beside the first one: one of the user, one that only its members see, and one that the user may join. */
const ROOMS = {
  ru: {
    music: { title: "Музыка", description: "Концерты и находки" },
    closed: { title: "Подарок Марине", description: "Тсс!" },
    books: { title: "Книжный клуб", description: "Читаем по книге в месяц и спорим о ней. Сейчас — «Двенадцать стульев»." },
    bookTalk: ["Кто уже дочитал?", "Первая часть — лучшая", "Встречаемся в четверг"],
    created: { title: "Огород", description: "Семена, рассада, лопаты" },
  },
  en: {
    music: { title: "Music", description: "Concerts and finds" },
    closed: { title: "Marina’s present", description: "Psst!" },
    books: { title: "Book club", description: "One book a month, and an argument about it. At the moment: “Three Men in a Boat”." },
    bookTalk: ["Who has finished it?", "The first part is the best", "We meet on Thursday"],
    created: { title: "Garden", description: "Seeds, seedlings, spades" },
  },
};
const OFFLINE = {
  ru: ["Я в метро, связи нет", "Допишу, когда выйду наверх"],
  en: ["I am on the underground, no signal", "It goes out once I am up again"],
};
const FACES = [
  ["Анна Anna", "#ffd7a8", "#e8894a", "🦊"],
  ["Ольга Olga", "#c9e4ff", "#5a8fd6", "🐳"],
  ["Тимур Tim", "#d9f2c4", "#5da34b", "🌵"],
  ["Пётр Peter", "#e9dcff", "#8d6fd1", "🫖"],
];

test("screenshots", { timeout: 600_000 }, async () => {
  mkdirSync(FOLDER, { recursive: true });
  mkdirSync(ALL, { recursive: true });
  for (const language of /** @type {const} */ (["ru", "en"])) {
    await take(language);
  }
});

/** @param {"ru" | "en"} language */
async function take(language) {
  const server = await Server.start("--database-url", "memory:");
  const talk = TALK[language];
  const me = language === "ru" ? "Пётр" : "Peter";
  const friend = language === "ru" ? "Анна" : "Anna";
  for (const [names, from, to, emoji] of FACES) {
    const name = names.split(" ")[language === "ru" ? 0 : 1];
    await register(server.url, name, await face(from, to, emoji));
  }
  const people = new Map();
  for (const name of new Set(talk.map(([name]) => name))) {
    if (name !== me) people.set(name, await person(server.url, name));
  }
  const peter = await look(server, { language, ...SIZES.wide });
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
  const words = ROOMS[language];
  const everybody = [...people.keys()].filter((name) => name !== friend);
  await people.get(friend).call("POST", "/api/rooms", { ...words.music, name: "music", members: everybody });
  const closed = await people.get(friend).call("POST", "/api/rooms", { ...words.closed, access: "closed", members: everybody.filter((name) => !/^М|^M/.test(name)) });
  await people.get(friend).call("POST", "/api/rooms", { ...words.books, name: "books", members: everybody.filter((name) => name !== me).slice(0, 3) });
  await people.get(friend).pour("books", words.bookTalk);
  await people.get(friend).pour("music", [language === "ru" ? "Кто идёт на концерт?" : "Who comes to the concert?"]);
  for (const [name, text] of talk) {
    await people.get(name).say(text);
    await people.get(name).allStored();
  }
  await peter.open("#music");
  await peter.open("#default");
  // Another room has unread messages.
  await people.get(friend).pour("music", language === "ru" ? ["Я!", "И я"] : ["I do!", "So do I"]);

  const empty = await Server.start("--database-url", "memory:");
  await register(empty.url, me);

  for (const [size, options] of Object.entries(SIZES)) {
    for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
      const name = (/** @type {string} */ state) => `${state}-${size}-${colorScheme}-${language}`;
      const door = await look(server, { language, colorScheme, ...options });
      await door.page.goto(server.url);
      await shoot(door.page, name("register"));
      await door.page.click("#to-sign-in");
      await door.page.fill("#sign-in-name", me);
      await door.page.fill("#sign-in-password", "12345678");
      await door.page.press("#sign-in-password", "Enter");
      await door.page.waitForFunction(() => document.querySelector("#sign-in > .error")?.textContent);
      await shoot(door.page, name("sign-in-error"));
      await door.context.close();

      const network = await Network.before(server);
      const someone = await look({ url: network.url }, { language, colorScheme, ...options });
      someone.name = me;
      await someone.signIn();
      await dress(someone.page, talk);
      await someone.goto(`/u/${encodeURIComponent(friend)}`);
      await shoot(someone.page, name("private"));
      await someone.goto("/r/default");
      await shoot(someone.page, name("lively"));
      await someone.goto(`/r/${language === "ru" ? "огород" : "garden"}`);
      await shoot(someone.page, name("empty"));
      await someone.goto("/r/default");
      if (size === "phone") {
        await someone.page.click("#open-sidebar");
        await someone.page.waitForTimeout(400);
        await shoot(someone.page, name("drawer"));
        await someone.page.click("#close-sidebar");
      }
      await shootRooms(someone, name, { words, me, books: "/r/books", closed: `/r/${closed.name}` });
      await someone.goto("/r/default");
      network.down();
      await someone.page.waitForSelector("#subtitle.away");
      for (const text of OFFLINE[language]) await someone.say(text);
      await shoot(someone.page, name("offline"));
      network.up();
      await someone.page.waitForFunction(() => !document.querySelector("#subtitle.away"));
      await someone.allStored();
      await someone.context.close();

      const first = await look(empty, { language, colorScheme, ...options });
      first.name = me;
      await first.signIn();
      await first.goto("/");
      await first.page.waitForSelector(".welcome h2");
      await shoot(first.page, name("welcome"));
      await first.context.close();
    }
  }
  await server.stop();
  await empty.stop();
}

/**
 * The views of rooms and people.
 * @param {any} someone
 * @param {(state: string) => string} name
 * @param {any} rooms
 */
async function shootRooms(someone, name, { words, books, closed }) {
  const { page } = someone;
  const open = async (/** @type {string} */ opener, /** @type {string} */ dialog) => {
    if (await page.isVisible("#open-sidebar")) await page.click("#open-sidebar");
    await page.click(opener);
    await page.waitForSelector(`${dialog}[open]`);
  };
  await open("#new-room-open", "#new-room");
  await page.fill("#new-room-title", words.created.title);
  await page.fill("#new-room-description", words.created.description);
  await page.check("#new-room [value=closed]");
  await page.fill("#new-room-people-text", "a");
  await page.fill("#new-room-people-text", words === ROOMS.ru ? "о" : "o");
  await page.locator("#new-room-people-list li").first().click();
  await shoot(page, name("create"));
  await page.keyboard.press("Escape");
  await open("#new-talk-open", "#new-talk");
  await page.locator("#directory-list li").first().waitFor();
  await shoot(page, name("directory"));
  await page.keyboard.press("Escape");
  await open("#browse-open", "#browse");
  await page.locator("#browse-list li").first().waitFor();
  await shoot(page, name("browse"));
  await page.keyboard.press("Escape");
  await page.goto(someone.url + books);
  await page.locator(".foot .primary").waitFor();
  await shoot(page, name("preview"));
  await page.goto(`${someone.url}/r/~0000000000000000000000`);
  await page.locator(".refused h2").waitFor();
  await shoot(page, name("refused"));
  await someone.goto(closed);
  await page.click("#title");
  await page.locator("#members li").first().waitFor();
  await shoot(page, name("details"));
  await page.click("#close-details");
}

/**
 * @param {{ url: string }} server
 * @param {any} options of the context, and the language
 */
function look(server, { language, ...options }) {
  return visitor(server.url, { locale: language === "ru" ? "ru-RU" : "en-GB", timezoneId: "UTC", ...options });
}

/** Sets the times of the messages in the room. */
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

/** @param {string} name the state, the size, the look and the language */
async function shoot(page, name) {
  await page.mouse.move(0, 0);
  await page.waitForFunction(() => [...document.images].every(({ complete, loading }) => complete || loading === "lazy"));
  await page.waitForTimeout(800);
  await page.screenshot({ path: path.join(ALL, `${name}.png`) });
  const inReadme = README[name.slice(0, -3)];
  if (inReadme) {
    const file = path.join(FOLDER, `${inReadme}${name.slice(-3)}.webp`);
    const browser = await page.context().newCDPSession(page);
    const { data } = await browser.send("Page.captureScreenshot", { format: "webp", quality: 82 });
    const picture = Buffer.from(data, "base64");
    assert.ok(picture.length <= MAX_BYTES, `${file} is large: ${picture.length} bytes`);
    writeFileSync(file, picture);
  }
}

/** An abstract picture for an avatar. */
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
