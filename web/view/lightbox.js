// Pictures on the whole screen: those of the open conversation that are in the page, one
// after the other, by keys, buttons, and a finger.

import { t, timeOf } from "../words.js";
import { button, byId, element, isolated, symbol } from "./dom.js";
import { make, mount } from "./make.js";
import { sizeOf } from "./sizes.js";
import { addSymbols } from "./symbols.js";

/** @type {Lightbox | null} */
let lightbox = null;

/** @param {HTMLAnchorElement} picture among the messages */
export function openLightbox(picture) {
  lightbox ??= new Lightbox();
  lightbox.open(picture);
}

class Lightbox {
  #messages = byId("messages", HTMLElement);
  #image = new Image();
  #stage = element("div", "stage", this.#image);
  #words = element("p", "words");
  #count = element("span", "quiet");
  #download = element("a", "icon", symbol("download"));
  #close = button("icon", symbol("close"));
  #previous = button("icon previous", symbol("previous"));
  #next = button("icon next", symbol("previous"));
  #node = mount(
    make("dialog", { id: "lightbox", class: "lightbox" }, element("header", "", this.#words, this.#count, this.#download, this.#close), this.#stage, this.#previous, this.#next),
  );
  /** The id of the file that is shown, and the number of its message. */
  #id = "";
  #seq = "";
  /** @type {{ id: number, x: number, y: number } | null} */
  #touch = null;
  #watcher = new MutationObserver(() => this.#check());

  constructor() {
    addSymbols(SYMBOLS);
    this.#words.id = "lightbox-words";
    this.#node.setAttribute("aria-labelledby", "lightbox-words");
    this.#close.addEventListener("click", () => this.#node.close());
    this.#previous.addEventListener("click", () => this.#by(-1));
    this.#next.addEventListener("click", () => this.#by(1));
    this.#node.addEventListener("keydown", (event) => this.#key(event));
    this.#node.addEventListener("close", () => this.#closed());
    // Beside the picture.
    this.#stage.addEventListener("click", ({ target }) => target === this.#stage && this.#node.close());
    this.#image.addEventListener("click", () => this.#zoom());
    this.#image.addEventListener("load", () => this.#image.classList.add("loaded"));
    this.#image.draggable = false;
    this.#stage.addEventListener("pointerdown", ({ pointerType, isPrimary, pointerId: id, clientX: x, clientY: y }) => {
      this.#touch = pointerType === "touch" && isPrimary && !this.#isZoomed ? { id, x, y } : null;
    });
    this.#stage.addEventListener("pointermove", (event) => this.#move(event));
    this.#stage.addEventListener("pointerup", (event) => this.#up(event));
    this.#stage.addEventListener("pointercancel", () => this.#reset());
    addEventListener("popstate", () => this.#node.close());
  }

  /** @param {HTMLAnchorElement} picture */
  open(picture) {
    this.#watcher.observe(this.#messages, { childList: true, subtree: true });
    for (const [node, words] of /** @type {const} */ ([[this.#close, t.close], [this.#previous, t.previousPicture], [this.#next, t.nextPicture], [this.#download, t.download]])) {
      node.title = node.ariaLabel = words;
    }
    if (!this.#node.open) this.#node.showModal();
    this.#show(picture);
    this.#close.focus();
  }

  /** @returns {HTMLAnchorElement[]} in the order of the messages */
  get #all() {
    return [...this.#messages.querySelectorAll(".message:not(.deleting) a.picture[href]")].filter((link) => link instanceof HTMLAnchorElement);
  }

  get #isZoomed() {
    return this.#stage.classList.contains("zoomed");
  }

  /** @param {HTMLAnchorElement} picture */
  #show(picture) {
    const { id = "", name = "", width = "", height = "", size = "" } = picture.dataset;
    const message = picture.closest("li");
    const all = this.#all;
    const index = all.indexOf(picture);
    this.#id = id;
    this.#seq = message?.dataset.seq ?? "";
    this.#reset();
    this.#stage.classList.remove("zoomed");
    this.#image.classList.remove("loaded");
    // What is among the messages is shown until the whole picture is there.
    const preview = picture.querySelector("img")?.currentSrc ?? "";
    this.#image.style.backgroundImage = preview ? `url(${JSON.stringify(preview)})` : "";
    this.#image.alt = name;
    this.#image.width = Number(width);
    this.#image.height = Number(height);
    this.#image.style.setProperty("--ratio", `${width} / ${height}`);
    this.#image.src = picture.href;
    const time = message?.querySelector("time")?.textContent ?? timeOf(Date.now() / 1000);
    this.#words.replaceChildren(isolated(name, "title"), " ", element("small", "", isolated(message?.dataset.from ?? ""), `, ${time} · ${sizeOf(Number(size))}`));
    this.#count.textContent = all.length > 1 ? t.pictureOf(index + 1, all.length) : "";
    this.#download.href = picture.href;
    this.#download.download = name;
    this.#previous.hidden = index <= 0;
    this.#next.hidden = index < 0 || index >= all.length - 1;
    // The button that was pressed may be gone.
    if (!this.#node.contains(document.activeElement) || document.activeElement?.matches("[hidden]")) this.#close.focus();
    for (const beside of [all[index + 1], all[index - 1]]) if (beside) new Image().src = beside.href;
  }

  /** @param {number} step */
  #by(step) {
    const all = this.#all;
    const next = all[all.findIndex(({ dataset }) => dataset.id === this.#id) + step];
    if (next) this.#show(next);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) {
      return;
    }
    const all = this.#all;
    const index = all.findIndex(({ dataset }) => dataset.id === this.#id);
    const next = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: all.length - 1 }[event.key];
    if (next !== undefined && !this.#isZoomed) {
      event.preventDefault();
      const picture = all[next];
      if (picture && next !== index) this.#show(picture);
    } else if (event.key === "+" || event.key === "-" || event.key === "=") {
      this.#zoom();
    }
  }

  /** Shows the picture in its own size, or all of it. */
  #zoom() {
    const { width, naturalWidth } = this.#image;
    if (this.#isZoomed || naturalWidth > this.#image.clientWidth * 1.05) {
      this.#stage.classList.toggle("zoomed");
      this.#stage.scrollTo((width - this.#stage.clientWidth) / 2, (this.#image.height - this.#stage.clientHeight) / 2);
    }
  }

  /** @param {PointerEvent} event */
  #move({ pointerId, clientX, clientY }) {
    if (this.#touch?.id === pointerId) {
      const [x, y] = [clientX - this.#touch.x, Math.max(0, clientY - this.#touch.y)];
      this.#image.style.translate = Math.abs(x) > y ? `${x}px` : `0 ${y}px`;
    }
  }

  /** @param {PointerEvent} event */
  #up({ pointerId, clientX, clientY }) {
    const touch = this.#touch;
    this.#reset();
    if (touch?.id !== pointerId) {
      return;
    }
    const [x, y] = [clientX - touch.x, clientY - touch.y];
    if (Math.abs(x) > SWIPE_PX && Math.abs(x) > Math.abs(y)) this.#by(x < 0 ? 1 : -1);
    else if (y > SWIPE_PX && y > Math.abs(x)) this.#node.close();
  }

  #reset() {
    this.#touch = null;
    this.#image.style.translate = "";
  }

  /** Closes once the picture is deleted. A row that is only far away may be missing. */
  #check() {
    const message = this.#messages.querySelector(`li[data-seq="${CSS.escape(this.#seq)}"]`);
    if (message && !message.querySelector(`a.picture[data-id="${CSS.escape(this.#id)}"]`)) this.#node.close();
  }

  #closed() {
    this.#watcher.disconnect();
    this.#image.removeAttribute("src");
    this.#image.style.backgroundImage = "";
  }
}

const SYMBOLS = {
  previous: "M14.5 5.5 8 12l6.5 6.5",
};
/** A finger that goes this far means it. */
const SWIPE_PX = 60;
