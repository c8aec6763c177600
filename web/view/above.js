// What the first view of the chat does without: the finder, the menu of the
// conversation, the list of users who are in the room, and what buttons and
// shortcuts do.

import { addressOf, DEFAULT_ROOM } from "../logic/address.js";
import { Typing } from "../logic/typing.js";
import { ASKED_EVERY_MS, Presence } from "../presence.js";
import { t } from "../words.js";
import { act } from "./actions.js";
import { choicesOf, Finder } from "./finder.js";
import { HereList } from "./here.js";
import { TalkMenu } from "./talk-menu.js";
import { showTyping } from "./typing.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/client.js").Input} Input */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("./composer.js").Composer} Composer */
/** @typedef {import("./directory.js").Directory} Directory */

/**
 * @typedef {object} Hooks
 * @property {(key: Key) => void} go opens a conversation
 * @property {Composer} composer
 * @property {(input: Input) => void} step
 * @property {() => void} left opens what the address names
 * @property {() => void} changed
 * @property {(sentence: string) => void} toast
 */

export class Above {
  finder;
  #directory;
  #client;
  #hooks;
  #talkMenu;
  #presence;
  #hereList;

  /**
   * @param {string} me
   * @param {Client} client
   * @param {Directory} directory
   * @param {Hooks} hooks
   */
  constructor(me, client, directory, hooks) {
    this.#directory = directory;
    this.#client = client;
    this.#hooks = hooks;
    client.addTyping(Typing);
    this.#presence = new Presence(client, hooks.changed);
    setInterval(() => document.hidden || this.#presence.update(performance.now()), ASKED_EVERY_MS);
    this.finder = new Finder({ known: () => choicesOf(client, directory), chosen: hooks.go });
    this.#talkMenu = new TalkMenu(client, directory, { ...hooks, copyLink: () => this.copyLink() });
    this.#hereList = new HereList(me, () => directory.currentRoom, (name) => hooks.go(`@${name}`));
    hooks.changed();
  }

  /**
   * Opens the next or the previous conversation of the sidebar.
   * @param {1 | -1} step
   * @param {boolean} isUnreadOnly
   */
  goBy(step, isUnreadOnly) {
    const { current, rooms, people } = this.#directory;
    const lines = [...rooms, ...people];
    const index = lines.findIndex(({ key }) => key === current);
    for (let i = 1; i <= lines.length; i++) {
      const line = lines[(index + step * i + lines.length * 2) % lines.length];
      if (line && line.key !== current && (!isUnreadOnly || line.unread > 0)) {
        this.#hooks.go(line.key);
        return;
      }
    }
  }

  /**
   * Does what a button in a message says.
   * @param {string} action
   * @param {HTMLElement} item
   */
  act(action, item) {
    act(action, item, { client: this.#client, ...this.#hooks });
  }

  /** Copies the address of the open conversation. */
  copyLink() {
    this.copy(new URL(addressOf(this.#directory.current ?? `#${DEFAULT_ROOM}`), location.href).href);
  }

  /** @param {string} address is shown if it cannot be copied */
  async copy(address) {
    try {
      await navigator.clipboard.writeText(address);
      this.#hooks.toast(t.copied);
    } catch {
      this.#hooks.toast(address);
    }
  }

  /** Shows what has changed. */
  update() {
    this.#talkMenu.show();
    this.#presence.update(performance.now());
    this.#hereList.update();
    const key = this.#directory.current;
    showTyping((key && this.#client.typing?.of(key)) || []);
  }
}
