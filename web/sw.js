// The service worker. It keeps the page, so that it opens without a network; it
// keeps no messages and no avatars. A click on a notification opens its message.

const CACHE = "page";

addEventListener("install", (event) => {
  skipWaiting();
  event.waitUntil(fetch("/", { cache: "no-cache" }).then(keep));
});

addEventListener("activate", (event) => event.waitUntil(clients.claim()));

addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) {
    return;
  }
  if (request.mode === "navigate" && /^\/($|(r|u|join|password)\/)/.test(pathname)) {
    event.respondWith(page(event));
  } else if (pathname.startsWith("/assets/")) {
    event.respondWith(asset(request));
  }
});

addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(goTo(event.notification.data));
});

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
  const kept = await caches.match("/");
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
  const named = [...new Set(Array.from(html.matchAll(/"(\/assets\/[^"#]+)"/g), ([, path]) => path))];
  const cache = await caches.open(CACHE);
  const kept = new Set((await cache.keys()).map(({ url }) => new URL(url).pathname));
  await cache.addAll(named.filter((path) => !kept.has(path) && !isLarge(path)));
  await cache.put("/", response);
  for (const path of kept) {
    if (path !== "/" && !named.includes(path)) {
      await cache.delete(path);
    }
  }
}
