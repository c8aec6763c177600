// The page of the settings that shows what others see of the user: name and picture.

import { removePicture, setPicture } from "../own-account.js";
import { settings } from "../settings.js";
import { wording } from "../wording.js";
import { t } from "../words.js";
import { avatar } from "./avatar.js";
import { PictureCrop } from "./crop.js";
import { isolated } from "./dom.js";
import { make } from "./make.js";
import { showPicture } from "./pictures.js";

export class ProfilePage {
  #name = make("p", { class: "profile-name" });
  #hint = make("p", { class: "quiet", "data-t": "nameStays" });
  #crop = new PictureCrop();
  #save = make("button", { type: "button", class: "primary", id: "save-picture", "data-t": "savePicture" });
  #remove = make("button", { type: "button", class: "plain", id: "remove-picture", "data-t": "removeOwnPicture" });
  #said = make("p", { class: "said", role: "status" });
  node = make("div", { class: "profile" }, this.#crop, make("div", { class: "buttons" }, this.#remove, this.#save), this.#said, make("div", {}, this.#name, this.#hint));

  constructor() {
    this.#crop.className = "field";
    this.#crop.hint = () => t.pictureSeen;
    this.#crop.addEventListener("picture", () => {
      this.#said.textContent = "";
      this.#show();
    });
    this.#save.addEventListener("click", () =>
      this.#send(this.#save, async () => {
        const picture = await this.#crop.picture();
        return picture ? setPicture(picture) : null;
      }),
    );
    this.#remove.addEventListener("click", () =>
      this.#send(this.#remove, async () => {
        await removePicture();
        return "";
      }),
    );
  }

  open() {
    const { username } = settings.user ?? { username: "" };
    this.#name.replaceChildren(isolated(username));
    this.#crop.face = avatar(username);
    this.#said.textContent = "";
    this.#show();
  }

  close() {
    this.#crop.clear();
  }

  retranslate() {
    this.#crop.retranslate();
  }

  #show() {
    this.#save.hidden = !this.#crop.hasPicture;
    this.#remove.hidden = this.#crop.hasPicture || !settings.user?.avatar;
  }

  /**
   * @param {HTMLButtonElement} pressed
   * @param {() => Promise<string | null>} send returns the address of the picture; empty: there is none
   */
  async #send(pressed, send) {
    if (pressed.ariaBusy === "true") {
      return;
    }
    pressed.ariaBusy = "true";
    this.#crop.showError("");
    this.#said.textContent = "";
    try {
      const address = await send();
      if (address !== null && settings.user) {
        settings.user = { ...settings.user, avatar: address };
        showPicture(settings.user.username, address);
        this.#crop.clear();
        this.#show();
        this.#crop.focusChoice();
        this.#said.textContent = address ? t.pictureSaved : t.pictureRemoved;
      }
    } catch (error) {
      this.#crop.showError(wording(error)[1]);
    } finally {
      pressed.ariaBusy = null;
    }
  }
}
