// How long to wait before coming back.

export const BACKOFF_MIN_MS = 500;
export const BACKOFF_MAX_MS = 30_000;

/**
 * Somewhere between a least time and one that doubles, so that those who were
 * cut off together do not come back together.
 * @param {number} attempts made so far
 * @param {() => number} random from 0 up to 1
 * @returns {number} milliseconds
 */
export function backoff(attempts, random) {
  const most = Math.min(BACKOFF_MAX_MS, 2 * BACKOFF_MIN_MS * 2 ** attempts);
  return BACKOFF_MIN_MS + random() * (most - BACKOFF_MIN_MS);
}
