// The header of a conversation: its title, the state of the connection, and who
// is in the room.

import { count, t } from "../words.js";
import { avatar } from "./avatar.js";
import { byId, element, symbol } from "./dom.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("../logic/rooms.js").Room} Room */

export class Header {
  #title = byId("title", HTMLElement);
  #subtitle = byId("subtitle", HTMLElement);
  #picture = byId("talk-picture", HTMLElement);
  #here = byId("here", HTMLButtonElement);
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
   * @param {Room | undefined} room
   */
  show(key, title, room) {
    if (this.#title.textContent !== title || this.#picture.dataset.key !== key) {
      this.#title.textContent = title;
      this.#picture.dataset.key = key;
      this.#picture.replaceChildren(key.startsWith("#") ? "" : avatar(key.slice(1)));
    }
    const members = [...(room?.members ?? [])];
    this.#here.hidden = members.length === 0 || !room?.isPresenceKnown;
    const faces = members.filter((name) => name !== this.#me).slice(0, FACES);
    const shown = JSON.stringify([faces, room?.online, t.chat]);
    if (this.#here.dataset.shown !== shown) {
      this.#here.dataset.shown = shown;
      const number = element("span", "number", count(room?.online ?? 0));
      this.#here.ariaLabel = `${t.whoIsHere}: ${number.textContent}`;
      this.#here.replaceChildren(...faces.map((name) => avatar(name, "small")), symbol("people"), number);
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
      const unsent = client.outbox.unsent;
      const state = !navigator.onLine ? t.offline : client.hasConnected ? t.noConnection : t.connecting;
      const more = unsent > 0 ? t.waitingHere(unsent) : client.hasConnected ? t.tryingAgain : "";
      return [more ? `${state} · ${more}` : state, true];
    }
    if (key.startsWith("#")) {
      const room = client.rooms.get(name);
      if (room?.status === "refused") return [t.roomRefused, true];
      return [room && room.online > 0 ? t.hereNow(room.online) : "\u00a0", false];
    }
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

/** An interruption that ends within this time is not shown. */
const QUIET_MS = 1_500;
/** Pictures beside the number of users in the room. */
const FACES = 3;
