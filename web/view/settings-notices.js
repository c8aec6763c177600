// The page of the settings for notifications and their sound, in this browser. Of
// what to notify is chosen for each conversation, and belongs to the account.

import { me } from "../api.js";
import { pushState, turnOff, turnOn } from "../push.js";
import { t } from "../words.js";
import { make } from "./make.js";
import { hasSound, play, setSound } from "./sound.js";

/** @typedef {import("./chat.js").Chat} Chat */

export class NoticesPage {
  #chat;
  #notifies = make("input", { type: "checkbox", id: "notifies", "aria-describedby": "notifies-state" });
  #state = make("p", { id: "notifies-state", class: "quiet", role: "status" });
  #closed = make("input", { type: "checkbox", id: "notifies-closed", "aria-describedby": "notifies-closed-state" });
  #closedState = make("p", { id: "notifies-closed-state", class: "quiet", role: "status" });
  /** The public key of the server for subscriptions. @type {string | undefined} */
  #key;
  #sound = make("input", { type: "checkbox", id: "sound" });
  #test = make("button", { type: "button", class: "plain", id: "test-sound", "data-t": "testSound" });
  node = make(
    "div",
    {},
    make(
      "fieldset",
      {},
      make("legend", { "data-t": "inThisBrowser" }),
      make("label", { class: "check" }, this.#notifies, make("span", { "data-t": "notifications" })),
      this.#state,
      make("label", { class: "check" }, this.#closed, make("span", { "data-t": "notificationsClosed" })),
      this.#closedState,
      make("div", { class: "sound" }, make("label", { class: "check" }, this.#sound, make("span", { "data-t": "sound" })), this.#test),
    ),
    make(
      "section",
      { class: "levels" },
      make("h4", { "data-t": "levels" }),
      make("p", { "data-t": "levelsHint" }),
      make("dl", {}, ...LEVELS.map(([word, meaning]) => make("div", {}, make("dt", { "data-t": word }), make("dd", { "data-t": meaning })))),
    ),
  );

  /** @param {() => Chat | null} chat */
  constructor(chat) {
    this.#chat = chat;
    this.#notifies.addEventListener("change", () => this.#ask());
    this.#closed.addEventListener("change", () => this.#subscribe());
    this.#sound.addEventListener("change", () => {
      setSound(this.#sound.checked);
      if (this.#sound.checked) play().catch(() => {});
    });
    this.#test.addEventListener("click", () => play().catch(() => {}));
  }

  open() {
    const permission = "Notification" in window && "serviceWorker" in navigator ? Notification.permission : "missing";
    const isPossible = permission === "default" || permission === "granted";
    this.#notifies.disabled = !isPossible;
    this.#notifies.checked = this.#chat()?.notifies ?? false;
    this.#state.textContent = isPossible ? (permission === "default" ? t.notificationsAsk : "") : permission === "denied" ? t.notificationsBlocked : t.notificationsMissing;
    this.#sound.checked = hasSound();
    this.#showClosed();
  }

  /** @param {string} [problem] that is shown in place of the state */
  async #showClosed(problem) {
    const { push_key } = await me().catch(() => ({ push_key: this.#key }));
    this.#key = push_key;
    const state = await pushState(push_key);
    this.#closed.disabled = state === "missing" || state === "blocked";
    this.#closed.checked = state === "on";
    const states = { missing: t.notificationsClosedMissing, blocked: t.notificationsBlocked, off: t.notificationsClosedHint, on: t.notificationsClosedHint };
    this.#closedState.textContent = problem ?? states[state];
  }

  async #subscribe() {
    const wanted = this.#closed.checked;
    let problem;
    this.#closed.disabled = true;
    try {
      if (!wanted) {
        await turnOff();
      } else if ((await Notification.requestPermission()) === "granted" && this.#key) {
        await turnOn(this.#key);
      }
    } catch (error) {
      problem = t.notificationsClosedFailed(error instanceof Error ? error.message : "");
    }
    await this.#showClosed(problem);
  }

  retranslate() {
    this.open();
  }

  async #ask() {
    if (this.#notifies.checked && "Notification" in window && Notification.permission === "default") {
      await Notification.requestPermission();
    }
    const chat = this.#chat();
    if (chat) chat.notifies = this.#notifies.checked;
    this.open();
  }
}

/** The levels of a conversation, and what they mean. @type {[word: string, meaning: string][]} */
const LEVELS = [
  ["levelNameAll", "levelMeansAll"],
  ["levelNameMentions", "levelMeansMentions"],
  ["levelNameNone", "levelMeansNone"],
];
