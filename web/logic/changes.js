// What changes make of messages: edits, deletions and reactions, as the log has them,
// and those of this user that are not in the log yet. Pure functions.

/** @typedef {import("./conversation.js").Entry} Entry */
/** @typedef {import("./conversation.js").Key} Key */
/** @typedef {import("./outbox.js").ChangeKind} ChangeKind */
/** @typedef {import("./outbox.js").Item} Item */

/**
 * @typedef {object} Reaction an emoji on a message. They are in the order in which each
 *   count last rose from 0
 * @property {string} emoji
 * @property {number} count
 * @property {string[]} users some of the first users who reacted so: a hint; all of them if there are `count`
 * @property {boolean} [mine] whether this user reacted so; undefined: that is not known
 */

/**
 * A message as it is to be shown: what the log has, with the user's own changes that are
 * on their way.
 * @typedef {Entry & {
 *   key: Key,
 *   pending?: ChangeKind[],
 *   failed?: Item[],
 *   state?: Item["state"],
 *   replyToNonce?: string,
 * }} Shown `seq` is 0 for a message that is not in the log yet, which has a `state`; `pending`: changes
 *   that are not known to be stored; `failed`: changes that were refused
 */

/** @param {Entry} entry */
export function isMessage({ kind }) {
  return kind === "message" || kind === "private";
}

/**
 * @param {Entry} entry
 * @returns {entry is Entry & { target: number }}
 */
export function isChange(entry) {
  return CHANGES.has(entry.kind);
}

/**
 * A message after a change of the log; the same object if it contains the change already.
 * @param {Entry} message
 * @param {Entry} change
 * @param {string} user who is signed in
 * @returns {Entry}
 */
export function applied(message, change, user) {
  return change.seq > message.updated ? { ...made(message, change, user), updated: change.seq } : message;
}

/**
 * @param {Entry} message
 * @param {Pick<Entry, "kind" | "from" | "text" | "timestamp" | "emoji" | "mentions" | "mentionAll" | "isReplaced">} change
 * @param {string} user
 * @returns {Entry}
 */
function made(message, { kind, from, timestamp, text, emoji = "", mentions, mentionAll, isReplaced }, user) {
  if (message.deleted) {
    return message;
  }
  const { reactions = [] } = message;
  switch (kind) {
    case "edit":
      return isReplaced ? { ...message, edited: timestamp } : { ...message, text, mentions, mentionAll, edited: timestamp };
    case "delete":
      return { ...message, ...NOTHING, text: "", deleted: true };
    case "react":
      return { ...message, reactions: reacted(reactions, emoji, from, user) };
    case "unreact":
      return { ...message, reactions: unreacted(reactions, emoji, from, user) };
    default:
      return message;
  }
}

/**
 * @param {Reaction[]} reactions
 * @param {string} emoji
 * @param {string} from
 * @param {string} user
 */
function reacted(reactions, emoji, from, user) {
  if (!reactions.some((reaction) => reaction.emoji === emoji)) {
    return [...reactions, { emoji, count: 1, users: [from], mine: from === user }];
  }
  return reactions.map((reaction) => {
    const { count, users, mine } = reaction;
    if (reaction.emoji !== emoji) return reaction;
    const isComplete = users.length === count && count < USERS_MAX;
    return { emoji, count: count + 1, users: isComplete ? [...users, from] : users, mine: from === user || mine };
  });
}

/**
 * @param {Reaction[]} reactions
 * @param {string} emoji
 * @param {string} from
 * @param {string} user
 */
function unreacted(reactions, emoji, from, user) {
  return reactions
    .map((reaction) => {
      if (reaction.emoji !== emoji) return reaction;
      const users = reaction.users.filter((name) => name !== from);
      const known = { emoji, count: reaction.count - 1, users, mine: from === user ? false : reaction.mine };
      return { ...known, mine: isMine(known, user) };
    })
    .filter(({ count }) => count > 0);
}

/**
 * Whether a user reacted so, as far as the names of a reaction say.
 * @param {Reaction} reaction
 * @param {string} user
 */
export function isMine({ count, users, mine }, user) {
  return mine ?? (users.includes(user) ? true : users.length === count ? false : undefined);
}

/**
 * A message with the changes of the outbox, in their order.
 * @param {Shown} message
 * @param {Item[]} items changes of this message
 * @param {string} user
 * @returns {Shown}
 */
export function withChanges(message, items, user) {
  let shown = message;
  for (const item of items) {
    const { kind, state, at, seq = 0 } = item;
    if (state === "failed") {
      shown = { ...shown, failed: [...(shown.failed ?? []), item] };
    } else if (state !== "stored" || seq > message.updated) {
      const change = { ...item, kind: kind ?? "", from: user, timestamp: Math.floor(at / 1000) };
      const mine = shown.reactions?.find(({ emoji }) => emoji === item.emoji)?.mine ?? false;
      // A reaction that is there, or is not there, stays so.
      const isSo = (kind === "react" && mine) || (kind === "unreact" && !mine);
      if (!isSo) shown = { ...shown, ...made(shown, change, user) };
      if (kind && state !== "stored") shown = { ...shown, pending: [...(shown.pending ?? []), kind] };
    }
  }
  return shown;
}

/** How many names the server says with a reaction. */
const USERS_MAX = 5;
/** What a deletion takes, beside the text. */
const NOTHING = { edited: undefined, reactions: undefined, mentions: undefined, mentionAll: undefined, replyTo: undefined, files: undefined };
const CHANGES = new Set(["edit", "delete", "react", "unreact"]);
