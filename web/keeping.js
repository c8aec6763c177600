// Keeps the outbox over a reload of the page, and takes over what closed tabs have not
// sent. The first view does without it, unless the tab showed a page before.

import { OutboxStore } from "./outbox-store.js";
import { LOOK_EVERY_MS, Tabs } from "./tabs.js";

/** @typedef {import("./logic/outbox.js").Item} Item */

export class Keeping {
  #adopt;
  #tabs = new Tabs();
  #store;

  /**
   * @param {string} user
   * @param {(item: Item) => void} adopt sends an item that another page has left
   * @param {AbortSignal} signal ends it
   */
  constructor(user, adopt, signal) {
    this.#adopt = adopt;
    this.#store = new OutboxStore(user, this.#tabs.name);
    const looking = setInterval(() => this.#adoptClosed(), LOOK_EVERY_MS);
    signal.addEventListener("abort", () => clearInterval(looking));
    this.#start();
  }

  /** @param {Item} item */
  keep(item) {
    this.#store.keep(item);
  }

  /** @param {string} nonce */
  drop(nonce) {
    this.#store.drop(nonce);
  }

  async #start() {
    // The items of this tab from before its page was loaded again.
    const previous = await this.#tabs.previous;
    if (previous) await this.#adoptFrom(new Set([previous]));
    await this.#adoptClosed();
  }

  /** Adopts what closed tabs have not sent. */
  async #adoptClosed() {
    const closed = await this.#tabs.closed(await this.#store.tabs());
    if (closed.size > 0) await this.#adoptFrom(closed);
  }

  /** @param {Set<string>} tabs */
  async #adoptFrom(tabs) {
    for (const item of await this.#store.adopt(tabs)) this.#adopt(item);
  }
}
