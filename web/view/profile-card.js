// The card of a user, behind each face and name: who it is, and what can be done. On a
// phone it is a sheet at the lower edge.

import { usersNamed } from "../rooms.js";
import { t } from "../words.js";
import { avatar, markBot } from "./avatar.js";
import { button, byId, element, isolated, symbol } from "./dom.js";
import { make, mount } from "./make.js";
import { showPicture } from "./pictures.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/conversation.js").Key} Key */
/** @typedef {import("./directory.js").Directory} Directory */

export class ProfileCard {
  #dialog = mount(make("dialog", { id: "card", class: "lower-sheet card-dialog", "aria-labelledby": "card-name", closedby: "any" }));
  #face = element("span", "with-presence");
  #state = element("p", "quiet");
  #name = "";
  /** Whether the server has said that the user is online, when the card was opened. */
  #isOnline = false;
  #client;
  #directory;
  #hooks;

  /**
   * @param {Client} client
   * @param {Directory} directory
   * @param {object} hooks
   * @param {(key: Key) => void} hooks.go opens a conversation
   * @param {import("./composer.js").Composer} hooks.composer
   * @param {() => void} hooks.uncover shows the box
   * @param {(page?: import("./settings-dialog.js").PageName) => void} hooks.settings
   */
  constructor(client, directory, hooks) {
    this.#client = client;
    this.#directory = directory;
    this.#hooks = hooks;
    this.#state.role = "status";
    // For browsers without `closedby`.
    this.#dialog.addEventListener("click", ({ target }) => target === this.#dialog && this.#dialog.close());
  }

  /**
   * @param {string} name
   * @param {Element} opener
   */
  open(name, opener) {
    const isMe = name === this.#client.user;
    this.#name = name;
    this.#isOnline = false;
    this.#face.replaceChildren(avatar(name));
    const heading = element("h2", "", isolated(name));
    heading.id = "card-name";
    markBot(heading, name);
    const head = element("div", "person-head", this.#face, element("div", "", heading, this.#state));
    /** @type {[sign: string, word: string, act: () => void][]} */
    const choices = isMe
      ? [["profile", t.settings, () => this.#hooks.settings("profile")]]
      : [["write", t.writePrivately, () => this.#hooks.go(`@${name}`)], ...(this.#mayMention ? [/** @type {[string, string, () => void]} */ (["mention", t.mentionThem, () => this.#mention(name)])] : [])];
    this.#dialog.replaceChildren(
      head,
      ...choices.map(([sign, word, act]) => {
        const choice = button("", symbol(sign), element("span", "", word));
        choice.dataset.action = sign;
        choice.addEventListener("click", () => {
          this.#dialog.close();
          act();
        });
        return choice;
      }),
    );
    this.update();
    const at = opener.getBoundingClientRect();
    this.#dialog.showModal();
    this.#place(at);
    this.#dialog.querySelector("button")?.focus();
    this.#ask(name);
  }

  /** Shows what has changed. */
  update() {
    if (this.#name) {
      const isMe = this.#name === this.#client.user;
      const isOnline = isMe || this.#isOnline || this.#client.isOnline(this.#name);
      this.#face.classList.toggle("online", isOnline);
      this.#state.textContent = isMe ? t.thatIsYou : isOnline ? t.online : t.notOnline;
    }
  }

  /** Whether something may be written into the open room. */
  get #mayMention() {
    return this.#directory.current?.startsWith("#") && !byId("composer", HTMLElement).hidden;
  }

  /** @param {string} name */
  #mention(name) {
    this.#hooks.uncover();
    const text = byId("text", HTMLTextAreaElement);
    const { selectionStart, selectionEnd, value } = text;
    const space = /(^|\s)$/.test(value.slice(0, selectionStart)) ? "" : " ";
    text.setRangeText(`${space}@${name} `, selectionStart, selectionEnd, "end");
    text.dispatchEvent(new InputEvent("input", { bubbles: true }));
    this.#hooks.composer.focus();
  }

  /**
   * Asks the server how the user looks by now, and whether the user is online.
   * @param {string} name
   */
  async #ask(name) {
    try {
      const [user] = await usersNamed([name]);
      if (user) showPicture(name, user.avatar);
      if (user?.online && this.#name === name) this.#isOnline = true;
      this.update();
    } catch {
      // What is known is shown.
    }
  }

  /** @param {DOMRect} at */
  #place(at) {
    const { style, offsetWidth, offsetHeight } = this.#dialog;
    if (matchMedia("(width < 48rem)").matches) {
      style.left = style.top = "";
      return;
    }
    style.left = `${Math.max(8, Math.min(at.left, innerWidth - offsetWidth - 8))}px`;
    const below = at.bottom + 6;
    style.top = `${below + offsetHeight + 8 <= innerHeight ? below : Math.max(8, at.top - offsetHeight - 6)}px`;
  }
}
