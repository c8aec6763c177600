// What reaches a user who does not look at the messages: the title and icon of the
// tab, and short messages.

import { t } from "../words.js";
import { byId } from "./dom.js";

export class Attention {
  #favicon = byId("favicon", HTMLLinkElement);
  #toast = byId("toast", HTMLElement);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #toasting;
  #icon = this.#favicon.href;

  /**
   * Shows the number of unread messages in the title, the icon and the badge of an installed app.
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

  /** @param {string} sentence shown for some seconds */
  toast(sentence) {
    this.#toast.textContent = sentence;
    clearTimeout(this.#toasting);
    this.#toasting = setTimeout(() => (this.#toast.textContent = ""), TOAST_MS);
  }
}

const TOAST_MS = 3_000;
