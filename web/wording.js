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
  for (const [start, words] of SENTENCES) {
    if (start.test(sentence)) return ["form", t.answers[words]];
  }
  if (status === 413 || /^the avatar is too large/.test(sentence)) return ["picture", t.pictureTooLarge];
  if (/avatar|picture|image/i.test(sentence)) return ["picture", t.badPicture];
  if (status === 429) return ["form", t.tooManyTries(soonOf(error.retryAfterSeconds))];
  if (status === 503) return ["form", t.serverBusy];
  if (status === 0) return ["form", t.noServer];
  return ["form", status < 500 && sentence ? t.refused(sentence) : t.serverBroke];
}

/** @type {[start: RegExp, words: keyof typeof t.answers][]} */
const SENTENCES = [
  [/^only administrators may/, "onlyAdministrators"],
  [/^only administrators create rooms/, "roomCreation"],
  [/^you may not do this in this room|^only members may see this room/, "notInThisRoom"],
  [/^you may not join this room/, "mayNotJoin"],
  [/^the server cannot find out whether you may join/, "joinUnknown"],
  [/^there is no such room/, "noRoom"],
  [/^there is a room of this name/, "roomTaken"],
  [/^a room needs a title|^room name must not be blank/, "titleNeeded"],
  [/^a room cannot have the name|^names that begin with ~|^the name of a closed room|^room name/, "badRoomName"],
  [/^the (title|description) of the room/, "badRoomText"],
  [/^a closed room cannot be opened/, "staysClosed"],
  [/^the only moderator of a room/, "onlyModerator"],
  [/^at most \d+ (members|names)/, "tooManyNames"],
  [/^user not found|^there is no user/, "nobody"],
  [/^session not found/, "noDevice"],
  [/^missing auth cookie|^invalid token|^notifications need a session/, "signInAgain"],
  [/^the current password is wrong/, "wrongPassword"],
  [/^you are signed in by another|^this account has no password/, "noPassword"],
  [/^an invitation is needed/, "inviteNeeded"],
  [/^this (link or code|invitation) is not valid/, "noInvite"],
  [/^the file is too large/, "fileTooLarge"],
  [/^too many files at once/, "tooManyFiles"],
  [/^your files take all/, "noSpaceOfUser"],
  [/^the files of this chat take all|^the disk of the server/, "noSpace"],
  [/^there is no such file|^the file ends/, "noFile"],
  [/^there is no such message/, "noMessage"],
  [/^not exactly one emoji/, "oneEmoji"],
  [/^q (must not|is too)/, "badSearch"],
  [/^the request (came too slowly|broke off)/, "slowNetwork"],
  [/^the request comes from another site|^the request has no Host/, "otherSite"],
  [/^the address of the push service|^the keys of the browser/, "noPush"],
];
