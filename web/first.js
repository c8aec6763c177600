// Runs before the first paint: sets the theme and the colour, so that others do
// not flash, and the language. Preloads the modules that this visitor needs first, all
// at once instead of one after the other.
(() => {
  const read = (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  };
  const root = document.documentElement;
  root.dataset.theme = read("theme") ?? "";
  try {
    root.dataset.accent = JSON.parse(read("server"))?.accent ?? "";
  } catch {}
  const preferred = [read("language"), ...navigator.languages].map((tag) => (tag ?? "").slice(0, 2).toLowerCase());
  root.lang = preferred.find((tag) => document.getElementById(`${tag}-code`)) ?? "en";
  for (const part of [...(read("fonts") ? ["fonts"] : []), root.lang, ...(read("user") ? ["chat"] : ["door", `${root.lang}-later`])]) {
    document.head.append(document.getElementById(`${part}-code`).content.cloneNode(true));
  }
})();
