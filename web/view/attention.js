// What reaches a user who does not look at the messages: the title and icon of the
// tab, short messages, and announcements of a screen reader.

import { t } from "../words.js";
import { byId, element } from "./dom.js";

export class Attention {
  #favicon = byId("favicon", HTMLLinkElement);
  #announcer = byId("announcer", HTMLElement);
  #toast = byId("toast", HTMLElement);
  /** @type {string[]} */
  #pending = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #announcing;
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

  /**
   * Lets a screen reader announce a message. Of many at once, only the number is announced.
   * @param {string} from
   * @param {string} text
   */
  announce(from, text) {
    this.#pending.push(t.saidBy(from, text.slice(0, ANNOUNCED_MAX_CHARS)));
    this.#announcing ??= setTimeout(() => {
      this.#announcing = undefined;
      const all = this.#pending.splice(0);
      const lines = all.length > ANNOUNCED_AT_ONCE ? [t.newMessages(all.length)] : all;
      this.#announcer.append(...lines.map((line) => element("p", "", line)));
      while (this.#announcer.childElementCount > ANNOUNCED_KEPT) {
        this.#announcer.firstElementChild?.remove();
      }
    }, ANNOUNCED_EVERY_MS);
  }

  /** @param {string} sentence shown for some seconds */
  toast(sentence) {
    this.#toast.textContent = sentence;
    clearTimeout(this.#toasting);
    this.#toasting = setTimeout(() => (this.#toast.textContent = ""), TOAST_MS);
  }
}

const ANNOUNCED_EVERY_MS = 1_500;
const ANNOUNCED_AT_ONCE = 3;
const ANNOUNCED_MAX_CHARS = 500;
const ANNOUNCED_KEPT = 12;
const TOAST_MS = 3_000;
