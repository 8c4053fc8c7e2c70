// Changes of the marks: shown at once, saved on the server in order, undone and redone.

import { ask } from "./api.js";
import { show } from "./player.js";
import { changed, clip, state } from "./state.js";

let saving = Promise.resolve();
export let pending = 0; // saves in flight: marks from a poll are older until they finish

let report = () => {};
export const onProblem = (listener) => (report = listener);

const histories = new Map(); // clip → {past, future}: whole marks, latest last

function historyOf(id) {
  if (!histories.has(id)) histories.set(id, { past: [], future: [] });
  return histories.get(id);
}

// Replace the marks of the current clip.
export function save(marks) {
  const one = clip();
  noteChange(one);
  store(one, marks);
}

// Remember the marks of a clip before they change, here or in another tab.
export function noteChange(one) {
  const { past, future } = historyOf(one.id);
  past.push(one.marks);
  future.length = 0;
}

export function undo() {
  const one = clip();
  if (!canUndo(one)) return;
  const { past, future } = historyOf(one.id);
  future.push(one.marks);
  change(one, past.pop() ?? withoutLast(one.marks));
}

export function redo() {
  const one = clip();
  if (!canRedo(one)) return;
  const { past, future } = historyOf(one.id);
  past.push(one.marks);
  change(one, future.pop());
}

// Marks that were there when the page was loaded are undone one by one.
function withoutLast({ things }) {
  const at = things.findLastIndex(({ marks }) => marks.length);
  return { things: things.map((thing, number) => (number === at ? { ...thing, marks: thing.marks.slice(0, -1) } : thing)) };
}


export const canUndo = (one) => historyOf(one.id).past.length > 0 || listMarks(one.marks).length > 0;
export const canRedo = (one) => historyOf(one.id).future.length > 0;

// Show the frame of a mark that changes: elsewhere, an undo would not be seen.
function change(one, marks) {
  const before = one.marks;
  store(one, marks);
  if (before.things.length !== marks.things.length) return;
  const keys = [before, marks].map((all) => new Map(listMarks(all).map((mark) => [keyOf(mark), mark])));
  const different = [
    ...[...keys[0]].filter(([key]) => !keys[1].has(key)),
    ...[...keys[1]].filter(([key]) => !keys[0].has(key)),
  ];
  if (different.length && different.every(([, { frame }]) => frame !== state.index))
    show(different[0][1].frame);
}

const listMarks = ({ things }) => things.flatMap(({ marks }) => marks);
const keyOf = ({ kind, frame, box, point, points, radius }) =>
  JSON.stringify([kind, frame, box, point, points, radius]);

// Replace the marks locally at once, and on the server after earlier saves.
function store(one, marks) {
  one.marks = marks;
  changed();
  pending += 1;
  saving = saving.then(async () => {
    try {
      const now = state.clips.find((other) => other.id === one.id);
      const body = { revision: now.revision, marks };
      take(await ask("PUT", `/api/clips/${one.id}/marks`, body), pending > 1);
    } catch (problem) {
      report(problem);
      if (problem.status) await refresh(one.id);
    } finally {
      pending -= 1;
    }
  });
}

async function refresh(id) {
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
