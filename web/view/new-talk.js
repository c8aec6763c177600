// The directory: a dialog in which the user chooses whom to write to privately.

import { PeopleSearch } from "./people-search.js";
import { Sheet } from "./sheet.js";

/** @typedef {import("../logic/conversation.js").Key} Key */

export class NewTalk {
  #search;
  #sheet;

  /**
   * @param {string} me
   * @param {(key: Key) => void} go opens a conversation
   */
  constructor(me, go) {
    this.#search = new PeopleSearch("directory", {
      me,
      chosen: (name) => {
        this.#sheet.close();
        go(`@${name}`);
      },
    });
    this.#sheet = new Sheet("new-talk", "newTalk", this.#search.node);
  }

  open() {
    this.#search.reset();
    this.#sheet.open();
    this.#search.focus();
  }
}
