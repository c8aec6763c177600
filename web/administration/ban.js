// The question before a user is banned.

import { make } from "../view/make.js";
import { t } from "../words.js";
import { ban } from "./calls.js";
import { apart, askWith, fieldOf } from "./pieces.js";

/**
 * @param {string} name
 * @returns {Promise<boolean>} whether the user is banned
 */
export function askBan(name) {
  const reason = make("textarea", { id: "ban-reason", rows: "2", maxlength: "500", dir: "auto", "aria-describedby": "ban-reason-hint" });
  const deletes = make("input", { type: "checkbox", id: "ban-deletes" });
  return askWith({
    question: t.banQuestion(apart(name)),
    hint: t.banHint,
    yes: t.ban,
    fields: [
      fieldOf(reason, "reason", make("small", { id: "ban-reason-hint", "data-t": "banReasonHint" })),
      make("label", { class: "check" }, deletes, make("span", { "data-t": "banDeletes" })),
    ],
    act: async () => {
      await ban(name, reason.value.trim(), deletes.checked);
      return "";
    },
  });
}
