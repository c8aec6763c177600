// The page of the settings with reports of messages: for administrators all, for moderators
// those of their rooms.

import { agoOf } from "../relative-time.js";
import { ask } from "../view/ask.js";
import { button, element, isolated, symbol } from "../view/dom.js";
import { make } from "../view/make.js";
import { Pages } from "../view/pages.js";
import { listOf as namesOf, t } from "../words.js";
import { askBan } from "./ban.js";
import * as calls from "./calls.js";
import { apart, listOf, momentOf } from "./pieces.js";
import { sentenceOf } from "./wording.js";

/** @typedef {calls.Report} Report */

export class ReportsPage {
  #states = STATES.map(([state, word]) => make("button", { type: "button", "data-state": state, "data-t": word }));
  #parts = listOf("reports", "reports");
  node = make("div", { class: "reports" }, make("div", { class: "segments", role: "group", "data-t-label": "reports" }, ...this.#states), this.#parts.node);
  #desk;
  /** @type {"open" | "done"} */
  #state = "open";
  /** @type {Pages<Report>} */
  #pages;
  /** @type {Report[]} */
  #reports = [];
  #isLoaded = false;

  /** @param {import("./main.js").Desk} desk */
  constructor(desk) {
    this.#desk = desk;
    this.#pages = new Pages(
      async (state, before) => {
        const { reports: items, next } = await calls.reports({ state: state === "done" ? "done" : "open", before });
        return { items, next };
      },
      ({ items, hasMore, isLoading, error }) => {
        if (isLoading) return;
        this.#reports = items;
        this.#isLoaded = !error;
        this.#parts.wrong.textContent = error ? sentenceOf(error) : "";
        this.#parts.more.hidden = !hasMore;
        this.retranslate();
      },
    );
    this.#parts.more.addEventListener("click", () => this.#pages.more());
    for (const choice of this.#states) {
      choice.addEventListener("click", () => {
        this.#state = choice.dataset.state === "done" ? "done" : "open";
        this.#load();
      });
    }
  }

  open() {
    this.#state = "open";
    this.#load();
  }

  close() {
    this.#pages.clear();
  }

  retranslate() {
    for (const choice of this.#states) choice.ariaPressed = String(choice.dataset.state === this.#state);
    this.#parts.list.replaceChildren(...this.#reports.map((report) => this.#card(report)));
    this.#parts.words.textContent = this.#isLoaded && this.#reports.length === 0 ? (this.#state === "open" ? t.noOpenReports : t.noDoneReports) : "";
  }

  #load() {
    for (const choice of this.#states) choice.ariaPressed = String(choice.dataset.state === this.#state);
    return this.#pages.search(this.#state);
  }

  /** @param {Report} report */
  #card(report) {
    const { id, room, between, from, text, reporter, reason, at, state, by } = report;
    const place = room !== undefined ? apart(this.#desk.titleOf(room)) : t.privateBetween(namesOf((between ?? []).map(apart)));
    const head = element("p", "report-place", place, " · ", agoOf(at));
    head.title = momentOf(at);
    const quote = element("blockquote", "reported");
    if (from === undefined) {
      quote.append(element("p", "quiet", room === undefined ? t.reportUnreadable : t.reportGone));
    } else {
      const words = element("p", "", text ?? "");
      words.dir = "auto";
      quote.append(isolated(from, "title"), words);
    }
    const why = element("p", "report-reason", element("span", "quiet", `${t.reportedBy(apart(reporter))} `), isolated(reason));
    const buttons = element("div", "buttons");
    const me = this.#desk.me();
    const key = /** @type {import("../logic/conversation.js").Key | null} */ (
      room !== undefined ? `#${room}` : between?.includes(me) ? `@${between.find((name) => name !== me) ?? me}` : null
    );
    /**
     * @param {string} name
     * @param {string} sign
     * @param {string} word
     * @param {() => unknown} act
     */
    const add = (name, sign, word, act) => {
      const choice = button(DANGERS.includes(name) ? "plain danger" : "plain", symbol(sign), word);
      choice.dataset.action = name;
      choice.addEventListener("click", () => act());
      buttons.append(choice);
    };
    if (key && from !== undefined) add("go", "next", t.goToMessage, () => this.#desk.go(key, report.seq));
    if (room !== undefined && from !== undefined) add("delete", "delete", t.deleteReported, () => this.#remove(report));
    if (from !== undefined && from !== me && this.#desk.isAdministrator()) add("ban", "lock", t.banAuthor, () => this.#ban(report));
    state === "open" ? add("done", "stored", t.reportDone, () => this.#set(report, "done")) : add("open", "waiting", t.reportReopen, () => this.#set(report, "open"));
    const nodes = [head, quote, why];
    if (state === "done" && by !== undefined) nodes.push(element("p", "quiet", t.doneBy(apart(by))));
    const card = make("li", { class: "report", "data-id": String(id) }, ...nodes, buttons);
    return card;
  }

  /** @param {Report} report */
  async #remove({ id, room = "", seq }) {
    if (!(await ask(t.deleteReportedQuestion, t.discard, t.deleteReportedHint))) return;
    this.#desk.remove(`#${room}`, seq);
    // The server tells of it once it is stored.
    for (let i = 0; i < 20 && this.#reports.some((report) => report.id === id && report.from !== undefined); i += 1) {
      await new Promise((done) => setTimeout(done, 250));
      if (!this.node.isConnected) return;
      await this.#load();
    }
    this.#focus(id);
  }

  /** @param {Report} report */
  async #ban({ id, from = "" }) {
    await askBan(from);
    this.#focus(id);
  }

  /**
   * @param {Report} report
   * @param {"open" | "done"} state
   */
  async #set({ id }, state) {
    let sentence = "";
    const index = this.#reports.findIndex((report) => report.id === id);
    try {
      await calls.setReport(id, state);
      this.#desk.reported();
    } catch (error) {
      sentence = sentenceOf(error);
    }
    await this.#load();
    if (sentence) this.#parts.wrong.textContent = sentence;
    const next = this.#reports[Math.min(index, this.#reports.length - 1)];
    next ? this.#focus(next.id) : this.#states[0]?.focus();
  }

  /** @param {number} id */
  #focus(id) {
    const next = this.#parts.list.querySelector(`[data-id="${id}"] button`) ?? this.#states[0];
    if (next instanceof HTMLElement) next.focus({ preventScroll: true });
  }
}

/** What cannot be taken back, or hits a user. */
const DANGERS = ["delete", "ban"];
/** @type {[state: string, word: string][]} */
const STATES = [
  ["open", "openReports"],
  ["done", "doneReports"],
];
