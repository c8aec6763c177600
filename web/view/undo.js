// Deleting a message, which can be undone for a while: until then nothing is sent.

import { t } from "../words.js";
import { button, element, TOUCH } from "./dom.js";

/** @typedef {import("../logic/changes.js").Shown} Shown */

export class Undo {
  #list;
  #hooks;
  /** Messages that are to be deleted. @type {Map<string, { shown: Shown, timer: ReturnType<typeof setTimeout> }>} */
  #waiting = new Map();

  /**
   * @param {HTMLElement} list
   * @param {object} hooks
   * @param {() => string | null} hooks.key of the open conversation
   * @param {(shown: Shown) => void} hooks.remove deletes it for good
   */
  constructor(list, hooks) {
    this.#list = list;
    this.#hooks = hooks;
    // A row that is made again is to be deleted still.
    new MutationObserver(() => this.#waiting.size > 0 && this.#mark()).observe(list, { childList: true });
    addEventListener("pagehide", () => this.flush());
    // A page in the background of a phone may never run again.
    document.addEventListener("visibilitychange", () => document.hidden && TOUCH.matches && this.flush());
  }

  /** @param {HTMLElement} item */
  has(item) {
    return this.#waiting.has(this.#idOf(item));
  }

  /** @param {Shown} shown */
  start(shown) {
    const id = idOf(shown.key, shown);
    clearTimeout(this.#waiting.get(id)?.timer);
    this.#waiting.set(id, { shown, timer: setTimeout(() => this.#end(id), UNDO_MS) });
    this.#mark(id);
  }

  /** Deletes what was to be deleted later. */
  flush() {
    for (const id of [...this.#waiting.keys()]) this.#end(id);
  }

  /** @param {HTMLElement} item */
  #idOf(item) {
    return idOf(this.#hooks.key(), item.dataset);
  }

  /** @param {string} id */
  #end(id) {
    const waiting = this.#waiting.get(id);
    if (waiting) {
      clearTimeout(waiting.timer);
      this.#waiting.delete(id);
      this.#hooks.remove(waiting.shown);
      this.#mark();
    }
  }

  /**
   * Shows which messages are to be deleted.
   * @param {string} [latest] the one that the user has just deleted
   */
  #mark(latest) {
    for (const item of this.#list.querySelectorAll(".message")) {
      if (!(item instanceof HTMLElement)) {
        continue;
      }
      const id = this.#idOf(item);
      const isWaiting = this.#waiting.has(id);
      const line = item.querySelector(":scope > .undo");
      item.classList.toggle("deleting", isWaiting);
      if (!isWaiting) {
        line?.remove();
      } else if (!line) {
        const undo = button("link", t.undo);
        undo.ariaLabel = `${t.messageDeleted}. ${t.undo}`;
        undo.addEventListener("click", () => {
          clearTimeout(this.#waiting.get(id)?.timer);
          this.#waiting.delete(id);
          this.#mark();
          item.focus({ preventScroll: true });
        });
        const hadFocus = item.contains(document.activeElement);
        item.append(element("div", "undo", element("span", "", t.messageDeleted), undo));
        if (hadFocus || id === latest) undo.focus({ preventScroll: true });
      }
    }
  }
}

/**
 * @param {string | null} key
 * @param {{ seq?: string | number, nonce?: string }} message
 */
function idOf(key, { seq, nonce }) {
  return `${Number(seq) ? seq : nonce} ${key}`;
}

const UNDO_MS = 5_000;
