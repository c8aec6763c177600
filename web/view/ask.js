// A question that is answered by a button, before something that cannot be undone.

import { t } from "../words.js";
import { button, element } from "./dom.js";
import { make, mount } from "./make.js";

/**
 * @param {string} question
 * @param {string} yes the word on the button that says yes
 * @param {string} [hint] what follows from it
 * @returns {Promise<boolean>}
 */
export function ask(question, yes, hint = "") {
  const no = button("plain", t.cancel);
  const sure = button("primary", yes);
  const words = element("p", "question", question);
  words.id = "question";
  const dialog = make("dialog", { class: "ask", "aria-labelledby": "question", closedby: "any" }, words);
  if (hint) dialog.append(element("p", "quiet", hint));
  dialog.append(element("div", "buttons", no, sure));
  mount(dialog);
  dialog.showModal();
  return new Promise((answered) => {
    for (const choice of [no, sure]) choice.addEventListener("click", () => dialog.close(choice === sure ? "yes" : ""));
    dialog.addEventListener("close", () => {
      answered(dialog.returnValue === "yes");
      dialog.remove();
    });
  });
}
