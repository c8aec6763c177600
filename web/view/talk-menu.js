// The menu of the open conversation: its details, its link, its notifications, and
// leaving it.

import { addressOf, DEFAULT_ROOM } from "../logic/address.js";
import * as rooms from "../rooms.js";
import { wording } from "../wording.js";
import { t } from "../words.js";
import { ask } from "./ask.js";
import { byId } from "./dom.js";
import { make, mount } from "./make.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/client.js").Input} Input */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("./directory.js").Directory} Directory */

export class TalkMenu {
  #details = make("button", { type: "button", id: "show-details", "data-t": "details" });
  #search = make("button", { type: "button", id: "search-here", "data-t": "searchHere" });
  #jump = make("button", { type: "button", id: "jump-to-day", "data-t": "jumpToDay" });
  #copyLink = make("button", { type: "button", id: "copy-link", "data-t": "copyLink" });
  #mute = make("input", { type: "checkbox", id: "mute" });
  #muteRoom = make("label", { class: "check", id: "mute-room" }, this.#mute, " ", make("span", { "data-t": "mute" }));
  #leave = make("button", { type: "button", id: "leave", class: "danger", "data-t": "leaveRoom" });
  #menu = mount(
    make(
      "div",
      { id: "talk-menu", class: "menu", popover: true, role: "dialog", "data-t-label": "more" },
      this.#details,
      this.#search,
      this.#jump,
      this.#copyLink,
      this.#muteRoom,
      this.#leave,
    ),
  );
  #client;
  #directory;
  #hooks;

  /**
   * @param {Client} client
   * @param {Directory} directory
   * @param {object} hooks
   * @param {() => void} hooks.details
   * @param {() => boolean} hooks.searches whether the server searches messages
   * @param {(key: Key) => void} hooks.search searches in the open conversation
   * @param {() => void} hooks.jump the user chooses a day
   * @param {() => void} hooks.copyLink
   * @param {(input: Input) => void} hooks.step
   * @param {() => void} hooks.left opens what the address names
   * @param {(sentence: string) => void} hooks.toast
   */
  constructor(client, directory, hooks) {
    const { details, copyLink, step } = hooks;
    this.#client = client;
    this.#directory = directory;
    this.#hooks = hooks;
    this.#copyLink.addEventListener("click", () => {
      this.#menu.hidePopover();
      copyLink();
    });
    this.#mute.addEventListener("change", () => {
      const key = directory.current;
      if (key) step({ type: "level", key, level: this.#mute.checked ? "none" : key.startsWith("#") ? "mentions" : "all" });
    });
    this.#details.addEventListener("click", () => {
      this.#menu.hidePopover();
      details();
    });
    this.#search.addEventListener("click", () => {
      this.#menu.hidePopover();
      if (directory.current) hooks.search(directory.current);
    });
    this.#jump.addEventListener("click", () => {
      this.#menu.hidePopover();
      hooks.jump();
    });
    this.#leave.addEventListener("click", () => {
      this.#menu.hidePopover();
      this.leave();
    });
    byId("talk-more", HTMLElement).setAttribute("popovertarget", this.#menu.id);
    this.show();
  }

  open() {
    if (!this.#menu.matches(":popover-open")) this.#menu.showPopover();
  }

  /**
   * The user leaves a room.
   * @param {Key} [key] the open one without it
   */
  async leave(key = this.#directory.current ?? "@") {
    const { step, left, toast } = this.#hooks;
    const unsent = this.#client.outbox.of(key).filter(({ state }) => state !== "stored").length;
    if (unsent > 0) {
      toast(t.leaveWaiting(unsent));
      return;
    }
    const isClosed = this.#client.account.of(key).access === "closed";
    if (!key.startsWith("#") || (isClosed && !(await ask(t.leaveQuestion, t.leaveRoom, t.leaveHint)))) {
      return;
    }
    try {
      await rooms.leave(key.slice(1));
    } catch (error) {
      toast(wording(error)[1]);
      return;
    }
    step({ type: "leave", room: key.slice(1) });
    if (key !== this.#directory.current) return;
    const next = this.#directory.rooms.find((room) => room.key !== key)?.key ?? /** @type {const} */ (`#${DEFAULT_ROOM}`);
    // In place of the room that was left, so that Back does not open it again.
    history.replaceState(null, "", addressOf(next));
    left();
  }

  /** Shows what can be done in the open conversation. */
  show() {
    const key = this.#directory.current;
    const { role = null, level } = this.#directory.currentPlace ?? {};
    const isKept = this.#client.account.isKept && role !== null;
    this.#search.hidden = !this.#hooks.searches();
    this.#muteRoom.hidden = !isKept;
    this.#mute.checked = level === "none";
    this.#leave.hidden = !isKept || !key?.startsWith("#");
  }
}
