// What administrators and moderators see, and what few others need: it is loaded when it
// is opened, with its words and its style, and only with a network.

import { language, partOf, t } from "../words.js";
import { AuditPage } from "./audit-page.js";
import { BotsPage } from "./bots-page.js";
import { ChatPage } from "./chat-page.js";
import { Invites } from "./invites.js";
import { PeoplePage } from "./people-page.js";
import { ReportsPage } from "./reports-page.js";
import { RoomsPage } from "./rooms-page.js";

export { openInvites } from "./invite-sheet.js";
export { openReport } from "./report-sheet.js";

/** @typedef {"server" | "accounts" | "invites" | "rooms" | "bots" | "reports" | "audit"} PageName */

/**
 * What the pages need of the chat.
 * @typedef {object} Desk
 * @property {() => string} me the name of the user
 * @property {() => boolean} isAdministrator
 * @property {(key: import("../logic/conversation.js").Key, seq: number) => void} go opens a conversation at a message
 * @property {(room: string, isEdited: boolean) => void} about opens a room with its details, perhaps to change its title
 * @property {(key: import("../logic/conversation.js").Key, seq: number) => void} remove deletes a message
 * @property {(room: string) => string} titleOf
 * @property {() => void} reported a report has changed
 */

/** Loads the words and the style. Again after the language has changed. */
export async function prepare() {
  await Promise.all([words(), style()]);
}

/**
 * @param {PageName} name
 * @param {Desk} desk
 * @returns {import("../view/settings-dialog.js").Page}
 */
export function pageOf(name, desk) {
  switch (name) {
    case "server":
      return new ChatPage();
    case "accounts":
      return new PeoplePage(desk);
    case "invites":
      return new Invites();
    case "rooms":
      return new RoomsPage(desk);
    case "bots":
      return new BotsPage();
    case "reports":
      return new ReportsPage(desk);
    case "audit":
      return new AuditPage(desk);
  }
}

async function words() {
  while (!("auditActions" in t)) {
    const wanted = language;
    const administration = await partOf(wanted, "administration");
    if (wanted === language) Object.assign(t, administration);
  }
}

/** @type {Promise<unknown> | null} */
let styling = null;

function style() {
  styling ??= new Promise((done, failed) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = new URL("../style/administration.css", import.meta.url).href;
    link.addEventListener("load", done);
    link.addEventListener("error", () => {
      link.remove();
      styling = null;
      failed(new Error("the style of the administration did not come"));
    });
    document.head.append(link);
  });
  return styling;
}
