// Invitations: a form that makes one, and the list of those that can be used. Of one room,
// or of all and of the chat.

import * as rooms from "../rooms.js";
import { ask } from "../view/ask.js";
import { button, element, isolated, symbol } from "../view/dom.js";
import { make } from "../view/make.js";
import { Pages } from "../view/pages.js";
import { chatTitle, t, titleOf } from "../words.js";
import * as calls from "./calls.js";
import { apart, choose, dateOf, fieldOf, listOf, selectOf, showLink } from "./pieces.js";
import { sentenceOf } from "./wording.js";

export class Invites {
  #room = selectOf("invite-room", []);
  #uses = selectOf("invite-uses", []);
  #days = selectOf("invite-days", []);
  #submit = make("button", { class: "primary", "data-t": "makeLink" });
  #wrong = make("p", { class: "error", role: "alert" });
  #roomField = fieldOf(this.#room, "inviteTo");
  #form = make(
    "form",
    { id: "invite-form", novalidate: true },
    this.#roomField,
    make("div", { class: "two-fields" }, fieldOf(this.#uses, "inviteUses"), fieldOf(this.#days, "inviteDays")),
    this.#wrong,
    make("div", { class: "buttons" }, this.#submit),
  );
  #parts = listOf("invites", "invitesList");
  node;
  /** The room that they all are for; empty: any. */
  #only;
  /** @type {rooms.Room[]} */
  #rooms = [];
  /** @type {calls.Invite[]} */
  #invites = [];
  /** @type {Pages<calls.Invite>} */
  #pages;
  #isLoaded = false;

  /** @param {string} [only] a room */
  constructor(only = "") {
    this.#only = only;
    this.#roomField.hidden = only !== "";
    // Below the heading of the dialog of the room, or below that of a page of the settings.
    const heading = make(only ? "h3" : "h4", { "data-t": "invitesList" });
    this.node = make("div", { class: "invites" }, this.#form, make("section", {}, heading, this.#parts.node));
    this.#pages = new Pages(
      (_, after) => calls.invites(this.#only, after),
      ({ items, hasMore, isLoading, error }) => {
        if (isLoading) return;
        this.#invites = items;
        this.#isLoaded ||= !error;
        this.#parts.wrong.textContent = error ? sentenceOf(error) : "";
        this.#parts.more.hidden = !hasMore;
        this.retranslate();
      },
    );
    this.#parts.more.addEventListener("click", () => this.#pages.more());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#make();
    });
  }

  async open() {
    this.#wrong.textContent = "";
    this.retranslate();
    this.#uses.value = this.#only ? "1" : "10";
    this.#days.value = "7";
    await Promise.all([this.#pages.search(""), this.#only ? undefined : this.#loadRooms()]);
  }

  retranslate() {
    choose(this.#uses, [...[1, 5, 10, 50].map((n) => /** @type {[string, string]} */ ([String(n), t.times(n)])), ["", t.anyTimes]]);
    choose(this.#days, [1, 7, 30, 365].map((n) => [String(n), t.days(n)]));
    choose(this.#room, [["", t.toChatOnly], ...this.#rooms.map(({ name, title }) => /** @type {[string, string]} */ ([name, titleOf(name, title)]))]);
    this.#parts.list.replaceChildren(...this.#invites.map((invite) => this.#line(invite)));
    this.#parts.words.textContent = this.#isLoaded && this.#invites.length === 0 ? t.noInvites : "";
  }

  async #loadRooms() {
    try {
      const found = await rooms.rooms({ limit: 200 });
      this.#rooms = found.rooms.filter(({ archived }) => !archived);
      this.retranslate();
    } catch {
      // One can still invite to the chat.
    }
  }

  /** @param {calls.Invite} invite */
  #line({ id, by, used, room, title = "", expires, uses }) {
    // In a room, all lead to it: they differ by how long they work.
    const to = this.#only ? (expires ? t.worksUntil(dateOf(expires)) : t.worksOn) : room ? titleOf(room, title) : t.toChatOnly;
    const facts = [this.#only ? t.madeBy(apart(by)) : apart(by), uses ? t.usedOf(used, uses) : used === 0 ? t.notUsed : t.usedTimes(used), ...(expires && !this.#only ? [t.until(dateOf(expires))] : [])];
    const drop = button("icon", symbol("close"));
    drop.ariaLabel = drop.title = t.withdrawInvite;
    drop.addEventListener("click", () => this.#withdraw(id));
    const line = element("li", "", element("div", "", isolated(to, "title"), element("small", "", facts.join(" · "))), drop);
    line.dataset.id = id;
    return line;
  }

  async #make() {
    if (this.#submit.ariaBusy === "true") {
      return;
    }
    this.#submit.ariaBusy = "true";
    this.#wrong.textContent = "";
    try {
      const room = this.#only || this.#room.value;
      const uses = Number(this.#uses.value);
      const { url, expires = 0, title = "" } = await calls.invite({ ...(room ? { room } : {}), ...(uses ? { uses } : {}), days: Number(this.#days.value) });
      const to = room ? titleOf(room, title) : chatTitle();
      await showLink(t.inviteMade(apart(to)), t.inviteOnce(dateOf(expires)), url);
      await this.#pages.search("");
    } catch (error) {
      this.#wrong.textContent = sentenceOf(error);
    } finally {
      this.#submit.ariaBusy = null;
    }
  }

  /** @param {string} id */
  async #withdraw(id) {
    if (!(await ask(t.withdrawQuestion, t.withdrawInvite, t.withdrawHint))) return;
    let sentence = "";
    try {
      await calls.withdraw(id);
    } catch (error) {
      sentence = sentenceOf(error);
    }
    await this.#pages.search("");
    if (sentence) this.#parts.wrong.textContent = sentence;
    // The button that had the focus is gone.
    const next = this.#parts.list.querySelector("button") ?? this.#submit;
    if (next instanceof HTMLElement) next.focus();
  }
}
