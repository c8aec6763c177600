// The box in which messages are written.

import { charsOf } from "../logic/text.js";
import { t } from "../words.js";
import { byId, TOUCH, want } from "./dom.js";

/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("../logic/outbox.js").FileOf} FileOf */
/** @typedef {import("../settings.js").DraftAbout} DraftAbout */
/** @typedef {import("./names.js").Names} Names */
/** @typedef {import("./names.js").People} People */
/** @typedef {{ mentions?: string[], mentionAll?: boolean }} Mentionable users who may be mentioned beside those that the chat knows, and whether `@all` means every member */

export class Composer {
  #form = byId("composer", HTMLFormElement);
  #text = byId("text", HTMLTextAreaElement);
  #counter = byId("counter", HTMLElement);
  #hooks;
  /** @type {Key | null} */
  #key = null;
  #maxChars = 4096;
  /** Made when an `@` is first typed. @type {Names | null} */
  #names = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #saving;
  /** Whether the text differs from the kept draft. */
  #isChanged = false;
  /** What goes with the text, once files can be attached. @type {{ has: (key: Key) => boolean, take: (key: Key) => FileOf[] | null | undefined, update: () => void } | null} */
  files = null;
  /** What becomes of the text, while it is that of a message that is edited. @type {{ save: (text: string, mentionable: Mentionable) => void, cancel: () => void } | null} */
  editing = null;

  /**
   * @param {object} hooks
   * @param {(key: Key, text: string, mentionable: Mentionable, about: DraftAbout | null, files?: FileOf[]) => void} hooks.send
   * @param {(key: Key) => DraftAbout | null} hooks.about the message that the draft answers
   * @param {(key: Key) => string} hooks.draft
   * @param {(key: Key, text: string) => void} hooks.keepDraft
   * @param {(key: Key, isActive: boolean) => void} hooks.typing the user types, or has emptied the box
   * @param {(pages: number) => void} hooks.scroll
   * @param {() => void} hooks.toMessages
   * @param {() => void} hooks.editLast
   * @param {() => People} hooks.people
   */
  constructor(hooks) {
    this.#hooks = hooks;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#text.enterKeyHint = TOUCH.matches ? "enter" : "send";
    this.#text.addEventListener("input", () => this.#changed());
    this.#text.addEventListener("keydown", (event) => this.#keyDown(event));
    addEventListener("pagehide", () => this.#keepDraft());
    addEventListener("resize", () => this.#fit());
  }

  /**
   * @param {Key} key
   * @param {string} placeholder
   */
  open(key, placeholder) {
    if (this.#key !== key) {
      this.editing?.cancel();
      this.#keepDraft();
      this.#key = key;
      this.#text.value = this.#hooks.draft(key);
      this.#names?.close();
    }
    this.#text.placeholder = placeholder;
    this.#form.classList.toggle("private", key.startsWith("@"));
    this.#show();
  }

  /** Empties the box: another user may be next. */
  close() {
    this.editing?.cancel();
    this.#keepDraft();
    this.#key = null;
    this.#text.value = "";
  }

  focus() {
    this.#text.focus({ preventScroll: true });
  }

  /** Takes the focus, unless that opens a keyboard over half of the messages. */
  offerFocus() {
    if (!TOUCH.matches) this.focus();
  }

  /** @param {string} text of a message that is to be edited and sent again */
  insert(text) {
    this.#text.value = this.#text.value.trim() ? `${text}\n${this.#text.value}` : text;
    this.#changed();
    this.focus();
  }

  /**
   * Puts the text of a message in place of the draft.
   * @param {string} text
   * @param {NonNullable<Composer["editing"]>} editing
   */
  edit(text, editing) {
    this.#keepDraft();
    this.editing = editing;
    this.#text.value = text;
    this.files?.update();
    this.#show();
    this.focus();
    this.#text.setSelectionRange(text.length, text.length);
  }

  /** Puts the draft back. */
  endEdit() {
    this.editing = null;
    this.#isChanged = false;
    this.#text.value = this.#key ? this.#hooks.draft(this.#key) : "";
    this.#names?.close();
    this.files?.update();
    this.#show();
  }

  /** @param {number} maxChars */
  setMaxChars(maxChars) {
    this.#maxChars = maxChars;
    this.#show();
  }

  #send() {
    const text = this.#text.value.trim();
    const chars = charsOf(text);
    const mentionable = this.#names ? { mentions: this.#names.known, mentionAll: this.#names.mayMentionAll } : {};
    if (this.editing) {
      if (chars <= this.#maxChars) this.editing.save(text, mentionable);
    } else if (this.#key && this.#hasContent && chars <= this.#maxChars) {
      const files = this.files?.take(this.#key);
      if (files === null) return;
      const about = this.#hooks.about(this.#key);
      this.#text.value = "";
      this.#names?.close();
      this.#isChanged = true;
      this.#keepDraft();
      this.#show();
      this.#hooks.send(this.#key, text, mentionable, about, files);
    }
    this.focus();
  }

  /** @param {KeyboardEvent} event */
  #keyDown(event) {
    const { key, shiftKey, isComposing, altKey, ctrlKey, metaKey } = event;
    if (key === "Enter" && !shiftKey && !altKey && !isComposing && event.keyCode !== 229 && !TOUCH.matches) {
      // Enter also ends a word in an input method, and is the only way to a new line on a touch screen.
      event.preventDefault();
      this.#send();
    } else if (key === "ArrowUp" && this.#text.value === "" && !this.editing && !altKey && !ctrlKey && !metaKey) {
      event.preventDefault();
      shiftKey ? this.#hooks.toMessages() : this.#hooks.editLast();
    } else if ((key === "PageUp" || key === "PageDown") && !ctrlKey) {
      event.preventDefault();
      this.#hooks.scroll(key === "PageUp" ? -1 : 1);
    }
  }

  #changed() {
    this.#isChanged = true;
    this.#show();
    if (this.#key && !this.editing) this.#hooks.typing(this.#key, this.#text.value.trim() !== "");
    clearTimeout(this.#saving);
    this.#saving = setTimeout(() => this.#keepDraft(), DRAFT_AFTER_MS);
    if (!this.#names && this.#text.value.includes("@")) {
      // Without suggestions, a name can still be typed.
      this.loadNames().then((names) => names.suggest(), () => {});
    }
  }

  async loadNames() {
    const [{ Names }] = await Promise.all([import("./names.js"), want("later")]);
    return (this.#names ??= new Names(this.#text, this.#hooks.people));
  }

  #keepDraft() {
    clearTimeout(this.#saving);
    // A draft that was not changed here may have been sent from another tab.
    if (this.#key && this.#isChanged && !this.editing) {
      this.#isChanged = false;
      this.#hooks.keepDraft(this.#key, this.#text.value);
    }
  }

  get #hasContent() {
    return this.#text.value.trim() !== "" || (!this.editing && this.#key !== null && this.files?.has(this.#key) === true);
  }

  #show() {
    const left = this.#maxChars - (this.#text.value.length < COUNTED_FROM_LENGTH ? 0 : charsOf(this.#text.value));
    this.#counter.textContent = left < 0 ? t.charsOver(-left) : left <= COUNTED_LEFT ? t.charsLeft(left) : "";
    this.#counter.classList.toggle("error", left < 0);
    this.#text.ariaInvalid = left < 0 ? "true" : null;
    this.#form.classList.toggle("has-text", this.#hasContent);
    // A screen reader announces it at times, and not at every key.
    this.#counter.ariaLive = left < 0 || left % COUNTED_STEP === 0 ? "polite" : "off";
    this.#fit();
  }

  /** Makes the box as high as its text, where the style alone cannot. */
  #fit() {
    if (!GROWS) import("./grow.js").then(({ grow }) => grow(this.#text), () => {});
  }
}

const DRAFT_AFTER_MS = 400;
/** The number of characters left is shown from here on. */
const COUNTED_LEFT = 500;
const COUNTED_STEP = 50;
const COUNTED_FROM_LENGTH = 3_000;
/** Whether the style alone makes the box grow. */
const GROWS = CSS.supports("field-sizing", "content");
