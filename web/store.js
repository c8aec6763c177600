// The outbox on the disk: IndexedDB, one record for each message that is not
// known to be stored, with the tab that sends it.

/** @typedef {import("./logic/outbox.js").Item} Item */
/** @typedef {Item & { user: string, tab: string }} Record */

export class OutboxStore {
  #user;
  #tab;
  /** Null until it is needed, and after the browser has closed it. @type {Promise<IDBDatabase | null> | null} */
  #database = null;

  /**
   * @param {string} user
   * @param {Promise<string>} tab the name of this tab
   */
  constructor(user, tab) {
    this.#user = user;
    this.#tab = tab;
  }

  /** @param {Item} item */
  async keep(item) {
    const kept = { ...item, state: item.state === "failed" ? "failed" : "waiting", user: this.#user };
    await this.#run((store, tab) => store.put({ ...kept, tab }));
  }

  /** @param {string} nonce */
  async drop(nonce) {
    await this.#run((store) => store.delete([this.#user, nonce]));
  }

  /**
   * Takes over the messages of closed tabs. The transaction sees to it that only
   * one tab gets each. Those of this tab, from before its page was loaded again,
   * are always among them.
   * @param {Set<string> | null} open the tabs that keep their messages; null: all do
   * @returns {Promise<Item[]>}
   */
  async adopt(open) {
    /** @type {Item[]} */
    const adopted = [];
    await this.#run((store, own) => {
      adopted.length = 0;
      const request = store.openCursor(IDBKeyRange.bound([this.#user], [this.#user, []]));
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor) {
          return;
        }
        /** @type {Record} */
        const record = cursor.value;
        if (record.tab === own || open?.has(record.tab) === false) {
          if (record.tab !== own) cursor.update({ ...record, tab: own });
          const { user: _, tab: __, ...item } = record;
          adopted.push(item);
        }
        cursor.continue();
      };
      return request;
    });
    return adopted.sort((a, b) => a.at - b.at);
  }

  /**
   * Runs a transaction. A browser may close the database at any time, as phones do
   * while the page is in the background: then it is opened again.
   * @param {(store: IDBObjectStore, tab: string) => IDBRequest} act
   */
  async #run(act) {
    // All wait for it, so that nothing is deleted before it is written.
    const tab = await this.#tab;
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const opening = (this.#database ??= open(() => this.#forget(opening)));
      const database = await opening;
      if (database && (await run(database, (store) => act(store, tab)))) {
        return;
      }
      database?.close();
      this.#forget(opening);
    }
  }

  /** @param {Promise<IDBDatabase | null>} database a database that is closed */
  #forget(database) {
    if (this.#database === database) {
      this.#database = null;
    }
  }
}

/**
 * @param {IDBDatabase} database
 * @param {(store: IDBObjectStore) => IDBRequest} act
 * @returns {Promise<boolean>} whether the transaction has committed
 */
function run(database, act) {
  return new Promise((resolve) => {
    try {
      const transaction = database.transaction(STORE, "readwrite", { durability: "strict" });
      transaction.oncomplete = () => resolve(true);
      transaction.onabort = () => resolve(false);
      act(transaction.objectStore(STORE));
    } catch {
      resolve(false);
    }
  });
}

/**
 * @param {() => void} closed
 * @returns {Promise<IDBDatabase | null>} null if the browser gives no storage: then messages are only in memory
 */
function open(closed) {
  return new Promise((resolve) => {
    try {
      const request = indexedDB.open("chat", 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: ["user", "nonce"] });
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

const STORE = "outbox";
