// Select the current frame: step by step, or play by the frames' timestamps.

import { forget, load, peek } from "./pictures.js";
import { changed, clip, state } from "./state.js";
import { colourOf, covers } from "./things.js";

const AHEAD = 24;

let began = 0; // clock time of frame 0 in this playback

export const lastFrame = () => (clip()?.video?.frames ?? 1) - 1;

export function show(index) {
  state.index = Math.max(0, Math.min(Math.round(index), lastFrame()));
  began = performance.now() - 1000 * timeOf(state.index);
  changed();
}

export function step(frames) {
  pause();
  show(state.index + frames);
}

export function pause() {
  state.playing = false;
  changed();
}

export function toggle() {
  if (state.playing) return pause();
  if (state.index >= lastFrame()) show(0);
  state.playing = true;
  show(state.index);
  requestAnimationFrame(advance);
}

export const timeOf = (index) => (state.times[index] ?? 0) - (state.times[0] ?? 0);

// Advance to the frame that is due. Wait until all of its pictures are loaded.
function advance(now) {
  if (!state.playing) return;
  let index = state.index;
  while (index < lastFrame() && timeOf(index + 1) <= (now - began) / 1000) index += 1;
  if (addresses(index).every(({ address }) => peek(address))) {
    if (index !== state.index) {
      state.index = index;
      changed();
    }
    if (index === lastFrame()) pause();
  } else {
    began = now - 1000 * timeOf(state.index);
    fetchAround();
  }
  requestAnimationFrame(advance);
}

// List the pictures that the current view needs for a frame.
export function addresses(index) {
  const one = clip();
  if (!one?.video) return [];
  const root = `/api/clips/${one.id}`;
  const list = [];
  // Frames that a part of the clip does not have are shown as they are.
  const isMade = one.result && index >= one.result.first && index <= one.result.last;
  if (state.view !== "after" || !isMade) list.push({ role: "before", address: `${root}/frames/${index}` });
  if (state.view === "mark")
    for (const thing of one.marks.things) {
      const mask = one.masks[thing.id];
      if (!mask || mask.stale || !thing.on || !covers(thing, index)) continue;
      list.push({ role: thing.id, address: `${root}/masks/${mask.version}/${index}`, tint: colourOf(thing) });
    }
  if (state.view !== "mark" && isMade) {
    const address = `${root}/results/${one.result.version}/frames/${index}`;
    list.push({ role: "after", address });
    const origins = `${root}/results/${one.result.version}/origins/${index}`;
    if (state.origins) list.push({ role: "origins", address: origins, tint: "cut" });
  }
  return list;
}

// Load this frame first, then the next ones (more of them during playback).
export function fetchAround() {
  const ahead = state.playing ? AHEAD : 2;
  const wanted = [];
  for (let index = state.index; index <= Math.min(state.index + ahead, lastFrame()); index += 1)
    wanted.push(...addresses(index));
  if (!state.playing && state.index > 0) wanted.push(...addresses(state.index - 1));
  forget(new Set(wanted.map((one) => one.address)));
  for (const { address, tint } of wanted.reverse())
    if (!peek(address)) load(address, tint).then((picture) => picture && changed());
}
