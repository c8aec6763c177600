// The list of users who are in the open room.

import { t } from "../words.js";
import { avatar } from "./avatar.js";
import { button, element, isolated } from "./dom.js";
import { Lines } from "./lines.js";
import { make, mount } from "./make.js";

/** @typedef {import("../logic/rooms.js").Room} Room */

export class HereList {
  #list = mount(make("div", { id: "here-list", class: "menu here-list", popover: true, role: "dialog", "data-t-label": "whoIsHere" }));
  #lines;
  #roomOf;

  /**
   * @param {string} me
   * @param {() => Room | undefined} roomOf the open room
   * @param {(name: string) => void} chosen a user was chosen
   */
  constructor(me, roomOf, chosen) {
    this.#roomOf = roomOf;
    this.#lines = new Lines(this.#list, (name) => (name ? personOf(name, name === me) : restOf()));
    this.#list.addEventListener("beforetoggle", () => this.#show());
    this.#list.addEventListener("click", ({ target }) => {
      const line = target instanceof Element ? target.closest("button") : null;
      if (line?.dataset.name) {
        this.#list.hidePopover();
        chosen(line.dataset.name);
      }
    });
  }

  /** Shows what has changed, if it is open. It closes once it is unknown who is here. */
  update() {
    if (this.#list.matches(":popover-open")) {
      this.#roomOf()?.isPresenceKnown ? this.#show() : this.#list.hidePopover();
    }
  }

  #show() {
    const room = this.#roomOf();
    if (room) {
      const names = [...room.members].sort((a, b) => a.localeCompare(b));
      const more = room.online - names.length;
      const lines = new Map(names.map((name) => [name, 0]));
      this.#lines.show(more > 0 ? lines.set("", more) : lines);
    }
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

/** The line that says how many more there are than those listed. */
function restOf() {
  const node = element("p", "quiet");
  return { node, show: (/** @type {number} */ more) => (node.textContent = t.andMore(more)) };
}
