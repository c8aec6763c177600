// The menu of the open conversation: its link, its notifications, and leaving it.

import { addressOf, DEFAULT_ROOM } from "../logic/address.js";
import { t } from "../words.js";
import { byId } from "./dom.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/client.js").Input} Input */
/** @typedef {import("./directory.js").Directory} Directory */

export class TalkMenu {
  #menu = byId("talk-menu", HTMLElement);
  #muteRoom = byId("mute-room", HTMLElement);
  #mute = byId("mute", HTMLInputElement);
  #leave = byId("leave", HTMLElement);
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
    byId("copy-link", HTMLElement).addEventListener("click", () => {
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
