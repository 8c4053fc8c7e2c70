// The things marked on a clip: the current one, their names and colours, and changes of the list.

import { save } from "./edits.js";
import { changed, clip, state } from "./state.js";

const COLOURS = [
  [255, 48, 128], [64, 156, 255], [255, 176, 32], [72, 208, 120], [176, 112, 255], [56, 214, 214],
];
const NAMES = { moving: "Object", fixed: "Area", text: "Text" };
export const MOST = 12;

// Each thing keeps its colour when others are deleted.
export const colourOf = ({ id }) => COLOURS[(Number(id) - 1) % COLOURS.length] ?? COLOURS[0];
export const styleOf = (thing) => `rgb(${colourOf(thing).join(" ")})`;
export const nameOf = (thing) => thing.name || `${NAMES[thing.kind]} ${thing.id}`;

export const isMarked = (thing) => thing.marks.length > 0 || thing.kind === "text";
export const isWanted = (thing) => thing.on && isMarked(thing);
export const covers = ({ first, last }, frame) => first <= frame && (last === null || frame <= last);

// The thing that is marked with the tools.
export const current = (one) => {
  const { things } = one.marks;
  return things.find(({ id }) => id === state.thing) ?? things[0];
};

export function choose(id) {
  state.thing = id;
  changed();
}

export function editThing(id, changes) {
  const { things } = clip().marks;
  save({ things: things.map((thing) => (thing.id === id ? { ...thing, ...changes } : thing)) });
}

export const edit = (changes) => editThing(current(clip()).id, changes);

const fresh = (things) => ({
  id: String(1 + Math.max(0, ...things.map(({ id }) => Number(id)))),
  name: "", kind: "moving", shadows: false, on: true, first: 0, last: null, marks: [],
});

export function addThing() {
  const { things } = clip().marks;
  const thing = fresh(things);
  save({ things: [...things, thing] });
  Object.assign(state, { thing: thing.id, tool: "box", view: "mark" });
}

export function removeThing(id) {
  const { things } = clip().marks;
  const at = things.findIndex((thing) => thing.id === id);
  const rest = things.filter((thing) => thing.id !== id);
  save({ things: rest.length ? rest : [fresh([])] });
  if (state.thing === id) state.thing = (rest[at] ?? rest.at(-1))?.id ?? null;
}

// Marks of the current thing, or of all when there is one only.
export const clearMarks = () => edit({ marks: [] });

// Limit the current thing to a part of the clip.
export function setRange(first, last) {
  if (last !== null && last < first) [first, last] = [last, first];
  edit({ first, last });
}
