// What the user reads when the server has refused a change of a message.

import { t, wantLaterWords } from "../words.js";
import { element } from "./dom.js";
import { notSent } from "./message.js";

/** @typedef {import("../logic/outbox.js").Item} Item */

/**
 * Says below a message which changes of it were refused, and what can be done.
 * @param {HTMLElement} message
 * @param {Item[]} refused edits and deletions
 */
export async function appendRefused(message, refused) {
  await wantLaterWords();
  for (const { nonce, kind, text, reason } of refused) {
    const isEdit = kind === "edit";
    /** @type {[string, string][]} */
    const choices = [
      ["retry-change", t.tryAgain],
      ...(isEdit ? /** @type {[string, string][]} */ ([["take-change", t.edit]]) : []),
      ["discard-change", t.dropChange],
    ];
    const line = notSent(sentenceOf(kind, reason), choices);
    line.dataset.nonce = nonce;
    if (isEdit) line.prepend(element("div", "refused-text", text));
    message.append(line);
  }
}

/**
 * @param {Item["kind"]} kind
 * @param {string} [reason] the code of the error
 */
export function sentenceOf(kind, reason = "") {
  const reasons = /** @type {Record<string, string>} */ ({ ...t.reasons, ...t.changeReasons });
  const what = kind === "edit" ? t.notEdited : kind === "delete" ? t.notDeleted : t.notReacted;
  return `${what}: ${(Object.hasOwn(reasons, reason) && reasons[reason]) || t.reasons.other}`;
}
