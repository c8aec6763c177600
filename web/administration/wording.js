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

/**
 * What became of the last message for an outgoing webhook.
 * @param {string} result as the server says it
 */
export function resultOf(result) {
  const status = Number(/^status (\d+)$/.exec(result)?.[1] ?? 0);
  if (status >= 200 && status < 300) return t.outgoingTaken;
  if (status > 0) return t.outgoingAnswer(status);
  for (const [start, words] of RESULTS) {
    if (start.test(result)) return t.outgoingResults[words];
  }
  return result;
}

/** @type {[start: RegExp, words: keyof typeof t.outgoingResults][]} */
const RESULTS = [
  [/^not an https address/, "address"],
  [/^the name of the server leads to private/, "private"],
  [/^the server cannot be reached/, "unreachable"],
  [/^the request failed/, "broken"],
  [/^the server did not answer in time/, "slow"],
];

/** @type {[start: RegExp, words: keyof typeof t.refusals][]} */
const SENTENCES = [
  [/^an administrator cannot be banned/, "banOfAdministrator"],
  [/^a banned user cannot/, "bannedAdministrator"],
  [/^the last administrator/, "lastAdministrator"],
  [/^you have too many invitations/, "tooManyInvites"],
  [/^you have too many open reports/, "tooManyReports"],
  [/^the reason (is too long|has characters)/, "badReason"],
  [/^the welcome is too long/, "badWelcome"],
  [/^the title of the room (is|must)|^a room needs a title/, "badTitle"],
  [/^another account has this name|^the name looks like/, "botName"],
  [/^not an https address/, "badAddress"],
  [/^there is no such bot/, "noWebhook"],
  [/^this link or code/, "noInvite"],
];
