// What the buttons in a message do.

import { filesHere } from "../files-here.js";
import { may, targetOf } from "../logic/changing.js";
import { t } from "../words.js";

/** @typedef {import("../logic/client.js").Client} Client */
/** @typedef {import("../logic/client.js").Input} Input */
/** @typedef {import("./composer.js").Composer} Composer */

/**
 * @param {string} action the `data-act` of the button
 * @param {HTMLElement} item the message
 * @param {HTMLElement} button
 * @param {object} chat
 * @param {Client} chat.client
 * @param {Composer} chat.composer
 * @param {(input: Input) => void} chat.step
 * @param {import("../session.js").Session["change"]} chat.change
 * @param {import("./directory.js").Directory} chat.directory
 * @param {import("./profile-card.js").ProfileCard} chat.card
 * @param {(text: string, sentence: string) => void} chat.copy
 */
export function act(action, item, button, { client, composer, directory, step, change: send, card, copy }) {
  const { nonce = "", from = "" } = item.dataset;
  const change = button.closest("[data-nonce]")?.getAttribute("data-nonce") ?? "";
  switch (action) {
    case "profile":
      card.open(from, button);
      break;
    case "copy-code":
      copy(button.parentElement?.querySelector("code")?.textContent ?? "", t.codeCopied);
      break;
    case "retry":
      step({ type: "retry", nonce });
      composer.focus();
      break;
    case "edit": {
      const waiting = client.outbox.find(nonce);
      const text = waiting ? client.shownItem(waiting).text : "";
      if (waiting?.files) filesHere.restore(waiting.key, waiting.files);
      step({ type: "discard", nonce });
      composer.insert(text);
      break;
    }
    case "discard":
      step({ type: "discard", nonce });
      composer.focus();
      break;
    case "toggle": {
      const key = directory.current;
      const shown = key && client.look(key, { seq: Number(item.dataset.seq), nonce: item.dataset.nonce });
      const { emoji = "" } = button.dataset;
      if (shown && may(client, shown, Date.now() / 1000).react) {
        const isMine = shown.reactions?.find((reaction) => reaction.emoji === emoji)?.mine;
        send({ type: isMine ? "unreact" : "react", key, ...targetOf(shown), emoji });
      }
      break;
    }
    case "retry-change":
      step({ type: "retry", nonce: change });
      break;
    case "take-change": {
      const text = client.outbox.find(change)?.text ?? "";
      step({ type: "discard", nonce: change });
      composer.insert(text);
      break;
    }
    case "discard-change":
      step({ type: "discard", nonce: change });
      break;
  }
}
