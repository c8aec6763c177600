// Who has reacted to a message, where its entry in the log says only some names.

import { reactionsTo } from "../reactions.js";
import { t } from "../words.js";
import { byId } from "./dom.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/client.js").Input} Input */
/** @typedef {import("./directory.js").Directory} Directory */

export class Reactions {
  #list = byId("messages", HTMLElement);
  #client;
  #directory;
  #hooks;
  /** Messages that were asked about, as the changes up to a number had made them. @type {Set<string>} */
  #asked = new Set();

  /**
   * @param {Client} client
   * @param {Directory} directory
   * @param {{ step: (input: Input) => void, toast: (sentence: string) => void }} hooks
   */
  constructor(client, directory, hooks) {
    this.#client = client;
    this.#directory = directory;
    this.#hooks = hooks;
    for (const event of ["pointerover", "focusin"]) {
      this.#list.addEventListener(event, ({ target }) => {
        const chip = chipOf(target);
        if (chip?.matches(".some")) this.#askAbout(chip);
      });
    }
    // A long press: there is no pointer that could stay above the names.
    this.#list.addEventListener("contextmenu", async (event) => {
      const chip = chipOf(event.target);
      if (chip) {
        event.preventDefault();
        event.stopPropagation();
        if (chip.matches(".some")) await this.#askAbout(chip);
        hooks.toast(`${chip.dataset.emoji} ${chip.title}`);
      }
    });
  }

  /** Asks whether reactions are the user's, where the names do not say it. */
  update() {
    for (const chip of this.#list.querySelectorAll(".chip.unsure")) {
      if (chip instanceof HTMLElement) this.#askAbout(chip);
    }
  }

  /** @param {HTMLElement} chip */
  async #askAbout(chip) {
    const key = this.#directory.current;
    const seq = Number(chip.closest("li")?.dataset.seq);
    const { updated = 0 } = (key && this.#client.conversations.get(key)?.at(seq)) ?? {};
    const state = `${key} ${seq} ${updated}`;
    if (!key || !(seq > 0) || this.#asked.has(state)) {
      return;
    }
    this.#asked.add(state);
    try {
      const reactions = await reactionsTo(key, seq);
      for (const { emoji, count, users } of reactions) {
        const shown = this.#list.querySelector(`[data-seq="${seq}"] .chip[data-emoji="${emoji}"]`);
        if (shown instanceof HTMLElement && key === this.#directory.current) {
          const names = users.slice(0, NAMES_MAX);
          shown.title = t.reactedBy(names, count - names.length);
          shown.classList.remove("some");
        }
      }
      if (chip.matches(".unsure")) {
        this.#hooks.step({ type: "reactions", key, seq, updated, mine: new Map(reactions.map(({ emoji, mine }) => [emoji, mine])) });
      }
    } catch {
      // It may be asked again.
      this.#asked.delete(state);
    }
    if (this.#asked.size > ASKED_MAX) this.#asked.clear();
  }
}

/** @param {EventTarget | null} target */
function chipOf(target) {
  const chip = target instanceof Element ? target.closest(".chip") : null;
  return chip instanceof HTMLElement ? chip : null;
}

const NAMES_MAX = 30;
const ASKED_MAX = 500;
