// The page of the settings that says what administrators and moderators have done.

import { element, isolated } from "../view/dom.js";
import { make } from "../view/make.js";
import { Pages } from "../view/pages.js";
import { t } from "../words.js";
import * as calls from "./calls.js";
import { apart, listOf, momentOf } from "./pieces.js";
import { sentenceOf } from "./wording.js";

/** @typedef {calls.AuditEntry} AuditEntry */

export class AuditPage {
  #parts = listOf("audit", "audit");
  /** A long list without buttons: the focus lets the keys scroll it. */
  node = make("div", { class: "audit", tabindex: "0" }, make("p", { class: "quiet", "data-t": "auditHint" }), this.#parts.node);
  #desk;
  /** @type {Pages<AuditEntry>} */
  #pages;
  /** @type {AuditEntry[]} */
  #entries = [];
  #isLoaded = false;

  /** @param {import("./main.js").Desk} desk */
  constructor(desk) {
    this.#desk = desk;
    this.#pages = new Pages(
      async (_, before) => {
        const { entries: items, next } = await calls.audit(before);
        return { items, next };
      },
      ({ items, hasMore, isLoading, error }) => {
        if (isLoading) return;
        this.#entries = items;
        this.#isLoaded = !error;
        this.#parts.wrong.textContent = error ? sentenceOf(error) : "";
        this.#parts.more.hidden = !hasMore;
        this.retranslate();
      },
    );
    this.#parts.more.addEventListener("click", () => this.#pages.more());
  }

  open() {
    this.#pages.search("");
  }

  close() {
    this.#pages.clear();
  }

  retranslate() {
    this.#parts.list.replaceChildren(...this.#entries.map((entry) => this.#line(entry)));
    this.#parts.words.textContent = this.#isLoaded && this.#entries.length === 0 ? t.noAudit : "";
  }

  /** @param {AuditEntry} entry */
  #line({ by, at, action, target, details = {} }) {
    const actions = /** @type {Record<string, (target: string, details: Record<string, any>) => string>} */ (t.auditActions);
    const room = details.room ?? (action.startsWith("room.") ? target : "");
    const known = { ...details, room: room ? apart(this.#desk.titleOf(room)) : "" };
    const words = Object.hasOwn(actions, action) ? actions[action]?.(apart(target), known) : `${action} ${apart(target)}`;
    const line = element("div", "", element("p", "", words ?? ""));
    if (details.reason) line.append(element("p", "report-reason quiet", isolated(details.reason)));
    line.append(element("small", "", [by === "server" ? t.operator : apart(by), momentOf(at)].join(" · ")));
    return make("li", { "data-action": action }, line);
  }
}
