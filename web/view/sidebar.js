// The sidebar: the rooms, and the private conversations.

import { addressOf } from "../logic/address.js";
import { count, t, titleOf } from "../words.js";
import { avatar } from "./avatar.js";
import { byId, element, isolated, symbol } from "./dom.js";
import { Lines } from "./lines.js";

/** @typedef {import("../logic/conversation.js").Key} Key */

/** @typedef {EventTarget & { destroy: () => void }} CloseWatcher TypeScript's types lack it */

/**
 * @typedef {object} Line
 * @property {Key} key
 * @property {string} title
 * @property {number} unread
 * @property {boolean} isMentioned
 * @property {boolean} isJoined
 * @property {boolean} isMuted counts as unread only if it mentions the user
 * @property {number} online users in the room; for a user 1 or 0
 * @property {"failed" | "waiting" | "draft" | ""} unfinished whether there are messages that are not sent, or a draft
 */

export class Sidebar {
  #rooms = new Lines(byId("rooms", HTMLElement), lineOf);
  #people = new Lines(byId("people", HTMLElement), lineOf);
  #nobody = byId("nobody", HTMLElement);
  #chat = byId("chat", HTMLElement);
  #sidebar = byId("sidebar", HTMLElement);
  #talk = byId("talk", HTMLElement);
  #narrow = matchMedia("(width < 48rem)");
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

  /** @param {boolean} isOpen matters on a phone, where the sidebar covers the conversation */
  open(isOpen) {
    const wasOpen = this.isOpen;
    this.#watcher?.destroy();
    this.#watcher = null;
    this.#chat.classList.toggle("sidebar-open", isOpen);
    this.#sidebar.inert = this.#narrow.matches && !isOpen;
    this.#talk.inert = this.#narrow.matches && isOpen;
    if (this.#narrow.matches && isOpen) {
      // The Back gesture of a phone closes it, in browsers that support that.
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
    /** @param {Line[]} lines */
    const byKey = (lines) => new Map(lines.map((line) => [line.key, { ...line, isCurrent: line.key === current }]));
    this.#rooms.show(byKey(rooms));
    this.#people.show(byKey(people));
    this.#nobody.hidden = people.length > 0;
  }
}

/** @param {string} key */
function lineOf(key) {
  const isRoom = key.startsWith("#");
  const link = element("a", "line");
  link.href = addressOf(/** @type {Key} */ (key));
  link.dataset.key = key;
  const front = isRoom ? element("span", "sign", "#") : element("span", "with-presence", avatar(key.slice(1), "small"));
  if (isRoom) front.ariaHidden = "true";
  const name = isolated("", "title");
  const mark = element("span");
  const number = element("span");
  number.ariaHidden = "true";
  const spoken = element("span", "unseen");
  // The elements stay when their content changes: a click may begin on any of them.
  link.append(front, name, mark, number, spoken);
  /** @param {Line & { isCurrent: boolean }} line */
  const show = ({ title, unread, isMentioned, isJoined, isMuted, online, unfinished, isCurrent }) => {
    link.classList.toggle("unread", unread > 0 && (!isMuted || isMentioned));
    link.classList.toggle("joined", isJoined);
    link.ariaCurrent = isCurrent ? "page" : null;
    front.classList.toggle("online", !isRoom && online > 0);
    name.textContent = isRoom ? titleOf(title) : title;
    const words = [];
    mark.hidden = !unfinished;
    mark.className = "";
    if (unfinished) {
      mark.className = `unfinished ${unfinished}`;
      mark.title = { failed: t.notSent, waiting: t.waiting, draft: t.draft }[unfinished];
      mark.replaceChildren(symbol(unfinished));
      words.push(mark.title);
    }
    const isCrowd = isRoom && unread === 0 && online > 0;
    number.hidden = unread === 0 && !isCrowd;
    number.className = isCrowd ? "online-count" : unread > 0 ? "badge" : "";
    number.classList.toggle("loud", unread > 0 && (isMentioned || !isRoom));
    number.textContent = isCrowd ? count(online) : `${isMentioned ? "@" : ""}${count(unread)}`;
    number.title = isCrowd ? t.hereNow(online) : "";
    if (unread > 0) {
      words.push(t.unread(unread));
    } else if (online > 0) {
      words.push(isRoom ? t.hereNow(online) : t.online);
    }
    spoken.textContent = words.map((word) => `, ${word}`).join("");
  };
  return { node: element("li", "", link), show };
}
