// The part of the details that lists the members of a room. Members add others;
// moderators appoint and remove.

import { ApiError } from "../api.js";
import * as rooms from "../rooms.js";
import { wording } from "../wording.js";
import { count, t } from "../words.js";
import { ask } from "./ask.js";
import { avatar, markBot } from "./avatar.js";
import { button, element, isolated, Lines, symbol } from "./dom.js";
import { make } from "./make.js";
import { Menu } from "./menu.js";
import { Pages } from "./pages.js";
import { PeopleSearch } from "./people-search.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {rooms.Member} Member */
/** @typedef {Member & { isMe: boolean, mayChange: boolean }} Shown */

export class MemberList {
  #heading = make("h3", {});
  #addOpener = make("button", { type: "button", class: "icon", id: "add-people", "data-t-label": "addPeople", "data-t-title": "addPeople", "aria-expanded": "false" }, symbol("plus"));
  #adding = make("div", { class: "adding", hidden: true });
  #list = make("ul", { id: "members", class: "members" });
  #more = make("button", { type: "button", class: "link", "data-t": "showMore", hidden: true });
  #wrong = make("p", { class: "error", role: "alert" });
  #again = make("button", { type: "button", class: "link", "data-t": "loadAgain", hidden: true });
  #menu = new Menu("member", "more", document.body);
  node = make(
    "section",
    { class: "part", "aria-labelledby": "members-heading" },
    make("div", { class: "part-head" }, this.#heading, this.#addOpener),
    this.#adding,
    this.#wrong,
    this.#again,
    this.#list,
    this.#more,
  );
  #search;
  #lines;
  #pages;
  #room = "";
  /** @type {Member[]} */
  #members = [];
  #hasMore = false;
  /** How many there are in all, as far as is known. */
  #total = 0;
  /** Those who were here, or had written, and were no members when these were last asked for. */
  #strangers = "";
  #me;
  #client;
  #hooks;

  /**
   * @param {string} me
   * @param {Client} client
   * @param {object} hooks
   * @param {(name: string, opener: Element) => void} hooks.card opens the card of a member
   */
  constructor(me, client, hooks) {
    this.#me = me;
    this.#client = client;
    this.#hooks = hooks;
    this.#heading.id = "members-heading";
    this.#lines = new Lines(this.#list, (name) => this.#line(name));
    this.#pages = new Pages(
      async (_, after) => {
        const { members: items, next } = await rooms.members(this.#room, { after });
        return { items, next };
      },
      ({ items, hasMore, isLoading, error }) => {
        if (isLoading) return;
        this.#wrong.textContent = error ? wording(error)[1] : "";
        this.#again.hidden = !error;
        this.#members = items;
        this.#hasMore = hasMore;
        this.update();
      },
    );
    this.#search = new PeopleSearch("add", {
      chosen: (name) => this.#act(() => rooms.putMember(this.#room, name), true),
      isHidden: (name) => this.#members.some(({ username }) => username === name),
    });
    this.#adding.append(this.#search.node);
    this.#addOpener.addEventListener("click", () => this.#showAdding(this.#adding.hidden));
    this.#adding.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        this.#showAdding(false);
        this.#addOpener.focus();
      }
    });
    this.#more.addEventListener("click", () => this.#pages.more());
    this.#again.addEventListener("click", () => this.#pages.again());
    this.#list.addEventListener("click", ({ target }) => {
      const chosen = target instanceof Element ? target.closest("button") : null;
      const name = chosen?.closest("li")?.dataset.name;
      if (!chosen || name === undefined) return;
      chosen.matches(".more") ? this.#openMenu(chosen, name) : hooks.card(name, chosen);
    });
  }

  /** @param {string} room */
  open(room) {
    this.#room = room;
    this.#members = [];
    this.#hasMore = false;
    this.#total = 0;
    this.#strangers = "";
    this.#pages.clear();
    this.#showAdding(false);
    this.#wrong.textContent = "";
    this.#again.hidden = true;
    this.load();
  }

  /** @param {rooms.Room} room */
  setTotal({ name, members }) {
    if (name === this.#room) this.#total = members;
  }

  /** Asks who the members are. Who has asked for more than one page sees the rest again. */
  load() {
    if (this.#members.length <= PAGE) return this.#pages.search("");
    return Promise.resolve();
  }

  /** Shows what has changed. */
  update() {
    const { role } = this.#client.account.of(`#${this.#room}`);
    // Administrators may do what moderators may, in every room that they may read.
    const mayChange = role === "moderator" || this.#client.isAdministrator;
    this.#addOpener.hidden = role === null && !this.#client.isAdministrator;
    this.#more.hidden = !this.#hasMore || !this.#again.hidden;
    // Who is in the room just now is known at once; of the others, the server has told.
    const room = this.#client.rooms.get(this.#room);
    /** @param {Member} member */
    const isOnline = ({ username, online }) => (room?.isPresenceKnown ? room.members.has(username) : false) || online;
    const number = this.#hasMore ? Math.max(this.#total, this.#members.length) : this.#members.length;
    this.#heading.textContent = number > 0 ? `${t.membersHeading} · ${count(number)}` : t.membersHeading;
    this.#askAfterStrangers();
    this.#lines.show(
      new Map(this.#members.map((member) => [member.username, { ...member, online: isOnline(member), isMe: member.username === this.#me, mayChange: mayChange && member.username !== this.#me }])),
    );
  }

  /** Asks again where somebody is here, or has written, who was no member: they may have joined. */
  #askAfterStrangers() {
    if (this.#members.length === 0 || this.#hasMore) {
      return;
    }
    const known = new Set(this.#members.map(({ username }) => username));
    const last = this.#client.conversations.get(`#${this.#room}`)?.entries.at(-1);
    const here = [...(this.#client.rooms.get(this.#room)?.members ?? [])];
    const strangers = here.filter((name) => !known.has(name)).sort();
    const seen = JSON.stringify([strangers, last && !known.has(last.from) ? last.seq : 0]);
    if (this.#strangers !== seen) {
      this.#strangers = seen;
      this.load();
    }
  }

  /**
   * @param {string} name
   * @returns {import("./dom.js").Line<Shown>}
   */
  #line(name) {
    const front = element("span", "with-presence", avatar(name, "small"));
    const mark = element("span");
    markBot(mark, name);
    const words = element("span", "quiet");
    const person = button("person", front, isolated(name, "title"), mark, words);
    const more = button("icon more", symbol("more"));
    more.ariaHasPopup = "menu";
    const node = element("li", "", person, more);
    person.ariaHasPopup = "dialog";
    node.dataset.name = name;
    return {
      node,
      show: ({ role, online, isMe, mayChange }) => {
        front.classList.toggle("online", online);
        words.textContent = [...(isMe ? [t.you] : []), ...(role === "moderator" ? [t.moderator] : [])].join(" · ");
        more.hidden = !mayChange;
        more.ariaLabel = `${t.more}: ${name}`;
      },
    };
  }

  /**
   * @param {HTMLElement} opener
   * @param {string} name
   */
  #openMenu(opener, name) {
    const isModerator = this.#members.find(({ username }) => username === name)?.role === "moderator";
    const appoint = this.#menu.choice("", isModerator ? t.makeMember : t.makeModerator, () => {
      this.#act(() => rooms.putMember(this.#room, name, isModerator ? "member" : "moderator"));
    });
    const remove = this.#menu.danger("", t.removeFromRoom, async () => {
      const isClosed = this.#client.account.of(`#${this.#room}`).access === "closed";
      if (await ask(t.removeQuestion(name), t.remove, isClosed ? t.removeClosedHint : t.removeOpenHint)) {
        this.#act(() => rooms.removeMember(this.#room, name));
      }
    });
    this.#menu.openBeside([appoint, remove], opener);
  }

  /** @param {boolean} isShown */
  #showAdding(isShown) {
    this.#adding.hidden = !isShown;
    this.#addOpener.ariaExpanded = String(isShown);
    if (isShown) {
      this.#search.reset();
      this.#search.focus();
    }
  }

  /**
   * Changes the members, and shows them as they are then.
   * @param {() => Promise<void>} change
   * @param {boolean} [isAdding]
   */
  async #act(change, isAdding = false) {
    try {
      await change();
      await this.#pages.search("");
      if (isAdding) this.#search.reset();
    } catch (error) {
      const isGone = error instanceof ApiError && error.status === 403;
      this.#wrong.textContent = isGone ? t.mayNotChange : wording(error)[1];
    }
  }
}

/** As many members are in a page of the server at least. */
const PAGE = 50;
