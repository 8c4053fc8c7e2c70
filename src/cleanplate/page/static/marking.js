// Draw boxes, clicks and strokes with the pointer.

import { brushRadius } from "./drawing.js";
import { pause } from "./player.js";
import { byId, changed, clip, state } from "./state.js";
import { current, edit } from "./things.js";

const overlay = byId("overlay");
let start = null;

export function listenToPointer() {
  overlay.addEventListener("pointerdown", begin);
  overlay.addEventListener("pointermove", go);
  overlay.addEventListener("pointerup", end);
  overlay.addEventListener("pointercancel", drop);
  overlay.addEventListener("pointerleave", () => {
    state.pointer = null;
    changed();
  });
}

export const addBox = (box) => add({ kind: "box", frame: state.index, box });

function add(mark) {
  edit({ marks: [...current(clip()).marks, mark] });
}

function place(event) {
  const area = byId("picture").getBoundingClientRect();
  const { width, height } = clip().video;
  const x = ((event.clientX - area.left) / area.width) * width;
  const y = ((event.clientY - area.top) / area.height) * height;
  return [Math.max(0, Math.min(x, width)), Math.max(0, Math.min(y, height))].map(tidy);
}

const tidy = (number) => Math.round(number * 100) / 100;

function begin(event) {
  if (event.button !== 0) return;
  if (state.view === "slider") start = "split";
  else if (state.view === "mark" && !byId("steps").disabled) {
    pause();
    start = place(event);
    state.draft = draft(start);
  } else return;
  event.preventDefault();
  overlay.setPointerCapture(event.pointerId);
  go(event);
}

function draft(point) {
  const frame = state.index;
  if (state.tool === "box") return { kind: "box", frame, box: [...point, 0, 0] };
  if (state.tool === "click") return { kind: "click", frame, point };
  return { kind: state.tool, frame, radius: tidy(brushRadius(clip().video)), points: [point] };
}

function go(event) {
  state.pointer = place(event);
  if (start === "split") {
    const area = overlay.getBoundingClientRect();
    const share = (event.clientX - area.left) / area.width;
    state.split = Math.round(Math.max(0, Math.min(share, 1)) * 1000) / 10;
  } else if (state.draft) extend(state.draft, state.pointer);
  changed();
}

function extend(mark, point) {
  if (mark.kind === "box") {
    const [x, y] = [Math.min(start[0], point[0]), Math.min(start[1], point[1])];
    mark.box = [x, y, Math.abs(point[0] - start[0]), Math.abs(point[1] - start[1])].map(tidy);
  } else if (mark.points) {
    const last = mark.points.at(-1);
    const far = Math.hypot(point[0] - last[0], point[1] - last[1]);
    if (far > mark.radius / 3 && mark.points.length < 4000) mark.points.push(point);
  } else mark.point = point;
}

function end() {
  const mark = state.draft;
  drop();
  if (!mark) return;
  const small = mark.kind === "box" && Math.min(mark.box[2], mark.box[3]) < 2;
  if (!small) add(mark);
}

export function drop() {
  start = null;
  state.draft = null;
  changed();
}
