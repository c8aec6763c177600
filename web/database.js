// A database on the disk of the browser: IndexedDB.

/** @template {string} Kind of records: each has a store */
export class Database {
  #name;
  #keys;
  #durability;
  #endsDeleted;
  /** Null until it is needed, and after the browser has closed it. @type {Promise<IDBDatabase | null> | null} */
  #database = null;
  /** Whether another page has deleted it, and it is not to be made again. */
  #isOver = false;

  /**
   * @param {string} name
   * @param {Record<Kind, string | string[]>} keys the fields that name a record, for each kind
   * @param {object} [options]
   * @param {IDBTransactionDurability} [options.durability] `strict`: what has committed is on the disk
   * @param {boolean} [options.endsDeleted] whether nothing is kept any more once another page has deleted it
   */
  constructor(name, keys, { durability = "default", endsDeleted = false } = {}) {
    this.#name = name;
    this.#keys = keys;
    this.#durability = durability;
    this.#endsDeleted = endsDeleted;
  }

  /**
   * Runs a transaction. A browser may close the database at any time, as phones do
   * while the page is in the background: then it is opened again.
   * @param {IDBTransactionMode} mode
   * @param {(stores: Record<Kind, IDBObjectStore>) => void} act
   * @returns {Promise<boolean>} whether it has committed; not where the browser gives no storage
   */
  async run(mode, act) {
    for (let attempt = 0; attempt < 2 && !this.#isOver; attempt += 1) {
      const opening = (this.#database ??= this.#open(() => this.#forget(opening)));
      const database = await opening;
      if (database && (await this.#transact(database, mode, act))) return true;
      database?.close();
      this.#forget(opening);
    }
    return false;
  }

  /** @param {Promise<IDBDatabase | null>} database a database that is closed */
  #forget(database) {
    if (this.#database === database) this.#database = null;
  }

  get #kinds() {
    return /** @type {Kind[]} */ (Object.keys(this.#keys));
  }

  /**
   * @param {IDBDatabase} database
   * @param {IDBTransactionMode} mode
   * @param {(stores: Record<Kind, IDBObjectStore>) => void} act
   * @returns {Promise<boolean>} whether the transaction has committed
   */
  #transact(database, mode, act) {
    return new Promise((resolve) => {
      try {
        const transaction = database.transaction(this.#kinds, mode, { durability: this.#durability });
        transaction.oncomplete = () => resolve(true);
        // The disk is full, or a record cannot be read any more.
        transaction.onabort = () => resolve(false);
        const stores = this.#kinds.map((kind) => [kind, transaction.objectStore(kind)]);
        act(/** @type {Record<Kind, IDBObjectStore>} */ (Object.fromEntries(stores)));
      } catch {
        resolve(false);
      }
    });
  }

  /**
   * @param {() => void} closed
   * @returns {Promise<IDBDatabase | null>} null if the browser gives no storage
   */
  #open(closed) {
    return new Promise((resolve) => {
      try {
        const request = indexedDB.open(this.#name, 1);
        request.onupgradeneeded = () => {
          for (const kind of this.#kinds) request.result.createObjectStore(kind, { keyPath: this.#keys[kind] });
        };
        request.onsuccess = () => {
          const database = request.result;
          database.onclose = closed;
          // Another page deletes the database, and would wait for this one.
          database.onversionchange = () => {
            this.#isOver = this.#endsDeleted;
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
}

/**
 * Deletes a database; ends once it is gone, or another page holds it for too long.
 * @param {string} name
 */
export function deleteDatabase(name) {
  return new Promise((done) => {
    setTimeout(done, DELETED_WITHIN_MS);
    const request = indexedDB.deleteDatabase(name);
    request.onsuccess = request.onerror = done;
  });
}

const DELETED_WITHIN_MS = 1_000;
