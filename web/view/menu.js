// The menu of the user: theme, notifications, sessions, the list of shortcuts, and
// signing out. The language can be changed at the door, too, so `app.js` does that.

import * as account from "../account.js";
import { ApiError } from "../api.js";
import { deviceOf } from "../logic/device.js";
import { settings } from "../settings.js";
import { agoOf } from "../relative-time.js";
import { wording } from "../wording.js";
import { language, t } from "../words.js";
import { button, element, isolated, symbol } from "./dom.js";
import { make, mount } from "./make.js";

/** @typedef {import("./chat.js").Chat} Chat */

export class Menu {
  #themes = THEMES.map(([theme, word]) => make("button", { type: "button", "data-theme-choice": theme, "data-t": word }));
  #languages = LANGUAGES.map(([code, name]) => make("button", { type: "button", lang: code, "data-language": code }, name));
  #notifies = make("input", { type: "checkbox", id: "notifies" });
  #blocked = make("p", { id: "notifies-blocked", class: "quiet", "data-t": "notificationsBlocked" });
  #sessions = make("ul", { id: "sessions" });
  #wrong = make("p", { class: "error", id: "sessions-error", role: "alert" });
  #endOthers = make("button", { type: "button", id: "end-others", class: "link", "data-t": "endOthers", hidden: true });
  #part = make("details", { id: "sessions-part" }, make("summary", { "data-t": "sessions" }), this.#sessions, this.#wrong, this.#endOthers);
  #showKeys = make("button", { type: "button", id: "show-keys" }, make("span", { "data-t": "shortcuts" }), " ", make("kbd", {}, "?"));
  #signOut = make("button", { type: "button", id: "sign-out", "data-t": "signOut" });
  #menu = mount(
    make(
      "div",
      { id: "settings", class: "menu settings", popover: true, role: "dialog", "data-t-label": "settings" },
      make("fieldset", {}, make("legend", { "data-t": "theme" }), make("div", { class: "segments", id: "themes" }, ...this.#themes)),
      make("fieldset", {}, make("legend", { "data-t": "language" }), make("div", { class: "segments" }, ...this.#languages)),
      make("label", { class: "check" }, this.#notifies, " ", make("span", { "data-t": "notifications" })),
      this.#blocked,
      this.#part,
      this.#showKeys,
      this.#signOut,
    ),
  );
  #keysList = make("dl", { id: "keys-list" });
  #keys = mount(
    make(
      "dialog",
      { id: "keys", class: "keys", "aria-labelledby": "keys-heading", closedby: "any" },
      make(
        "form",
        { method: "dialog" },
        make("h2", { id: "keys-heading", "data-t": "shortcuts" }),
        make("button", { class: "icon", "data-t-label": "close" }, symbol("close")),
      ),
      this.#keysList,
    ),
  );
  #leavingWords = make("p", { id: "leaving-words" });
  #leaving = mount(
    make(
      "dialog",
      { id: "leaving", class: "leaving", "aria-labelledby": "leaving-words" },
      this.#leavingWords,
      make(
        "form",
        { method: "dialog" },
        make("button", { value: "", "data-t": "cancel" }),
        make("button", { value: "yes", class: "primary", "data-t": "signOut" }),
      ),
    ),
  );
  /** @type {account.SignIn[]} */
  #signIns = [];
  #chat;
  #hooks;

  /**
   * @param {() => Chat | null} chat the open chat
   * @param {object} hooks
   * @param {(isLeaving: boolean) => void} hooks.leaving signing out has begun, or has failed
   * @param {() => void} hooks.signedOut
   */
  constructor(chat, hooks) {
    this.#chat = chat;
    this.#hooks = hooks;
    this.#menu.addEventListener("beforetoggle", () => this.#show());
    for (const choice of this.#themes) {
      choice.addEventListener("click", () => {
        const chosen = choice.dataset.themeChoice;
        settings.theme = chosen === "light" || chosen === "dark" ? chosen : null;
        this.#showTheme();
      });
    }
    this.#notifies.addEventListener("change", () => this.#ask());
    this.#part.addEventListener("toggle", () => this.#part.open && this.#loadSessions());
    this.#endOthers.addEventListener("click", () => this.#end(this.#signIns.filter(({ current }) => !current)));
    this.#showKeys.addEventListener("click", () => this.showKeys());
    this.#signOut.addEventListener("click", () => this.#askSignOut());
    this.#leaving.addEventListener("close", () => this.#leaving.returnValue === "yes" && this.#leave());
    for (const dialog of [this.#keys, this.#leaving]) {
      // For browsers without `closedby`.
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    }
    this.retranslate();
  }

  /** Shows the current settings. */
  #show() {
    this.#showTheme();
    this.#showNotifies();
    if (this.#part.open) this.#loadSessions();
  }

  showKeys() {
    this.#menu.hidePopover();
    this.#keys.showModal();
  }

  retranslate() {
    for (const choice of this.#languages) choice.ariaPressed = String(choice.dataset.language === language);
    this.#keysList.replaceChildren(
      ...t.keys.map(([keys = "", meaning = ""]) =>
        element("div", "", element("dt", "", ...keys.split(" ").map((key) => element("kbd", "", key))), element("dd", "", meaning)),
      ),
    );
    this.#showSessions();
  }

  #showTheme() {
    const theme = settings.theme ?? "";
    document.documentElement.dataset.theme = theme;
    for (const choice of this.#themes) choice.ariaPressed = String(choice.dataset.themeChoice === theme);
  }

  async #ask() {
    if (this.#notifies.checked && "Notification" in window && Notification.permission === "default") {
      await Notification.requestPermission();
    }
    const chat = this.#chat();
    if (chat) chat.notifies = this.#notifies.checked;
    this.#showNotifies();
  }

  #showNotifies() {
    const isBlocked = !("Notification" in window) || Notification.permission === "denied";
    this.#notifies.disabled = isBlocked;
    this.#notifies.checked = this.#chat()?.notifies ?? false;
    this.#blocked.hidden = !isBlocked;
  }

  async #loadSessions() {
    this.#wrong.textContent = "";
    try {
      const signIns = await account.sessions();
      this.#signIns = signIns.sort((a, b) => Number(b.current) - Number(a.current) || b.last_seen - a.last_seen);
    } catch (error) {
      this.#wrong.textContent = wording(error)[1];
    }
    this.#showSessions();
  }

  #showSessions() {
    this.#sessions.replaceChildren(...this.#signIns.map((signIn) => this.#line(signIn)));
    this.#endOthers.hidden = !this.#signIns.some(({ current }) => !current);
  }

  /** @param {account.SignIn} signIn */
  #line(signIn) {
    const device = deviceOf(signIn.device) || t.unknownDevice;
    const words = element("div", "", isolated(device, "title"), element("small", "", `${agoOf(signIn.last_seen)} · ${signIn.address}`));
    if (signIn.current) {
      return element("li", "", words, element("span", "quiet", t.thisDevice));
    }
    const end = button("icon", symbol("close"));
    end.ariaLabel = end.title = t.endSession(device);
    end.addEventListener("click", () => this.#end([signIn]));
    return element("li", "", words, end);
  }

  /** @param {account.SignIn[]} signIns */
  async #end(signIns) {
    try {
      for (const { id } of signIns) {
        // 404: the session has ended already.
        await account.endSession(id).catch((error) => {
          if (!(error instanceof ApiError && error.status === 404)) throw error;
        });
      }
    } catch (error) {
      this.#wrong.textContent = wording(error)[1];
      return;
    }
    await this.#loadSessions();
  }

  #askSignOut() {
    this.#menu.hidePopover();
    const unsent = this.#chat()?.unsent ?? 0;
    if (unsent > 0) {
      this.#leavingWords.textContent = t.signOutWaiting(unsent);
      this.#leaving.returnValue = "";
      this.#leaving.showModal();
    } else {
      this.#leave();
    }
  }

  async #leave() {
    this.#hooks.leaving(true);
    try {
      await account.logout();
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 401)) {
        this.#hooks.leaving(false);
        this.#chat()?.toast(wording(error)[1]);
        return;
      }
    }
    this.#hooks.signedOut();
  }
}

/** @type {[theme: string, word: string][]} */
const THEMES = [
  ["", "themeSystem"],
  ["light", "themeLight"],
  ["dark", "themeDark"],
];
/** @type {[code: string, name: string][]} */
const LANGUAGES = [
  ["ru", "Русский"],
  ["en", "English"],
];
