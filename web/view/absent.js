// A line above the box: somebody who was just mentioned is no member of the room,
// and can be added to it.

import * as rooms from "../rooms.js";
import { wording } from "../wording.js";
import { listOf, t } from "../words.js";
import { button, byId, element, symbol } from "./dom.js";

/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("./directory.js").Directory} Directory */

export class Absent {
  #node = element("div", "absent");
  #words = element("p");
  #directory;
  #toast;
  /** Users who were mentioned and are no members, by room. @type {Map<Key, Set<string>>} */
  #absent = new Map();
  #shown = "";

  /**
   * @param {Directory} directory
   * @param {(sentence: string) => void} toast
   */
  constructor(directory, toast) {
    this.#directory = directory;
    this.#toast = toast;
    this.#node.hidden = true;
    this.#words.role = "status";
    byId("composer", HTMLElement).before(this.#node);
  }

  /**
   * @param {Key} key
   * @param {string[]} names
   */
  note(key, names) {
    this.#absent.set(key, new Set([...(this.#absent.get(key) ?? []), ...names]));
    this.update();
  }

  /** Shows what has changed. */
  update() {
    const key = this.#directory.current;
    const names = key ? [...(this.#absent.get(key) ?? [])] : [];
    const shown = JSON.stringify([key, names, t.chat]);
    if (this.#shown === shown) {
      return;
    }
    this.#shown = shown;
    this.#node.hidden = names.length === 0;
    if (key && names.length > 0) {
      // Isolates: a name that is written from right to left must not reorder the sentence.
      this.#words.textContent = t.notMembers(listOf(names.map((name) => `\u2068${name}\u2069`)), names.length);
      const add = button("link", t.addThem(names.length));
      const close = button("icon", symbol("close"));
      close.ariaLabel = t.close;
      add.addEventListener("click", () => this.#add(key, names));
      close.addEventListener("click", () => this.#forget(key));
      this.#node.replaceChildren(this.#words, add, close);
    }
  }

  /**
   * @param {Key} key
   * @param {string[]} names
   */
  async #add(key, names) {
    try {
      for (const name of names) await rooms.putMember(key.slice(1), name);
      this.#toast(t.added(names.length));
      this.#forget(key);
    } catch (error) {
      this.#toast(wording(error)[1]);
    }
  }

  /** @param {Key} key */
  #forget(key) {
    this.#absent.delete(key);
    this.update();
    byId("text", HTMLTextAreaElement).focus({ preventScroll: true });
  }
}
