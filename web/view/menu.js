// The menu of the user: theme, notifications, sessions, the list of shortcuts, and
// signing out. The language can be changed at the door, too, so `app.js` does that.

import * as account from "../account.js";
import { ApiError } from "../api.js";
import { deviceOf } from "../logic/device.js";
import { settings } from "../settings.js";
import { agoOf } from "../relative-time.js";
import { wording } from "../wording.js";
import { t } from "../words.js";
import { button, byId, element, isolated, symbol } from "./dom.js";

/** @typedef {import("./chat.js").Chat} Chat */

export class Menu {
  #menu = byId("settings", HTMLElement);
  #notifies = byId("notifies", HTMLInputElement);
  #keys = byId("keys", HTMLDialogElement);
  #leaving = byId("leaving", HTMLDialogElement);
  #part = byId("sessions-part", HTMLDetailsElement);
  #sessions = byId("sessions", HTMLElement);
  #wrong = byId("sessions-error", HTMLElement);
  #endOthers = byId("end-others", HTMLButtonElement);
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
    for (const choice of this.#menu.querySelectorAll("[data-theme-choice]")) {
      choice.addEventListener("click", () => {
        const chosen = choice instanceof HTMLElement ? choice.dataset.themeChoice : "";
        settings.theme = chosen === "light" || chosen === "dark" ? chosen : null;
        this.#showTheme();
      });
    }
    this.#notifies.addEventListener("change", () => this.#ask());
    this.#part.addEventListener("toggle", () => this.#part.open && this.#loadSessions());
    this.#endOthers.addEventListener("click", () => this.#end(this.#signIns.filter(({ current }) => !current)));
    byId("show-keys", HTMLElement).addEventListener("click", () => this.showKeys());
    byId("sign-out", HTMLElement).addEventListener("click", () => this.#askSignOut());
    this.#leaving.addEventListener("close", () => this.#leaving.returnValue === "yes" && this.#signOut());
    for (const dialog of [this.#keys, this.#leaving]) {
      // For browsers without `closedby`.
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    }
    this.retranslate();
  }

  /** Shows the current settings. */
  show() {
    this.#showTheme();
    this.#showNotifies();
    if (this.#part.open) this.#loadSessions();
  }

  showKeys() {
    this.#menu.hidePopover();
    this.#keys.showModal();
  }

  retranslate() {
    byId("keys-list", HTMLElement).replaceChildren(
      ...t.keys.map(([keys = "", meaning = ""]) =>
        element("div", "", element("dt", "", ...keys.split(" ").map((key) => element("kbd", "", key))), element("dd", "", meaning)),
      ),
    );
    this.#showSessions();
  }

  #showTheme() {
    const theme = settings.theme ?? "";
    document.documentElement.dataset.theme = theme;
    for (const choice of this.#menu.querySelectorAll("[data-theme-choice]")) {
      choice.ariaPressed = String(choice instanceof HTMLElement && choice.dataset.themeChoice === theme);
    }
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
    byId("notifies-blocked", HTMLElement).hidden = !isBlocked;
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
      byId("leaving-words", HTMLElement).textContent = t.signOutWaiting(unsent);
      this.#leaving.returnValue = "";
      this.#leaving.showModal();
    } else {
      this.#signOut();
    }
  }

  async #signOut() {
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
