// The header of a conversation: its title, and the state of the connection. Also what
// reaches a user who does not look at the messages: the title and icon of the tab, and
// short messages.

import { chatTitle, t } from "../words.js";
import { avatar, isNobody } from "./avatar.js";
import { byId } from "./dom.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/conversation.js").Key} Key */

export class Header {
  #title = byId("title", HTMLElement);
  #subtitle = byId("subtitle", HTMLElement);
  #picture = byId("talk-picture", HTMLElement);
  #elsewhere = byId("elsewhere", HTMLElement);
  #openSidebar = byId("open-sidebar", HTMLElement);
  #me;
  #client;

  /**
   * @param {string} me
   * @param {Client} client
   */
  constructor(me, client) {
    this.#me = me;
    this.#client = client;
  }

  /**
   * @param {Key} key
   * @param {string} title
   */
  show(key, title) {
    if (this.#title.textContent !== title || this.#picture.dataset.key !== key) {
      this.#title.textContent = title;
      this.#picture.dataset.key = key;
      this.#picture.replaceChildren(key.startsWith("#") ? "" : avatar(key.slice(1)));
    }
  }

  /**
   * Shows the line under the title.
   * @param {Key} key
   * @returns {boolean} whether it differs from before
   */
  showState(key) {
    const [sentence, isBad] = this.#stateOf(key);
    const isNew = this.#subtitle.textContent !== sentence;
    if (isNew) {
      this.#subtitle.textContent = sentence;
    }
    this.#subtitle.className = isBad ? "away" : "";
    // A screen reader does not announce how many are in the room.
    this.#subtitle.ariaLive = isBad ? "polite" : "off";
    return isNew;
  }

  /**
   * Why no messages come, in words; empty where they do.
   * @param {Key} key
   */
  obstacle(key) {
    if (this.#isAway) return t.loadedLater;
    const room = key.startsWith("#") ? this.#client.rooms.get(key.slice(1)) : undefined;
    return room?.status === "refused" ? t.roomRefused : "";
  }

  /**
   * The state of the connection if it is lost, and otherwise who is here.
   * @param {Key} key
   * @returns {[string, boolean]} and whether it is bad
   */
  #stateOf(key) {
    const client = this.#client;
    const name = key.slice(1);
    if (this.#isAway) {
      const unsent = client.outbox.unsentMessages;
      const isKept = client.conversations.get(key)?.isLoaded;
      const state = !navigator.onLine ? t.offline : client.hasConnected || isKept ? t.noConnection : t.connecting;
      const more = unsent > 0 ? t.waitingHere(unsent) : client.hasConnected ? t.tryingAgain : isKept ? t.kept : "";
      return [more ? `${state} · ${more}` : state, true];
    }
    if (key.startsWith("#")) {
      const room = client.rooms.get(name);
      // A server that keeps members has a page for it.
      if (room?.status === "refused") return [client.account.isKept ? "" : t.roomRefused, !client.account.isKept];
      return [room && room.online > 0 ? t.hereNow(room.online) : "\u00a0", false];
    }
    if (isNobody(name)) return ["", false];
    if (name === this.#me) return [t.onlyYou, false];
    return [client.isOnline(name) ? `${t.online} · ${t.onlyYouTwo}` : t.onlyYouTwo, false];
  }

  /** Whether the connection is lost for longer than a short interruption, or the network is. */
  get #isAway() {
    const { state, lostAt } = this.#client;
    return state !== "open" && (!navigator.onLine || performance.now() - (lostAt ?? 0) > QUIET_MS);
  }

  /**
   * Shows on a phone whether there are unread messages in other conversations.
   * @param {boolean} isUnread
   * @param {boolean} isLoud
   */
  showElsewhere(isUnread, isLoud) {
    this.#elsewhere.hidden = !isUnread;
    this.#openSidebar.ariaLabel = isUnread ? `${t.openSidebar}: ${t.unreadElsewhere}` : t.openSidebar;
    this.#elsewhere.classList.toggle("loud", isLoud);
  }
}

/** The title and icon of the tab, and short messages. */
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
    const shown = `${unread > 0 ? `(${unread > 99 ? "99+" : unread}) ` : ""}${title ? `${title} · ` : ""}${chatTitle()}`;
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

/** An interruption that ends within this time is not shown. */
const QUIET_MS = 1_500;
const TOAST_MS = 3_000;
