// Messages with Markdown. Elements are made from the tree of `logic/markdown.js`:
// nothing that a user writes is read as HTML.

import { markedOf, readOf } from "../logic/markdown.js";
import { t } from "../words.js";
import { button, element, symbol } from "./dom.js";
import { linkTo } from "./message.js";
import { addSymbols } from "./symbols.js";

/** @typedef {import("../logic/markdown.js").Marked} Marked */
/** @typedef {(mention: { text: string, name: string }) => Node} MentionOf */
/** @typedef {typeof import("./highlight.js")} Highlight */

/** Shows code in colours, once a message has needed it. @type {Highlight | null} */
let highlight = null;

/**
 * @param {string} text
 * @param {Iterable<string>} names of users who may be mentioned in it
 * @param {MentionOf} mention
 * @returns {Node[]}
 */
export function shownOf(text, names, mention) {
  return markedOf(text, names).map((node) => nodeOf(node, mention));
}

/**
 * A text as it is read: without its markup.
 * @param {string} text
 */
export function wordsOf(text) {
  return readOf(markedOf(text));
}

/**
 * @param {Marked} node
 * @param {MentionOf} mention
 * @returns {Node}
 */
function nodeOf(node, mention) {
  switch (node.kind) {
    case "text":
      return document.createTextNode(node.text);
    case "mark":
      return element("span", "mark", node.text);
    case "code":
      return element("code", "", node.text);
    case "block":
      return blockOf(node);
    case "mention":
      return mention(node);
  }
  const children = node.children.map((child) => nodeOf(child, mention));
  switch (node.kind) {
    case "link": {
      const [only] = node.children;
      const link = linkTo(node.href, ...(node.children.length === 1 && only?.kind === "text" ? [only.text] : children));
      link.title = node.href;
      return link;
    }
    case "item": {
      const item = element("li", "", ...children);
      if (node.number !== null) item.value = node.number;
      return item;
    }
    default:
      return element(TAGS[node.kind], "", ...children);
  }
}

addSymbols({ "copy-text": "M9 9h10v10H9zM15 9V5H5v10h4" });

const TAGS = /** @type {const} */ ({ strong: "strong", emphasis: "em", delete: "s", quote: "blockquote", numbers: "ol", bullets: "ul" });

/** @param {{ text: string, language: string }} block */
function blockOf({ text, language }) {
  const code = element("code", "", text);
  if (language && text.length <= HIGHLIGHTED_MAX_LENGTH) {
    if (highlight) {
      highlight.show(code, text, language);
    } else {
      import("./highlight.js").then(
        (loaded) => {
          highlight = loaded;
          loaded.show(code, text, language);
        },
        () => {},
      );
    }
  }
  const copy = button("copy-code", symbol("copy-text"));
  copy.dataset.act = "copy-code";
  copy.title = copy.ariaLabel = t.copyCode;
  // A stop of the Tab key in the message with the focus only, as all its buttons.
  copy.tabIndex = -1;
  return element("pre", "", code, copy);
}

/** Puts the source of what is selected into the clipboard, with its markup. */
document.addEventListener("copy", (event) => {
  const selection = getSelection();
  const list = document.getElementById("messages");
  if (!selection || selection.isCollapsed || !list || !event.clipboardData || event.target instanceof HTMLTextAreaElement || event.target instanceof HTMLInputElement) {
    return;
  }
  const range = selection.getRangeAt(0);
  const within = range.commonAncestorContainer;
  if (!list.contains(within) || !range.cloneContents().querySelector(".mark")) {
    return;
  }
  const message = (within instanceof Element ? within : within.parentElement)?.closest(".text");
  let text = range.cloneContents().textContent ?? "";
  if (!message) {
    // Several messages: as the browser does, but with the markup.
    list.classList.add("with-marks");
    text = selection.toString();
    list.classList.remove("with-marks");
  }
  event.clipboardData.setData("text/plain", text);
  event.preventDefault();
});

/** Colouring more code at once would be noticed. */
const HIGHLIGHTED_MAX_LENGTH = 10_000;
