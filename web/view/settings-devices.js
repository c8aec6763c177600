// The page of the settings with the sessions of the user: where the user is signed
// in, and signing out there.

import * as account from "../account.js";
import { ApiError } from "../api.js";
import { deviceOf } from "../logic/device.js";
import { agoOf } from "../relative-time.js";
import { wording } from "../wording.js";
import { t } from "../words.js";
import { button, element, isolated, symbol } from "./dom.js";
import { make } from "./make.js";

export class DevicesPage {
  #list = make("ul", { id: "sessions" });
  #wrong = make("p", { class: "error", id: "sessions-error", role: "alert" });
  #endOthers = make("button", { type: "button", id: "end-others", class: "plain", "data-t": "endOthers", hidden: true });
  node = make("div", { class: "devices" }, this.#wrong, this.#list, make("div", { class: "buttons" }, this.#endOthers));
  /** @type {account.SignIn[]} */
  #signIns = [];

  constructor() {
    this.#endOthers.addEventListener("click", () => this.#end(this.#signIns.filter(({ current }) => !current)));
  }

  async open() {
    this.#wrong.textContent = "";
    try {
      const signIns = await account.sessions();
      this.#signIns = signIns.sort((a, b) => Number(b.current) - Number(a.current) || b.last_seen - a.last_seen);
    } catch (error) {
      this.#wrong.textContent = wording(error)[1];
    }
    this.retranslate();
  }

  retranslate() {
    this.#list.replaceChildren(...this.#signIns.map((signIn) => this.#line(signIn)));
    this.#endOthers.hidden = !this.#signIns.some(({ current }) => !current);
  }

  /** @param {account.SignIn} signIn */
  #line(signIn) {
    const device = deviceOf(signIn.device) || t.unknownDevice;
    const words = element("div", "", isolated(device, "title"), element("small", "", `${signIn.current ? t.thisDevice : agoOf(signIn.last_seen)} · ${signIn.address}`));
    if (signIn.current) {
      return element("li", "current", symbol("devices"), words);
    }
    const end = button("icon", symbol("close"));
    end.ariaLabel = end.title = t.endSession(device);
    end.addEventListener("click", () => this.#end([signIn]));
    return element("li", "", symbol("devices"), words, end);
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
    await this.open();
    // The button that had the focus may be gone.
    const next = this.#list.querySelector("button") ?? this.node.closest("dialog")?.querySelector("[aria-current]");
    if (next instanceof HTMLElement && !this.node.contains(document.activeElement)) next.focus();
  }
}
