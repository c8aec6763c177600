// The service worker. It keeps the page, so that it opens without a network; it
// keeps no messages and no avatars. It notifies of messages that the server pushes while no
// page is looked at; a click on a notification opens its message.

/** The path below which the server has the chat: empty, or such as `/chat`. */
const BASE = location.pathname.slice(0, -"/sw.js".length);
const ROOT = `${BASE}/`;
const CACHE = `page${BASE}`;

addEventListener("install", (event) => {
  skipWaiting();
  event.waitUntil(fetch(ROOT, { cache: "no-cache" }).then(keep));
});

addEventListener("activate", (event) => event.waitUntil(clients.claim()));

addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) {
    return;
  }
  if (request.mode === "navigate" && pathname.startsWith(ROOT) && /^($|(r|u|join|password)\/)/.test(pathname.slice(ROOT.length))) {
    event.respondWith(page(event));
  } else if (pathname.startsWith(`${BASE}/assets/`)) {
    event.respondWith(asset(request));
  }
});

addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(Promise.all([goTo(event.notification.data), countOnBadge()]));
});

addEventListener("notificationclose", (event) => event.waitUntil(countOnBadge()));

addEventListener("push", (event) => event.waitUntil(notify(event.data)));

addEventListener("pushsubscriptionchange", (event) => event.waitUntil(subscribeAgain(event)));

/**
 * Shows a message as the page does: `tag` and `data` are the same, so that a later message of
 * the conversation takes the place of this one, and a page closes it once it is read.
 */
async function notify(pushed) {
  const windows = await clients.matchAll({ type: "window", includeUncontrolled: true });
  if (windows.some(({ visibilityState }) => visibilityState === "visible")) {
    return;
  }
  let message = null;
  try {
    message = pushed.json();
  } catch {
    // A browser must show something for each push.
  }
  const { room, with: user, seq = 0, title = room, from = "", text = "", files = 0, language = "", chat = "" } = message ?? {};
  const tag = room ? `#${room}` : user ? `@${user}` : "push";
  const data = room ? `${BASE}/r/${encodeURIComponent(room)}#${seq}` : user ? `${BASE}/u/${encodeURIComponent(user)}#${seq}` : ROOT;
  const shown = await registration.getNotifications({ tag });
  if (shown.some((other) => Number(/\d+$/.exec(other.data)) > seq)) {
    return;
  }
  const body = text || (files > 0 ? "📎" : "");
  const options = { body, tag, data, renotify: true, lang: language, icon: `${BASE}/icons/icon-192.png` };
  await registration.showNotification((room ? `${from} · ${title}` : from) || chat || location.host, options);
  await countOnBadge();
}

/** Shows on the icon of an installed chat how many conversations have a notification. */
async function countOnBadge() {
  const { length } = await registration.getNotifications();
  await navigator.setAppBadge?.(length).catch(() => {});
}

/** Subscribes again after the browser has ended the subscription. */
async function subscribeAgain({ oldSubscription }) {
  const response = await fetch(`${BASE}/api/me`);
  const { push_key: key } = response.ok ? await response.json() : {};
  if (!key || !oldSubscription) {
    return;
  }
  const subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  await fetch(`${BASE}/api/push`, { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(subscription) });
}

/** Opens an address in a page that is open, or in a new one. */
async function goTo(address) {
  const [page] = await clients.matchAll({ type: "window" });
  if (!page) {
    return clients.openWindow(address);
  }
  page.postMessage(address);
  return page.focus();
}

/** A file from the cache: its address changes with its content, except in a debug build. */
async function asset(request) {
  const kept = await caches.match(request);
  if (kept && !request.url.includes("/assets/debug/")) {
    return kept;
  }
  const response = await fetch(request).catch(() => kept ?? Response.error());
  if (isLarge(request.url) && response.ok) {
    await (await caches.open(CACHE)).put(request, response.clone());
  }
  return response;
}

/** Whether a file is kept only once it was needed. */
function isLarge(path) {
  return path.includes("/vendor/");
}

/** The page from the server, or the kept one if the server gives no good answer, or none in time. */
async function page(event) {
  const kept = await caches.match(ROOT);
  const response = fetch(event.request);
  // Also a page that comes too late to be shown is kept.
  event.waitUntil(response.then((late) => (late.ok ? keep(late.clone()) : undefined)).catch(() => {}));
  // A proxy answers so while the server is down.
  const answer = response.then((come) => (kept && [502, 503, 504].includes(come.status) ? kept : come));
  if (!kept) {
    return answer;
  }
  const late = new Promise((done) => setTimeout(() => done(kept), ANSWER_MS));
  return Promise.race([answer.catch(() => kept), late]);
}

/** How long to wait for the server: a connection may exist and bring nothing. */
const ANSWER_MS = 1_000;

/** Keeps a page with all files that it names, but for large ones, and deletes the others. */
async function keep(response) {
  if (!response.ok) {
    return;
  }
  const html = await response.clone().text();
  const named = [...new Set(Array.from(html.matchAll(/"(\/[^"#]*\bassets\/[^"#]+)"/g), ([, path]) => path))];
  const cache = await caches.open(CACHE);
  const kept = new Set((await cache.keys()).map(({ url }) => new URL(url).pathname));
  await cache.addAll(named.filter((path) => !kept.has(path) && !isLarge(path)));
  await cache.put(ROOT, response);
  for (const path of kept) {
    if (path !== ROOT && !named.includes(path)) {
      await cache.delete(path);
    }
  }
}
