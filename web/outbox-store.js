// The outbox on the disk: IndexedDB, one record for each message, and each change of
// one, that is not known to be stored, with the tab that sends it.

import { Database } from "./database.js";

/** @typedef {import("./logic/outbox.js").Item} Item */
/** @typedef {Item & { user: string | string[], tab: string }} Record */

export class OutboxStore {
  #user;
  #tab;
  #disk = new Database("chat", { outbox: ["user", "nonce"] }, { durability: "strict" });

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
    const user = item.kind ? this.#changer : this.#user;
    const record = { ...item, state: item.state === "failed" ? "failed" : "waiting", user, tab: this.#tab };
    await this.#disk.run("readwrite", ({ outbox }) => outbox.put(record));
  }

  /** @param {string} nonce */
  async drop(nonce) {
    await this.#disk.run("readwrite", ({ outbox }) => {
      outbox.delete([this.#user, nonce]);
      outbox.delete([this.#changer, nonce]);
    });
  }

  /** Stands for the user in records of changes: a page of an earlier version would send those as messages. */
  get #changer() {
    return [this.#user, "changes"];
  }

  /** @returns {Promise<Set<string>>} the tabs whose messages are kept */
  async tabs() {
    return new Set((await this.#records("readonly")).map(({ tab }) => tab));
  }

  /** @returns {Promise<Set<string>>} the names that files of kept messages have in this browser */
  async locals() {
    return new Set((await this.#records("readonly")).flatMap(({ files = [] }) => files.map(({ local = "" }) => local)));
  }

  /**
   * Takes over the messages of other tabs. It is one transaction: only one tab gets
   * each message.
   * @param {Set<string>} tabs closed tabs, or the previous name of this tab
   * @returns {Promise<Item[]>} in the order in which they were written
   */
  async adopt(tabs) {
    const records = await this.#records("readwrite", (store, all) => {
      for (const record of all) {
        if (tabs.has(record.tab)) store.put({ ...record, tab: this.#tab });
      }
    });
    const adopted = records.filter(({ tab }) => tabs.has(tab));
    return adopted.map(({ user: _, tab: __, ...item }) => item).sort((a, b) => a.at - b.at);
  }

  /**
   * @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore, records: Record[]) => void} [act] in the same transaction
   * @returns {Promise<Record[]>} all messages of the user
   */
  async #records(mode, act) {
    /** @type {Record[]} */
    let records = [];
    await this.#disk.run(mode, ({ outbox }) => {
      records = [];
      for (const user of [this.#user, this.#changer]) {
        const request = outbox.getAll(IDBKeyRange.bound([user], [user, []]));
        request.onsuccess = () => {
          records.push(...request.result);
          act?.(outbox, request.result);
        };
      }
    });
    return records;
  }
}
