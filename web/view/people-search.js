// A box in which users of the directory are searched, with a list of those found.
// The focus stays in the box; arrow keys choose.

import { usersFound } from "../found.js";
import { wording } from "../wording.js";
import { t } from "../words.js";
import { avatar, knowPicture } from "./avatar.js";
import { element, isolated } from "./dom.js";
import { make } from "./make.js";
import { Pages } from "./pages.js";

/** @typedef {import("../rooms.js").Found} Found */

export class PeopleSearch {
  node;
  #text;
  #list;
  #words = make("p", { class: "quiet", role: "status" });
  #again = make("button", { type: "button", class: "link", "data-t": "loadAgain", hidden: true });
  #hooks;
  #pages;
  /** @type {Found[]} */
  #found = [];
  #chosen = 0;
  /** Whom the user has chosen by arrow keys since typing: kept when the answer comes. */
  #picked = "";
  /** Whether the list does not show yet what was typed. */
  #isSearching = false;
  /** Whether the user has chosen before the answer came. */
  #isChosen = false;
  #id;

  /**
   * @param {string} id
   * @param {object} hooks
   * @param {string} [hooks.me] the user, where it is said who that is
   * @param {(name: string) => void} hooks.chosen
   * @param {(name: string) => boolean} [hooks.isHidden] whether a user is not to be found
   * @param {boolean} [hooks.isQuiet] whether nothing is listed before the user types
   */
  constructor(id, hooks) {
    this.#id = id;
    this.#hooks = hooks;
    this.#text = make("input", {
      id: `${id}-text`,
      type: "text",
      role: "combobox",
      "aria-expanded": "true",
      "aria-controls": `${id}-list`,
      "aria-autocomplete": "list",
      autocomplete: "off",
      autocapitalize: "none",
      spellcheck: "false",
      dir: "auto",
      "data-t-label": "searchPeople",
      "data-t-placeholder": "searchPeople",
    });
    this.#list = make("ul", { id: `${id}-list`, role: "listbox", class: "found", "data-t-label": "peopleFound" });
    this.node = make("div", { class: "search" }, this.#text, this.#list, this.#words, this.#again);
    this.#pages = new Pages(
      async (q, after) => {
        const page = await usersFound({ q, after });
        for (const { username, avatar: picture, bot } of page.items) knowPicture(username, picture, bot);
        return page;
      },
      (shown) => this.#show(shown),
    );
    this.#text.addEventListener("input", () => this.#typed());
    this.#text.addEventListener("keydown", (event) => this.#keyDown(event));
    // Pressing the list does not take the focus from the box.
    this.#list.addEventListener("mousedown", (event) => event.preventDefault());
    this.#list.addEventListener("click", ({ target }) => {
      const option = target instanceof Element ? target.closest("li") : null;
      if (option) this.#choose(Number(option.dataset.index));
    });
    this.#again.addEventListener("click", () => {
      this.focus();
      this.#pages.again();
    });
    this.#list.addEventListener("scroll", () => {
      const { scrollTop, scrollHeight, clientHeight } = this.#list;
      if (scrollHeight - scrollTop - clientHeight < NEAR_PX) this.#pages.more();
    });
  }

  /** Empties the box, and lists the first users. */
  reset() {
    this.#text.value = "";
    this.#isSearching = this.#isChosen = false;
    this.#picked = "";
    this.#found = [];
    this.#pages.clear();
    this.#list.replaceChildren();
    this.#words.textContent = "";
    this.#again.hidden = true;
    if (!this.#hooks.isQuiet) this.#pages.search("");
  }

  focus() {
    this.#text.focus();
  }

  #typed() {
    const query = this.#text.value.trim();
    this.#isChosen = false;
    this.#picked = "";
    if (this.#hooks.isQuiet && !query) {
      this.reset();
    } else {
      this.#isSearching = true;
      this.#pages.type(query.replace(/^@/, ""));
    }
  }

  /** @param {import("./pages.js").Shown<Found>} shown */
  #show({ items, isLoading, error }) {
    if (isLoading) {
      return;
    }
    const found = items.filter(({ username }) => !this.#hooks.isHidden?.(username));
    const grows = found.length > this.#found.length && this.#found.every(({ username }, i) => username === found[i]?.username);
    this.#found = found;
    if (!grows) {
      this.#chosen = Math.max(
        0,
        found.findIndex(({ username }) => username === this.#picked),
      );
      this.#list.scrollTop = 0;
    }
    this.#list.replaceChildren(...found.map((user, index) => optionOf(this.#id, user, index, user.username === this.#hooks.me)));
    this.#words.textContent = error ? wording(error)[1] : found.length === 0 ? t.nobodyFound : "";
    this.#again.hidden = !error;
    this.#mark();
    this.#isSearching = false;
    if (this.#isChosen) this.#choose(this.#chosen);
    this.#isChosen = false;
  }

  /** @param {KeyboardEvent} event */
  #keyDown(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.isComposing) {
      return;
    }
    if (step && this.#found.length > 0) {
      event.preventDefault();
      this.#chosen = (this.#chosen + step + this.#found.length) % this.#found.length;
      this.#picked = this.#found[this.#chosen]?.username ?? "";
      this.#mark();
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.#isSearching ? (this.#isChosen = true) : this.#choose(this.#chosen);
    }
  }

  #mark() {
    for (const [index, option] of [...this.#list.children].entries()) {
      option.ariaSelected = String(index === this.#chosen);
      if (index === this.#chosen && this.#chosen > 0) option.scrollIntoView({ block: "nearest" });
    }
    this.#found.length > 0
      ? this.#text.setAttribute("aria-activedescendant", `${this.#id}-${this.#chosen}`)
      : this.#text.removeAttribute("aria-activedescendant");
  }

  /** @param {number} index */
  #choose(index) {
    const user = this.#found[index];
    if (user && !this.#hooks.isHidden?.(user.username)) this.#hooks.chosen(user.username);
  }
}

/**
 * @param {string} id
 * @param {Found} user
 * @param {number} index
 * @param {boolean} isMe
 */
function optionOf(id, { username, online, bot }, index, isMe) {
  const made = element("li", "", element("span", "with-presence", avatar(username, "small")), isolated(username, "title"));
  made.firstElementChild?.classList.toggle("online", online);
  if (isMe || bot || online) made.append(element("span", "quiet", isMe ? t.you : bot ? t.bot : t.online));
  made.role = "option";
  made.id = `${id}-${index}`;
  made.dataset.index = String(index);
  made.dataset.name = username;
  return made;
}

/** The next page is asked for when so little of the list is below the view. */
const NEAR_PX = 200;
