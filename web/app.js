// The page: shows what api.js and socket.js bring, hands them what people do.

import * as api from "./api.js";
import { MessageList, showAvatar } from "./messages.js";
import { RoomSocket } from "./socket.js";

const DEFAULT_ROOM = "default";
const ROOM_NAME_MAX_CHARS = 64;
const TEXT_MAX_CHARS = 4096;
/** Before that nobody needs to know how much is left. */
const COUNTED_FROM_CHARS = 3500;
const AVATAR_MAX_BYTES = 10 * 1024 * 1024;
/** Names whose pictures' addresses are remembered; past that all are asked for anew. */
const AVATARS_MAX = 1000;
const ROOMS_REFRESH_MS = 30_000;

/** @type {api.User | null} */
let me = null;
/** @type {RoomSocket | null} */
let socket = null;
let room = "";

const door = byId("door", HTMLElement);
const chat = byId("chat", HTMLElement);
const signIn = byId("sign-in", HTMLFormElement);
const register = byId("register", HTMLFormElement);
const roomsToggle = byId("rooms-toggle", HTMLButtonElement);
const roomTitle = byId("room-title", HTMLElement);
const roomList = byId("rooms", HTMLElement);
const otherRoom = byId("other-room", HTMLFormElement);
const status = byId("status", HTMLElement);
const composer = byId("composer", HTMLFormElement);
const recipient = byId("recipient", HTMLInputElement);
const text = byId("text", HTMLTextAreaElement);

/** Addresses of pictures, by name. @type {Map<string, Promise<string>>} */
const avatars = new Map();

const messages = new MessageList(
  {
    list: byId("messages", HTMLElement),
    scroller: byId("scroller", HTMLElement),
    toNewest: byId("to-newest", HTMLElement),
  },
  { me: () => me?.username ?? "", avatarOf, chosen: writeTo },
);

signIn.addEventListener("submit", (event) => {
  event.preventDefault();
  submitting(signIn, async (form) => {
    await api.login(field(form, "username"), field(form, "password"));
    await begin();
  });
});

register.addEventListener("submit", (event) => {
  event.preventDefault();
  submitting(register, async (form) => {
    const avatar = form.get("avatar");
    if (avatar instanceof File) {
      if (avatar.size > AVATAR_MAX_BYTES) {
        throw new Refusal("Картинка больше 10 МиБ.");
      }
      if (avatar.size === 0) {
        form.delete("avatar");
      }
    }
    await api.register(form);
    await api.login(field(form, "username").trim(), field(form, "password"));
    await begin();
  });
});

byId("show-register", HTMLElement).addEventListener("click", () => showDoor(register));
byId("show-sign-in", HTMLElement).addEventListener("click", () => showDoor(signIn));

byId("sign-out", HTMLElement).addEventListener("click", async () => {
  try {
    await api.logout();
  } catch (error) {
    if (!isUnauthorized(error)) {
      say(wording(error));
      return;
    }
  }
  end();
});

roomsToggle.addEventListener("click", () => openRooms(!chat.classList.contains("rooms-open")));
roomList.addEventListener("click", () => openRooms(false));
chat.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    openRooms(false);
  }
});
addEventListener("hashchange", () => {
  if (me) {
    enter(roomInAddress());
  }
});

otherRoom.addEventListener("submit", (event) => {
  event.preventDefault();
  const name = field(new FormData(otherRoom), "room").trim();
  const wrong = name ? roomNameError(name) : "Напишите название.";
  showError(otherRoom, wrong);
  if (!wrong) {
    otherRoom.reset();
    openRooms(false);
    location.hash = encodeURIComponent(name);
  }
});

text.addEventListener("keydown", (event) => {
  // Enter also ends a word in an input method.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    composer.requestSubmit();
  }
});
text.addEventListener("input", count);
recipient.addEventListener("input", showRecipient);
byId("to-everyone", HTMLElement).addEventListener("click", () => writeTo(""));

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const length = charsOf(text.value);
  if (length === 0 || length > TEXT_MAX_CHARS) {
    text.focus();
    return;
  }
  if (socket?.send(text.value, recipient.value.trim())) {
    text.value = "";
    count();
  }
  text.focus();
});

setInterval(() => {
  if (me && !document.hidden) {
    showRooms();
  }
}, ROOMS_REFRESH_MS);

start();

async function start() {
  try {
    await begin();
  } catch (error) {
    showDoor(signIn);
    if (!isUnauthorized(error)) {
      showError(signIn, wording(error));
    }
  }
}

/** Opens the chat for whoever is signed in. */
async function begin() {
  me = await api.me();
  signIn.reset();
  register.reset();
  byId("my-name", HTMLElement).textContent = me.username;
  avatars.set(me.username, Promise.resolve(me.avatar));
  showAvatar(byId("my-avatar", HTMLElement), me.username, avatarOf);
  door.hidden = true;
  chat.hidden = false;
  enter(roomInAddress());
  text.focus();
}

/** Nothing of what was read stays on the page of somebody who signed out. */
function end() {
  me = null;
  socket?.close();
  socket = null;
  messages.clear();
  avatars.clear();
  roomList.replaceChildren();
  text.value = "";
  count();
  writeTo("");
  say("");
  showDoor(signIn);
}

/** @param {HTMLFormElement} form */
function showDoor(form) {
  document.title = "Чат";
  chat.hidden = true;
  door.hidden = false;
  for (const each of [signIn, register]) {
    each.hidden = each !== form;
    showError(each, "");
  }
  form.querySelector("input")?.focus();
}

/** @param {string} name */
function enter(name) {
  socket?.close();
  room = name;
  messages.clear();
  nameRoom(name);
  say("Подключаемся…");
  showRooms();
  socket = new RoomSocket(
    name,
    {
      opened() {
        messages.clear();
        say("");
        showRooms();
      },
      received: (frame) => messages.add(frame),
      lost: () => say("Связь потеряна. Подключаемся снова…"),
      signedOut: end,
    },
    isSignedIn,
  );
}

/** Only an answer that says so means no: the server may just be away. */
async function isSignedIn() {
  try {
    await api.me();
    return true;
  } catch (error) {
    return !isUnauthorized(error);
  }
}

async function showRooms() {
  /** @type {api.Room[]} */
  let rooms = [];
  try {
    rooms = await api.rooms();
  } catch {
    // The list stays as it was; the socket tells when something is wrong.
    if (roomList.childElementCount > 0) {
      return;
    }
  }
  if (!me) {
    return;
  }
  if (!rooms.some(({ name }) => name === room)) {
    rooms.unshift({ name: room, title: "", online: 0 });
  }
  const focused = document.activeElement?.getAttribute("href");
  roomList.replaceChildren(...rooms.map(roomItem));
  if (focused) {
    [...roomList.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
  }
  nameRoom(rooms.find(({ name }) => name === room)?.title || room);
}

/** @param {api.Room} room */
function roomItem({ name, title, online }) {
  const link = document.createElement("a");
  link.href = `#${encodeURIComponent(name)}`;
  const label = document.createElement("span");
  label.dir = "auto";
  label.textContent = title || name;
  link.append(label);
  if (online > 0) {
    const count = document.createElement("span");
    count.className = "online";
    count.title = "Сейчас в комнате";
    count.textContent = String(online);
    link.append(count);
  }
  if (name === room) {
    link.ariaCurrent = "page";
  }
  const item = document.createElement("li");
  item.append(link);
  return item;
}

/** @param {string} title */
function nameRoom(title) {
  roomTitle.textContent = title;
  document.title = `${title} · Чат`;
}

/** @param {boolean} open */
function openRooms(open) {
  chat.classList.toggle("rooms-open", open);
  roomsToggle.ariaExpanded = String(open);
}

/** The room is the part of the address behind `#`, so that it can be a link. */
function roomInAddress() {
  try {
    const name = decodeURIComponent(location.hash.slice(1));
    return name && !roomNameError(name) ? name : DEFAULT_ROOM;
  } catch {
    return DEFAULT_ROOM;
  }
}

/**
 * @param {string} name
 * @returns {string} empty if it is a room's name
 */
function roomNameError(name) {
  if ([...name].length > ROOM_NAME_MAX_CHARS) {
    return `Название длиннее ${ROOM_NAME_MAX_CHARS} символов.`;
  }
  return /\p{Cc}/u.test(name) ? "В названии есть управляющие символы." : "";
}

/** @param {string} name empty: everybody in the room */
function writeTo(name) {
  recipient.value = name;
  showRecipient();
  if (me) {
    text.focus();
  }
}

function showRecipient() {
  const isPrivate = recipient.value.trim() !== "";
  composer.classList.toggle("private", isPrivate);
  byId("to-everyone", HTMLElement).hidden = !isPrivate;
  byId("privacy", HTMLElement).textContent = isPrivate ? "увидите только вы двое" : "";
}

/** Says how long the text is once that matters. */
function count() {
  const length = charsOf(text.value);
  const isTooLong = length > TEXT_MAX_CHARS;
  const counter = byId("counter", HTMLElement);
  counter.textContent = length > COUNTED_FROM_CHARS ? `${length} из ${TEXT_MAX_CHARS} символов` : "";
  counter.classList.toggle("error", isTooLong);
  text.ariaInvalid = String(isTooLong);
}

/**
 * As the server counts: trimmed, and in characters, where `length` counts
 * most emoji twice.
 * @param {string} value
 */
function charsOf(value) {
  return [...value.trim()].length;
}

/**
 * @param {string} name
 * @returns {Promise<string>}
 */
function avatarOf(name) {
  const known = avatars.get(name);
  if (known) {
    return known;
  }
  if (avatars.size >= AVATARS_MAX) {
    avatars.clear();
  }
  const asked = api.user(name).then(
    ({ avatar }) => avatar,
    (error) => {
      // A name without an account has no picture; any other failure may pass.
      if (!(error instanceof api.ApiError && error.status === 404)) {
        avatars.delete(name);
      }
      return "";
    },
  );
  avatars.set(name, asked);
  return asked;
}

/**
 * Sends a form once at a time, and shows in it what went wrong.
 * @param {HTMLFormElement} form
 * @param {(data: FormData) => Promise<void>} send
 */
async function submitting(form, send) {
  const button = form.querySelector("button");
  if (!button || button.disabled) {
    return;
  }
  button.disabled = true;
  showError(form, "");
  try {
    await send(new FormData(form));
  } catch (error) {
    showError(form, wording(error));
  } finally {
    button.disabled = false;
  }
}

/**
 * @param {HTMLFormElement} form
 * @param {string} sentence
 */
function showError(form, sentence) {
  const place = form.querySelector(".error");
  if (place) {
    place.textContent = sentence;
  }
}

/** @param {string} sentence */
function say(sentence) {
  status.textContent = sentence;
}

/** @param {unknown} error */
function isUnauthorized(error) {
  return error instanceof api.ApiError && error.status === 401;
}

/** What this page itself does not accept, worded for people. */
class Refusal extends Error {}

/** The server's sentences, for people. @type {[RegExp, string][]} */
const WORDINGS = [
  [/^invalid credentials$/, "Неверное имя или пароль."],
  [/^username already exists$/, "Это имя уже занято."],
  [/^username and password are required$/, "Нужны имя и пароль."],
  [/^username too long/, "Имя слишком длинное: не больше 24 символов."],
  [/^username must not contain/, "В имени есть управляющие или невидимые символы."],
  [/^username looks like/, "Это имя слишком похоже на уже занятое."],
  [/^password too long/, "Пароль слишком длинный."],
  [/avatar|picture|image/i, "Картинка не подошла: нужен PNG, JPEG, GIF или WebP, до 10 МиБ."],
];
const BY_STATUS = new Map([
  [0, "Нет связи с сервером. Попробуйте ещё раз."],
  [413, "Картинка больше 10 МиБ."],
  [429, "Слишком много попыток. Подождите немного."],
  [500, "На сервере что-то сломалось. Попробуйте ещё раз."],
  [503, "Сервер занят. Попробуйте через несколько секунд."],
]);

/** @param {unknown} error */
function wording(error) {
  if (error instanceof Refusal) {
    return error.message;
  }
  if (!(error instanceof api.ApiError)) {
    console.error(error);
    return "Что-то пошло не так. Обновите страницу.";
  }
  const [, known] = WORDINGS.find(([pattern]) => pattern.test(error.sentence)) ?? [];
  return known ?? BY_STATUS.get(error.status) ?? (error.sentence || "Сервер ответил ошибкой. Попробуйте ещё раз.");
}

/**
 * @param {FormData} form
 * @param {string} name of a field that is not a file
 */
function field(form, name) {
  return String(form.get(name) ?? "");
}

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
function byId(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) {
    throw new Error(`index.html has no ${type.name} #${id}`);
  }
  return element;
}
