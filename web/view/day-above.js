// The day of the messages in view, above them while the reader scrolls, where the line of
// that day is not in view itself.

import { NEAR_PX } from "../logic/window.js";
import { dayOf } from "../words.js";
import { byId, element } from "./dom.js";

export class DayAbove {
  #node = element("p", "day-above");
  #scroller = byId("scroller", HTMLElement);
  #list = byId("messages", HTMLElement);
  #toFirstNew = byId("to-first-new", HTMLElement);
  /** Ends some time after the last scrolling. @type {ReturnType<typeof setTimeout> | undefined} */
  #scrolling;
  #isDue = false;

  constructor() {
    this.#node.ariaHidden = "true";
    this.#scroller.before(this.#node);
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  #scrolled() {
    clearTimeout(this.#scrolling);
    this.#scrolling = setTimeout(() => this.#node.classList.remove("shown"), SHOWN_MS);
    if (!this.#isDue) {
      this.#isDue = true;
      requestAnimationFrame(() => {
        this.#isDue = false;
        this.#show();
      });
    }
  }

  #show() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    const { top } = this.#scroller.getBoundingClientRect();
    // The button to the first new message stands in the same place.
    const isWanted = this.#toFirstNew.hidden && scrollHeight - scrollTop - clientHeight > NEAR_PX;
    const row = isWanted ? [...this.#list.querySelectorAll("[data-seq]")].find((row) => row.getBoundingClientRect().bottom > top + HEIGHT_PX) : undefined;
    const above = row?.previousElementSibling;
    const isInView = above?.matches(".day") && above.getBoundingClientRect().bottom > top;
    const time = isInView ? undefined : row?.querySelector("time[datetime]");
    this.#node.classList.toggle("shown", time !== undefined);
    if (time) this.#node.textContent = dayOf(Date.parse(time.getAttribute("datetime") ?? "") / 1000);
  }
}

/** How far down it reaches, and how long it stays. */
const HEIGHT_PX = 40;
const SHOWN_MS = 1_200;
