// The menu of the open conversation: its link, its notifications, and leaving it.

import { addressOf, DEFAULT_ROOM } from "../logic/address.js";
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
   * @param {() => void} hooks.changed
   * @param {(sentence: string) => void} hooks.toast
   */
  constructor(client, directory, { copyLink, step, left, changed, toast }) {
    this.#client = client;
    this.#directory = directory;
    this.#copyLink.addEventListener("click", () => {
      this.#menu.hidePopover();
      copyLink();
    });
    this.#mute.addEventListener("change", () => {
      if (directory.current) directory.toggleMute(directory.current);
      changed();
    });
    this.#leave.addEventListener("click", () => {
      this.#menu.hidePopover();
      const key = directory.current ?? "@";
      const unsent = client.outbox.of(key).filter(({ state }) => state !== "stored").length;
      if (unsent > 0) {
        toast(t.leaveWaiting(unsent));
      } else if (key.startsWith("#")) {
        step({ type: "leave", room: key.slice(1) });
        directory.forget(key);
        const [next = DEFAULT_ROOM] = client.rooms.keys();
        // In place of the room that was left, so that Back does not join it again.
        history.replaceState(null, "", addressOf(`#${next}`));
        left();
      }
    });
    this.show();
  }

  /** Shows what can be done in the open conversation. */
  show() {
    const key = this.#directory.current;
    const isRoom = key !== null && key.startsWith("#");
    this.#muteRoom.hidden = !isRoom;
    this.#mute.checked = key !== null && this.#directory.isMuted(key);
    this.#leave.hidden = !isRoom || this.#client.rooms.size < 2;
  }
}
