// A dialog in which the user makes a room.

import { ApiError } from "../api.js";
import * as rooms from "../rooms.js";
import { wording } from "../wording.js";
import { t } from "../words.js";
import { avatar } from "./avatar.js";
import { button, element, isolated, symbol } from "./dom.js";
import { make } from "./make.js";
import { PeopleSearch } from "./people-search.js";
import { Sheet } from "./sheet.js";

/** @typedef {import("../logic/conversation.js").Key} Key */

export class NewRoom {
  #title = make("input", { id: "new-room-title", name: "title", maxlength: "64", autocomplete: "off", dir: "auto", "aria-describedby": "new-room-title-error" });
  #titleWrong = make("p", { class: "error", id: "new-room-title-error", role: "alert" });
  #description = make("textarea", { id: "new-room-description", rows: "2", maxlength: "500", dir: "auto" });
  #access = ACCESS.map(([value, word, hint]) => accessChoice(value, word, hint));
  #chips = make("ul", { class: "chips", "data-t-label": "peopleToAdd" });
  #people;
  #wrong = make("p", { class: "error", role: "alert" });
  #submit = make("button", { class: "primary", "data-t": "createRoom" });
  #form;
  #sheet;
  /** @type {Set<string>} */
  #added = new Set();

  /**
   * @param {string} me
   * @param {(key: Key) => void} go opens a conversation
   */
  constructor(me, go) {
    this.#people = new PeopleSearch("new-room-people", {
      chosen: (name) => this.#add(name),
      isHidden: (name) => name === me || this.#added.has(name),
      isQuiet: true,
    });
    this.#form = make(
      "form",
      { novalidate: true },
      make(
        "div",
        { class: "fields" },
        field("new-room-title", "roomTitle", this.#title, this.#titleWrong),
        field("new-room-description", "roomDescription", this.#description),
        make("fieldset", { class: "choices" }, make("legend", { "data-t": "whoMayRead" }), ...this.#access),
        make("div", { class: "field" }, make("label", { for: "new-room-people-text", "data-t": "peopleToAdd" }), this.#chips, this.#people.node),
      ),
      make("footer", {}, this.#wrong, this.#submit),
    );
    this.#sheet = new Sheet("new-room", "newRoom", this.#form);
    this.#title.addEventListener("input", () => this.#refuse(""));
    this.#chips.addEventListener("click", ({ target }) => {
      const name = target instanceof Element ? target.closest("button")?.dataset.name : undefined;
      if (name !== undefined) this.#remove(name);
    });
    this.#form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const room = await this.#create();
      if (room) {
        this.#sheet.close();
        go(`#${room.name}`);
      }
    });
  }

  /** @param {string} [title] */
  open(title = "") {
    this.#form.reset();
    this.#title.value = title;
    this.#added.clear();
    this.#chips.replaceChildren();
    this.#people.reset();
    this.#refuse("");
    this.#wrong.textContent = "";
    this.#sheet.open();
    this.#title.focus();
  }

  async #create() {
    const title = this.#title.value.trim();
    this.#wrong.textContent = "";
    if (!title) {
      this.#refuse(t.titleNeeded);
      return null;
    }
    if (this.#submit.ariaBusy === "true") {
      return null;
    }
    const access = /** @type {rooms.Access} */ (new FormData(this.#form).get("access"));
    const description = this.#description.value.trim();
    this.#submit.ariaBusy = "true";
    try {
      return await rooms.create({ title, access, ...(description ? { description } : {}), ...(this.#added.size > 0 ? { members: [...this.#added] } : {}) });
    } catch (error) {
      const status = error instanceof ApiError ? error.status : 0;
      if (status === 409) {
        this.#refuse(t.roomExists);
      } else {
        this.#wrong.textContent = status === 403 ? t.mayNotCreate : wording(error)[1];
      }
      return null;
    } finally {
      this.#submit.ariaBusy = null;
    }
  }

  /**
   * @param {string} sentence empty: there is nothing wrong
   */
  #refuse(sentence) {
    this.#titleWrong.textContent = sentence;
    this.#title.ariaInvalid = sentence ? "true" : null;
    if (sentence) this.#title.focus();
  }

  /** @param {string} name */
  #add(name) {
    this.#added.add(name);
    const remove = button("", avatar(name, "small"), isolated(name, "title"), symbol("close"));
    remove.dataset.name = name;
    remove.ariaLabel = t.doNotAdd(name);
    this.#chips.append(element("li", "", remove));
    this.#people.reset();
    this.#people.focus();
  }

  /** @param {string} name */
  #remove(name) {
    this.#added.delete(name);
    for (const chip of [...this.#chips.children]) {
      if (chip.querySelector("button")?.dataset.name === name) chip.remove();
    }
    this.#people.reset();
    this.#people.focus();
  }
}

/**
 * @param {string} id
 * @param {string} word
 * @param {...HTMLElement} children
 */
function field(id, word, ...children) {
  return make("div", { class: "field" }, make("label", { for: id, "data-t": word }), ...children);
}

/**
 * @param {rooms.Access} value
 * @param {string} word
 * @param {string} hint what it means
 */
function accessChoice(value, word, hint) {
  const input = make("input", { type: "radio", name: "access", value, checked: value === "open" });
  return make("label", { class: "choice" }, input, make("span", {}, make("b", { "data-t": word }), make("small", { "data-t": hint })));
}

/** @type {[access: rooms.Access, word: string, hint: string][]} */
const ACCESS = [
  ["open", "openRoom", "openRoomHint"],
  ["closed", "closedRoom", "closedRoomHint"],
];
