// A finger pulls a sheet down, which closes it: menus and dialogs on a phone.

/**
 * Lets a sheet be pulled. Where motion is reduced, it does not follow the finger.
 * @param {HTMLElement} sheet a dialog or a popover
 */
export function pullable(sheet) {
  const narrow = matchMedia("(width < 48rem)");
  const isStill = matchMedia("(prefers-reduced-motion: reduce)");
  /** @type {{ id: number, x: number, y: number, isPulled: boolean, way: number } | null} */
  let finger = null;

  const end = () => {
    finger = null;
    sheet.classList.remove("pulled");
    sheet.style.removeProperty("translate");
  };
  const close = () => {
    sheet instanceof HTMLDialogElement ? sheet.close() : sheet.hidePopover();
    end();
  };

  sheet.addEventListener("pointerdown", ({ target, pointerType, pointerId: id, isPrimary, clientX: x, clientY: y }) => {
    end();
    // A press on the backdrop is a press on the sheet, too.
    const isOnSheet = y >= sheet.getBoundingClientRect().top;
    if (narrow.matches && pointerType === "touch" && isPrimary && isOnSheet && target instanceof Element && isFree(target, sheet)) {
      finger = { id, x, y, isPulled: false, way: 0 };
    }
  });
  sheet.addEventListener("pointermove", ({ pointerId, clientX, clientY }) => {
    if (finger?.id !== pointerId) {
      return;
    }
    const [dx, dy] = [Math.abs(clientX - finger.x), clientY - finger.y];
    if (!finger.isPulled) {
      if (dy > SLOP_PX && dy > dx) finger.isPulled = true;
      else if (dx > SLOP_PX || dy < -SLOP_PX) finger = null;
      if (!finger?.isPulled) return;
      sheet.classList.add("pulled");
    }
    finger.way = Math.max(0, dy);
    if (!isStill.matches) sheet.style.translate = `0 ${finger.way}px`;
  });
  // Otherwise the browser scrolls, and takes the finger.
  sheet.addEventListener("touchmove", (event) => finger?.isPulled && event.cancelable && event.preventDefault(), { passive: false });
  sheet.addEventListener("pointerup", ({ pointerId }) => {
    const pulled = finger?.id === pointerId && finger.isPulled ? finger : null;
    const height = sheet.offsetHeight;
    if (!pulled || pulled.way < height * CLOSING_SHARE) return end();
    finger = null;
    sheet.classList.remove("pulled");
    if (!isStill.matches) sheet.style.translate = `0 ${height}px`;
    Promise.allSettled(sheet.getAnimations().map(({ finished }) => finished)).then(close);
  });
  sheet.addEventListener("pointercancel", end);
}

/**
 * Whether a finger on this element pulls the sheet: it neither scrolls back nor moves something else.
 * @param {Element} target
 * @param {HTMLElement} sheet
 */
function isFree(target, sheet) {
  if (target.closest("input, textarea, select, picture-crop")) return false;
  for (let at = /** @type {Element | null} */ (target); at && at !== sheet.parentElement; at = at.parentElement) {
    if (at.scrollTop > 0) return false;
  }
  return true;
}

/** A finger that rests moves less than this. */
const SLOP_PX = 10;
/** A sheet that was pulled down by less than this share of its height springs back. */
const CLOSING_SHARE = 1 / 3;
