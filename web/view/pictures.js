// Pictures of users that have changed, in everything that shows them.

import { knowPicture } from "./avatar.js";

/**
 * @param {string} name
 * @param {string} address empty: the user has no picture
 */
export function showPicture(name, address) {
  if (shown.get(name) === address) {
    return;
  }
  shown.set(name, address);
  knowPicture(name, address);
  for (const face of document.querySelectorAll("chat-avatar")) {
    const src = face.querySelector("img")?.getAttribute("src") ?? "";
    // The same name once more: the element shows the picture that is known now.
    if (face.getAttribute("name") === name && src !== address) face.setAttribute("name", name);
  }
}

/** What was told last, by name. @type {Map<string, string>} */
const shown = new Map();
