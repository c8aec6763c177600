// The question in which somebody reports a message.

import { make } from "../view/make.js";
import { element, isolated } from "../view/dom.js";
import { t } from "../words.js";
import { report } from "./calls.js";
import { askWith, fieldOf } from "./pieces.js";

/** @typedef {import("../logic/changes.js").Shown} Shown */

/**
 * @param {Shown} shown
 * @returns {Promise<boolean>} whether it is reported
 */
export function openReport({ key, seq, from, text, files }) {
  const isRoom = key.startsWith("#");
  const reason = make("textarea", { id: "report-reason", rows: "3", maxlength: "500", dir: "auto", required: true });
  const said = text || (files ?? []).map(({ name }) => name).join(", ");
  const quote = element("blockquote", "reported", isolated(from, "title"), element("p", "", said));
  quote.lastElementChild?.setAttribute("dir", "auto");
  return askWith({
    question: t.reportQuestion,
    hint: isRoom ? t.reportHint : t.reportPrivateHint,
    yes: t.sendReport,
    fields: [quote, fieldOf(reason, "reason")],
    act: async () => {
      const why = reason.value.trim();
      if (!why) {
        reason.focus();
        return t.reasonNeeded;
      }
      await report({ ...(isRoom ? { room: key.slice(1) } : { with: key.slice(1) }), seq, reason: why });
      return "";
    },
  });
}
