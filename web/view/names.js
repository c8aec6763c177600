// Suggests names for a mention while it is typed.

import { suggestionsFor, replacement, mentionAt } from "../logic/names.js";
import { EVERYBODY } from "../logic/text.js";
import { t } from "../words.js";
import { avatar } from "./avatar.js";
import { element, isolated, symbol } from "./dom.js";
import { RoomPeople } from "./room-people.js";
import { Suggestions } from "./suggestions.js";

/** @typedef {import("../logic/account.js").Place} Place */
/** @typedef {import("../logic/names.js").Suggestion} Suggestion */
/** @typedef {Pick<import("../logic/names.js").People, "me" | "names" | "authors"> & { place: Place | undefined }} People `place`: the open conversation; undefined: a server that keeps no members */

export class Names {
  #people;
  #more = new RoomPeople(() => this.#list.isTyping && this.#list.offer());
  /** @type {Suggestions<Suggestion>} */
  #list;

  /**
   * @param {HTMLTextAreaElement} text
   * @param {() => People} people the users who may be mentioned
   */
  constructor(text, people) {
    this.#people = people;
    this.#list = new Suggestions(text, {
      id: "names",
      label: () => t.whomToName,
      typedAt: mentionAt,
      offer: ({ query }) => this.#offer(query),
      option,
      keyOf: ({ name }) => name,
      replacement: (text, typed, { name }) => replacement(text, typed, name),
    });
  }

  /** Shows suggestions for the mention before the caret. */
  suggest() {
    this.#list.suggest();
  }

  /** Closes the list: the box has another text. */
  close() {
    this.#list.close();
  }

  /**
   * Shows whom to mention, as far as that is known.
   * @param {string} query
   */
  #offer(query) {
    const { place, ...people } = this.#people();
    const room = place?.key.startsWith("#") ? place.key.slice(1) : null;
    if (room === null) {
      this.#list.show(suggestionsFor(query, people));
      return;
    }
    const members = this.#more.membersOf(room)?.names ?? null;
    const isOpen = place?.access === "open";
    if (isOpen) this.#more.find(query);
    const suggested = suggestionsFor(query, {
      ...people,
      ...(isOpen ? {} : { names: [] }),
      members,
      others: isOpen ? this.#more.found : [],
      everybody: this.mayMentionAll ? [EVERYBODY, t.everybody] : [],
    });
    this.#list.show(suggested);
  }

  /** Whether every member of the open room may be mentioned at once: in a large one only by moderators. */
  get mayMentionAll() {
    const { place } = this.#people();
    if (!place?.key.startsWith("#")) {
      return false;
    }
    const members = this.#more.membersOf(place.key.slice(1));
    return members !== null && (place.role === "moderator" || (members.isComplete && members.names.length <= ALL_MAX));
  }

  /** Names of users who may be mentioned in the open room, beside those that the chat knows. */
  get known() {
    const { place } = this.#people();
    const members = place?.key.startsWith("#") ? this.#more.membersOf(place.key.slice(1)) : null;
    return [...(members?.names ?? []), ...this.#more.found];
  }
}

/** @param {Suggestion} suggestion */
function option({ name, kind }) {
  const isAll = kind === "everybody";
  const made = element("li", "", isAll ? element("span", "sign", symbol("people")) : avatar(name, "small"), isolated(isAll ? `@${name}` : name, "title"));
  if (kind !== "member") made.append(element("span", "quiet", isAll ? t.everybody : t.notInRoom));
  return made;
}

/** In a room of more members, only moderators may mention all of them at once. */
const ALL_MAX = 100;
