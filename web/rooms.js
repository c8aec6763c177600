// Requests about rooms, their members, and the directory of users.

import { call } from "./api.js";

/** @typedef {"open" | "closed"} Access */
/** @typedef {"member" | "moderator"} Role */

/**
 * @typedef {object} Room
 * @property {string} name
 * @property {string} title
 * @property {string} description
 * @property {Access} access
 * @property {number} members how many there are
 * @property {boolean} member whether the user is one of them
 * @property {boolean} archived
 * @property {number} [created_at] Unix seconds
 */

/** @typedef {{ username: string, role: Role, online: boolean }} Member */
/** @typedef {{ username: string, avatar: string, online: boolean, bot?: boolean }} Found a user of the directory */
/** @typedef {{ q?: string, after?: string, limit?: number }} Wanted `after` is the `next` of the page before */

/**
 * The rooms that the user may read: first those of the user, archived ones last.
 * @param {Wanted} [wanted]
 * @returns {Promise<{ rooms: Room[], next?: string }>}
 */
export function rooms(wanted) {
  return call(`/api/rooms${queryOf(wanted)}`);
}

/**
 * @param {string} name
 * @returns {Promise<Room>}
 */
export function room(name) {
  return call(pathOf(name));
}

/**
 * @param {{ title: string, name?: string, description?: string, access?: Access, members?: string[] }} wanted
 * @returns {Promise<Room>}
 */
export function create(wanted) {
  return call("/api/rooms", json("POST", wanted));
}

/**
 * @param {string} name
 * @param {{ title?: string, description?: string, access?: Access, archived?: boolean }} wanted
 * @returns {Promise<Room>}
 */
export function change(name, wanted) {
  return call(pathOf(name), json("PATCH", wanted));
}

/**
 * @param {string} name
 * @param {Wanted} [wanted]
 * @returns {Promise<{ members: Member[], next?: string }>}
 */
export function members(name, wanted) {
  return call(`${pathOf(name)}/members${queryOf(wanted)}`);
}

/**
 * Adds a user to a room, or gives a member another role.
 * @param {string} name
 * @param {string} user
 * @param {Role} [role]
 */
export async function putMember(name, user, role) {
  await call(`${pathOf(name)}/members/${encodeURIComponent(user)}`, json("PUT", role ? { role } : {}));
}

/**
 * @param {string} name
 * @param {string} user
 */
export async function removeMember(name, user) {
  await call(`${pathOf(name)}/members/${encodeURIComponent(user)}`, { method: "DELETE" });
}

/**
 * The user becomes a member of an open room.
 * @param {string} name
 */
export async function join(name) {
  await call(`${pathOf(name)}/membership`, json("PUT", {}));
}

/** @param {string} name */
export async function leave(name) {
  await call(`${pathOf(name)}/membership`, { method: "DELETE" });
}

/**
 * Users whose names have a word that begins with `q`.
 * @param {Wanted} [wanted]
 * @returns {Promise<{ users: Found[], next?: string }>}
 */
export function users(wanted) {
  return call(`/api/users${queryOf(wanted)}`);
}

/**
 * Users who have an account, with their pictures as they are now.
 * @param {string[]} names at most 100
 * @returns {Promise<Found[]>}
 */
export async function usersNamed(names) {
  return (await call(`/api/users?${new URLSearchParams(names.map((name) => ["name", name]))}`)).users;
}

/** @param {string} name */
function pathOf(name) {
  return `/api/rooms/${encodeURIComponent(name)}`;
}

/** @param {Wanted} [wanted] */
function queryOf(wanted = {}) {
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
