// The elements of the door, which a user who is signed in does not load.

import { BASE } from "../logic/address.js";
import { PictureCrop } from "./crop.js";
import { symbol } from "./dom.js";
import { languageButtons } from "./languages.js";
import { make } from "./make.js";
import { addSymbols } from "./symbols.js";

/**
 * Puts the forms into the door.
 * @param {HTMLElement} door
 */
export function furnish(door) {
  addSymbols(SYMBOLS);
  const toRegister = make("button", { type: "button", id: "to-register", "aria-controls": "register", "data-t": "newHere" });
  const toSignIn = make("button", { type: "button", id: "to-sign-in", "aria-controls": "sign-in", "data-t": "signIn" });
  const logo = make("img", { alt: "", width: "64", height: "64" });
  const title = make("h1", { dir: "auto" });
  const welcome = make("p", { class: "door-welcome", dir: "auto" });
  const leadsTo = make("p", { id: "door-leads-to" });
  const words = make("p", { id: "door-words" });
  const passwordHint = make("small", { id: "register-password-hint" });
  const crop = new PictureCrop();
  crop.className = "field";
  const register = make(
    "form",
    // If the code that sends it breaks, method and action keep the password out of the address.
    { id: "register", method: "post", action: `${BASE}/api/register`, enctype: "multipart/form-data", novalidate: true, hidden: true },
    nameField("register", make("small", { id: "register-name-hint", "data-t": "nameHint" })),
    passwordField("register", "new-password", passwordHint),
    crop,
    make("p", { class: "error", role: "alert" }),
    make("button", { class: "primary", "data-t": "register" }),
  );
  const signIn = make(
    "form",
    { id: "sign-in", method: "post", action: `${BASE}/api/login`, novalidate: true, hidden: true },
    nameField("sign-in"),
    passwordField("sign-in", "current-password"),
    make("p", { class: "error", role: "alert" }),
    make("button", { class: "primary", "data-t": "signIn" }),
  );
  const elsewhere = make("a", { id: "sign-in-elsewhere", class: "primary", hidden: true, "data-t": "signIn" });
  const choice = make("div", { class: "segments", role: "group" }, toRegister, toSignIn);
  door.replaceChildren(
    make(
      "div",
      { class: "door-head" },
      logo,
      title,
      welcome,
      leadsTo,
      words,
    ),
    make("div", { class: "card" }, elsewhere, choice, register, signIn),
    make("p", { class: "languages" }, ...languageButtons("link")),
  );
  return { register, signIn, logo, title, welcome, leadsTo, words, toRegister, toSignIn, crop, passwordHint, elsewhere, choice };
}

/**
 * @param {string} form
 * @param {...Node} hint
 */
function nameField(form, ...hint) {
  const id = `${form}-name`;
  const described = describedBy(id, hint);
  const more = { autocomplete: "username", autocapitalize: "none", spellcheck: "false", dir: "auto", required: true, "aria-describedby": described };
  return make(
    "div",
    { class: "field" },
    make("label", { for: id, "data-t": "name" }),
    make("input", { id, name: "username", ...more }),
    make("p", { class: "error", id: `${id}-error`, role: "alert" }),
    ...hint,
  );
}

/**
 * The elements that describe a field.
 * @param {string} id
 * @param {Node[]} hint
 */
function describedBy(id, hint) {
  return hint.length > 0 ? `${id}-error ${id}-hint` : `${id}-error`;
}

/**
 * @param {string} form
 * @param {string} autocomplete
 * @param {...Node} hint
 */
function passwordField(form, autocomplete, ...hint) {
  const id = `${form}-password`;
  return make(
    "div",
    { class: "field" },
    make("label", { for: id, "data-t": "password" }),
    make(
      "div",
      { class: "with-button" },
      make("input", { id, name: "password", type: "password", autocomplete, required: true, "aria-describedby": describedBy(id, hint) }),
      make("button", { type: "button", class: "icon", "data-reveal": id }, symbol("eye")),
    ),
    make("p", { class: "error", id: `${id}-error`, role: "alert" }),
    ...hint,
  );
}

const SYMBOLS = {
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM9.2 12a2.8 2.8 0 1 0 5.6 0 2.8 2.8 0 1 0-5.6 0z",
  picture: "M8 9a4 4 0 1 0 8 0 4 4 0 1 0-8 0zM4.5 20c1-4 4-5.5 7.5-5.5s6.5 1.5 7.5 5.5",
};
