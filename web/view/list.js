// The messages of a conversation. Of what is in memory only a stretch is in the
// page, and it moves along with the reader; what is in sight stays where it is.

import { continues, dayNumberOf } from "../logic/grouping.js";
import { dayOf, t } from "../words.js";
import { button, byId, element } from "./dom.js";
import { comingItem, dayItem, gapItem, messageItem, newItem, showState, turnFold, waitingItem } from "./message.js";

/** @typedef {import("../logic/conversation.js").Conversation} Conversation */
/** @typedef {import("../logic/conversation.js").Entry} Entry */
/** @typedef {import("../logic/outbox.js").Item} Item */
/** @typedef {import("../logic/grouping.js").Coming} Coming */
/** @typedef {import("../logic/client.js").Part} Part */

/** @typedef {{ seq: number, nodes: HTMLElement[], item: HTMLElement | null }} Row `item` is null for a kind not shown */
/** @typedef {{ epoch: string, seq: number, below: number }} Place a message, and how many pixels below the upper edge it begins */

/**
 * @typedef {object} Hooks
 * @property {string} me
 * @property {(conversation: Conversation, part: Part, seq?: number) => void} load
 * @property {(conversation: Conversation, seq: number) => boolean} isSeeking whether a message is still being looked for
 * @property {() => void} missing the message that was looked for is not there
 * @property {(conversation: Conversation) => void} stay somebody does not want to see the end after all
 * @property {(conversation: Conversation) => string} obstacle why nothing can be loaded, in words; empty where it can
 * @property {(conversation: Conversation) => Item[]} waiting
 * @property {(conversation: Conversation) => Coming[]} comings
 * @property {(conversation: Conversation, seq: number) => void} read somebody has seen all up to there
 * @property {(act: string, item: HTMLElement) => void} act something in a message was chosen
 * @property {() => void} invite somebody is to get a link to the room
 * @property {(conversation: Conversation) => Iterable<string>} names of those who may be named
 */

export class MessageList {
  #scroller = byId("scroller", HTMLElement);
  #list = byId("messages", HTMLElement);
  #top = byId("top", HTMLElement);
  #dayAbove = byId("day-above", HTMLElement);
  #toNewest = byId("to-newest", HTMLButtonElement);
  #toFirstNew = byId("to-first-new", HTMLButtonElement);
  #hooks;
  /** @type {Conversation | null} */
  #conversation = null;
  #generation = -1;
  /** @type {Row[]} */
  #rows = [];
  /** What stands below the last row, each by what it shows. @type {Map<string, HTMLElement>} */
  #tail = new Map();
  /** Whether the newest message is in sight, and is to stay so. */
  #follows = true;
  /** How far down it was scrolled when it was last brought in line. */
  #lastTop = 0;
  /** The number after which everything is new; 0: there is no line. */
  #lineAfter = 0;
  /** How many were new when one came. */
  #newCount = 0;
  /** The message that an address names, until it is shown. */
  #target = 0;
  /** The one of these that was asked for. */
  #sought = 0;
  /** Where one was reading, of those not left at their end. @type {WeakMap<Conversation, Place>} */
  #places = new WeakMap();
  /** The one of these to go back to, until one is there. @type {Place | undefined} */
  #returnTo;
  /** The highest number that was in sight. */
  #seenUpTo = 0;
  #isDue = false;
  /** The day on which it was last brought in line. */
  #today = today();
  /** Ends some time after the last scrolling. @type {ReturnType<typeof setTimeout> | undefined} */
  #scrolling;

  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.#hooks = hooks;
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#toNewest.addEventListener("click", () => this.toEnd());
    this.#toFirstNew.addEventListener("click", () => this.toMessage(this.#lineAfter + 1));
    // A keyboard that comes up on a phone takes its room from here.
    new ResizeObserver(() => this.#follows && this.#stickToEnd()).observe(this.#scroller);
    this.#list.addEventListener("click", (event) => this.#click(event));
    this.#list.addEventListener("focusin", (event) => this.#reach(event.target, 0));
    this.#list.addEventListener("focusout", (event) => this.#reach(event.target, -1));
    this.#list.addEventListener("keydown", (event) => this.#key(event));
  }

  /**
   * @param {Conversation} conversation
   * @param {{ readUpTo: number, unread: number, target: number }} where
   */
  open(conversation, { readUpTo, unread, target }) {
    this.#keepPlace();
    this.#conversation = conversation;
    this.#generation = -1;
    this.#lineAfter = unread > 0 && readUpTo > 0 ? readUpTo : 0;
    this.#newCount = unread;
    this.#seenUpTo = conversation.end - unread;
    this.#target = target;
    // Who opens a conversation may have asked already.
    this.#sought = this.#hooks.isSeeking(conversation, target) ? target : 0;
    this.#returnTo = target === 0 ? this.#places.get(conversation) : undefined;
    this.#follows = target === 0;
    this.sync();
  }

  /** @param {number} seq */
  toMessage(seq) {
    const conversation = this.#conversation;
    if (!conversation || seq < 1) {
      return;
    }
    this.#target = seq;
    this.#sought = 0;
    this.#follows = false;
    if (conversation.at(seq)) {
      this.#generation = -1;
      this.sync();
    } else {
      this.#sought = seq;
      this.#hooks.load(conversation, "around", seq);
    }
  }

  toEnd() {
    const conversation = this.#conversation;
    if (!conversation) {
      return;
    }
    this.#follows = true;
    this.#target = 0;
    this.#returnTo = undefined;
    this.#lineAfter = this.#rows.some(({ seq }) => seq > this.#lineAfter) ? this.#lineAfter : 0;
    if (!conversation.isAtEnd) {
      this.#hooks.load(conversation, "latest");
    } else if (this.#lastShown < conversation.last) {
      this.#rebuild(conversation, conversation.last);
    }
    this.sync();
    this.#stickToEnd();
  }

  /** What is new from now on gets a line above it. */
  away() {
    const conversation = this.#conversation;
    if (conversation && this.#follows && conversation.last > 0) {
      this.#removeLine();
      this.#lineAfter = conversation.last;
    }
  }

  /** Whoever has said something has seen what was new. */
  said() {
    this.#removeLine();
    this.#newCount = 0;
    this.toEnd();
  }

  /** @param {number} pages */
  scroll(pages) {
    this.#scroller.scrollBy({ top: pages * this.#scroller.clientHeight * 0.85 });
  }

  focusLast() {
    const items = this.#items();
    items.at(-1)?.focus();
  }

  /** In other words than before. */
  speak() {
    this.#keepPlace();
    this.#returnTo = this.#conversation ? this.#places.get(this.#conversation) : undefined;
    this.#generation = -1;
    this.sync();
  }

  /** Brings the page in line with what is known, at the next frame. */
  sync() {
    this.#schedule();
  }

  #scrolled() {
    clearTimeout(this.#scrolling);
    this.#scrolling = setTimeout(() => {
      this.#scrolling = undefined;
      this.#schedule();
    }, SCROLLING_MS);
    this.#schedule();
  }

  #schedule() {
    if (!this.#isDue) {
      this.#isDue = true;
      requestAnimationFrame(() => {
        this.#isDue = false;
        if (this.#conversation) {
          this.#sync(this.#conversation);
        }
      });
    }
  }

  /** @param {Conversation} conversation */
  #sync(conversation) {
    if (this.#target > 0 && this.#isGone(conversation, this.#target)) {
      this.#giveUp(conversation);
    }
    if (this.#today !== today()) {
      this.#today = today();
      this.#turnDay(conversation);
    }
    const isNewlyBuilt = this.#generation !== conversation.generation;
    if (isNewlyBuilt) {
      this.#generation = conversation.generation;
      this.#rebuild(conversation, this.#startAt(conversation));
    } else {
      const follows = this.#stillFollows(conversation);
      if (this.#follows && !follows && !conversation.isAtEnd) {
        this.#hooks.stay(conversation);
      }
      this.#follows = follows;
      this.#extend(conversation);
    }
    this.#showTail(conversation);
    this.#showTop(conversation);
    if (isNewlyBuilt) {
      this.#place(conversation);
      // Once more, as there may be room for what came before.
      this.#schedule();
    } else if (this.#follows) {
      this.#stickToEnd();
    }
    this.#showPills(conversation);
    this.#showDay(conversation);
    this.#tellRead(conversation);
    this.#lastTop = this.#scroller.scrollTop;
  }

  /**
   * The number around which to begin.
   * @param {Conversation} conversation
   */
  #startAt(conversation) {
    if (this.#target > 0) {
      if (conversation.at(this.#target)) {
        return this.#target;
      }
      if (conversation.isLoaded && this.#sought !== this.#target) {
        this.#sought = this.#target;
        this.#hooks.load(conversation, "around", this.#target);
      }
    }
    // Numbers of another epoch are other messages.
    if (this.#returnTo?.epoch === conversation.epoch && conversation.at(this.#returnTo.seq)) {
      return this.#returnTo.seq;
    }
    this.#returnTo = undefined;
    return this.#lineAfter && conversation.at(this.#lineAfter + 1) ? this.#lineAfter + 1 : conversation.last;
  }

  /**
   * Whether a message was asked for and did not come: it is no longer kept, or
   * never was there.
   * @param {Conversation} conversation
   * @param {number} seq
   */
  #isGone(conversation, seq) {
    return this.#sought === seq && !conversation.at(seq) && !this.#hooks.isSeeking(conversation, seq);
  }

  /** @param {Conversation} conversation */
  #giveUp(conversation) {
    this.#target = 0;
    this.#follows = true;
    if (!conversation.isAtEnd) {
      this.#hooks.load(conversation, "latest");
    }
    this.#hooks.missing();
  }

  /**
   * What was today is yesterday.
   * @param {Conversation} conversation
   */
  #turnDay(conversation) {
    for (const { seq, nodes } of this.#rows) {
      const words = nodes.find((node) => node.matches(".day"))?.querySelector("span");
      const entry = conversation.at(seq);
      if (words && entry) words.textContent = dayOf(entry.timestamp);
    }
  }

  /** @param {Conversation} conversation */
  #place(conversation) {
    const target = this.#target ? this.#rowOf(this.#target)?.item : null;
    const place = this.#returnTo;
    const left = place ? this.#rowOf(place.seq)?.item : null;
    const line = this.#list.querySelector(".new-line");
    this.#returnTo = undefined;
    if (target) {
      target.scrollIntoView({ block: "center" });
      target.classList.add("target");
      setTimeout(() => target.classList.remove("target"), TARGET_MS);
      this.#target = 0;
      this.#follows = false;
    } else if (place && left) {
      const { top, height } = left.getBoundingClientRect();
      // It may be smaller than it was: what was unfolded is folded again.
      this.#scroller.scrollTop += top - this.#edge - Math.max(place.below, -height);
      this.#follows = false;
    } else if (line) {
      const { top } = line.getBoundingClientRect();
      this.#scroller.scrollTop += top - this.#edge - this.#scroller.clientHeight * 0.25;
      this.#follows = conversation.isAtEnd && this.#below < NEAR_PX;
    } else {
      this.#stickToEnd();
      // What is on its way is followed, too.
      this.#follows ||= conversation.isAtEnd;
    }
  }

  /**
   * @param {Conversation} conversation
   * @param {number} around
   */
  #rebuild(conversation, around) {
    const { first, last } = conversation;
    let from = Math.max(first, around - ROWS_AT_ONCE);
    let to = Math.min(last, around + ROWS_AT_ONCE);
    from = Math.max(first, Math.min(from, to - ROWS_AT_ONCE));
    this.#rows = [];
    this.#tail.clear();
    this.#list.replaceChildren();
    this.#add(conversation, from, to, false);
  }

  /**
   * Adds what comes into reach, and drops what is far away.
   * @param {Conversation} conversation
   */
  #extend(conversation) {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    const { first, last } = conversation;
    if (this.#rows.length === 0) {
      if (last > 0) this.#rebuild(conversation, last);
      return;
    }
    const firstShown = this.#firstShown;
    const lastShown = this.#lastShown;
    if (firstShown < first) {
      // Memory has let go of its oldest.
      this.#drop(this.#rows.filter(({ seq }) => seq < first));
    }
    if (scrollTop < REACH_PX) {
      if (firstShown > first) {
        this.#keepInSight(() => {
          this.#add(conversation, Math.max(first, firstShown - ROWS_AT_ONCE), firstShown - 1, true);
          this.#drop(this.#rows.slice(ROWS_MAX));
        });
      } else if (conversation.hasOlder) {
        this.#hooks.load(conversation, "older");
      }
    }
    const below = scrollHeight - scrollTop - clientHeight;
    if (this.#lastShown < last && (this.#follows || below < REACH_PX)) {
      const to = this.#follows ? last : Math.min(last, lastShown + ROWS_AT_ONCE);
      if (to - lastShown > ROWS_MAX) {
        this.#rebuild(conversation, last);
        return;
      }
      const add = () => {
        this.#add(conversation, this.#lastShown + 1, to, false);
        this.#drop(this.#rows.slice(0, Math.max(0, this.#rows.length - ROWS_MAX)));
      };
      this.#follows ? add() : this.#keepInSight(add);
    } else if (below < REACH_PX && !conversation.isAtEnd && this.#lastShown === last) {
      this.#hooks.load(conversation, "newer");
    }
  }

  /**
   * @param {Conversation} conversation
   * @param {number} from
   * @param {number} to
   * @param {boolean} isAbove
   */
  #add(conversation, from, to, isAbove) {
    if (to < from || to === 0) {
      return;
    }
    const rows = [];
    const fragment = document.createDocumentFragment();
    for (let seq = from; seq <= to; seq += 1) {
      const row = this.#row(conversation, seq, seq === from && (isAbove || this.#rows.length === 0));
      rows.push(row);
      fragment.append(...row.nodes);
    }
    const below = this.#rows[0];
    if (isAbove && below) {
      below.nodes[0] ? below.nodes[0].before(fragment) : this.#list.prepend(fragment);
      // It was the first, and no longer is.
      this.#rows[0] = this.#anew(conversation, below, false);
      this.#rows.unshift(...rows);
    } else {
      const [end] = this.#tail.values();
      end ? end.before(fragment) : this.#list.append(fragment);
      this.#rows.push(...rows);
    }
  }

  /**
   * @param {Conversation} conversation
   * @param {number} seq
   * @param {boolean} isFirst its day is said in any case
   * @returns {Row}
   */
  #row(conversation, seq, isFirst) {
    const entry = conversation.at(seq);
    /** @type {HTMLElement[]} */
    const nodes = [];
    if (!entry || entry.kind === "unknown") {
      return { seq, nodes, item: null };
    }
    const above = conversation.at(seq - 1);
    const isNewDay = isFirst || !above || dayNumberOf(above.timestamp) !== dayNumberOf(entry.timestamp);
    if (isNewDay) {
      nodes.push(dayItem(entry.timestamp));
    }
    const isFirstNew = this.#lineAfter > 0 && seq === this.#lineAfter + 1;
    if (isFirstNew) {
      nodes.push(newItem());
    }
    const isContinued = !isNewDay && !isFirstNew && above?.kind !== "unknown" && continues(above, entry);
    const names = this.#hooks.names(conversation);
    const item = messageItem(entry, { key: conversation.key, me: this.#hooks.me, names, isContinued });
    nodes.push(item);
    return { seq, nodes, item };
  }

  /**
   * A row in the place of what it was, and with its focus.
   * @param {Conversation} conversation
   * @param {Row} row
   * @param {boolean} isFirst
   * @returns {Row}
   */
  #anew(conversation, row, isFirst) {
    const anew = this.#row(conversation, row.seq, isFirst);
    row.nodes[0]?.before(...anew.nodes);
    if (row.item?.contains(document.activeElement)) anew.item?.focus({ preventScroll: true });
    for (const node of row.nodes) node.remove();
    return anew;
  }

  /** @param {Row[]} rows all at the one end or all at the other */
  #drop(rows) {
    if (rows.length === 0) {
      return;
    }
    const gone = new Set(rows);
    for (const { nodes } of rows) {
      for (const node of nodes) node.remove();
    }
    this.#rows = this.#rows.filter((row) => !gone.has(row));
  }

  /** @param {() => void} change */
  #keepInSight(change) {
    const anchor = this.#rowAt(this.#edge)?.seq ?? 0;
    const before = this.#rowOf(anchor)?.item?.getBoundingClientRect().bottom ?? 0;
    change();
    const after = this.#rowOf(anchor)?.item?.getBoundingClientRect().bottom ?? before;
    this.#scroller.scrollTop += after - before;
  }

  /** Keeps where one is reading, unless that is at the end. */
  #keepPlace() {
    const conversation = this.#conversation;
    // Until the next frame, the page may still show another one.
    if (!conversation || this.#generation !== conversation.generation) {
      return;
    }
    const row = this.#follows ? undefined : this.#rowAt(this.#edge);
    if (row?.item) {
      const below = row.item.getBoundingClientRect().top - this.#edge;
      this.#places.set(conversation, { epoch: conversation.epoch, seq: row.seq, below });
    } else {
      this.#places.delete(conversation);
    }
  }

  /**
   * What is not in the log: who came and went, and what waits. That is there
   * even where the end of the log is not.
   * @param {Conversation} conversation
   */
  #showTail(conversation) {
    const isAllShown = this.#lastShown === conversation.last;
    const isAtEnd = isAllShown && conversation.isAtEnd;
    const items = isAllShown ? this.#hooks.waiting(conversation) : [];
    const coming = isAtEnd ? this.#hooks.comings(conversation).findLast(({ afterSeq }) => afterSeq === conversation.last) : undefined;
    /** @type {Map<string, HTMLElement>} */
    const tail = new Map();
    /** @param {string} what @param {() => HTMLElement} make */
    const show = (what, make) => {
      const node = this.#tail.get(what) ?? make();
      tail.set(what, node);
      return node;
    };
    if (coming) {
      show(JSON.stringify(coming), () => comingItem(coming));
    }
    if (items.length > 0 && this.#rows.length > 0 && !isAtEnd) {
      show("gap", gapItem);
    }
    let above = isAtEnd ? conversation.entries.at(-1) : undefined;
    for (const item of items) {
      const entry = { from: this.#hooks.me, timestamp: item.at / 1000 };
      if (!above || dayNumberOf(above.timestamp) !== dayNumberOf(entry.timestamp)) {
        show(`day ${dayOf(entry.timestamp)}`, () => dayItem(entry.timestamp));
      }
      const isContinued = !coming && above !== undefined && continues(above, entry);
      const what = `${isContinued ? "continued" : "item"} ${item.nonce}`;
      showState(show(what, () => waitingItem(item, { me: this.#hooks.me, names: this.#hooks.names(conversation), isContinued })), item);
      above = /** @type {Entry} */ (entry);
    }
    const shown = new Set(tail.values());
    for (const node of this.#tail.values()) {
      if (!shown.has(node)) {
        if (node.contains(document.activeElement)) {
          // It stands in the log now, and so does who was looking at it.
          const same = this.#rows.findLast(({ item }) => item?.dataset.nonce === node.dataset.nonce);
          same?.item?.focus({ preventScroll: true });
        }
        node.remove();
      }
    }
    // Only what is not in its place: what is moved loses the focus.
    let below = null;
    for (const node of [...shown].toReversed()) {
      if (node.parentNode !== this.#list || node.nextSibling !== below) {
        this.#list.insertBefore(node, below);
      }
      below = node;
    }
    this.#tail = tail;
  }

  /** @param {Conversation} conversation */
  #showTop(conversation) {
    const isEmpty = conversation.isLoaded && conversation.end === 0 && this.#hooks.waiting(conversation).length === 0;
    const kind = isEmpty
      ? "empty"
      : conversation.hasOlder || !conversation.isLoaded
        ? "loading"
        : this.#firstShown <= conversation.first && conversation.end > 0
          ? "beginning"
          : "";
    const obstacle = this.#hooks.obstacle(conversation);
    const shown = `${kind} ${obstacle} ${conversation.key} ${t.chat}`;
    if (this.#top.dataset.shown === shown) {
      return;
    }
    this.#top.dataset.shown = shown;
    this.#top.className = `top ${kind}`;
    const isRoom = conversation.isRoom;
    this.#top.replaceChildren(
      ...(kind === "empty"
        ? isRoom
          ? [element("p", "empty-head", t.emptyRoom), element("p", "", t.emptyRoomHint), this.#invitation()]
          : [
              element("p", "empty-head", t.emptyPrivate),
              element("p", "", conversation.name === this.#hooks.me ? t.onlyYou : t.emptyPrivateHint),
            ]
        : kind === "loading"
          ? [element("p", "", obstacle || t.loading)]
          : kind === "beginning"
            ? [element("p", "", t.beginning)]
            : []),
    );
  }

  #invitation() {
    const copy = button("link", t.copyLink);
    copy.addEventListener("click", () => this.#hooks.invite());
    return copy;
  }

  /** @param {Conversation} conversation */
  #showPills(conversation) {
    // Whoever follows is there, or will be once it is loaded.
    const isFar =
      !this.#follows && (!conversation.isAtEnd || this.#lastShown < conversation.last || this.#below > FAR_PX);
    this.#toNewest.hidden = !isFar || conversation.end === 0;
    const unseen = Math.max(0, conversation.end - this.#seenUpTo);
    const words = this.#toNewest.querySelector("span");
    if (words) say(words, isFar && unseen > 0 ? t.newMessages(unseen) : "");
    this.#toNewest.ariaLabel = words?.textContent ? null : t.toNewest;

    const isLineAbove = this.#lineAfter > 0 && this.#newCount > 0 && this.#lineAfter + 1 < this.#firstShown;
    this.#toFirstNew.hidden = !isLineAbove;
    if (isLineAbove) say(this.#toFirstNew, `↑ ${t.toFirstNew(this.#newCount)}`);
  }

  /**
   * Says above the messages which day it is, where that is not in sight itself.
   * @param {Conversation} conversation
   */
  #showDay(conversation) {
    const isWanted = this.#scrolling !== undefined && !this.#follows && this.#toFirstNew.hidden;
    const row = isWanted ? this.#rowAt(this.#edge + DAY_PX) : undefined;
    const label = row?.nodes.find((node) => node.matches(".day"));
    const isInSight = label !== undefined && label.getBoundingClientRect().bottom > this.#edge;
    const entry = row && !isInSight ? conversation.at(row.seq) : undefined;
    this.#dayAbove.classList.toggle("shown", entry !== undefined);
    const words = entry ? dayOf(entry.timestamp) : "";
    if (words && this.#dayAbove.textContent !== words) this.#dayAbove.textContent = words;
  }

  /** @param {Conversation} conversation */
  #tellRead(conversation) {
    let seen = 0;
    if (this.#follows && conversation.isAtEnd) {
      seen = conversation.end;
    } else {
      const edge = this.#scroller.getBoundingClientRect().bottom;
      let [low, high] = [0, this.#rows.length - 1];
      while (low <= high) {
        const middle = (low + high) >> 1;
        const row = this.#rows[middle];
        const item = row?.item;
        if (!row || (item && item.getBoundingClientRect().bottom > edge + 4)) {
          high = middle - 1;
        } else {
          seen = row.seq;
          low = middle + 1;
        }
      }
    }
    this.#seenUpTo = Math.max(this.#seenUpTo, seen);
    if (seen > 0) {
      this.#hooks.read(conversation, seen);
    }
  }

  #removeLine() {
    if (this.#lineAfter === 0) {
      return;
    }
    const conversation = this.#conversation;
    const index = this.#rows.findIndex(({ seq }) => seq === this.#lineAfter + 1);
    const row = this.#rows[index];
    this.#lineAfter = 0;
    if (conversation && row) {
      this.#rows[index] = this.#anew(conversation, row, index === 0);
    }
  }

  #stickToEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#lastTop = this.#scroller.scrollTop;
  }

  /** @param {Conversation} conversation */
  #stillFollows(conversation) {
    if (this.#scroller.scrollTop < this.#lastTop) {
      // Somebody goes up, however slowly, unless there is just less to scroll.
      return this.#follows && this.#below < 1;
    }
    return this.#follows || (conversation.isAtEnd && this.#below < NEAR_PX);
  }

  get #below() {
    return this.#scroller.scrollHeight - this.#scroller.scrollTop - this.#scroller.clientHeight;
  }

  /** Where the messages begin to be in sight. */
  get #edge() {
    return this.#scroller.getBoundingClientRect().top;
  }

  /** @param {number} y from the top of the page */
  #rowAt(y) {
    return this.#rows.find(({ item }) => item && item.getBoundingClientRect().bottom > y);
  }

  get #firstShown() {
    return this.#rows[0]?.seq ?? 0;
  }

  get #lastShown() {
    return this.#rows.at(-1)?.seq ?? 0;
  }

  /** @param {number} seq */
  #rowOf(seq) {
    return this.#rows[seq - this.#firstShown];
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const chosen = event.target instanceof Element ? event.target.closest("[data-act]") : null;
    const item = chosen?.closest("li");
    if (chosen instanceof HTMLElement && item && chosen.dataset.act === "fold") {
      turnFold(item);
      this.#follows &&= item.classList.contains("folded");
    } else if (chosen instanceof HTMLElement && item) {
      this.#hooks.act(chosen.dataset.act ?? "", item);
    }
  }

  /**
   * Only the message with the focus has further stops for the Tab key.
   * @param {EventTarget | null} target
   * @param {number} tabIndex
   */
  #reach(target, tabIndex) {
    const item = target instanceof Element ? target.closest(".message") : null;
    for (const stop of item?.querySelectorAll("a, button") ?? []) {
      if (stop instanceof HTMLElement) stop.tabIndex = tabIndex;
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const item = event.target instanceof Element ? event.target.closest(".message") : null;
    if (!(item instanceof HTMLElement) || event.altKey || event.ctrlKey || event.metaKey) {
      return;
    }
    const items = this.#items();
    const at = items.indexOf(item);
    const next = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: items.length - 1 }[event.key];
    if (next === undefined) {
      return;
    }
    event.preventDefault();
    if (next >= items.length) {
      byId("text", HTMLTextAreaElement).focus();
    } else {
      items[Math.max(0, next)]?.focus();
    }
  }

  /** @returns {HTMLElement[]} */
  #items() {
    return [...this.#list.querySelectorAll(".message")].filter((item) => item instanceof HTMLElement);
  }
}

function today() {
  return dayNumberOf(Date.now() / 1000);
}

/**
 * A text that is replaced while it is pressed takes the click with it.
 * @param {Element} element
 * @param {string} words
 */
function say(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

/** Rows added at once, and in the page at most. */
const ROWS_AT_ONCE = 60;
const ROWS_MAX = 300;
/** How near the edge of what is in the page the reader may come. */
const REACH_PX = 900;
const NEAR_PX = 8;
const FAR_PX = 300;
const TARGET_MS = 2_500;
/** How far down the day above the messages reaches, and how long it stays. */
const DAY_PX = 40;
const SCROLLING_MS = 1_200;
