// What a user reads in place of an empty log before anything was ever written to
// them: which rooms there are, and how to begin.

import { addressOf, DEFAULT_ROOM } from "../logic/address.js";
import { t, titleOf } from "../words.js";
import { button, byId, element, isolated, symbol } from "./dom.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("./directory.js").Directory} Directory */

export class Welcome {
  #node = element("section", "welcome");
  #client;
  #directory;
  #hooks;
  #shown = "";

  /**
   * @param {Client} client
   * @param {Directory} directory
   * @param {object} hooks
   * @param {() => void} hooks.newRoom
   * @param {() => void} hooks.invite copies the address of the server
   */
  constructor(client, directory, hooks) {
    this.#client = client;
    this.#directory = directory;
    this.#hooks = hooks;
    this.#node.hidden = true;
    byId("top", HTMLElement).before(this.#node);
  }

  /** Shows what has changed. */
  update() {
    const { current } = this.#directory;
    const isShown = current !== null && this.#isNew(current);
    const shown = JSON.stringify([isShown, current, ROOMS.map((key) => this.#titleOf(key)), t.chat]);
    if (this.#shown !== shown) {
      this.#shown = shown;
      this.#node.hidden = !isShown;
      if (isShown) this.#node.replaceChildren(...this.#content(current));
    }
  }

  /**
   * Whether nothing is written yet, neither here nor in a conversation of the user.
   * @param {Key} key
   */
  #isNew(key) {
    const { account, conversations, outbox } = this.#client;
    const here = conversations.get(key);
    return (
      account.isKept &&
      ROOMS.includes(key) &&
      here !== undefined &&
      here.isLoaded &&
      here.end === 0 &&
      outbox.of(key).length === 0 &&
      [...account.places.values()].every(({ top }) => top === 0)
    );
  }

  /**
   * The title of a room, also of one that the user has never opened.
   * @param {Key} key
   */
  #titleOf(key) {
    const name = key.slice(1);
    const title = this.#directory.titleOf(key);
    return title === name ? titleOf(name, BUILT_IN[name] ?? "") : title;
  }

  /** @param {Key} current */
  #content(current) {
    const rooms = ROOMS.map((key) => {
      const link = element("a", "", element("span", "sign", "#"), isolated(this.#titleOf(key), "title"), element("small", "", t.roomHints[key.slice(1)] ?? ""));
      link.href = addressOf(key);
      if (key === current) link.ariaCurrent = "page";
      return element("li", "", link);
    });
    const create = button("", symbol("plus"), element("span", "", t.createRoom));
    create.addEventListener("click", () => this.#hooks.newRoom());
    const invite = button("", symbol("link"), element("span", "", t.invitePeople));
    invite.addEventListener("click", () => this.#hooks.invite());
    return [element("h2", "", t.welcome), element("p", "", t.welcomeHint), element("ul", "", ...rooms), element("div", "choices", create, invite)];
  }
}

/** The rooms of a new server. @type {Key[]} */
const ROOMS = [`#${DEFAULT_ROOM}`, "#random"];
/** The titles that the server gives them. @type {Record<string, string>} */
const BUILT_IN = { [DEFAULT_ROOM]: "Общая", random: "Болталка" };
