// A finger draws the list of conversations over the open one, and pushes it back.

import { byId } from "./dom.js";

/**
 * @param {(isOpen: boolean) => void} open opens or closes the sidebar
 */
export function useDrawer(open) {
  const chat = byId("chat", HTMLElement);
  const sidebar = byId("sidebar", HTMLElement);
  const narrow = matchMedia("(width < 48rem)");
  /** @type {{ id: number, x: number, y: number, isOpen: boolean, isDrawn: boolean, share: number, at: number, speed: number } | null} */
  let finger = null;

  const end = () => {
    chat.classList.remove("sidebar-drawn");
    chat.style.removeProperty("--drawn");
    finger = null;
  };

  chat.addEventListener("pointerdown", ({ target, pointerType, pointerId: id, isPrimary, clientX: x, clientY: y, timeStamp: at }) => {
    end();
    const isOpen = chat.classList.contains("sidebar-open");
    const isHere = target instanceof Element && (isOpen || x < MARGIN_PX || !target.closest(".message")) && !target.closest("textarea, audio, video, .details");
    if (narrow.matches && pointerType === "touch" && isPrimary && isHere) finger = { id, x, y, isOpen, isDrawn: false, share: 0, at, speed: 0 };
  });
  chat.addEventListener("pointermove", ({ pointerId, clientX, clientY, timeStamp }) => {
    if (finger?.id !== pointerId) {
      return;
    }
    const [dx, dy] = [clientX - finger.x, clientY - finger.y];
    if (!finger.isDrawn) {
      const isAway = finger.isOpen ? dx > SLOP_PX : dx < -SLOP_PX;
      if (isAway || Math.abs(dy) > SLOP_PX) finger = null;
      else if (Math.abs(dx) > SLOP_PX) finger.isDrawn = true;
      if (!finger?.isDrawn) return;
      chat.classList.add("sidebar-drawn");
    }
    const share = Math.min(1, Math.max(0, (finger.isOpen ? 1 : 0) + dx / sidebar.offsetWidth));
    finger.speed = (share - finger.share) / Math.max(1, timeStamp - finger.at);
    Object.assign(finger, { share, at: timeStamp });
    chat.style.setProperty("--drawn", String(share));
  });
  chat.addEventListener("pointerup", ({ pointerId }) => {
    const drawn = finger?.id === pointerId && finger.isDrawn ? finger : null;
    end();
    if (drawn) {
      const isFast = Math.abs(drawn.speed) > FAST;
      const isOpen = isFast ? drawn.speed > 0 : drawn.share > 0.5;
      if (isOpen !== drawn.isOpen) open(isOpen);
    }
  });
  chat.addEventListener("pointercancel", end);
}

/** A swipe over a message answers it, unless it begins this near to the edge. */
export const MARGIN_PX = 44;
/** A finger that rests moves less than this. */
const SLOP_PX = 10;
/** A swipe that moves this share of the sidebar in a millisecond opens or closes it, however short it is. */
const FAST = 0.0012;
