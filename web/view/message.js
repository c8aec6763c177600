// The elements of a message list: messages, and the lines between them.

import { addressOf } from "../logic/address.js";
import { cutOf, EVERYBODY, isEmojiAlone, isLong, piecesOf } from "../logic/text.js";
import { dayOf, fullTimeOf, t, timeOf } from "../words.js";
import { avatar, markBot, tintOf } from "./avatar.js";
import { button, element, isolated, symbol, wantStyle } from "./dom.js";

/** @typedef {import("../logic/changes.js").Shown} Shown */
/** @typedef {import("../logic/conversation.js").Entry} Entry */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("../logic/outbox.js").Item} Item */

/**
 * What a message answers.
 * @typedef {object} Quote
 * @property {number} seq 0: it has no number yet
 * @property {string} from empty where the message is not there, or not known yet
 * @property {string} text its beginning
 * @property {import("../logic/outbox.js").FileOf[]} [files]
 * @property {boolean} isGone whether it is deleted, or no longer kept
 */

/**
 * @param {Shown} message of the log, or one that is not known to be stored
 * @param {object} where
 * @param {string} where.me
 * @param {Iterable<string>} where.names of users who may be mentioned
 * @param {boolean} where.isContinued whether its author is not repeated
 * @param {Quote} [where.quote] what it answers
 */
export function messageItem(message, { me, names, isContinued, quote }) {
  const { key, seq, from, state, nonce, deleted, pending, failed, edited } = message;
  const isMine = from === me;
  const isWaiting = state !== undefined;
  const item = element("li", "message");
  item.tabIndex = -1;
  item.dataset.from = from;
  if (!isWaiting) item.dataset.seq = String(seq);
  if (isMine && nonce) item.dataset.nonce = nonce;
  item.classList.toggle("pending", isWaiting);
  item.classList.toggle("mine", isMine);
  item.classList.toggle("changing", pending !== undefined);
  item.classList.toggle("continued", isContinued || deleted === true);
  if (failed) import("./refused.js").then(({ appendRefused }) => appendRefused(item, failed)).catch(() => {});
  const time = isWaiting ? element("time", "when", timeOf(message.timestamp)) : timeLink(message, key);
  if (deleted) {
    item.classList.add("deleted");
    item.classList.toggle("first", !isContinued);
    // Where its author is not above it, the line says whose it was.
    const words = element("div", "gone", isContinued ? t.deleted : t.deletedOf(from));
    words.dir = "auto";
    item.append(time, words);
    return item;
  }
  if (isContinued) {
    item.append(time);
    if (!isWaiting) item.append(element("span", "unseen", isolated(from), ", "));
  } else {
    const face = avatar(from);
    face.dataset.act = "profile";
    item.append(face, element("div", "head", nameOf(from), " ", time));
  }
  if (quote) item.append(quoteOf(quote));
  const mentioned = message.mentionAll ? [EVERYBODY, me] : [me];
  const text = textOf(message.text, mentioned, [...names, ...(message.mentions ?? []), ...mentioned]);
  const note = edited === undefined ? "" : element("span", "edited", t.edited);
  if (note) note.title = fullTimeOf(edited ?? 0);
  if (message.text || !message.files) item.append(note ? element("div", "body", text, " ", note) : text);
  appendFold(item, message.text);
  if (message.files) {
    const files = element("div", "with-files");
    item.append(files);
    fill("files", files, (view) => [view.filesOf(message)]);
    // Without a text, it stands below the files.
    if (note && !message.text) item.append(element("div", "body", note));
  }
  if (isMine && !isWaiting) item.append(pending ? statusOf("waiting", t.waiting) : statusOf("stored", t.stored));
  if (!isMine) item.classList.toggle("mention", item.querySelector("span.mention-name") !== null);
  if (message.reactions?.length) item.append(reactionsOf(message.reactions));
  return item;
}

/**
 * Shows whether a message of the outbox is on its way.
 * @param {HTMLElement} item
 * @param {Item} waiting
 */
export function showState(item, { state, reason, sentence }) {
  const shown = state === "sending" ? "waiting" : state;
  if (item.dataset.state === shown) {
    return;
  }
  item.dataset.state = shown;
  item.querySelector(".status, .not-sent")?.remove();
  if (shown === "failed") {
    import("./refused.js").then(({ appendFailed }) => appendFailed(item, reason, sentence)).catch(() => {});
  } else {
    item.querySelector(":scope > :nth-last-child(1 of .text, .body, .unfold, .with-files)")?.after(statusOf(shown, shown === "stored" ? t.stored : t.waiting));
  }
}

/** @param {Quote} quote */
function quoteOf({ seq, from, text, files, isGone }) {
  const made = button("quote", element("span", "unseen", t.answerTo, " "));
  if (from) {
    const name = isolated(from, "name");
    name.dataset.tint = String(tintOf(from));
    made.append(name, " ");
  }
  const line = element("span", isGone ? "quoted gone" : "quoted");
  line.dir = "auto";
  showLine(line, text);
  if (files) {
    const first = element("span", "quoted-picture");
    fill("files", first, (view) => view.quotedPicture(files));
    if (!text) fill("files", line, (view) => [view.inWords(files)]);
    made.append(first);
  }
  made.append(line);
  made.dataset.act = "jump";
  made.dataset.to = String(seq);
  made.tabIndex = -1;
  return made;
}

/** @param {import("../logic/changes.js").Reaction[]} reactions */
function reactionsOf(reactions) {
  const chips = reactions.map(({ emoji, count, users, mine }) => {
    const chip = button("chip", element("span", "emoji-sign", emoji), " ", element("span", "", String(count)));
    chip.dataset.act = "toggle";
    chip.dataset.emoji = emoji;
    chip.ariaPressed = String(mine === true);
    // Who else, and whether the user has, must be asked for.
    chip.classList.toggle("some", users.length < count);
    chip.classList.toggle("unsure", mine === undefined);
    chip.title = t.reactedBy(users, count - users.length);
    chip.tabIndex = -1;
    return chip;
  });
  return element("div", "reactions", ...chips);
}

/** @param {number} timestamp */
export function dayItem(timestamp) {
  const day = button("", dayOf(timestamp));
  day.dataset.act = "day";
  day.dataset.at = String(timestamp);
  day.tabIndex = -1;
  return element("li", "day", day);
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

/** @param {string} name */
function nameOf(name) {
  const shown = button("name", isolated(name));
  markBot(shown, name);
  shown.dataset.tint = String(tintOf(name));
  shown.dataset.act = "profile";
  shown.title = t.profile;
  shown.tabIndex = -1;
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
 * Lets a long message begin folded.
 * @param {HTMLElement} item
 * @param {string} text
 */
function appendFold(item, text) {
  if (isLong(text, NARROW.matches ? 40 : 90)) {
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
  if (MARKED.test(text) && fill("markdown", shown, (view) => view.shownOf(text, names, mention))) {
    return shown;
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
 * A link out of the chat. The middle of a long address is not shown, but copied and read
 * aloud.
 * @param {string} href
 * @param {...(Node | string)} children
 */
export function linkTo(href, ...children) {
  const [address] = children;
  const cut = typeof address === "string" && children.length === 1 ? cutOf(address) : null;
  const link = cut ? element("a", "", cut[0], element("span", "cut", cut[1]), cut[2]) : element("a", "", ...children);
  if (cut) link.title = href;
  link.href = href;
  link.rel = "noopener noreferrer nofollow ugc";
  link.target = "_blank";
  return link;
}

/**
 * What shows Markdown, and files, once a message has needed it.
 * @typedef {{ markdown: typeof import("./markdown.js"), files: typeof import("./files.js") }} Views
 */

/** Those that are there. @type {Partial<Views>} */
const views = {};
/** Elements that are shown without until it is there. @type {{ [K in keyof Views]: Map<HTMLElement, (view: Views[K]) => (Node | string)[]> }} */
const waiting = { markdown: new Map(), files: new Map() };
/** Calls a function that changes the height of messages. */
let changing = (/** @type {() => void} */ change) => change();

/** @param {(change: () => void) => void} change what keeps messages in view while their heights change */
export function onHeights(change) {
  changing = change;
}

/**
 * Shows a text without its markup.
 * @param {HTMLElement} shown
 * @param {string} text
 */
export function showLine(shown, text) {
  shown.textContent = text;
  if (MARKED.test(text)) fill("markdown", shown, ({ wordsOf }) => [wordsOf(text)]);
}

/**
 * Puts nodes of a view into an element, once the view is loaded.
 * @template {keyof Views} K
 * @param {K} kind
 * @param {HTMLElement} shown
 * @param {(view: Views[K]) => (Node | string)[]} nodes
 * @returns {boolean} whether they are there already
 */
function fill(kind, shown, nodes) {
  const view = views[kind];
  if (view) {
    shown.replaceChildren(...nodes(view));
    return true;
  }
  const all = waiting[kind];
  if (all.size === 0) {
    Promise.all([kind === "files" ? import("./files.js") : import("./markdown.js"), wantStyle(kind)]).then(
      ([loaded]) => {
        const view = (views[kind] = /** @type {Views[K]} */ (loaded));
        changing(() => {
          for (const [shown, nodes] of all) if (shown.isConnected) shown.replaceChildren(...nodes(view));
        });
        all.clear();
      },
      // Without a network: the next one tries again.
      () => all.clear(),
    );
  }
  all.set(shown, nodes);
  return false;
}

/**
 * The mention of another user. A link and no button, so that it is copied with the text.
 * @param {{ text: string, name: string }} mention
 */
function personLink({ text, name }) {
  const link = element("a", "mention-name", text);
  link.href = addressOf(`@${name}`);
  link.title = t.profile;
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
export const MARKED = /[*_~\x60]\S|^ {0,3}(?:>|(?:[-*]|\d{1,9}[.)])[ \t]+\S)|\]\(/m;
const NARROW = matchMedia("(width < 48rem)");
