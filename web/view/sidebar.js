// Rooms and people at the side.

import { addressOf } from "../logic/address.js";
import { count, t, titleOf } from "../words.js";
import { avatar } from "./avatar.js";
import { byId, element, isolated, symbol } from "./dom.js";

/** @typedef {import("../logic/conversation.js").Key} Key */

/** @typedef {EventTarget & { destroy: () => void }} CloseWatcher TypeScript's types lack it */

/**
 * @typedef {object} Line
 * @property {Key} key
 * @property {string} title
 * @property {number} unread
 * @property {boolean} isMentioned
 * @property {boolean} isJoined
 * @property {boolean} isMuted counts only where one is named
 * @property {number} online in a room; of a person 1 or 0
 * @property {"failed" | "waiting" | "draft" | ""} unfinished what was written there and has not come to rest
 */

export class Sidebar {
  #rooms = byId("rooms", HTMLElement);
  #people = byId("people", HTMLElement);
  #nobody = byId("nobody", HTMLElement);
  #chat = byId("chat", HTMLElement);
  #sidebar = byId("sidebar", HTMLElement);
  #talk = byId("talk", HTMLElement);
  #narrow = matchMedia("(width < 48rem)");
  #shown = "";
  /** @type {CloseWatcher | null} */
  #watcher = null;

  constructor() {
    byId("open-sidebar", HTMLElement).addEventListener("click", () => this.open(true));
    byId("close-sidebar", HTMLElement).addEventListener("click", () => this.open(false));
    byId("veil", HTMLElement).addEventListener("click", () => this.open(false));
    this.#narrow.addEventListener("change", () => this.open(false));
    this.open(false);
  }

  get isOpen() {
    return this.#narrow.matches && this.#chat.classList.contains("sidebar-open");
  }

  /** @param {boolean} isOpen on a phone, where it covers the conversation */
  open(isOpen) {
    const wasOpen = this.isOpen;
    this.#watcher?.destroy();
    this.#watcher = null;
    this.#chat.classList.toggle("sidebar-open", isOpen);
    this.#sidebar.inert = this.#narrow.matches && !isOpen;
    this.#talk.inert = this.#narrow.matches && isOpen;
    if (this.#narrow.matches && isOpen) {
      // What goes back on a phone closes it, where the browser tells.
      const { CloseWatcher } = /** @type {Window & { CloseWatcher?: new () => CloseWatcher }} */ (window);
      this.#watcher = CloseWatcher ? new CloseWatcher() : null;
      this.#watcher?.addEventListener("close", () => this.open(false));
      byId("find", HTMLElement).focus();
    } else if (wasOpen) {
      byId("open-sidebar", HTMLElement).focus();
    }
  }

  /**
   * @param {Line[]} rooms
   * @param {Line[]} people
   * @param {Key | null} current
   */
  show(rooms, people, current) {
    const shown = JSON.stringify([rooms, people, current, t.chat]);
    if (shown === this.#shown) {
      return;
    }
    this.#shown = shown;
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.key : undefined;
    fill(this.#rooms, rooms, current);
    fill(this.#people, people, current);
    this.#nobody.hidden = people.length > 0;
    if (focused) {
      const link = [...this.#sidebar.querySelectorAll("a")].find(({ dataset }) => dataset.key === focused);
      link?.focus({ preventScroll: true });
    }
  }
}

/**
 * @param {HTMLElement} list
 * @param {Line[]} lines
 * @param {Key | null} current
 */
function fill(list, lines, current) {
  list.replaceChildren(...lines.map((line) => element("li", "", lineLink(line, line.key === current))));
}

/**
 * @param {Line} line
 * @param {boolean} isCurrent
 */
function lineLink({ key, title, unread, isMentioned, isJoined, isMuted, online, unfinished }, isCurrent) {
  const isRoom = key.startsWith("#");
  const link = element("a", "line");
  link.href = addressOf(key);
  link.dataset.key = key;
  link.classList.toggle("unread", unread > 0 && (!isMuted || isMentioned));
  link.classList.toggle("joined", isJoined);
  if (isCurrent) {
    link.ariaCurrent = "page";
  }
  if (isRoom) {
    const sign = element("span", "sign", "#");
    sign.ariaHidden = "true";
    link.append(sign);
  } else {
    const picture = element("span", "with-presence", avatar(title, "small"));
    picture.classList.toggle("online", online > 0);
    link.append(picture);
  }
  link.append(isolated(isRoom ? titleOf(title) : title, "title"));
  if (unfinished) {
    const words = { failed: t.notSent, waiting: t.waiting, draft: t.draft }[unfinished];
    const mark = element("span", `unfinished ${unfinished}`, symbol(unfinished));
    mark.title = words;
    link.append(mark, element("span", "unseen", `, ${words}`));
  }
  if (unread > 0) {
    const badge = element("span", "badge", `${isMentioned ? "@" : ""}${count(unread)}`);
    badge.classList.toggle("loud", isMentioned || !isRoom);
    badge.ariaHidden = "true";
    link.append(badge, element("span", "unseen", `, ${t.unread(unread)}`));
  } else if (isRoom && online > 0) {
    const here = element("span", "online-count", count(online));
    here.title = t.hereNow(online);
    here.ariaHidden = "true";
    link.append(here, element("span", "unseen", `, ${t.hereNow(online)}`));
  } else if (!isRoom && online > 0) {
    link.append(element("span", "unseen", `, ${t.online}`));
  }
  return link;
}
