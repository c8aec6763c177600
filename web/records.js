// Records on the disk of the browser: IndexedDB, a database with one kind of records.

export class Records {
  #name;
  #kind;
  #key;
  /** Null until it is needed, and after the browser has closed it. @type {Promise<IDBDatabase | null> | null} */
  #database = null;

  /**
   * @param {string} name of the database
   * @param {string} kind the name of its only store
   * @param {string[]} key the fields that name a record
   */
  constructor(name, kind, key) {
    this.#name = name;
    this.#kind = kind;
    this.#key = key;
  }

  /**
   * Runs a transaction. A browser may close the database at any time, as phones do
   * while the page is in the background: then it is opened again.
   * @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore) => void} act
   * @returns {Promise<boolean>} whether it has committed
   */
  async run(mode, act) {
    for (let attempt = 0; attempt < 2; attempt += 1) {
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

  /**
   * @param {IDBDatabase} database
   * @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore) => void} act
   * @returns {Promise<boolean>} whether the transaction has committed
   */
  #transact(database, mode, act) {
    return new Promise((resolve) => {
      try {
        const transaction = database.transaction(this.#kind, mode, { durability: "strict" });
        transaction.oncomplete = () => resolve(true);
        // The disk is full, or a record cannot be read any more.
        transaction.onabort = () => resolve(false);
        act(transaction.objectStore(this.#kind));
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
        request.onupgradeneeded = () => request.result.createObjectStore(this.#kind, { keyPath: this.#key });
        request.onsuccess = () => {
          const database = request.result;
          database.onclose = closed;
          // Another tab deletes the database, and would wait for this one.
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
}
