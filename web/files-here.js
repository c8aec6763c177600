// Files that were attached in this browser and are not known to be stored in a message:
// those of drafts, and those of messages in the outbox. It has their bytes, uploads them,
// and tells the outbox what became of them. It decides nothing: `logic/uploads.js` does.

import * as api from "./api.js";
import { FileStore } from "./file-store.js";
import { cleanName } from "./logic/files.js";
import { Uploads } from "./logic/uploads.js";
import { json, keys, write } from "./settings.js";
import { OutboxStore } from "./outbox-store.js";

/** @typedef {import("./logic/client.js").Client} Client */
/** @typedef {import("./logic/conversation.js").Key} Key */
/** @typedef {import("./logic/outbox.js").FileOf} FileOf */
/** @typedef {import("./logic/outbox.js").Item} Item */
/** @typedef {import("./logic/uploads.js").Input} Input */

/**
 * @typedef {object} Hooks
 * @property {(input: import("./logic/client.js").Input) => void} step
 * @property {() => void} changed something else is to be shown
 * @property {import("./settings.js").Memory} memory
 */

/** Tells of `change` with the local name of a file, and of `network` when the connection is back. */
export class FilesHere extends EventTarget {
  /** @type {Client | null} */
  #client = null;
  /** @type {Hooks | null} */
  #hooks = null;
  #store = new FileStore("");
  #uploads = new Uploads();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {Map<Key, FileOf[]>} */
  #drafts = new Map();
  /** @type {Map<string, Blob>} */
  #blobs = new Map();
  /** Addresses of the bytes, until they are not needed any more. @type {Map<string, string>} */
  #urls = new Map();
  /** Local names by names on the server. @type {Map<string, string>} */
  #locals = new Map();
  /** Files that are only in memory. @type {Set<string>} */
  #unkept = new Set();
  /** @type {Map<string, XMLHttpRequest>} */
  #requests = new Map();
  /** Messages whose files were uploaded once more. @type {Set<string>} */
  #again = new Set();
  /** Local names that drafts or the outbox have named. @type {Set<string>} */
  #known = new Set();
  #isOpen = false;

  /**
   * @param {Client} client
   * @param {Hooks} hooks
   */
  begin(client, hooks) {
    this.#client = client;
    this.#hooks = hooks;
    this.#store = new FileStore(client.user);
    addEventListener("beforeunload", (event) => this.#holdsUnkept && event.preventDefault());
    this.update();
    setTimeout(() => this.#dropForgotten(), FORGOTTEN_AFTER_MS);
  }

  /**
   * The files of a draft.
   * @param {Key} key
   * @returns {FileOf[]}
   */
  draft(key) {
    let files = this.#drafts.get(key);
    if (!files) {
      const kept = json(this.#draftName(key));
      const sent = new Set(this.#items.flatMap(({ files = [] }) => files.map(({ local }) => local)));
      files = Array.isArray(kept) ? kept.filter(({ local }) => !sent.has(local)) : [];
      this.#drafts.set(key, files);
      for (const file of files) if (!file.id) this.#ensure(file);
    }
    return files;
  }

  /**
   * Attaches files to a draft, and begins to upload them.
   * @param {Key} key
   * @param {File[]} files
   */
  add(key, files) {
    const added = files.map((file) => {
      const local = crypto.getRandomValues(new Uint32Array(4)).join("-");
      this.#blobs.set(local, file);
      /** @type {FileOf} */
      const made = { local, name: cleanName(file.name), type: file.type || "application/octet-stream", size: file.size };
      return made;
    });
    this.#setDraft(key, [...this.draft(key), ...added]);
    for (const file of added) {
      const { local = "" } = file;
      const blob = this.#blobs.get(local);
      if (blob) this.#store.keep(local, blob).then((isKept) => isKept || this.#unkept.add(local));
      this.#ensure(file);
      if (file.type.startsWith("image/")) this.#measure(local);
    }
  }

  /**
   * @param {Key} key
   * @param {string | undefined} local
   */
  remove(key, local) {
    this.#setDraft(key, this.draft(key).filter((file) => file.local !== local));
    this.update();
  }

  /**
   * Tries a failed upload again.
   * @param {string | undefined} local
   */
  retry(local = "") {
    this.#step({ type: "retry", local });
  }

  /**
   * The files of a draft, which are now those of a message.
   * @param {Key} key
   */
  take(key) {
    const files = this.draft(key);
    this.#setDraft(key, []);
    return files;
  }

  /**
   * Puts the files of a message back into the draft.
   * @param {Key} key
   * @param {FileOf[]} files
   */
  restore(key, files) {
    const known = new Set(this.draft(key).map(({ local }) => local));
    this.#setDraft(key, [...files.filter(({ local }) => !known.has(local)), ...this.draft(key)]);
    for (const file of files) if (!file.id) this.#ensure(file);
  }

  /**
   * How far the upload of a file is.
   * @param {string | undefined} local
   */
  upload(local = "") {
    return this.#uploads.of(local);
  }

  /**
   * Whether files are only in memory, and not sent yet.
   * @param {FileOf[]} files
   */
  areUnkept(files) {
    return files.some(({ local, id }) => !id && local !== undefined && this.#unkept.has(local));
  }

  /**
   * The address of the bytes of a file in this browser; empty where they are not here.
   * @param {FileOf} file
   * @returns {string}
   */
  urlOf(file) {
    const local = this.localOf(file);
    const blob = this.#blobs.get(local);
    const url = this.#urls.get(local) ?? (blob ? URL.createObjectURL(blob) : "");
    if (url) this.#urls.set(local, url);
    return url;
  }

  /** @param {FileOf} file */
  localOf({ id = "", local = "" }) {
    return local || (this.#locals.get(id) ?? "");
  }

  /** Looks at what the outbox has now: begins uploads, and ends those that nobody wants. */
  update() {
    const client = this.#client;
    if (!client) {
      return;
    }
    const isOpen = client.state === "open";
    if (isOpen !== this.#isOpen) {
      this.#isOpen = isOpen;
      this.#step({ type: "network", isOpen });
      if (isOpen) this.dispatchEvent(new Event("network"));
    }
    for (const item of this.#items) {
      if (item.state === "failed" && item.reason === "bad_request") this.#uploadAgain(item);
      for (const file of item.files ?? []) {
        if (!file.id && item.state === "waiting") this.upload(file.local)?.state === "failed" ? this.retry(file.local) : this.#ensure(file);
      }
    }
    const named = [...this.#drafts.values(), ...this.#items.map(({ files = [] }) => files)].flatMap((files) => files.map(({ local = "" }) => local));
    const known = new Set(named.filter(Boolean));
    const gone = [...this.#known].filter((local) => !known.has(local));
    this.#known = known;
    if (gone.length > 0) this.#forget(gone);
  }

  /** Another user may be next: forgets the files of drafts. */
  async leave() {
    for (const request of this.#requests.values()) request.abort();
    const files = keys().flatMap((key) => (key.startsWith(this.#draftName("")) ? (json(key) ?? []) : []));
    await this.#store.drop(files.map((/** @type {FileOf} */ { local }) => local ?? ""));
  }

  /** @returns {Item[]} messages with files that are not stored */
  get #items() {
    return this.#client?.outbox.items.filter(({ files, state }) => files && state !== "stored") ?? [];
  }

  get #holdsUnkept() {
    return this.areUnkept(this.#items.flatMap(({ files = [] }) => files));
  }

  /**
   * Begins to upload a file, unless that runs or has failed. Where its bytes are not in
   * memory, they are on the disk.
   * @param {FileOf} file
   */
  async #ensure({ local = "" }) {
    const upload = this.#uploads.of(local);
    this.#known.add(local);
    if (upload) {
      return;
    }
    this.#step({ type: "add", local });
    if (!this.#blobs.has(local)) {
      const blob = await this.#store.find(local);
      if (blob) this.#blobs.set(local, blob);
      this.#tell(local);
      this.#hooks?.changed();
    }
  }

  /**
   * The server does not know the files of a message: it keeps them for a day only. Once,
   * they are uploaded again.
   * @param {Item} item
   */
  #uploadAgain({ nonce, files = [] }) {
    if (!this.#again.has(nonce) && files.every(({ id }) => id)) {
      this.#again.add(nonce);
      this.#hooks?.step({ type: "files", nonce, files: files.map(({ id: _, ...file }) => file) });
      this.#hooks?.step({ type: "retry", nonce });
    }
  }

  /** @param {Input} input */
  #step(input) {
    const moment = { now: performance.now(), random: Math.random };
    for (const output of this.#uploads.step(input, moment)) {
      switch (output.do) {
        case "start":
          this.#send(output.local);
          break;
        case "stop":
          this.#requests.get(output.local)?.abort();
          this.#requests.delete(output.local);
          break;
        case "failed":
          this.#failed(output.local, output.reason);
          break;
        case "changed":
          this.#tell(output.local);
          break;
        case "check-session":
          this.#checkSession();
          break;
      }
    }
    clearTimeout(this.#timer);
    const { wakeAt } = this.#uploads;
    if (wakeAt !== Infinity) {
      this.#timer = setTimeout(() => this.#step({ type: "timer" }), Math.max(0, wakeAt - performance.now()) + 1);
    }
  }

  /** @param {string} local */
  async #send(local) {
    const request = new XMLHttpRequest();
    this.#requests.set(local, request);
    const blob = await this.#readable(local);
    if (this.#requests.get(local) !== request) {
      return;
    }
    const file = this.#find(local);
    if (!blob || !file) {
      this.#requests.delete(local);
      this.#step({ type: "refused", local, status: GONE });
      return;
    }
    /** @param {Input} input */
    const step = (input) => {
      if (this.#requests.get(local) === request) {
        if (input.type !== "progress") this.#requests.delete(local);
        this.#step(input);
      }
    };
    // `fetch` does not tell how much it has sent.
    request.open("POST", `/api/files?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("Content-Type", file.type);
    request.upload.onprogress = ({ loaded }) => step({ type: "progress", local, sent: file.size ? Math.min(1, loaded / file.size) : 1 });
    request.onerror = request.onabort = () => step({ type: "refused", local, status: 0 });
    request.onload = () => {
      const stored = request.status === 201 ? parse(request.responseText) : null;
      if (stored) {
        step({ type: "done", local });
        this.#stored(local, stored);
      } else {
        step({ type: "refused", local, status: request.status === 201 ? 0 : request.status, retryAfterSeconds: Number(request.getResponseHeader("Retry-After")) || 0 });
      }
    };
    request.send(blob);
  }

  /**
   * The bytes of a file; undefined where they cannot be read any more.
   * @param {string} local
   * @returns {Promise<Blob | undefined>}
   */
  async #readable(local) {
    for (const blob of [this.#blobs.get(local), await this.#store.find(local)]) {
      // A file may have been deleted or changed since it was chosen.
      if (blob && (await blob.slice(0, 1).arrayBuffer().catch(() => null))) {
        this.#blobs.set(local, blob);
        return blob;
      }
    }
    return undefined;
  }

  /**
   * A file is on the server.
   * @param {string} local
   * @param {FileOf} stored as the server has it
   */
  #stored(local, { id, name, type, size, width, height }) {
    if (id) this.#locals.set(id, local);
    this.#change(local, () => ({ local, id, name, type, size, ...(width && height && { width, height }) }));
  }

  /**
   * The size of a picture, so that its space can be reserved before the server says it.
   * @param {string} local
   */
  #measure(local) {
    const image = new Image();
    image.onload = () => {
      const { naturalWidth: width, naturalHeight: height } = image;
      this.#change(local, (file) => (file.id ? file : { ...file, width, height }));
    };
    image.src = this.urlOf({ local, name: "", type: "", size: 0 });
  }

  /**
   * Changes a file, in the draft or the message that it belongs to.
   * @param {string} local
   * @param {(file: FileOf) => FileOf} change
   * @param {string} [reason] why it cannot be sent
   */
  #change(local, change, reason) {
    const changed = (/** @type {FileOf[]} */ files) => files.map((file) => (file.local === local ? change(file) : file));
    for (const [key, files] of this.#drafts) {
      if (has(files, local)) this.#setDraft(key, changed(files));
    }
    for (const { nonce, files = [] } of this.#items) {
      if (has(files, local)) this.#hooks?.step({ type: "files", nonce, files: changed(files), ...(reason && { reason }) });
    }
    this.#hooks?.changed();
  }

  /**
   * @param {string} local
   * @param {string} reason
   */
  #failed(local, reason) {
    this.#change(local, (file) => file, reason);
  }

  /**
   * @param {string} local
   * @returns {FileOf | undefined}
   */
  #find(local) {
    return [...this.#drafts.values(), ...this.#items.map(({ files = [] }) => files)].flat().find((file) => file.local === local);
  }

  /**
   * @param {Key} key
   * @param {FileOf[]} files
   */
  #setDraft(key, files) {
    this.#drafts.set(key, files);
    write(this.#draftName(key), files.length > 0 ? JSON.stringify(files) : null);
    for (const { local = "" } of files) this.#known.add(local);
    this.#hooks?.changed();
  }

  /** @param {string} key */
  #draftName(key) {
    return this.#hooks?.memory.keyOf(`draft files ${key}`) ?? "";
  }

  /** @param {string[]} locals files that no draft and no message here has any more */
  #forget(locals) {
    for (const local of locals) {
      this.#step({ type: "remove", local });
      this.#unkept.delete(local);
    }
    this.#store.drop(locals);
    // A message that was just stored shows its pictures until those of the server are there.
    setTimeout(() => {
      for (const local of locals.filter((local) => !this.#known.has(local))) {
        const url = this.#urls.get(local);
        if (url) URL.revokeObjectURL(url);
        this.#urls.delete(local);
        this.#blobs.delete(local);
      }
    }, RELEASED_AFTER_MS);
  }

  async #checkSession() {
    const error = await api.me().catch((error) => error);
    if (error instanceof api.ApiError && error.status === 401) this.#hooks?.step({ type: "session", signedIn: false });
  }

  /** Deletes files of pages that were closed before they could. */
  async #dropForgotten() {
    const client = this.#client;
    if (client) {
      const items = await new OutboxStore(client.user, "").locals();
      const drafts = keys().flatMap((key) => (key.startsWith(this.#draftName("")) ? (json(key) ?? []) : []));
      await this.#store.dropUnless(new Set([...items, ...drafts.map((/** @type {FileOf} */ { local }) => local ?? ""), ...this.#known]));
    }
  }

  /** @param {string} local */
  #tell(local) {
    this.dispatchEvent(new CustomEvent("change", { detail: local }));
  }
}

/**
 * @param {FileOf[]} files
 * @param {string} local
 */
function has(files, local) {
  return files.some((file) => file.local === local);
}

/** @param {string} text */
function parse(text) {
  try {
    const file = JSON.parse(text);
    return typeof file.id === "string" ? file : null;
  } catch {
    return null;
  }
}

export const filesHere = new FilesHere();

/** The status that stands for bytes that are no longer there. */
const GONE = 410;
const FORGOTTEN_AFTER_MS = 20_000;
const RELEASED_AFTER_MS = 30_000;
