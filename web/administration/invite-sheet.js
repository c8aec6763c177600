// The dialog in which a member invites people to a room by a link.

import { Sheet } from "../view/sheet.js";
import { translate } from "../words.js";
import { Invites } from "./invites.js";

/** @param {string} room */
export function openInvites(room) {
  const invites = new Invites(room);
  const sheet = new Sheet("room-invites", "inviteByLink", invites.node);
  invites.node.classList.add("fields");
  translate(sheet.node);
  sheet.node.addEventListener("close", ({ target }) => target === sheet.node && sheet.node.remove());
  sheet.open();
  return invites.open();
}
