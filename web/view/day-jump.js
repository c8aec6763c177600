// Jumps to a day: a calendar, from which the first message of the chosen day is looked
// for in the open conversation.

import { DaySearch, firstInMemory } from "../logic/day-search.js";
import { localeOf, t } from "../words.js";
import { button, element, symbol } from "./dom.js";
import { make, mount } from "./make.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/client.js").Input} Input */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("./directory.js").Directory} Directory */

export class DayJump {
  #month = make("p", { id: "day-month", class: "title", "aria-live": "polite" });
  #previous = make("button", { type: "button", class: "icon previous", "data-t-label": "previousMonth" }, symbol("next"));
  #next = make("button", { type: "button", class: "icon", "data-t-label": "nextMonth" }, symbol("next"));
  #names = make("div", { class: "weekdays", "aria-hidden": "true" });
  #days = make("div", { class: "days", role: "group", "aria-labelledby": "day-month" });
  #dialog = mount(
    make(
      "dialog",
      { id: "day-jump", class: "day-jump", "data-t-label": "jumpToDay", closedby: "any" },
      make("header", {}, this.#previous, this.#month, this.#next),
      this.#names,
      this.#days,
    ),
  );
  #client;
  #directory;
  #hooks;
  /** The day that has the focus. */
  #day = new Date();

  /**
   * @param {Client} client
   * @param {Directory} directory
   * @param {object} hooks
   * @param {(input: Input) => void} hooks.step
   * @param {(key: Key, seq?: number) => void} hooks.go opens a conversation, at a message
   * @param {(sentence: string) => void} hooks.toast
   */
  constructor(client, directory, hooks) {
    this.#client = client;
    this.#directory = directory;
    this.#hooks = hooks;
    this.#previous.addEventListener("click", () => this.#turn(-1));
    this.#next.addEventListener("click", () => this.#turn(1));
    this.#days.addEventListener("click", ({ target }) => {
      const chosen = target instanceof Element ? target.closest("button") : null;
      if (chosen) this.#choose(new Date(this.#day.getFullYear(), this.#day.getMonth(), Number(chosen.dataset.day)));
    });
    this.#dialog.addEventListener("keydown", (event) => this.#keyDown(event));
    // For browsers without `closedby`.
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
  }

  /** @param {number} [timestamp] of the day to begin with, Unix seconds; today without it */
  open(timestamp = Date.now() / 1000) {
    this.#show(new Date(timestamp * 1000));
    this.#dialog.showModal();
    this.#focus();
  }

  /**
   * Shows the month of a day.
   * @param {Date} day
   */
  #show(day) {
    const today = new Date();
    this.#day = day > today ? today : day;
    const [year, month] = [this.#day.getFullYear(), this.#day.getMonth()];
    const locale = localeOf();
    this.#month.textContent = new Intl.DateTimeFormat(locale, { month: "long", year: "numeric" }).format(this.#day);
    this.#next.disabled = year === today.getFullYear() && month === today.getMonth();
    const first = firstDayOfWeek(locale);
    const weekday = new Intl.DateTimeFormat(locale, { weekday: "short" });
    // 1 January 2024 was a Monday.
    this.#names.replaceChildren(...Array.from({ length: 7 }, (_, i) => element("span", "", weekday.format(new Date(2024, 0, first + i)))));
    const full = new Intl.DateTimeFormat(locale, { dateStyle: "full" });
    const blank = (new Date(year, month, 1).getDay() - first + 7) % 7;
    const count = new Date(year, month + 1, 0).getDate();
    const days = Array.from({ length: count }, (_, i) => {
      const date = new Date(year, month, i + 1);
      const choice = button("", String(i + 1));
      choice.dataset.day = String(i + 1);
      choice.ariaLabel = full.format(date);
      choice.disabled = date > today;
      choice.tabIndex = i + 1 === this.#day.getDate() ? 0 : -1;
      if (date.toDateString() === today.toDateString()) choice.ariaCurrent = "date";
      return choice;
    });
    this.#days.replaceChildren(...Array.from({ length: blank }, () => element("span")), ...days);
  }

  #focus() {
    const chosen = this.#days.querySelector("[tabindex='0']");
    if (chosen instanceof HTMLElement) chosen.focus();
  }

  /** @param {number} months */
  #turn(months) {
    const [year, month, date] = [this.#day.getFullYear(), this.#day.getMonth() + months, this.#day.getDate()];
    this.#show(new Date(year, month, Math.min(date, new Date(year, month + 1, 0).getDate())));
  }

  /** @param {KeyboardEvent} event */
  #keyDown(event) {
    const { key } = event;
    const days = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 }[key];
    if (key === "PageUp" || key === "PageDown") {
      event.preventDefault();
      this.#turn(key === "PageUp" ? -1 : 1);
      this.#focus();
    } else if (days && this.#days.contains(document.activeElement)) {
      event.preventDefault();
      this.#show(new Date(this.#day.getFullYear(), this.#day.getMonth(), this.#day.getDate() + days));
      this.#focus();
    }
  }

  /** @param {Date} day its beginning, in this browser's time zone */
  async #choose(day) {
    const key = this.#directory.current;
    const conversation = key && this.#client.conversations.get(key);
    if (!key || !conversation || this.#dialog.ariaBusy === "true") {
      return;
    }
    const time = day.getTime() / 1000;
    this.#dialog.ariaBusy = "true";
    try {
      const found = await this.#find(key, time);
      this.#dialog.close();
      if (key !== this.#directory.current) return;
      if (!found) {
        this.#hooks.toast(t.noMessageSince);
        return;
      }
      const after = new Date(day.getFullYear(), day.getMonth(), day.getDate() + 1).getTime() / 1000;
      if (found.timestamp >= after) this.#hooks.toast(t.noMessageThatDay);
      this.#hooks.go(key, found.seq);
    } catch {
      this.#hooks.toast(t.loadedLater);
    } finally {
      this.#dialog.ariaBusy = null;
    }
  }

  /**
   * Looks for the first message at a time, or after it.
   * @param {Key} key
   * @param {number} time Unix seconds
   * @throws if the server does not answer
   */
  async #find(key, time) {
    const conversation = this.#client.conversations.of(key);
    const known = firstInMemory(conversation, time);
    if (known !== undefined) {
      return known;
    }
    const search = new DaySearch(conversation, time);
    for (let seqs = search.next; seqs.length > 0; seqs = search.next) {
      this.#hooks.step({ type: "quotes", key, seqs });
      const isKnown = () => seqs.every((seq) => conversation.quote(seq) !== undefined);
      for (let waited = 0; !isKnown(); waited += LOOKED_EVERY_MS) {
        if (this.#client.state !== "open" || waited > ANSWERED_WITHIN_MS) throw new Error("no answer");
        await new Promise((done) => setTimeout(done, LOOKED_EVERY_MS));
      }
      search.add(seqs, seqs.flatMap((seq) => conversation.quote(seq) ?? []), conversation.kept);
    }
    return search.found;
  }
}

/**
 * The day with which a week begins: 1 for Monday, 0 or 7 for Sunday.
 * @param {string} locale
 */
function firstDayOfWeek(locale) {
  const info = /** @type {any} */ (new Intl.Locale(locale));
  return (info.getWeekInfo?.() ?? info.weekInfo)?.firstDay ?? 1;
}

const LOOKED_EVERY_MS = 30;
const ANSWERED_WITHIN_MS = 15_000;
