// Code in colours, in the languages of the vendored highlighter.

import { hljs } from "../vendor/highlight.js";
import { element } from "./dom.js";

/**
 * @param {HTMLElement} shown the element of the code
 * @param {string} text
 * @param {string} language as it was typed; an unknown one has no colours
 */
export function show(shown, text, language) {
  if (!hljs.getLanguage(language)) {
    return;
  }
  const { _emitter: tree } = hljs.highlight(text, { language, ignoreIllegals: true });
  const all = document.createDocumentFragment();
  /** The open elements, the innermost last. @type {(DocumentFragment | HTMLElement)[]} */
  const open = [all];
  tree.walk({
    addText: (/** @type {string} */ text) => open.at(-1)?.append(text),
    openNode: (/** @type {{ scope?: string }} */ { scope = "" }) => {
      const [kind = ""] = scope.split(/[.:]/);
      const made = element("span", kind && `code-${kind}`);
      open.at(-1)?.append(made);
      open.push(made);
    },
    closeNode: () => open.length > 1 && open.pop(),
  });
  // Better without colours than with another text.
  if (all.textContent === text) shown.replaceChildren(all);
}
