// What reaches somebody who is not looking: the title, the icon, a notification,
// and what a screen reader says.

import { t } from "../words.js";
import { byId, element } from "./dom.js";

export class Attention {
  #favicon = byId("favicon", HTMLLinkElement);
  #announcer = byId("announcer", HTMLElement);
  #toast = byId("toast", HTMLElement);
  /** @type {string[]} */
  #unsaid = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #saying;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #toasting;
  #icon = this.#favicon.href;

  /**
   * @param {string} title
   * @param {number} unread
   */
  show(title, unread) {
    const shown = `${unread > 0 ? `(${unread > 99 ? "99+" : unread}) ` : ""}${title ? `${title} · ` : ""}${t.chat}`;
    if (document.title !== shown) {
      document.title = shown;
    }
    const icon = unread > 0 ? this.#icon.replace("icon.svg", "icon-unread.svg") : this.#icon;
    if (this.#favicon.href !== icon) {
      this.#favicon.href = icon;
    }
    if ("setAppBadge" in navigator) {
      (unread > 0 ? navigator.setAppBadge(unread) : navigator.clearAppBadge()).catch(() => {});
    }
  }

  /**
   * Says what came, a few lines at a time; of a flood only how much it was.
   * @param {string} from
   * @param {string} text
   */
  announce(from, text) {
    this.#unsaid.push(t.saidBy(from, text.slice(0, SAID_CHARS)));
    this.#saying ??= setTimeout(() => {
      this.#saying = undefined;
      const lines = this.#unsaid.splice(0);
      const said = lines.length > SAID_AT_ONCE ? [t.newMessages(lines.length)] : lines;
      this.#announcer.append(...said.map((line) => element("p", "", line)));
      while (this.#announcer.childElementCount > SAID_KEPT) {
        this.#announcer.firstElementChild?.remove();
      }
    }, SAID_EVERY_MS);
  }

  /** @param {string} sentence that passes by itself */
  toast(sentence) {
    this.#toast.textContent = sentence;
    clearTimeout(this.#toasting);
    this.#toasting = setTimeout(() => (this.#toast.textContent = ""), TOAST_MS);
  }
}

const SAID_EVERY_MS = 1_500;
const SAID_AT_ONCE = 3;
const SAID_CHARS = 500;
const SAID_KEPT = 12;
const TOAST_MS = 3_000;
