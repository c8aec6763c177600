// The settings: one dialog with a page for each group. A phone shows either the list
// of pages or one of them.

import * as account from "../account.js";
import { ApiError, call, me } from "../api.js";
import { settings } from "../settings.js";
import { wording } from "../wording.js";
import { t, titleOf, translate } from "../words.js";
import { ask } from "./ask.js";
import { avatar } from "./avatar.js";
import { element, isolated, symbol, TOUCH } from "./dom.js";
import { make, mount } from "./make.js";
import { DevicesPage } from "./settings-devices.js";
import { KeysPage } from "./settings-keys.js";
import { LookPage } from "./settings-look.js";
import { NoticesPage } from "./settings-notices.js";
import { PasswordPage } from "./settings-password.js";
import { ProfilePage } from "./settings-profile.js";
import { addSymbols } from "./symbols.js";

/** @typedef {import("./chat.js").Chat} Chat */
/** @typedef {import("./above.js").Above} Above */
/** @typedef {import("../administration/main.js").Desk} Desk */
/** @typedef {import("../administration/main.js").PageName} ServerPageName */
/** @typedef {"profile" | "password" | "look" | "notices" | "devices" | "keys" | ServerPageName} PageName */

/**
 * @typedef {object} Page
 * @property {HTMLElement} node
 * @property {() => void} [open] it comes into view
 * @property {() => void} [close] it is left
 * @property {() => void} [retranslate] the language has changed
 */

export class SettingsDialog {
  #chat;
  #hooks;
  /** @type {Record<PageName, Page>} */
  #pages;
  #links;
  #back = make("button", { type: "button", class: "icon back", "data-t-label": "back" }, symbol("back"));
  #heading = make("h3", { id: "settings-page-heading" });
  #body = make("div", { class: "settings-body" });
  #me = make("div", { class: "settings-me" });
  #signOut = make("button", { type: "button", id: "sign-out" }, symbol("leave"), make("span", { "data-t": "signOut" }));
  #node;
  #serverHeading = make("p", { id: "server-pages-heading", class: "settings-group" });
  /** What opens above the chat, once it is known. @type {Above | null} */
  #above = null;
  /** @type {Desk} */
  #desk = {
    me: () => settings.user?.username ?? "",
    isAdministrator: () => isAdministrator(),
    go: (key, seq) => {
      this.#node.close();
      this.#chat()?.go(key, seq);
    },
    about: async (room, isEdited) => {
      this.#node.close();
      const chat = this.#chat();
      await chat?.go(`#${room}`);
      chat?.useAbove((above) => above.details.open(isEdited));
    },
    remove: (key, seq) => this.#chat()?.useAbove((above) => above.remove(key, seq)),
    titleOf: (room) => this.#above?.titleOf(room) ?? titleOf(room, ""),
    reported: () => this.#countReports(),
  };
  /** The page in view; null: the list of pages. @type {PageName | null} */
  #page = null;
  #narrow = matchMedia("(width < 48rem)");

  /**
   * @param {() => Chat | null} chat the open chat
   * @param {object} hooks
   * @param {(isLeaving: boolean) => void} hooks.leaving signing out has begun, or has failed
   * @param {(elsewhere?: string) => void} hooks.signedOut where to sign out, too
   */
  constructor(chat, hooks) {
    addSymbols(SYMBOLS);
    this.#chat = chat;
    this.#hooks = hooks;
    this.#pages = {
      profile: new ProfilePage(),
      password: new PasswordPage(),
      look: new LookPage(),
      notices: new NoticesPage(chat),
      devices: new DevicesPage(),
      keys: new KeysPage(),
      server: new ServerPage("server", this.#desk),
      accounts: new ServerPage("accounts", this.#desk),
      invites: new ServerPage("invites", this.#desk),
      rooms: new ServerPage("rooms", this.#desk),
      bots: new ServerPage("bots", this.#desk),
      reports: new ServerPage("reports", this.#desk),
      audit: new ServerPage("audit", this.#desk),
    };
    this.#links = [...PAGES, ...SERVER_PAGES].map(([page, word]) =>
      make("button", { type: "button", "data-page": page }, symbol(page), make("span", { "data-t": word }), symbol("next")),
    );
    const lines = this.#links.map((link) => make("li", {}, link));
    const closers = [0, 1].map(() => make("button", { type: "button", class: "icon", "data-t-label": "close" }, symbol("close")));
    this.#node = mount(
      make(
        "dialog",
        { id: "settings", class: "sheet settings", "aria-labelledby": "settings-heading", closedby: "any" },
        make(
          "nav",
          { "aria-labelledby": "settings-heading" },
          make("header", {}, make("h2", { id: "settings-heading", "data-t": "settings" }), closers[0] ?? ""),
          this.#me,
          make("ul", {}, ...lines.slice(0, PAGES.length)),
          this.#serverHeading,
          make("ul", { class: "server-pages", "aria-labelledby": "server-pages-heading" }, ...lines.slice(PAGES.length)),
          this.#signOut,
        ),
        make(
          "section",
          { "aria-labelledby": "settings-page-heading" },
          make("header", {}, this.#back, this.#heading, closers[1] ?? ""),
          this.#body,
        ),
      ),
    );
    for (const closer of closers) closer.addEventListener("click", () => this.#node.close());
    for (const link of this.#links) link.addEventListener("click", () => this.#show(/** @type {PageName} */ (link.dataset.page)));
    this.#back.addEventListener("click", () => this.#toList());
    this.#signOut.addEventListener("click", () => this.#askSignOut());
    // For browsers without `closedby`.
    this.#node.addEventListener("click", ({ target }) => target === this.#node && this.#node.close());
    // The Back gesture of a phone, and Escape.
    this.#node.addEventListener("cancel", (event) => {
      if (event.target === this.#node && this.#narrow.matches && this.#page !== null) {
        event.preventDefault();
        this.#toList();
      }
    });
    this.#node.addEventListener("close", ({ target }) => target === this.#node && this.#leave());
    this.#narrow.addEventListener("change", () => this.#node.open && this.#page === null && this.#show("profile"));
  }

  /** @param {PageName} [page] */
  open(page) {
    const { username } = settings.user ?? { username: "" };
    this.#me.replaceChildren(avatar(username), isolated(username, "title"));
    // Passwords and sessions are where users sign in.
    const absent = [...(TOUCH.matches ? ["keys"] : []), ...(settings.server?.sign_in_url ? ["password", "devices"] : []), ...(settings.server?.passwords === false ? ["password"] : [])];
    for (const link of this.#links) link.hidden = absent.includes(link.dataset.page ?? "");
    this.showServer();
    this.#learnRole();
    if (!this.#node.open) this.#node.showModal();
    if (page) this.#show(page);
    else if (this.#narrow.matches) this.#toList();
    else this.#show("profile");
  }

  retranslate() {
    for (const page of Object.values(this.#pages)) page.retranslate?.();
    this.#showHeading();
    this.showServer();
  }

  /** Shows the pages for administrators, or the one for moderators, and closes one that the user may not see any more. */
  showServer() {
    const moderates = this.#above?.moderates ?? this.#page === "reports";
    const shown = SERVER_PAGES.filter(([page]) => isAdministrator() || (page === "reports" && moderates));
    for (const [page] of SERVER_PAGES) {
      const line = this.#linkOf(page)?.parentElement;
      if (line) line.hidden = !shown.some(([name]) => name === page);
    }
    this.#serverHeading.hidden = shown.length === 0;
    this.#serverHeading.textContent = shown.length > 1 ? t.thisServer : t.moderation;
    this.#node.classList.toggle("with-server", shown.length > 1);
    if (SERVER_PAGES.some(([page]) => page === this.#page) && !shown.some(([page]) => page === this.#page)) this.#leaveServer();
  }

  /** Closes a page for administrators, and what it asks. */
  #leaveServer() {
    for (const question of document.querySelectorAll("dialog.ask")) if (question instanceof HTMLDialogElement) question.close();
    this.#narrow.matches ? this.#toList() : this.#show("profile");
  }

  /** The role may have changed since the chat was opened. */
  async #learnRole() {
    this.#chat()?.useAbove((above) => {
      this.#above = above;
      this.showServer();
      if (above.moderates || isAdministrator()) this.#countReports();
    });
    try {
      const user = await me();
      if (user.username !== settings.user?.username) return;
      settings.user = user;
      this.showServer();
    } catch {
      // What is known is shown.
    }
  }

  /** Shows how many reports are open. */
  async #countReports() {
    try {
      const { reports, next } = await call("/api/reports?state=open&limit=50");
      const badge = reports.length > 0 ? element("span", "count", next ? "50+" : String(reports.length)) : "";
      const link = this.#linkOf("reports");
      link?.querySelector(".count")?.remove();
      link?.lastElementChild?.before(badge);
    } catch {
      // The page itself says what is wrong.
    }
  }

  /** @param {PageName} page */
  #show(page) {
    if (this.#page !== page) {
      this.#leave();
      this.#page = page;
      this.#body.replaceChildren(this.#pages[page].node);
      this.#body.scrollTop = 0;
      // A page without controls is scrolled by keys all the same.
      this.#body.tabIndex = page === "keys" ? 0 : -1;
      translate(this.#body);
      this.#pages[page].retranslate?.();
      this.#pages[page].open?.();
    }
    this.#mark();
    (this.#narrow.matches ? this.#back : this.#linkOf(page))?.focus();
  }

  #toList() {
    const page = this.#page;
    this.#leave();
    this.#mark();
    (this.#linkOf(page) ?? this.#links[0])?.focus();
  }

  /** The page is no longer in view. */
  #leave() {
    if (this.#page) this.#pages[this.#page].close?.();
    this.#page = null;
  }

  #mark() {
    this.#node.classList.toggle("on-page", this.#page !== null);
    for (const link of this.#links) link.ariaCurrent = link.dataset.page === this.#page ? "page" : null;
    this.#showHeading();
  }

  #showHeading() {
    const word = [...PAGES, ...SERVER_PAGES].find(([page]) => page === this.#page)?.[1];
    this.#heading.textContent = word ? t[word] : "";
  }

  /** @param {PageName | null} page */
  #linkOf(page) {
    return this.#links.find((link) => link.dataset.page === page);
  }

  async #askSignOut() {
    const unsent = this.#chat()?.unsent ?? 0;
    if (unsent > 0 && !(await ask(t.signOutWaiting(unsent), t.signOut))) {
      return;
    }
    this.#hooks.leaving(true);
    let elsewhere;
    try {
      elsewhere = await account.logout();
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 401)) {
        this.#hooks.leaving(false);
        this.#node.close();
        this.#chat()?.toast(wording(error)[1]);
        return;
      }
    }
    this.#hooks.signedOut(elsewhere);
  }
}

/** Whether the user administers this server, as far as is known. */
function isAdministrator() {
  const { role, features = [] } = /** @type {{ role?: string, features?: string[] }} */ (settings.user ?? {});
  return role === "administrator" && features.includes("administration");
}

/** A page for administrators or moderators, which is loaded when it is first opened. */
class ServerPage {
  node = make("div", { class: "server-page" });
  #name;
  #desk;
  /** @type {Page | null} */
  #page = null;
  #isOpen = false;

  /**
   * @param {ServerPageName} name
   * @param {Desk} desk
   */
  constructor(name, desk) {
    this.#name = name;
    this.#desk = desk;
  }

  async open() {
    this.#isOpen = true;
    if (await this.#show()) this.#page?.open?.();
  }

  close() {
    this.#isOpen = false;
    this.#page?.close?.();
  }

  retranslate() {
    if (this.#page && this.#isOpen) this.#show();
  }

  /** @returns {Promise<boolean>} whether it is there, and still wanted */
  async #show() {
    try {
      const { pageOf, prepare } = await import("../administration/main.js");
      await prepare();
      this.#page ??= pageOf(this.#name, this.#desk);
      if (!this.#page.node.isConnected) this.node.replaceChildren(this.#page.node);
      translate(this.node);
      this.#page.retranslate?.();
    } catch {
      this.node.replaceChildren(element("p", "error", navigator.onLine ? t.somethingBroke : t.noNetwork));
      return false;
    }
    return this.#isOpen;
  }
}

/** @type {[page: PageName, word: "profile" | "passwordPage" | "theme" | "notices" | "sessions" | "shortcuts"][]} */
const PAGES = [
  ["profile", "profile"],
  ["password", "passwordPage"],
  ["look", "theme"],
  ["notices", "notices"],
  ["devices", "sessions"],
  ["keys", "shortcuts"],
];

/** @type {[page: ServerPageName, word: "serverPage" | "accountsPage" | "invitesPage" | "rooms" | "botsPage" | "reports" | "audit"][]} */
const SERVER_PAGES = [
  ["server", "serverPage"],
  ["accounts", "accountsPage"],
  ["invites", "invitesPage"],
  ["rooms", "rooms"],
  ["bots", "botsPage"],
  ["reports", "reports"],
  ["audit", "audit"],
];

const SYMBOLS = {
  server: "M4 5h16v11H10l-4 3.5V16H4z",
  accounts: "M5.5 9a3.5 3.5 0 1 0 7 0 3.5 3.5 0 1 0-7 0zM2.5 19c.8-3.3 3.3-4.8 6.5-4.8s5.7 1.5 6.5 4.8M15.5 5.8a3.5 3.5 0 0 1 0 6.4M18 14.7c1.8.7 3 2.1 3.5 4.3",
  invites: "M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1",
  rooms: "M9.5 4 7.5 20M16.5 4l-2 16M4.5 9h16M3.5 15h16",
  bots: "M5 9h14v10H5zM12 9V5M9.5 13.5v1M14.5 13.5v1M9 16.5h6M10.5 4.5h3",
  reports: "M6 21V4M6 4.5c4-2 7 2 12 0v9c-5 2-8-2-12 0",
  audit: "M6 3.5h12v17H6zM9 8h6M9 12h6M9 16h4",
  delete: "M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10 10.5v5.5M14 10.5v5.5",
  back: "M19 12H5M11.5 5.5 5 12l6.5 6.5",
  next: "m9.5 6 6 6-6 6",
  profile: "M8 9a4 4 0 1 0 8 0 4 4 0 1 0-8 0zM4.5 20c1-4 4-5.5 7.5-5.5s6.5 1.5 7.5 5.5",
  picture: "M8 9a4 4 0 1 0 8 0 4 4 0 1 0-8 0zM4.5 20c1-4 4-5.5 7.5-5.5s6.5 1.5 7.5 5.5",
  password: "M4 15.5a3.5 3.5 0 1 0 7 0 3.5 3.5 0 1 0-7 0zM10 13l8.5-8.5M15.5 7.5 18 10",
  look: "M3.5 12a8.5 8.5 0 1 0 17 0 8.5 8.5 0 1 0-17 0zM12 3.5v17M12 8l6.5-1.5M12 12.5l8.3-1.5M12 17l6.5-1.5",
  notices: "M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15zM10 20.5h4",
  devices: "M3.5 5h12v9h-12zM2 17.5h9M14.5 9.5h6.5v10h-6.5z",
  keys: "M3 7h18v10H3zM6.5 10.5h.1M10 10.5h.1M13.5 10.5h.1M17 10.5h.1M8 14h8",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM9.2 12a2.8 2.8 0 1 0 5.6 0 2.8 2.8 0 1 0-5.6 0z",
  leave: "M14 4.5H6v15h8M10 12h10M16.5 8.5 20 12l-3.5 3.5",
};
