// A list that is searched while the user types, and comes in pages. An answer that
// is overtaken by another question is dropped.

/**
 * @template T
 * @typedef {{ items: T[], next?: string }} Page
 */

/**
 * @template T
 * @typedef {object} Shown
 * @property {T[]} items
 * @property {boolean} hasMore
 * @property {boolean} isLoading
 * @property {unknown} error why the last page did not come; null: it did
 */

/** @template T */
export class Pages {
  #ask;
  #show;
  #query = "";
  /** @type {T[]} */
  #items = [];
  /** @type {string | undefined} */
  #next;
  /** After which the last page was asked for. @type {string | undefined} */
  #after;
  #isLoading = false;
  /** Counts the questions: an answer to another one than the last is dropped. */
  #asked = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #due;

  /**
   * @param {(query: string, after: string | undefined) => Promise<Page<T>>} ask
   * @param {(shown: Shown<T>) => void} show
   */
  constructor(ask, show) {
    this.#ask = ask;
    this.#show = show;
  }

  /**
   * Searches anew, once the user pauses.
   * @param {string} query
   */
  type(query) {
    clearTimeout(this.#due);
    this.#due = setTimeout(() => this.search(query), PAUSE_MS);
  }

  /**
   * Searches anew. What was found before stays until the answer comes.
   * @param {string} query
   */
  search(query) {
    clearTimeout(this.#due);
    this.#query = query;
    return this.#load(undefined);
  }

  /** Asks for the next page, if there is one. */
  async more() {
    if (this.#next !== undefined && !this.#isLoading) await this.#load(this.#next);
  }

  /** Asks once more for the page that did not come. */
  again() {
    return this.#load(this.#after);
  }

  /** Forgets what was found. */
  clear() {
    clearTimeout(this.#due);
    this.#asked += 1;
    this.#items = [];
    this.#next = undefined;
    this.#isLoading = false;
  }

  /** @param {string | undefined} after */
  async #load(after) {
    this.#asked += 1;
    this.#after = after;
    const asked = this.#asked;
    this.#isLoading = true;
    this.#shown(null);
    try {
      const { items, next } = await this.#ask(this.#query, after);
      if (asked !== this.#asked) return;
      this.#items = after === undefined ? items : [...this.#items, ...items];
      this.#next = next ?? undefined;
      this.#isLoading = false;
      this.#shown(null);
    } catch (error) {
      if (asked !== this.#asked) return;
      this.#isLoading = false;
      this.#shown(error);
    }
  }

  /** @param {unknown} error */
  #shown(error) {
    this.#show({ items: this.#items, hasMore: this.#next !== undefined, isLoading: this.#isLoading, error });
  }
}

/** A search begins when no key was pressed for this time. */
const PAUSE_MS = 150;
