// A panel beside a conversation. One is open at a time; on a phone it covers the
// screen, and the Back gesture closes it.

import { byId, symbol } from "./dom.js";
import { make, mount } from "./make.js";

/** @typedef {EventTarget & { destroy: () => void }} CloseWatcher TypeScript's types lack it */

/** The panel that is open. @type {Panel | null} */
let open = null;

export class Panel {
  node;
  #chat = byId("chat", HTMLElement);
  #behind = [byId("talk", HTMLElement), byId("sidebar", HTMLElement)];
  #narrow = matchMedia("(width < 48rem)");
  #closed;
  /** @type {CloseWatcher | null} */
  #watcher = null;
  /** What had the focus before. @type {Element | null} */
  #opener = null;

  /**
   * @param {string} id
   * @param {{ heading: string, close: string }} words names of words in `words`
   * @param {HTMLElement[]} children
   * @param {(isByUser: boolean) => void} [closed] after the user has closed it, or another panel or the page has
   */
  constructor(id, words, children, closed = () => {}) {
    this.#closed = closed;
    const close = make("button", { type: "button", id: `close-${id}`, class: "icon", "data-t-label": words.close }, symbol("close"));
    this.node = mount(
      make(
        "aside",
        { id, class: "details", "aria-labelledby": `${id}-heading`, hidden: true, tabindex: "-1" },
        make("header", {}, make("h2", { id: `${id}-heading`, "data-t": words.heading }), close),
        ...children,
      ),
      this.#chat,
    );
    close.addEventListener("click", () => this.close(true));
    this.#narrow.addEventListener("change", () => open === this && this.#cover());
  }

  /** Called after the user has closed a panel: another may take its place. */
  static vacant = () => {};

  /** The panel that is open. */
  static get open() {
    return open;
  }

  get isOpen() {
    return !this.node.hidden;
  }

  /** Whether it covers the conversation. */
  get covers() {
    return this.#narrow.matches;
  }

  open() {
    const opener = open ? open.#opener : document.activeElement;
    open?.close();
    open = this;
    this.#opener = opener;
    this.node.hidden = false;
    this.#cover();
  }

  /** @param {boolean} [isByUser] */
  close(isByUser = false) {
    if (!this.isOpen) {
      return;
    }
    const hadFocus = this.node.contains(document.activeElement);
    open = null;
    this.node.hidden = true;
    this.#cover();
    if (hadFocus && this.#opener instanceof HTMLElement) this.#opener.focus({ preventScroll: true });
    this.#closed(isByUser);
    if (isByUser) Panel.vacant();
  }

  /** On a phone, nothing behind the panel can be reached. */
  #cover() {
    const covers = this.isOpen && this.covers;
    this.#chat.classList.toggle("with-details", this.isOpen);
    for (const behind of this.#behind) {
      // The sidebar of a phone takes no focus while it is closed.
      behind.inert = covers || (behind.id === "sidebar" && this.covers);
    }
    this.#watcher?.destroy();
    this.#watcher = null;
    if (covers) {
      const { CloseWatcher } = /** @type {Window & { CloseWatcher?: new () => CloseWatcher }} */ (window);
      this.#watcher = CloseWatcher ? new CloseWatcher() : null;
      this.#watcher?.addEventListener("close", () => this.close(true));
    }
  }
}
