// The server's HTTP side: one function for each call. No DOM.

/** @typedef {{ username: string, avatar: string }} User `avatar` is empty where there is none. */
/** @typedef {{ name: string, title: string, online: number }} Room */
/** @typedef {{ id: string, device: string, address: string, created: number, last_seen: number, current: boolean }} SignIn `created`, `last_seen`: Unix seconds */

/** An answer that is not a success. `status` is 0 where none came at all. */
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

/**
 * Does not sign in.
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

export async function logout() {
  await call("/api/logout", { method: "POST" });
}

/**
 * Who is signed in.
 * @returns {Promise<User>}
 */
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

/** @returns {Promise<SignIn[]>} where one is signed in, the newest first */
export async function sessions() {
  return (await call("/api/sessions")).sessions;
}

/** @param {string} id of a session that is to end */
export async function endSession(id) {
  await call(`/api/sessions/${encodeURIComponent(id)}`, { method: "DELETE" });
}

/** @returns {Promise<Room[]>} */
export async function rooms() {
  return (await call("/api/rooms")).rooms;
}

/**
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<any>}
 */
async function call(path, init) {
  let response;
  let body;
  try {
    response = await fetch(path, { ...init, signal: AbortSignal.timeout(init?.body ? UPLOAD_TIMEOUT_MS : TIMEOUT_MS) });
    // Something between here and the server may answer with a page of its own.
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

/** Whoever opens the page waits for no longer. */
const TIMEOUT_MS = 8_000;
/** Long enough for a picture of 10 MiB on a slow line. */
const UPLOAD_TIMEOUT_MS = 120_000;
