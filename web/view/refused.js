// What the user reads when the server has refused a message, or a change of one.

import { t } from "../words.js";
import { button, element, symbol, want } from "./dom.js";

/** @typedef {import("../logic/outbox.js").Item} Item */

/**
 * Says in a message that it was refused, and what can be done.
 * @param {HTMLElement} message
 * @param {string} [reason] the code of the error
 * @param {string} [sentence] why, in the words of the program that has refused it
 */
export async function appendFailed(message, reason, sentence) {
  await want("later");
  if (message.dataset.state === "failed" && !message.querySelector(":scope > .not-sent")) {
    message.append(lineOf(sentenceOf(undefined, reason, sentence), [["retry", t.tryAgain], ["edit", t.edit], ["discard", t.discard]]));
  }
}

/**
 * Says below a message which changes of it were refused, and what can be done.
 * @param {HTMLElement} message
 * @param {Item[]} refused edits and deletions
 */
export async function appendRefused(message, refused) {
  await want("later");
  for (const { nonce, kind, text, reason, sentence } of refused) {
    const isEdit = kind === "edit";
    /** @type {[string, string][]} */
    const choices = [
      ["retry-change", t.tryAgain],
      ...(isEdit ? /** @type {[string, string][]} */ ([["take-change", t.edit]]) : []),
      ["discard-change", t.dropChange],
    ];
    const line = lineOf(sentenceOf(kind, reason, sentence), choices);
    line.dataset.nonce = nonce;
    if (isEdit) line.prepend(element("div", "refused-text", text));
    message.append(line);
  }
}

/**
 * @param {Item["kind"]} kind of a change; undefined: a message
 * @param {string} [reason] the code of the error
 * @param {string} [sentence] why, in the words of the program that has refused it
 */
export function sentenceOf(kind, reason = "", sentence = "") {
  const reasons = /** @type {Record<string, string>} */ (kind ? { ...t.reasons, ...t.changeReasons } : t.reasons);
  const what = kind === undefined ? t.notSent : kind === "edit" ? t.notEdited : kind === "delete" ? t.notDeleted : t.notReacted;
  return `${what}: ${sentence || (Object.hasOwn(reasons, reason) && reasons[reason]) || t.reasons.other}`;
}

/**
 * @param {string} sentence
 * @param {[string, string][]} choices what the buttons do, and their words
 */
function lineOf(sentence, choices) {
  const buttons = choices.map(([act, word]) => {
    const choice = button("link", word);
    choice.dataset.act = act;
    return choice;
  });
  return element("div", "not-sent", symbol("failed"), element("span", "", sentence), ...buttons);
}
