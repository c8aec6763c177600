// What stands above the box while a message is edited or answered.

import { targetOf } from "../logic/changing.js";
import { summaryOf } from "../logic/files.js";
import { t } from "../words.js";
import { button, byId, element, isolated, symbol, TOUCH } from "./dom.js";
import { showLine } from "./message.js";

/** @typedef {import("../logic/changes.js").Shown} Shown */
/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("./composer.js").Mentionable} Mentionable */
/** @typedef {import("./directory.js").Directory} Directory */
/** @typedef {Pick<import("./message-actions.js").Hooks, "composer" | "memory" | "change" | "said"> & { remove: (shown: Shown) => void }} Hooks `remove`: asks whether to delete a message */

export class About {
  #text = byId("text", HTMLTextAreaElement);
  #bar = element("div", "about");
  #client;
  #directory;
  #hooks;
  /** The message that is edited. @type {Shown | null} */
  #edited = null;
  #shown = "";

  /**
   * @param {Client} client
   * @param {Directory} directory
   * @param {Hooks} hooks
   */
  constructor(client, directory, hooks) {
    this.#client = client;
    this.#directory = directory;
    this.#hooks = hooks;
    this.#bar.hidden = true;
    this.#bar.id = "about";
    byId("composer", HTMLElement).prepend(this.#bar);
    // Before the chat, which goes to the newest message.
    this.#text.addEventListener(
      "keydown",
      (event) => {
        const isListOpen = this.#text.hasAttribute("aria-controls");
        if (event.key === "Escape" && !this.#bar.hidden && !isListOpen && !event.isComposing) {
          event.preventDefault();
          event.stopPropagation();
          this.#cancel();
        }
      },
      { capture: true },
    );
  }

  /** @param {Shown} shown */
  reply(shown) {
    if (this.#edited) this.#endEdit();
    this.#hooks.memory.setDraftAbout(shown.key, { kind: "reply", ...(shown.seq ? { seq: shown.seq } : { nonce: shown.nonce }) });
    this.update();
    this.#hooks.composer.focus();
  }

  /** @param {Shown} shown */
  edit(shown) {
    if (this.#edited) this.#endEdit();
    this.#edited = shown;
    this.#hooks.composer.edit(shown.text, { save: (text, mentionable) => this.#save(text, mentionable), cancel: () => this.#endEdit() });
    this.update();
  }

  /** Shows what has changed. */
  update() {
    const { current: key } = this.#directory;
    const edited = this.#edited;
    const about = key && !edited ? this.#hooks.memory.draftAbout(key) : null;
    const answered = key && about?.kind === "reply" ? this.#client.look(key, about) : undefined;
    if (key && about && answered?.deleted) {
      this.#hooks.memory.setDraftAbout(key, null);
      this.update();
      return;
    }
    const shown = JSON.stringify([edited?.seq, edited?.nonce, about, answered?.from, answered && summaryOf(answered, t.photos), t.chat]);
    if (this.#shown === shown) {
      return;
    }
    this.#shown = shown;
    this.#bar.hidden = !edited && !about;
    this.#bar.classList.toggle("edits", edited !== null);
    if (this.#bar.hidden) {
      this.#bar.replaceChildren();
      return;
    }
    const cancel = button("icon", symbol("close"));
    cancel.title = cancel.ariaLabel = edited ? t.cancelEdit : t.cancelReply;
    cancel.addEventListener("click", () => {
      this.#cancel();
      this.#hooks.composer.focus();
    });
    const line = element("span", "quiet");
    showLine(line, answered ? summaryOf(answered, t.photos).slice(0, QUOTE_MAX_LENGTH) : t.replyingTo);
    const words = edited
      ? [element("span", "title", TOUCH.matches ? t.editing : `${t.editing} · ${t.escCancels}`)]
      : [element("span", "title", isolated(answered?.from ?? "", "name"), " ", line)];
    this.#bar.replaceChildren(symbol(edited ? "edit" : "reply"), element("span", "unseen", edited ? "" : `${t.replyingTo} `), ...words, cancel);
    this.#bar.role = "status";
  }

  #cancel() {
    const { current: key } = this.#directory;
    if (this.#edited) {
      this.#endEdit();
    } else if (key) {
      this.#hooks.memory.setDraftAbout(key, null);
      this.update();
    }
  }

  #endEdit() {
    this.#edited = null;
    this.#hooks.composer.endEdit();
    this.update();
  }

  /**
   * @param {string} text
   * @param {Mentionable} mentionable
   */
  #save(text, mentionable) {
    const shown = this.#edited;
    this.#endEdit();
    // A message with files needs no text.
    if (shown && text === "" && !shown.files) {
      this.#hooks.remove(shown);
    } else if (shown && text !== shown.text.trim()) {
      this.#hooks.change({ type: "edit", key: shown.key, ...targetOf(shown), ...this.#hooks.said(shown.key, text, mentionable) });
    }
  }
}

const QUOTE_MAX_LENGTH = 400;
