// Short ways to find, make and keep elements. Text of users becomes text nodes, never
// markup.

import { t, wantLaterWords } from "../words.js";

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

/** @param {"door" | "empty" | "later" | "markdown" | "files"} part a template of index.html */
export async function wantStyle(part) {
  const { content } = byId(`${part}-code`, HTMLTemplateElement);
  const hrefs = Array.from(content.querySelectorAll("[rel=stylesheet]"), (link) => link.getAttribute("href"));
  /** @param {string | null} href */
  const find = (href) => document.head.querySelector(`[href="${href}"]`);
  if (!hrefs.every(find)) {
    const added = /** @type {DocumentFragment} */ (content.cloneNode(true));
    // Some are in another template, too.
    for (const link of added.querySelectorAll("link")) if (find(link.getAttribute("href"))) link.remove();
    document.head.append(added);
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

/**
 * @template T
 * @typedef {object} Line
 * @property {HTMLElement} node
 * @property {(data: T) => void} show
 * @property {string} [shown]
 */

/**
 * A list that keeps the elements of its lines while their content changes: an element that
 * is replaced or moved loses the focus, and a click that has begun.
 * @template T
 */
export class Lines {
  #list;
  #make;
  /** @type {Map<string, Line<T>>} */
  #lines = new Map();
  /** Whether the pointer is pressed in the list: then no line moves. */
  #isPressed = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #releasing;

  /**
   * @param {HTMLElement} list
   * @param {(key: string) => Line<T>} make
   */
  constructor(list, make) {
    this.#list = list;
    this.#make = make;
    list.addEventListener("pointerdown", ({ button }) => {
      clearTimeout(this.#releasing);
      this.#isPressed = button === 0;
    });
    for (const end of ["pointerup", "pointercancel", "contextmenu"]) {
      addEventListener(end, () => {
        if (this.#isPressed) this.#releasing = setTimeout(() => this.#release(), CLICKED_AFTER_MS);
      });
    }
  }

  /** @param {Map<string, T>} all the content of the lines in order, by keys */
  show(all) {
    const lines = new Map();
    for (const [key, data] of all) {
      const line = this.#lines.get(key) ?? this.#make(key);
      lines.set(key, line);
      // The words differ in another language.
      const shown = JSON.stringify([data, t.chat]);
      if (line.shown !== shown) {
        line.shown = shown;
        line.show(data);
      }
    }
    this.#lines = lines;
    this.#arrange();
  }

  #release() {
    this.#isPressed = false;
    this.#arrange();
  }

  #arrange() {
    const nodes = [...this.#lines.values()].map(({ node }) => node);
    const { children } = this.#list;
    if (this.#isPressed || (nodes.length === children.length && nodes.every((node, i) => node === children[i]))) {
      return;
    }
    const focused = this.#list.contains(document.activeElement) ? document.activeElement : null;
    const slide = slideFrom(nodes.filter((node) => node.parentNode === this.#list));
    arrange(this.#list, nodes);
    slide();
    if (focused instanceof HTMLElement && focused !== document.activeElement) {
      focused.focus({ preventScroll: true });
    }
  }
}

/**
 * Lets elements slide to the place that they get next: the eye can follow, and what is
 * drawn does not jump.
 * @param {HTMLElement[]} nodes
 * @returns {() => void} to be called once they are in their new place
 */
function slideFrom(nodes) {
  const topOf = (/** @type {HTMLElement} */ node) => node.getBoundingClientRect().top;
  const tops = nodes.map(topOf);
  return () => {
    const quick = getComputedStyle(document.documentElement).getPropertyValue("--quick");
    const duration = parseFloat(quick) * (quick.endsWith("ms") ? 1 : 1_000);
    // One that still slides starts from where it is.
    for (const node of nodes) for (const animation of node.getAnimations()) animation.cancel();
    const ways = nodes.map((node, i) => (tops[i] ?? 0) - topOf(node));
    for (const [i, way] of ways.entries()) if (way !== 0) nodes[i]?.animate({ translate: [`0 ${way}px`, "0 0"] }, { duration, easing: "ease-out" });
  };
}

/**
 * Makes nodes the children of a list, in this order. It moves only nodes that are
 * out of order.
 * @param {HTMLElement} list
 * @param {HTMLElement[]} nodes
 */
export function arrange(list, nodes) {
  const wanted = new Set(/** @type {Element[]} */ (nodes));
  for (const child of [...list.children]) {
    if (!wanted.has(child)) child.remove();
  }
  let at = list.firstElementChild;
  for (const node of nodes) {
    if (at !== node && at?.nextElementSibling === node) {
      // The element before it stands wrong, and comes further down.
      at.remove();
      at = node;
    }
    if (at === node) {
      at = node.nextElementSibling;
    } else {
      list.insertBefore(node, at);
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

/** Whether there is room for the details beside a conversation. */
export const WIDE = matchMedia("(width >= 87.5rem)");

/** A click event comes right after the pointer is released; on a touch screen a little later. */
const CLICKED_AFTER_MS = 100;
const SVG = "http://www.w3.org/2000/svg";
