// What stands in place of the box where the user may not write: a bar with which to
// join, a sentence, or a page that says why the room cannot be read.

import { ApiError, user } from "../api.js";
import { DEFAULT_ROOM } from "../logic/address.js";
import { standingOf } from "../logic/standing.js";
import * as rooms from "../rooms.js";
import { wording } from "../wording.js";
import { t } from "../words.js";
import { isNobody } from "./avatar.js";
import { button, byId, element, isolated, symbol } from "./dom.js";
import { drawing } from "./drawings.js";
import { showPicture } from "./pictures.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/client.js").Input} Input */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("../logic/standing.js").Standing} Standing */
/** @typedef {import("./composer.js").Composer} Composer */
/** @typedef {import("./directory.js").Directory} Directory */

export class Foot {
  #composer = byId("composer", HTMLElement);
  #bar = element("section", "foot");
  #page = element("section", "refused");
  #client;
  #directory;
  #hooks;
  /** The conversation that is shown, and what the user may do there. @type {{ key: Key | null, standing: Standing }} */
  #now = { key: null, standing: "write" };
  #shown = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #asking;
  /** What the server says about the open room, while the user is no member of it. @type {{ key: Key, room: rooms.Room | null, isAnswered: boolean, isMissing: boolean } | null} */
  #about = null;
  /** Rooms of which the user was a member: after leaving one, the user is a guest. @type {Set<Key>} */
  #joined = new Set();

  /**
   * @param {Client} client
   * @param {Directory} directory
   * @param {object} hooks
   * @param {(key: Key) => void} hooks.go
   * @param {(input: Input) => void} hooks.step
   * @param {() => void} hooks.changed
   * @param {() => void} hooks.browse
   * @param {() => void} hooks.details
   * @param {Composer} hooks.composer
   */
  constructor(client, directory, hooks) {
    this.#client = client;
    this.#directory = directory;
    this.#hooks = hooks;
    this.#bar.hidden = this.#page.hidden = true;
    this.#composer.before(this.#bar);
    byId("scroller", HTMLElement).after(this.#page);
  }

  /** Shows what has changed. */
  update() {
    const key = this.#directory.current;
    const standing = this.#standing(key);
    this.#now = { key, standing };
    const room = this.#about?.key === key ? this.#about?.room : null;
    const title = this.#directory.titleOf(key ?? "#");
    const shown = JSON.stringify([key, standing, room, title, t.chat]);
    if (this.#shown === shown) {
      return;
    }
    this.#shown = shown;
    const hadFocus = this.#composer.contains(document.activeElement) || this.#bar.contains(document.activeElement);
    const isRefused = REFUSED.includes(standing);
    this.#composer.hidden = standing !== "write";
    this.#bar.hidden = standing === "write" || standing === "nobody" || isRefused;
    this.#page.hidden = !isRefused;
    if (standing === "join" && key) {
      this.#bar.replaceChildren(...this.#invitation(key, title, room?.members ?? null));
    } else if (standing === "archived") {
      this.#bar.replaceChildren(...this.#archived(key));
    } else if (isRefused) {
      this.#page.replaceChildren(...(standing === "unmade" && key ? this.#offer(key, title) : this.#refusal(standing)));
    }
    if (hadFocus) {
      // The keyboard is where the user was, and not at the beginning of the page.
      const next = (isRefused ? this.#page : this.#bar).querySelector(".primary");
      standing === "write" ? this.#hooks.composer.offerFocus() : next instanceof HTMLElement && next.focus();
    }
  }

  /**
   * @param {Key | null} key
   * @returns {Standing}
   */
  #standing(key) {
    const { account, conversations, rooms: joined, state } = this.#client;
    if (key?.startsWith("@")) {
      const isKnown = !isNobody(key.slice(1)) || account.of(key).top > 0 || this.#client.outbox.of(key).length > 0;
      if (!isKnown) this.#asking ??= setTimeout(() => this.#askAgain(key.slice(1)), NOBODY_EVERY_MS);
      return isKnown ? "write" : "nobody";
    }
    if (!key || !account.isKept) {
      return "write";
    }
    if (state !== "open") {
      // What is written without a connection waits for it.
      return this.#now.key === key ? this.#now.standing : "write";
    }
    const place = account.of(key);
    const { start = 0, entries = [] } = conversations.get(key) ?? {};
    if (place.role !== null) this.#joined.add(key);
    if (this.#about?.key !== key || place.role !== null) {
      this.#about = null;
    }
    if (place.role === null && !this.#about) {
      this.#learn(key);
    }
    const standing = standingOf({
      place,
      room: joined.get(key.slice(1)),
      about: this.#about?.room ?? null,
      isMissing: this.#about?.isMissing,
      start,
      writers: start > 0 || this.#joined.has(key) ? 0 : new Set(entries.map(({ from }) => from)).size,
    });
    // Whether the room is closed or missing, the answer says.
    const isUnsure = standing === "forbidden" && this.#about?.isAnswered === false;
    return !isUnsure ? standing : this.#now.key === key ? this.#now.standing : "write";
  }

  /**
   * Asks the server again for a user whom it did not know: somebody may have taken the name.
   * @param {string} name
   */
  async #askAgain(name) {
    const { avatar } = await user(name).catch(() => ({ avatar: null }));
    if (avatar !== null) showPicture(name, avatar);
    this.#asking = undefined;
    this.#hooks.changed();
  }

  /**
   * Asks the server about a room of which the user is no member.
   * @param {Key} key
   */
  async #learn(key) {
    const about = { key, room: /** @type {rooms.Room | null} */ (null), isAnswered: false, isMissing: false };
    this.#about = about;
    try {
      const room = await rooms.room(key.slice(1));
      about.room = room;
      // A join makes a room for as long as somebody is in it. Nobody has given it anything.
      about.isMissing = room.members === 0 && room.title === room.name && room.description === "" && !room.archived;
      this.#hooks.step({ type: "rooms", rooms: [room] });
    } catch (error) {
      // The join says whether the room may be read; without the rest, the bar says less.
      about.isMissing = error instanceof ApiError && (error.status === 404 || /^only administrators create/.test(error.sentence));
    }
    about.isAnswered = true;
    this.#hooks.changed();
  }

  /**
   * @param {Key} key
   * @param {string} title
   * @param {number | null} members null: how many is not known
   */
  #invitation(key, title, members) {
    const join = button("primary", t.join);
    const wrong = element("p", "error");
    wrong.role = "alert";
    const isFirst = [...this.#client.account.places.values()].every((place) => place.role === null || place.key.startsWith("@"));
    const hint = isFirst ? t.joinHint : t.guestHint;
    const about = button("joining", isolated(title, "title"), element("small", "", members === null ? hint : `${t.members(members)} · ${hint}`));
    about.title = t.details;
    about.addEventListener("click", () => this.#hooks.details());
    join.addEventListener("click", () => busy(join, wrong, () => this.#join(key)));
    return [about, join, wrong];
  }

  /** Whether the user may read what is open. */
  get isReadable() {
    return !REFUSED.includes(this.#now.standing);
  }

  /** Joins the open room, if the user reads it as a guest. @returns whether the user may write in it */
  async join() {
    const { key, standing } = this.#now;
    if (standing === "join" && key) {
      await this.#join(key).catch(() => {});
      this.update();
    }
    return this.#now.standing === "write";
  }

  /** @param {Key} key */
  async #join(key) {
    await rooms.join(key.slice(1));
    const room = this.#about?.room;
    if (room) this.#hooks.step({ type: "rooms", rooms: [{ ...room, member: true }] });
    this.#hooks.changed();
  }

  /** @param {Key | null} key */
  #archived(key) {
    const words = element("p", "", symbol("archive"), element("span", "", t.archivedHint));
    if (!key || (this.#client.account.of(key).role !== "moderator" && !this.#client.isAdministrator)) {
      return [words];
    }
    const back = button("plain", t.unarchive);
    const wrong = element("p", "error");
    wrong.role = "alert";
    back.addEventListener("click", () =>
      busy(back, wrong, async () => {
        this.#hooks.step({ type: "rooms", rooms: [await rooms.change(key.slice(1), { archived: false })] });
        this.#hooks.changed();
      }),
    );
    return [words, back, wrong];
  }

  /**
   * Asks whether to make the room that an address names.
   * @param {Key} key
   * @param {string} title
   */
  #offer(key, title) {
    const name = key.slice(1);
    const create = button("primary", t.createRoom);
    const wrong = element("p", "error");
    wrong.role = "alert";
    create.addEventListener("click", () =>
      busy(create, wrong, async () => {
        const room = await rooms.create({ name, title: name }).catch(async (error) => {
          if (!(error instanceof ApiError && error.status === 409)) throw error;
          // Somebody was faster, or it exists, and has neither members nor messages.
          await rooms.join(name);
          return rooms.room(name);
        });
        this.#about = { key, room, isAnswered: true, isMissing: false };
        this.#hooks.step({ type: "rooms", rooms: [{ ...room, member: true }] });
        this.#hooks.changed();
      }),
    );
    return [drawing("room"), element("h2", "", t.unmadeHeading(title)), element("p", "", t.unmadeHint), wrong, element("div", "buttons", create, this.#browseButton())];
  }

  #browseButton() {
    const browse = button("plain", t.allRooms);
    browse.addEventListener("click", () => this.#hooks.browse());
    return browse;
  }

  /** @param {Standing} standing */
  #refusal(standing) {
    /** @type {Record<string, [heading: string, hint: string]>} */
    const words = {
      forbidden: [t.refusedHeading, t.refusedHint],
      missing: [t.missingHeading, t.missingHint],
      removed: [t.removedHeading, t.removedHint],
      closed: [t.closedHeading, t.refusedHint],
      left: [t.leftHeading, t.refusedHint],
    };
    const [heading = "", hint = ""] = words[standing] ?? [];
    const back = button("primary", t.toRoom(this.#directory.titleOf(`#${DEFAULT_ROOM}`)));
    back.addEventListener("click", () => this.#hooks.go(`#${DEFAULT_ROOM}`));
    const picture = standing === "removed" || standing === "left" ? "left" : standing === "missing" ? "search" : "locked";
    return [drawing(picture), element("h2", "", heading), element("p", "", hint), element("div", "buttons", back, this.#browseButton())];
  }
}

/**
 * Sends a request, unless it is being sent, and says why it failed.
 * @param {HTMLButtonElement} pressed
 * @param {HTMLElement} wrong
 * @param {() => Promise<void>} send
 */
async function busy(pressed, wrong, send) {
  if (pressed.ariaBusy === "true") return;
  pressed.ariaBusy = "true";
  try {
    await send();
  } catch (error) {
    wrong.textContent = wording(error)[1];
  } finally {
    pressed.ariaBusy = null;
  }
}

/** How often a user is asked for whom there is no account. */
const NOBODY_EVERY_MS = 5_000;
const REFUSED = ["unmade", "forbidden", "missing", "removed", "closed", "left"];
