// The panel in which messages are searched. Where to search, and whose messages, is
// said by chips, which are picked from a list or typed: `in:`, `from:`.

import { usersFound } from "../found.js";
import { addressOf } from "../logic/address.js";
import { comparable, excerpt, filterIn, foundIn, queryOf } from "../logic/search.js";
import { beginsSo } from "../logic/spelling.js";
import { searchOn } from "../search.js";
import { ApiError } from "../api.js";
import { wording } from "../wording.js";
import { dayOf, fullTimeOf, localeOf, t, timeOf } from "../words.js";
import { avatar, knowPicture } from "./avatar.js";
import { button, element, isolated, symbol } from "./dom.js";
import { drawing } from "./drawings.js";
import { make } from "./make.js";
import { Pages } from "./pages.js";
import { Panel } from "./panel.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("../search.js").Result} Result */
/** @typedef {import("./directory.js").Directory} Directory */
/** @typedef {{ kind: "in" | "from", key: Key, title: string }} Filter whether a place (a room or a user) or an author */

export class SearchPanel {
  #text = make("input", TEXT);
  #choices = make("ul", { id: "search-choices", role: "listbox", "data-t-label": "searchFilters", hidden: true });
  #chips = make("div", { class: "chips" });
  #status = make("p", { class: "quiet", role: "status" });
  #again = make("button", { type: "button", class: "link", "data-t": "searchAgain", hidden: true });
  #list = make("ul", { id: "search-results", class: "results", "data-t-label": "searchResults" });
  #more = make("button", { type: "button", class: "plain", id: "search-more", "data-t": "showMore", hidden: true });
  #panel;
  #client;
  #directory;
  /** @type {{ in?: Filter, from?: Filter }} */
  #filters = {};
  /** What may be picked for the filter that is being typed. @type {Filter[]} */
  #offered = [];
  #chosen = 0;
  /** Whether a chip has begun the filter that is being typed. */
  #isBegun = false;
  /** Users of the directory for what is typed. @type {string[]} */
  #people = [];
  #peopleFor = "";
  /** @type {import("./pages.js").Shown<Result>} */
  #shown = { items: [], hasMore: false, isLoading: false, error: null };
  /** Whether the results are for something else than what stands in the box. */
  #isFresh = false;
  /** What the results were found for. */
  #foundFor = "";
  #askedFor = "";
  /** What the results show, without which they are not made again. */
  #stamp = "";
  #pages = new Pages((text, before) => this.#ask(text, before), (shown) => this.#answered(shown));

  /**
   * @param {Client} client
   * @param {Directory} directory
   */
  constructor(client, directory) {
    this.#client = client;
    this.#directory = directory;
    const form = make("form", { class: "search-form", role: "search" }, this.#text, this.#choices, this.#chips);
    const body = make("div", { class: "details-body" }, this.#status, this.#again, this.#list, this.#more);
    this.#panel = new Panel("search", { heading: "search", close: "closeSearch" }, [form, body], () => this.#pages.clear());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#offered.length > 0 ? this.#pick(this.#offered[this.#chosen]) : this.#search(false);
    });
    this.#text.addEventListener("input", () => this.#typed());
    this.#text.addEventListener("keydown", (event) => this.#keyDown(event));
    this.#text.addEventListener("blur", () => setTimeout(() => this.#text.matches(":focus") || this.#dropFilter(), CLICKED_AFTER_MS));
    this.#choices.addEventListener("click", ({ target }) => {
      const option = target instanceof Element ? target.closest("li") : null;
      if (option) this.#pick(this.#offered[Number(option.dataset.index)]);
    });
    this.#chips.addEventListener("click", ({ target }) => {
      const chip = target instanceof Element ? target.closest("button") : null;
      const kind = chip?.dataset.kind;
      if (kind === "in" || kind === "from") this.#turn(kind);
    });
    this.#list.addEventListener("click", (event) => {
      // The link is followed, and what it leads to is behind the panel.
      const isLink = event.target instanceof Element && event.target.closest("a");
      if (isLink && this.#panel.covers && !event.ctrlKey && !event.metaKey) this.#panel.close();
    });
    this.#more.addEventListener("click", () => this.#pages.more());
    this.#again.addEventListener("click", () => this.#search(false));
    this.#show();
  }

  /**
   * @param {string} text what to search for
   * @param {Key} [key] where to search; without it, everywhere
   */
  open(text, key) {
    if (!this.#panel.isOpen) this.#panel.open();
    this.#text.value = text;
    this.#filters = key ? { in: { kind: "in", key, title: this.#directory.titleOf(key) } } : {};
    this.#text.focus();
    this.#text.select();
    this.#search(false);
  }

  /** Shows what has changed. */
  update() {
    if (this.#panel.isOpen) {
      if (this.#isOffline && this.#client.state === "open") this.#search(false);
      this.#show();
    }
  }

  get #isOffline() {
    const { error } = this.#shown;
    return error instanceof ApiError && error.status === 0;
  }

  #typed() {
    const filter = filterIn(this.#text.value);
    if (filter) {
      this.#suggest(filter);
      if (this.#offered.length > 0) return;
    }
    this.#offer([]);
    this.#search(true);
  }

  /** @param {boolean} isTyping whether the user goes on typing */
  #search(isTyping) {
    const text = this.#text.value;
    this.#isFresh = false;
    if (text.trim() === "") {
      this.#pages.clear();
      this.#shown = { items: [], hasMore: false, isLoading: false, error: null };
    } else {
      isTyping ? this.#pages.type(text) : this.#pages.search(text);
    }
    this.#show();
  }

  /**
   * @param {string} q
   * @param {string | undefined} before
   */
  #ask(q, before) {
    this.#askedFor = q;
    const { in: place, from } = this.#filters;
    const where = !place ? {} : place.key.startsWith("#") ? { room: place.key.slice(1) } : { with: place.key.slice(1) };
    return searchOn({ q, ...where, from: from?.key.slice(1), before });
  }

  /** @param {import("./pages.js").Shown<Result>} shown */
  #answered(shown) {
    this.#shown = shown;
    this.#isFresh = !shown.isLoading;
    if (this.#isFresh) this.#foundFor = this.#askedFor;
    this.#show();
  }

  #show() {
    const { items, hasMore, isLoading, error } = this.#shown;
    const isBlank = this.#text.value.trim() === "";
    const words = () => {
      if (isBlank) return t.searchHint;
      if (this.#isOffline) return t.searchOffline;
      if (error) return wording(error)[1];
      if (isLoading || !this.#isFresh) return items.length > 0 ? "" : t.searching;
      if (items.length === 0) return hasMore ? t.nothingFoundYet : t.nothingFound;
      return "";
    };
    const sentence = words();
    if (this.#status.textContent !== sentence) this.#status.replaceChildren(...(sentence === t.nothingFound ? [drawing("search")] : sentence === t.searchOffline ? [drawing("offline")] : []), sentence);
    this.#status.hidden = sentence === "";
    this.#again.hidden = !error || isBlank;
    this.#more.hidden = !hasMore || isBlank;
    this.#more.ariaBusy = String(isLoading);
    this.#list.classList.toggle("old", !this.#isFresh && !isBlank);
    this.#showChips();
    const stamp = JSON.stringify([isBlank ? [] : items.map(({ room, with: name, seq }) => [room, name, seq]), this.#foundFor, t.chat, this.#filters.in?.key]);
    if (stamp !== this.#stamp) {
      this.#stamp = stamp;
      const query = queryOf(this.#foundFor);
      this.#list.replaceChildren(...(isBlank ? [] : items.map((result) => this.#result(result, query))));
    }
  }

  /**
   * @param {Result} result
   * @param {import("../logic/search.js").Query} query
   */
  #result({ room, with: name = "", seq, from, text, timestamp, files = [] }, query) {
    /** @type {Key} */
    const key = room === undefined ? `@${name}` : `#${room}`;
    const time = element("time", "", shortTimeOf(timestamp));
    time.title = fullTimeOf(timestamp);
    const head = element("span", "result-head", isolated(from, "name title"), time);
    const words = element("span", "result-text", ...marked(excerpt(foundIn(text, query))));
    words.dir = "auto";
    const lines = [head];
    if (!this.#filters.in) {
      const place = room === undefined ? t.withPerson(name) : this.#directory.titleOf(key);
      lines.push(element("span", "result-place title", isolated(place)));
    }
    if (text) lines.push(words);
    for (const file of files) lines.push(element("span", "result-file title", "📎 ", ...marked(foundIn(file.name, query))));
    const link = element("a", "result", avatar(from, "small"), element("span", "result-body", ...lines));
    link.href = addressOf(key, seq);
    return element("li", "", link);
  }

  #showChips() {
    const { in: place, from } = this.#filters;
    const shown = JSON.stringify([place, from, t.chat]);
    if (this.#chips.dataset.shown !== shown) {
      this.#chips.dataset.shown = shown;
      this.#chips.replaceChildren(this.#chip("in", place, t.searchIn), this.#chip("from", from, t.searchFrom));
    }
  }

  /**
   * @param {"in" | "from"} kind
   * @param {Filter | undefined} filter
   * @param {string} words
   */
  #chip(kind, filter, words) {
    const chip = button(filter ? "filter set" : "filter", element("span", "", words), ...(filter ? [isolated(filter.title, "title"), symbol("close")] : [symbol("plus")]));
    chip.dataset.kind = kind;
    if (filter) chip.ariaLabel = chip.title = t.dropFilter(`${words} ${filter.title}`);
    return chip;
  }

  /**
   * Drops a filter, or lets the user choose one.
   * @param {"in" | "from"} kind
   */
  #turn(kind) {
    if (this.#filters[kind]) {
      delete this.#filters[kind];
      this.#text.focus();
      this.#search(false);
    } else {
      const { value } = this.#text;
      this.#text.value = `${value.replace(/(^|\s)(?:in|from|в|от):[^\s]*$/iu, "").trimEnd()} ${kind === "in" ? t.inFilter : t.fromFilter}`.trimStart();
      this.#isBegun = true;
      this.#text.focus();
      this.#typed();
    }
  }

  /**
   * Offers what fits to a filter.
   * @param {import("../logic/search.js").Filter} filter
   */
  #suggest({ kind, text }) {
    const wanted = comparable(text.trim());
    const fits = (/** @type {string} */ title) => [comparable(title), ...comparable(title).split(/[\s-]+/)].some((words) => words.startsWith(wanted) || beginsSo(words, wanted));
    const { rooms, people, current } = this.#directory;
    /** @type {Filter[]} */
    const all =
      kind === "in"
        ? [...rooms, ...people].map(({ key, title }) => ({ kind, key, title }))
        : [...new Set([...this.#directory.names(current ?? "#"), ...(text.trim() === this.#peopleFor ? this.#people : [])])].map((name) => ({ kind, key: /** @type {Key} */ (`@${name}`), title: name }));
    // The open conversation, or its people, are likely.
    const offered = all.filter(({ title }) => fits(title)).sort((a, b) => Number(b.key === current) - Number(a.key === current));
    const exact = /\s$/.test(text) ? offered.find(({ title }) => comparable(title) === wanted) : undefined;
    exact ? this.#pick(exact) : this.#offer(offered.slice(0, OFFERED_MAX));
    if (kind === "from" && wanted !== "" && text.trim() !== this.#peopleFor && this.#client.account.isKept) this.#findPeople(text.trim());
  }

  /**
   * Asks the server for users of a name.
   * @param {string} q
   */
  async #findPeople(q) {
    this.#peopleFor = q;
    this.#people = [];
    const { items: users } = await usersFound({ q, limit: OFFERED_MAX }).catch(() => ({ items: [] }));
    for (const { username, avatar: picture, bot } of users) knowPicture(username, picture, bot);
    const filter = filterIn(this.#text.value);
    if (q === this.#peopleFor && filter?.text.trim() === q) {
      this.#people = users.map(({ username }) => username);
      this.#typed();
    }
  }

  /** @param {Filter[]} filters */
  #offer(filters) {
    this.#offered = filters;
    this.#chosen = 0;
    this.#choices.hidden = filters.length === 0;
    this.#text.ariaExpanded = String(filters.length > 0);
    this.#choices.replaceChildren(...filters.map(option));
    this.#mark();
  }

  #mark() {
    for (const [index, option] of [...this.#choices.children].entries()) {
      option.ariaSelected = String(index === this.#chosen);
      if (index === this.#chosen) option.scrollIntoView({ block: "nearest" });
    }
    this.#text.setAttribute("aria-activedescendant", this.#offered.length > 0 ? `search-choice-${this.#chosen}` : "");
  }

  /** Closes the list. A filter that a chip has begun, or of which nothing is typed, goes. */
  #dropFilter() {
    const filter = filterIn(this.#text.value);
    this.#offer([]);
    if (filter && (this.#isBegun || filter.text.trim() === "")) {
      this.#text.value = this.#text.value.slice(0, filter.start).trimEnd();
      this.#search(false);
    }
    this.#isBegun = false;
  }

  /** @param {Filter | undefined} filter */
  #pick(filter) {
    this.#isBegun = false;
    const typed = filterIn(this.#text.value);
    if (filter && typed) {
      this.#filters[filter.kind] = filter;
      // Without the space before it: the last word may still be a beginning.
      this.#text.value = this.#text.value.slice(0, typed.start).trimEnd();
    }
    this.#offer([]);
    this.#text.focus();
    this.#search(false);
  }

  /** @param {KeyboardEvent} event */
  #keyDown(event) {
    const { key } = event;
    const step = { ArrowDown: 1, ArrowUp: -1 }[key];
    if (this.#offered.length > 0 && step) {
      event.preventDefault();
      this.#chosen = (this.#chosen + step + this.#offered.length) % this.#offered.length;
      this.#mark();
    } else if (this.#offered.length > 0 && (key === "Tab" || key === "Escape")) {
      event.preventDefault();
      event.stopPropagation();
      key === "Tab" ? this.#pick(this.#offered[this.#chosen]) : this.#dropFilter();
    } else if (key === "ArrowDown") {
      event.preventDefault();
      const first = this.#list.querySelector("a");
      if (first) first.focus();
    } else if (key === "Backspace" && this.#text.selectionEnd === 0) {
      const last = this.#filters.from ? "from" : "in";
      if (this.#filters[last]) this.#turn(last);
    }
  }
}

/** @param {number} timestamp Unix seconds */
function shortTimeOf(timestamp) {
  const day = dayOf(timestamp);
  const date = new Date(timestamp * 1000);
  if (day === t.today) return timeOf(timestamp);
  if (day === t.yesterday) return `${day}, ${timeOf(timestamp)}`;
  const isThisYear = date.getFullYear() === new Date().getFullYear();
  return new Intl.DateTimeFormat(localeOf(), { day: "numeric", month: "short", ...(isThisYear ? { hour: "numeric", minute: "2-digit" } : { year: "numeric" }) }).format(date);
}

/** @param {import("../logic/search.js").Piece[]} pieces */
function marked(pieces) {
  return pieces.map(({ text, isFound }) => (isFound ? element("mark", "", text) : text));
}

/**
 * @param {Filter} filter
 * @param {number} index
 */
function option({ key, title }, index) {
  const made = element("li", "", key.startsWith("#") ? element("span", "sign", "#") : avatar(title, "small"), isolated(title, "title"));
  made.role = "option";
  made.id = `search-choice-${index}`;
  made.dataset.index = String(index);
  return made;
}

const OFFERED_MAX = 6;
/** A click on what is offered takes the focus from the box first. */
const CLICKED_AFTER_MS = 200;
const TEXT = {
  id: "search-text",
  type: "search",
  role: "combobox",
  "aria-expanded": "false",
  "aria-controls": "search-choices",
  "aria-autocomplete": "list",
  autocomplete: "off",
  autocapitalize: "none",
  spellcheck: "false",
  enterkeyhint: "search",
  dir: "auto",
  "data-t-label": "searchMessages",
  "data-t-placeholder": "searchMessages",
};
