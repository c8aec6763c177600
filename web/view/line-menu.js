// The menu of a conversation in the sidebar: on the right button of a mouse and the menu
// key, and on a long press of a finger as a sheet.

import { t } from "../words.js";
import { byId, element, isolated } from "./dom.js";
import { LEVELS } from "./level-choice.js";
import { Menu } from "./menu.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/client.js").Input} Input */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("./directory.js").Directory} Directory */

export class LineMenu {
  #menu = new Menu("line", "lineActions", byId("sidebar", HTMLElement));
  #client;
  #directory;
  #hooks;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pressing;
  /** Where the finger is. @type {{ id: number, x: number, y: number } | null} */
  #finger = null;
  /** Whether the click that ends a long press is still to come. */
  #isClickOver = false;

  /**
   * @param {Client} client
   * @param {Directory} directory
   * @param {object} hooks
   * @param {(input: Input) => void} hooks.step
   * @param {(key: Key) => void} hooks.leave the user leaves a room
   */
  constructor(client, directory, hooks) {
    this.#client = client;
    this.#directory = directory;
    this.#hooks = hooks;
    const sidebar = byId("sidebar", HTMLElement);
    sidebar.addEventListener("contextmenu", (event) => this.#context(event));
    sidebar.addEventListener("pointerdown", (event) => this.#down(event));
    sidebar.addEventListener("pointermove", ({ pointerId, clientX, clientY }) => {
      if (this.#finger?.id === pointerId && Math.hypot(clientX - this.#finger.x, clientY - this.#finger.y) > SLOP_PX) this.#end();
    });
    for (const end of ["pointerup", "pointercancel", "scroll"]) sidebar.addEventListener(end, () => this.#end(), { capture: true });
    sidebar.addEventListener(
      "click",
      (event) => {
        if (this.#isClickOver) {
          event.preventDefault();
          event.stopPropagation();
        }
        this.#isClickOver = false;
      },
      { capture: true },
    );
  }

  /** @param {PointerEvent} event */
  #down({ target, pointerType, pointerId: id, isPrimary, clientX: x, clientY: y }) {
    this.#end();
    this.#isClickOver = false;
    const key = keyOf(target);
    if (pointerType === "touch" && isPrimary && key) {
      this.#finger = { id, x, y };
      this.#pressing = setTimeout(() => {
        const offered = this.#offered(key);
        if (offered.length > 0) {
          this.#isClickOver = true;
          this.#menu.openSheet([element("p", "menu-head", isolated(this.#directory.titleOf(key))), ...offered]);
        }
      }, PRESS_MS);
    }
  }

  #end() {
    clearTimeout(this.#pressing);
    this.#finger = null;
  }

  /** @param {MouseEvent} event */
  #context(event) {
    const key = keyOf(event.target);
    if (!key || event.shiftKey) {
      return;
    }
    if (this.#finger || this.#isClickOver) {
      // A long press is about to open the sheet, or has.
      event.preventDefault();
      return;
    }
    const offered = this.#offered(key);
    if (offered.length > 0) {
      event.preventDefault();
      // A key has no place of its own.
      const { left, bottom } = /** @type {Element} */ (event.target).getBoundingClientRect();
      const isByMouse = event.button === 2;
      this.#menu.openAt(offered, isByMouse ? event.clientX : left + 8, isByMouse ? event.clientY : bottom);
    }
  }

  /**
   * @param {Key} key
   * @returns {HTMLElement[]}
   */
  #offered(key) {
    const { account } = this.#client;
    const place = account.of(key);
    const isRoom = key.startsWith("#");
    if (!account.isKept || place.role === null) {
      return [];
    }
    const offered = [];
    if (place.unread > 0) offered.push(this.#menu.choice("stored", t.markRead, () => this.#hooks.step({ type: "read", key, seq: place.top })));
    const levels = LEVELS.filter(([level]) => isRoom || level !== "mentions").map(([level, word]) => {
      const choice = this.#menu.choice("stored", t[word], () => this.#hooks.step({ type: "level", key, level }));
      choice.role = "menuitemradio";
      choice.dataset.level = level;
      choice.ariaChecked = String(level === place.level);
      return choice;
    });
    const head = element("p", "menu-head", t.notifyMeOf);
    // The name of the group says it.
    head.ariaHidden = "true";
    const group = element("div", "menu-group", head, ...levels);
    group.role = "group";
    group.ariaLabel = t.notifyMeOf;
    offered.push(group);
    if (isRoom) {
      offered.push(this.#menu.danger("leave", t.leaveRoom, () => this.#hooks.leave(key)));
    }
    return offered;
  }
}

/**
 * The conversation whose line an event came to.
 * @param {EventTarget | null} target
 */
function keyOf(target) {
  const line = target instanceof Element ? target.closest("[data-key]") : null;
  return line instanceof HTMLElement ? /** @type {Key} */ (line.dataset.key) : null;
}

const PRESS_MS = 450;
/** A finger that rests moves less than this. */
const SLOP_PX = 10;
