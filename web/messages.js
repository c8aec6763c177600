// The list of messages. What people wrote goes into it as text, never as markup.

/** @typedef {import("./socket.js").Frame} Frame */

/** Shows the messages of a room, the newest at the bottom. */
export class MessageList {
  #list;
  #scroller;
  #toNewest;
  #options;
  /** @type {Frame | null} */
  #last = null;
  /** Whether the newest message is in sight, and is to stay so. */
  #atBottom = true;

  /**
   * @param {{ list: HTMLElement, scroller: HTMLElement, toNewest: HTMLElement }} elements
   * @param {object} options
   * @param {() => string} options.me the name of who is signed in
   * @param {(name: string) => Promise<string>} options.avatarOf its address, or empty
   * @param {(name: string) => void} options.chosen somebody's name was chosen
   */
  constructor({ list, scroller, toNewest }, options) {
    this.#list = list;
    this.#scroller = scroller;
    this.#toNewest = toNewest;
    this.#options = options;

    scroller.addEventListener("scroll", () => {
      const below = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
      this.#atBottom = below < NEAR_BOTTOM_PX;
      if (this.#atBottom) {
        toNewest.hidden = true;
      }
    });
    toNewest.addEventListener("click", () => this.#toBottom());
    // A keyboard that comes up on a phone takes its room from the list.
    new ResizeObserver(() => {
      if (this.#atBottom) {
        this.#toBottom();
      }
    }).observe(scroller);
  }

  clear() {
    this.#list.replaceChildren();
    this.#last = null;
    this.#toBottom();
  }

  /** @param {Frame} frame */
  add(frame) {
    const item = frame.type === "system" ? systemItem(frame) : this.#messageItem(frame);
    item.classList.toggle("continued", continues(this.#last, frame));
    this.#last = frame;
    this.#list.append(item);
    while (this.#list.childElementCount > MESSAGES_MAX) {
      this.#list.firstElementChild?.remove();
      this.#list.firstElementChild?.classList.remove("continued");
    }
    if (this.#atBottom || frame.from === this.#options.me()) {
      this.#toBottom();
    } else if (frame.type !== "system") {
      this.#toNewest.hidden = false;
    }
  }

  /** @param {Frame} frame */
  #messageItem(frame) {
    const { me, avatarOf, chosen } = this.#options;
    const isPrivate = frame.type === "private";
    const isMine = frame.from === me();

    const avatar = element("span", "avatar");
    avatar.ariaHidden = "true";
    showAvatar(avatar, frame.from, avatarOf);

    const head = element("div", "head");
    head.append(nameOf(frame.from, isMine, chosen));
    if (isPrivate) {
      const mark = element("span", "private-mark");
      mark.append(isMine ? "лично для " : "лично вам");
      if (isMine) {
        mark.append(nameOf(frame.to ?? "", frame.to === me(), chosen));
      }
      head.append(mark);
    }
    head.append(timeOf(frame));

    const text = element("p", "text");
    text.dir = "auto";
    text.textContent = frame.text;

    const item = element("li", "message");
    item.classList.toggle("mine", isMine);
    item.classList.toggle("private", isPrivate);
    item.append(avatar, head, text);
    return item;
  }

  #toBottom() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#atBottom = true;
    this.#toNewest.hidden = true;
  }
}

/**
 * Shows somebody's picture, and until there is one the first letter of the name.
 * @param {HTMLElement} place
 * @param {string} name
 * @param {(name: string) => Promise<string>} avatarOf
 */
export async function showAvatar(place, name, avatarOf) {
  const [first] = new Intl.Segmenter("ru").segment(name);
  place.textContent = first?.segment.toUpperCase() ?? "";
  place.dataset.tint = String([...name].reduce((sum, c) => sum + (c.codePointAt(0) ?? 0), 0) % TINTS);
  const address = await avatarOf(name);
  if (address) {
    const picture = new Image();
    picture.alt = "";
    picture.addEventListener("load", () => place.replaceChildren(picture));
    picture.src = address;
  }
}

/** @param {Frame} frame */
function systemItem(frame) {
  const who = element("bdi", "");
  who.textContent = frame.from;
  const text = element("span", "");
  text.dir = "auto";
  text.textContent = frame.text;
  const item = element("li", "system");
  item.append(who, " ", text, " ", timeOf(frame));
  return item;
}

/**
 * Whether a message stands below another without repeating whose it is.
 * @param {Frame | null} last
 * @param {Frame} frame
 */
function continues(last, frame) {
  return (
    last !== null &&
    frame.type !== "system" &&
    frame.type === last.type &&
    frame.from === last.from &&
    frame.to === last.to &&
    frame.timestamp - last.timestamp < CONTINUED_SECONDS
  );
}

/**
 * @param {string} name
 * @param {boolean} isMine nobody writes to themselves
 * @param {(name: string) => void} chosen
 */
function nameOf(name, isMine, chosen) {
  if (isMine) {
    const own = element("bdi", "name");
    own.textContent = name;
    return own;
  }
  const button = document.createElement("button");
  button.type = "button";
  button.className = "name";
  button.dir = "auto";
  button.title = "Написать лично";
  button.textContent = name;
  button.addEventListener("click", () => chosen(name));
  return button;
}

/** @param {Frame} frame */
function timeOf({ timestamp }) {
  const date = new Date(timestamp * 1000);
  const time = document.createElement("time");
  if (!Number.isNaN(date.getTime())) {
    const isToday = date.toDateString() === new Date().toDateString();
    time.dateTime = date.toISOString();
    time.title = FULL.format(date);
    time.textContent = (isToday ? HOURS : DAY_AND_HOURS).format(date);
  }
  return time;
}

/**
 * @param {string} tag
 * @param {string} className
 */
function element(tag, className) {
  const made = document.createElement(tag);
  if (className) {
    made.className = className;
  }
  return made;
}

/** Older ones leave the page; they are in the room's history. */
const MESSAGES_MAX = 500;
/** Messages of one person within this time stand together. */
const CONTINUED_SECONDS = 300;
const NEAR_BOTTOM_PX = 48;
/** Colours behind first letters, as many as app.css has. */
const TINTS = 6;

const HOURS = new Intl.DateTimeFormat("ru", { timeStyle: "short" });
const DAY_AND_HOURS = new Intl.DateTimeFormat("ru", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});
const FULL = new Intl.DateTimeFormat("ru", { dateStyle: "full", timeStyle: "short" });
