// What is kept of an account, on the disk: IndexedDB. For each conversation one record
// with its messages, and one without them (its head), both written in one transaction.

import { Database, deleteDatabase } from "./database.js";

/** @typedef {import("./logic/kept.js").Head} Head */
/** @typedef {import("./logic/kept.js").Kept} Kept */
/** @typedef {import("./logic/kept.js").List} List */
/** @typedef {import("./logic/conversation.js").Key} Key */

const DATABASE = "kept";

/** All calls do nothing where the browser gives no storage, or another page has deleted the database. */
export class KeptStore {
  #user;
  // The user signs out, perhaps in another tab: nothing is kept after that.
  #disk = new Database(DATABASE, { lists: "user", heads: ["user", "key"], messages: ["user", "key"] }, { endsDeleted: true });

  /** @param {string} user */
  constructor(user) {
    this.#user = user;
  }

  /** @returns {Promise<List | undefined>} */
  async list() {
    /** @type {List | undefined} */
    let list;
    await this.#disk.run("readonly", ({ lists }) => {
      lists.get(this.#user).onsuccess = ({ target }) => (list = resultOf(target));
    });
    return list;
  }

  /** @param {List} list */
  async keepList(list) {
    await this.#disk.run("readwrite", ({ lists }) => lists.put({ ...list, user: this.#user }));
  }

  /** @returns {Promise<Head[]>} */
  async heads() {
    /** @type {Head[]} */
    let heads = [];
    await this.#disk.run("readonly", ({ heads: store }) => {
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
    await this.#disk.run("readonly", ({ messages }) => {
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
    await this.#disk.run("readwrite", (stores) => {
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
    if (keys.length > 0) await this.#disk.run("readwrite", (stores) => this.#drop(stores, keys));
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
}

/** Deletes everything that is kept. */
export function deleteKept() {
  return deleteDatabase(DATABASE);
}

/** @typedef {{ lists: IDBObjectStore, heads: IDBObjectStore, messages: IDBObjectStore }} Stores */

/**
 * @param {EventTarget | null} request
 * @returns {any}
 */
function resultOf(request) {
  return request instanceof IDBRequest ? request.result : undefined;
}

