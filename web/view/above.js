// What the first view of the chat does without: the finder, the menu and the details
// of the conversation, rooms and people to choose from, and what buttons and
// shortcuts do.

import { DEFAULT_ROOM, ROOT, addressOf } from "../logic/address.js";
import { Typing } from "../logic/typing.js";
import { filesHere } from "../files-here.js";
import { ASKED_EVERY_MS, Presence } from "../presence.js";
import { settings } from "../settings.js";
import { t, titleOf } from "../words.js";
import { Absent } from "./absent.js";
import { act } from "./actions.js";
import { Attach } from "./attach.js";
import { Browse } from "./browse.js";
import { DayAbove } from "./day-above.js";
import { Details } from "./details.js";
import { DayJump } from "./day-jump.js";
import { byId } from "./dom.js";
import { useDrawer } from "./drawer.js";
import { choicesOf, Finder } from "./finder.js";
import { Foot } from "./foot.js";
import { useKeys } from "./list-keys.js";
import { LineMenu } from "./line-menu.js";
import { MessageActions } from "./message-actions.js";
import { NewRoom } from "./new-room.js";
import { NewTalk } from "./new-talk.js";
import { Panel } from "./panel.js";
import { showPicture } from "./pictures.js";
import { ProfileCard } from "./profile-card.js";
import { Reactions } from "./reactions.js";
import { sentenceOf } from "./refused.js";
import { SearchPanel } from "./search-panel.js";
import { addSymbols } from "./symbols.js";
import { TalkMenu } from "./talk-menu.js";
import { showTyping } from "./typing.js";
import { Welcome } from "./welcome.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/client.js").Input} Input */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("./composer.js").Composer} Composer */
/** @typedef {import("./directory.js").Directory} Directory */

/**
 * @typedef {object} Hooks
 * @property {(key: Key, seq?: number) => void} go opens a conversation, at a message
 * @property {Composer} composer
 * @property {(input: Input) => void} step
 * @property {(isOpen: boolean) => void} sidebar opens or closes it on a phone
 * @property {() => void} left opens what the address names
 * @property {() => void} changed
 * @property {(sentence: string) => void} toast
 * @property {import("../settings.js").Memory} memory
 * @property {import("./message-actions.js").Hooks["change"]} change
 * @property {import("./message-actions.js").Hooks["said"]} said
 * @property {(page?: import("./settings-dialog.js").PageName) => void} settings opens them
 */

export class Above {
  finder;
  #directory;
  #client;
  #hooks;
  menu;
  #presence;
  newRoom;
  newTalk;
  browse;
  details;
  search;
  #dayJump;
  card;
  absent;
  messages;
  attach;
  #foot;
  #reactions;
  #welcome;
  /** Whether the server can be administered, and messages be reported. */
  #isAdministered;

  /**
   * @param {import("../api.js").User} me
   * @param {Client} client
   * @param {Directory} directory
   * @param {Hooks} hooks
   */
  constructor(me, client, directory, hooks) {
    this.#directory = directory;
    this.#client = client;
    this.#hooks = hooks;
    client.addTyping(Typing);
    this.#presence = new Presence(client, { ...hooks, looks: showPicture });
    // More often than the server is asked: else an answer that is almost old enough stays as long again.
    setInterval(() => document.hidden || this.#presence.update(performance.now()), ASKED_EVERY_MS / 6);
    addSymbols(SYMBOLS);
    const searches = () => (me.features ?? []).includes("search") || client.features.has("search");
    this.search = new SearchPanel(client, directory);
    this.#dayJump = new DayJump(client, directory, hooks);
    this.finder = new Finder({ me: me.username, known: () => choicesOf(client, directory), hasDirectory: () => client.account.isKept, searches, mayMakeRooms: () => directory.mayMakeRooms, search: (text) => this.search.open(text), chosen: hooks.go, newRoom: (title) => this.newRoom.open(title) });
    this.menu = new TalkMenu(client, directory, { ...hooks, copyLink: () => this.copyLink(), details: () => this.details.open(), searches, search: (key) => this.search.open("", key), jump: () => this.#dayJump.open() });
    this.newRoom = new NewRoom(me.username, hooks.go);
    this.newTalk = new NewTalk(me.username, hooks.go);
    this.browse = new Browse(hooks.go);
    this.card = new ProfileCard(client, directory, { ...hooks, uncover: () => this.details.uncover() });
    this.details = new Details(me, client, directory, { ...hooks, isAdministered: () => this.#isAdministered(), invite: (room) => this.#invite(room), reports: () => hooks.settings("reports"), leave: () => this.menu.leave(), card: (name, opener) => this.card.open(name, opener) });
    this.absent = new Absent(directory, hooks.toast);
    new DayAbove();
    new LineMenu(client, directory, { ...hooks, leave: (key) => this.menu.leave(key) });
    useDrawer(hooks.sidebar);
    useKeys(byId("messages", HTMLElement));
    this.#isAdministered = () => (me.features ?? []).includes("administration") || client.features.has("administration");
    this.messages = new MessageActions(client, directory, { ...hooks, copy: (words, sentence) => this.copy(words, sentence), reports: this.#isAdministered, report: (shown) => this.#report(shown) });
    filesHere.begin(client, hooks);
    this.attach = new Attach(client, directory, hooks);
    this.#foot = new Foot(client, directory, { ...hooks, browse: () => this.browse.open(), details: () => this.details.open() });
    this.#reactions = new Reactions(client, directory, hooks);
    this.#welcome = new Welcome(client, directory, {
      memory: hooks.memory,
      isReadable: () => this.#foot.isReadable,
      hello: () => this.#hello(),
      mayMakeRooms: () => directory.mayMakeRooms,
      newRoom: () => this.newRoom.open(),
      invitesBy: () => this.#invitesBy(),
      invite: () => this.#invitePeople(),
    });
    hooks.changed();
  }

  /**
   * The page is left.
   * @param {boolean} isLeft whether the user signs out
   */
  async end(isLeft) {
    this.messages.flush();
    if (isLeft) await filesHere.leave();
  }

  /**
   * Opens the next or the previous conversation of the sidebar.
   * @param {1 | -1} step
   * @param {boolean} isUnreadOnly
   */
  goBy(step, isUnreadOnly) {
    const { current, rooms, people } = this.#directory;
    const lines = [...rooms, ...people];
    const index = lines.findIndex(({ key }) => key === current);
    for (let i = 1; i <= lines.length; i++) {
      const line = lines[(index + step * i + lines.length * 2) % lines.length];
      if (line && line.key !== current && (!isUnreadOnly || line.unread > 0)) {
        this.#hooks.go(line.key);
        return;
      }
    }
  }

  /**
   * Does what a button in a message says.
   * @param {string} action
   * @param {HTMLElement} item
   * @param {HTMLElement} button
   */
  act(action, item, button) {
    if (action === "day") this.#dayJump.open(Number(button.dataset.at));
    act(action, item, button, { client: this.#client, directory: this.#directory, card: this.card, copy: (text, sentence) => this.copy(text, sentence), ...this.#hooks });
  }

  /**
   * Says that the server has refused a change, and that it is taken back.
   * @param {import("../logic/outbox.js").Item} item
   */
  refused({ kind, reason, sentence }) {
    this.#hooks.toast(sentenceOf(kind, reason, sentence));
  }

  /** @returns whether a panel was open */
  closePanel() {
    const { open } = Panel;
    // What stays open is no matter of a key.
    if (open === null || (this.details.isOpen && this.details.isPinned)) return false;
    open.close(true);
    return true;
  }

  /** Whether the user is a moderator of a room. */
  get moderates() {
    return [...this.#client.account.places.values()].some(({ role }) => role === "moderator");
  }

  /**
   * The title of a room, as far as it is known.
   * @param {string} room
   */
  titleOf(room) {
    return titleOf(room, this.#client.account.of(`#${room}`).title);
  }

  /**
   * Deletes a message of a conversation, which need not be open.
   * @param {Key} key
   * @param {number} seq
   */
  remove(key, seq) {
    this.#hooks.change({ type: "delete", key, target: seq });
  }

  /** @param {import("../logic/changes.js").Shown} shown */
  #report(shown) {
    this.#administer(async ({ openReport }) => {
      if (await openReport(shown)) this.#hooks.toast(t.reported);
    });
  }

  /** How the user can invite to the chat: by its address, where that is enough to get in; by a link; or not at all. */
  #invitesBy() {
    const { registration = "open", sign_in_url, sign_in_with, passwords } = settings.server ?? {};
    if (registration === "open" || sign_in_url || sign_in_with || passwords === false) return "address";
    return registration === "invite" && (this.#client.isAdministrator || this.#mayInviteHere) ? "link" : null;
  }

  /** Whether the user may invite to the open room. */
  get #mayInviteHere() {
    const { current } = this.#directory;
    const place = current?.startsWith("#") ? this.#client.account.places.get(current) : undefined;
    return this.#isAdministered() && place !== undefined && place.role !== null && !place.archived;
  }

  #invitePeople() {
    const { current } = this.#directory;
    if (this.#invitesBy() === "address") this.copy(new URL(ROOT, location.href).href, t.addressCopied);
    else if (this.#client.isAdministrator) this.#hooks.settings("invites");
    else if (current) this.#invite(current.slice(1));
  }

  /** @param {string} room */
  #invite(room) {
    this.#administer(({ openInvites }) => openInvites(room));
  }

  /** @param {(administration: typeof import("../administration/main.js")) => Promise<void>} act */
  async #administer(act) {
    try {
      const administration = await import("../administration/main.js");
      await administration.prepare();
      await act(administration);
    } catch {
      this.#hooks.toast(navigator.onLine ? t.somethingBroke : t.noNetwork);
    }
  }

  /** Puts a greeting into the box; a guest of the room joins it before. */
  async #hello() {
    if (await this.#foot.join()) this.#hooks.composer.insert(t.hello);
  }

  /** Copies the address of the open conversation. */
  copyLink() {
    this.copy(new URL(addressOf(this.#directory.current ?? `#${DEFAULT_ROOM}`), location.href).href);
  }

  /**
   * @param {string} address is shown if it cannot be copied
   * @param {string} [sentence]
   */
  async copy(address, sentence = t.copied) {
    try {
      await navigator.clipboard.writeText(address);
      this.#hooks.toast(sentence);
    } catch {
      this.#hooks.toast(address);
    }
  }

  /** Shows what has changed. */
  update() {
    this.menu.show();
    this.#presence.update(performance.now());
    this.#foot.update();
    this.#reactions.update();
    this.#welcome.update();
    this.absent.update();
    this.details.update();
    this.search.update();
    this.card.update();
    this.messages.update();
    filesHere.update();
    this.attach.update();
    const key = this.#directory.current;
    showTyping((key && this.#client.typing?.of(key)) || []);
  }
}

const SYMBOLS = {
  next: "M9.5 5.5 16 12l-6.5 6.5",
  people: "M5.5 9a3.5 3.5 0 1 0 7 0 3.5 3.5 0 1 0-7 0zM2.5 19c.8-3.3 3.3-4.8 6.5-4.8s5.7 1.5 6.5 4.8M15.5 5.8a3.5 3.5 0 0 1 0 6.4M18 14.7c1.8.7 3 2.1 3.5 4.3",
  archive: "M4 5h16v4H4zM5.5 9v10h13V9M10 13h4",
  report: "M6 21V4M6 4.5c4-2 7 2 12 0v9c-5 2-8-2-12 0",
  leave: "M14 4.5H6v15h8M10 12h10M16.5 8.5 20 12l-3.5 3.5",
  write: "M4 5h16v11H10l-4 3.5V16H4z",
  mention: "M8.5 12a3.5 3.5 0 1 0 7 0 3.5 3.5 0 1 0-7 0zM15.5 8.5V13a2.5 2.5 0 0 0 5 0v-1a8.5 8.5 0 1 0-3.5 6.9",
  profile: "M8 9a4 4 0 1 0 8 0 4 4 0 1 0-8 0zM4.5 20c1-4 4-5.5 7.5-5.5s6.5 1.5 7.5 5.5",
  link: "M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1",
};
