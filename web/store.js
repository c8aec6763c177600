// The outbox on the disk: IndexedDB, one record for each message that is not
// known to be stored.

/** @typedef {import("./logic/outbox.js").Item} Item */
/** @typedef {Item & { user: string, tab: string }} Record */

export class OutboxStore {
  #user;
  #tab;
  /** @type {Promise<IDBDatabase | null>} */
  #database;

  /**
   * @param {string} user
   * @param {string} tab the name of this tab
   */
  constructor(user, tab) {
    this.#user = user;
    this.#tab = tab;
    this.#database = open();
  }

  /** @param {Item} item */
  async keep(item) {
    /** @type {Record} */
    const record = { ...item, state: item.state === "failed" ? "failed" : "waiting", user: this.#user, tab: this.#tab };
    await this.#run("readwrite", (store) => store.put(record));
  }

  /** @param {string} nonce */
  async drop(nonce) {
    await this.#run("readwrite", (store) => store.delete([this.#user, nonce]));
  }

  /**
   * Takes over what tabs have left that are gone. The transaction sees to it
   * that one tab gets it.
   * @param {(tab: string) => boolean} isAlive
   * @returns {Promise<Item[]>}
   */
  async adopt(isAlive) {
    /** @type {Item[]} */
    const adopted = [];
    await this.#run("readwrite", (store) => {
      const request = store.openCursor(IDBKeyRange.bound([this.#user], [this.#user, []]));
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor) {
          return;
        }
        /** @type {Record} */
        const record = cursor.value;
        if (record.tab === this.#tab || !isAlive(record.tab)) {
          cursor.update({ ...record, tab: this.#tab });
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
   * @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore) => IDBRequest} act
   */
  async #run(mode, act) {
    const database = await this.#database;
    if (!database) {
      return;
    }
    await new Promise((resolve) => {
      try {
        const transaction = database.transaction(STORE, mode, { durability: "strict" });
        transaction.oncomplete = resolve;
        transaction.onabort = resolve;
        transaction.onerror = resolve;
        act(transaction.objectStore(STORE));
      } catch {
        resolve(null);
      }
    });
  }
}

/** @returns {Promise<IDBDatabase | null>} null where the browser gives no room: then memory has to do */
function open() {
  return new Promise((resolve) => {
    try {
      const request = indexedDB.open("chat", 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: ["user", "nonce"] });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(null);
      request.onblocked = () => resolve(null);
    } catch {
      resolve(null);
    }
  });
}

const STORE = "outbox";
