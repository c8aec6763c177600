// The page: the door (signing in and registering), or the chat of a user who is
// signed in.

import * as api from "./api.js";
import { BASE, ROOT, below, targetOf } from "./logic/address.js";
import { Memory, settings } from "./settings.js";
import { knowPicture, avatar } from "./view/avatar.js";
import { byId, isolated, LATER_AFTER_MS, symbol, TOUCH, want, wantStyle } from "./view/dom.js";
import { chatTitle, language, setLanguage, t, translate, wantLaterWords } from "./words.js";

/** @typedef {import("./view/chat.js").Chat} Chat */
/** @typedef {import("./view/door.js").Door} Door */
/** @typedef {import("./view/settings-dialog.js").SettingsDialog} SettingsDialog */

/** @type {Chat | null} */
let chat = null;
/** @type {Door | null} */
let door = null;
/** Made when it is first wanted. @type {Promise<SettingsDialog> | null} */
let dialog = null;
/** Whether the user is signing out: that may end the connection before the request is answered. */
let isLeaving = false;

// A user who was here before will hardly need the door. Others see the door first,
// and the rest is loaded while they type a name.
const chatCode = settings.user ? import("./view/chat.js") : null;
if (!settings.user) learnWhose();
const frame = byId("chat", HTMLElement);
const me = byId("me", HTMLButtonElement);

showLanguage();
// The first view needs its code more than the fonts.
setTimeout(() => import("./view/fonts.js").then(({ wantFonts }) => wantFonts(() => chatCode !== null || chat !== null)).catch(() => {}), chatCode ? LATER_AFTER_MS : 300);
if (TOUCH.matches) import("./view/keyboard.js").then(({ fitKeyboard }) => fitKeyboard(), () => {});
start();

document.addEventListener("click", async ({ target }) => {
  const choice = target instanceof Element ? target.closest("[data-language]") : null;
  const chosen = choice instanceof HTMLElement ? choice.dataset.language : "";
  if (chosen) {
    await setLanguage(chosen);
    showLanguage();
  }
});
me.addEventListener("click", () => openSettings());
byId("find", HTMLElement).addEventListener("click", () => chat?.find());

async function start() {
  const { pathname, hash } = location;
  // The service worker is for addresses that begin with the root.
  if (pathname === BASE) history.replaceState(null, "", ROOT + hash);
  try {
    if (/^\/(join|password)\/|^\/#setup=/.test((below(pathname) ?? "") + hash)) await import("./view/links.js").then(({ follow }) => follow({ enter, openDoor }));
    else await enter();
  } catch (error) {
    const isSignedOut = error instanceof api.ApiError && error.status === 401;
    const known = settings.user;
    if (isSignedOut) forgetKept();
    if (isSignedOut && (await import("./elsewhere.js").then(({ leave }) => leave(SENT_AWAY)))) return;
    if (!isSignedOut && known) {
      // The server does not answer: what is written now is sent once it does.
      await begin(known);
    } else {
      await openDoor(isSignedOut ? null : error);
      setTimeout(() => import("./view/chat.js").catch(() => {}), LATER_AFTER_MS);
    }
  }
  navigator.serviceWorker?.register(`${BASE}/sw.js`).catch(() => {});
}

/** Opens the chat of the user who is signed in. */
async function enter() {
  const known = settings.user;
  const asked = api.me();
  // What is kept does not wait for a slow server. A session that has ended ends the chat then.
  const isKept = known && known.username === settings.kept;
  const user = await (isKept ? Promise.race([asked, new Promise((done) => setTimeout(done, SHOWN_AFTER_MS, known))]) : asked);
  if (known && known.username !== user.username) {
    forgetKept();
    history.replaceState(null, "", targetOf(location)?.key.startsWith("@") ? ROOT : location.href);
  }
  await begin(user);
}

/** @param {api.User} user */
async function begin(user) {
  const { Chat } = await (chatCode ?? import("./view/chat.js"));
  settings.user = user;
  sessionStorage.removeItem(SENT_AWAY);
  new Memory(user.username).welcome(user.created_at);
  knowPicture(user.username, user.avatar);
  door?.close();
  frame.hidden = false;
  me.replaceChildren(avatar(user.username, "small"), isolated(user.username, "title"), symbol("more"));
  chat = new Chat(user, { signedOut: () => end(), role: changeRole, settings: openSettings });
  chat.start();
  // Not only when it is opened: the server may have another version by then.
  setTimeout(theSettings, LATER_AFTER_MS);
  setTimeout(learnWhose, LATER_AFTER_MS);
  // The session may be another one, and the browser may have changed the subscription.
  setTimeout(() => import("./push.js").then(({ renewPush }) => renewPush(user.push_key)).catch(() => {}), LATER_AFTER_MS);
}

/** @param {boolean} isAdministrator */
function changeRole(isAdministrator) {
  if (settings.user) settings.user = Object.assign(settings.user, { role: isAdministrator ? "administrator" : "member" });
  theSettings().then((dialog) => dialog.showServer(), () => {});
}

/**
 * Ends the chat and loads the page again, so that it keeps nothing of what was read.
 * @param {boolean} [isLeft] whether the user has signed out, and the session has not ended by itself
 * @param {string} [elsewhere] where the user signs out, too
 */
async function end(isLeft = false, elsewhere = "") {
  settings.user = null;
  try {
    await chat?.end(isLeft || isLeaving);
  } finally {
    await forgetKept();
    await import("./push.js").then(({ forgetPush }) => forgetPush()).catch(() => {});
    history.replaceState(null, "", ROOT);
    elsewhere ? location.replace(elsewhere) : location.reload();
  }
}

/** Deletes the messages that this browser keeps. What is left is deleted before others are kept. */
async function forgetKept() {
  settings.kept = null;
  await import("./kept-store.js").then(({ deleteKept }) => deleteKept()).catch(() => {});
}

/**
 * @param {unknown} error the reason why the chat cannot be opened; null: nobody is signed in
 * @param {import("./view/links.js").Link} [link]
 */
async function openDoor(error, { entered = enter, invitation, isPasswordSet } = {}) {
  const [{ Door }] = await Promise.all([import("./view/door.js"), wantLaterWords(), want("door").catch(() => {}), Promise.race([learnWhose(), new Promise((done) => setTimeout(done, NAMED_AFTER_MS))])]);
  const { key = "" } = targetOf(location) ?? {};
  door ??= new Door(entered, key.startsWith("#") ? key.slice(1) : "", invitation);
  door.open(error, isPasswordSet);
}

/** Where it is noted that a visitor was sent to sign in, and has not come back yet. */
const SENT_AWAY = "sent to sign in";

/** @param {import("./view/settings-dialog.js").PageName} [page] */
function openSettings(page) {
  theSettings().then(
    (dialog) => dialog.open(page),
    () => chat?.toast(t.somethingBroke),
  );
}

function theSettings() {
  dialog ??= Promise.all([import("./view/settings-dialog.js"), want("later"), wantStyle("door")]).then(
    ([{ SettingsDialog }]) => new SettingsDialog(() => chat, { leaving: (value) => (isLeaving = value), signedOut: (elsewhere) => end(true, elsewhere) }),
  );
  // Without a network it fails, and may be tried again.
  dialog.catch(() => (dialog = null));
  return dialog;
}

async function learnWhose() {
  await import("./whose.js").then(({ learnWhose }) => learnWhose()).catch(() => {});
}

async function showLanguage() {
  translate(document);
  door?.retranslate();
  chat?.retranslate();
  for (const choice of document.querySelectorAll("[data-language]")) {
    choice.ariaPressed = String(choice instanceof HTMLElement && choice.dataset.language === language);
  }
  if (!chat) document.title = chatTitle();
  (await dialog)?.retranslate();
}

/** The door opens after this time even if it is not known yet whose chat it is. */
const NAMED_AFTER_MS = 1_000;
/** The chat of a user of whom messages are kept opens after this time even without an answer. */
const SHOWN_AFTER_MS = 700;