// Choosing a picture, and the square of it that is shown as the avatar.

import { button, element, symbol } from "./dom.js";
import { t } from "../words.js";

/** A part of a form. `picture()` returns the chosen square. The event `picture`: another one was chosen, or none is any more. */
export class PictureCrop extends HTMLElement {
  /** What is said while none is chosen. */
  hint = () => t.pictureHint;
  /** What it is. */
  label = () => t.picture;
  /** @type {ImageBitmap | null} */
  #image = null;
  /** The part of the shorter side that is visible: 1 is all of it. */
  #zoom = 1;
  /** The centre of the visible square, as fractions of the picture's width and height. */
  #x = 0.5;
  #y = 0.5;

  #canvas = element("canvas", "crop-view");
  #file = element("input", "unseen");
  #zoomer = element("input");
  #choose = button("quiet-button");
  #remove = button("quiet-button");
  #title = element("span", "label");
  #hint = element("small");
  #wrong = element("p", "error");
  #stage = button("crop-stage", this.#canvas, symbol("picture"));

  connectedCallback() {
    if (this.#stage.isConnected) {
      return;
    }
    this.#file.type = "file";
    this.#file.accept = "image/png,image/jpeg,image/gif,image/webp";
    this.#file.tabIndex = -1;
    this.#file.ariaHidden = "true";
    this.#wrong.role = "alert";
    this.#zoomer.type = "range";
    this.#zoomer.min = "1";
    this.#zoomer.max = "5";
    this.#zoomer.step = "0.01";
    this.#canvas.width = VIEW_PX;
    this.#canvas.height = VIEW_PX;
    const stage = this.#stage;
    const words = element("div", "crop-words", this.#title, this.#hint, element("div", "crop-buttons", this.#choose, this.#remove), this.#zoomer);
    this.replaceChildren(stage, words, this.#wrong, this.#file);

    this.#choose.addEventListener("click", () => this.#file.click());
    this.#remove.addEventListener("click", () => {
      this.clear();
      this.#choose.focus();
    });
    this.#file.addEventListener("change", () => this.#load(this.#file.files?.[0]));
    this.#zoomer.addEventListener("input", () => {
      this.#zoom = 1 / Number(this.#zoomer.value);
      this.#draw();
    });
    stage.addEventListener("click", () => this.#image === null && this.#file.click());
    stage.addEventListener("keydown", (event) => this.#key(event));
    stage.addEventListener("pointerdown", (event) => this.#image && stage.setPointerCapture(event.pointerId));
    stage.addEventListener("pointermove", (event) => {
      if (stage.hasPointerCapture(event.pointerId)) {
        const { width } = this.#canvas.getBoundingClientRect();
        this.#move(-event.movementX / width, -event.movementY / width);
      }
    });
    this.addEventListener("dragover", (event) => event.preventDefault());
    this.addEventListener("drop", (event) => {
      event.preventDefault();
      this.#load(event.dataTransfer?.files[0]);
    });
    this.retranslate();
  }

  retranslate() {
    const has = this.#image !== null;
    this.#title.textContent = this.label();
    this.#hint.textContent = has ? t.moveIt : this.hint();
    this.#choose.textContent = has ? t.otherPicture : t.choosePicture;
    this.#remove.textContent = t.removePicture;
    this.#zoomer.ariaLabel = t.zoom;
    this.#zoomer.hidden = !has;
    this.#remove.hidden = !has;
    this.classList.toggle("has-picture", has);
    this.#stage.ariaLabel = has ? t.moveIt : t.choosePicture;
  }

  get hasPicture() {
    return this.#image !== null;
  }

  /** @param {Node} face is shown while none is chosen */
  set face(face) {
    this.#stage.replaceChildren(this.#canvas, face);
  }

  focusChoice() {
    this.#choose.focus();
  }

  clear() {
    this.#image?.close();
    this.#image = null;
    this.#file.value = "";
    this.#wrong.textContent = "";
    this.#changed();
  }

  #changed() {
    this.retranslate();
    this.dispatchEvent(new Event("picture"));
  }

  /** @param {string} sentence */
  showError(sentence) {
    this.#wrong.textContent = sentence;
  }

  /**
   * The visible square, as a file.
   * @returns {Promise<Blob | null>} null where none was chosen
   */
  async picture() {
    if (!this.#image) {
      return null;
    }
    const canvas = new OffscreenCanvas(SENT_PX, SENT_PX);
    this.#drawOn(canvas.getContext("2d"), SENT_PX);
    return canvas.convertToBlob({ type: "image/png" });
  }

  /** @param {File | undefined} file */
  async #load(file) {
    if (!file) {
      return;
    }
    this.#wrong.textContent = "";
    if (file.size > FILE_MAX_BYTES) {
      this.showError(t.pictureTooLarge);
      return;
    }
    try {
      const image = await createImageBitmap(file, { imageOrientation: "from-image" });
      this.#image?.close();
      this.#image = image;
    } catch {
      this.showError(t.badPicture);
      return;
    }
    this.#zoom = 1;
    this.#zoomer.value = "1";
    this.#x = 0.5;
    this.#y = 0.5;
    this.#changed();
    this.#draw();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const [x, y] = STEPS[event.key] ?? [0, 0];
    if (this.#image && (x || y)) {
      event.preventDefault();
      this.#move(x, y);
    }
  }

  /**
   * @param {number} x as a fraction of the visible square
   * @param {number} y
   */
  #move(x, y) {
    if (this.#image) {
      const side = Math.min(this.#image.width, this.#image.height) * this.#zoom;
      this.#x += (x * side) / this.#image.width;
      this.#y += (y * side) / this.#image.height;
      this.#draw();
    }
  }

  #draw() {
    this.#drawOn(this.#canvas.getContext("2d"), VIEW_PX);
  }

  /**
   * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D | null} context
   * @param {number} size
   */
  #drawOn(context, size) {
    if (!context || !this.#image) {
      return;
    }
    const { width, height } = this.#image;
    const side = Math.min(width, height) * this.#zoom;
    const [marginX, marginY] = [side / 2 / width, side / 2 / height];
    this.#x = Math.min(Math.max(this.#x, marginX), 1 - marginX);
    this.#y = Math.min(Math.max(this.#y, marginY), 1 - marginY);
    context.imageSmoothingQuality = "high";
    context.clearRect(0, 0, size, size);
    context.drawImage(this.#image, this.#x * width - side / 2, this.#y * height - side / 2, side, side, 0, 0, size, size);
  }
}

const VIEW_PX = 240;
/** The side of the square that is sent. The server makes it smaller still. */
const SENT_PX = 512;
const FILE_MAX_BYTES = 10 * 1024 * 1024;
/** @type {Record<string, [number, number]>} */
const STEPS = { ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, -0.05], ArrowDown: [0, 0.05] };

customElements.define("picture-crop", PictureCrop);
