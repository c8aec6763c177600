// What a new user reads: three things to do, each one press away. It stands in place of
// an empty log, and otherwise above the box, until each is done or it is closed.

import { DEFAULT_ROOM } from "../logic/address.js";
import { chatTitle, t } from "../words.js";
import { button, byId, element, symbol } from "./dom.js";
import { drawing } from "./drawings.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("../settings.js").Memory} Memory */
/** @typedef {import("../settings.js").Step} Step */
/** @typedef {import("./directory.js").Directory} Directory */

export class Welcome {
  #page = element("section", "welcome");
  #strip = element("section", "welcome-strip");
  #client;
  #directory;
  #hooks;
  #shown = "";

  /**
   * @param {Client} client
   * @param {Directory} directory
   * @param {object} hooks
   * @param {Memory} hooks.memory
   * @param {() => boolean} hooks.isReadable whether the user may read what is open
   * @param {() => void} hooks.hello puts a greeting into the box
   * @param {() => "address" | "link" | null} hooks.invitesBy how the user can invite people; null: not at all
   * @param {() => void} hooks.invite copies the address of the chat, or opens the invitations
   * @param {() => boolean} hooks.mayMakeRooms
   * @param {() => void} hooks.newRoom
   */
  constructor(client, directory, hooks) {
    this.#client = client;
    this.#directory = directory;
    this.#hooks = hooks;
    this.#page.hidden = this.#strip.hidden = true;
    byId("top", HTMLElement).before(this.#page);
    byId("typing", HTMLElement).before(this.#strip);
  }

  /** Shows what has changed. */
  update() {
    const { current } = this.#directory;
    const isPage = current !== null && this.#isNew(current);
    const places = [...this.#client.account.places.values()];
    if (current && this.#hooks.memory.steps.includes("hello") && this.#client.outbox.of(current).length > 0) this.#done("hello");
    if (this.#hooks.memory.steps.includes("room") && places.some(({ role }) => role === "moderator")) this.#done("room");
    const isGuest = current !== null && this.#client.account.isKept && this.#client.account.places.get(current)?.role === null;
    // A guest joins first; the greeting does that, too.
    const by = this.#hooks.invitesBy();
    const mayMake = this.#hooks.mayMakeRooms();
    const steps = this.#hooks.memory.steps.filter((step) => (!isGuest || step === "hello") && (step !== "invite" || by) && (step !== "room" || mayMake));
    const isStrip = !isPage && steps.length > 0 && current?.startsWith("#") === true && this.#hooks.isReadable() && this.#client.rooms.get(current.slice(1))?.status === "in";
    const shown = JSON.stringify([isPage, isStrip, steps, by, mayMake, t.chat]);
    if (this.#shown !== shown) {
      this.#shown = shown;
      this.#page.hidden = !isPage;
      this.#strip.hidden = !isStrip;
      if (isPage) this.#page.replaceChildren(...this.#content());
      if (isStrip) this.#strip.replaceChildren(...this.#line(steps));
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

  #content() {
    const by = this.#hooks.invitesBy();
    const choices = ALL.filter((step) => (step !== "invite" || by) && (step !== "room" || this.#hooks.mayMakeRooms())).map((step) => {
      const [sign, word, hint] = wordsOf(step, by);
      return this.#choice(step, symbol(sign), element("span", "", element("b", "", word), element("small", "", hint)));
    });
    return [drawing("hello"), element("h2", "", t.welcomeTo(chatTitle())), element("p", "", t.welcomeHint), element("div", "choices", ...choices)];
  }

  /** @param {Step[]} steps */
  #line(steps) {
    const choices = ALL.filter((step) => steps.includes(step)).map((step) => {
      const [sign, word] = wordsOf(step);
      return this.#choice(step, symbol(sign), element("span", "", word));
    });
    const close = button("icon", symbol("close"));
    close.ariaLabel = close.title = t.close;
    close.addEventListener("click", () => {
      this.#hooks.memory.steps = [];
      this.update();
      byId("text", HTMLTextAreaElement).focus({ preventScroll: true });
    });
    return [element("p", "", t.welcome), element("div", "choices", ...choices), close];
  }

  /**
   * @param {Step} step
   * @param {...Node} content
   */
  #choice(step, ...content) {
    const choice = button("", ...content);
    choice.addEventListener("click", () => {
      this.#hooks[step === "room" ? "newRoom" : step]();
      this.#done(step);
      this.update();
    });
    return choice;
  }

  /** @param {Step} step */
  #done(step) {
    const { memory } = this.#hooks;
    memory.steps = memory.steps.filter((left) => left !== step);
  }
}

/**
 * @param {Step} step
 * @param {"address" | "link" | null} [by] how the user can invite people
 * @returns {[sign: string, word: string, hint: string]}
 */
function wordsOf(step, by) {
  switch (step) {
    case "hello":
      return ["write", t.sayHello, t.sayHelloHint];
    case "invite":
      return ["link", t.invitePeople, by === "link" ? t.inviteByLinkHint : t.invitePeopleHint];
    case "room":
      return ["plus", t.createRoom, t.createRoomHint];
  }
}

/** @type {Step[]} */
const ALL = ["hello", "invite", "room"];
/** The rooms of a new server. @type {Key[]} */
const ROOMS = [`#${DEFAULT_ROOM}`, "#random"];
