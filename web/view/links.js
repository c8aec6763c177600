// Links that lead to the page and name no conversation: an invitation (`/join/…`), a new
// password (`/password/…`), and the first administrator (`/#setup=…`).

import { ApiError, call, me } from "../api.js";
import { BASE, ROOT, addressOf, below } from "../logic/address.js";
import { rooms as listRooms } from "../rooms.js";
import { settings } from "../settings.js";
import { learnWhose } from "../whose.js";
import { wording } from "../wording.js";
import { chatTitle, t, translate } from "../words.js";
import { avatar, knowPicture } from "./avatar.js";
import { byId, element, want } from "./dom.js";
import { sentenceOf } from "./door.js";
import { make } from "./make.js";
import { fieldOf, show } from "./settings-password.js";
import { addSymbols } from "./symbols.js";

/** @typedef {import("./door.js").Invitation} Invitation */
/** @typedef {{ entered?: () => Promise<void>, invitation?: Invitation, isPasswordSet?: boolean }} Link what led to the door; `entered`: what follows after signing in, instead of the chat */

/**
 * The page that the link leads to.
 * @typedef {object} Page
 * @property {() => Promise<void>} enter opens the chat of the user who is signed in
 * @property {(error: unknown, link?: Link) => Promise<void>} openDoor
 */

/**
 * Follows the link that the address is.
 * @param {Page} page
 */
export async function follow(page) {
  await Promise.all([want("door"), learnWhose()]);
  const [, kind, secret = ""] = (below(location.pathname) ?? "").split("/");
  if (kind === "join") return join(secret, page);
  if (kind === "password") return choosePassword(secret, page);
  const code = decode(location.hash.slice("#setup=".length));
  // Whoever sees the address of the chat later must not learn the code.
  history.replaceState(null, "", ROOT);
  return setUp(code, page);
}

/**
 * @param {string} secret as it stands in the address
 * @param {Page} page
 */
async function join(secret, { enter, openDoor }) {
  /** @type {Invitation} */
  let invitation;
  try {
    invitation = { ...(await call(`/api/join/${secret}`)), secret: decode(secret) };
  } catch (error) {
    return error instanceof ApiError && error.status === 0 ? sayOffline() : refuse(error, "invitationGone");
  }
  const enterRoom = async () => {
    history.replaceState(null, "", await roomOf(secret, invitation));
    await enter();
  };
  if (!(await isSignedIn())) return openDoor(null, { invitation, entered: enterRoom });
  knowPicture(invitation.by, invitation.avatar);
  const words = element("p");
  words.textContent = sentenceOf(invitation);
  const press = pressOf("joinRoom", "invitationGone", async () => location.replace(await joinRoom(secret)));
  open([avatar(invitation.by), words], press);
}

/**
 * Becomes a member of the room of an invitation.
 * @param {string} secret
 * @returns {Promise<string>} the address of the room, or of the chat
 */
async function joinRoom(secret) {
  const { room } = await call(`/api/join/${secret}`, { method: "POST" });
  return room ? addressOf(`#${room}`) : ROOT;
}

/**
 * The same for somebody who may just have registered with the invitation, and used it up.
 * @param {string} secret
 * @param {Invitation} invitation
 */
async function roomOf(secret, { title, to_room }) {
  try {
    return await joinRoom(secret);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const { rooms } = to_room ? await listRooms() : { rooms: [] };
    const joined = rooms.find((room) => room.title === title && room.member);
    return joined ? addressOf(`#${joined.name}`) : ROOT;
  }
}

/**
 * @param {string} secret
 * @param {Page} page
 */
async function choosePassword(secret, { openDoor }) {
  addSymbols({ eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM9.2 12a2.8 2.8 0 1 0 5.6 0 2.8 2.8 0 1 0-5.6 0z" });
  const rule = make("small", { id: "password-link-hint" }, t.passwordRule((await learnWhose())?.password_min_chars ?? 8));
  const field = fieldOf("password-link", "passwordNew", "new-password", rule);
  const wrong = make("p", { class: "error", role: "alert" });
  const submit = make("button", { class: "primary", "data-t": "setPassword" });
  const form = make("form", { id: "password-link-form", method: "post", action: `${BASE}/api/password`, novalidate: true }, field.node, wrong, submit);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    wrong.textContent = field.wrong.textContent = "";
    field.input.ariaInvalid = null;
    if (!field.input.value) return show(field, t.passwordNeeded);
    if (submit.ariaBusy === "true") return;
    submit.ariaBusy = "true";
    try {
      await call("/api/password", json({ secret: decode(secret), new: field.input.value }));
      history.replaceState(null, "", ROOT);
      await openDoor(null, { isPasswordSet: true });
    } catch (error) {
      const [at, sentence] = wording(error);
      if (error instanceof ApiError && error.status === 404) refuse(error, "linkGone");
      else if (at === "password") show(field, sentence);
      else wrong.textContent = sentence;
    } finally {
      submit.ariaBusy = null;
    }
  });
  open(linesOf("newPassword"), form);
  if (!navigator.onLine) wrong.textContent = t.noNetwork;
  field.input.focus();
}

/**
 * @param {string} code
 * @param {Page} page
 */
async function setUp(code, { openDoor }) {
  const ask = async () => {
    const press = pressOf("becomeAdministrator", "linkGone", async () => {
      await call("/api/setup", json({ code }));
      say("isAdministrator");
    });
    open(linesOf("setUp", "setUpHint"), press);
  };
  return (await isSignedIn()) ? ask() : openDoor(null, { entered: ask });
}

async function isSignedIn() {
  try {
    await me();
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return false;
    throw error;
  }
}

/**
 * One button, which does something.
 * @param {string} word
 * @param {"invitationGone" | "linkGone"} gone what is said if the link is not valid
 * @param {() => Promise<void>} act
 */
function pressOf(word, gone, act) {
  const wrong = make("p", { class: "error", role: "alert" });
  const submit = make("button", { class: "primary", "data-t": word });
  const form = make("form", { id: "link-form" }, wrong, submit);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (submit.ariaBusy === "true") return;
    submit.ariaBusy = "true";
    wrong.textContent = "";
    try {
      await act();
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) refuse(error, gone);
      else wrong.textContent = wording(error)[1];
    } finally {
      submit.ariaBusy = null;
    }
  });
  return form;
}

/**
 * @param {unknown} error
 * @param {"invitationGone" | "linkGone"} gone
 */
function refuse(error, gone) {
  if (!(error instanceof ApiError && error.status === 404)) throw error;
  say(gone, "linkGoneHint");
}

/** Says that there is no network, and follows the link again once there is one. */
function sayOffline() {
  const form = pressOf("tryNow", "linkGone", async () => location.reload());
  addEventListener("online", () => location.reload());
  open(linesOf("noNetwork", "noNetworkHint"), form);
  form.querySelector("button")?.focus();
}

/**
 * Says something, and shows the way to the chat.
 * @param {string} news
 * @param {...string} hints
 */
function say(news, ...hints) {
  const toChat = make("button", { class: "primary", "data-t": "toTheChat" });
  const form = make("form", { id: "link-form" }, toChat);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    // It loads the page again, without the secret in the address.
    location.replace(ROOT);
  });
  open(linesOf(news, ...hints), form);
  toChat.focus();
}

/**
 * What stands above a card: what has happened, and a hint.
 * @param {string} news
 * @param {...string} hints
 */
function linesOf(news, ...hints) {
  return [make("p", { class: "door-news", "data-t": news }), ...hints.map((hint) => make("p", { "data-t": hint }))];
}

/**
 * Shows a card in place of the door.
 * @param {HTMLElement[]} head
 * @param {HTMLElement} form
 */
function open(head, form) {
  const door = byId("door", HTMLElement);
  const title = make("h1", { dir: "auto" }, chatTitle());
  const logo = make("img", { alt: "", width: "64", height: "64", src: settings.server?.logo || byId("favicon", HTMLLinkElement).href });
  document.title = chatTitle();
  door.replaceChildren(make("div", { class: "door-head", role: "status" }, logo, title, ...head), make("div", { class: "card" }, form));
  translate(door);
  door.hidden = false;
}

/** @param {object} body */
function json(body) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

/** @param {string} escaped */
function decode(escaped) {
  try {
    return decodeURIComponent(escaped);
  } catch {
    return escaped;
  }
}
