// Attaching files to a draft: by the button in the box, by pasting, and by dropping them
// anywhere. Their pictures stand in the box, with the progress of their uploads.

import { filesHere } from "../files-here.js";
import { chosen, FILES_MAX, kindOf, labelOf } from "../logic/files.js";
import { listOf, t } from "../words.js";
import { arrange, button, byId, element, isolated, symbol, wantStyle } from "./dom.js";
import { showUpload } from "./files.js";
import { sizeOf } from "./sizes.js";
import { addSymbols } from "./symbols.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("../logic/outbox.js").FileOf} FileOf */
/** @typedef {import("./composer.js").Composer} Composer */
/** @typedef {import("./directory.js").Directory} Directory */

export class Attach {
  #client;
  #directory;
  #composer;
  #toast;
  #form = byId("composer", HTMLElement);
  #button = byId("attach", HTMLButtonElement);
  #list = element("ul", "attached");
  #picker = element("input");
  #target = element("div", "drop-here");
  #shown = "";
  /** @type {Map<string, HTMLElement>} */
  #chips = new Map();
  /** How many elements of the page a dragged file has entered and not left. */
  #over = 0;
  /** Whether something of this page is dragged. */
  #isOwn = false;

  /**
   * @param {Client} client
   * @param {Directory} directory
   * @param {{ composer: Composer, toast: (sentence: string) => void }} hooks
   */
  constructor(client, directory, { composer, toast }) {
    this.#client = client;
    this.#directory = directory;
    this.#composer = composer;
    this.#toast = toast;
    addSymbols({ again: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3M19.5 3.5v4.2h-4.2" });
    this.#picker.type = "file";
    this.#picker.multiple = true;
    this.#picker.addEventListener("change", () => {
      this.add([...(this.#picker.files ?? [])]);
      this.#picker.value = "";
    });
    this.#picker.hidden = this.#list.hidden = this.#target.hidden = true;
    this.#form.append(this.#picker);
    wantStyle("files").catch(() => {});
    this.#form.querySelector(".box")?.prepend(this.#list);
    byId("chat", HTMLElement).append(this.#target);
    composer.files = {
      has: (key) => filesHere.draft(key).length > 0,
      take: (key) => this.#take(key),
      update: () => this.update(),
    };
    document.addEventListener("paste", (event) => this.#paste(event));
    document.addEventListener("dragstart", () => (this.#isOwn = true));
    document.addEventListener("dragend", () => (this.#isOwn = false));
    document.addEventListener("dragenter", (event) => this.#drag(event, 1));
    document.addEventListener("dragleave", (event) => this.#drag(event, -1));
    document.addEventListener("dragover", (event) => this.#dragOver(event));
    document.addEventListener("drop", (event) => this.#drop(event));
  }

  /** Lets the user choose files. */
  choose() {
    this.#picker.click();
  }

  /**
   * Attaches files to the draft of the open conversation.
   * @param {File[]} files
   */
  add(files) {
    const key = this.#directory.current;
    if (!key || files.length === 0) {
      return;
    }
    if (this.#composer.editing) {
      this.#toast(t.noFilesInEdit);
      return;
    }
    const { limits } = this.#client;
    const { taken, tooLarge, isTooMany } = chosen(files, filesHere.draft(key).length, limits);
    if (taken.length > 0) filesHere.add(key, taken);
    const sentences = [
      ...(tooLarge.length > 0 ? [t.filesTooLarge(listOf(tooLarge.map(({ name }) => name)), sizeOf(limits.file_max_bytes ?? 0))] : []),
      ...(isTooMany ? [t.tooManyFiles(limits.files_max ?? FILES_MAX)] : []),
    ];
    if (sentences.length > 0) this.#toast(sentences.join(" "));
    this.#composer.offerFocus();
    this.update();
  }

  /** Shows what has changed. */
  update() {
    const key = this.#directory.current;
    // Without a connection so far, it is not known whether the server takes files.
    const mayAttach = !this.#client.hasConnected || this.#client.features.has("files");
    this.#button.hidden = !mayAttach || this.#composer.editing !== null;
    const files = key && !this.#composer.editing ? filesHere.draft(key) : [];
    const shown = JSON.stringify([key, files, files.map(({ local }) => filesHere.upload(local)?.reason), t.chat]);
    if (this.#shown === shown) {
      return;
    }
    this.#shown = shown;
    const focused = this.#list.contains(document.activeElement);
    /** @type {Map<string, HTMLElement>} */
    const chips = new Map();
    for (const file of files) {
      const { local = "" } = file;
      const chip = this.#chips.get(local) ?? element("li", "chip-file");
      this.#showChip(chip, /** @type {Key} */ (key), file);
      chips.set(local, chip);
    }
    this.#chips = chips;
    arrange(this.#list, [...chips.values()]);
    this.#list.hidden = files.length === 0;
    this.#list.ariaLabel = t.attachedFiles;
    if (focused && !this.#list.contains(document.activeElement)) this.#composer.focus();
  }

  /**
   * @param {HTMLElement} chip
   * @param {Key} key
   * @param {FileOf} file
   */
  #showChip(chip, key, file) {
    const { local, name, size } = file;
    const reason = file.id ? undefined : filesHere.upload(local)?.reason;
    const made = JSON.stringify([file.id, reason, t.chat, filesHere.urlOf(file) !== ""]);
    if (chip.dataset.shown !== made) {
      chip.dataset.shown = made;
      const remove = button("chip-remove", symbol("close"));
      remove.title = remove.ariaLabel = t.removeFile(name);
      remove.addEventListener("click", () => {
        const next = chip.nextElementSibling ?? chip.previousElementSibling;
        const other = next?.querySelector(".chip-remove");
        filesHere.remove(key, local);
        this.update();
        other instanceof HTMLElement ? other.focus() : this.#composer.focus();
      });
      const about = element("span", "chip-words", isolated(name, "title"), element("small", "", reason ? this.#sentence(reason) : [labelOf(file), sizeOf(size)].filter(Boolean).join(" · ")));
      chip.replaceChildren(this.#sign(file), about);
      chip.classList.toggle("is-picture", isPicture(file) && !reason);
      chip.classList.toggle("failed", reason !== undefined);
      if (reason) {
        const again = button("icon", symbol("again"));
        again.title = again.ariaLabel = t.retryFile(name);
        again.addEventListener("click", () => filesHere.retry(local));
        chip.append(again);
        about.role = "alert";
      }
      chip.append(remove);
      chip.title = name;
    }
    showUpload(chip, file);
  }

  /** @param {FileOf} file */
  #sign(file) {
    const here = isPicture(file) ? filesHere.urlOf(file) : "";
    if (!here) {
      return symbol({ video: "film", audio: "sound", picture: "file", card: "file" }[kindOf(file)]);
    }
    const image = new Image();
    image.alt = "";
    image.src = here;
    image.onerror = () => image.replaceWith(symbol("file"));
    return image;
  }

  /** @param {string} reason */
  #sentence(reason) {
    const reasons = /** @type {Record<string, string>} */ (t.fileReasons);
    return (Object.hasOwn(reasons, reason) && reasons[reason]) || t.fileReasons.file_refused;
  }

  /**
   * The files of a draft that is sent now.
   * @param {Key} key
   * @returns {FileOf[] | null | undefined} null: it cannot be sent; undefined: it has none
   */
  #take(key) {
    const files = filesHere.draft(key);
    if (files.some(({ id, local }) => !id && filesHere.upload(local)?.state === "failed")) {
      this.#toast(t.removeFailed);
      return null;
    }
    if (files.length === 0) {
      return undefined;
    }
    if (filesHere.areUnkept(files)) this.#toast(t.filesNotKept);
    return filesHere.take(key);
  }

  /** Whether files can be attached now. */
  get #isReady() {
    return !this.#form.hidden && !this.#button.hidden && !document.querySelector("dialog[open]");
  }

  /** @param {ClipboardEvent} event */
  #paste(event) {
    const { target, clipboardData } = event;
    const isElsewhere = target instanceof HTMLInputElement || (target instanceof HTMLTextAreaElement && target.id !== "text");
    const files = [...(clipboardData?.files ?? [])];
    // A program for texts or tables gives a picture of its text beside the text.
    const isText = ["text/plain", "text/html"].every((type) => clipboardData?.types.includes(type));
    if (files.length > 0 && !isText && !isElsewhere && !event.defaultPrevented && (this.#isReady || this.#composer.editing) && !document.querySelector("dialog[open]")) {
      event.preventDefault();
      this.add(files);
    }
  }

  /** @param {DragEvent} event */
  #hasFiles({ dataTransfer }) {
    return !this.#isOwn && dataTransfer?.types.includes("Files") === true;
  }

  /**
   * @param {DragEvent} event
   * @param {1 | -1} step
   */
  #drag(event, step) {
    if (this.#hasFiles(event)) {
      this.#over = Math.max(0, this.#over + step);
      this.#showTarget(this.#over > 0 && this.#isReady);
    }
  }

  /** @param {DragEvent} event */
  #dragOver(event) {
    if (this.#hasFiles(event) && !event.defaultPrevented) {
      // Otherwise the browser leaves the page and opens the file.
      event.preventDefault();
      if (event.dataTransfer) event.dataTransfer.dropEffect = this.#isReady ? "copy" : "none";
    }
  }

  /** @param {DragEvent} event */
  #drop(event) {
    if (!this.#hasFiles(event)) {
      return;
    }
    this.#over = 0;
    this.#showTarget(false);
    if (event.defaultPrevented) {
      return;
    }
    event.preventDefault();
    if (this.#isReady) {
      const items = [...(event.dataTransfer?.items ?? [])].filter(({ kind }) => kind === "file");
      const files = items.flatMap((item) => (item.webkitGetAsEntry?.()?.isDirectory ? [] : (item.getAsFile() ?? [])));
      if (files.length < items.length) this.#toast(t.noFolders);
      this.add(files);
    }
  }

  /** @param {boolean} isShown */
  #showTarget(isShown) {
    const key = this.#directory.current;
    this.#target.hidden = !isShown;
    if (isShown && key) this.#target.replaceChildren(element("p", "", t.dropHere(this.#directory.titleOf(key))));
  }
}

/** @param {FileOf} file */
function isPicture({ type }) {
  return /^image\/(png|jpeg|gif|webp)$/.test(type);
}
