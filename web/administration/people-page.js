// The page of the settings with all accounts: roles, bans, and links for new passwords.

import { ask } from "../view/ask.js";
import { avatar, knowPicture } from "../view/avatar.js";
import { button, element, isolated, symbol } from "../view/dom.js";
import { make } from "../view/make.js";
import { Menu } from "../view/menu.js";
import { Pages } from "../view/pages.js";
import { t } from "../words.js";
import { askBan } from "./ban.js";
import * as calls from "./calls.js";
import { apart, listOf, momentOf, showLink } from "./pieces.js";
import { sentenceOf } from "./wording.js";

/** @typedef {calls.Account} Account */

export class PeoplePage {
  #text = make("input", { id: "accounts-text", type: "search", autocomplete: "off", autocapitalize: "none", spellcheck: "false", dir: "auto", "data-t-label": "searchPeople", "data-t-placeholder": "searchPeople" });
  #filters = FILTERS.map(([filter, word]) => make("button", { type: "button", "data-filter": filter, "data-t": word }));
  #parts = listOf("accounts", "accounts");
  node = make("div", { class: "accounts" }, make("div", { class: "search" }, this.#text), make("div", { class: "segments", role: "group", "data-t-label": "accounts" }, ...this.#filters), this.#parts.node);
  #menu = new Menu("account", "more", this.node);
  #desk;
  /** @type {Pages<Account>} */
  #pages;
  /** @type {Account[]} */
  #accounts = [];
  #onlyBanned = false;

  /** @param {import("./main.js").Desk} desk */
  constructor(desk) {
    this.#desk = desk;
    this.#pages = new Pages((q, after) => (this.#onlyBanned ? calls.bannedAccounts : calls.accounts)(q, after), ({ items, hasMore, isLoading, error }) => {
      if (isLoading) return;
      this.#accounts = items;
      this.#parts.wrong.textContent = error ? sentenceOf(error) : "";
      this.#parts.more.hidden = !hasMore;
      for (const { username, avatar: picture, bot } of items) knowPicture(username, picture, bot);
      this.retranslate();
    });
    this.#text.addEventListener("input", () => this.#pages.type(this.#text.value.trim()));
    for (const filter of this.#filters) {
      filter.addEventListener("click", () => {
        this.#onlyBanned = filter.dataset.filter === "banned";
        this.#search();
      });
    }
    // No form is sent, and the settings stay open.
    this.#text.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#text.value) {
        event.preventDefault();
        this.#text.value = "";
        this.#search();
      }
    });
    this.#parts.more.addEventListener("click", () => this.#pages.more());
    this.#parts.list.addEventListener("click", ({ target }) => {
      const opener = target instanceof Element ? target.closest("button") : null;
      const account = this.#accounts.find(({ username }) => username === opener?.closest("li")?.dataset.name);
      if (opener && account) this.#openMenu(opener, account);
    });
  }

  open() {
    this.#text.value = "";
    this.#onlyBanned = false;
    this.#search();
  }

  close() {
    this.#menu.close();
    this.#pages.clear();
  }

  retranslate() {
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.closest("li")?.dataset.name : undefined;
    this.#parts.list.replaceChildren(...this.#accounts.map((account) => this.#line(account)));
    this.#parts.words.textContent = this.#accounts.length > 0 || this.#parts.wrong.textContent ? "" : this.#onlyBanned && !this.#text.value.trim() ? t.nobodyBanned : t.nobodyFound;
    if (focused !== undefined) this.#focus(focused);
  }

  #search() {
    for (const filter of this.#filters) filter.ariaPressed = String((filter.dataset.filter === "banned") === this.#onlyBanned);
    return this.#pages.search(this.#text.value.trim());
  }

  /** @param {string} name */
  #focus(name) {
    const line = this.#parts.list.querySelector(`[data-name="${CSS.escape(name)}"] button`);
    (line instanceof HTMLElement ? line : this.#text).focus({ preventScroll: true });
  }

  /** @param {Account} account */
  #line({ username, online, bot, role, ban }) {
    const face = element("span", "with-presence", avatar(username));
    face.classList.toggle("online", online);
    const facts = [
      ...(username === this.#desk.me() ? [t.you] : []),
      ...(bot ? [t.bot] : []),
      ...(role === "administrator" ? [t.administrator] : []),
      ...(ban ? [ban.reason ? t.bannedFor(apart(ban.reason)) : t.banned] : []),
      ...(ban?.deleting ? [t.deletingMessages] : []),
    ];
    const words = element("div", "", isolated(username, "title"), element("small", "", facts.join(" · ")));
    const more = button("icon more", symbol("more"));
    more.ariaLabel = `${t.more}: ${username}`;
    more.ariaHasPopup = "menu";
    const line = element("li", ban ? "banned" : "", face, words, more);
    if (ban) line.title = t.bannedBy(ban.by === "server" ? t.operator : apart(ban.by), momentOf(ban.at));
    line.dataset.name = username;
    return line;
  }

  /**
   * @param {HTMLElement} opener
   * @param {Account} account
   */
  #openMenu(opener, { username: name, role, ban }) {
    const isMe = name === this.#desk.me();
    const isAdministrator = role === "administrator";
    /** @type {HTMLElement[]} */
    const choices = [];
    if (!isMe && !ban && !isAdministrator) choices.push(this.#menu.choice("", t.makeAdministrator, () => this.#askRole(name, false, true)));
    if (isAdministrator) choices.push(this.#menu.choice("", t.takeRole, () => this.#askRole(name, isMe)));
    if (!isMe) choices.push(this.#menu.choice("", t.passwordLink, () => this.#askPassword(name)));
    if (!isMe && !isAdministrator && ban) choices.push(this.#menu.choice("", t.unban, () => this.#act(name, () => calls.unban(name))));
    if (!isMe && !isAdministrator && !ban) choices.push(this.#menu.danger("", t.ban, () => this.#ban(name)));
    this.#menu.openBeside(choices, opener);
  }

  /**
   * @param {string} name
   * @param {boolean} isMe
   * @param {boolean} [isGiven]
   */
  async #askRole(name, isMe, isGiven = false) {
    const question = isGiven ? t.makeAdministratorQuestion(apart(name)) : isMe ? t.giveUpRoleQuestion : t.takeRoleQuestion(apart(name));
    if (await ask(question, isGiven ? t.makeAdministrator : t.takeRole, isGiven ? t.makeAdministratorHint : t.takeRoleHint)) {
      await this.#act(name, () => calls.setRole(name, isGiven ? "administrator" : "member"));
    }
  }

  /** @param {string} name */
  async #askPassword(name) {
    if (!(await ask(t.passwordLinkQuestion(apart(name)), t.makeLink, t.passwordLinkHint))) return;
    await this.#act(name, async () => {
      const { url, expires = 0 } = await calls.passwordLink(name);
      await showLink(t.passwordLinkFor(apart(name)), t.passwordLinkOnce(momentOf(expires)), url);
    });
  }

  /** @param {string} name */
  async #ban(name) {
    if (await askBan(name)) await this.#act(name, async () => {});
  }

  /**
   * @param {string} name
   * @param {() => Promise<unknown>} change
   */
  async #act(name, change) {
    let sentence = "";
    try {
      await change();
      await this.#search();
    } catch (error) {
      sentence = sentenceOf(error);
    }
    if (sentence) this.#parts.wrong.textContent = sentence;
    this.#focus(name);
  }
}

/** @type {[filter: string, word: string][]} */
const FILTERS = [
  ["all", "allAccounts"],
  ["banned", "bannedAccounts"],
];
