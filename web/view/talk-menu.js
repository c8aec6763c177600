// The menu of the open conversation: its link, its notifications, and leaving it.

import { call } from "../api.js";
import { addressOf, DEFAULT_ROOM } from "../logic/address.js";
import { wording } from "../wording.js";
import { t } from "../words.js";
import { make, mount } from "./make.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/client.js").Input} Input */
/** @typedef {import("./directory.js").Directory} Directory */

export class TalkMenu {
  #copyLink = make("button", { type: "button", id: "copy-link", "data-t": "copyLink" });
  #mute = make("input", { type: "checkbox", id: "mute" });
  #muteRoom = make("label", { class: "check", id: "mute-room" }, this.#mute, " ", make("span", { "data-t": "mute" }));
  #leave = make("button", { type: "button", id: "leave", "data-t": "leaveRoom" });
  #menu = mount(
    make("div", { id: "talk-menu", class: "menu", popover: true, role: "dialog", "data-t-label": "more" }, this.#copyLink, this.#muteRoom, this.#leave),
  );
  #client;
  #directory;

  /**
   * @param {Client} client
   * @param {Directory} directory
   * @param {object} hooks
   * @param {() => void} hooks.copyLink
   * @param {(input: Input) => void} hooks.step
   * @param {() => void} hooks.left opens what the address names
   * @param {(sentence: string) => void} hooks.toast
   */
  constructor(client, directory, { copyLink, step, left, toast }) {
    this.#client = client;
    this.#directory = directory;
    this.#copyLink.addEventListener("click", () => {
      this.#menu.hidePopover();
      copyLink();
    });
    this.#mute.addEventListener("change", () => {
      const key = directory.current;
      if (key) step({ type: "level", key, level: this.#mute.checked ? "none" : key.startsWith("#") ? "mentions" : "all" });
    });
    this.#leave.addEventListener("click", async () => {
      this.#menu.hidePopover();
      const key = directory.current ?? "@";
      const unsent = client.outbox.of(key).filter(({ state }) => state !== "stored").length;
      if (unsent > 0) {
        toast(t.leaveWaiting(unsent));
      } else if (key.startsWith("#")) {
        try {
          await call(`/api/rooms/${encodeURIComponent(key.slice(1))}/membership`, { method: "DELETE" });
        } catch (error) {
          toast(wording(error)[1]);
          return;
        }
        step({ type: "leave", room: key.slice(1) });
        const next = directory.rooms.find((room) => room.key !== key)?.key ?? /** @type {const} */ (`#${DEFAULT_ROOM}`);
        // In place of the room that was left, so that Back does not open it again.
        history.replaceState(null, "", addressOf(next));
        left();
      }
    });
    this.show();
  }

  /** Shows what can be done in the open conversation. */
  show() {
    const key = this.#directory.current;
    const { role = null, level } = this.#directory.currentPlace ?? {};
    const isKept = this.#client.account.isKept && role !== null;
    this.#muteRoom.hidden = !isKept;
    this.#mute.checked = level === "none";
    this.#leave.hidden = !isKept || !key?.startsWith("#");
  }
}
