// What stands around the rows of a message list: the line above the first row,
// what is not in the log below the last one, and buttons to messages that are not in
// view.

import { dayOf, t, wantLaterWords } from "../words.js";
import { isNobody } from "./avatar.js";
import { byId, element, LATER_AFTER_MS, wantStyle } from "./dom.js";
import { dayItem, gapItem, messageItem, showState } from "./message.js";

/** @typedef {import("../logic/changes.js").Shown} Shown */
/** @typedef {import("../logic/conversation.js").Conversation} Conversation */
/** @typedef {import("../logic/outbox.js").Item} Item */
/** @typedef {import("../logic/window.js").TailPart} TailPart */
/** @typedef {import("./message.js").Quote} Quote */

export class ListFrame {
  #top = byId("top", HTMLElement);
  #toNewest = byId("to-newest", HTMLButtonElement);
  #toFirstNew = byId("to-first-new", HTMLButtonElement);
  #list;
  #me;
  #act;
  /** The elements below the last row, by what they show. @type {Map<string, HTMLElement>} */
  #tail = new Map();

  /**
   * @param {HTMLElement} list
   * @param {string} me
   * @param {object} hooks
   * @param {() => void} hooks.toNewest
   * @param {() => void} hooks.toFirstNew
   * @param {(what: "invite" | "find") => void} hooks.act what the user wants where nothing is written
   */
  constructor(list, me, { toNewest, toFirstNew, act }) {
    this.#list = list;
    this.#me = me;
    this.#act = act;
    this.#toNewest.addEventListener("click", toNewest);
    this.#toFirstNew.addEventListener("click", toFirstNew);
  }

  /**
   * @param {Conversation} conversation
   * @param {"empty" | "loading" | "beginning" | "more"} kind
   * @param {string} obstacle why nothing can be loaded, in words; empty where it can
   */
  showTop({ key, isRoom, name }, kind, obstacle) {
    const isEmpty = kind === "empty" || (kind === "loading" && obstacle !== "" && this.#list.childElementCount === 0);
    const shown = `${kind} ${isEmpty} ${obstacle} ${key} ${isNobody(name)} ${t.chat}`;
    if (this.#top.dataset.shown === shown) {
      return;
    }
    // Another element: one that moved would shift the layout.
    const top = /** @type {HTMLElement} */ (this.#top.cloneNode());
    this.#top.replaceWith(top);
    this.#top = top;
    top.dataset.shown = shown;
    top.className = `top ${kind} ${isEmpty ? "empty" : ""}`;
    const line = { empty: "", loading: obstacle || t.loading, beginning: t.beginning, more: "" }[kind];
    if (line) top.append(element("p", isEmpty ? "empty-head" : "", line));
    if (isEmpty && !(kind === "loading" && obstacle !== t.loadedLater)) {
      const reason = kind === "loading" ? "offline" : isRoom || !isNobody(name) ? "quiet" : "nobody";
      const where = { isRoom, isShared: isRoom && !name.startsWith("~"), isOwn: name === this.#me };
      // A connection that is only slow needs its bytes for what it brings.
      setTimeout(() => top.isConnected && furnish(top, reason, where, this.#act), reason === "offline" ? LATER_AFTER_MS : 0);
    }
  }

  /**
   * @param {TailPart[]} parts
   * @param {object} hooks
   * @param {() => Iterable<string>} hooks.names of users who may be mentioned
   * @param {(item: Item) => Shown} hooks.shown
   * @param {(shown: Shown) => Quote | undefined} hooks.quote what it answers
   * @param {(nonce: string | undefined) => void} hooks.focus gives the focus to a message that is in the log now
   */
  showTail(parts, { names, shown: shownOf, quote, focus }) {
    const nodes = new Map(
      parts.map((part) => {
        const shown = part.kind === "item" ? shownOf(part.item) : undefined;
        const answered = shown && quote(shown);
        const key = keyOf(part, shown, answered);
        const node = this.#tail.get(key) ?? this.#tailItem(part, shown, answered, names);
        if (part.kind === "item" && !shown?.deleted) showState(node, part.item);
        return [key, node];
      }),
    );
    const shown = new Set(nodes.values());
    for (const node of this.#tail.values()) {
      if (!shown.has(node)) {
        if (node.contains(document.activeElement)) focus(node.dataset.nonce);
        node.remove();
      }
    }
    // Only a node that stands wrong is moved, as moving takes the focus from it.
    let below = null;
    for (const node of [...shown].toReversed()) {
      if (node.parentNode !== this.#list || node.nextSibling !== below) {
        this.#list.insertBefore(node, below);
      }
      below = node;
    }
    this.#tail = nodes;
  }

  clearTail() {
    for (const node of this.#tail.values()) node.remove();
    this.#tail.clear();
  }

  /**
   * @param {{ toNewest: boolean, toFirstNew: boolean }} pills
   * @param {number} unseen messages below the view that were not in view yet
   * @param {number} unread messages that were unread when the conversation was opened
   */
  showPills({ toNewest, toFirstNew }, unseen, unread) {
    this.#toNewest.hidden = !toNewest;
    const words = this.#toNewest.querySelector("span");
    if (words) setText(words, toNewest && unseen > 0 ? t.newMessages(unseen) : "");
    this.#toNewest.ariaLabel = words?.textContent ? null : t.toNewest;
    this.#toFirstNew.hidden = !toFirstNew;
    if (toFirstNew) setText(this.#toFirstNew, `↑ ${t.toFirstNew(unread)}`);
  }

  /**
   * @param {TailPart} part
   * @param {Shown | undefined} shown of a message
   * @param {Quote | undefined} quote
   * @param {() => Iterable<string>} names
   */
  #tailItem(part, shown, quote, names) {
    switch (part.kind) {
      case "gap":
        return gapItem();
      case "day":
        return dayItem(part.timestamp);
      case "item":
        return messageItem(/** @type {Shown} */ (shown), { me: this.#me, names: names(), isContinued: part.isContinued, quote });
    }
  }
}

/** @param {Parameters<typeof import("./empty.js").furnish>} what a place where nothing is written, and why */
async function furnish(...what) {
  try {
    const [view] = await Promise.all([import("./empty.js"), wantLaterWords(), wantStyle("empty")]);
    view.furnish(...what);
  } catch {
    // Without a network: the sentence says enough.
  }
}

/**
 * Changes a text only where it differs: a text that is replaced while it is
 * pressed loses the click.
 * @param {Element} element
 * @param {string} text
 */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * What an element shows: parts with the same key have the same element.
 * @param {TailPart} part
 * @param {Shown | undefined} shown of a message
 * @param {Quote | undefined} quote
 */
function keyOf(part, shown, quote) {
  switch (part.kind) {
    case "gap":
      return "gap";
    case "day":
      return `day ${dayOf(part.timestamp)}`;
    case "item":
      return JSON.stringify([part.isContinued, { ...shown, state: "", seq: 0 }, quote]);
  }
}
