// The faces of a browser that has not had their files before. They come after the first
// paint; `first.js` names them from the next visit on. Text whose face changes while it is
// read may jump, so the chat keeps the face that it has begun with.

import { settings } from "../settings.js";
import { byId } from "./dom.js";

/** @param {() => boolean} isChat whether messages are in the page, whose face may not change */
export async function wantFonts(isChat) {
  if (settings.hasFonts) {
    return;
  }
  const links = byId("fonts-code", HTMLTemplateElement).content.querySelectorAll("link");
  for (const { href, dataset } of links) {
    if (dataset.face) {
      const face = new FontFace(dataset.face, `url("${href}")`, { weight: "400 700", ...(dataset.letters && { unicodeRange: dataset.letters }) });
      await face.load();
      if (!isChat()) document.fonts.add(face);
    }
  }
  settings.hasFonts = true;
}
