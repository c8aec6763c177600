// What is known of users by their names: their picture, or the first letter of the name, and
// whether a user is a bot.

import * as api from "../api.js";
import { t } from "../words.js";
import { element } from "./dom.js";

/** @extends {HTMLElement} */
export class ChatAvatar extends HTMLElement {
  static observedAttributes = ["name"];

  connectedCallback() {
    this.ariaHidden = "true";
    this.#show();
  }

  attributeChangedCallback() {
    if (this.isConnected) {
      this.#show();
    }
  }

  #show() {
    const name = this.getAttribute("name") ?? "";
    this.replaceChildren();
    // Drawn by the style: the letter replaces a picture, and is no text.
    this.dataset.initial = initialOf(name);
    this.dataset.tint = String(tintOf(name));
    const known = pictures.get(name);
    if (typeof known === "string") {
      this.#picture(known);
    } else {
      pictureOf(name).then((address) => this.getAttribute("name") === name && this.#picture(address));
    }
  }

  /** @param {string} address */
  #picture(address) {
    if (!address) {
      return;
    }
    const picture = new Image();
    picture.alt = "";
    picture.decoding = "async";
    picture.onload = () => this.replaceChildren(picture);
    picture.src = address;
  }
}

/**
 * @param {string} name
 * @param {string} [className]
 */
export function avatar(name, className = "") {
  const made = document.createElement("chat-avatar");
  made.className = className;
  made.setAttribute("name", name);
  return made;
}

/**
 * @param {string} name
 * @param {string} address
 * @param {boolean} [isBot]
 */
export function knowPicture(name, address, isBot) {
  pictures.set(name, address);
  if (isBot) bots.add(name);
  if (nobodies.delete(name)) document.dispatchEvent(new Event("nobody"));
}

/**
 * Whether the server has said that there is no account of this name. When it does so, or
 * somebody has it after all, the document gets an event `nobody`.
 * @param {string} name
 */
export function isNobody(name) {
  return nobodies.has(name);
}

/**
 * Adds to an element that shows a name that it is that of a bot, once that is known.
 * @param {HTMLElement} shown
 * @param {string} name
 */
export function markBot(shown, name) {
  const mark = () => {
    if (bots.has(name)) shown.append(" ", element("span", "bot", t.bot));
  };
  bots.has(name) ? mark() : pictureOf(name).then(mark);
}

/** @param {string} name */
export function tintOf(name) {
  let hash = 2_166_136_261;
  for (const char of name) {
    hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 16_777_619);
  }
  return ((hash ^ (hash >>> 15)) >>> 3) % TINTS;
}

/** @param {string} name */
function initialOf(name) {
  const [first] = SEGMENTER.segment(name);
  return first?.segment.toUpperCase() ?? "";
}

/**
 * @param {string} name
 * @returns {Promise<string>} empty where there is none
 */
async function pictureOf(name) {
  const known = pictures.get(name);
  if (known !== undefined) {
    return known;
  }
  if (pictures.size > PICTURES_MAX) {
    pictures.clear();
  }
  const asked = ask(name);
  pictures.set(name, asked);
  return asked;
}

/** @param {string} name */
async function ask(name) {
  // A few requests at a time: the first page of a room may have fifty authors.
  while (asking >= ASKING_MAX) {
    await new Promise((resolve) => queue.push(resolve));
  }
  asking += 1;
  try {
    const { avatar, bot } = await api.user(name);
    knowPicture(name, avatar, bot);
    return avatar;
  } catch (error) {
    // A user without an account has no picture. Other errors may be temporary.
    const isUnknown = error instanceof api.ApiError && error.status === 404;
    isUnknown ? pictures.set(name, "") : pictures.delete(name);
    if (isUnknown && nobodies.size < PICTURES_MAX) {
      nobodies.add(name);
      document.dispatchEvent(new Event("nobody"));
    }
    return "";
  } finally {
    asking -= 1;
    queue.shift()?.(undefined);
  }
}

/** Addresses of pictures by name; empty: the user has none. @type {Map<string, string | Promise<string>>} */
const pictures = new Map();
/** Names of bots. @type {Set<string>} */
const bots = new Set();
/** @type {Set<string>} */
const nobodies = new Set();
/** @type {((value: unknown) => void)[]} */
const queue = [];
let asking = 0;
const ASKING_MAX = 4;
const PICTURES_MAX = 2_000;
/** The number of colours behind first letters, as in `style/tokens.css`. */
const TINTS = 8;
const SEGMENTER = new Intl.Segmenter();

customElements.define("chat-avatar", ChatAvatar);
