// The bytes of files that wait to be sent, on the disk: IndexedDB, in a database of its
// own, so that pages of an earlier version still open theirs.

import { Database } from "./database.js";
import { KEPT_MAX_BYTES } from "./logic/files.js";

/** @typedef {{ user: string, local: string, blob: Blob, at: number }} Record */

export class FileStore {
  #user;
  #disk = new Database("chat files", { files: ["user", "local"] }, { durability: "strict" });

  /** @param {string} user */
  constructor(user) {
    this.#user = user;
  }

  /**
   * @param {string} local the name of the file in this browser
   * @param {Blob} blob
   * @returns {Promise<boolean>} false if it is not kept: more than `KEPT_MAX_BYTES` would be, or the browser keeps nothing
   */
  async keep(local, blob) {
    let isKept = false;
    const isDone = await this.#disk.run("readwrite", ({ files }) => {
      const request = files.getAll(this.#range);
      request.onsuccess = () => {
        const bytes = request.result.reduce((sum, record) => sum + record.blob.size, blob.size);
        isKept = bytes <= KEPT_MAX_BYTES;
        if (isKept) files.put({ user: this.#user, local, blob, at: Date.now() });
      };
    });
    return isDone && isKept;
  }

  /**
   * @param {string} local
   * @returns {Promise<Blob | undefined>}
   */
  async find(local) {
    /** @type {IDBRequest<Record | undefined> | undefined} */
    let request;
    await this.#disk.run("readonly", ({ files }) => (request = files.get([this.#user, local])));
    return request?.result?.blob;
  }

  /** @param {Iterable<string>} locals */
  async drop(locals) {
    await this.#disk.run("readwrite", ({ files }) => {
      for (const local of locals) files.delete([this.#user, local]);
    });
  }

  /**
   * Drops files that nothing names any more: their page was closed before it could.
   * @param {Set<string>} named
   */
  async dropUnless(named) {
    await this.#disk.run("readwrite", ({ files }) => {
      const request = files.getAll(this.#range);
      request.onsuccess = () => {
        for (const { local, at } of request.result) {
          // Not one that is just being attached, or sent, in another tab.
          if (!named.has(local) && at < Date.now() - FORGOTTEN_AFTER_MS) files.delete([this.#user, local]);
        }
      };
    });
  }

  get #range() {
    return IDBKeyRange.bound([this.#user], [this.#user, []]);
  }
}

const FORGOTTEN_AFTER_MS = 3_600_000;
