// The emoji with their words, loaded when one is first wanted, and what the user uses
// of them.

import { emojiOf, favourites, withUse } from "../logic/emoji.js";
import { json, write } from "../settings.js";

/** @typedef {import("../logic/emoji.js").Emoji} Emoji */

/** @type {Promise<Emoji[]> | null} */
let loading = null;

/** The emoji that this device can show. */
export function allEmoji() {
  loading ??= Promise.all([import("../vendor/emoji.js"), import("../vendor/emoji-en.js"), import("../vendor/emoji-ru.js")]).then(
    ([{ groups }, english, russian]) => shownHere(emojiOf(groups, [english.words, russian.words])),
    (error) => {
      // Without a network: it may be tried again.
      loading = null;
      throw error;
    },
  );
  return loading;
}

/** What the user uses, as this browser has seen it. */
export class EmojiUse {
  #key;

  /** @param {import("../settings.js").Memory} memory */
  constructor(memory) {
    this.#key = memory.keyOf("emoji");
  }

  /** @returns {{ used: string[], tone: number }} `used`: the latest first */
  get #kept() {
    const { used, tone } = json(this.#key) ?? {};
    return { used: Array.isArray(used) ? used.filter((one) => typeof one === "string") : [], tone: Number.isInteger(tone) && tone > 0 && tone < 6 ? tone : 0 };
  }

  /** The emoji that were used last, each once. */
  get recent() {
    return [...new Set(this.#kept.used)];
  }

  /** @param {number} count */
  most(count) {
    return favourites(this.#kept.used, count);
  }

  /** @param {string} emoji */
  add(emoji) {
    const kept = this.#kept;
    write(this.#key, JSON.stringify({ ...kept, used: withUse(kept.used, emoji) }));
  }

  /** The chosen skin tone, 1 to 5; 0: none. */
  get tone() {
    return this.#kept.tone;
  }

  set tone(tone) {
    write(this.#key, JSON.stringify({ ...this.#kept, tone }));
  }
}

/**
 * Leaves out emoji of versions that are newer than the fonts of this device.
 * @param {Emoji[]} all
 */
function shownHere(all) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 24;
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  if (!brush) {
    return all;
  }
  brush.font = "18px sans-serif";
  brush.textBaseline = "top";
  /** What is drawn for an emoji with a colour: a picture has its own. @param {string} emoji @param {string} colour */
  const drawn = (emoji, colour) => {
    brush.clearRect(0, 0, 24, 24);
    brush.fillStyle = colour;
    brush.fillText(emoji, 0, 2);
    return String(brush.getImageData(0, 0, 24, 24).data);
  };
  /** @type {Map<number, boolean>} */
  const versions = new Map();
  for (const { emoji, version } of all) {
    if (!versions.has(version)) versions.set(version, version === 0 || drawn(emoji, "#f00") === drawn(emoji, "#00f"));
  }
  return all.filter(({ version }) => versions.get(version));
}
