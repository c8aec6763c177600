// What a user may do with messages, and how changes name them.

/** @typedef {import("./changes.js").Shown} Shown */
/** @typedef {import("./client.js").Client} Client */
/** @typedef {import("./conversation.js").Key} Key */

/**
 * What the user may do with a message. The server decides in the end.
 * @param {Client} client
 * @param {Shown} shown
 * @param {number} now Unix seconds
 */
export function may({ account, features, user, isAdministrator, editSeconds }, { key, seq, from, timestamp, deleted, state }, now) {
  const { role, archived } = account.of(key);
  const isThere = !deleted && state !== "failed";
  const isMine = from === user;
  const isModerator = key.startsWith("#") && (role === "moderator" || isAdministrator);
  const has = (/** @type {string} */ feature) => isThere && features.has(feature);
  return {
    edit: has("edit") && isMine && !archived && now - timestamp <= editSeconds,
    delete: has("delete") && (isMine || (isModerator && seq > 0)),
    react: has("react") && !archived,
    reply: has("reply") && !archived,
  };
}

/**
 * The newest own message that may be edited, among the last ones.
 * @param {Client} client
 * @param {Key} key
 * @param {number} now Unix seconds
 * @returns {Shown | undefined}
 */
export function lastEditable(client, key, now) {
  const entries = client.conversations.get(key)?.entries.slice(-LAST_AMONG) ?? [];
  const own = entries.filter(({ from }) => from === client.user).map((entry) => client.shown(key, entry));
  const waiting = client.outbox.messagesOf(key).map((item) => client.shownItem(item));
  return [...own, ...waiting].findLast((shown) => may(client, shown, now).edit);
}

/**
 * How a change names a message: by its number, or by its nonce while it has none.
 * @param {Shown} shown
 * @returns {{ target: number } | { targetNonce: string }}
 */
export function targetOf({ seq, nonce = "" }) {
  return seq > 0 ? { target: seq } : { targetNonce: nonce };
}

/** So many of the latest messages are looked through for one to edit. */
const LAST_AMONG = 100;
