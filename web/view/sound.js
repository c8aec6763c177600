// The sound of a new message: two short tones, made by the browser.

import { read, write } from "../settings.js";

/** Whether this browser makes a sound. */
export function hasSound() {
  return read("sound") === "yes";
}

/** @param {boolean} isOn */
export function setSound(isOn) {
  write("sound", isOn ? "yes" : null);
}

/** Makes the sound in one of the open tabs, unless one has just made it. */
export async function chime() {
  // A page that was never touched may make no sound.
  if (navigator.userActivation?.hasBeenActive === false) {
    return;
  }
  const once = () => {
    const now = Date.now();
    if (Math.abs(now - Number(read("sounded"))) >= PAUSE_MS) {
      write("sounded", String(now));
      play();
    }
  };
  await (navigator.locks ? navigator.locks.request("chat sound", once) : once());
}

/** Makes the sound. */
export async function play() {
  context ??= new AudioContext();
  await context.resume();
  const start = context.currentTime + 0.02;
  for (const { hertz, after, seconds } of TONES) {
    const tone = new OscillatorNode(context, { type: "sine", frequency: hertz });
    const volume = new GainNode(context, { gain: 0 });
    const from = start + after;
    volume.gain.setValueAtTime(0, from);
    volume.gain.linearRampToValueAtTime(VOLUME, from + 0.012);
    volume.gain.exponentialRampToValueAtTime(0.001, from + seconds);
    tone.connect(volume).connect(context.destination);
    tone.start(from);
    tone.stop(from + seconds);
  }
}

/** @type {AudioContext | undefined} */
let context;
/** A fourth upwards. */
const TONES = [
  { hertz: 784, after: 0, seconds: 0.22 },
  { hertz: 1046.5, after: 0.11, seconds: 0.38 },
];
const VOLUME = 0.22;
/** Of several messages at once, only the first is heard. */
const PAUSE_MS = 2_000;
