// Symbols that the first view of the chat does without; its own are in index.html.

/**
 * Adds symbols to the page, unless they are there.
 * @param {Record<string, string>} paths lines of 24 × 24, by name
 */
export function addSymbols(paths) {
  const symbols = document.querySelector(".symbols");
  for (const [name, path] of Object.entries(paths)) {
    if (document.getElementById(`i-${name}`)) continue;
    const symbol = document.createElementNS(SVG, "symbol");
    symbol.id = `i-${name}`;
    symbol.setAttribute("viewBox", "0 0 24 24");
    const line = document.createElementNS(SVG, "path");
    line.setAttribute("d", path);
    symbol.append(line);
    symbols?.append(symbol);
  }
}

const SVG = "http://www.w3.org/2000/svg";
