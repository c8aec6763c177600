// The sentences that a user reads when the server refuses a request, or does not
// answer.

import { ApiError } from "./api.js";
import { soonOf } from "./relative-time.js";
import { t } from "./words.js";

/** @typedef {"name" | "password" | "picture" | "form"} Field the part of the form that an error is shown at */

/**
 * The sentence for an error, and the field that it is shown at.
 * @param {unknown} error
 * @returns {[Field, string]}
 */
export function wording(error) {
  if (!(error instanceof ApiError)) {
    console.error(error);
    return ["form", t.somethingBroke];
  }
  const { sentence, status } = error;
  if (/^invalid credentials$/.test(sentence)) return ["form", t.badCredentials];
  if (/^this account is banned/.test(sentence)) return ["form", t.accountBanned];
  if (/already exists$/.test(sentence)) return ["name", t.nameTaken];
  if (/^username too long/.test(sentence)) return ["name", t.nameTooLong];
  if (/^username looks/.test(sentence)) return ["name", t.nameLooksTaken];
  if (/^username is reserved/.test(sentence)) return ["name", t.nameReserved];
  if (/^registration is closed/.test(sentence)) return ["form", t.registrationClosed];
  if (/^this chat has as many accounts/.test(sentence)) return ["form", t.chatFull];
  if (/^too many accounts/.test(sentence)) return ["form", t.tooManyAccounts(soonOf(error.retryAfterSeconds))];
  if (/^username must not contain more/.test(sentence)) return ["name", t.nameTooManyMarks];
  if (/^username must not contain/.test(sentence)) return ["name", t.nameBadChars];
  if (/^username must have/.test(sentence)) return ["name", t.nameNoLetter];
  if (/looks too much like that of another room/.test(sentence)) return ["form", t.roomLooksTaken];
  if (/^(room name|the title of the room) must not contain more/.test(sentence)) return ["form", t.nameTooManyMarks];
  if (/^(room name|the title of the room) must not contain/.test(sentence)) return ["form", t.nameBadChars];
  if (/^username and password/.test(sentence)) return ["name", t.nameNeeded];
  if (/^password too long/.test(sentence)) return ["password", t.passwordTooLong];
  if (/^password too short/.test(sentence)) return ["password", t.passwordMin(Number(/\d+/.exec(sentence)))];
  if (/^password must not be the/.test(sentence)) return ["password", t.passwordIsName];
  if (/^password is one of the most/.test(sentence)) return ["password", t.passwordCommon];
  if (status === 413 || /^the avatar is too large/.test(sentence)) return ["picture", t.pictureTooLarge];
  if (/avatar|picture|image/i.test(sentence)) return ["picture", t.badPicture];
  if (status === 429) return ["form", t.tooManyTries(soonOf(error.retryAfterSeconds))];
  if (status === 503) return ["form", t.serverBusy];
  if (status === 0) return ["form", t.noServer];
  return ["form", status < 500 && sentence ? sentence : t.serverBroke];
}
