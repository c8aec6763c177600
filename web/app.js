// The page: the door for those who are not signed in, the chat for the others.

import * as api from "./api.js";
import { targetOf } from "./logic/address.js";
import { settings } from "./settings.js";
import { knowPicture, avatar } from "./view/avatar.js";
import { byId, isolated, LATER_AFTER_MS, openOnceLoaded, symbol, want } from "./view/dom.js";
import { language, setLanguage, t, translate, wantLaterWords } from "./words.js";

/** @typedef {import("./view/chat.js").Chat} Chat */
/** @typedef {import("./view/door.js").Door} Door */
/** @typedef {import("./view/menu.js").Menu} Menu */

/** @type {Chat | null} */
let chat = null;
/** @type {Door | null} */
let door = null;
/** Made when it is first wanted. @type {Promise<Menu> | null} */
let menu = null;
let isMenuThere = false;
/** Somebody is signing out: that may end the connection before it is answered. */
let isLeaving = false;

// Whoever was here before will hardly need the door; others see it first, and
// have the rest by the time they have typed a name.
const chatCode = settings.user ? import("./view/chat.js") : null;
const frame = byId("chat", HTMLElement);
const me = byId("me", HTMLButtonElement);

showLanguage();
fitKeyboard();
start();

for (const choice of document.querySelectorAll("[data-language]")) {
  choice.addEventListener("click", async () => {
    const chosen = choice instanceof HTMLElement ? choice.dataset.language : "";
    if (chosen === "ru" || chosen === "en") {
      await setLanguage(chosen);
      showLanguage();
    }
  });
}
const menuFrame = byId("settings", HTMLElement);
openOnceLoaded(me, () => isMenuThere, theMenu, () => chat?.toast(t.somethingBroke));
menuFrame.addEventListener("beforetoggle", async () => (await theMenu()).show());
byId("find", HTMLElement).addEventListener("click", () => chat?.find());

async function start() {
  try {
    await enter();
  } catch (error) {
    const isSignedOut = error instanceof api.ApiError && error.status === 401;
    const known = settings.user;
    if (!isSignedOut && known) {
      // The server is away; what is written now goes out once it is back.
      await begin(known);
    } else {
      await openDoor(isSignedOut ? null : error);
      import("./view/chat.js").catch(() => {});
    }
  }
  navigator.serviceWorker?.register("/sw.js").catch(() => {});
}

/** Opens the chat for whoever is signed in. */
async function enter() {
  const user = await api.me();
  if (settings.user && settings.user.username !== user.username) {
    history.replaceState(null, "", targetOf(location)?.key.startsWith("@") ? "/" : location.href);
  }
  await begin(user);
}

/** @param {api.User} user */
async function begin(user) {
  const { Chat } = await (chatCode ?? import("./view/chat.js"));
  settings.user = user;
  knowPicture(user.username, user.avatar);
  door?.close();
  frame.hidden = false;
  me.replaceChildren(avatar(user.username, "small"), isolated(user.username, "title"), symbol("more"));
  chat = new Chat(user, { signedOut: () => end(), showKeys: async () => (await theMenu()).showKeys() });
  chat.start();
  // Not only when it is wanted: the server may have another page by then.
  setTimeout(theMenu, LATER_AFTER_MS);
}

/**
 * Nothing of what was read stays with the page of somebody who signed out.
 * @param {boolean} [isLeft] for good, and not because the session is over
 */
async function end(isLeft = false) {
  settings.user = null;
  try {
    await chat?.end(isLeft || isLeaving);
  } finally {
    history.replaceState(null, "", "/");
    location.reload();
  }
}

/** @param {unknown} error why one is here, and not in the chat; null: nobody is signed in */
async function openDoor(error) {
  const [{ Door }] = await Promise.all([import("./view/door.js"), wantLaterWords(), want("door").catch(() => {})]);
  const { key = "" } = targetOf(location) ?? {};
  door ??= new Door(enter, key.startsWith("#") ? key.slice(1) : "");
  door.open(error);
}

function theMenu() {
  menu ??= Promise.all([import("./view/menu.js"), want("later")]).then(([{ Menu }]) => {
    isMenuThere = true;
    return new Menu(() => chat, {
      leaving: (value) => (isLeaving = value),
      signedOut: () => end(true),
    });
  });
  // What failed for want of a network may be tried again.
  menu.catch(() => (menu = null));
  return menu;
}

async function showLanguage() {
  translate(document);
  door?.retranslate();
  chat?.retranslate();
  for (const choice of document.querySelectorAll("[data-language]")) {
    choice.ariaPressed = String(choice instanceof HTMLElement && choice.dataset.language === language);
  }
  if (!chat) document.title = t.chat;
  (await menu)?.retranslate();
}

/** On some phones a keyboard covers the page instead of making it smaller. */
function fitKeyboard() {
  const viewport = window.visualViewport;
  viewport?.addEventListener("resize", () => {
    const covered = window.innerHeight - viewport.height * viewport.scale;
    document.documentElement.style.setProperty("--covered", `${covered > 60 ? covered : 0}px`);
  });
}
