// The sentences that a user reads when the server refuses what this folder asks for.

import { ApiError } from "../api.js";
import { soonOf } from "../relative-time.js";
import { wording } from "../wording.js";
import { t } from "../words.js";

/**
 * @param {unknown} error
 * @returns {string}
 */
export function sentenceOf(error) {
  if (!(error instanceof ApiError)) return wording(error)[1];
  const { sentence, status, retryAfterSeconds } = error;
  for (const [start, words] of SENTENCES) {
    if (start.test(sentence)) return t.refusals[words];
  }
  if (/^too many (reports|changes)/.test(sentence)) return t.tooOften(soonOf(retryAfterSeconds));
  return wording(error)[1];
}

/** @type {[start: RegExp, words: keyof typeof t.refusals][]} */
const SENTENCES = [
  [/^an administrator cannot be banned/, "banOfAdministrator"],
  [/^a banned user cannot/, "bannedAdministrator"],
  [/^the last administrator/, "lastAdministrator"],
  [/^you have too many invitations/, "tooManyInvites"],
  [/^you have too many open reports/, "tooManyReports"],
  [/^only administrators may/, "onlyAdministrators"],
  [/^you may not do this in this room|^only members may see/, "notInThisRoom"],
  [/^the reason has characters/, "badReason"],
  [/^the welcome is too long/, "badWelcome"],
  [/^the title of the room (is|must)|^a room needs a title/, "badTitle"],
  [/^another account has this name|^the name looks like/, "botName"],
  [/^user not found/, "nobody"],
  [/^there is no such message/, "noMessage"],
  [/^this link or code/, "noInvite"],
];
