// Users who sign in elsewhere: in the program that the chat is part of, or at another address.

import { BASE } from "./logic/address.js";
import { learnWhose } from "./whose.js";

/**
 * Where users sign in instead of here, with the address to which they come back.
 * @param {string} url
 */
export function signInAddress(url) {
  const address = new URL(url, location.href);
  address.searchParams.set("next", location.pathname + location.hash);
  return address.href;
}

/** Where the OpenID provider of this server signs a visitor in, who then comes back to this address. */
export function providerAddress() {
  return `${BASE}/api/oidc/start?to=${encodeURIComponent(location.pathname + location.hash)}`;
}

/**
 * Goes where users sign in, if that is not here. A visitor who comes back without a session sees
 * the door, which has a link, so that the browser does not go to and fro.
 * @param {string} noted the key of the session storage under which it is noted that a visitor was sent away
 * @returns {Promise<boolean>} whether the browser leaves this page
 */
export async function leave(noted) {
  const { sign_in_url } = (await learnWhose()) ?? {};
  if (!sign_in_url || sessionStorage.getItem(noted) !== null) {
    sessionStorage.removeItem(noted);
    return false;
  }
  sessionStorage.setItem(noted, "yes");
  location.replace(signInAddress(sign_in_url));
  return true;
}
