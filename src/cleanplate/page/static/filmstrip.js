// Thumbnails of the clip above the timeline; a click shows the frame.

import { lastFrame, pause, show } from "./player.js";
import { byId, changed, clip, state } from "./state.js";
import { frameAt } from "./timeline.js";

const strip = byId("filmstrip");
let kept = { id: null, pictures: new Map() }; // of the current clip, by frame
let isLoading = false;

export function drawFilmstrip(one) {
  if (!one.video) return;
  if (kept.id !== one.id) kept = { id: one.id, pictures: new Map() };
  const dense = window.devicePixelRatio || 1;
  const [width, height] = [strip.clientWidth * dense, strip.clientHeight * dense].map(Math.round);
  if (!width) return;
  const frames = choose(one, width / height);
  const key = JSON.stringify([one.id, width, frames, frames.map((frame) => kept.pictures.has(frame))]);
  if (strip.dataset.key !== key) {
    strip.dataset.key = key;
    Object.assign(strip, { width, height });
    frames.forEach((frame, number) => paste(kept.pictures.get(frame), number, frames.length));
  }
  load(one, frames.find((frame) => !kept.pictures.has(frame)));
}

// Frames in the middle of equal parts, as many as fit in a row.
function choose(one, shape) {
  const count = Math.max(1, Math.min(Math.round(shape / one.video.aspect), one.video.frames, 40));
  return Array.from({ length: count }, (_, number) => Math.floor(((number + 0.5) * (lastFrame() + 1)) / count));
}

function paste(picture, number, count) {
  if (!picture) return;
  const [left, right] = [number, number + 1].map((edge) => Math.round((edge * strip.width) / count));
  const scale = Math.max((right - left) / picture.width, strip.height / picture.height);
  const [width, height] = [(right - left) / scale, strip.height / scale];
  strip.getContext("2d").drawImage(
    picture, (picture.width - width) / 2, (picture.height - height) / 2, width, height,
    left, 0, right - left, strip.height);
}

// One at a time, after the frame on the stage: it must not wait for thumbnails.
async function load(one, frame) {
  if (frame === undefined || isLoading || state.playing || byId("picture").dataset.shown === undefined) return;
  isLoading = true;
  const { pictures } = kept;
  try {
    const answer = await fetch(`/api/clips/${one.id}/frames/${frame}`);
    const small = { resizeHeight: 2 * strip.clientHeight, resizeQuality: "medium" };
    pictures.set(frame, answer.ok ? await createImageBitmap(await answer.blob(), small) : null);
  } catch {
    pictures.set(frame, null);
  }
  isLoading = false;
  changed();
}

function seek(event) {
  if (!clip()?.video || !(event.buttons & 1)) return;
  pause();
  show(frameAt(event.clientX));
}

strip.addEventListener("pointerdown", (event) => {
  strip.setPointerCapture(event.pointerId);
  seek(event);
});
strip.addEventListener("pointermove", seek);
