// The part of the details that says what a room is about, and what can be done with
// the room: moderators change it, everybody may leave it.

import { call } from "../api.js";
import * as rooms from "../rooms.js";
import { wording } from "../wording.js";
import { localeOf, t, titleOf } from "../words.js";
import { ask } from "./ask.js";
import { button, element, isolated, symbol } from "./dom.js";
import { make } from "./make.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/client.js").Input} Input */
/** @typedef {rooms.Room} Room */

export class AboutRoom {
  node = make("section", { class: "part about" });
  actions = make("section", { class: "part actions" });
  #title = make("input", { id: "edit-title", maxlength: "64", autocomplete: "off", dir: "auto", required: true });
  #description = make("textarea", { id: "edit-description", rows: "3", maxlength: "500", dir: "auto" });
  #wrong = make("p", { class: "error", role: "alert" });
  #cancel = make("button", { type: "button", class: "plain", "data-t": "cancel" });
  #form = make(
    "form",
    { class: "edit", novalidate: true },
    make("div", { class: "field" }, make("label", { for: "edit-title", "data-t": "roomTitle" }), this.#title),
    make("div", { class: "field" }, make("label", { for: "edit-description", "data-t": "roomDescription" }), this.#description),
    this.#wrong,
    make("div", { class: "buttons" }, this.#cancel, make("button", { class: "primary", "data-t": "save" })),
  );
  #facts = make("div", { class: "facts" });
  #name = "";
  /** @type {Room | null} */
  #room = null;
  #isEditing = false;
  /** Whether the form is to be opened once it is known what is in it. */
  #isEditWanted = false;
  #shown = "";
  /** How many open reports there are of messages of the room. */
  #reports = 0;
  #client;
  #hooks;

  /**
   * @param {Client} client
   * @param {object} hooks
   * @param {(input: Input) => void} hooks.step
   * @param {() => void} hooks.changed
   * @param {() => void} hooks.leave
   * @param {(room: Room) => void} hooks.loaded the server has told about the room
   * @param {() => boolean} hooks.isAdministered whether the server has invitations and reports
   * @param {(room: string) => void} hooks.invite
   * @param {() => void} hooks.reports
   * @param {(sentence: string) => void} hooks.toast
   */
  constructor(client, hooks) {
    this.#client = client;
    this.#hooks = hooks;
    this.#form.hidden = true;
    this.node.append(this.#facts, this.#form);
    this.#cancel.addEventListener("click", () => this.#edit(false));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    this.#form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        this.#edit(false);
      }
    });
  }

  /**
   * @param {string} name
   * @param {boolean} isOpened whether the panel was opened for it just now
   */
  show(name, isOpened) {
    if (isOpened) {
      this.#name = name;
      this.#room = null;
      this.#reports = 0;
      this.#isEditing = this.#isEditWanted = false;
      this.#load();
    }
    const { title, access, archived, role } = this.#client.account.of(`#${name}`);
    if (this.#room && role !== null && (this.#room.title !== title || this.#room.access !== access || this.#room.archived !== archived)) {
      // Somebody has changed it.
      Object.assign(this.#room, { title, access, archived });
    }
    const shown = JSON.stringify([this.#room, role, this.#client.isAdministrator, this.#isEditing, this.#reports, t.chat]);
    if (this.#shown !== shown) {
      this.#shown = shown;
      this.#form.hidden = !this.#isEditing;
      this.#facts.hidden = this.#isEditing;
      this.#facts.replaceChildren(...this.#content(name, role));
      this.actions.replaceChildren(...this.#choices(role));
    }
  }

  /** Opens the form for the title and the description. */
  edit() {
    this.#isEditWanted = this.#room === null;
    if (this.#room) this.#edit(true);
  }

  async #load() {
    const name = this.#name;
    try {
      const room = await rooms.room(name);
      if (name !== this.#name) return;
      this.#take(room);
      if (this.#hooks.isAdministered() && this.#mayEdit(this.#client.account.of(`#${name}`).role)) {
        const { reports } = await call("/api/reports?state=open&limit=50");
        if (name !== this.#name) return;
        this.#reports = reports.filter((/** @type {{ room?: string }} */ report) => report.room === name).length;
        this.#hooks.changed();
      }
    } catch {
      // What the account knows of the room is shown.
    }
  }

  /** @param {Room} room */
  #take(room) {
    this.#room = room;
    this.#hooks.loaded(room);
    this.#hooks.step({ type: "rooms", rooms: [room] });
    this.#hooks.changed();
    if (this.#isEditWanted) this.edit();
  }

  /**
   * @param {string} name
   * @param {string | null} role
   */
  #content(name, role) {
    const { title, access, archived } = this.#room ?? this.#client.account.of(`#${name}`);
    const description = this.#room?.description ?? "";
    const mayEdit = this.#mayEdit(role) && this.#room !== null;
    const head = element("div", "about-head", element("h3", "", isolated(titleOf(name, title))));
    if (mayEdit) {
      const edit = button("icon", symbol("draft"));
      edit.ariaLabel = edit.title = t.editRoom;
      edit.addEventListener("click", () => this.#edit(true));
      head.append(edit);
    }
    const isClosed = access === "closed";
    const nodes = [head];
    if (description) nodes.push(element("p", "description", isolated(description)));
    nodes.push(fact(isClosed ? "lock" : "people", isClosed ? `${t.closedRoom}. ${t.closedRoomHint}` : `${t.openRoom}. ${t.openRoomHint}`));
    if (archived) nodes.push(fact("archive", t.archivedHint));
    if (this.#room?.created_at) nodes.push(fact("waiting", t.created(new Intl.DateTimeFormat(localeOf(), { dateStyle: "long" }).format(this.#room.created_at * 1000))));
    return nodes;
  }

  /** @param {string | null} role */
  #choices(role) {
    const room = this.#room;
    const choices = [];
    const isAdministered = room !== null && this.#hooks.isAdministered();
    if (isAdministered && !room.archived && (role !== null || this.#client.isAdministrator)) choices.push(this.#choice("link", t.inviteByLink, () => this.#hooks.invite(this.#name)));
    if (isAdministered && this.#mayEdit(role)) {
      const reports = this.#choice("report", t.reports, () => this.#hooks.reports());
      if (this.#reports > 0) reports.append(element("span", "quiet", t.openReportsHere(this.#reports)));
      choices.push(reports);
    }
    if (room && this.#mayEdit(role)) {
      const { archived, access } = room;
      choices.push(this.#choice("archive", archived ? t.unarchive : t.archive, () => this.#archive(!archived)));
      if (access === "open") choices.push(this.#choice("lock", t.closeRoom, () => this.#close()));
    }
    if (role !== null) choices.push(this.#choice("leave", t.leaveRoom, () => this.#hooks.leave()));
    return choices;
  }

  /**
   * @param {string} sign
   * @param {string} words
   * @param {() => void} act
   */
  #choice(sign, words, act) {
    const choice = button("", symbol(sign), element("span", "", words));
    choice.addEventListener("click", act);
    return choice;
  }

  /** @param {string | null} role */
  #mayEdit(role) {
    return role === "moderator" || this.#client.isAdministrator;
  }

  /** @param {boolean} isEditing */
  #edit(isEditing) {
    this.#isEditing = isEditing;
    this.#wrong.textContent = "";
    if (isEditing && this.#room) {
      this.#title.value = titleOf(this.#room.name, this.#room.title);
      this.#description.value = this.#room.description;
    }
    this.show(this.#name, false);
    isEditing ? this.#title.focus() : this.#facts.querySelector("button")?.focus();
  }

  async #save() {
    const room = this.#room;
    const title = this.#title.value.trim();
    const description = this.#description.value.trim();
    if (!room || !title) {
      this.#wrong.textContent = t.titleNeeded;
      this.#title.focus();
      return;
    }
    // The title of a room of a new server is translated, and stays as it is if nobody changes it.
    const isSame = title === titleOf(room.name, room.title);
    try {
      const changed = await rooms.change(room.name, { ...(isSame ? {} : { title }), description });
      this.#isEditing = false;
      this.#take({ ...room, ...changed });
      this.#edit(false);
    } catch (error) {
      this.#wrong.textContent = wording(error)[1];
    }
  }

  /** @param {boolean} archived */
  async #archive(archived) {
    if (!archived || (await ask(t.archiveQuestion, t.archive, t.archiveHint))) await this.#change({ archived });
  }

  async #close() {
    if (await ask(t.closeQuestion, t.closeRoom, t.closeHint)) await this.#change({ access: "closed" });
  }

  /** @param {{ archived?: boolean, access?: rooms.Access }} wanted */
  async #change(wanted) {
    const room = this.#room;
    try {
      if (room) this.#take({ ...room, ...wanted, ...(await rooms.change(room.name, wanted)) });
    } catch (error) {
      this.#hooks.toast(wording(error)[1]);
    }
  }
}

/**
 * @param {string} sign
 * @param {string} words
 */
function fact(sign, words) {
  return element("p", "fact", symbol(sign), element("span", "", words));
}
