// Parts that several pages of the administration have: a question with fields, a link that
// is shown once, a time, a line of a list.

import { localeOf, t, translate } from "../words.js";
import { button, element } from "../view/dom.js";
import { make, mount } from "../view/make.js";
import { sentenceOf } from "./wording.js";

/**
 * Asks before something is done, with fields; it stays open while the server refuses.
 * @param {object} about
 * @param {string} about.question
 * @param {string} about.hint what follows from it
 * @param {string} about.yes the word on the button that does it
 * @param {HTMLElement[]} about.fields
 * @param {() => Promise<string>} about.act does it; returns what is wrong with the fields, or nothing
 * @returns {Promise<boolean>} whether it was done
 */
export function askWith({ question, hint, yes, fields, act }) {
  const no = button("plain", t.cancel);
  const submit = element("button", "primary", yes);
  const wrong = make("p", { class: "error", role: "alert" });
  const form = make("form", { novalidate: true }, ...fields, wrong, element("div", "buttons", no, submit));
  const heading = make("p", { id: "ask-with", class: "question" }, question);
  const dialog = mount(make("dialog", { class: "ask with-fields", "aria-labelledby": "ask-with", closedby: "any" }, heading, element("p", "quiet", hint), form));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (submit.ariaBusy === "true") return;
    submit.ariaBusy = "true";
    wrong.textContent = "";
    try {
      wrong.textContent = await act();
      if (!wrong.textContent) dialog.close("yes");
    } catch (error) {
      wrong.textContent = sentenceOf(error);
    } finally {
      submit.ariaBusy = null;
    }
  });
  no.addEventListener("click", () => dialog.close());
  return shown(dialog).then(() => dialog.returnValue === "yes");
}

/**
 * Shows a link that the server tells only once.
 * @param {string} heading
 * @param {string} hint
 * @param {string} url perhaps only its path
 */
export function showLink(heading, hint, url) {
  return showOnce(heading, hint, new URL(url, location.href).href, t.copyLink);
}

/**
 * Shows a secret that the server tells only once.
 * @param {string} heading
 * @param {string} hint
 * @param {string} secret
 * @param {string} copyWords the words on the button that copies it
 */
export function showOnce(heading, hint, secret, copyWords) {
  const field = make("input", { id: "once-link", readonly: true, dir: "ltr", "aria-labelledby": "once-heading" });
  field.value = secret;
  const copy = button("primary", copyWords);
  const close = button("plain", t.close);
  const said = make("p", { class: "said", role: "status" });
  const dialog = mount(
    make(
      "dialog",
      { class: "ask with-fields once", "aria-labelledby": "once-heading" },
      make("p", { id: "once-heading", class: "question" }, heading),
      element("p", "quiet", hint),
      element("div", "field", field),
      said,
      element("div", "buttons", close, copy),
    ),
  );
  field.addEventListener("focus", () => field.select());
  close.addEventListener("click", () => dialog.close());
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(secret);
      said.textContent = t.onceCopied;
    } catch {
      field.focus();
      said.textContent = t.copyItself;
    }
  });
  const closed = shown(dialog);
  copy.focus();
  return closed;
}

/**
 * @param {HTMLDialogElement} dialog is removed once it is closed
 * @returns {Promise<void>}
 */
function shown(dialog) {
  translate(dialog);
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      done();
    });
  });
}

/** @param {number} timestamp Unix seconds */
export function momentOf(timestamp) {
  return new Intl.DateTimeFormat(localeOf(), { dateStyle: "medium", timeStyle: "short" }).format(timestamp * 1000);
}

/** @param {number} timestamp Unix seconds */
export function dateOf(timestamp) {
  return new Intl.DateTimeFormat(localeOf(), { dateStyle: "medium" }).format(timestamp * 1000);
}

/**
 * Text of users within a sentence: it must not reorder the sentence.
 * @param {string} text
 */
export function apart(text) {
  return `\u2068${text}\u2069`;
}

/**
 * A field of a form.
 * @param {HTMLElement} input with an id
 * @param {string} word
 * @param {...HTMLElement} hint
 */
export function fieldOf(input, word, ...hint) {
  return make("div", { class: "field" }, make("label", { for: input.id, "data-t": word }), input, ...hint);
}

/**
 * A box with choices.
 * @param {string} id
 * @param {[value: string, words: string][]} choices
 */
export function selectOf(id, choices) {
  const select = make("select", { id });
  choose(select, choices);
  return select;
}

/**
 * Shows other choices, or the same in another language.
 * @param {HTMLSelectElement} select
 * @param {[value: string, words: string][]} choices
 */
export function choose(select, choices) {
  const { value } = select;
  select.replaceChildren(
    ...choices.map(([value, words]) => {
      const option = element("option", "", words);
      option.value = value;
      return option;
    }),
  );
  if (choices.some(([known]) => known === value)) select.value = value;
}

/**
 * A list that comes in pages: its lines, what is said where it is empty or does not come,
 * and a button for more.
 * @param {string} id
 * @param {string} [label] names the list, in `words`
 */
export function listOf(id, label) {
  const list = make("ul", { id, class: "lines", ...(label ? { "data-t-label": label } : {}) });
  const words = make("p", { class: "quiet", role: "status" });
  const wrong = make("p", { class: "error", role: "alert" });
  const more = make("button", { type: "button", class: "link", "data-t": "showMore", hidden: true });
  const node = make("div", { class: "list" }, wrong, list, words, more);
  return { node, list, words, wrong, more };
}
