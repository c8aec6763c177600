// The keyboard of a touch screen. On some phones it covers the page instead of making it
// smaller.

export function fitKeyboard() {
  const viewport = window.visualViewport;
  viewport?.addEventListener("resize", () => {
    const covered = window.innerHeight - viewport.height * viewport.scale;
    document.documentElement.style.setProperty("--covered", `${covered > 60 ? covered : 0}px`);
  });
}
