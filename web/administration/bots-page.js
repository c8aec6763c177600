// The page of the settings for bots: a form that makes one, and the list of them, each with
// its outgoing webhooks below it.

import * as rooms from "../rooms.js";
import { ask } from "../view/ask.js";
import { avatar } from "../view/avatar.js";
import { button, element, isolated, symbol } from "../view/dom.js";
import { make } from "../view/make.js";
import { Menu } from "../view/menu.js";
import { t, titleOf } from "../words.js";
import * as calls from "./calls.js";
import { apart, askWith, choose, fieldOf, listOf, momentOf, selectOf, showLink, showOnce } from "./pieces.js";
import { resultOf, sentenceOf } from "./wording.js";

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
  #menu = new Menu("bot", "more", this.node);
  /** @type {rooms.Room[]} */
  #rooms = [];
  /** @type {calls.Bot[]} */
  #bots = [];
  #isLoaded = false;

  constructor() {
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

  close() {
    this.#menu.close();
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
    const more = button("icon more", symbol("more"));
    more.ariaLabel = `${t.more}: ${name}`;
    more.ariaHasPopup = "menu";
    more.addEventListener("click", () => this.#openMenu(more, bot));
    const line = element("li", "", avatar(name), element("div", "", isolated(name, "title"), element("small", "", facts.join(" · "))), more);
    line.dataset.name = name;
    return line;
  }

  /**
   * @param {HTMLElement} opener
   * @param {calls.Bot} bot
   */
  #openMenu(opener, bot) {
    const choices = [
      this.#menu.choice("", t.makeWebhook, () => this.#hook(bot)),
      this.#menu.choice("", t.makeOutgoing, () => this.#deliver(bot)),
      this.#menu.danger("", t.revokeBot, () => this.#revoke(bot.name)),
    ];
    this.#menu.openBeside(choices, opener);
  }

  /**
   * @param {calls.Bot} bot
   * @param {calls.Outgoing} webhook
   */
  #outgoingLine({ name }, { id, room, url, only_mentions, switched_off, failures, last_result, last_at }) {
    const title = apart(this.#titleOf(room));
    const what = element("small", "", only_mentions ? t.outgoingMentions(title) : t.outgoingMessages(title));
    const last = last_result && last_at ? [`${momentOf(last_at)}: ${resultOf(last_result)}`] : [];
    const state = element("small", "", [...last, ...(switched_off ? [t.outgoingOff] : failures ? [t.outgoingFailures(failures)] : [])].join(" · "));
    state.classList.toggle("failing", switched_off || failures > 0);
    const remove = button("icon", symbol("close"));
    remove.ariaLabel = remove.title = t.removeOutgoing;
    remove.addEventListener("click", () => this.#removeOutgoing(name, id, url));
    const line = element("li", "outgoing", element("div", "", isolated(url, "title"), what, state), remove);
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
    const room = this.#roomOf("webhook-room", names);
    let url = "";
    const isMade = await askWith({
      question: t.webhookQuestion(apart(name)),
      hint: t.webhookHint,
      yes: t.makeWebhook,
      fields: [fieldOf(room, "botRoom")],
      act: async () => {
        ({ url } = await calls.makeWebhook(name, room.value));
        return "";
      },
    });
    if (!isMade) return;
    await showLink(t.webhookMade(apart(name), apart(this.#titleOf(room.value))), t.webhookOnce, url);
    await this.#load();
    this.#focus(name);
  }

  /** @param {calls.Bot} bot */
  async #deliver({ name, rooms: names }) {
    const room = this.#roomOf("outgoing-room", names);
    const url = make("input", { id: "outgoing-url", type: "url", dir: "ltr", maxlength: "2048", autocomplete: "off", placeholder: "https://" });
    const only = selectOf("outgoing-what", [["all", t.outgoingAll], ["mentions", t.outgoingOnlyMentions]]);
    let secret = "";
    const isMade = await askWith({
      question: t.outgoingQuestion(apart(name)),
      hint: t.outgoingHint,
      yes: t.addOutgoing,
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
    this.#focus(name);
  }

  /**
   * A box with the rooms of a bot.
   * @param {string} id
   * @param {string[]} names
   */
  #roomOf(id, names) {
    return selectOf(id, names.map((room) => [room, this.#titleOf(room)]));
  }

  /** @param {string} name of the bot whose menu was open: the list was made anew since */
  #focus(name) {
    const more = this.#parts.list.querySelector(`[data-name="${CSS.escape(name)}"] button`);
    (more instanceof HTMLElement ? more : this.#submit).focus({ preventScroll: true });
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
