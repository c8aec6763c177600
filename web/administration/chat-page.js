// The page of the settings for what everybody sees of this chat: its title, welcome,
// colour and logo, with the door as visitors will see it.

import { settings } from "../settings.js";
import { PictureCrop } from "../view/crop.js";
import { byId, element, symbol } from "../view/dom.js";
import { make } from "../view/make.js";
import { addSymbols } from "../view/symbols.js";
import { learnAnew, learnWhose } from "../whose.js";
import { chatTitle, t } from "../words.js";
import { changeServer, removeLogo, setLogo } from "./calls.js";
import { fieldOf } from "./pieces.js";
import { sentenceOf } from "./wording.js";

export class ChatPage {
  #title = make("input", { id: "server-title", maxlength: "64", autocomplete: "off", dir: "auto", required: true });
  #welcome = make("textarea", { id: "server-welcome", rows: "2", maxlength: "500", dir: "auto", "aria-describedby": "server-welcome-hint" });
  #swatches = ACCENTS.map((accent) => swatchOf(accent));
  #crop = new PictureCrop();
  #removeLogo = make("button", { type: "button", class: "plain", id: "remove-logo", "data-t": "removeLogo" });
  #save = make("button", { class: "primary", "data-t": "save" });
  #wrong = make("p", { class: "error", role: "alert" });
  #said = make("p", { class: "said", role: "status" });
  #face = make("img", { alt: "", width: "64", height: "64" });
  #shownTitle = make("p", { class: "door-title", dir: "auto" });
  #shownWelcome = make("p", { class: "door-welcome", dir: "auto" });
  #preview = make(
    "div",
    { class: "door-preview", role: "img", "data-t-label": "doorPreview" },
    make(
      "div",
      { class: "door-head", "aria-hidden": "true" },
      this.#face,
      this.#shownTitle,
      this.#shownWelcome,
      make("span", { class: "primary", "data-t": "register" }),
    ),
  );
  node = make(
    "form",
    { id: "server-form", novalidate: true },
    this.#preview,
    fieldOf(this.#title, "roomTitle"),
    fieldOf(this.#welcome, "serverWelcome", make("small", { id: "server-welcome-hint", "data-t": "serverWelcomeHint" })),
    make("fieldset", {}, make("legend", { "data-t": "accent" }), make("div", { class: "swatches" }, ...this.#swatches.map(({ node }) => node))),
    this.#crop,
    this.#wrong,
    make("div", { class: "buttons" }, this.#removeLogo, this.#save),
    this.#said,
  );
  /** The address of the picture that is chosen and not sent. */
  #chosen = "";
  /** Counts the pictures that are drawn: the last one is shown. */
  #drawn = 0;

  constructor() {
    this.#crop.className = "field";
    this.#crop.label = () => t.logo;
    this.#crop.hint = () => t.logoHint;
    addSymbols({ logo: "M4 5h16v14H4zM4 16.5 9 11l4.5 4.5L16 13l4 4M15.5 9v.1" });
    this.#crop.face = symbol("logo");
    this.#crop.addEventListener("picture", () => this.#draw());
    for (const event of ["pointerup", "keyup", "input"]) this.#crop.addEventListener(event, () => this.#crop.hasPicture && this.#draw());
    this.node.addEventListener("input", () => {
      this.#said.textContent = this.#wrong.textContent = "";
      this.#show();
    });
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send(this.#save, () => this.#change());
    });
    this.#removeLogo.addEventListener("click", () => this.#send(this.#removeLogo, removeLogo));
  }

  async open() {
    this.#said.textContent = this.#wrong.textContent = "";
    this.#colour();
    this.#fill();
    await learnWhose();
    this.#fill();
  }

  close() {
    this.#crop.clear();
  }

  retranslate() {
    this.#crop.retranslate();
    for (const { node, accent } of this.#swatches) node.title = t.accents[accent];
    for (const { input, accent } of this.#swatches) input.ariaLabel = t.accents[accent];
    this.#show();
  }

  /** Puts what the server has into the fields. */
  #fill() {
    this.#title.value = chatTitle();
    this.#welcome.value = settings.server?.welcome ?? "";
    for (const { input, accent } of this.#swatches) input.checked = accent === (settings.server?.accent || "blue");
    this.#show();
  }

  get #accent() {
    return this.#swatches.find(({ input }) => input.checked)?.accent ?? "blue";
  }

  /** Shows the door as it will be. */
  #show() {
    this.#shownTitle.textContent = this.#title.value.trim() || t.chat;
    this.#shownWelcome.textContent = this.#welcome.value.trim();
    const colours = this.#swatches.find(({ input }) => input.checked)?.node.style;
    for (const name of COLOURS) this.#preview.style.setProperty(name, colours?.getPropertyValue(name) ?? "");
    const address = this.#chosen || settings.server?.logo || byId("favicon", HTMLLinkElement).href.replace("icon-unread.svg", "icon.svg");
    if (this.#face.src !== new URL(address, location.href).href) this.#face.src = address;
    this.#removeLogo.hidden = this.#crop.hasPicture || !settings.server?.logo;
  }

  /** Gives each swatch the colours that the page would have: only the root knows them. */
  #colour() {
    const root = document.documentElement;
    const { accent: own = "" } = root.dataset;
    for (const { node, accent } of this.#swatches) {
      root.dataset.accent = accent;
      const colours = getComputedStyle(root);
      for (const name of COLOURS) node.style.setProperty(name, colours.getPropertyValue(name));
    }
    root.dataset.accent = own;
  }

  async #draw() {
    this.#drawn += 1;
    const drawn = this.#drawn;
    const picture = await this.#crop.picture();
    if (drawn !== this.#drawn) return;
    URL.revokeObjectURL(this.#chosen);
    this.#chosen = picture ? URL.createObjectURL(picture) : "";
    this.#show();
  }

  async #change() {
    const title = this.#title.value.trim();
    if (!title) {
      this.#title.focus();
      return t.titleNeeded;
    }
    const welcome = this.#welcome.value.trim();
    const changes = {
      // The title of a new server is translated, and stays as it is if nobody changes it.
      ...(title === chatTitle() ? {} : { title }),
      ...(welcome === (settings.server?.welcome ?? "") ? {} : { welcome }),
      ...(this.#accent === (settings.server?.accent || "blue") ? {} : { accent: this.#accent }),
    };
    if (Object.keys(changes).length > 0) await changeServer(changes);
    const picture = await this.#crop.picture();
    if (picture) await setLogo(picture);
    return "";
  }

  /**
   * @param {HTMLButtonElement} pressed
   * @param {() => Promise<string | void>} act returns what is wrong
   */
  async #send(pressed, act) {
    if (pressed.ariaBusy === "true") {
      return;
    }
    pressed.ariaBusy = "true";
    this.#wrong.textContent = this.#said.textContent = "";
    try {
      this.#wrong.textContent = (await act()) ?? "";
      if (!this.#wrong.textContent) {
        await learnAnew();
        this.#crop.clear();
        this.#fill();
        this.#said.textContent = t.serverChanged;
      }
    } catch (error) {
      this.#wrong.textContent = sentenceOf(error);
    } finally {
      pressed.ariaBusy = null;
    }
  }
}

/** @param {typeof ACCENTS[number]} accent */
function swatchOf(accent) {
  const input = make("input", { type: "radio", name: "accent", value: accent });
  return { accent, input, node: make("label", { class: "swatch" }, input, element("span")) };
}

const ACCENTS = /** @type {const} */ (["blue", "green", "violet", "orange", "red", "teal", "pink", "graphite"]);
/** What an accent is made of. */
const COLOURS = ["--accent", "--accent-strong", "--on-accent"];
