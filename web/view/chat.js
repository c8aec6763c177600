// The chat of a user who is signed in: passes what the session brings to the
// views, and what the user does to the session.

import { addressOf, DEFAULT_ROOM, targetOf } from "../logic/address.js";
import { mentionedIn } from "../logic/text.js";
import { Session } from "../session.js";
import { Memory, settings } from "../settings.js";
import { t } from "../words.js";
import { Composer } from "./composer.js";
import { Directory } from "./directory.js";
import { byId, LATER_AFTER_MS, want, WIDE } from "./dom.js";
import { Attention, Header } from "./header.js";
import { MessageList } from "./list.js";
import { Sidebar } from "./sidebar.js";

/** @typedef {import("../logic/changes.js").Shown} Shown */
/** @typedef {import("../logic/client.js").Output} Output */
/** @typedef {import("../logic/conversation.js").Conversation} Conversation */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("./above.js").Above} Above */
/** @typedef {import("./composer.js").Mentionable} Mentionable */
/** @typedef {import("./message.js").Quote} Quote */
/** @typedef {import("./news.js").News} News */

export class Chat {
  #user;
  #memory;
  #session;
  #list;
  #composer;
  #directory;
  #header;
  #sidebar = new Sidebar();
  #hooks;
  /** Made when it is first wanted. @type {Above | null} */
  #above = null;
  /** Made when the first message comes. @type {Promise<News> | null} */
  #news = null;
  /** What the browser keeps. @type {import("../kept.js").KeptMessages | null} */
  #kept = null;
  /** The conversation that is to be opened. */
  #wanted = "";
  #attention = new Attention();
  #isShowDue = false;
  #controller = new AbortController();

  /**
   * @param {import("../api.js").User & { role?: string }} user
   * @param {object} hooks
   * @param {() => void} hooks.signedOut
   * @param {(isAdministrator: boolean) => void} hooks.role the user has become an administrator, or is none any more
   * @param {(page?: import("./settings-dialog.js").PageName) => void} hooks.settings opens them
   */
  constructor(user, hooks) {
    this.#user = user;
    this.#hooks = hooks;
    this.#memory = new Memory(user.username);
    this.#session = new Session(user.username, (output) => {
      output.do === "signed-out" ? hooks.signedOut() : this.#handle(output);
    });
    const { client } = this.#session;
    client.isAdministrator = user.role === "administrator";
    this.#directory = new Directory(user.username, client, this.#memory);
    this.#header = new Header(user.username, client);
    this.#list = new MessageList({
      me: user.username,
      load: ({ key }, part, seq) => this.#session.step({ type: "load", key, part, seq }),
      isSeeking: ({ key }, seq) => client.isSeeking(key, seq),
      missing: () => this.toast(t.messageGone),
      cancelLatest: ({ key }) => this.#session.step({ type: "cancel-latest", key }),
      obstacle: ({ key }) => this.#header.obstacle(key),
      waiting: ({ key }) => client.outbox.messagesOf(key),
      changes: ({ key }) => client.outbox.changesOf(key),
      shown: ({ key }, entry) => client.shown(key, entry),
      shownItem: (item) => client.shownItem(item),
      quote: ({ key }, shown) => this.#quoteOf(key, shown),
      quoted: ({ key }, seqs) => {
        if (seqs.some((seq) => client.quote(key, seq) === undefined)) this.#session.step({ type: "quotes", key, seqs });
      },
      isCurrent: (conversation) => this.#isCurrent(conversation),
      mark: ({ key }) => {
        const { read, unread } = client.account.of(key);
        return { readUpTo: read ?? 0, unread };
      },
      read: (conversation, seq) => this.#read(conversation, seq),
      act: (action, item, button) => this.#act(action, item, button),
      begin: (what) => this.useAbove((above) => (what === "find" ? above.newTalk.open() : above.copyLink())),
      names: ({ key }) => this.#directory.names(key),
    });
    this.#composer = new Composer({
      send: (...written) => this.#send(...written),
      about: (key) => this.#memory.draftAbout(key),
      draft: (key) => this.#memory.draft(key),
      keepDraft: (key, text) => this.#memory.setDraft(key, text),
      typing: (key, isActive) => this.#session.step({ type: "typing", key, isActive }),
      scroll: (pages) => this.#list.scroll(pages),
      toMessages: () => this.#list.focusLast(),
      editLast: () => this.useAbove((above) => above.messages.editLast() || this.#list.focusLast()),
      people: () => ({ ...this.#directory.nameable, place: client.account.isKept ? this.#directory.currentPlace : undefined }),
    });
    // Its place is kept, so that the conversation does not move once it is loaded.
    if (settings.hasDetails && WIDE.matches) byId("chat", HTMLElement).classList.add("with-details");
    this.#listen();
  }

  get notifies() {
    return this.#memory.notifies && "Notification" in window && Notification.permission === "granted";
  }

  set notifies(value) {
    this.#memory.notifies = value;
  }

  /** How many messages are not sent yet. */
  get unsent() {
    return this.#session.client.outbox.unsent;
  }

  start() {
    if (settings.kept === this.#user.username) this.#loadKept();
    this.#session.start();
    this.#openAddress();
    this.#composer.offerFocus();
  }

  /**
   * Ends the session. The page is loaded again after it.
   * @param {boolean} isLeft whether the user signs out: another user may be next
   */
  async end(isLeft) {
    const left = this.#above?.end(isLeft);
    this.#composer.close();
    if (isLeft) this.#memory.forget();
    this.#controller.abort();
    this.#session.end();
    byId("chat", HTMLElement).hidden = true;
    this.#attention.show("", 0);
    await Promise.all([this.#withdraw(), left]);
  }

  find() {
    this.#sidebar.open(false);
    // Without a pause once it is loaded: what is typed next belongs into it.
    this.#above ? this.#above.finder.open() : this.useAbove((above) => above.finder.open());
  }

  /** @param {(above: Above) => void} act */
  useAbove(act) {
    this.#loadAbove().then(act, () => this.toast(t.somethingBroke));
  }

  async #loadAbove() {
    if (this.#above) return this.#above;
    const [{ Above }] = await Promise.all([import("./above.js"), want("later")]);
    return (this.#above ??= new Above(this.#user, this.#session.client, this.#directory, {
      composer: this.#composer,
      step: (input) => this.#session.step(input),
      change: (change) => this.#session.change(change),
      go: (key, seq) => this.go(key, seq),
      sidebar: (isOpen) => this.#sidebar.open(isOpen),
      left: () => this.#openAddress(),
      changed: () => this.#show(),
      toast: (sentence) => this.toast(sentence),
      memory: this.#memory,
      said: (key, text, mentionable) => this.#said(key, text, mentionable),
      settings: this.#hooks.settings,
    }));
  }

  /** Shows what this browser keeps of the account, and keeps what comes. */
  async #loadKept() {
    const { KeptMessages } = await import("../kept.js");
    if (!this.#kept && !this.#controller.signal.aborted) {
      const changed = () => {
        this.#list.update();
        this.#show();
      };
      const hooks = { current: () => this.#current, step: this.#session.step.bind(this.#session), changed };
      this.#kept = new KeptMessages(this.#session.client, hooks, this.#controller.signal);
      await this.#kept.begin();
    }
  }

  /** The language has changed. */
  retranslate() {
    this.#list.retranslate();
    this.#show();
  }

  /** @param {string} sentence */
  toast(sentence) {
    this.#attention.toast(sentence);
  }

  /**
   * Opens a conversation, and its address.
   * @param {Key} key
   * @param {number} [seq]
   */
  async go(key, seq = 0) {
    const address = addressOf(key, seq);
    if (address !== location.pathname + location.hash) {
      history.pushState(null, "", address);
    }
    const opened = this.#open(key, seq);
    this.#sidebar.open(false);
    this.#composer.offerFocus();
    await opened;
  }

  #openAddress() {
    const { key, seq } = targetOf(location) ?? { key: this.#memory.last ?? /** @type {Key} */ (`#${DEFAULT_ROOM}`), seq: 0 };
    history.replaceState(null, "", addressOf(key, seq));
    this.#open(key, seq);
  }

  /**
   * @param {Key} key
   * @param {number} seq
   */
  async #open(key, seq) {
    const { client } = this.#session;
    this.#wanted = key;
    const restored = this.#kept?.restore(key);
    // A join that comes after it brings only what is new.
    if (restored && (await restored, this.#wanted !== key)) {
      return;
    }
    const isRoom = key.startsWith("#");
    if (isRoom) {
      this.#session.step({ type: "join", room: key.slice(1) });
    }
    const isSame = this.#current === key;
    this.#directory.visit(key);
    const known = client.conversations.get(key);
    if (!isRoom && !known?.isLoaded) {
      this.#session.step({ type: "load", key, part: seq ? "around" : "latest", seq });
    }
    const conversation = client.conversations.get(key);
    if (conversation && (!isSame || seq > 0)) {
      isSame ? this.#list.toMessage(seq) : this.#list.open(conversation, seq);
    }
    this.#show();
  }

  get #current() {
    return this.#directory.current;
  }

  /**
   * Whether a conversation has everything that was written by now.
   * @param {Conversation} conversation
   */
  #isCurrent({ key, name, isRoom, isLoaded, seen, replayTo }) {
    const { client } = this.#session;
    const isThere = isRoom ? client.rooms.get(name)?.status === "in" : client.state === "open" && client.account.places.has(key);
    return isThere && isLoaded && seen !== null && seen >= replayTo;
  }

  /** @param {Output} output */
  #handle(output) {
    const { client } = this.#session;
    this.#kept?.handle(output);
    switch (output.do) {
      case "arrived":
        if (output.isNews) {
          const isInView = output.key === this.#current && this.#isLooking;
          this.#useNews((news) => news.arrived(output, isInView));
        }
        break;
      case "changed":
        if (output.change.kind === "delete") this.#withdraw(output.key, output.change.target);
        break;
      case "refused":
        this.useAbove((above) => above.refused(output.item));
        break;
      case "hello":
        this.#composer.setMaxChars(client.textMaxChars);
        this.#completeRooms();
        break;
      case "read":
        if (client.account.of(output.key).unread === 0) this.#withdraw(output.key);
        break;
      case "role":
        this.#hooks.role(client.isAdministrator);
        break;
      case "not-members":
        this.useAbove((above) => above.absent.note(output.key, output.names));
        break;
      case "activity":
        this.#useNews((news) => news.active(output));
        break;
      case "show":
        if (output.what === "conversation" && output.key === this.#current) this.#list.update();
        this.#show();
        break;
    }
  }

  /** Asks for rooms that `hello` has not named, and hands over those that this browser kept. */
  #completeRooms() {
    const { client } = this.#session;
    const { isKept, hasMoreRooms } = client.account;
    if (!isKept || hasMoreRooms || this.#memory.isOld) {
      const step = this.#session.step.bind(this.#session);
      // If it fails, the next `hello` tries again.
      import("../account-rooms.js").then(({ completeRooms }) => completeRooms(client, this.#memory, step)).catch(() => {});
    }
  }

  /** @param {(news: News) => void} act */
  #useNews(act) {
    this.#news ??= import("./news.js").then(({ News }) => new News(this.#user.username, this.#session.client, this.#directory, () => this.notifies));
    // Without a network it fails, and may be tried again.
    this.#news.then(act, () => (this.#news = null));
  }

  get #isLooking() {
    return !document.hidden && document.hasFocus();
  }

  /**
   * Marks messages as read if the user looks at them.
   * @param {Conversation} conversation
   * @param {number} seq
   */
  #read({ key }, seq) {
    if (this.#isLooking && seq > (this.#session.client.account.of(key).read ?? -1)) {
      this.#session.step({ type: "read", key, seq });
    }
  }

  /**
   * @param {Key} [key] of a conversation whose notifications are closed; without one, all are
   * @param {number} [seq] of a message: only its notification is closed
   */
  async #withdraw(key, seq) {
    if ("Notification" in window && Notification.permission === "granted") {
      const { withdraw } = await import("./notifications.js").catch(() => ({ withdraw: () => {} }));
      await withdraw(key, seq);
    }
  }

  /**
   * What a message answers, in words.
   * @param {Key} key
   * @param {Shown} shown
   * @returns {Quote | undefined}
   */
  #quoteOf(key, { replyTo = 0, replyToNonce: nonce }) {
    const { client } = this.#session;
    if (replyTo === 0 && nonce === undefined) {
      return undefined;
    }
    const found = replyTo > 0 ? client.quote(key, replyTo) : client.look(key, { nonce });
    const isGone = found === null || found?.deleted === true;
    const text = found === undefined ? "…" : found === null ? t.quoteGone : found.deleted ? t.deleted : found.text.slice(0, QUOTED_MAX_CHARS);
    return { seq: replyTo, from: found?.from ?? "", text, files: isGone ? undefined : found?.files, isGone };
  }

  /**
   * Does what a button in a message says.
   * @param {string} action
   * @param {HTMLElement} item
   * @param {HTMLElement} button
   */
  #act(action, item, button) {
    if (action === "jump") {
      this.#list.toMessage(Number(button.dataset.to));
    } else {
      this.useAbove((above) => above.act(action, item, button));
    }
  }

  /**
   * @param {Key} key
   * @param {string} text
   * @param {Mentionable} mentionable
   * @param {import("../settings.js").DraftAbout | null} about the message that it answers
   * @param {import("../logic/outbox.js").FileOf[]} [files]
   */
  #send(key, text, mentionable, about, files) {
    const { text: said, ...mentioned } = this.#said(key, text, mentionable);
    const { seq, nonce } = about ?? {};
    this.#session.write(key, said, { ...mentioned, ...(files && { files }), ...(seq ? { replyTo: seq } : nonce && { replyToNonce: nonce }) });
    this.#list.sent();
    if (about) {
      this.#memory.setDraftAbout(key, null);
      this.#show();
    }
  }

  /**
   * What is sent for a text.
   * @param {Key} key
   * @param {string} text
   * @param {Mentionable} mentionable
   */
  #said(key, text, { mentions = [], mentionAll = false }) {
    const names = new Set([...this.#directory.names(key), ...mentions]);
    return key.startsWith("#") ? mentionedIn(text, { names, mentionAll, max: this.#session.client.mentionsMax }) : { text };
  }

  #listen() {
    const { signal } = this.#controller;
    addEventListener("popstate", () => this.#openAddress(), { signal });
    document.addEventListener("click", (event) => this.#link(event), { signal });
    document.addEventListener("keydown", (event) => this.#key(event), { signal });
    addEventListener("blur", () => this.#list.away(), { signal });
    addEventListener("focus", () => this.#list.update(), { signal });
    document.addEventListener(
      "nobody",
      () => {
        this.#list.update();
        this.#show();
      },
      { signal },
    );
    document.addEventListener("visibilitychange", () => document.hidden || this.#list.update(), { signal });
    navigator.serviceWorker?.addEventListener("message", ({ data }) => this.#goTo(new URL(data, location.href)), { signal });
    addEventListener("online", () => this.#show(), { signal });
    addEventListener("offline", () => this.#show(), { signal });
    // Once its code is there, the button opens it by itself.
    byId("talk-more", HTMLElement).addEventListener("click", () => this.#above || this.useAbove((above) => above.menu.open()));
    /** @param {string} opener @param {(above: Above) => void} act */
    const opens = (opener, act) =>
      byId(opener, HTMLElement).addEventListener("click", () => {
        this.#sidebar.open(false);
        this.useAbove(act);
      });
    opens("new-room-open", (above) => above.newRoom.open());
    opens("new-talk-open", (above) => above.newTalk.open());
    opens("browse-open", (above) => above.browse.open());
    opens("title", (above) => above.details.toggle());
    opens("attach", (above) => above.attach.choose());
    // The bar of a message, and a file that is dropped, must not wait for what is loaded later.
    for (const event of ["pointerover", "focusin"]) byId("messages", HTMLElement).addEventListener(event, () => this.useAbove(() => {}), { once: true });
    document.addEventListener("dragenter", () => this.useAbove(() => {}), { once: true, signal });
    byId("skip", HTMLElement).addEventListener(
      "click",
      (event) => {
        event.preventDefault();
        this.#composer.focus();
      },
      { signal },
    );
    const later = setTimeout(() => {
      Promise.all([this.#loadAbove(), this.#composer.loadNames(), this.#loadKept()]).catch(() => {});
    }, LATER_AFTER_MS);
    const refresh = setInterval(() => {
      // By now it may be another day.
      if (!document.hidden) this.#list.update();
    }, DAY_EVERY_MS);
    // The text about the connection depends on the time.
    const tick = setInterval(() => this.#session.client.state === "open" || this.#show(), 1_000);
    signal.addEventListener("abort", () => {
      clearTimeout(later);
      clearInterval(refresh);
      clearInterval(tick);
    });
  }

  /** @param {MouseEvent} event perhaps on a link into this chat */
  #link(event) {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) {
      return;
    }
    if (link.matches(".mention-name")) {
      event.preventDefault();
      this.useAbove((above) => above.card.open((targetOf(link)?.key ?? "").slice(1), link));
    } else if (link.origin === location.origin && this.#goTo(link)) {
      event.preventDefault();
      // An installed app shows no address that could be copied.
      if (link.matches(".when")) this.useAbove((above) => above.copy(link.href));
    }
  }

  /**
   * @param {{ pathname: string, hash: string }} address
   * @returns whether it names a conversation of this chat
   */
  #goTo(address) {
    const target = targetOf(address);
    if (target) this.go(target.key, target.seq);
    return target !== null;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { key, altKey, shiftKey, ctrlKey, metaKey } = event;
    if (document.querySelector("dialog[open]")) {
      return;
    }
    const isWriting = event.target instanceof HTMLTextAreaElement || event.target instanceof HTMLInputElement;
    if ((ctrlKey || metaKey) && !altKey && event.code === "KeyK") {
      event.preventDefault();
      this.find();
    } else if (altKey && !ctrlKey && !metaKey && (key === "ArrowUp" || key === "ArrowDown")) {
      event.preventDefault();
      this.useAbove((above) => above.goBy(key === "ArrowDown" ? 1 : -1, shiftKey));
    } else if (key === "Escape" && !document.querySelector(":popover-open")) {
      if (this.#sidebar.isOpen) {
        this.#sidebar.open(false);
      } else if (!this.#above?.closePanel()) {
        this.#list.toEnd();
        this.#composer.focus();
      }
    } else if (!isWriting && !ctrlKey && !metaKey && !altKey && key.length === 1 && key !== " ") {
      if (key === "?") {
        event.preventDefault();
        this.#hooks.settings("keys");
      } else if (!document.querySelector(":popover-open")) {
        // What the user types belongs into the box.
        this.#composer.focus();
      }
    }
  }

  /** Shows soon what has changed around the messages. */
  #show() {
    if (!this.#isShowDue && !this.#controller.signal.aborted) {
      this.#isShowDue = true;
      // Not at the next animation frame: a page in the background has none, and its title must be right.
      setTimeout(() => {
        this.#isShowDue = false;
        if (!this.#controller.signal.aborted) this.#showNow();
      }, 16);
    }
  }

  #showNow() {
    const key = this.#current;
    if (!key) {
      return;
    }
    const { client } = this.#session;
    const title = this.#directory.titleOf(key);
    const isRoom = key.startsWith("#");
    // Before the sidebar, which shows where a draft is.
    this.#composer.open(key, isRoom ? t.writeInRoom(title) : t.writeInPrivate(title));
    const { rooms, people, mayMakeRooms } = this.#directory;
    byId("new-room-open", HTMLElement).hidden = !mayMakeRooms;
    this.#sidebar.show(rooms, people, key, client.account.isKept);
    this.#header.show(key, title);
    if (this.#header.showState(key)) {
      // The reason why no messages come may be another one now.
      this.#list.update();
    }
    this.#above?.update();
    const place = this.#directory.currentPlace;
    if (!this.#above && client.account.isKept && place && (place.role === null || place.archived || place.top === 0)) {
      // Something else than the box, or than an empty log, may stand there.
      this.useAbove(() => this.#show());
    }

    const counted = [...rooms, ...people].filter((line) => line.isLoud);
    const isUnread = counted.some((line) => line.key !== key);
    const isLoud = counted.some((line) => line.isMentioned || line.key.startsWith("@"));
    this.#header.showElsewhere(isUnread, isLoud);
    this.#attention.show(title, counted.reduce((sum, { unread }) => sum + unread, 0));
  }
}

const DAY_EVERY_MS = 30_000;
/** How much of a message a reply quotes. */
const QUOTED_MAX_CHARS = 400;
