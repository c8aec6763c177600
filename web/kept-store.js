// What is kept of an account, on the disk: IndexedDB. For each conversation one record
// with its messages, and one without them (its head), both written in one transaction.

/** @typedef {import("./logic/kept.js").Head} Head */
/** @typedef {import("./logic/kept.js").Kept} Kept */
/** @typedef {import("./logic/kept.js").List} List */
/** @typedef {import("./logic/conversation.js").Key} Key */

/** All calls do nothing where the browser gives no storage, or another page has deleted the database. */
export class KeptStore {
  #user;
  /** Null until it is needed, and after the browser has closed it. @type {Promise<IDBDatabase | null> | null} */
  #database = null;
  #isDeleted = false;

  /** @param {string} user */
  constructor(user) {
    this.#user = user;
  }

  /** @returns {Promise<List | undefined>} */
  async list() {
    /** @type {List | undefined} */
    let list;
    await this.#run("readonly", ({ lists }) => {
      lists.get(this.#user).onsuccess = ({ target }) => (list = resultOf(target));
    });
    return list;
  }

  /** @param {List} list */
  async keepList(list) {
    await this.#run("readwrite", ({ lists }) => lists.put({ ...list, user: this.#user }));
  }

  /** @returns {Promise<Head[]>} */
  async heads() {
    /** @type {Head[]} */
    let heads = [];
    await this.#run("readonly", ({ heads: store }) => {
      store.getAll(this.#all).onsuccess = ({ target }) => (heads = resultOf(target));
    });
    return heads;
  }

  /**
   * @param {Key} key
   * @returns {Promise<Kept | undefined>}
   */
  async kept(key) {
    /** @type {Kept | undefined} */
    let kept;
    await this.#run("readonly", ({ messages }) => {
      messages.get([this.#user, key]).onsuccess = ({ target }) => (kept = resultOf(target));
    });
    return kept;
  }

  /**
   * Replaces what is kept of a conversation, as another tab may do at the same time.
   * @param {Key} key
   * @param {(old: Kept | undefined) => Kept | null} make what is kept from now on; null: nothing changes
   * @param {(heads: Head[]) => Key[]} surplus conversations for which there is no room then
   */
  async replace(key, make, surplus) {
    await this.#run("readwrite", (stores) => {
      stores.messages.get([this.#user, key]).onsuccess = ({ target }) => {
        const made = make(resultOf(target));
        if (!made) return;
        const { messages: _, from: __, hasOlder: ___, ...head } = made;
        stores.messages.put({ ...made, user: this.#user });
        stores.heads.put({ ...head, user: this.#user });
        stores.heads.getAll(this.#all).onsuccess = ({ target }) => this.#drop(stores, surplus(resultOf(target)));
      };
    });
  }

  /** @param {Key[]} keys */
  async drop(keys) {
    if (keys.length > 0) await this.#run("readwrite", (stores) => this.#drop(stores, keys));
  }

  /**
   * @param {Stores} stores
   * @param {Key[]} keys
   */
  #drop({ heads, messages }, keys) {
    for (const key of keys) {
      heads.delete([this.#user, key]);
      messages.delete([this.#user, key]);
    }
  }

  get #all() {
    return IDBKeyRange.bound([this.#user], [this.#user, []]);
  }

  /**
   * Runs a transaction. A browser may close the database at any time: then it is
   * opened again, once.
   * @param {IDBTransactionMode} mode
   * @param {(stores: Stores) => void} act
   */
  async #run(mode, act) {
    for (let attempt = 0; attempt < 2 && !this.#isDeleted; attempt += 1) {
      const opening = (this.#database ??= this.#open());
      const database = await opening;
      if (!database || (await run(database, mode, act))) {
        return;
      }
      database.close();
      if (this.#database === opening) this.#database = null;
    }
  }

  /** @returns {Promise<IDBDatabase | null>} */
  #open() {
    return new Promise((resolve) => {
      try {
        const request = indexedDB.open(DATABASE, 1);
        request.onupgradeneeded = () => {
          const { result: database } = request;
          database.createObjectStore("lists", { keyPath: "user" });
          database.createObjectStore("heads", { keyPath: ["user", "key"] });
          database.createObjectStore("messages", { keyPath: ["user", "key"] });
        };
        request.onsuccess = () => {
          const { result: database } = request;
          database.onclose = () => (this.#database = null);
          // The user signs out, perhaps in another tab: nothing is kept after that.
          database.onversionchange = () => {
            this.#isDeleted = true;
            database.close();
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

/** Deletes everything; ends once it is gone, or another page holds it for too long. */
export function deleteKept() {
  return new Promise((done) => {
    setTimeout(done, DELETED_WITHIN_MS);
    const request = indexedDB.deleteDatabase(DATABASE);
    request.onsuccess = request.onerror = done;
  });
}

/** @typedef {{ lists: IDBObjectStore, heads: IDBObjectStore, messages: IDBObjectStore }} Stores */

/**
 * @param {IDBDatabase} database
 * @param {IDBTransactionMode} mode
 * @param {(stores: Stores) => void} act
 * @returns {Promise<boolean>} whether the transaction has committed
 */
function run(database, mode, act) {
  return new Promise((resolve) => {
    try {
      const transaction = database.transaction(["lists", "heads", "messages"], mode);
      transaction.oncomplete = () => resolve(true);
      transaction.onabort = () => resolve(false);
      const [lists, heads, messages] = /** @type {const} */ (["lists", "heads", "messages"]).map((name) => transaction.objectStore(name));
      if (lists && heads && messages) act({ lists, heads, messages });
    } catch {
      resolve(false);
    }
  });
}

/**
 * @param {EventTarget | null} request
 * @returns {any}
 */
function resultOf(request) {
  return request instanceof IDBRequest ? request.result : undefined;
}

const DATABASE = "kept";
const DELETED_WITHIN_MS = 1_000;
