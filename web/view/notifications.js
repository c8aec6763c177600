// Notifications, one for each conversation and all tabs. The worker shows them:
// phones take them from nothing else.

import { BASE } from "../logic/address.js";

/**
 * @param {string} title
 * @param {string} body
 * @param {string} conversation
 * @param {string} address of the message
 */
export async function notify(title, body, conversation, address) {
  const worker = await registration();
  // `renotify` is not in TypeScript's types, as Safari lacks it.
  const options = { body: body.slice(0, BODY_MAX_CHARS), tag: conversation, renotify: true, data: address };
  // One tab after the other: a message that another tab has shown, or a later one,
  // makes no second sound.
  await navigator.locks?.request("chat notify", async () => {
    const shown = (await worker?.getNotifications({ tag: conversation })) ?? [];
    if (!shown.some(({ data }) => seqOf(data) >= seqOf(address))) {
      await worker?.showNotification(title, { ...options, icon: `${BASE}/icons/icon-192.png` }).catch(() => {});
    }
  });
}

/**
 * @param {string} [conversation] whose notification is closed; without one, all are
 * @param {number} [seq] the notification is closed only if it is of this message
 */
export async function withdraw(conversation, seq) {
  const worker = await registration();
  for (const shown of (await worker?.getNotifications?.(conversation ? { tag: conversation } : {})) ?? []) {
    if (seq === undefined || seqOf(shown.data) === seq) shown.close();
  }
}

/** @param {string} address of a message */
function seqOf(address) {
  return Number(/\d+$/.exec(address));
}

/** The registration of the worker; there is none without a safe connection. */
async function registration() {
  return navigator.serviceWorker?.getRegistration().catch(() => undefined);
}

const BODY_MAX_CHARS = 200;
