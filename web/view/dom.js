// Short ways to find and make elements. Text of users becomes text nodes, never
// markup.

import { wantLaterWords } from "../words.js";

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function byId(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) {
    throw new Error(`index.html has no ${type.name} #${id}`);
  }
  return element;
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} [className]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) {
    made.className = className;
  }
  made.append(...children);
  return made;
}

/**
 * A name or a title, in its own writing direction.
 * @param {string} text
 * @param {string} [className]
 */
export function isolated(text, className = "") {
  return element("bdi", className, text);
}

/** @param {string} name of a symbol in index.html */
export function symbol(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/**
 * A button of a kind that does not send a form.
 * @param {string} className
 * @param {...(Node | string)} children
 */
export function button(className, ...children) {
  const made = element("button", className, ...children);
  made.type = "button";
  return made;
}

/**
 * Loads the code, the style and the words of a part that the first view of the
 * chat does without. Without its style, hidden elements could take the focus.
 * @param {"door" | "later"} part
 */
export async function want(part) {
  await Promise.all([wantLaterWords(), wantStyle(part)]);
}

/** @param {"door" | "later" | "markdown" | "files"} part a template of index.html */
export async function wantStyle(part) {
  const { content } = byId(`${part}-code`, HTMLTemplateElement);
  const hrefs = Array.from(content.querySelectorAll("[rel=stylesheet]"), (link) => link.getAttribute("href"));
  /** @param {string | null} href */
  const find = (href) => document.head.querySelector(`[href="${href}"]`);
  if (!hrefs.every(find)) {
    document.head.append(content.cloneNode(true));
  }
  for (const href of hrefs) {
    const link = find(href);
    if (link instanceof HTMLLinkElement && !link.sheet) {
      await new Promise((done, failed) => {
        link.addEventListener("load", done);
        link.addEventListener("error", () => {
          link.remove();
          failed(new Error(`${href} did not come`));
        });
      });
    }
  }
}

/** What the first view does without is loaded after this time, when the first view is there. */
export const LATER_AFTER_MS = 3_000;

/**
 * Whether the device has a touch screen, whose keyboard covers half of the page. A
 * device without any pointer has a real keyboard.
 */
export const TOUCH = matchMedia("(hover: none) and (pointer: coarse)");

const SVG = "http://www.w3.org/2000/svg";
