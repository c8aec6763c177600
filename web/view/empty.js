// What stands in place of a log in which nothing is written: a drawing, a sentence, and
// what to do next.

import { t } from "../words.js";
import { button, element } from "./dom.js";
import { drawing } from "./drawings.js";

/**
 * Why there is nothing to see. `quiet`: nobody has written yet. `offline`: nothing is
 * loaded, and cannot be now. `nobody`: there is no user of this name.
 * @typedef {"quiet" | "offline" | "nobody"} Reason
 */

/**
 * @param {HTMLElement} place which has the sentence already, where the first view says it
 * @param {Reason} reason
 * @param {object} where
 * @param {boolean} where.isRoom
 * @param {boolean} where.isShared whether a link to it is of use to others: one to a closed room is not
 * @param {boolean} where.isOwn whether it is the conversation of the user with themselves
 * @param {(what: "invite" | "find") => void} act the user wants a link to the room, or looks for a person
 */
export function furnish(place, reason, { isRoom, isShared, isOwn }, act) {
  place.prepend(drawing(reason));
  if (reason === "offline") {
    place.append(choice(t.tryNow, () => dispatchEvent(new Event("online"))));
  } else if (reason === "nobody") {
    place.append(head(t.nobodyHere), element("p", "", t.nobodyHereHint), choice(t.findPerson, () => act("find")));
  } else if (isRoom) {
    place.append(head(t.emptyRoom), ...(isShared ? [element("p", "", t.emptyRoomHint), choice(t.copyLink, () => act("invite"))] : []));
  } else {
    place.append(head(t.emptyPrivate), element("p", "", isOwn ? t.onlyYou : t.emptyPrivateHint));
  }
}

/** @param {string} words */
function head(words) {
  return element("p", "empty-head", words);
}

/**
 * @param {string} words
 * @param {() => void} act
 */
function choice(words, act) {
  const made = button("link", words);
  made.addEventListener("click", act);
  return made;
}
