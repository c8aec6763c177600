// The files of a message: pictures in their place before they are loaded, video and sound
// that play where they are, and cards for everything else.

import { filesHere } from "../files-here.js";
import { addressOfFile, boxOf, columnsOf, isShownItself, kindOf, labelOf, previewOf, summaryOf } from "../logic/files.js";
import { t, wantLaterWords } from "../words.js";
import { element, isolated, symbol } from "./dom.js";
import { sizeOf } from "./sizes.js";
import { addSymbols } from "./symbols.js";

/** @typedef {import("../logic/changes.js").Shown} Shown */
/** @typedef {import("../logic/outbox.js").FileOf} FileOf */

/**
 * The element with the files of a message. It is the same one each time that the message
 * is shown, so that a video plays on when its message is made again.
 * @param {Shown} message with files
 */
export function filesOf({ key, from, nonce, seq, files = [], state }) {
  const id = `${key} ${from} ${nonce ?? seq}`;
  const shown = all.get(id) ?? new Files();
  all.delete(id);
  all.set(id, shown);
  for (const old of [...all.keys()].slice(0, Math.max(0, all.size - KEPT_MAX))) all.delete(old);
  shown.show(files, state === undefined);
  return shown.node;
}

/**
 * The first picture among the files of a message that is quoted, if there is one.
 * @param {FileOf[]} files
 */
export function quotedPicture(files) {
  const file = files.find((file) => file.id && kindOf(file) === "picture");
  if (!file) return [];
  const image = new Image();
  image.alt = "";
  image.loading = "lazy";
  image.src = previewOf(file, false);
  image.onerror = () => image.remove();
  return [image];
}

/** @param {FileOf[]} files of a message without a text */
export function inWords(files) {
  return summaryOf({ text: "", files }, t.photos);
}

/** Those of the latest messages. @type {Map<string, Files>} */
const all = new Map();
/** More than there are rows in the page. */
const KEPT_MAX = 400;

class Files {
  node = element("div", "files");
  #shown = "";
  /** @type {Map<string, Cell>} */
  #cells = new Map();

  constructor() {
    this.node.addEventListener("click", (event) => this.#click(event));
  }

  /**
   * @param {FileOf[]} files
   * @param {boolean} isStored whether the message is in the log
   */
  show(files, isStored) {
    const shown = JSON.stringify([files, isStored, t.chat]);
    if (this.#shown === shown) {
      return;
    }
    this.#shown = shown;
    /** @type {Map<string, Cell>} */
    const cells = new Map();
    for (const file of files) {
      const name = filesHere.localOf(file) || (file.id ?? "");
      const kind = kindOf(file);
      const known = this.#cells.get(name);
      // A picture of which nothing was known was a card so far.
      const cell = known?.kind === kind ? known : { picture: pictureCell, video: videoCell, audio: audioCell, card: cardCell }[kind]();
      cell.show(file, isStored);
      cells.set(name, cell);
    }
    this.#cells = cells;
    const pictures = [...cells.values()].filter(({ kind }) => kind === "picture");
    const others = [...cells.values()].filter(({ kind }) => kind !== "picture");
    const grid = element("div", `pictures columns-${columnsOf(pictures.length)} rest-${pictures.length % 3}`, ...pictures.map(({ node }) => node));
    this.node.replaceChildren(...(pictures.length > 0 ? [grid] : []), ...others.map(({ node }) => node));
    if (pictures.length === 1 && pictures[0]) {
      const { width, height } = boxOf(files.find((file) => kindOf(file) === "picture") ?? {});
      pictures[0].node.style.cssText = `--width: ${width}px; --ratio: ${width} / ${height}`;
    } else {
      for (const { node } of pictures) node.style.cssText = "";
    }
  }

  /** @param {MouseEvent} event */
  async #click(event) {
    const link = event.target instanceof Element ? event.target.closest("a.picture") : null;
    const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (link instanceof HTMLAnchorElement && link.hasAttribute("href") && isPlain) {
      event.preventDefault();
      const [{ openLightbox }] = await Promise.all([import("./lightbox.js"), wantLaterWords()]);
      openLightbox(link);
    }
  }
}

/**
 * @typedef {object} Cell a file in the page
 * @property {string} kind
 * @property {HTMLElement} node
 * @property {(file: FileOf, isStored: boolean) => void} show
 */

/** What shows a picture again. @type {WeakMap<HTMLElement, () => void>} */
const again = new WeakMap();

/** @returns {Cell} */
function pictureCell() {
  const image = new Image();
  const node = element("a", "picture", image);
  /** @type {FileOf | null} */
  let shown = null;
  let wanted = "";
  const load = (/** @type {string} */ address) => {
    wanted = address;
    image.src = address;
  };
  image.decoding = "async";
  image.onload = () => node.classList.remove("broken");
  image.onerror = () => {
    const original = shown?.id ? addressOfFile(shown) : "";
    // Of some pictures the server makes no preview.
    if (wanted === `${original}?preview` && navigator.onLine && shown && isShownItself(shown)) load(original);
    else node.classList.add("broken");
  };
  filesHere.addEventListener("network", () => {
    if (node.isConnected && node.classList.contains("broken") && shown?.id) load(previewOf(shown, mayMove()));
  });
  /** @type {Cell} */
  const cell = {
    kind: "picture",
    node,
    show: (file, isStored) => {
      const { id, name, width = 1, height = 1 } = file;
      const before = shown;
      shown = file;
      Object.assign(image, { alt: name, width, height });
      Object.assign(node.dataset, { width, height, name, size: file.size, about: sizeOf(file.size) });
      node.title = name;
      showUpload(node, file);
      if (id) {
        node.dataset.id = id;
        node.href = addressOfFile(file);
        node.tabIndex = -1;
      }
      const here = filesHere.urlOf(file);
      if (!id || (here && !isStored)) {
        if (here && wanted !== here) load(here);
      } else if (before?.id !== id || wanted.startsWith("blob:")) {
        const address = previewOf(file, mayMove());
        if (wanted.startsWith("blob:")) {
          // Without a white moment in between.
          replaceOnceLoaded(address, () => shown?.id === id && load(address));
        } else {
          image.loading = "lazy";
          load(address);
        }
      }
    },
  };
  again.set(node, () => shown && !wanted && cell.show(shown, false));
  return cell;
}

/** @returns {Cell} */
function videoCell() {
  const video = mediaElement("video");
  video.playsInline = true;
  return mediaCell("video", video, element("div", "video", video));
}

/** @returns {Cell} */
function audioCell() {
  const audio = mediaElement("audio");
  return mediaCell("audio", audio, element("div", "audio", audio));
}

/**
 * @template {"audio" | "video"} K
 * @param {K} kind
 */
function mediaElement(kind) {
  const media = element(kind);
  media.controls = true;
  media.preload = "metadata";
  media.tabIndex = -1;
  return media;
}

/**
 * Something that plays, and below it the card with which it can be downloaded.
 * @param {"audio" | "video"} kind
 * @param {HTMLMediaElement} media
 * @param {HTMLElement} frame
 * @returns {Cell}
 */
function mediaCell(kind, media, frame) {
  const card = cardCell();
  // Also before it can play, so that nothing moves then.
  const node = element("div", `media ${kind}-file`, ...(kind === "audio" ? [card.node, frame] : [frame, card.node]));
  // What the browser does not play is a card only. While nothing comes, it may be the network.
  media.addEventListener("error", () => media.error?.code === MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED && navigator.onLine && frame.remove());
  let address = "";
  return {
    kind,
    node,
    show: (file, isStored) => {
      card.show(file, isStored);
      media.ariaLabel = file.name;
      if (file.id && isStored && address === "") {
        address = addressOfFile(file);
        media.src = address;
      }
    },
  };
}

/** @returns {Cell} */
function cardCell() {
  const node = element("a", "file-card");
  return {
    kind: "card",
    node,
    show: (file) => {
      const { id, name, size } = file;
      const about = [labelOf(file), sizeOf(size)].filter(Boolean).join(" · ");
      node.replaceChildren(symbol(SIGNS[file.type.split("/", 1)[0] ?? ""] ?? "file"), element("span", "card-words", isolated(name, "title"), element("small", "", about)));
      node.title = name;
      if (id) {
        node.href = addressOfFile(file);
        node.download = name;
        node.tabIndex = -1;
      }
      showUpload(node, file);
    },
  };
}

/**
 * Shows how far the upload of a file is.
 * @param {HTMLElement} node
 * @param {FileOf} file
 */
export function showUpload(node, { id, local }) {
  const bar = node.querySelector(":scope > .progress");
  if (id || !local) {
    delete node.dataset.local;
    bar?.remove();
    return;
  }
  node.dataset.local = local;
  const progress = bar instanceof HTMLElement ? bar : element("span", "progress");
  if (!bar) {
    progress.role = "progressbar";
    node.append(progress);
  }
  const { state = "waiting", sent = 0 } = filesHere.upload(local) ?? {};
  node.dataset.upload = state;
  progress.style.setProperty("--sent", String(sent));
  progress.ariaValueNow = String(Math.round(sent * 100));
  progress.ariaLabel = state === "sending" ? t.uploading : t.waiting;
}

filesHere.addEventListener("change", (event) => {
  const local = event instanceof CustomEvent ? String(event.detail) : "";
  for (const node of document.querySelectorAll(`[data-local="${CSS.escape(local)}"]`)) {
    if (node instanceof HTMLElement) {
      showUpload(node, { local, name: "", type: "", size: 0 });
      // Its bytes may have come from the disk.
      again.get(node)?.();
    }
  }
});

/**
 * @param {string} address
 * @param {() => void} replace
 */
function replaceOnceLoaded(address, replace) {
  const image = new Image();
  image.onload = replace;
  image.src = address;
}

function mayMove() {
  return !matchMedia("(prefers-reduced-motion: reduce)").matches;
}

addSymbols({
  file: "M6.5 3.5h7l4 4v13h-11zM13 3.5V8h4.5",
  film: "M4 5.5h16v13H4zM10 9.5v5l4-2.5z",
  sound: "M9 18V6l10-2v12M9 18a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0zM19 16a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0z",
});

/** Symbols by the first part of a type. @type {Record<string, string>} */
const SIGNS = { video: "film", audio: "sound" };
