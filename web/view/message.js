// The elements of a message list: messages, and the lines between them.

import { addressOf } from "../logic/address.js";
import { EVERYBODY, isEmojiAlone, piecesOf } from "../logic/text.js";
import { dayOf, fullTimeOf, t, timeOf } from "../words.js";
import { avatar, tintOf } from "./avatar.js";
import { button, element, isolated, symbol, wantStyle } from "./dom.js";

/** @typedef {import("../logic/conversation.js").Entry} Entry */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("../logic/outbox.js").Item} Item */

/**
 * @param {Entry} entry
 * @param {{ key: Key, me: string, names: Iterable<string>, isContinued: boolean }} where
 */
export function messageItem(entry, { key, me, names, isContinued }) {
  const isMine = entry.from === me;
  const item = element("li", "message");
  item.tabIndex = -1;
  item.dataset.seq = String(entry.seq);
  item.dataset.from = entry.from;
  if (isMine && entry.nonce) item.dataset.nonce = entry.nonce;
  item.classList.toggle("mine", isMine);
  if (isContinued) {
    item.classList.add("continued");
    item.append(timeLink(entry, key), element("span", "unseen", isolated(entry.from), ", "));
  } else {
    const head = element("div", "head", nameOf(entry.from, isMine), " ", timeLink(entry, key));
    item.append(avatar(entry.from), head);
  }
  const mentioned = entry.mentionAll ? [EVERYBODY, me] : [me];
  appendText(item, entry.text, mentioned, [...names, ...(entry.mentions ?? []), ...mentioned]);
  if (isMine) {
    item.append(statusOf("stored", t.stored));
  } else {
    item.classList.toggle("mention", item.querySelector("span.mention-name") !== null);
  }
  return item;
}

/**
 * A message that is not known to be stored yet.
 * @param {Item} waiting
 * @param {{ me: string, names: Iterable<string>, isContinued: boolean }} where
 */
export function waitingItem(waiting, { me, names, isContinued }) {
  const item = element("li", "message mine pending");
  item.tabIndex = -1;
  item.dataset.nonce = waiting.nonce;
  item.dataset.from = me;
  item.classList.toggle("continued", isContinued);
  const time = element("time", "when", timeOf(waiting.at / 1000));
  if (isContinued) {
    item.append(time);
  } else {
    item.append(avatar(me), element("div", "head", nameOf(me, true), " ", time));
  }
  appendText(item, waiting.text, [me], names);
  showState(item, waiting);
  return item;
}

/**
 * @param {HTMLElement} item
 * @param {Item} waiting
 */
export function showState(item, { state, reason }) {
  const shown = state === "sending" ? "waiting" : state;
  if (item.dataset.state === shown) {
    return;
  }
  item.dataset.state = shown;
  item.querySelector(".status, .not-sent")?.remove();
  if (shown === "failed") {
    /** @type {Record<string, string>} */
    const reasons = t.reasons;
    const choices = /** @type {const} */ ([
      ["retry", t.tryAgain],
      ["edit", t.edit],
      ["discard", t.discard],
    ]).map(([act, word]) => {
      const choice = button("link", word);
      choice.dataset.act = act;
      return choice;
    });
    const sentence = `${t.notSent}: ${(Object.hasOwn(reasons, reason ?? "") && reasons[reason ?? ""]) || reasons.other}`;
    item.append(element("div", "not-sent", element("span", "", sentence), ...choices));
  } else {
    item.append(statusOf(shown, shown === "stored" ? t.stored : t.waiting));
  }
}

/** @param {number} timestamp */
export function dayItem(timestamp) {
  return element("li", "day", element("span", "", dayOf(timestamp)));
}

export function newItem() {
  return element("li", "new-line", element("span", "", t.newSince));
}

/** The sign for messages that are not loaded. */
export function gapItem() {
  const dots = element("span", "", "…");
  dots.ariaHidden = "true";
  return element("li", "gap", dots, element("span", "unseen", t.gap));
}

/**
 * @param {string} name
 * @param {boolean} isMine
 */
function nameOf(name, isMine) {
  const shown = isMine ? element("span", "name", isolated(name)) : button("name", isolated(name));
  shown.dataset.tint = String(tintOf(name));
  if (!isMine) {
    shown.dataset.act = "write";
    shown.title = t.writePrivately;
    shown.tabIndex = -1;
  }
  return shown;
}

/**
 * @param {Entry} entry
 * @param {Key} key
 */
function timeLink({ timestamp, seq }, key) {
  const time = element("time", "", timeOf(timestamp));
  const date = new Date(timestamp * 1000);
  time.dateTime = Number.isNaN(date.getTime()) ? "" : date.toISOString();
  const link = element("a", "when", time);
  link.href = addressOf(key, seq);
  link.title = fullTimeOf(timestamp);
  link.ariaLabel = t.linkTo(`${timeOf(timestamp)}, ${fullTimeOf(timestamp)}`);
  link.tabIndex = -1;
  return link;
}

/**
 * Unfolds a long message, or folds it to its beginning.
 * @param {HTMLElement} item
 */
export function turnFold(item) {
  const isFolded = item.classList.toggle("folded");
  const turn = item.querySelector(".unfold");
  if (turn) {
    turn.textContent = isFolded ? t.unfold : t.fold;
    turn.ariaExpanded = String(!isFolded);
  }
}

/**
 * @param {HTMLElement} item
 * @param {string} text
 * @param {string[]} mentioned the names by which it may mention this user
 * @param {Iterable<string>} names
 */
function appendText(item, text, mentioned, names) {
  item.append(textOf(text, mentioned, names));
  if (text.length > FOLDED_FROM_LENGTH || text.split("\n", FOLDED_FROM_LINES + 1).length > FOLDED_FROM_LINES) {
    const turn = button("link unfold");
    turn.dataset.act = "fold";
    item.append(turn);
    turnFold(item);
  }
}

/**
 * @param {string} text
 * @param {string[]} mentioned
 * @param {Iterable<string>} names
 */
function textOf(text, mentioned, names) {
  const shown = element("div", "text");
  shown.dir = "auto";
  if (isEmojiAlone(text)) {
    shown.classList.add("emoji");
  }
  /** @param {{ text: string, name: string }} mention */
  const mention = (mention) => (mentioned.includes(mention.name) ? element("span", "mention-name", mention.text) : personLink(mention));
  if (MARKED.test(text)) {
    if (markdown) {
      shown.append(...markdown.shownOf(text, names, mention));
      return shown;
    }
    wantMarkdown(shown, (markdown) => markdown.shownOf(text, names, mention));
  }
  for (const piece of piecesOf(text, names)) {
    switch (piece.kind) {
      case "text":
        shown.append(piece.text);
        break;
      case "code":
        shown.append(element("code", "", piece.text));
        break;
      case "block":
        shown.append(element("pre", "", element("code", "", piece.text)));
        break;
      case "link":
        shown.append(linkTo(piece.href, piece.text));
        break;
      case "mention":
        shown.append(mention(piece));
    }
  }
  return shown;
}

/**
 * A link out of the chat.
 * @param {string} href
 * @param {...(Node | string)} children
 */
export function linkTo(href, ...children) {
  const link = element("a", "", ...children);
  link.href = href;
  link.rel = "noopener noreferrer nofollow ugc";
  link.target = "_blank";
  return link;
}

/**
 * What shows Markdown, once a message has needed it.
 * @typedef {typeof import("./markdown.js")} Markdown
 */

/** @type {Markdown | null} */
let markdown = null;
/** Messages that are shown without their markup until it is there. @type {Map<HTMLElement, (markdown: Markdown) => Node[]>} */
const unmarked = new Map();
/** Calls a function that changes the height of messages. */
let changing = (/** @type {() => void} */ change) => change();

/** @param {(change: () => void) => void} change what keeps messages in view while their heights change */
export function onHeights(change) {
  changing = change;
}

/**
 * @param {HTMLElement} shown
 * @param {(markdown: Markdown) => Node[]} nodes
 */
function wantMarkdown(shown, nodes) {
  if (unmarked.size === 0) {
    Promise.all([import("./markdown.js"), wantStyle("markdown")]).then(
      ([loaded]) => {
        markdown = loaded;
        changing(() => {
          for (const [shown, nodes] of unmarked) if (shown.isConnected) shown.replaceChildren(...nodes(loaded));
        });
        unmarked.clear();
      },
      // Without a network: the next one tries again.
      () => unmarked.clear(),
    );
  }
  unmarked.set(shown, nodes);
}

/**
 * The mention of another user. A link and no button, so that it is copied with the text.
 * @param {{ text: string, name: string }} mention
 */
function personLink({ text, name }) {
  const link = element("a", "mention-name", text);
  link.href = addressOf(`@${name}`);
  link.title = t.writePrivately;
  link.tabIndex = -1;
  return link;
}

/**
 * @param {string} kind
 * @param {string} words
 */
function statusOf(kind, words) {
  const status = element("span", `status ${kind}`, symbol(kind));
  status.role = "img";
  status.ariaLabel = words;
  status.title = words;
  return status;
}

/** What may be markup. */
const MARKED = /[*_~\x60]\S|^ {0,3}(?:>|(?:[-*]|\d{1,9}[.)])[ \t]+\S)|\]\(/m;
/** A message longer than this begins folded. */
const FOLDED_FROM_LENGTH = 1_400;
const FOLDED_FROM_LINES = 18;
