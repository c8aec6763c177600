// The door: the forms for signing in and registering.

import { login, register } from "../account.js";
import { ApiError } from "../api.js";
import { providerAddress, signInAddress } from "../elsewhere.js";
import { NAME_MAX_CHARS } from "../logic/address.js";
import { settings } from "../settings.js";
import { learnWhose } from "../whose.js";
import { wording } from "../wording.js";
import { chatTitle, t, titleAlone, titleOf, translate } from "../words.js";
import { avatar, knowPicture } from "./avatar.js";
import { furnish } from "./door-forms.js";
import { byId } from "./dom.js";

/** @typedef {import("../wording.js").Field} Field */
/** @typedef {{ secret: string, by: string, avatar: string, title: string, to_room: boolean }} Invitation of a link `/join/…` */

export class Door {
  #door = byId("door", HTMLElement);
  #register;
  #signIn;
  #logo;
  #title;
  #welcome;
  #leadsTo;
  #words;
  #toRegister;
  #toSignIn;
  #crop;
  #passwordHint;
  #elsewhere;
  #choice;
  #entered;
  #room;
  /** @type {Invitation | undefined} */
  #invitation;
  #isPasswordSet = false;

  /**
   * @param {() => Promise<void>} entered a user has signed in
   * @param {string} room the room that the address names; or empty
   * @param {Invitation} [invitation]
   */
  constructor(entered, room, invitation) {
    this.#entered = entered;
    this.#room = room;
    this.#invitation = invitation;
    const { register, signIn, logo, title, welcome, leadsTo, words, toRegister, toSignIn, crop, passwordHint, elsewhere, choice } = furnish(this.#door);
    this.#register = register;
    this.#signIn = signIn;
    this.#logo = logo;
    this.#title = title;
    this.#welcome = welcome;
    this.#leadsTo = leadsTo;
    this.#words = words;
    this.#toRegister = toRegister;
    this.#toSignIn = toSignIn;
    this.#crop = crop;
    this.#passwordHint = passwordHint;
    this.#elsewhere = elsewhere;
    this.#choice = choice;
    if (invitation) {
      knowPicture(invitation.by, invitation.avatar);
      this.#words.before(avatar(invitation.by));
    }
    translate(this.#door);
    this.#toRegister.addEventListener("click", () => this.#show(this.#register));
    this.#toSignIn.addEventListener("click", () => this.#show(this.#signIn));
    this.#register.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(this.#register, (name, password) => this.#registerAs(name, password));
    });
    this.#signIn.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(this.#signIn, (name, password) => again(this.#signIn, () => login(name, password)));
    });
    for (const eye of this.#door.querySelectorAll("[data-reveal]")) {
      eye.addEventListener("click", () => eye instanceof HTMLButtonElement && reveal(eye));
    }
  }

  /**
   * @param {unknown} error the reason why the chat cannot be opened; null: nobody is signed in
   * @param {boolean} [isPasswordSet] whether a link has just set the password of an account
   */
  open(error, isPasswordSet = false) {
    this.#door.hidden = false;
    this.#isPasswordSet = isPasswordSet;
    const form = isPasswordSet || settings.name || this.#isClosed ? this.#signIn : this.#register;
    const name = input(this.#signIn, "username");
    name.value ||= settings.name ?? "";
    this.#show(form);
    // It may come late, and says again what it asks of a password when it refuses one.
    learnWhose().then(() => this.#showWhose());
    showError(form, "form", error === null ? "" : wording(error)[1]);
  }

  close() {
    this.#door.hidden = true;
    for (const form of [this.#signIn, this.#register]) {
      form.reset();
    }
    this.#crop.clear();
  }

  retranslate() {
    this.#showWhose();
    this.#crop.retranslate();
    for (const eye of this.#door.querySelectorAll("[data-reveal]")) {
      if (eye instanceof HTMLButtonElement) {
        eye.ariaLabel = eye.ariaPressed === "true" ? t.hidePassword : t.showPassword;
      }
    }
    for (const form of [this.#signIn, this.#register]) {
      clearErrors(form);
    }
  }

  /** Whether only those who have an account come in. */
  get #isClosed() {
    return settings.server?.registration === "closed" || this.#needsInvitation;
  }

  get #needsInvitation() {
    return settings.server?.registration === "invite" && !this.#invitation;
  }

  /** Shows whose chat it is, and what the server asks of those who come. */
  #showWhose() {
    const min = settings.server?.password_min_chars ?? 1;
    document.title = this.#title.textContent = chatTitle();
    const icon = settings.server?.logo || byId("favicon", HTMLLinkElement).href;
    if (this.#logo.src !== new URL(icon, location.href).href) this.#logo.src = icon;
    this.#welcome.textContent = settings.server?.welcome ?? "";
    this.#passwordHint.textContent = min > 1 ? t.passwordMin(min) : "";
    this.#toRegister.disabled = this.#isClosed;
    this.#leadsTo.textContent = this.#invitation || !this.#room ? "" : roomOf(this.#room);
    this.#words.textContent = this.#invitation ? sentenceOf(this.#invitation) : this.#wordsOfDoor();
    this.#showElsewhere();
    if (this.#isClosed && !this.#isElsewhere && this.#signIn.hidden) this.#show(this.#signIn);
  }

  /** Shows the way to where users sign in, instead of the forms or above them. */
  #showElsewhere() {
    const { sign_in_url: url, sign_in_with: provider } = settings.server ?? {};
    this.#elsewhere.hidden = !url && !provider;
    if (url) this.#elsewhere.href = signInAddress(url);
    if (provider) {
      this.#elsewhere.href = providerAddress();
      this.#elsewhere.textContent = t.continueWith(`\u2068${provider}\u2069`);
    }
    this.#choice.hidden = this.#isElsewhere;
    if (this.#isElsewhere) this.#signIn.hidden = this.#register.hidden = true;
  }

  /** Whether nobody signs in by a password of this server. */
  get #isElsewhere() {
    return Boolean(settings.server?.sign_in_url) || settings.server?.passwords === false;
  }

  #wordsOfDoor() {
    const failed = new URLSearchParams(location.search).get("sign_in");
    if (failed) return failed === "banned" ? t.accountBanned : failed === "full" ? t.chatFull : t.signInFailed(failed);
    if (this.#isElsewhere) return "";
    if (this.#signIn.hidden) return t.invitation;
    if (this.#isPasswordSet) return t.passwordSet;
    if (this.#isClosed) return this.#needsInvitation ? t.registrationInvite : t.registrationClosed;
    return settings.name === null ? "" : t.welcomeBack;
  }

  /** @param {HTMLFormElement} form */
  #show(form) {
    this.#signIn.hidden = form !== this.#signIn;
    this.#register.hidden = form !== this.#register;
    this.#toSignIn.ariaPressed = String(form === this.#signIn);
    this.#toRegister.ariaPressed = String(form === this.#register);
    this.retranslate();
    if (form.hidden) return;
    const [name, password] = [input(form, "username"), input(form, "password")];
    (name.value ? password : name).focus();
  }

  /**
   * @param {string} name
   * @param {string} password
   */
  async #registerAs(name, password) {
    const form = new FormData();
    form.set("username", name);
    form.set("password", password);
    const picture = await this.#crop.picture();
    if (picture) {
      form.set("avatar", picture, "avatar.png");
    }
    if (this.#invitation) form.set("invite", this.#invitation.secret);
    await again(this.#register, () => register(form));
    await again(this.#register, () => login(name.trim(), password));
  }

  /**
   * Sends a form, unless it is being sent, and shows an error at the field that is wrong.
   * @param {HTMLFormElement} form
   * @param {(name: string, password: string) => Promise<void>} send
   */
  async #submit(form, send) {
    const submit = form.querySelector("button.primary");
    if (!(submit instanceof HTMLButtonElement) || submit.ariaBusy === "true") {
      return;
    }
    clearErrors(form);
    const [name, password] = [input(form, "username"), input(form, "password")];
    if (!name.value.trim()) {
      showError(form, "name", t.nameNeeded);
    } else if (form === this.#register && [...name.value.trim()].length > NAME_MAX_CHARS) {
      showError(form, "name", t.nameTooLong);
    } else if (!password.value) {
      showError(form, "password", t.passwordNeeded);
    } else {
      submit.ariaBusy = "true";
      try {
        await send(name.value, password.value);
        await this.#entered();
      } catch (error) {
        const [field, sentence] = wording(error);
        field === "picture" ? this.#crop.showError(sentence) : showError(form, field, sentence);
      } finally {
        submit.ariaBusy = null;
      }
    }
  }
}

/**
 * Sends a request, and once more if the server is busy and names when to come back: a place among
 * those who wait is free a moment later. What is refused a second time is left to the user.
 * @param {HTMLFormElement} form says meanwhile what is going on
 * @param {() => Promise<void>} send
 */
async function again(form, send) {
  try {
    await send();
  } catch (error) {
    const wait = error instanceof ApiError && error.status === 503 ? error.retryAfterSeconds : 0;
    if (wait <= 0 || wait > AGAIN_MAX_SECONDS) throw error;
    showError(form, "form", t.serverBusyAgain);
    // Not all who were sent away come back at one time.
    await new Promise((done) => setTimeout(done, (wait + Math.random()) * 1_000));
    clearErrors(form);
    await send();
  }
}

/** After a longer time the user tries again: it is no short rush. */
const AGAIN_MAX_SECONDS = 5;

/**
 * Where a link to a room leads. The server tells visitors no titles, and the name of a closed
 * room says nothing.
 * @param {string} room
 */
function roomOf(room) {
  return room.startsWith("~") ? t.leadsToClosed : t.leadsTo(`\u2068${titleOf(room, "")}\u2069`);
}

/**
 * Who invites, and where to.
 * @param {Invitation} invitation
 */
export function sentenceOf({ by, title, to_room: isToRoom }) {
  // Isolates: a name that is written from right to left must not reorder the sentence.
  return t.invites(`\u2068${by}\u2069`, `\u2068${isToRoom ? titleAlone(title) : title}\u2069`);
}

/**
 * @param {HTMLFormElement} form
 * @param {Field} field
 * @param {string} sentence
 */
function showError(form, field, sentence) {
  const wrong = field === "name" ? input(form, "username") : field === "password" ? input(form, "password") : null;
  const error = wrong
    ? document.getElementById(`${wrong.id}-error`)
    : [...form.children].find((child) => child.matches(".error"));
  if (error) {
    error.textContent = sentence;
  }
  if (wrong) {
    wrong.ariaInvalid = "true";
    wrong.focus();
  } else if (sentence && form.id === "sign-in") {
    input(form, "password").select();
  }
}

/** @param {HTMLFormElement} form */
function clearErrors(form) {
  for (const error of form.querySelectorAll(".error")) {
    error.textContent = "";
  }
  for (const field of form.querySelectorAll("input")) {
    field.ariaInvalid = null;
  }
}

/** @param {HTMLButtonElement} eye */
function reveal(eye) {
  const field = byId(eye.dataset.reveal ?? "", HTMLInputElement);
  const isShown = field.type === "text";
  field.type = isShown ? "password" : "text";
  eye.ariaPressed = String(!isShown);
  eye.ariaLabel = isShown ? t.showPassword : t.hidePassword;
}

/**
 * @param {HTMLFormElement} form
 * @param {string} name
 */
function input(form, name) {
  const field = form.elements.namedItem(name);
  if (!(field instanceof HTMLInputElement)) {
    throw new Error(`the form has no ${name}`);
  }
  return field;
}
