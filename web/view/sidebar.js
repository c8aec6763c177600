// The sidebar: the rooms, and the private conversations.

import { UNREAD_MAX } from "../logic/account.js";
import { addressOf } from "../logic/address.js";
import { t } from "../words.js";
import { avatar } from "./avatar.js";
import { byId, element, isolated, Lines, symbol } from "./dom.js";

/** @typedef {import("../logic/conversation.js").Key} Key */

/** @typedef {EventTarget & { destroy: () => void }} CloseWatcher TypeScript's types lack it */

/**
 * @typedef {object} Line
 * @property {Key} key
 * @property {string} title
 * @property {number} unread
 * @property {boolean} isMentioned
 * @property {boolean} isLoud whether there is something unread that the user wants to know of
 * @property {boolean} isClosed whether it is a room that only its members see
 * @property {boolean} isMember whether the room is one of the account, and not archived
 * @property {boolean} isOnline whether it is a user who is online
 * @property {"failed" | "waiting" | "draft" | ""} unfinished whether there are messages that are not sent, or a draft
 */

export class Sidebar {
  #rooms = new Lines(byId("rooms", HTMLElement), lineOf);
  #people = new Lines(byId("people", HTMLElement), lineOf);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #settling;
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

  #settle() {
    this.#sidebar.classList.remove("settling");
  }

  /**
   * @param {Line[]} rooms
   * @param {Line[]} people
   * @param {Key | null} current
   * @param {boolean} isComplete whether the account has said what it has; before, the list may be that of the address only
   */
  show(rooms, people, current, isComplete) {
    /** @param {Line[]} lines */
    const byKey = (lines) => new Map(lines.map((line) => [line.key, { ...line, isCurrent: line.key === current }]));
    this.#rooms.show(byKey(rooms));
    this.#people.show(byKey(people));
    this.#nobody.hidden = people.length > 0 || !isComplete;
    if (rooms.length + people.length > (isComplete ? 0 : 1)) this.#settle();
    this.#settling ??= setTimeout(() => this.#settle(), SETTLED_AFTER_MS);
  }
}

/** @param {string} key */
function lineOf(key) {
  const isRoom = key.startsWith("#");
  const link = element("a", "line");
  link.href = addressOf(/** @type {Key} */ (key));
  link.dataset.key = key;
  const front = isRoom ? element("span", "sign") : element("span", "with-presence", avatar(key.slice(1), "small"));
  if (isRoom) front.ariaHidden = "true";
  const name = isolated("", "title");
  const mark = element("span");
  const number = element("span");
  number.ariaHidden = "true";
  const spoken = element("span", "unseen");
  // The elements stay when their content changes: a click may begin on any of them.
  link.append(front, name, mark, number, spoken);
  /** @param {Line & { isCurrent: boolean }} line */
  const show = ({ title, unread, isMentioned, isLoud, isClosed, isMember, isOnline, unfinished, isCurrent }) => {
    link.classList.toggle("unread", isLoud);
    link.classList.toggle("member", isMember);
    link.ariaCurrent = isCurrent ? "page" : null;
    front.classList.toggle("online", isOnline);
    if (isRoom) front.replaceChildren(isClosed ? symbol("lock") : "#");
    name.textContent = title;
    const words = [];
    mark.hidden = !unfinished;
    mark.className = "";
    if (unfinished) {
      mark.className = `unfinished ${unfinished}`;
      mark.title = { failed: t.notSent, waiting: t.waiting, draft: t.draft }[unfinished];
      mark.replaceChildren(symbol(unfinished));
      words.push(mark.title);
    }
    number.hidden = unread === 0;
    number.className = unread > 0 ? "badge" : "";
    number.classList.toggle("loud", isMentioned || (isLoud && !isRoom));
    number.textContent = `${isMentioned ? "@" : ""}${unread < UNREAD_MAX ? unread : `${UNREAD_MAX - 1}+`}`;
    if (unread > 0) {
      words.push(t.unread(unread));
    } else if (isOnline) {
      words.push(t.online);
    }
    spoken.textContent = words.map((word) => `, ${word}`).join("");
  };
  return { node: element("li", "", link), show };
}

/** A user who has no rooms sees their empty list after this time. */
const SETTLED_AFTER_MS = 1_500;
