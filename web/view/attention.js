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

  /**
   * Tells somebody who is elsewhere, by one notification for a conversation and
   * all tabs. The worker shows it: phones take it from nobody else.
   * @param {string} title
   * @param {string} body
   * @param {string} conversation
   * @param {string} address of the message
   */
  async notify(title, body, conversation, address) {
    const worker = await registration();
    // `renotify` is not in TypeScript's types, as Safari lacks it.
    const options = { body: body.slice(0, NOTIFIED_CHARS), tag: conversation, renotify: true, data: address };
    // One tab after the other: what one has shown, or something later, does not
    // sound again from the next.
    await navigator.locks?.request("chat notify", async () => {
      const shown = (await worker?.getNotifications({ tag: conversation })) ?? [];
      if (!shown.some(({ data }) => seqOf(data) >= seqOf(address))) {
        await worker?.showNotification(title, { ...options, icon: "/icons/icon-192.png" }).catch(() => {});
      }
    });
  }

  /** @param {string} [conversation] of which all is read; without one, all that is shown */
  async withdraw(conversation) {
    const worker = await registration();
    for (const shown of (await worker?.getNotifications?.(conversation ? { tag: conversation } : {})) ?? []) {
      shown.close();
    }
  }

  /** @param {string} sentence that passes by itself */
  toast(sentence) {
    this.#toast.textContent = sentence;
    clearTimeout(this.#toasting);
    this.#toasting = setTimeout(() => (this.#toast.textContent = ""), TOAST_MS);
  }
}

/** @param {string} address of a message */
function seqOf(address) {
  return Number(/\d+$/.exec(address));
}

/** Of the worker; none where there is none, as without a safe connection. */
async function registration() {
  return navigator.serviceWorker?.getRegistration().catch(() => undefined);
}

const SAID_EVERY_MS = 1_500;
const SAID_AT_ONCE = 3;
const SAID_CHARS = 500;
const SAID_KEPT = 12;
const NOTIFIED_CHARS = 200;
const TOAST_MS = 3_000;
