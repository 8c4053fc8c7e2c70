// Draw boxes, clicks and strokes with the pointer, and save them on the server.

import { ask } from "./api.js";
import { brushRadius } from "./drawing.js";
import { pause } from "./player.js";
import { byId, changed, clip, state } from "./state.js";

const overlay = byId("overlay");
let start = null;
let saving = Promise.resolve();
export let pending = 0; // saves in flight: marks from a poll are older until they finish

let report = () => {};

export function listenToPointer(onProblem) {
  report = onProblem;
  overlay.addEventListener("pointerdown", begin);
  overlay.addEventListener("pointermove", go);
  overlay.addEventListener("pointerup", end);
  overlay.addEventListener("pointercancel", drop);
  overlay.addEventListener("pointerleave", () => {
    state.pointer = null;
    changed();
  });
}

// Replace the marks locally at once, and on the server after earlier saves.
export function save(marks, changes = {}) {
  const one = clip();
  const fresh = { ...one.marks, ...changes, marks };
  one.marks = fresh;
  undone.delete(one.id); // a new mark ends the redo history
  changed();
  pending += 1;
  saving = saving.then(async () => {
    try {
      const now = state.clips.find((other) => other.id === one.id);
      const body = { revision: now.revision, marks: fresh };
      take(await ask("PUT", `/api/clips/${one.id}/marks`, body), pending > 1);
    } catch (problem) {
      report(problem);
      if (problem.status) await refresh(one.id);
    } finally {
      pending -= 1;
    }
  });
  return saving;
}

export async function refresh(id) {
  try {
    take(await ask("GET", `/api/clips/${id}`));
  } catch (problem) {
    report(problem);
  }
}

// Replace a clip by the server's version; `keepMarks` keeps local marks that are still being saved.
export function take(fresh, keepMarks = false) {
  const at = state.clips.findIndex((one) => one.id === fresh.id);
  if (at < 0) return;
  if (keepMarks) fresh.marks = state.clips[at].marks;
  state.clips[at] = fresh;
  changed();
}

const undone = new Map(); // clip id → undone marks, latest last

export function undo() {
  const one = clip();
  if (!canUndo(one)) return;
  const removed = [...(undone.get(one.id) ?? []), one.marks.marks.at(-1)];
  save(one.marks.marks.slice(0, -1));
  undone.set(one.id, removed);
}

export function redo() {
  const one = clip();
  const removed = undone.get(one.id) ?? [];
  if (!removed.length) return;
  save([...one.marks.marks, removed.at(-1)]);
  undone.set(one.id, removed.slice(0, -1));
}

// Marks that were tracked already are part of the mask and cannot be undone.
export const canUndo = ({ marks, mask }) =>
  marks.marks.length > (marks.kind === "moving" ? (mask?.marks ?? 0) : 0);

export const addBox = (box) => save([...clip().marks.marks, { kind: "box", frame: state.index, box }]);

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
  if (!small) save([...clip().marks.marks, mark]);
}

export function drop() {
  start = null;
  state.draft = null;
  changed();
}
