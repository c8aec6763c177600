// The device of a session: the names of its browser and its system.

/**
 * @param {string} userAgent
 * @returns {string} empty where nothing is known
 */
export function deviceOf(userAgent) {
  return [BROWSERS, SYSTEMS]
    .map((known) => known.find(([, sign]) => sign.test(userAgent))?.[0])
    .filter(Boolean)
    .join(" · ");
}

/** Most browsers name others in their user agent as well, so the order matters. @type {[string, RegExp][]} */
const BROWSERS = [
  ["Edge", /\bEdgA?\//],
  ["Opera", /\bOPR\//],
  ["Яндекс Браузер", /\bYaBrowser\//],
  ["Samsung Internet", /\bSamsungBrowser\//],
  ["Firefox", /\b(Firefox|FxiOS)\//],
  ["Chrome", /Chrome\/|\bCriOS\//],
  ["Safari", /\bSafari\//],
  ["curl", /^curl\//],
];

/** @type {[string, RegExp][]} */
const SYSTEMS = [
  ["Android", /\bAndroid\b/],
  ["iPhone", /\biPhone\b/],
  ["iPad", /\biPad\b/],
  ["Windows", /\bWindows\b/],
  ["macOS", /\bMacintosh\b/],
  ["ChromeOS", /\bCrOS\b/],
  ["Linux", /\bLinux\b/],
];
