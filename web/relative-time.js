// Times in words, as seen from now: "2 hours ago", "in 5 minutes".

import { localeOf } from "./words.js";

/** @param {number} timestamp Unix seconds, in the past */
export function agoOf(timestamp) {
  const minutes = Math.max(0, Math.round((Date.now() / 1000 - timestamp) / 60));
  if (minutes < 60) return ago().format(-minutes, "minute");
  return minutes < 1440 ? ago().format(-Math.round(minutes / 60), "hour") : ago().format(-Math.round(minutes / 1440), "day");
}

/** @param {number} seconds from now on */
export function soonOf(seconds) {
  const minutes = Math.max(1, Math.ceil(seconds / 60));
  return minutes < 90 ? ago().format(minutes, "minute") : ago().format(Math.ceil(minutes / 60), "hour");
}

function ago() {
  return new Intl.RelativeTimeFormat(localeOf(), { numeric: "auto" });
}
