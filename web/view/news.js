// What tells the user of a new message: announcements of a screen reader,
// notifications, and a sound.

import { isWanted, SAID_EVERY_MS } from "../logic/account.js";
import { addressOf } from "../logic/address.js";
import { isMessage } from "../logic/changes.js";
import { summaryOf } from "../logic/files.js";
import { mentions } from "../logic/text.js";
import { t, wantLaterWords } from "../words.js";
import { byId, element } from "./dom.js";
import { MARKED } from "./message.js";
import { notify } from "./notifications.js";
import { chime, hasSound } from "./sound.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/client.js").Output} Output */
/** @typedef {import("../logic/conversation.js").Entry} Entry */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("./directory.js").Directory} Directory */

export class News {
  #announcer = byId("announcer", HTMLElement);
  /** @type {string[]} */
  #pending = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #announcing;
  #me;
  #client;
  #directory;
  #notifies;

  /**
   * @param {string} me
   * @param {Client} client
   * @param {Directory} directory
   * @param {() => boolean} notifies whether the user has asked for notifications in this browser
   */
  constructor(me, client, directory, notifies) {
    this.#me = me;
    this.#client = client;
    this.#directory = directory;
    this.#notifies = notifies;
  }

  /**
   * @param {Extract<Output, { do: "arrived" }>} arrived
   * @param {boolean} isInView
   */
  arrived({ key, entry }, isInView) {
    const { account } = this.#client;
    if (entry.from === this.#me || !isMessage(entry) || entry.deleted) {
      return;
    }
    if (isInView) {
      this.#announce(entry.from, summaryOf(entry, t.photos));
    } else if (isWanted(account.of(key), account.isMentioned(entry) || this.#isNamed(key, entry))) {
      const title = key.startsWith("@") ? entry.from : `${entry.from} · ${this.#directory.titleOf(key)}`;
      this.#notify(title, summaryOf(entry, t.photos), key, entry.seq);
    }
  }

  /** @param {Extract<Output, { do: "activity" }>} activity in a room of which this page knows only the numbers */
  async active({ key, unread, mentions }) {
    const place = this.#client.account.of(key);
    if ((this.#notifies() || hasSound()) && isWanted(place, mentions > 0)) {
      await wantLaterWords();
      this.#notify(this.#directory.titleOf(key), mentions > 0 ? t.mentionsHere(mentions) : t.messagesHere(unread), key, place.top);
    }
  }

  /**
   * Whether the text names the user, for a server that knows no mentions.
   * @param {Key} key
   * @param {Entry} entry
   */
  #isNamed(key, { text }) {
    return !this.#client.account.isKept && mentions(text, this.#me, this.#directory.names(key));
  }

  /**
   * Shows a notification and makes a sound, as the user has chosen, unless the message
   * is read by then, here or elsewhere.
   * @param {string} title
   * @param {string} text
   * @param {Key} key
   * @param {number} seq
   */
  #notify(title, text, key, seq) {
    setTimeout(async () => {
      const body = await readOf(text);
      const isDeleted = this.#client.conversations.get(key)?.at(seq)?.deleted;
      if (isDeleted || seq <= (this.#client.account.of(key).read ?? 0)) return;
      if (this.#notifies()) notify(title, body, key, addressOf(key, seq));
      if (hasSound()) chime().catch(() => {});
    }, NOTIFIED_AFTER_MS);
  }

  /**
   * Lets a screen reader announce a message. Of many at once, only the number is announced.
   * @param {string} from
   * @param {string} text
   */
  async #announce(from, text) {
    await wantLaterWords();
    const words = await readOf(text);
    this.#pending.push(t.saidBy(from, words.slice(0, ANNOUNCED_MAX_CHARS)));
    this.#announcing ??= setTimeout(() => {
      this.#announcing = undefined;
      const all = this.#pending.splice(0);
      const lines = all.length > ANNOUNCED_AT_ONCE ? [t.newMessages(all.length)] : all;
      this.#announcer.append(...lines.map((line) => element("p", "", line)));
      while (this.#announcer.childElementCount > ANNOUNCED_KEPT) {
        this.#announcer.firstElementChild?.remove();
      }
    }, ANNOUNCED_EVERY_MS);
  }
}

/**
 * A text as it is read, without its markup.
 * @param {string} text
 */
async function readOf(text) {
  return MARKED.test(text) ? import("./markdown.js").then(({ wordsOf }) => wordsOf(text), () => text) : text;
}

/** By then the server has told what was read in other tabs: at most a second after it was. */
const NOTIFIED_AFTER_MS = 1.5 * SAID_EVERY_MS;
const ANNOUNCED_EVERY_MS = 1_500;
const ANNOUNCED_AT_ONCE = 3;
const ANNOUNCED_MAX_CHARS = 500;
const ANNOUNCED_KEPT = 12;
