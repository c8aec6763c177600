// A room of people with a made up history, for pictures of the page: `screenshots.mjs`
// takes those of the README, `gallery.mjs` every state.

import { person, picture, register, Server, visitor } from "./harness.mjs";

/** @typedef {"ru" | "en"} Language */

/** The messages of the room: author, text, and age in minutes. @type {Record<"ru" | "en", [string, string, number][]>} */
export const TALK = {
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
export const ROOMS = {
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
export const OFFLINE = {
  ru: ["Я в метро, связи нет", "Допишу, когда выйду наверх"],
  en: ["I am on the underground, no signal", "It goes out once I am up again"],
};
const FACES = [
  ["Анна Anna", "#ffd7a8", "#e8894a", "🦊"],
  ["Ольга Olga", "#c9e4ff", "#5a8fd6", "🐳"],
  ["Тимур Tim", "#d9f2c4", "#5da34b", "🌵"],
  ["Пётр Peter", "#e9dcff", "#8d6fd1", "🫖"],
];

/**
 * Starts a server and plays the history of its rooms.
 * @param {Language} language
 */
export async function stage(language) {
  const server = await Server.start("--database-url", "memory:", "--webhook-private-addresses", "127.0.0.0/8");
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
  const peter = await look(server, { language, viewport: { width: 1280, height: 800 } });
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

  // A room with files, and one that is archived.
  const anna = people.get(friend);
  await anna.open("#music");
  const landscapes = await Promise.all([["#fbc2a4", "#7a8fd6"], ["#bfe3c0", "#3d8a7d"], ["#ffe29a", "#d9724a"]].map(([from = "", to = ""]) => landscape(from, to)));
  const files = landscapes.map((buffer, i) => ({ name: `${i + 1}.png`, mimeType: "image/png", buffer }));
  await anna.page.waitForSelector(".attached", { state: "attached" });
  const [chooser] = await Promise.all([anna.page.waitForEvent("filechooser"), anna.page.click("#attach")]);
  await chooser.setFiles([...files, { name: language === "ru" ? "билеты.pdf" : "tickets.pdf", mimeType: "application/pdf", buffer: Buffer.from("%PDF-1.4") }]);
  await anna.page.waitForFunction(() => document.querySelectorAll(".chip-file").length === 4 && !document.querySelector(".attached [data-local]"));
  await anna.say(language === "ru" ? "Снимки с последнего концерта, и билеты на следующий" : "Photos of the last concert, and tickets for the next one");
  await anna.allStored();
  const old = await anna.call("POST", "/api/rooms", { title: language === "ru" ? "Ремонт 2024" : "Repairs of 2024", name: "repairs", members: everybody });
  await anna.pour("repairs", [language === "ru" ? "Всё готово, закрываем" : "All done, this room can close"]);
  await anna.call("PATCH", `/api/rooms/${encodeURIComponent(old.name)}`, { archived: true });
  for (const one of people.values()) await one.context.close();
  return { server, me, friend, talk, words, closed: closed.name };
}

/**
 * @param {{ url: string }} server
 * @param {any} options of the context, and the language
 */
export function look(server, { language, ...options }) {
  return visitor(server.url, { locale: language === "ru" ? "ru-RU" : "en-GB", timezoneId: "UTC", ...options });
}

/** A message that no server takes. */
export const REFUSED = "🙊";

/** Sets the times of the messages in the room, and refuses one message. */
export async function dress(page, talk) {
  await page.routeWebSocket(/\/ws$/, (socket) => {
    const server = socket.connectToServer();
    socket.onMessage((message) => {
      const { type, text, nonce } = JSON.parse(String(message));
      if (type === "message" && text === REFUSED) socket.send(JSON.stringify({ type: "error", code: "forbidden", message: "no", nonce }));
      else server.send(message);
    });
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

/**
 * Waits until all that is to be seen is there, also the fonts.
 * @param {any} page
 * @param {() => Promise<void>} [look] looks at the page before the fonts of a first visit come, which the chat does not change while it is read
 */
export async function settled(page, look) {
  await page.mouse.move(0, 0);
  if (look) await page.waitForTimeout(500).then(look);
  await page.evaluate(async () => {
    const template = document.querySelector("#fonts-code");
    const links = template instanceof HTMLTemplateElement ? template.content.querySelectorAll("link") : [];
    if ("faces" in window) return;
    Object.assign(window, { faces: true });
    for (const { href, dataset } of links) {
      if (!dataset.face) continue;
      const face = new FontFace(dataset.face, `url("${href}")`, { weight: "400 700", ...(dataset.letters && { unicodeRange: dataset.letters }) });
      document.fonts.add(await face.load());
    }
  });
  await page.waitForFunction(() => [...document.images].every(({ complete, loading }) => complete || loading === "lazy"));
  await page.evaluate(() => "shifts" in window && Object.assign(window, { shifts: [] }));
  await page.waitForTimeout(500);
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

/** A picture of hills. */
function landscape(from, to) {
  return picture(
    new Function(
      "context",
      "size",
      `const sky = context.createLinearGradient(0, 0, 0, size);
      sky.addColorStop(0, ${JSON.stringify(from)});
      sky.addColorStop(1, "#fff6e8");
      context.fillStyle = sky;
      context.fillRect(0, 0, size, size);
      context.fillStyle = ${JSON.stringify(to)};
      for (const [alpha, top, wave] of [[0.4, 0.5, 0.1], [0.7, 0.62, 0.07], [1, 0.78, 0.05]]) {
        context.globalAlpha = alpha;
        context.beginPath();
        context.moveTo(0, size);
        for (let x = 0; x <= size; x += 4) context.lineTo(x, size * (top + wave * Math.sin((x / size) * 7 + top * 20)));
        context.lineTo(size, size);
        context.fill();
      }`,
    ),
    512,
  );
}
