// What stands above the messages: where one is, how the connection is, and who
// is here.

import { count, t } from "../words.js";
import { avatar } from "./avatar.js";
import { button, byId, element, isolated, symbol } from "./dom.js";
import { Lines } from "./lines.js";

/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("../logic/rooms.js").Room} Room */

export class Header {
  #title = byId("title", HTMLElement);
  #subtitle = byId("subtitle", HTMLElement);
  #picture = byId("talk-picture", HTMLElement);
  #here = byId("here", HTMLButtonElement);
  #hereList = byId("here-list", HTMLElement);
  #people;
  #elsewhere = byId("elsewhere", HTMLElement);
  #openSidebar = byId("open-sidebar", HTMLElement);
  #me;
  /** @type {Room | undefined} */
  #room;

  /**
   * @param {string} me
   * @param {(name: string) => void} chosen somebody who is here
   */
  constructor(me, chosen) {
    this.#me = me;
    this.#people = new Lines(this.#hereList, (name) => (name ? personOf(name, name === me) : restOf()));
    this.#hereList.onbeforetoggle = () => this.#showHere();
    this.#hereList.onclick = ({ target }) => {
      const line = target instanceof Element ? target.closest("button") : null;
      if (line?.dataset.name) {
        this.#hereList.hidePopover();
        chosen(line.dataset.name);
      }
    };
  }

  /**
   * @param {Key} key
   * @param {string} title
   * @param {Room | undefined} room
   */
  show(key, title, room) {
    if (this.#title.textContent !== title || this.#picture.dataset.key !== key) {
      this.#title.textContent = title;
      this.#picture.dataset.key = key;
      this.#picture.replaceChildren(key.startsWith("#") ? "" : avatar(key.slice(1)));
    }
    this.#room = room;
    const members = [...(room?.members ?? [])];
    this.#here.hidden = members.length === 0 || !room?.isPresenceKnown;
    if (this.#here.hidden && this.#hereList.matches(":popover-open")) this.#hereList.hidePopover();
    const faces = members.filter((name) => name !== this.#me).slice(0, FACES);
    const shown = JSON.stringify([faces, room?.online, t.chat]);
    if (this.#here.dataset.shown !== shown) {
      this.#here.dataset.shown = shown;
      const number = element("span", "number", count(room?.online ?? 0));
      this.#here.ariaLabel = `${t.whoIsHere}: ${number.textContent}`;
      this.#here.replaceChildren(...faces.map((name) => avatar(name, "small")), symbol("people"), number);
    }
    if (this.#hereList.matches(":popover-open")) this.#showHere();
  }

  /**
   * What stands under the title.
   * @param {string} sentence
   * @param {boolean} isBad
   * @returns {boolean} whether that is another than before
   */
  say(sentence, isBad) {
    const isNew = this.#subtitle.textContent !== sentence;
    if (isNew) {
      this.#subtitle.textContent = sentence;
    }
    this.#subtitle.className = isBad ? "away" : "";
    // Who comes and goes is no news to somebody who listens.
    this.#subtitle.ariaLive = isBad ? "polite" : "off";
    return isNew;
  }

  /**
   * On a phone, whether something waits at the side.
   * @param {boolean} isUnread
   * @param {boolean} isLoud
   */
  showElsewhere(isUnread, isLoud) {
    this.#elsewhere.hidden = !isUnread;
    this.#openSidebar.ariaLabel = isUnread ? `${t.openSidebar}: ${t.unreadElsewhere}` : t.openSidebar;
    this.#elsewhere.classList.toggle("loud", isLoud);
  }

  #showHere() {
    if (!this.#room) {
      return;
    }
    const names = [...this.#room.members].sort((a, b) => a.localeCompare(b));
    const more = this.#room.online - names.length;
    const lines = new Map(names.map((name) => [name, 0]));
    this.#people.show(more > 0 ? lines.set("", more) : lines);
  }
}

/**
 * @param {string} name
 * @param {boolean} isMe
 */
function personOf(name, isMe) {
  const node = button("person", avatar(name, "small"), isolated(name, "title"));
  node.dataset.name = name;
  const you = element("span", "quiet");
  if (isMe) node.append(you);
  return { node, show: () => (you.textContent = t.you) };
}

/** How many more there are than have a name. */
function restOf() {
  const node = element("p", "quiet");
  return { node, show: (/** @type {number} */ more) => (node.textContent = t.andMore(more)) };
}

/** Pictures beside the number of those who are here. */
const FACES = 3;
