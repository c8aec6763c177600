// The name that a message keeps, however often it has to be sent.

/**
 * Begins with the time, so that names made one after the other stand one after
 * the other in an index.
 * @param {number} now Unix milliseconds
 * @param {Uint8Array} random at least 12 bytes
 */
export function nonce(now, random) {
  const chance = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${now.toString(16).padStart(12, "0")}-${chance}`;
}
