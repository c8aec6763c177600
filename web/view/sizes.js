// Sizes of files, for readers.

import { localeOf } from "../words.js";

/** @param {number} bytes */
export function sizeOf(bytes) {
  const power = Math.min(UNITS.length - 1, bytes < 1 ? 0 : Math.floor(Math.log(bytes) / Math.log(1024)));
  const value = bytes / 1024 ** power;
  const maximumFractionDigits = power > 0 && value < 10 ? 1 : 0;
  return new Intl.NumberFormat(localeOf(), { style: "unit", unit: UNITS[power], unitDisplay: power === 0 ? "long" : "short", maximumFractionDigits }).format(value);
}

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte"];
