// All rooms that the user may read, in a dialog: searched, joined and opened.

import { roomsFound } from "../found.js";
import { addressOf } from "../logic/address.js";
import * as rooms from "../rooms.js";
import { wording } from "../wording.js";
import { t, titleOf } from "../words.js";
import { button, element, isolated, symbol } from "./dom.js";
import { make } from "./make.js";
import { Pages } from "./pages.js";
import { Sheet } from "./sheet.js";

/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {rooms.Room} Room */

export class Browse {
  #text = make("input", {
    id: "browse-text",
    type: "search",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    dir: "auto",
    "data-t-label": "searchRooms",
    "data-t-placeholder": "searchRooms",
  });
  #list = make("ul", { id: "browse-list", class: "found rooms", "data-t-label": "allRooms" });
  #words = make("p", { class: "quiet", role: "status" });
  #again = make("button", { type: "button", class: "link", "data-t": "loadAgain", hidden: true });
  #more = make("button", { type: "button", class: "link", "data-t": "showMore", hidden: true });
  #sheet = new Sheet("browse", "allRooms", make("div", { class: "search" }, this.#text, this.#words, this.#again, this.#list, this.#more));
  #pages;
  #go;

  /** @param {(key: Key) => void} go opens a conversation */
  constructor(go) {
    this.#go = go;
    this.#pages = new Pages(
      (q, after) => roomsFound({ q, after }),
      ({ items, hasMore, isLoading, error }) => {
        this.#list.ariaBusy = String(isLoading);
        if (isLoading) return;
        this.#words.textContent = error ? wording(error)[1] : items.length === 0 ? t.noRoomFound : "";
        this.#again.hidden = !error;
        this.#more.hidden = !hasMore || Boolean(error);
        this.#show(items);
      },
    );
    this.#text.addEventListener("input", () => this.#pages.type(this.#query));
    this.#text.addEventListener("keydown", async (event) => {
      if (event.key === "Enter" && !event.isComposing) {
        event.preventDefault();
        // What the list shows may be the answer to another text.
        await this.#pages.search(this.#query);
        this.#list.querySelector("a")?.click();
      }
    });
    this.#more.addEventListener("click", () => this.#pages.more());
    this.#again.addEventListener("click", () => this.#pages.again());
    this.#sheet.node.addEventListener("keydown", (event) => this.#keyDown(event));
    this.#list.addEventListener("click", (event) => this.#click(event));
  }

  open() {
    this.#text.value = "";
    this.#pages.search("");
    this.#sheet.open();
    this.#text.focus();
  }

  get #query() {
    return this.#text.value.trim().replace(/^#/, "");
  }

  /** @param {Room[]} all */
  #show(all) {
    const shown = new Map([...this.#list.children].map((node) => [node instanceof HTMLElement ? node.dataset.shown : "", node]));
    const nodes = all.map((room) => shown.get(shownAs(room)) ?? this.#line(room));
    this.#list.replaceChildren(...nodes);
  }

  /** @param {Room} room */
  #line(room) {
    const { name, title, description, access, members, member, archived } = room;
    const link = element("a", "title", isolated(titleOf(name, title)));
    link.href = addressOf(`#${name}`);
    const sign = access === "closed" ? symbol("lock") : element("span", "", "#");
    sign.ariaHidden = "true";
    const facts = [t.members(members), ...(archived ? [t.isArchived] : []), ...(access === "closed" ? [t.closed] : [])].join(" · ");
    const words = element("div", "words", link, element("small", "", facts));
    if (description) words.append(element("p", "", isolated(description)));
    const act = button(member || archived ? "plain" : "primary", member || archived ? t.open : t.join);
    act.dataset.act = member || archived ? "open" : "join";
    act.ariaLabel = `${act.textContent}: ${titleOf(name, title)}`;
    const line = element("li", archived ? "archived" : "", element("span", "sign", sign), words, act);
    line.dataset.name = name;
    line.dataset.shown = shownAs(room);
    return line;
  }

  /** @param {MouseEvent} event */
  async #click(event) {
    const target = event.target instanceof Element ? event.target.closest("a, button") : null;
    const name = target?.closest("li")?.dataset.name;
    if (!target || name === undefined || event.ctrlKey || event.metaKey || event.shiftKey) {
      return;
    }
    event.preventDefault();
    if (target instanceof HTMLButtonElement && target.dataset.act === "join") {
      target.ariaBusy = "true";
      try {
        await rooms.join(name);
      } catch (error) {
        this.#words.textContent = wording(error)[1];
        return;
      } finally {
        target.ariaBusy = null;
      }
    }
    this.#sheet.close();
    this.#go(`#${name}`);
  }

  /** @param {KeyboardEvent} event */
  #keyDown(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const stops = [this.#text, ...this.#list.querySelectorAll("a")];
    const index = stops.findIndex((stop) => stop === document.activeElement || stop.closest("li")?.contains(document.activeElement));
    if (step && index >= 0) {
      event.preventDefault();
      stops[Math.min(stops.length - 1, Math.max(0, index + step))]?.focus();
    }
  }
}

/** @param {Room} room */
function shownAs(room) {
  return JSON.stringify([room, t.chat]);
}
