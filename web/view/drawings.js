// Small drawings for places where there is nothing to see yet. Their lines have the colour
// of the text around them, what is filled has the accent's tint.

/** @typedef {keyof typeof DRAWINGS} DrawingName */

/**
 * @param {DrawingName} name
 * @returns {SVGSVGElement}
 */
export function drawing(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 120 90");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("drawing");
  for (const [className, d] of DRAWINGS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    if (className) path.classList.add(className);
    svg.append(path);
  }
  return svg;
}

const BUBBLE = "M24 18h52a8 8 0 0 1 8 8v22a8 8 0 0 1-8 8H48L34 68V56H24a8 8 0 0 1-8-8V26a8 8 0 0 1 8-8z";

/** Paths by the class of each: `tint` is filled, `strong` has the accent, the others are lines. */
const DRAWINGS = /** @type {const} */ ({
  /** Two bubbles, the second one empty. */
  quiet: [
    ["tint", BUBBLE],
    ["", BUBBLE],
    ["", "M84 36h12a8 8 0 0 1 8 8v18a8 8 0 0 1-8 8h-4v10L81 70H66a8 8 0 0 1-7-4"],
    ["strong", "M32 34h34M32 43h20"],
  ],
  /** A hand that waves. */
  hello: [
    ["tint", "M60 12a34 34 0 1 0 0 68 34 34 0 1 0 0-68z"],
    ["", "M48 58V33a4.5 4.5 0 0 1 9 0v14-19a4.5 4.5 0 0 1 9 0v19-14a4.5 4.5 0 0 1 9 0v21c0 12-6 19-16 19-8 0-12-4-16-12l-6-11a4.6 4.6 0 0 1 8-4z"],
    ["strong", "M88 18l7-6M93 28l9-2M30 22l-7-6M26 32l-9-2"],
  ],
  /** A magnifying glass over nothing. */
  search: [
    ["tint", "M52 14a26 26 0 1 0 0 52 26 26 0 1 0 0-52z"],
    ["", "M52 14a26 26 0 1 0 0 52 26 26 0 1 0 0-52zM71 58l22 22"],
    ["strong", "M42 40h.1M52 40h.1M62 40h.1"],
  ],
  /** A cloud, and a line that ends. */
  offline: [
    ["tint", "M38 58a16 16 0 1 1 3-31 22 22 0 0 1 42 4 14 14 0 0 1-1 27z"],
    ["", "M38 58a16 16 0 1 1 3-31 22 22 0 0 1 42 4 14 14 0 0 1-1 27z"],
    ["strong", "M60 66v4M60 78v4"],
  ],
  /** A door that is shut. */
  locked: [
    ["tint", "M40 14h40v66H40z"],
    ["", "M40 80V14h40v66M14 80h92"],
    ["strong", "M71 47v.1"],
  ],
  /** A door that is open, and a way out. */
  left: [
    ["tint", "M40 14h30v66H40z"],
    ["", "M40 80V14h30v66M40 14l18 10v64L40 80M14 80h24M70 80h36"],
    ["strong", "M80 46h22M94 38l8 8-8 8"],
  ],
  /** A box with a lid. */
  archive: [
    ["tint", "M26 24h68v14H26z"],
    ["", "M26 24h68v14H26zM32 38v40h56V38"],
    ["strong", "M52 50h16"],
  ],
  /** A room that is to be built. */
  room: [
    ["tint", "M60 14L24 40v40h72V40z"],
    ["", "M16 46l44-32 44 32M26 40v40h68V40M14 80h92"],
    ["strong", "M60 50v18M51 59h18"],
  ],
  /** Somebody who is not there. */
  nobody: [
    ["tint", "M60 14a15 15 0 1 0 0 30 15 15 0 1 0 0-30z"],
    ["", "M60 14a15 15 0 1 0 0 30 15 15 0 1 0 0-30zM32 80c2-18 12-26 28-26s26 8 28 26M14 80h92"],
    ["strong", "M55 26a5 5 0 1 1 7 4.6c-1.5.7-2 1.7-2 3.4M60 38.5v.1"],
  ],
});
const SVG = "http://www.w3.org/2000/svg";
