// What can be done with a message: answering, reacting, editing, copying and deleting
// it. Its bar, its menu and the keys lead here.

import { addressOf } from "../logic/address.js";
import { lastEditable, may, targetOf } from "../logic/changing.js";
import { addressOfFile } from "../logic/files.js";
import { t } from "../words.js";
import { ask } from "./ask.js";
import { byId, element } from "./dom.js";
import { EmojiUse } from "./emoji.js";
import { completeEmoji } from "./emoji-names.js";
import { EmojiPicker } from "./emoji-picker.js";
import { About } from "./composer-about.js";
import { Gestures } from "./gestures.js";
import { MessageBar } from "./message-bar.js";
import { MessageMenu } from "./message-menu.js";
import { addSymbols } from "./symbols.js";
import { Undo } from "./undo.js";

/** @typedef {import("../logic/changes.js").Shown} Shown */
/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("./composer.js").Composer} Composer */
/** @typedef {import("./composer.js").Mentionable} Mentionable */
/** @typedef {import("./directory.js").Directory} Directory */
/** @typedef {Parameters<import("../session.js").Session["change"]>[0]} Change */

/** @typedef {"reply" | "react" | "edit" | "copy-link" | "copy-text" | "download" | "report" | "delete"} Action */

/**
 * @typedef {object} Hooks
 * @property {Composer} composer
 * @property {(change: Change) => void} change
 * @property {(input: import("../logic/client.js").Input) => void} step
 * @property {(address: string, sentence?: string) => void} copy
 * @property {(sentence: string) => void} toast
 * @property {import("../settings.js").Memory} memory
 * @property {() => boolean} reports whether the server takes reports of messages
 * @property {(shown: Shown) => void} report asks why a message is reported
 * @property {(key: Key, text: string, mentionable: Mentionable) => { text: string, mentions?: string[], mentionAll?: boolean }} said what is sent for a text
 */

export class MessageActions {
  use;
  #messages = byId("messages", HTMLElement);
  #client;
  #directory;
  #hooks;
  #picker;
  #about;
  #undo;
  #bar;
  #menu;
  /** Made when a `:` is first typed. @type {ReturnType<typeof completeEmoji> | null} */
  #names = null;

  /**
   * @param {Client} client
   * @param {Directory} directory
   * @param {Hooks} hooks
   */
  constructor(client, directory, hooks) {
    addSymbols(SYMBOLS);
    this.#client = client;
    this.#directory = directory;
    this.#hooks = hooks;
    this.use = new EmojiUse(hooks.memory);
    this.#picker = new EmojiPicker(this.use, () => hooks.toast(t.somethingBroke));
    this.#about = new About(client, directory, { ...hooks, remove: (shown) => this.#askToDelete(shown) });
    this.#undo = new Undo(this.#messages, {
      key: () => directory.current,
      remove: (shown) => this.#remove(shown),
    });
    this.#menu = new MessageMenu(this);
    this.#bar = new MessageBar(this.#messages, this);
    new Gestures(this.#messages, {
      press: (item) => this.#menu.openSheet(item),
      canReply: (item) => this.may(item).reply,
      reply: (item) => this.do("reply", item),
    });
    this.#messages.addEventListener("keydown", (event) => this.#key(event));
    const text = byId("text", HTMLTextAreaElement);
    text.addEventListener("input", () => text.value.includes(":") && (this.#names ??= completeEmoji(text, this.use)));
  }

  /** Shows what has changed. */
  update() {
    this.#about.update();
    this.#bar.update();
  }

  /** The page is left: sends what waits only to be undone. */
  flush() {
    this.#undo.flush();
  }

  /**
   * The message of an element of the list.
   * @param {HTMLElement} item
   * @returns {Shown | undefined}
   */
  shown({ dataset: { seq, nonce } }) {
    const key = this.#directory.current;
    return key ? this.#client.look(key, seq ? { seq: Number(seq) } : { nonce }) : undefined;
  }

  /**
   * What the user may do with a message.
   * @param {HTMLElement} item
   * @returns {{ edit: boolean, delete: boolean, react: boolean, reply: boolean }}
   */
  may(item) {
    const shown = this.shown(item);
    const isRefused = item.dataset.state === "failed" || this.#undo.has(item);
    return shown && !isRefused ? may(this.#client, shown, Date.now() / 1000) : NOTHING;
  }

  /**
   * What the menu of a message offers.
   * @param {HTMLElement} item
   * @returns {Action[]}
   */
  offered(item) {
    const shown = this.shown(item);
    if (!shown || shown.deleted || this.#undo.has(item)) {
      return [];
    }
    const may = this.may(item);
    return [
      ...(may.reply ? /** @type {const} */ (["reply"]) : []),
      ...(may.edit ? /** @type {const} */ (["edit"]) : []),
      ...(shown.text ? /** @type {const} */ (["copy-text"]) : []),
      ...(shown.seq ? /** @type {const} */ (["copy-link"]) : []),
      ...(shown.files?.length === 1 && shown.files[0]?.id ? /** @type {const} */ (["download"]) : []),
      ...(shown.seq && shown.from !== this.#client.user && this.#hooks.reports() ? /** @type {const} */ (["report"]) : []),
      ...(may.delete ? /** @type {const} */ (["delete"]) : []),
    ];
  }

  /**
   * @param {Action} action
   * @param {HTMLElement} item
   * @param {Element | null} [beside] where the emoji are shown
   */
  async do(action, item, beside = null) {
    const shown = this.shown(item);
    if (!shown) {
      return;
    }
    switch (action) {
      case "reply":
        this.#about.reply(shown);
        break;
      case "edit":
        this.#about.edit(shown);
        break;
      case "react": {
        const emoji = await this.#picker.choose(beside ?? item);
        this.#focus(shown);
        if (emoji) this.react(item, emoji, true);
        break;
      }
      case "copy-link":
        this.#hooks.copy(new URL(addressOf(shown.key, shown.seq), location.href).href);
        break;
      case "copy-text":
        this.#hooks.copy(shown.text, t.textCopied);
        break;
      case "download":
        for (const file of shown.files ?? []) download(file);
        break;
      case "report":
        this.#hooks.report(shown);
        break;
      case "delete":
        this.#undo.start(shown);
        break;
    }
  }

  /**
   * Reacts to a message, or takes that reaction back.
   * @param {HTMLElement} item
   * @param {string} emoji
   * @param {boolean} [isOnly] whether a reaction that is there stays
   */
  react(item, emoji, isOnly = false) {
    const shown = this.shown(item);
    if (shown) {
      const isMine = shown.reactions?.some((reaction) => reaction.emoji === emoji && reaction.mine) ?? false;
      if (!isMine) this.use.add(emoji);
      if (!isMine || !isOnly) this.#hooks.change({ type: isMine ? "unreact" : "react", key: shown.key, ...targetOf(shown), emoji });
    }
  }

  /**
   * @param {HTMLElement} item
   * @param {Element} opener
   */
  openMenu(item, opener) {
    this.#menu.open(item, opener);
  }

  /**
   * Edits the last message that the user may edit.
   * @returns {boolean} false if there is none
   */
  editLast() {
    const key = this.#directory.current;
    const shown = key && lastEditable(this.#client, key, Date.now() / 1000);
    if (shown) this.#about.edit(shown);
    return Boolean(shown);
  }

  /** @param {Shown} shown */
  #remove(shown) {
    const item = shown.seq === 0 ? this.#client.outbox.find(shown.nonce ?? "") : undefined;
    if (item?.state === "waiting" && item.files?.some(({ id }) => !id)) {
      // It was never sent, and its files need not be uploaded.
      this.#hooks.step({ type: "discard", nonce: item.nonce });
    } else {
      this.#hooks.change({ type: "delete", key: shown.key, ...targetOf(shown) });
    }
  }

  /** @param {Shown} shown the text of which was emptied */
  async #askToDelete(shown) {
    if (await ask(t.deleteQuestion, t.discard)) this.#undo.start(shown);
  }

  /** Gives the focus back to a message. @param {Shown} shown */
  #focus({ seq, nonce }) {
    const item = this.#messages.querySelector(seq ? `[data-seq="${seq}"]` : `[data-nonce="${CSS.escape(nonce ?? "")}"]`);
    if (item instanceof HTMLElement && !matchMedia("(hover: none) and (pointer: coarse)").matches) item.focus({ preventScroll: true });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const item = event.target;
    if (!(item instanceof HTMLElement) || !item.matches(".message") || event.altKey || event.ctrlKey || event.metaKey) {
      return;
    }
    const may = this.may(item);
    const letter = /^[a-z+=]$/i.test(event.key) ? event.key.toLowerCase() : event.key === "Delete" ? "delete" : LETTERS[event.code];
    const action = /** @type {const} */ ({ r: "reply", e: "edit", "+": "react", "=": "react", delete: "delete" })[letter ?? ""];
    if (action) {
      // Not into the box, as other letters.
      event.preventDefault();
      event.stopPropagation();
      if (may[action]) this.do(action, item);
    }
  }
}

/** @param {import("../logic/outbox.js").FileOf} file */
function download(file) {
  const link = element("a");
  link.href = addressOfFile(file);
  link.download = file.name;
  link.click();
}

const NOTHING = { edit: false, delete: false, react: false, reply: false };
/** Keys by their place, for keyboards with other letters. @type {Record<string, string>} */
const LETTERS = { KeyR: "r", KeyE: "e", NumpadAdd: "+" };
const SYMBOLS = {
  reply: "M10 6 4 12l6 6M4.5 12H14c3.5 0 6 2.5 6 6",
  react: "M12 3.5a8.5 8.5 0 1 0 8.5 8.5M8.5 14.5c1.8 2.3 5.2 2.3 7 0M9 9.5v.1M15 9.5v.1M19 2.5v6M16 5.5h6",
  edit: "M5 19h3.5L18.5 9 15 5.5 5 15.5zM13 7.5l3.5 3.5",
  "copy-text": "M9 9h10v10H9zM15 9V5H5v10h4",
  "copy-link": "M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1",
  download: "M12 4v11M6.5 10 12 15.5 17.5 10M5 20h14",
  report: "M6 21V4M6 4.5c4-2 7 2 12 0v9c-5 2-8-2-12 0",
  delete: "M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10 10.5v5.5M14 10.5v5.5",
};
