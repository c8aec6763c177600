// Markdown as people type it in messages: emphasis, quotes, lists, links and code. A
// text becomes a tree whose leaves are, in order, all of its characters: what is
// markup is a leaf too, which is not shown, so that copying gives what was typed.
// Headings, pictures, HTML, references and tables stay text.

import { fromMarkdown, gfmStrikethrough, gfmStrikethroughFromMarkdown } from "../vendor/markdown.js";
import { CODE, hrefOf, plainPiecesOf } from "./text.js";

/**
 * `mark`: markup, which is not shown. `block`: lines of code. `item`: of a list;
 * `number`: as it was typed, in a list of numbers.
 * @typedef {{ kind: "text" | "mark" | "code", text: string }
 *   | { kind: "block", text: string, language: string }
 *   | { kind: "mention", text: string, name: string }
 *   | { kind: "link", href: string, children: Marked[] }
 *   | { kind: "item", number: number | null, children: Marked[] }
 *   | { kind: "strong" | "emphasis" | "delete" | "quote" | "numbers" | "bullets", children: Marked[] }} Marked
 */

/** @typedef {"text" | "quote" | "list"} Run the kind of neighbouring lines */
/** @typedef {{ from: number, to: number }} Span a range of a text */
/** @typedef {{ type: string, value?: string, ordered?: boolean, children?: Parsed[], position?: any }} Parsed a node of the parser */

/**
 * @param {string} text
 * @param {Iterable<string>} [names] of users who may be mentioned in it
 * @returns {Marked[]}
 */
export function markedOf(text, names = []) {
  const nodes = new Reader(text, names).nodes();
  // Better without markup than with another text.
  return sourceOf(nodes) === text ? nodes : plainOf(text, names);
}

/**
 * The text of which the nodes were made.
 * @param {Marked[]} nodes
 * @returns {string}
 */
export function sourceOf(nodes) {
  return nodes.map((node) => ("children" in node ? sourceOf(node.children) : node.text)).join("");
}

/**
 * What is shown of the nodes.
 * @param {Marked[]} nodes
 * @returns {string}
 */
export function readOf(nodes) {
  return nodes.map((node) => ("children" in node ? readOf(node.children) : node.kind === "mark" ? "" : node.text)).join("");
}

/**
 * @param {string} text
 * @param {Iterable<string>} names
 * @returns {Marked[]}
 */
function plainOf(text, names) {
  return plainPiecesOf(text, names).map((piece) =>
    piece.kind === "link" ? { kind: "link", href: piece.href, children: [{ kind: "text", text: piece.text }] } : /** @type {Marked} */ (piece),
  );
}

class Reader {
  #text;
  /** The links and mentions, with their places. @type {(Span & { node: Marked })[]} */
  #pieces = [];
  /** The text with letters in place of links and mentions: no character of these is markup. */
  #masked = "";
  #markupLeft = MARKUP_MAX;

  /**
   * @param {string} text
   * @param {Iterable<string>} names
   */
  constructor(text, names) {
    this.#text = text;
    for (const node of plainOf(text, names)) {
      const said = sourceOf([node]);
      if (node.kind === "text") {
        this.#masked += said;
      } else {
        const from = this.#masked.length;
        this.#masked += "x".repeat(said.length);
        this.#pieces.push({ from, to: this.#masked.length, node });
      }
    }
  }

  /** @returns {Marked[]} */
  nodes() {
    /** @type {Marked[]} */
    const nodes = [];
    let end = 0;
    for (const { 0: whole, 1: block, index } of this.#text.matchAll(CODE)) {
      if (block !== undefined) {
        nodes.push(...this.#lines(end, index));
        const from = index + whole.indexOf(block, TICKS.length);
        const opening = this.#text.slice(index, from);
        end = index + whole.length;
        nodes.push(
          { kind: "mark", text: opening },
          { kind: "block", text: block, language: opening.slice(TICKS.length).trim() },
          { kind: "mark", text: this.#text.slice(from + block.length, end) },
        );
      }
    }
    nodes.push(...this.#lines(end, this.#text.length));
    return closed(nodes);
  }

  /**
   * Lines without blocks of code. Quotes and lists end where a line does not go on
   * with them, while the parser would add the lines behind them.
   * @param {number} from
   * @param {number} to
   */
  #lines(from, to) {
    /** @type {Marked[]} */
    const nodes = [];
    let kind = /** @type {Run} */ ("text");
    let start = from;
    let count = 0;
    for (let at = from; at < to; ) {
      const next = this.#masked.indexOf("\n", at) + 1;
      const end = next > 0 && next <= to ? next : to;
      const line = this.#masked.slice(at, end);
      /** @type {Run} */
      const here = QUOTE.test(line) ? "quote" : ITEM.test(line) || (kind === "list" && INDENTED.test(line)) ? "list" : "text";
      count += 1;
      if (here !== kind || (count > RUN_LINES && !INDENTED.test(line))) {
        nodes.push(...this.#run(kind, start, at));
        [kind, start, count] = [here, at, 1];
      }
      at = end;
    }
    nodes.push(...this.#run(kind, start, to));
    return nodes;
  }

  /**
   * @param {Run} kind
   * @param {number} from
   * @param {number} to
   * @returns {Marked[]}
   */
  #run(kind, from, to) {
    const text = this.#masked.slice(from, to);
    const markup = text.match(MARKUP)?.length ?? 0;
    if (from === to || markup > this.#markupLeft || NESTED.test(text)) {
      return this.#plain(from, to);
    }
    this.#markupLeft -= markup;
    const root = /** @type {Parsed} */ (
      fromMarkdown(text, {
        extensions: [gfmStrikethrough({ singleTilde: false }), { disable: { null: kind === "text" ? [...OFF, "blockQuote", "list"] : OFF } }],
        mdastExtensions: [gfmStrikethroughFromMarkdown()],
      })
    );
    const within = { base: from, isNested: false };
    return this.#cover(root.children ?? [], from, to, within, (from, to) => this.#plain(from, to));
  }

  /**
   * The nodes of neighbours, and of what stands before, between and behind them.
   * @param {Parsed[]} children
   * @param {number} from
   * @param {number} to
   * @param {Within} within
   * @param {(from: number, to: number) => Marked[]} gap
   */
  #cover(children, from, to, within, gap) {
    /** @type {Marked[]} */
    const nodes = [];
    let at = from;
    for (const child of children) {
      const span = spanOf(child, within);
      if (span.from > at) nodes.push(...gap(at, span.from));
      nodes.push(...this.#node(child, span, within));
      at = span.to;
    }
    if (to > at) nodes.push(...gap(at, to));
    return nodes;
  }

  /**
   * @param {Parsed} parsed
   * @param {Span} span
   * @param {Within} within
   * @returns {Marked[]}
   */
  #node(parsed, span, within) {
    const { from, to } = span;
    const children = parsed.children ?? [];
    const mark = (/** @type {number} */ from, /** @type {number} */ to) => this.#marks(from, to);
    const nested = { ...within, isNested: true };
    switch (parsed.type) {
      case "paragraph":
        return this.#cover(children, from, to, within, (from, to) => this.#plain(from, to));
      case "strong":
      case "delete":
        return [{ kind: parsed.type, children: this.#cover(children, from, to, within, mark) }];
      case "emphasis": {
        // 2*3*4 is a number.
        const isNumber = DIGIT.test(this.#text[from - 1] ?? "") || DIGIT.test(this.#text[to] ?? "");
        const gap = isNumber ? (/** @type {number} */ from, /** @type {number} */ to) => this.#plain(from, to) : mark;
        const shown = this.#cover(children, from, to, within, gap);
        return isNumber ? shown : [{ kind: "emphasis", children: shown }];
      }
      case "link":
        return this.#link(children, span, within);
      case "inlineCode": {
        const said = this.#text.slice(from, to);
        const ticks = /^\x60+/.exec(said)?.[0].length ?? 0;
        return [this.#mark(from, from + ticks), { kind: "code", text: said.slice(ticks, said.length - ticks) }, this.#mark(to - ticks, to)];
      }
      case "blockquote":
        return [{ kind: "quote", children: this.#cover(children, from, to, nested, mark) }];
      case "list":
        return [{ kind: parsed.ordered ? "numbers" : "bullets", children: this.#cover(children, from, to, { ...nested, isOrdered: parsed.ordered === true }, mark) }];
      case "listItem": {
        const number = within.isOrdered ? Number.parseInt(this.#text.slice(from, to), 10) : null;
        return [{ kind: "item", number, children: this.#cover(children, from, to, nested, mark) }];
      }
      case "text":
        return within.isNested ? this.#aligned(parsed.value ?? "", span) : this.#plain(from, to);
      default:
        return this.#plain(from, to);
    }
  }

  /**
   * @param {Parsed[]} children
   * @param {Span} span
   * @param {Within} within
   * @returns {Marked[]}
   */
  #link(children, { from, to }, within) {
    const last = children.at(-1);
    const end = last ? spanOf(last, within).to : from + 1;
    // Between the brackets, before a title.
    const [address = ""] = this.#text.slice(end + 2, to - 1).trim().split(/\s/);
    const href = targetOf(address.replace(/^<(.*)>$/, "$1"));
    const label = this.#text.slice(from + 1, end);
    if (href === null || !label.trim() || isMisleading(label, href)) {
      return this.#plain(from, to);
    }
    // No link within the link.
    const pieces = this.#pieces;
    this.#pieces = [];
    const shown = this.#cover(children, from, to, within, (from, to) => [this.#mark(from, to)]);
    this.#pieces = pieces;
    return [{ kind: "link", href, children: shown }];
  }

  /**
   * Text in a quote or a list, whose lines begin with markup.
   * @param {string} value its lines without it
   * @param {Span} span
   */
  #aligned(value, { from, to }) {
    /** @type {Marked[]} */
    const nodes = [];
    const lines = value.split("\n");
    let at = from;
    for (const [index, line] of this.#text.slice(from, to).split("\n").entries()) {
      const shown = this.#masked.slice(at, at + line.length).lastIndexOf(lines[index] ?? "");
      if (index > 0) nodes.push({ kind: "text", text: "\n" });
      if (shown > 0) nodes.push(...(index > 0 ? [this.#mark(at, at + shown)] : this.#plain(at, at + shown)));
      nodes.push(...this.#plain(at + Math.max(0, shown), at + line.length));
      at += line.length + 1;
    }
    return nodes;
  }

  /**
   * Text with its links and mentions, without the backslashes before markup.
   * @param {number} from
   * @param {number} to
   */
  #plain(from, to) {
    /** @type {Marked[]} */
    const nodes = [];
    let at = from;
    for (const piece of this.#pieces) {
      if (piece.from >= at && piece.to <= to) {
        nodes.push(...this.#escaped(at, piece.from), piece.node);
        at = piece.to;
      }
    }
    nodes.push(...this.#escaped(at, to));
    return nodes;
  }

  /**
   * @param {number} from
   * @param {number} to
   */
  #escaped(from, to) {
    /** @type {Marked[]} */
    const nodes = [];
    for (const [index, text] of this.#text.slice(from, to).split(ESCAPE).entries()) {
      if (index > 0) nodes.push({ kind: "mark", text: "\\" });
      if (text) nodes.push({ kind: "text", text });
    }
    return nodes;
  }

  /**
   * Markup that may go over several lines, which stay lines.
   * @param {number} from
   * @param {number} to
   * @returns {Marked[]}
   */
  #marks(from, to) {
    return this.#text.slice(from, to).split(/(\n)/).filter(Boolean).map((text) => ({ kind: text === "\n" ? "text" : "mark", text }));
  }

  /**
   * @param {number} from
   * @param {number} to
   * @returns {Marked}
   */
  #mark(from, to) {
    return { kind: "mark", text: this.#text.slice(from, to) };
  }
}

/** @typedef {{ base: number, isNested: boolean, isOrdered?: boolean }} Within where a run begins, and whether the node is in a quote or a list */

/**
 * @param {Parsed} parsed
 * @param {Within} within
 * @returns {Span}
 */
function spanOf({ position }, { base }) {
  return { from: base + position.start.offset, to: base + position.end.offset };
}

/**
 * Puts the end of the line behind a block into it: a block ends its line by itself.
 * @param {Marked[]} nodes
 * @returns {Marked[]}
 */
function closed(nodes) {
  /** @type {Marked[]} */
  const done = [];
  for (const node of nodes) {
    const above = done.at(-1);
    if (node.kind === "text" && node.text.startsWith("\n") && above && "children" in above && isBlock(above) && !sourceOf([above]).endsWith("\n")) {
      above.children.push({ kind: "text", text: "\n" });
      if (node.text.length > 1) done.push({ kind: "text", text: node.text.slice(1) });
    } else {
      done.push(node);
    }
  }
  return done.map((node) => ("children" in node && isBlock(node) ? { ...node, children: closed(node.children) } : node));
}

/** @param {Marked} node */
function isBlock({ kind }) {
  return kind === "quote" || kind === "numbers" || kind === "bullets" || kind === "item";
}

/**
 * The address of a link that somebody has named, if one may open it.
 * @param {string} address
 */
function targetOf(address) {
  if (/^https?:\/\//i.test(address)) {
    return hrefOf(address);
  }
  return /^mailto:[^\s@:/?]+@[^\s@:/?]+$/i.test(address) ? address : null;
}

/**
 * Whether a label looks like an address on another host.
 * @param {string} label
 * @param {string} href
 */
function isMisleading(label, href) {
  const shown = /(?:[a-z]+:\/\/|www\.|mailto:)[^\s\])]*/i.exec(label)?.[0];
  if (!shown) {
    return /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/.test(label);
  }
  try {
    return new URL(shown.replace(/^www\./i, "https://www.")).host !== new URL(href).host;
  } catch {
    return true;
  }
}

const TICKS = "\x60\x60\x60";
/** What the parser knows and people do not mean. */
const OFF = [
  "autolink",
  "characterReference",
  "codeFenced",
  "codeIndented",
  "definition",
  "hardBreakEscape",
  "headingAtx",
  "htmlFlow",
  "htmlText",
  "labelStartImage",
  "setextUnderline",
  "thematicBreak",
];
const QUOTE = /^ {0,3}>/;
const ITEM = /^ {0,3}(?:[-*]|\d{1,9}[.)])[ \t]+\S/;
const INDENTED = /^(?: {2}|\t)\s*\S/;
const MARKUP = /[*_~\x60[\]>\\]|^\s*[-+\d]/gm;
/** What a text has beyond this much markup is shown without. */
const MARKUP_MAX = 300;
/** Lines that are parsed together: the time of the parser grows with their square. */
const RUN_LINES = 40;
/** Quotes and lists in each other, deeper than anybody reads. */
const NESTED = /^[ \t]*(?:(?:[>*+-]|\d{1,9}[.)])[ \t]*){7}|^[ \t]{20,}[-*+\d]/m;
/** A backslash that keeps the next character from being markup. `_` is left out, as it stands in names of files. */
const ESCAPE = /\\(?=[*~\x60[\]>])/;
const DIGIT = /\p{N}/u;
