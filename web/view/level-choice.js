// The choice of what the user is notified of in a conversation.

import { make } from "./make.js";

/** @typedef {import("../logic/account.js").Level} Level */

export class LevelChoice {
  #inputs = LEVELS.map(([level, word]) => ({ level, word, input: make("input", { type: "radio", name: "level", value: level }) }));
  node;

  /** @param {(level: Level) => void} chosen */
  constructor(chosen) {
    const labels = this.#inputs.map(({ level, word, input }) => {
      input.addEventListener("change", () => chosen(level));
      return make("label", { class: "check" }, input, make("span", { "data-t": word }));
    });
    this.node = make("div", { class: "part", id: "level" }, make("fieldset", {}, make("legend", { "data-t": "notifyMeOf" }), ...labels));
  }

  /**
   * @param {Level} level
   * @param {boolean} isRoom nobody is mentioned in a private conversation
   */
  show(level, isRoom) {
    for (const { level: value, input } of this.#inputs) {
      input.checked = value === level;
      if (input.parentElement) input.parentElement.hidden = !isRoom && value === "mentions";
    }
  }
}

export const LEVELS = /** @type {const} */ ([
  ["all", "levelAll"],
  ["mentions", "levelMentions"],
  ["none", "levelNone"],
]);
