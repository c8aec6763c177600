// The messages of a conversation. Of those in memory only a window has rows in
// the page; it moves along with the reader, and what is in view stays where it is.

import { advance, dayNumberOf, firstNew, isIn, near, NEAR_PX, pillsOf, rangeAround, startOf, stillFollows, tailOf, topOf } from "../logic/window.js";
import { byId } from "./dom.js";
import { ListFrame } from "./frame.js";
import { onHeights, turnFold } from "./message.js";
import { Rows } from "./rows.js";

/** @typedef {import("../logic/client.js").Part} Part */
/** @typedef {import("../logic/conversation.js").Conversation} Conversation */
/** @typedef {import("../logic/conversation.js").Entry} Entry */
/** @typedef {import("../logic/changes.js").Shown} Shown */
/** @typedef {import("../logic/outbox.js").Item} Item */
/** @typedef {import("./message.js").Quote} Quote */
/** @typedef {import("../logic/window.js").Anchor} Anchor */

/**
 * @typedef {object} Hooks
 * @property {string} me
 * @property {(conversation: Conversation, part: Part, seq?: number) => void} load
 * @property {(conversation: Conversation, seq: number) => boolean} isSeeking whether a message is still being looked for
 * @property {() => void} missing the message that was looked for is not there
 * @property {(conversation: Conversation) => void} cancelLatest the reader does not want to see the end after all
 * @property {(conversation: Conversation) => string} obstacle why nothing can be loaded, in words; empty where it can
 * @property {(conversation: Conversation) => Item[]} waiting messages that are not known to be stored
 * @property {(conversation: Conversation) => Item[]} changes those of messages that are not known to be stored
 * @property {(conversation: Conversation, entry: Entry) => Shown} shown a message with the changes that are on their way
 * @property {(item: Item) => Shown} shownItem the same of a message that is on its way itself
 * @property {(conversation: Conversation, shown: Shown) => Quote | undefined} quote what a message answers
 * @property {(conversation: Conversation, seqs: number[]) => void} quoted messages are quoted by those in the page
 * @property {(conversation: Conversation) => boolean} isCurrent whether all is there that was written by now
 * @property {(conversation: Conversation) => { readUpTo: number, unread: number }} mark how far the user has read, and how many messages are unread
 * @property {(conversation: Conversation, seq: number) => void} read the reader has seen all up to there
 * @property {(act: string, item: HTMLElement, button: HTMLElement) => void} act a button in a message was pressed
 * @property {(what: "invite" | "find") => void} begin what the user wants where nothing is written
 * @property {(conversation: Conversation) => Iterable<string>} names of users who may be mentioned
 */

export class MessageList {
  #scroller = byId("scroller", HTMLElement);
  #list = byId("messages", HTMLElement);
  #hooks;
  #rows;
  #frame;
  /** @type {Conversation | null} */
  #conversation = null;
  /** The generation of the conversation that the rows show. */
  #generation = -1;
  /** The messages and changes that the rows show, as of the last `#refresh`. */
  #shown = "";
  /** Whether the pointer is pressed in the list: then no row is made again. */
  #isPressed = false;
  /** Whether the conversation was just opened, and what was written before is still on its way. */
  #isSettling = false;
  /** Whether the view follows the end of the log. */
  #isFollowing = true;
  /** How far it was scrolled at the last `#update`. */
  #lastTop = 0;
  /** The number after which everything is new, below a line that says so; 0: there is no line. */
  #readUpTo = 0;
  /** Messages that were unread when the conversation was opened. */
  #unread = 0;
  /** The message that the address names, until it is shown. */
  #target = 0;
  /** The target that was asked for. */
  #sought = 0;
  /** Where the reader was in conversations that were not left at their end. @type {WeakMap<Conversation, Anchor>} */
  #anchors = new WeakMap();
  /** The anchor to return to once its message is there. @type {Anchor | undefined} */
  #returnTo;
  /** The highest number that was in view. */
  #seenUpTo = 0;
  #isUpdateDue = false;
  /** Whether this frame, or the next one, takes away the room above short rows. */
  #isFitting = false;
  /** The day at the last `#update`. */
  #today = today();

  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.#hooks = hooks;
    this.#rows = new Rows(this.#list, hooks);
    this.#frame = new ListFrame(this.#list, hooks.me, {
      toNewest: () => this.toEnd(),
      toFirstNew: () => this.toMessage(this.#readUpTo + 1),
      act: hooks.begin,
    });
    this.#scroller.addEventListener("scroll", () => this.update(), { passive: true });
    // The keyboard of a phone makes the scroller smaller when it opens.
    const sizes = new ResizeObserver(() => this.#isFollowing && this.#scrollToEnd());
    sizes.observe(this.#scroller);
    // Messages may grow later.
    sizes.observe(this.#list);
    this.#list.addEventListener("click", (event) => this.#click(event));
    this.#list.addEventListener("pointerdown", () => (this.#isPressed = true));
    for (const end of ["pointerup", "pointercancel", "contextmenu"]) {
      addEventListener(end, () => this.#isPressed && setTimeout(() => this.#release(), CLICKED_AFTER_MS));
    }
    onHeights((change) => {
      this.#keepInView(change);
      this.update();
    });
  }

  /**
   * Shows a conversation, at its target, where it was left, or at its first new message.
   * @param {Conversation} conversation
   * @param {number} target the message that the address names; 0: none
   */
  open(conversation, target) {
    this.#keepAnchor();
    this.#conversation = conversation;
    this.#generation = -1;
    this.#isSettling = true;
    this.#readUpTo = 0;
    this.#unread = 0;
    this.#seenUpTo = conversation.end;
    this.#target = target;
    // The caller may have asked for it already.
    this.#sought = this.#hooks.isSeeking(conversation, target) ? target : 0;
    this.#returnTo = target === 0 ? this.#anchors.get(conversation) : undefined;
    this.#isFollowing = target === 0;
    this.update();
  }

  /** @param {number} seq */
  toMessage(seq) {
    const conversation = this.#conversation;
    if (!conversation || seq < 1) {
      return;
    }
    this.#target = seq;
    this.#sought = 0;
    this.#isFollowing = false;
    if (near(conversation, seq) > 0) {
      this.#generation = -1;
      this.update();
    } else {
      this.#sought = seq;
      this.#hooks.load(conversation, "around", seq);
    }
  }

  /** Scrolls to the newest message, and follows what comes. */
  toEnd() {
    const conversation = this.#conversation;
    if (!conversation) {
      return;
    }
    this.#isFollowing = true;
    this.#target = 0;
    this.#returnTo = undefined;
    const { last } = this.#rows.range;
    this.#readUpTo = last > this.#readUpTo ? this.#readUpTo : 0;
    if (!conversation.isAtEnd) {
      this.#hooks.load(conversation, "latest");
    } else if (last < conversation.last) {
      this.#rebuild(conversation, conversation.last);
    }
    this.update();
    this.#scrollToEnd();
  }

  /** The user looks elsewhere: what is new from now on gets a line above it. */
  away() {
    const conversation = this.#conversation;
    if (conversation && this.#isFollowing && conversation.last > 0) {
      this.#removeLine();
      this.#readUpTo = conversation.last;
    }
  }

  /** The user has sent a message, and so has seen what was new. */
  sent() {
    this.#isSettling = false;
    this.#removeLine();
    this.#unread = 0;
    this.toEnd();
  }

  /** @param {number} pages of the view */
  scroll(pages) {
    if (!this.#isShort) this.#scroller.scrollBy({ top: pages * this.#scroller.clientHeight * 0.85 });
  }

  focusLast() {
    const last = [...this.#list.querySelectorAll(".message")].at(-1);
    if (last instanceof HTMLElement) last.focus();
  }

  /** The language has changed: makes all rows again. */
  retranslate() {
    this.#keepAnchor();
    this.#returnTo = this.#conversation ? this.#anchors.get(this.#conversation) : undefined;
    this.#generation = -1;
    this.update();
  }

  /** Shows at the next frame what has changed. */
  update() {
    if (!this.#isUpdateDue) {
      this.#isUpdateDue = true;
      requestAnimationFrame(() => this.#frameCame());
    }
  }

  #frameCame() {
    if (this.#isFitting) {
      requestAnimationFrame(() => this.#frameCame());
      return;
    }
    this.#isUpdateDue = false;
    if (this.#conversation) {
      this.#update(this.#conversation);
    }
  }

  #release() {
    this.#isPressed = false;
    this.update();
  }

  /** @param {Conversation} conversation */
  #update(conversation) {
    if (this.#isTargetGone(conversation)) {
      this.#giveUpTarget(conversation);
    }
    // The first messages of a conversation arrive one by one, and the list shows them together: nothing moves.
    if (conversation.isReplaying && this.#list.childElementCount === 0 && this.#hooks.obstacle(conversation) === "") {
      this.#frame.showTop(conversation, "loading", "");
      return;
    }
    if (this.#today !== today()) {
      this.#today = today();
      this.#rows.renameDays(conversation);
    }
    this.#settle(conversation);
    const isRebuilt = this.#generation !== conversation.generation;
    if (isRebuilt) {
      this.#generation = conversation.generation;
      this.#rebuild(conversation, this.#startOf(conversation));
    } else {
      this.#follow(conversation);
      this.#advance(conversation);
      this.#refresh(conversation);
    }
    this.#hooks.quoted(conversation, this.#rows.quoted(conversation));
    const items = this.#hooks.waiting(conversation);
    this.#showTail(conversation, items);
    this.#frame.showTop(conversation, topOf(conversation, this.#rows.range, items.length > 0), this.#hooks.obstacle(conversation));
    this.#fit(isRebuilt);
    if (isRebuilt) {
      this.#scrollToStart(conversation);
      // Once more, as there may be room for rows above.
      this.update();
    } else if (this.#isFollowing) {
      this.#scrollToEnd();
    }
    if (this.#isShort) this.#scrollToEnd();
    this.#showPills(conversation);
    this.#reportRead(conversation);
    this.#lastTop = this.#scroller.scrollTop;
  }

  /**
   * Makes the rows again whose messages have changed.
   * @param {Conversation} conversation
   */
  #refresh(conversation) {
    const changes = this.#hooks.changes(conversation).map(({ nonce, state }) => nonce + state);
    const shown = `${conversation.key} ${conversation.revision} ${changes}`;
    if (shown !== this.#shown && !this.#isPressed) {
      this.#shown = shown;
      const refresh = () => this.#rows.refresh(conversation, this.#readUpTo);
      this.#isFollowing ? refresh() : this.#keepInView(refresh);
    }
  }

  /**
   * Once everything is there that was written before, the reader begins where the
   * account has read up to.
   * @param {Conversation} conversation
   */
  #settle(conversation) {
    if (this.#isSettling && this.#hooks.isCurrent(conversation)) {
      const { readUpTo, unread } = this.#hooks.mark(conversation);
      this.#isSettling = false;
      this.#readUpTo = unread > 0 ? readUpTo : 0;
      this.#unread = unread;
      this.#seenUpTo = unread > 0 ? readUpTo : conversation.end;
      if (this.#isFollowing) {
        this.#generation = -1;
      } else if (this.#readUpTo > 0) {
        // The reader has gone elsewhere meanwhile, and stays there.
        this.#keepInView(() => this.#rows.remake(conversation, firstNew(conversation, this.#readUpTo, this.#hooks.me), this.#readUpTo));
      }
    }
  }

  /**
   * Whether the target was asked for and did not come: it is no longer kept, or
   * never existed.
   * @param {Conversation} conversation
   */
  #isTargetGone(conversation) {
    const seq = this.#target;
    return seq > 0 && this.#sought === seq && near(conversation, seq) === 0 && !this.#hooks.isSeeking(conversation, seq);
  }

  /** @param {Conversation} conversation */
  #giveUpTarget(conversation) {
    this.#target = 0;
    this.#isFollowing = true;
    if (!conversation.isAtEnd) {
      this.#hooks.load(conversation, "latest");
    }
    this.#hooks.missing();
  }

  /**
   * The number around which to begin. Asks for the target if it is not in memory.
   * @param {Conversation} conversation
   */
  #startOf(conversation) {
    const target = this.#target;
    if (target > 0 && near(conversation, target) === 0 && conversation.isLoaded && this.#sought !== target) {
      this.#sought = target;
      this.#hooks.load(conversation, "around", target);
    }
    if (this.#returnTo && !isIn(conversation, this.#returnTo)) {
      this.#returnTo = undefined;
    }
    return startOf(conversation, { target, anchor: this.#returnTo, readUpTo: this.#readUpTo, me: this.#hooks.me });
  }

  /**
   * Scrolls new rows to where the reader begins.
   * @param {Conversation} conversation
   */
  #scrollToStart(conversation) {
    const target = this.#target ? this.#rows.of(near(conversation, this.#target))?.item : null;
    const anchor = this.#returnTo;
    const left = anchor ? this.#rows.of(anchor.seq)?.item : null;
    const line = this.#list.querySelector(".new-line");
    this.#returnTo = undefined;
    if (target) {
      target.scrollIntoView({ block: "center" });
      target.classList.add("target");
      setTimeout(() => target.classList.remove("target"), TARGET_MS);
      this.#target = 0;
      this.#isFollowing = false;
    } else if (anchor && left) {
      const { top, height } = left.getBoundingClientRect();
      // It may be smaller than it was: what was unfolded is folded again.
      this.#scroller.scrollTop += top - this.#edge - Math.max(anchor.offset, -height);
      this.#isFollowing = false;
    } else if (line) {
      const { top } = line.getBoundingClientRect();
      this.#scroller.scrollTop += top - this.#edge - this.#scroller.clientHeight * 0.25;
      this.#isFollowing = conversation.isAtEnd && this.#below < NEAR_PX;
    } else {
      this.#scrollToEnd();
      // What is on its way is followed, too.
      this.#isFollowing ||= conversation.isAtEnd;
    }
  }

  /**
   * Replaces all rows by those around a number.
   * @param {Conversation} conversation
   * @param {number} seq
   */
  #rebuild(conversation, seq) {
    this.#rows.clear();
    this.#frame.clearTail();
    this.#rows.moveTo(conversation, rangeAround(conversation, seq), this.#readUpTo);
  }

  /**
   * Finds out whether the view still follows the end of the log.
   * @param {Conversation} conversation
   */
  #follow(conversation) {
    const view = { top: this.#scroller.scrollTop, lastTop: this.#lastTop, below: this.#below };
    const isFollowing = stillFollows(this.#isFollowing, view, conversation.isAtEnd);
    if (this.#isFollowing && !isFollowing && !conversation.isAtEnd) {
      this.#hooks.cancelLatest(conversation);
    }
    this.#isFollowing = isFollowing;
  }

  /**
   * Adds what comes into reach, and drops what is far away.
   * @param {Conversation} conversation
   */
  #advance(conversation) {
    const reader = { above: this.#scroller.scrollTop, below: this.#below, isFollowing: this.#isFollowing };
    const { range, isRebuilt, isAnchored, isMore, loads } = advance(conversation, this.#rows.range, reader);
    const { first, last } = this.#rows.range;
    if (isRebuilt) {
      this.#rows.clear();
      this.#frame.clearTail();
    }
    if (isRebuilt || range.first !== first || range.last !== last) {
      const move = () => this.#rows.moveTo(conversation, range, this.#readUpTo);
      isAnchored ? this.#keepInView(move) : move();
    }
    if (isMore) this.update();
    for (const part of loads) this.#hooks.load(conversation, part);
  }

  /**
   * Changes rows so that the message at the upper edge stays where it is.
   * @param {() => void} change
   */
  #keepInView(change) {
    const anchor = this.#rows.at(this.#edge)?.seq ?? 0;
    const before = this.#rows.of(anchor)?.item?.getBoundingClientRect().bottom ?? 0;
    change();
    const after = this.#rows.of(anchor)?.item?.getBoundingClientRect().bottom ?? before;
    this.#scroller.scrollTop += after - before;
  }

  /** Notes where the reader is, unless that is at the end. */
  #keepAnchor() {
    const conversation = this.#conversation;
    // Until the next frame, the page may still show another conversation.
    if (!conversation || this.#generation !== conversation.generation) {
      return;
    }
    const row = this.#isFollowing ? undefined : this.#rows.at(this.#edge);
    if (row?.item) {
      const offset = row.item.getBoundingClientRect().top - this.#edge;
      this.#anchors.set(conversation, { epoch: conversation.epoch, seq: row.seq, offset });
    } else {
      this.#anchors.delete(conversation);
    }
  }

  /**
   * @param {Conversation} conversation
   * @param {Item[]} items
   */
  #showTail(conversation, items) {
    const { me, names, shown, shownItem, quote } = this.#hooks;
    const isDeleted = (/** @type {Entry | Item} */ message) => ("kind" in message && "from" in message ? shown(conversation, message) : shownItem(message)).deleted === true;
    // Only the newest own message says whether it is stored.
    this.#list.classList.toggle("at-end", conversation.isAtEnd && this.#rows.range.last === conversation.last);
    this.#frame.showTail(tailOf(conversation, this.#rows.range, { me, items, isDeleted }), {
      names: () => names(conversation),
      shown: shownItem,
      quote: (message) => quote(conversation, message),
      focus: (nonce) => this.#rows.withNonce(nonce)?.item?.focus({ preventScroll: true }),
    });
  }

  /** @param {Conversation} conversation */
  #showPills(conversation) {
    const reader = { isFollowing: this.#isFollowing, below: this.#below, readUpTo: this.#unread > 0 ? this.#readUpTo : 0, me: this.#hooks.me };
    const unseen = conversation.countAfter(this.#seenUpTo);
    this.#frame.showPills(pillsOf(conversation, this.#rows.range, reader), unseen, this.#unread);
  }

  /** @param {Conversation} conversation */
  #reportRead(conversation) {
    const isAtEnd = this.#isFollowing && conversation.isAtEnd;
    const seen = isAtEnd ? conversation.end : this.#rows.lastInView(this.#scroller.getBoundingClientRect().bottom);
    this.#seenUpTo = Math.max(this.#seenUpTo, seen);
    if (seen > 0 && !this.#isSettling) {
      this.#hooks.read(conversation, seen);
    }
  }

  #removeLine() {
    if (this.#readUpTo > 0 && this.#conversation) {
      const first = firstNew(this.#conversation, this.#readUpTo, this.#hooks.me);
      this.#readUpTo = 0;
      this.#rows.remake(this.#conversation, first, 0);
    }
  }

  /**
   * Puts room above rows that do not fill the view: then they are scrolled up when more
   * come, as all rows are, and nothing is laid out anew.
   * @param {boolean} [isAtOnce] whether the room is taken away at once where it is not needed
   */
  #fit(isAtOnce = true) {
    const height = this.#list.childElementCount > 0 ? this.#list.offsetTop + this.#list.offsetHeight - byId("top", HTMLElement).offsetTop : Infinity;
    const isShort = height <= this.#scroller.clientHeight;
    if (this.#isShort && !isShort && !isAtOnce) {
      if (this.#isFitting) return;
      this.#isFitting = true;
      // In a frame of its own, in which nothing else moves.
      requestAnimationFrame(() => {
        requestAnimationFrame(() => (this.#isFitting = false));
        const { scrollHeight, scrollTop } = this.#scroller;
        this.#fit();
        this.#scroller.scrollTop = scrollTop - (scrollHeight - this.#scroller.scrollHeight);
        this.#lastTop = this.#scroller.scrollTop;
      });
    } else {
      this.#scroller.classList.toggle("short", isShort);
    }
  }

  get #isShort() {
    return this.#scroller.classList.contains("short");
  }

  #scrollToEnd() {
    this.#fit(false);
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#lastTop = this.#scroller.scrollTop;
  }

  /** How many pixels there are below the view. */
  get #below() {
    return this.#scroller.scrollHeight - this.#scroller.scrollTop - this.#scroller.clientHeight;
  }

  /** The upper edge of the view, from the top of the page. */
  get #edge() {
    return this.#scroller.getBoundingClientRect().top;
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const chosen = event.target instanceof Element ? event.target.closest("[data-act]") : null;
    const item = chosen?.closest("li");
    if (chosen instanceof HTMLElement && item && chosen.dataset.act === "fold") {
      turnFold(item);
      const isFolded = item.classList.contains("folded");
      this.#isFollowing &&= isFolded;
      // The reader goes on at the beginning of what was unfolded, also where that is above the view.
      const above = isFolded ? this.#edge - item.getBoundingClientRect().top : 0;
      if (above > 0) this.#scroller.scrollTop -= above;
    } else if (chosen instanceof HTMLElement && item) {
      this.#hooks.act(chosen.dataset.act ?? "", item, chosen);
    }
  }
}

function today() {
  return dayNumberOf(Date.now() / 1000);
}

/** A click event comes right after the pointer is released; on a touch screen a little later. */
const CLICKED_AFTER_MS = 100;
/** How long a message that an address names is marked. */
const TARGET_MS = 2_500;
