// The languages of the page, as `index.html` lists them.

import { make } from "./make.js";

/**
 * A button for each language. `app.js` listens to them.
 * @param {string} className
 */
export function languageButtons(className = "") {
  return [...document.querySelectorAll("template[data-name]")].map((template) => {
    const code = template.id.slice(0, 2);
    return make("button", { type: "button", class: className, lang: code, "data-language": code }, template.getAttribute("data-name") ?? "");
  });
}
