// The HTTP interface of the server: one function for each request. Requests about
// accounts and sessions are in `account.js`. No DOM.

import { BASE } from "./logic/address.js";

/** @typedef {{ username: string, avatar: string, bot?: boolean, features?: string[], push_key?: string, created_at?: number }} User `avatar` is empty where there is none; `bot`: of a bot only; `features`: what the server has, of oneself only; so are `push_key`, the key for notifications, and `created_at`, Unix seconds */

/** A request that failed. `status` is the HTTP status, or 0 if there was no answer. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} sentence the server's own, or empty
   * @param {number} [retryAfterSeconds] after which to try again
   */
  constructor(status, sentence, retryAfterSeconds = 0) {
    super(sentence || `status ${status}`);
    this.status = status;
    this.sentence = sentence;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** @returns {Promise<User>} the user who is signed in */
export async function me() {
  return call("/api/me");
}

/**
 * @param {string} name
 * @returns {Promise<User>}
 */
export async function user(name) {
  return call(`/api/users/${encodeURIComponent(name)}`);
}

/**
 * @param {string} path below the base
 * @param {RequestInit} [init]
 * @returns {Promise<any>} the body of the answer
 * @throws {ApiError} if the server refuses, or does not answer in time
 */
export async function call(path, init) {
  let response;
  let body;
  try {
    response = await fetch(BASE + path, { ...init, signal: AbortSignal.timeout(init?.body ? UPLOAD_TIMEOUT_MS : TIMEOUT_MS) });
    // A proxy may answer with a page of its own.
    body = await response.json().catch(() => null);
  } catch {
    throw new ApiError(0, "");
  }
  if (!response.ok) {
    const sentence = typeof body?.error === "string" ? body.error : "";
    throw new ApiError(response.status, sentence, Number(response.headers.get("Retry-After")) || 0);
  }
  if (body === null) {
    throw new ApiError(0, "");
  }
  return body;
}

/** The page opens after this time even without an answer. */
const TIMEOUT_MS = 8_000;
/** Long enough for an avatar of 10 MiB on a slow network. */
const UPLOAD_TIMEOUT_MS = 120_000;
