// The page of the settings for bots: a form that makes one, and the list of them.

import * as rooms from "../rooms.js";
import { ask } from "../view/ask.js";
import { button, element, isolated, symbol } from "../view/dom.js";
import { make } from "../view/make.js";
import { addSymbols } from "../view/symbols.js";
import { t, titleOf } from "../words.js";
import * as calls from "./calls.js";
import { apart, askWith, choose, fieldOf, listOf, momentOf, selectOf, showLink, showOnce } from "./pieces.js";
import { sentenceOf } from "./wording.js";

export class BotsPage {
  #name = make("input", { id: "bot-name", maxlength: "24", autocomplete: "off", dir: "auto", required: true });
  #room = selectOf("bot-room", []);
  #submit = make("button", { class: "primary", "data-t": "makeBot" });
  #wrong = make("p", { class: "error", role: "alert" });
  #form = make(
    "form",
    { id: "bot-form", novalidate: true },
    make("p", { class: "quiet", "data-t": "botsHint" }),
    fieldOf(this.#name, "botName"),
    fieldOf(this.#room, "botRoom"),
    this.#wrong,
    make("div", { class: "buttons" }, this.#submit),
  );
  #parts = listOf("bots", "botsPage");
  node = make("div", { class: "bots" }, this.#form, this.#parts.node);
  /** @type {rooms.Room[]} */
  #rooms = [];
  /** @type {calls.Bot[]} */
  #bots = [];
  #isLoaded = false;

  constructor() {
    addSymbols({ hook: "M15 7.2V15a4.5 4.5 0 0 1-9 0v-3l3 3M13 5.2a2 2 0 1 0 4 0 2 2 0 1 0-4 0z", outgoing: "M4 12h14M12 6l6 6-6 6" });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#make();
    });
  }

  async open() {
    this.#wrong.textContent = "";
    this.retranslate();
    await Promise.all([this.#load(), this.#loadRooms()]);
  }

  retranslate() {
    choose(this.#room, this.#rooms.map(({ name, title }) => /** @type {[string, string]} */ ([name, titleOf(name, title)])));
    this.#parts.list.replaceChildren(...this.#bots.flatMap((bot) => [this.#line(bot), ...bot.outgoing_webhooks.map((webhook) => this.#outgoingLine(bot, webhook))]));
    this.#parts.words.textContent = this.#isLoaded && this.#bots.length === 0 ? t.noBots : "";
  }

  async #load() {
    try {
      this.#bots = (await calls.bots()).filter(({ revoked }) => !revoked);
      this.#isLoaded = true;
      this.#parts.wrong.textContent = "";
    } catch (error) {
      this.#parts.wrong.textContent = sentenceOf(error);
    }
    this.retranslate();
  }

  async #loadRooms() {
    try {
      const found = await rooms.rooms({ limit: 200 });
      this.#rooms = found.rooms.filter(({ archived }) => !archived);
      this.retranslate();
    } catch (error) {
      this.#wrong.textContent = sentenceOf(error);
    }
  }

  /** @param {string} name */
  #titleOf(name) {
    return titleOf(name, this.#rooms.find((room) => room.name === name)?.title ?? "");
  }

  /** @param {calls.Bot} bot */
  #line(bot) {
    const { name, rooms: names, webhooks } = bot;
    const facts = [...names.map((room) => apart(this.#titleOf(room))), ...(webhooks ? [t.webhooksOf(webhooks)] : [])];
    const hook = button("icon", symbol("hook"));
    hook.ariaLabel = hook.title = t.makeWebhook;
    hook.addEventListener("click", () => this.#hook(bot));
    const deliver = button("icon", symbol("outgoing"));
    deliver.ariaLabel = deliver.title = t.makeOutgoing;
    deliver.addEventListener("click", () => this.#deliver(bot));
    const revoke = button("icon", symbol("close"));
    revoke.ariaLabel = revoke.title = t.revokeBot;
    revoke.addEventListener("click", () => this.#revoke(name));
    const line = element("li", "", element("div", "", isolated(name, "title"), element("small", "", facts.join(" · "))), hook, deliver, revoke);
    line.dataset.name = name;
    return line;
  }

  /**
   * @param {calls.Bot} bot
   * @param {calls.Outgoing} webhook
   */
  #outgoingLine({ name }, { id, room, url, only_mentions, switched_off, failures, last_result, last_at }) {
    const title = apart(this.#titleOf(room));
    const what = only_mentions ? t.outgoingMentions(apart(name), title) : t.outgoingMessages(apart(name), title);
    const last = last_result && last_at ? [`${momentOf(last_at)}: ${last_result}`] : [];
    const facts = [what, ...(switched_off ? [t.outgoingOff] : failures ? [t.outgoingFailures(failures)] : []), ...last];
    const remove = button("icon", symbol("close"));
    remove.ariaLabel = remove.title = t.removeOutgoing;
    remove.addEventListener("click", () => this.#removeOutgoing(name, id, url));
    const line = element("li", "outgoing", element("div", "", isolated(url, "title"), element("small", "", facts.join(" · "))), remove);
    line.dataset.outgoing = id;
    return line;
  }

  async #make() {
    if (this.#submit.ariaBusy === "true") return;
    this.#submit.ariaBusy = "true";
    this.#wrong.textContent = "";
    try {
      const { name, token } = await calls.makeBot(this.#name.value, [this.#room.value]);
      this.#name.value = "";
      await showOnce(t.botMade(apart(name)), t.botTokenOnce, token, t.copyToken);
      await this.#load();
    } catch (error) {
      this.#wrong.textContent = sentenceOf(error);
    } finally {
      this.#submit.ariaBusy = null;
    }
  }

  /** @param {calls.Bot} bot */
  async #hook({ name, rooms: names }) {
    const chosen = this.#room.value;
    const room = names.includes(chosen) ? chosen : (names[0] ?? "");
    try {
      const { url } = await calls.makeWebhook(name, room);
      await showLink(t.webhookMade(apart(name), apart(this.#titleOf(room))), t.webhookOnce, url);
      await this.#load();
    } catch (error) {
      this.#parts.wrong.textContent = sentenceOf(error);
    }
  }

  /** @param {calls.Bot} bot */
  async #deliver({ name, rooms: names }) {
    const room = selectOf("outgoing-room", names.map((room) => [room, this.#titleOf(room)]));
    const url = make("input", { id: "outgoing-url", type: "url", dir: "ltr", maxlength: "2048", autocomplete: "off", placeholder: "https://" });
    const only = selectOf("outgoing-what", [["all", t.outgoingAll], ["mentions", t.outgoingOnlyMentions]]);
    let secret = "";
    const isMade = await askWith({
      question: t.outgoingQuestion(apart(name)),
      hint: t.outgoingHint,
      yes: t.makeOutgoing,
      fields: [fieldOf(url, "outgoingUrl"), fieldOf(room, "botRoom"), fieldOf(only, "outgoingWhat")],
      act: async () => {
        const order = { room: room.value, url: url.value.trim(), only_mentions: only.value === "mentions" };
        ({ secret } = await calls.makeOutgoing(name, order));
        return "";
      },
    });
    if (!isMade) return;
    await showOnce(t.outgoingMade(apart(name)), t.outgoingOnce, secret, t.copySecret);
    await this.#load();
  }

  /**
   * @param {string} name
   * @param {string} id
   * @param {string} url
   */
  async #removeOutgoing(name, id, url) {
    if (!(await ask(t.removeOutgoingQuestion(apart(url)), t.removeOutgoing, t.removeOutgoingHint))) return;
    await this.#change(() => calls.removeOutgoing(name, id));
  }

  /** @param {string} name */
  async #revoke(name) {
    if (!(await ask(t.revokeBotQuestion(apart(name)), t.revokeBot, t.revokeBotHint))) return;
    await this.#change(() => calls.revokeBot(name));
  }

  /** @param {() => Promise<void>} change takes the line away whose button has the focus */
  async #change(change) {
    let sentence = "";
    try {
      await change();
    } catch (error) {
      sentence = sentenceOf(error);
    }
    await this.#load();
    if (sentence) this.#parts.wrong.textContent = sentence;
    // The button that had the focus is gone.
    const next = this.#parts.list.querySelector("button") ?? this.#submit;
    if (next instanceof HTMLElement) next.focus();
  }
}
