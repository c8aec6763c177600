// The menu of a message, beside its bar; on a touch screen a sheet at the lower edge,
// with the emoji that the user uses most.

import { t } from "../words.js";
import { button, byId, element, symbol } from "./dom.js";
import { make, mount } from "./make.js";

/** @typedef {import("./message-actions.js").Action} Action */
/** @typedef {import("./message-actions.js").MessageActions} MessageActions */

export class MessageMenu {
  #actions;
  #menu = mount(make("div", { id: "message-menu", class: "menu message-menu", popover: true, role: "menu", "data-t-label": "messageActions" }), byId("talk", HTMLElement));
  #sheet = mount(make("dialog", { id: "message-sheet", class: "lower-sheet", "data-t-label": "messageActions" }));
  /** @type {Element | null} */
  #opener = null;
  /** Whether the sheet was pressed since it is open. */
  #isPressed = false;

  /** @param {MessageActions} actions */
  constructor(actions) {
    this.#actions = actions;
    this.#menu.addEventListener("keydown", (event) => this.#key(event));
    this.#menu.addEventListener("toggle", ({ newState }) => {
      if (newState === "closed" && this.#opener) this.#opener.ariaExpanded = "false";
    });
    // The finger that has opened the sheet is lifted over one of its buttons.
    this.#sheet.addEventListener("pointerdown", () => (this.#isPressed = true), { capture: true });
    this.#sheet.addEventListener(
      "click",
      (event) => {
        if (!this.#isPressed && event.detail > 0) event.stopPropagation();
      },
      { capture: true },
    );
    // No `closedby`: the finger that has opened the sheet would close it.
    this.#sheet.addEventListener("click", ({ target }) => target === this.#sheet && this.#sheet.close());
  }

  /**
   * @param {HTMLElement} item
   * @param {Element} opener
   */
  open(item, opener) {
    this.#opener = opener;
    const offered = this.#actions.offered(item).filter((action) => action !== "reply");
    this.#menu.replaceChildren(
      ...offered.map((action) => {
        const choice = this.#choice(action, item, () => this.#menu.hidePopover());
        choice.role = "menuitem";
        choice.tabIndex = -1;
        return choice;
      }),
    );
    this.#menu.showPopover();
    opener.ariaExpanded = "true";
    const { right, bottom, top } = opener.getBoundingClientRect();
    const { offsetWidth, offsetHeight, style } = this.#menu;
    style.left = `${Math.max(8, right - offsetWidth)}px`;
    style.top = `${bottom + offsetHeight + 12 <= innerHeight ? bottom + 4 : Math.max(8, top - offsetHeight - 4)}px`;
    this.#items[0]?.focus();
  }

  /** @param {HTMLElement} item */
  openSheet(item) {
    const offered = this.#actions.offered(item);
    if (offered.length === 0) {
      return;
    }
    this.#isPressed = false;
    const close = () => this.#sheet.close();
    this.#sheet.replaceChildren();
    if (this.#actions.may(item).react) {
      const row = element("div", "emoji-row");
      for (const emoji of this.#actions.use.most(5)) {
        const choice = button("", emoji);
        choice.ariaLabel = t.reactWith(emoji);
        choice.addEventListener("click", () => {
          close();
          this.#actions.react(item, emoji);
        });
        row.append(choice);
      }
      const more = button("", symbol("react"));
      more.ariaLabel = t.react;
      more.addEventListener("click", () => {
        close();
        this.#actions.do("react", item);
      });
      row.append(more);
      this.#sheet.append(row);
    }
    this.#sheet.append(...offered.map((action) => this.#choice(action, item, close)));
    this.#sheet.showModal();
  }

  /**
   * @param {Action} action
   * @param {HTMLElement} item
   * @param {() => void} close
   */
  #choice(action, item, close) {
    const words = { reply: t.reply, react: t.react, edit: t.edit, "copy-text": t.copyText, "copy-link": t.copyLink, download: t.download, report: t.report, delete: t.discard };
    const choice = button(action === "delete" ? "danger" : "", symbol(action), element("span", "", words[action]));
    choice.dataset.action = action;
    choice.addEventListener("click", () => {
      close();
      this.#actions.do(action, item);
    });
    return choice;
  }

  /** @returns {HTMLElement[]} */
  get #items() {
    return [...this.#menu.querySelectorAll("button")];
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const items = this.#items;
    const index = items.indexOf(/** @type {HTMLElement} */ (event.target));
    const next = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: -1 }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      items[(next + items.length) % items.length]?.focus();
    } else if (event.key === "Tab") {
      this.#menu.hidePopover();
    }
  }
}
