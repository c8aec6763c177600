// Requests about accounts and sessions.

import { call } from "./api.js";

/** @typedef {{ id: string, device: string, address: string, created: number, last_seen: number, current: boolean }} SignIn a session; `created`, `last_seen`: Unix seconds */

/**
 * Makes an account, without signing in.
 * @param {FormData} form `username`, `password` and perhaps a file `avatar`
 */
export async function register(form) {
  await call("/api/register", { method: "POST", body: form });
}

/**
 * @param {string} username
 * @param {string} password
 */
export async function login(username, password) {
  await call("/api/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ username, password }),
  });
}

/** @returns {Promise<string | undefined>} where to sign out, too */
export async function logout() {
  return (await call("/api/logout", { method: "POST" })).end_session_url;
}

/** @returns {Promise<SignIn[]>} the sessions of the user, the newest first */
export async function sessions() {
  return (await call("/api/sessions")).sessions;
}

/** @param {string} id */
export async function endSession(id) {
  await call(`/api/sessions/${encodeURIComponent(id)}`, { method: "DELETE" });
}
