// Chooses an emoji: a search in both languages, those used last, and all by groups. On
// a phone it is a sheet at the lower edge.

import { found, inTone } from "../logic/emoji.js";
import { t, translate } from "../words.js";
import { button, element, symbol } from "./dom.js";
import { allEmoji } from "./emoji.js";
import { nameOf } from "./emoji-names.js";
import { make, mount } from "./make.js";

/** @typedef {import("../logic/emoji.js").Emoji} Emoji */
/** @typedef {import("./emoji.js").EmojiUse} EmojiUse */

export class EmojiPicker {
  #search = make("input", { type: "text", role: "searchbox", inputmode: "search", autocomplete: "off", spellcheck: "false", enterkeyhint: "search", "data-t-placeholder": "findEmoji", "data-t-label": "findEmoji" });
  #tabs = make("div", { class: "emoji-tabs", role: "group", "data-t-label": "emojiGroups" });
  #list = make("div", { class: "emoji-list" });
  #name = make("output", { class: "emoji-name" });
  #tones = make("div", { class: "emoji-tones", role: "group", "data-t-label": "skinTone" });
  #dialog = mount(
    make(
      "dialog",
      { class: "emoji-picker", "data-t-label": "emoji", closedby: "any" },
      make("div", { class: "emoji-head" }, this.#search, make("button", { type: "button", class: "icon", value: "close", "data-t-label": "close" }, symbol("close"))),
      this.#tabs,
      this.#list,
      make("div", { class: "emoji-foot" }, this.#name, this.#tones),
    ),
  );
  #use;
  #failed;
  /** @type {Emoji[]} */
  #all = [];
  /** The emoji of the buttons. @type {Map<Element, Emoji>} */
  #shown = new Map();
  /** @type {((emoji: string | null) => void) | null} */
  #chosen = null;

  /**
   * @param {EmojiUse} use
   * @param {() => void} failed the emoji could not be loaded
   */
  constructor(use, failed) {
    this.#use = use;
    this.#failed = failed;
    this.#search.addEventListener("input", () => this.#show());
    this.#dialog.addEventListener("keydown", (event) => this.#key(event));
    this.#dialog.addEventListener("click", ({ target }) => this.#click(target));
    this.#dialog.addEventListener("close", () => this.#end(null));
    for (const kind of /** @type {const} */ (["pointerover", "focusin"])) this.#list.addEventListener(kind, ({ target }) => this.#tell(target));
    this.#list.addEventListener("scroll", () => this.#markTab(), { passive: true });
  }

  /**
   * @param {Element | null} beside where it opens, where there is room
   * @returns {Promise<string | null>} the emoji that was chosen, if one was
   */
  async choose(beside) {
    const at = beside?.getBoundingClientRect();
    try {
      this.#all = await allEmoji();
    } catch {
      this.#failed();
      return null;
    }
    this.#end(null);
    this.#search.value = "";
    translate(this.#dialog);
    this.#dialog.showModal();
    this.#showTones();
    this.#show();
    this.#place(at);
    // On a phone the keyboard would cover the emoji.
    if (matchMedia("(hover: none) and (pointer: coarse)").matches) this.#first?.focus();
    else this.#search.focus();
    return new Promise((chosen) => (this.#chosen = chosen));
  }

  /** @param {string | null} emoji */
  #end(emoji) {
    const chosen = this.#chosen;
    this.#chosen = null;
    if (this.#dialog.open) this.#dialog.close();
    this.#list.replaceChildren();
    this.#shown.clear();
    chosen?.(emoji);
  }

  /** @param {DOMRect | undefined} at */
  #place(at) {
    const { style } = this.#dialog;
    const { offsetWidth, offsetHeight } = this.#dialog;
    if (!at || matchMedia("(width < 48rem)").matches) {
      style.left = style.top = "";
      return;
    }
    style.left = `${Math.max(8, Math.min(at.right - offsetWidth, innerWidth - offsetWidth - 8))}px`;
    const below = at.bottom + 6;
    style.top = `${below + offsetHeight + 8 <= innerHeight ? below : Math.max(8, at.top - offsetHeight - 6)}px`;
  }

  /** Shows what is searched for, or everything. */
  #show() {
    const query = this.#search.value;
    this.#shown.clear();
    this.#tabs.hidden = query.trim() !== "";
    if (this.#tabs.hidden) {
      const some = found(this.#all, query);
      this.#list.replaceChildren(some.length > 0 ? this.#grid(some) : element("p", "quiet", t.noEmoji));
    } else {
      const recent = this.#use.recent.flatMap((used) => {
        const base = used.replace(/[\u{1f3fb}-\u{1f3ff}]/gu, "");
        const one = this.#all.find(({ emoji }) => emoji === used) ?? this.#all.find(({ emoji }) => emoji.replaceAll("\ufe0f", "") === base.replaceAll("\ufe0f", ""));
        return one ? [one] : [];
      });
      const groups = t.emojiGroupNames.map((name, group) => ({ name, sign: "", all: this.#all.filter((one) => one.group === group) }));
      const all = [{ name: t.recentEmoji, sign: "🕘", all: [...new Set(recent)].slice(0, RECENT_MAX) }, ...groups].filter(({ all }) => all.length > 0);
      this.#list.replaceChildren(
        ...all.map(({ name, all }) => element("section", "", element("h3", "", name), this.#grid(all))),
      );
      this.#tabs.replaceChildren(
        ...all.map(({ name, sign, all }, index) => {
          const tab = button("", sign || (all[0]?.emoji ?? ""));
          tab.title = name;
          tab.ariaLabel = name;
          tab.dataset.tab = String(index);
          return tab;
        }),
      );
    }
    this.#list.scrollTop = 0;
    this.#markTab();
    this.#tell(this.#first);
    const first = this.#first;
    if (first) first.tabIndex = 0;
  }

  /** @param {Emoji[]} all */
  #grid(all) {
    const grid = element("div", "emoji-grid");
    const { tone } = this.#use;
    for (const one of all) {
      const choice = button("", inTone(one, tone));
      choice.tabIndex = -1;
      choice.ariaLabel = nameOf(one);
      this.#shown.set(choice, one);
      grid.append(choice);
    }
    return grid;
  }

  #showTones() {
    const hand = /** @type {const} */ ({ emoji: "✋", rule: "a" });
    this.#tones.replaceChildren(
      ...t.skinTones.map((name, tone) => {
        const choice = button("", inTone(hand, tone));
        choice.title = choice.ariaLabel = name;
        choice.ariaPressed = String(tone === this.#use.tone);
        choice.dataset.tone = String(tone);
        return choice;
      }),
    );
  }

  /** @returns {HTMLElement[]} */
  get #choices() {
    return /** @type {HTMLElement[]} */ ([...this.#shown.keys()]);
  }

  get #first() {
    return this.#choices[0];
  }

  /** Says the name of an emoji. @param {EventTarget | null | undefined} target */
  #tell(target) {
    const one = target instanceof Element ? this.#shown.get(target) : undefined;
    if (one && target instanceof Element) this.#name.replaceChildren(element("span", "sign", target.textContent ?? ""), element("span", "title", nameOf(one)));
    else if (this.#shown.size === 0) this.#name.replaceChildren();
  }

  #markTab() {
    const { top } = this.#list.getBoundingClientRect();
    const sections = [...this.#list.querySelectorAll("section")];
    const current = Math.max(0, sections.findLastIndex((section) => section.getBoundingClientRect().top <= top + 8));
    for (const [index, tab] of [...this.#tabs.children].entries()) tab.ariaCurrent = String(index === current);
    // Where not all of them have room.
    this.#tabs.children[current]?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** @param {EventTarget | null} target */
  #click(target) {
    const pressed = target instanceof Element ? target.closest("button") : null;
    const one = pressed ? this.#shown.get(pressed) : undefined;
    if (target === this.#dialog || pressed?.value === "close") {
      // For browsers without `closedby`.
      this.#end(null);
    } else if (one) {
      this.#end(inTone(one, this.#use.tone));
    } else if (pressed?.dataset.tone) {
      this.#use.tone = Number(pressed.dataset.tone);
      this.#showTones();
      for (const [choice, one] of this.#shown) choice.textContent = inTone(one, this.#use.tone);
      const again = this.#tones.children[this.#use.tone];
      if (again instanceof HTMLElement) again.focus();
    } else if (pressed?.dataset.tab) {
      const section = this.#list.querySelectorAll("section")[Number(pressed.dataset.tab)];
      if (section) this.#list.scrollTop += section.getBoundingClientRect().top - this.#list.getBoundingClientRect().top;
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { key, target, isComposing, altKey, ctrlKey, metaKey } = event;
    if (isComposing || altKey || ctrlKey || metaKey) {
      return;
    }
    if (target === this.#search) {
      if (key === "ArrowDown") {
        event.preventDefault();
        this.#focus(this.#first);
      } else if (key === "Enter") {
        event.preventDefault();
        if (this.#search.value.trim()) this.#first?.click();
      }
      return;
    }
    const choices = this.#choices;
    const index = target instanceof HTMLElement ? choices.indexOf(target) : -1;
    if (index < 0) {
      return;
    }
    const isRtl = getComputedStyle(this.#list).direction === "rtl";
    /** @type {Record<string, () => HTMLElement | undefined>} */
    const moves = {
      ArrowRight: () => choices[index + (isRtl ? -1 : 1)],
      ArrowLeft: () => choices[index + (isRtl ? 1 : -1)],
      ArrowDown: () => besides(choices, index, 1),
      ArrowUp: () => besides(choices, index, -1) ?? this.#search,
      Home: () => choices[0],
      End: () => choices.at(-1),
    };
    const move = moves[key];
    if (move) {
      event.preventDefault();
      this.#focus(move());
    } else if (key.length === 1 && key !== " ") {
      // What the user types belongs into the search.
      this.#search.focus();
    }
  }

  /** @param {HTMLElement | undefined} next */
  #focus(next) {
    if (next && next !== this.#search) {
      for (const choice of this.#list.querySelectorAll("[tabindex='0']")) if (choice instanceof HTMLElement) choice.tabIndex = -1;
      next.tabIndex = 0;
    }
    next?.focus();
  }
}

/**
 * The choice above or below another one: the nearest in the next row.
 * @param {HTMLElement[]} choices
 * @param {number} index
 * @param {1 | -1} step
 */
function besides(choices, index, step) {
  const from = choices[index]?.getBoundingClientRect();
  if (!from) {
    return undefined;
  }
  let best;
  let row = NaN;
  let least = Infinity;
  for (let at = index + step; choices[at]; at += step) {
    const { top, left } = /** @type {HTMLElement} */ (choices[at]).getBoundingClientRect();
    if (Math.abs(top - from.top) < 2) continue;
    if (Number.isNaN(row)) row = top;
    if (Math.abs(top - row) >= 2) break;
    if (Math.abs(left - from.left) < least) {
      least = Math.abs(left - from.left);
      best = choices[at];
    }
  }
  return best;
}

/** Two rows of the emoji that were used last. */
const RECENT_MAX = 16;
