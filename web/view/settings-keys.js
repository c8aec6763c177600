// The page of the settings that lists the keys.

import { t } from "../words.js";
import { element } from "./dom.js";
import { make } from "./make.js";

export class KeysPage {
  node = make("dl", { id: "keys-list" });

  retranslate() {
    this.node.replaceChildren(
      ...t.keys.map(([keys = "", meaning = ""]) =>
        element("div", "", element("dt", "", ...keys.split(" ").map((key) => element("kbd", "", key))), element("dd", "", meaning)),
      ),
    );
  }
}
