// Fingers on messages: a long press opens a sheet, a swipe to the side answers.

import { MARGIN_PX } from "./drawer.js";

/** @typedef {{ press: (item: HTMLElement) => void, canReply: (item: HTMLElement) => boolean, reply: (item: HTMLElement) => void }} Hooks */

export class Gestures {
  #list;
  #hooks;
  /** @type {{ item: HTMLElement, id: number, x: number, y: number, shift: number, isSwipe: boolean } | null} */
  #touch = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pressing;
  /** Whether the click that ends a gesture is still to come. */
  #isClickOver = false;

  /**
   * @param {HTMLElement} list
   * @param {Hooks} hooks
   */
  constructor(list, hooks) {
    this.#list = list;
    this.#hooks = hooks;
    list.addEventListener("pointerdown", (event) => this.#down(event));
    list.addEventListener("pointermove", (event) => this.#move(event));
    list.addEventListener("pointerup", () => this.#up());
    list.addEventListener("pointercancel", () => this.#end());
    // A long press would select a word.
    list.addEventListener("contextmenu", (event) => {
      if ((this.#touch || this.#isClickOver) && !(event.target instanceof Element && event.target.closest("a[target]"))) event.preventDefault();
    });
    list.addEventListener(
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
  #down({ target, pointerType, pointerId: id, clientX: x, clientY: y, isPrimary }) {
    this.#end();
    this.#isClickOver = false;
    const item = target instanceof Element ? target.closest(".message") : null;
    // The edges belong to the browser, which goes back there, and to the list of conversations.
    if (pointerType === "touch" && isPrimary && item instanceof HTMLElement && x >= MARGIN_PX && x < innerWidth - EDGE_PX) {
      this.#touch = { item, id, x, y, shift: 0, isSwipe: false };
      // A link has a menu of the browser, and a reaction says who has reacted.
      if (!(target instanceof Element && target.closest("a[target], .chip"))) {
        this.#pressing = setTimeout(() => {
          this.#isClickOver = true;
          this.#touch = null;
          this.#hooks.press(item);
        }, PRESS_MS);
      }
    }
  }

  /** @param {PointerEvent} event */
  #move({ pointerId, clientX, clientY }) {
    const touch = this.#touch;
    if (touch?.id !== pointerId) {
      return;
    }
    const [dx, dy] = [clientX - touch.x, clientY - touch.y];
    if (Math.hypot(dx, dy) > SLOP_PX) clearTimeout(this.#pressing);
    if (!touch.isSwipe && Math.abs(dx) > SLOP_PX && Math.abs(dx) > 1.5 * Math.abs(dy) && this.#hooks.canReply(touch.item)) {
      touch.isSwipe = true;
      touch.item.classList.add("swiped");
    }
    if (touch.isSwipe) {
      touch.shift = Math.sign(dx) * Math.min(Math.abs(dx) - SLOP_PX, SHIFT_MAX_PX);
      touch.item.style.setProperty("--shift", `${touch.shift}px`);
      touch.item.classList.toggle("will-reply", Math.abs(touch.shift) >= REPLY_PX);
      touch.item.classList.toggle("to-right", touch.shift > 0);
    }
  }

  #up() {
    const touch = this.#touch;
    this.#end();
    if (touch?.isSwipe) {
      this.#isClickOver = true;
      setTimeout(() => (this.#isClickOver = false), CLICK_MS);
      if (Math.abs(touch.shift) >= REPLY_PX) this.#hooks.reply(touch.item);
    }
  }

  #end() {
    clearTimeout(this.#pressing);
    const item = this.#touch?.item;
    this.#touch = null;
    item?.classList.remove("swiped", "will-reply", "to-right");
    item?.style.removeProperty("--shift");
  }
}

const PRESS_MS = 450;
/** A finger that rests moves less than this. */
const SLOP_PX = 10;
const REPLY_PX = 52;
const SHIFT_MAX_PX = 76;
const EDGE_PX = 16;
/** A click comes within this time after the finger is lifted. */
const CLICK_MS = 350;
