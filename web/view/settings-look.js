// The page of the settings for colours and language. The language can be changed at
// the door, too, so `app.js` does that.

import { settings } from "../settings.js";
import { language } from "../words.js";
import { languageButtons } from "./languages.js";
import { make } from "./make.js";

export class LookPage {
  #themes = THEMES.map(([theme, word]) => make("button", { type: "button", "data-theme-choice": theme, "data-t": word }));
  #languages = languageButtons();
  node = make(
    "div",
    {},
    make("fieldset", {}, make("legend", { "data-t": "colours" }), make("div", { class: "segments", id: "themes" }, ...this.#themes)),
    make("fieldset", {}, make("legend", { "data-t": "language" }), make("div", { class: "segments" }, ...this.#languages)),
  );

  constructor() {
    for (const choice of this.#themes) {
      choice.addEventListener("click", () => {
        const chosen = choice.dataset.themeChoice;
        settings.theme = chosen === "light" || chosen === "dark" ? chosen : null;
        this.open();
      });
    }
  }

  open() {
    const theme = settings.theme ?? "";
    document.documentElement.dataset.theme = theme;
    for (const choice of this.#themes) choice.ariaPressed = String(choice.dataset.themeChoice === theme);
  }

  retranslate() {
    for (const choice of this.#languages) choice.ariaPressed = String(choice.dataset.language === language);
  }
}

/** @type {[theme: string, word: string][]} */
const THEMES = [
  ["", "themeSystem"],
  ["light", "themeLight"],
  ["dark", "themeDark"],
];
