// A dialog with a heading and a button that closes it. On a phone it fills the screen.

import { symbol } from "./dom.js";
import { make, mount } from "./make.js";

export class Sheet {
  heading;
  node;

  /**
   * @param {string} id
   * @param {string} word the heading, in `words`
   * @param {...HTMLElement} children
   */
  constructor(id, word, ...children) {
    this.heading = make("h2", { id: `${id}-heading`, "data-t": word });
    const close = make("button", { type: "button", class: "icon", "data-t-label": "close" }, symbol("close"));
    this.node = mount(
      make(
        "dialog",
        { id, class: "sheet", "aria-labelledby": `${id}-heading`, closedby: "any" },
        make("header", {}, this.heading, close),
        ...children,
      ),
    );
    close.addEventListener("click", () => this.close());
    // For browsers without `closedby`.
    this.node.addEventListener("click", (event) => event.target === this.node && this.close());
  }

  open() {
    if (!this.node.open) this.node.showModal();
  }

  close() {
    this.node.close();
  }
}
