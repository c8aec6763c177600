// The menu of a message, beside its bar; on a touch screen a sheet at the lower edge,
// with the emoji that the user uses most.

import { t } from "../words.js";
import { button, byId, element, symbol } from "./dom.js";
import { Menu } from "./menu.js";

/** @typedef {import("./message-actions.js").Action} Action */
/** @typedef {import("./message-actions.js").MessageActions} MessageActions */

export class MessageMenu {
  #actions;
  #menu = new Menu("message", "messageActions", byId("talk", HTMLElement));

  /** @param {MessageActions} actions */
  constructor(actions) {
    this.#actions = actions;
  }

  /**
   * @param {HTMLElement} item
   * @param {Element} opener
   */
  open(item, opener) {
    const offered = this.#actions.offered(item).filter((action) => action !== "reply");
    this.#menu.openBeside(
      offered.map((action) => this.#choice(action, item)),
      opener,
    );
  }

  /** @param {HTMLElement} item */
  openSheet(item) {
    const offered = this.#actions.offered(item);
    if (offered.length > 0) {
      const emoji = this.#actions.may(item).react ? [this.#emojiRow(item)] : [];
      this.#menu.openSheet([...emoji, ...offered.map((action) => this.#choice(action, item))]);
    }
  }

  /** @param {HTMLElement} item */
  #emojiRow(item) {
    const row = element("div", "emoji-row");
    for (const emoji of this.#actions.use.most(5)) {
      const choice = button("", emoji);
      choice.ariaLabel = t.reactWith(emoji);
      choice.addEventListener("click", () => {
        this.#menu.close();
        this.#actions.react(item, emoji);
      });
      row.append(choice);
    }
    const more = button("", symbol("react"));
    more.ariaLabel = t.react;
    more.addEventListener("click", () => {
      this.#menu.close();
      this.#actions.do("react", item);
    });
    row.append(more);
    return row;
  }

  /**
   * @param {Action} action
   * @param {HTMLElement} item
   */
  #choice(action, item) {
    const words = { reply: t.reply, react: t.react, edit: t.edit, "copy-text": t.copyText, "copy-link": t.copyLink, download: t.download, report: t.report, delete: t.discard };
    const act = () => this.#actions.do(action, item);
    const choice = action === "delete" ? this.#menu.danger(action, words[action], act) : this.#menu.choice(action, words[action], act);
    choice.dataset.action = action;
    return choice;
  }
}
