// Completes the name of an emoji while it is typed behind a colon.

import { emojiAt, found, inTone } from "../logic/emoji.js";
import { language, t } from "../words.js";
import { element } from "./dom.js";
import { allEmoji } from "./emoji.js";
import { Suggestions } from "./suggestions.js";

/** @typedef {import("../logic/emoji.js").Emoji} Emoji */
/** @typedef {import("./emoji.js").EmojiUse} EmojiUse */

/**
 * @param {HTMLTextAreaElement} text
 * @param {EmojiUse} use
 */
export function completeEmoji(text, use) {
  /** @type {Suggestions<Emoji>} */
  const list = new Suggestions(text, {
    id: "emoji-names",
    label: () => t.emoji,
    typedAt: emojiAt,
    offer: async ({ from, query }) => {
      const all = await allEmoji().catch(() => []);
      const { typed } = list;
      if (typed?.from === from && typed.query === query && list.isTyping) list.show(found(all, query, SUGGESTIONS_MAX));
    },
    option: (emoji) => element("li", "", element("span", "sign", inTone(emoji, use.tone)), element("span", "title", nameOf(emoji))),
    keyOf: ({ emoji }) => emoji,
    replacement: (text, { from, to }, emoji) => {
      const chosen = inTone(emoji, use.tone);
      use.add(chosen);
      // A space that is there already is not doubled.
      return { from, to: text[to] === " " ? to + 1 : to, words: `${chosen} ` };
    },
  });
  list.suggest();
  return list;
}

/**
 * The name of an emoji in the language of the page.
 * @param {Emoji} emoji
 */
export function nameOf({ emoji, names: [english = "", russian = ""] }) {
  return (language === "ru" ? russian : english) || english || emoji;
}

const SUGGESTIONS_MAX = 6;
