// Notifications while no page is open: the browser's subscription (Web Push), which the
// server has for the session. The worker shows them.

import { call } from "./api.js";
import { language } from "./words.js";

/** @typedef {"missing" | "blocked" | "off" | "on"} PushState `missing`: this browser, or the server, has none */

/**
 * @param {string | undefined} key the public key of the server
 * @returns {Promise<PushState>}
 */
export async function pushState(key) {
  if (!key || !("PushManager" in window) || !("Notification" in window)) return "missing";
  if (Notification.permission === "denied") return "blocked";
  return (await subscription()) ? "on" : "off";
}

/**
 * Subscribes this browser. The permission to notify is given.
 * @param {string} key
 */
export async function turnOn(key) {
  const worker = await navigator.serviceWorker.ready;
  const known = await worker.pushManager.getSubscription();
  // A restored server may have another key, for which the old subscription is of no use.
  if (known && !isFor(known, key)) await known.unsubscribe();
  const subscription = await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  const body = JSON.stringify({ ...subscription.toJSON(), language });
  await call("/api/push", { method: "PUT", headers: { "Content-Type": "application/json" }, body });
}

/** Ends the subscription of this browser, here and on the server. */
export async function turnOff() {
  await forgetPush();
  await call("/api/push", { method: "DELETE" });
}

/**
 * Tells the server of the subscription again, if there is one: it may have another address,
 * another session, or another language by now.
 * @param {string | undefined} key
 */
export async function renewPush(key) {
  if ((await pushState(key)) === "on" && key) await turnOn(key);
}

/** Ends the subscription of this browser; that on the server ends with the session. */
export async function forgetPush() {
  await (await subscription())?.unsubscribe();
}

/** The subscription of this browser, if there is one. */
async function subscription() {
  const worker = await navigator.serviceWorker?.getRegistration().catch(() => undefined);
  return worker?.pushManager?.getSubscription().catch(() => null) ?? null;
}

/**
 * @param {PushSubscription} subscription
 * @param {string} key base64url
 */
function isFor({ options }, key) {
  const bytes = new Uint8Array(options.applicationServerKey ?? new ArrayBuffer(0));
  const known = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return known === key;
}
