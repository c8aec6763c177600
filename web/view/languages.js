// The languages of the page, as `index.html` lists them. The server adds those whose words are
// in one file; the browser knows what their speakers call them.

import { language } from "../words.js";
import { make } from "./make.js";

/**
 * A button for each language. `app.js` listens to them.
 * @param {string} className
 */
export function languageButtons(className = "") {
  return [...document.querySelectorAll("template[data-name]")].map((template) => {
    const code = template.id.slice(0, 2);
    return make("button", { type: "button", class: className, lang: code, "data-language": code, "aria-pressed": String(code === language) }, template.getAttribute("data-name") || nameOf(code));
  });
}

/** @param {string} code */
function nameOf(code) {
  const name = new Intl.DisplayNames(code, { type: "language" }).of(code) ?? code;
  return name.charAt(0).toLocaleUpperCase(code) + name.slice(1);
}
