// A menu of what can be done with something: beside it, or on a touch screen a sheet at
// the lower edge.

import { button, element, symbol } from "./dom.js";
import { make, mount } from "./make.js";

export class Menu {
  #menu;
  #id;
  #word;
  /** Made when it is first opened: some menus are never a sheet. @type {HTMLDialogElement | null} */
  #sheet = null;
  /** @type {Element | null} */
  #opener = null;
  /** Whether the sheet was pressed since it is open. */
  #isPressed = false;

  /**
   * @param {string} id
   * @param {string} word its name, in `words`
   * @param {HTMLElement} parent
   */
  constructor(id, word, parent) {
    this.#id = id;
    this.#word = word;
    this.#menu = mount(make("div", { id: `${id}-menu`, class: "menu action-menu", popover: true, role: "menu", "data-t-label": word }), parent);
    this.#menu.addEventListener("keydown", (event) => this.#key(event));
    this.#menu.addEventListener("toggle", ({ newState }) => {
      if (newState === "closed" && this.#opener) this.#opener.ariaExpanded = "false";
    });
  }

  /**
   * Opens the menu beside an opener: below its right end, or above it where there is no room.
   * @param {HTMLElement[]} content
   * @param {Element} opener
   */
  openBeside(content, opener) {
    const { right, bottom, top } = opener.getBoundingClientRect();
    this.#opener = opener;
    // Before the focus moves: a bar goes with the focus, unless its menu is open.
    opener.ariaExpanded = "true";
    this.#show(content, ({ offsetWidth, offsetHeight }) => [right - offsetWidth, bottom + offsetHeight + 12 <= innerHeight ? bottom + 4 : top - offsetHeight - 4]);
  }

  /**
   * Opens the menu at a point of the page.
   * @param {HTMLElement[]} content
   * @param {number} x
   * @param {number} y
   */
  openAt(content, x, y) {
    this.#opener = null;
    this.#show(content, ({ offsetWidth, offsetHeight }) => [Math.min(x, innerWidth - offsetWidth - EDGE_PX), Math.min(y, innerHeight - offsetHeight - EDGE_PX)]);
  }

  /** @param {HTMLElement[]} content */
  openSheet(content) {
    this.#isPressed = false;
    const sheet = (this.#sheet ??= this.#makeSheet());
    sheet.replaceChildren(...content);
    for (const choice of sheet.querySelectorAll("[role^=menuitem]")) {
      // A dialog has buttons.
      if (choice.role === "menuitemradio") choice.ariaPressed = choice.ariaChecked;
      choice.role = choice.ariaChecked = null;
      choice.removeAttribute("tabindex");
    }
    sheet.showModal();
  }

  /**
   * A button of the menu, which closes it.
   * @param {string} sign the name of a symbol, or nothing
   * @param {string} words
   * @param {() => void} act
   */
  choice(sign, words, act) {
    const choice = button("", ...(sign ? [symbol(sign)] : []), element("span", "", words));
    choice.role = "menuitem";
    choice.tabIndex = -1;
    choice.addEventListener("click", () => {
      this.close();
      act();
    });
    return choice;
  }

  /**
   * A button of the menu that takes something away.
   * @param {string} sign
   * @param {string} words
   * @param {() => void} act
   */
  danger(sign, words, act) {
    const choice = this.choice(sign, words, act);
    choice.classList.add("danger");
    return choice;
  }

  close() {
    this.#menu.hidePopover();
    this.#sheet?.close();
  }

  #makeSheet() {
    const sheet = mount(make("dialog", { id: `${this.#id}-sheet`, class: "lower-sheet", "data-t-label": this.#word }));
    // The finger that has opened the sheet is lifted over one of its buttons.
    sheet.addEventListener("pointerdown", () => (this.#isPressed = true), { capture: true });
    sheet.addEventListener(
      "click",
      (event) => {
        if (!this.#isPressed && event.detail > 0) event.stopPropagation();
      },
      { capture: true },
    );
    // No `closedby`: the finger that has opened the sheet would close it.
    sheet.addEventListener("click", ({ target }) => target === sheet && sheet.close());
    return sheet;
  }

  /**
   * @param {HTMLElement[]} content
   * @param {(menu: HTMLElement) => [left: number, top: number]} placeOf
   */
  #show(content, placeOf) {
    this.#menu.replaceChildren(...content);
    this.#menu.showPopover();
    const [left, top] = placeOf(this.#menu);
    this.#menu.style.left = `${Math.max(EDGE_PX, left)}px`;
    this.#menu.style.top = `${Math.max(EDGE_PX, top)}px`;
    this.#items[0]?.focus();
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

/** As far from the edges of the page at least. */
const EDGE_PX = 8;
