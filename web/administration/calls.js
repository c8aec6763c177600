// Requests of administrators and moderators, and of members who invite or report.

import { ApiError, call } from "../api.js";
import { usersFound } from "../found.js";
import { hasSpelling } from "../logic/spelling.js";

/** @typedef {{ title?: string, welcome?: string, accent?: string }} ServerChanges */

/**
 * An account, as administrators see it.
 * @typedef {object} Account
 * @property {string} username
 * @property {string} avatar
 * @property {boolean} online
 * @property {boolean} [bot]
 * @property {"member" | "administrator"} role
 * @property {Omit<Ban, "username">} [ban]
 */

/** @typedef {{ username: string, by: string, at: number, reason: string, deleting: boolean }} Ban `at`: Unix seconds; `deleting`: the messages are being deleted */

/**
 * An invitation that can be used.
 * @typedef {object} Invite
 * @property {string} id
 * @property {string} by
 * @property {number} used
 * @property {number} created Unix seconds
 * @property {string} [room] absent: it is for an account only
 * @property {string} [title] of the room
 * @property {number} [expires] Unix seconds
 * @property {number} [uses] absent: any number
 */

/** @typedef {{ url: string, expires?: number }} Link which is shown once */

/** @typedef {{ name: string, rooms: string[], by: string, created: number, revoked: boolean, webhooks: number, outgoing_webhooks: Outgoing[] }} Bot `created`: Unix seconds */
/** @typedef {{ id: string, room: string, url: string, only_mentions: boolean, created: number, switched_off: boolean, failures: number, last_result?: string, last_at?: number }} Outgoing an outgoing webhook */

/**
 * A report of a message.
 * @typedef {object} Report
 * @property {number} id
 * @property {number} seq
 * @property {string} reporter
 * @property {string} reason
 * @property {number} at Unix seconds
 * @property {"open" | "done"} state
 * @property {string} [room]
 * @property {string[]} [between] the two users of a private conversation
 * @property {string} [from] absent: the message is deleted, or one may not read it
 * @property {string} [text]
 * @property {string} [by] who has changed the state last
 */

/** @typedef {{ id: number, at: number, by: string, action: string, target: string, details?: Record<string, any> }} AuditEntry `at`: Unix seconds */

/** @param {ServerChanges} changes */
export async function changeServer(changes) {
  await call("/api/server", json("PATCH", changes));
}

/** @param {Blob} picture a square */
export async function setLogo(picture) {
  const form = new FormData();
  form.set("logo", picture, "logo.png");
  await call("/api/server/logo", { method: "PUT", body: form });
}

export async function removeLogo() {
  await call("/api/server/logo", { method: "DELETE" });
}

/**
 * All accounts in the order of their names, or those that `q` finds.
 * @param {string} q
 * @param {string} [after]
 * @returns {Promise<{ items: Account[], next?: string }>}
 */
export async function accounts(q, after) {
  const { items, next } = await usersFound({ q, after });
  // Administrators see more of each.
  return { items: /** @type {Account[]} */ (items), next };
}

/**
 * The users who are banned in the order of their names, or those of them with `q` in their
 * names. A user of another issuer may have no account.
 * @param {string} q
 * @param {string} [after]
 * @returns {Promise<{ items: Account[], next?: string }>}
 */
export async function bannedAccounts(q, after) {
  /** @type {Ban[]} */
  let found = [];
  let next = after;
  // Few are banned: the pages without one that is looked for are passed over.
  do {
    const page = await call(`/api/bans${queryOf({ after: next, limit: 50 })}`);
    found = page.bans.filter((/** @type {Ban} */ ban) => hasSpelling(ban.username, q));
    next = page.next;
  } while (found.length === 0 && next !== undefined);
  if (found.length === 0) return { items: [] };
  const names = new URLSearchParams(found.map(({ username }) => ["name", username]));
  /** @type {Account[]} */
  const users = (await call(`/api/users?${names}`)).users;
  const byName = new Map(users.map((user) => [user.username, user]));
  return { items: found.map((ban) => ({ username: ban.username, avatar: "", online: false, role: "member", ...byName.get(ban.username), ban })), next };
}

/**
 * @param {string} name
 * @param {"member" | "administrator"} role
 */
export async function setRole(name, role) {
  await call(pathOf(name), json("PATCH", { role }));
}

/**
 * @param {string} name
 * @param {string} reason
 * @param {boolean} deletes whether all messages of the user are deleted
 */
export async function ban(name, reason, deletes) {
  await call(`${pathOf(name)}/ban`, json("PUT", { reason, ...(deletes ? { delete_messages: true } : {}) }));
}

/** @param {string} name */
export async function unban(name) {
  await call(`${pathOf(name)}/ban`, { method: "DELETE" });
}

/**
 * @param {string} name
 * @returns {Promise<Link>} a link with which the user sets a new password
 */
export function passwordLink(name) {
  return call(`${pathOf(name)}/password`, { method: "POST" });
}

/**
 * Invitations that can be used: one's own, and for administrators those of everybody. Of a
 * room: all of them for who looks after it, and one's own for its other members.
 * @param {string} [room]
 * @param {string} [after]
 * @returns {Promise<{ items: Invite[], next?: string }>}
 */
export async function invites(room, after) {
  try {
    const { invites: items, next } = await call(`/api/invites${queryOf({ room, after })}`);
    return { items, next };
  } catch (error) {
    if (!room || !(error instanceof ApiError) || error.status !== 403) throw error;
  }
  // All of one's own are in one page.
  const own = await invites();
  return { items: own.items.filter((invite) => invite.room === room) };
}

/**
 * @param {{ room?: string, uses?: number, days?: number }} wanted
 * @returns {Promise<Link & Invite>}
 */
export function invite(wanted) {
  return call("/api/invites", json("POST", wanted));
}

/** @param {string} id */
export async function withdraw(id) {
  await call(`/api/invites/${encodeURIComponent(id)}`, { method: "DELETE" });
}

/** @returns {Promise<Bot[]>} also revoked ones */
export async function bots() {
  return (await call("/api/bots")).bots;
}

/**
 * @param {string} name
 * @param {string[]} rooms
 * @returns {Promise<{ name: string, token: string }>} the token is shown once
 */
export function makeBot(name, rooms) {
  return call("/api/bots", json("POST", { name, rooms }));
}

/** @param {string} name */
export async function revokeBot(name) {
  await call(`/api/bots/${encodeURIComponent(name)}`, { method: "DELETE" });
}

/**
 * @param {string} name
 * @param {string} room one of the rooms of the bot
 * @returns {Promise<Link>}
 */
export function makeWebhook(name, room) {
  return call(`/api/bots/${encodeURIComponent(name)}/webhooks`, json("POST", { room }));
}

/**
 * @param {string} name
 * @param {{ room: string, url: string, only_mentions: boolean }} order `room`: one of the rooms of the bot
 * @returns {Promise<{ id: string, secret: string }>}
 */
export function makeOutgoing(name, order) {
  return call(`/api/bots/${encodeURIComponent(name)}/outgoing-webhooks`, json("POST", order));
}

/**
 * @param {string} name
 * @param {string} id
 */
export async function removeOutgoing(name, id) {
  await call(`/api/bots/${encodeURIComponent(name)}/outgoing-webhooks/${encodeURIComponent(id)}`, { method: "DELETE" });
}

/**
 * @param {{ room?: string, with?: string, seq: number, reason: string }} what
 */
export async function report(what) {
  await call("/api/reports", json("POST", what));
}

/**
 * Reports of messages, the newest first.
 * @param {{ state: "open" | "done", before?: string }} wanted
 * @returns {Promise<{ reports: Report[], next?: string }>}
 */
export function reports(wanted) {
  return call(`/api/reports${queryOf({ ...wanted, limit: 20 })}`);
}

/**
 * @param {number} id
 * @param {"open" | "done"} state
 */
export async function setReport(id, state) {
  await call(`/api/reports/${id}`, json("PATCH", { state }));
}

/**
 * What administrators and moderators have done, the newest first.
 * @param {string} [before]
 * @returns {Promise<{ entries: AuditEntry[], next?: string }>}
 */
export function audit(before) {
  return call(`/api/audit${queryOf({ before, limit: 50 })}`);
}

/** @param {string} name */
function pathOf(name) {
  return `/api/users/${encodeURIComponent(name)}`;
}

/** @param {Record<string, string | number | undefined>} wanted */
function queryOf(wanted) {
  const set = Object.entries(wanted).filter(([, value]) => value !== undefined && value !== "");
  return set.length > 0 ? `?${new URLSearchParams(set.map(([name, value]) => [name, String(value)]))}` : "";
}

/**
 * @param {string} method
 * @param {object} body
 * @returns {RequestInit}
 */
function json(method, body) {
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}
