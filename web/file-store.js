// The bytes of files that wait to be sent, on the disk: IndexedDB, in a database of its
// own, so that pages of an earlier version still open theirs.

import { KEPT_MAX_BYTES } from "./logic/files.js";

/** @typedef {{ user: string, local: string, blob: Blob, at: number }} Record */

export class FileStore {
  #user;
  /** Null until it is needed, and after the browser has closed it. @type {Promise<IDBDatabase | null> | null} */
  #database = null;

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
    const isDone = await this.#run("readwrite", (store) => {
      const request = store.getAll(this.#range);
      request.onsuccess = () => {
        const bytes = request.result.reduce((sum, record) => sum + record.blob.size, blob.size);
        isKept = bytes <= KEPT_MAX_BYTES;
        if (isKept) store.put({ user: this.#user, local, blob, at: Date.now() });
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
    await this.#run("readonly", (store) => (request = store.get([this.#user, local])));
    return request?.result?.blob;
  }

  /** @param {Iterable<string>} locals */
  async drop(locals) {
    await this.#run("readwrite", (store) => {
      for (const local of locals) store.delete([this.#user, local]);
    });
  }

  /**
   * Drops files that nothing names any more: their page was closed before it could.
   * @param {Set<string>} named
   */
  async dropUnless(named) {
    await this.#run("readwrite", (store) => {
      const request = store.getAll(this.#range);
      request.onsuccess = () => {
        for (const { local, at } of request.result) {
          // Not one that is just being attached, or sent, in another tab.
          if (!named.has(local) && at < Date.now() - FORGOTTEN_AFTER_MS) store.delete([this.#user, local]);
        }
      };
    });
  }

  get #range() {
    return IDBKeyRange.bound([this.#user], [this.#user, []]);
  }

  /**
   * Runs a transaction. A browser may close the database at any time: then it is opened again.
   * @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore) => void} act
   * @returns {Promise<boolean>} whether it has committed
   */
  async #run(mode, act) {
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const opening = (this.#database ??= open(() => this.#forget(opening)));
      const database = await opening;
      if (database && (await run(database, mode, act))) {
        return true;
      }
      database?.close();
      this.#forget(opening);
    }
    return false;
  }

  /** @param {Promise<IDBDatabase | null>} database a database that is closed */
  #forget(database) {
    if (this.#database === database) this.#database = null;
  }
}

/**
 * @param {IDBDatabase} database
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => void} act
 * @returns {Promise<boolean>}
 */
function run(database, mode, act) {
  return new Promise((resolve) => {
    try {
      const transaction = database.transaction(STORE, mode, { durability: "strict" });
      transaction.oncomplete = () => resolve(true);
      // The disk is full, or a file cannot be read any more.
      transaction.onabort = () => resolve(false);
      act(transaction.objectStore(STORE));
    } catch {
      resolve(false);
    }
  });
}

/**
 * @param {() => void} closed
 * @returns {Promise<IDBDatabase | null>}
 */
function open(closed) {
  return new Promise((resolve) => {
    try {
      const request = indexedDB.open("chat files", 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: ["user", "local"] });
      request.onsuccess = () => {
        const database = request.result;
        database.onclose = closed;
        database.onversionchange = () => {
          database.close();
          closed();
        };
        resolve(database);
      };
      request.onerror = () => resolve(null);
      request.onblocked = () => resolve(null);
    } catch {
      resolve(null);
    }
  });
}

const STORE = "files";
const FORGOTTEN_AFTER_MS = 3_600_000;
