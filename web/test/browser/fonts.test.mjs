// The fonts come after the first paint, and nothing moves when they do.

import assert from "node:assert/strict";

import { PASSWORD, Server, scenario, visitor, withWholeBrowser } from "./harness.mjs";

withWholeBrowser();

const server = await Server.start("--database-url", "memory:");

/** Sums the layout shifts of a page from its beginning. */
function countShifts() {
  Object.assign(window, { shifts: 0 });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) Object.assign(window, { shifts: window["shifts"] + /** @type {any} */ (entry).value });
  }).observe({ type: "layout-shift", buffered: true });
}

const isShown = () => document.fonts.check('600 16px "Text"') && [...document.fonts].some(({ family, status }) => /Text"?$/.test(family) && status === "loaded");

scenario("what stands for the face of code until that is there is as wide and as high", async () => {
  const { page } = await visitor(server.url);
  await page.goto(`${server.url}/`);
  await page.waitForFunction(() => localStorage.getItem("fonts") === "yes");
  const size = (/** @type {string} */ family) =>
    page.evaluate((family) => {
      const line = Object.assign(document.createElement("span"), { textContent: "let beds = 3; // грядки".repeat(4) });
      line.style.cssText = `position: absolute; white-space: pre; font: 100px/normal ${family}`;
      document.body.append(line);
      const { width, height } = line.getBoundingClientRect();
      line.remove();
      return [width, height];
    }, family);
  const [[width, height], [instead, asHigh]] = [await size('"Code"'), await size('"Code fallback", "Code fallback 2", "Code fallback 3"')];
  assert.ok(Math.abs(width - instead) / width < 0.005 && Math.abs(height - asHigh) <= 1, `${width} × ${height}, and ${instead} × ${asHigh}`);
});

for (const locale of ["ru", "en"]) {
  scenario(`a first visit gets the fonts at the door, later ones begin with them, and nothing moves (${locale})`, async () => {
    const alice = await visitor(server.url, { locale });
    const { page } = alice;
    await page.addInitScript(countShifts);
    await page.goto(`${server.url}/`);
    await page.waitForSelector("#register", { state: "visible" });
    await page.waitForFunction(isShown);
    await page.waitForFunction(() => localStorage.getItem("fonts") === "yes");
    await page.evaluate(() => new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown))));
    assert.equal(await page.evaluate(() => window["shifts"]), 0, "nothing moved at the door");

    await page.fill("#register-name", `alice-${locale}`);
    await page.fill("#register-password", PASSWORD);
    await page.press("#register-password", "Enter");
    await page.waitForSelector("#text", { state: "visible" });
    await page.reload();
    await page.waitForSelector("#text", { state: "visible" });
    // A browser that does not have them in time does without them until the next visit.
    assert.equal(await page.locator('[rel=stylesheet][href$="/fonts.css"]').count(), 1, "the first paint knows them");
    await page.evaluate(() => document.fonts.ready);
    assert.equal(await page.evaluate(() => window["shifts"]), 0, "nothing moves");
  });
}
