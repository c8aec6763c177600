// The bar of a message, at its upper right: shown while the pointer is over the
// message, or the focus in it. On a touch screen there is a sheet instead.

import { t } from "../words.js";
import { button, element, symbol } from "./dom.js";

/** @typedef {import("./message-actions.js").MessageActions} MessageActions */

export class MessageBar {
  #list;
  #actions;
  /** @type {HTMLElement | null} */
  #bar = null;
  #isMoving = false;

  /**
   * @param {HTMLElement} list
   * @param {MessageActions} actions
   */
  constructor(list, actions) {
    this.#list = list;
    this.#actions = actions;
    list.addEventListener("pointerover", ({ target, pointerType }) => {
      if (pointerType === "mouse" && !this.#isOpen) this.#move(messageOf(target));
    });
    list.addEventListener("pointerleave", () => this.#isHeld || this.#show(null));
    list.addEventListener("focusin", ({ target }) => {
      const item = messageOf(target);
      // Not where a mouse or a finger has pressed the message.
      if (item && !this.#isMoving && (target !== item || item.matches(":focus-visible"))) this.#show(item);
    });
    list.addEventListener("focusout", ({ relatedTarget }) => {
      if (!(relatedTarget instanceof Node && list.contains(relatedTarget)) && !this.#bar?.parentElement?.matches(":hover") && !this.#isOpen) this.#show(null);
    });
    list.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Shows the bar that fits what the message is now. */
  update() {
    const item = this.#bar?.parentElement;
    if (item && this.#bar && this.#bar.dataset.offers !== this.#offers(item) && !this.#isHeld) {
      this.#show(null);
      this.#show(item);
    }
  }

  /**
   * Shows the bar under the mouse, and leaves the focus in the message where it was.
   * @param {HTMLElement | null} item
   */
  #move(item) {
    const old = this.#bar?.parentElement;
    if (old && item && old !== item && this.#bar?.contains(document.activeElement)) {
      this.#isMoving = true;
      old.focus({ preventScroll: true });
      this.#isMoving = false;
    }
    if (item || !this.#isHeld) this.#show(item);
  }

  /** Whether the user is in the bar. */
  get #isHeld() {
    return this.#isOpen || (this.#bar?.isConnected === true && this.#bar.contains(document.activeElement) && document.activeElement?.matches(":focus-visible") === true);
  }

  /** Whether something is open beside it. */
  get #isOpen() {
    return this.#bar?.isConnected === true && this.#bar.querySelector("[aria-expanded=true]") !== null;
  }

  /** @param {HTMLElement} item */
  #offers(item) {
    return JSON.stringify([this.#actions.may(item), this.#actions.offered(item), this.#actions.use.most(3), t.chat]);
  }

  /** @param {HTMLElement | null} item */
  #show(item) {
    if (this.#bar && item !== null && this.#bar.parentElement === item) {
      return;
    }
    this.#bar?.remove();
    this.#bar = null;
    const may = item && this.#actions.may(item);
    if (!item || !may || this.#actions.offered(item).length === 0) {
      return;
    }
    const bar = element("div", "message-bar");
    bar.role = "toolbar";
    bar.ariaLabel = t.messageActions;
    bar.dataset.offers = this.#offers(item);
    if (may.react) {
      for (const emoji of this.#actions.use.most(3)) {
        const choice = this.#button(t.reactWith(emoji), element("span", "", emoji), () => this.#actions.react(item, emoji));
        bar.append(choice);
      }
      const react = this.#button(t.react, symbol("react"), () => this.#actions.do("react", item, react));
      bar.append(react);
    }
    if (may.reply) bar.append(this.#button(t.reply, symbol("reply"), () => this.#actions.do("reply", item)));
    const more = this.#button(t.moreActions, symbol("more"), () => this.#actions.openMenu(item, more));
    more.ariaHasPopup = "menu";
    more.ariaExpanded = "false";
    bar.append(more);
    item.append(bar);
    this.#bar = bar;
    const { top } = bar.getBoundingClientRect();
    bar.classList.toggle("inside", top < (this.#list.parentElement?.getBoundingClientRect().top ?? 0));
  }

  /**
   * @param {string} name
   * @param {Node} sign
   * @param {() => void} act
   */
  #button(name, sign, act) {
    const made = button("", sign);
    made.title = name;
    made.ariaLabel = name;
    made.addEventListener("click", act);
    return made;
  }

  /** The arrows go from button to button. @param {KeyboardEvent} event */
  #key(event) {
    const { key, target } = event;
    if ((key === "ArrowLeft" || key === "ArrowRight") && target instanceof Element && this.#bar?.contains(target)) {
      const all = [...this.#bar.querySelectorAll("button")];
      const next = all.indexOf(/** @type {HTMLButtonElement} */ (target)) + (key === "ArrowRight" ? 1 : -1);
      all[(next + all.length) % all.length]?.focus();
      event.preventDefault();
    }
  }
}

/**
 * The message in which something is.
 * @param {EventTarget | null} target
 */
function messageOf(target) {
  const item = target instanceof Element ? target.closest(".message") : null;
  return item instanceof HTMLElement ? item : null;
}
