// The page of the settings for a new password.

import { BASE } from "../logic/address.js";
import { ApiError } from "../api.js";
import { setPassword } from "../own-account.js";
import { settings } from "../settings.js";
import { learnWhose } from "../whose.js";
import { wording } from "../wording.js";
import { t, translate } from "../words.js";
import { symbol } from "./dom.js";
import { make } from "./make.js";

/** @typedef {{ node: HTMLElement, input: HTMLInputElement, wrong: HTMLElement, hide: () => void }} Field */

export class PasswordPage {
  // For password managers: whose password it is.
  #user = make("input", { class: "unseen", name: "username", autocomplete: "username", tabindex: "-1", "aria-hidden": "true", readonly: true });
  /** Until the server has said it. */
  #minChars = 8;
  #rule = make("small", { id: "password-new-hint" });
  #current = fieldOf("password-current", "passwordCurrent", "current-password");
  #next = fieldOf("password-new", "passwordNew", "new-password", this.#rule);
  #wrong = make("p", { class: "error", role: "alert" });
  #said = make("p", { class: "said", role: "status" });
  #submit = make("button", { class: "primary", "data-t": "changePassword" });
  node = make(
    "form",
    { id: "password-form", method: "post", action: `${BASE}/api/me/password`, novalidate: true },
    this.#user,
    this.#current.node,
    this.#next.node,
    make("p", { class: "quiet", "data-t": "passwordEnds" }),
    this.#wrong,
    make("div", { class: "buttons" }, this.#submit),
    this.#said,
  );

  constructor() {
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.node.addEventListener("input", () => this.#clear());
  }

  async open() {
    this.#user.value = settings.user?.username ?? "";
    this.#minChars = (await learnWhose())?.password_min_chars ?? this.#minChars;
    this.retranslate();
  }

  close() {
    this.node.reset();
    for (const field of this.#fields) field.hide();
    this.#clear();
  }

  retranslate() {
    this.#rule.textContent = t.passwordRule(this.#minChars);
  }

  get #fields() {
    return [this.#current, this.#next];
  }

  #clear() {
    this.#wrong.textContent = this.#said.textContent = "";
    for (const { input, wrong } of this.#fields) {
      wrong.textContent = "";
      input.ariaInvalid = null;
    }
  }

  async #send() {
    if (this.#submit.ariaBusy === "true") {
      return;
    }
    this.#clear();
    const [current, next] = [this.#current.input.value, this.#next.input.value];
    if (!current) return show(this.#current, t.passwordNeeded);
    if (!next) return show(this.#next, t.passwordNeeded);
    this.#submit.ariaBusy = "true";
    try {
      await setPassword(current, next);
      this.close();
      this.#said.textContent = t.passwordChanged;
    } catch (error) {
      const [field, sentence] = wording(error);
      if (error instanceof ApiError && error.status === 403) show(this.#current, t.passwordWrong);
      else if (field === "password") show(this.#next, sentence);
      else this.#wrong.textContent = sentence;
    } finally {
      this.#submit.ariaBusy = null;
    }
  }
}

/**
 * @param {Field} field
 * @param {string} sentence
 */
export function show({ input, wrong }, sentence) {
  wrong.textContent = sentence;
  input.ariaInvalid = "true";
  input.focus();
  input.select();
}

/**
 * @param {string} id
 * @param {string} word
 * @param {string} autocomplete
 * @param {HTMLElement} [hint]
 * @returns {Field}
 */
export function fieldOf(id, word, autocomplete, hint) {
  const described = hint ? `${id}-error ${hint.id}` : `${id}-error`;
  const input = make("input", { id, type: "password", autocomplete, required: true, "aria-describedby": described });
  const eye = make("button", { type: "button", class: "icon", "data-t-label": "showPassword", "aria-pressed": "false" }, symbol("eye"));
  const wrong = make("p", { class: "error", id: `${id}-error`, role: "alert" });
  const node = make("div", { class: "field" }, make("label", { for: id, "data-t": word }), make("div", { class: "with-button" }, input, eye), wrong, hint ?? "");
  /** @param {boolean} isShown */
  const reveal = (isShown) => {
    input.type = isShown ? "text" : "password";
    eye.ariaPressed = String(isShown);
    eye.dataset.tLabel = isShown ? "hidePassword" : "showPassword";
    translate(node);
  };
  eye.addEventListener("click", () => reveal(input.type === "password"));
  return { node, input, wrong, hide: () => reveal(false) };
}
