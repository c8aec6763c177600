// The outbox on the disk: IndexedDB, one record for each message that is not
// known to be stored; and which tabs there are to send it.

/** @typedef {import("./logic/outbox.js").Item} Item */
/** @typedef {Item & { user: string, tab: string }} Record */

export class OutboxStore {
  #user;
  #tab;
  /** Null until it is needed, also after a browser has closed it. @type {Promise<IDBDatabase | null> | null} */
  #database = null;

  /**
   * @param {string} user
   * @param {string} tab the name of this tab
   */
  constructor(user, tab) {
    this.#user = user;
    this.#tab = tab;
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
      adopted.length = 0;
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
   * A browser may close the database at any time, as phones do with a page that
   * was in the background: then once more, with a new one.
   * @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore) => IDBRequest} act
   */
  async #run(mode, act) {
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const opening = (this.#database ??= open(() => this.#forget(opening)));
      const database = await opening;
      if (database && (await run(database, mode, act))) {
        return;
      }
      database?.close();
      this.#forget(opening);
    }
  }

  /** @param {Promise<IDBDatabase | null>} database that is of no more use */
  #forget(database) {
    if (this.#database === database) {
      this.#database = null;
    }
  }
}

/**
 * @param {IDBDatabase} database
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest} act
 * @returns {Promise<boolean>} whether it is done
 */
function run(database, mode, act) {
  return new Promise((resolve) => {
    try {
      const transaction = database.transaction(STORE, mode, { durability: "strict" });
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
 * @returns {Promise<IDBDatabase | null>} null where the browser gives no room: then memory has to do
 */
function open(closed) {
  return new Promise((resolve) => {
    try {
      const request = indexedDB.open("chat", 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: ["user", "nonce"] });
      request.onsuccess = () => {
        const database = request.result;
        database.onclose = closed;
        // Somebody wants to delete it, and would wait for us.
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

/**
 * The other tabs of this browser. Each tab sends what was written in it; when it is
 * gone, one of the others takes over what it had not sent. Should two ever send the
 * same message, its nonce makes it one.
 */
export class Tabs {
  /** The name of this one. */
  name = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16)).join("");
  #left;
  /** @type {Set<string>} */
  #watched = new Set();
  #channel = new BroadcastChannel("chat tabs");

  /** @param {() => void} left a tab is gone */
  constructor(left) {
    this.#left = left;
    // Without locks (they need https) every tab counts as gone once it is asked about.
    const held = navigator.locks?.request(PREFIX + this.name, () => {
      // Only now: who asks for a lock that nobody holds gets it at once.
      this.#channel.postMessage(this.name);
      return new Promise(() => {});
    });
    // It ends with the page.
    held?.catch(() => {});
    this.#channel.addEventListener("message", ({ data }) => this.#watch(String(data)));
  }

  /** @returns {Promise<Set<string>>} the names of all that live */
  async alive() {
    const held = (await navigator.locks?.query())?.held ?? [];
    const names = held.flatMap(({ name }) => (name?.startsWith(PREFIX) ? [name.slice(PREFIX.length)] : []));
    for (const name of names) {
      this.#watch(name);
    }
    return new Set(names);
  }

  /**
   * A lock is given to the next one when its holder is gone, and not before.
   * @param {string} name
   */
  #watch(name) {
    if (name === this.name || this.#watched.has(name)) {
      return;
    }
    this.#watched.add(name);
    navigator.locks
      ?.request(PREFIX + name, () => {})
      .then(
        () => {
          // Only once the lock is free again, or that tab would seem to live.
          this.#watched.delete(name);
          this.#left();
        },
        () => {},
      );
  }
}

/** What each living tab holds a lock under. */
const PREFIX = "chat tab ";
