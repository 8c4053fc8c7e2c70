// The part of the clip to write: in and out points, a few seconds to try, one frame.

import { lastFrame, timeOf } from "./player.js";
import { byId, changed, clock, put, state } from "./state.js";

const TRIED = 3; // seconds

export const partOf = () => state.part ?? { first: 0, last: lastFrame() };
export const isWhole = ({ first, last }) => first === 0 && last === lastFrame();

export function setPart(first, last) {
  const part = first <= last ? { first, last } : { first: last, last: first };
  state.part = isWhole(part) ? null : part;
  changed();
}

export const setIn = () => setPart(state.index, Math.max(state.index, partOf().last));
export const setOut = () => setPart(Math.min(partOf().first, state.index), state.index);
export const setWhole = () => setPart(0, lastFrame());

// Three seconds around the current frame, inside the part.
export function partToTry() {
  const part = partOf();
  const middle = timeOf(Math.max(part.first, Math.min(state.index, part.last)));
  const latest = Math.max(timeOf(part.first), timeOf(part.last) - TRIED);
  const start = Math.min(Math.max(middle - TRIED / 2, timeOf(part.first)), latest);
  const inside = (frame) => timeOf(frame) >= start - 1e-6 && timeOf(frame) < start + TRIED - 1e-6;
  let first = part.first;
  while (first < part.last && !inside(first)) first += 1;
  let last = first;
  while (last < part.last && inside(last + 1)) last += 1;
  return { first, last };
}

export const thisFrame = () => ({ first: state.index, last: state.index });

export const sayPart = ({ first, last }) =>
  first === last ? `frame ${first + 1}` : `${clock(timeOf(first))} to ${clock(timeOf(last))}`;

export function drawPart(isReady) {
  const part = partOf();
  const limited = state.part !== null;
  put(byId("part-text"), "textContent", limited ? `Part: ${sayPart(part)}` : "Part: the whole clip");
  put(byId("part-whole"), "disabled", !limited);
  for (const id of ["try", "try-frame"]) put(byId(id), "disabled", !isReady);
  const bar = byId("part-bar");
  put(bar, "hidden", !limited);
  bar.style.left = `${(100 * part.first) / (lastFrame() + 1)}%`;
  bar.style.right = `${100 - (100 * (part.last + 1)) / (lastFrame() + 1)}%`;
}
