// Draw the steps: mark, find, remove; and which of them is next.

import { canRedo, canUndo } from "./edits.js";
import { drawList } from "./list.js";
import { drawPart, isWhole } from "./part.js";
import { lastFrame, show, timeOf } from "./player.js";
import { byId, clock, isBusy, put, rebuild, state } from "./state.js";
import { current, isMarked, isWanted, nameOf } from "./things.js";

const TEXT_HINT =
  "Subtitles and captions are detected automatically. Draw a box to search only there.";
const HINTS = {
  box: "Draw a tight box around the object on any frame that shows it clearly.",
  click: "Click on the object. The region around the click is selected; correct it with the brush.",
  brush: "Paint over what to remove.",
  erase: "Erase what should stay.",
};

const text = (id, words) => put(byId(id), "textContent", words);

export function drawSteps(one) {
  put(byId("steps"), "disabled", isBusy(one) || !one.video);
  drawMarkStep(one);
  drawTrackStep(one);
  drawRemoveStep(one);
  drawProgress(one);
}

function drawMarkStep(one) {
  const thing = current(one);
  const painting = ["brush", "erase"].includes(state.tool);
  drawList(one);
  for (const input of document.getElementsByName("tool")) put(input, "checked", input.value === state.tool);
  for (const input of document.getElementsByName("kind")) put(input, "checked", input.value === thing.kind);
  put(byId("kind-text"), "hidden", !state.findsText);
  put(byId("shadows-row"), "hidden", thing.kind !== "moving");
  put(byId("shadows"), "checked", thing.shadows);
  text("hint", thing.kind === "text" && state.tool === "box" ? TEXT_HINT : HINTS[state.tool]);
  put(byId("radius-row"), "hidden", !painting);
  put(byId("radius"), "value", String(state.radius));
  put(byId("undo"), "disabled", !canUndo(one));
  put(byId("redo"), "disabled", !canRedo(one));
  put(byId("clear"), "disabled", thing.marks.length === 0);
  drawRange(thing);
}

// Fixed areas and text may be limited to a part of the clip.
function drawRange(thing) {
  const { first, last } = thing;
  const limited = first > 0 || last !== null;
  put(byId("range"), "hidden", thing.kind === "moving" || (!isMarked(thing) && !limited));
  const [start, end] = [first, last ?? lastFrame()].map((frame) => clock(timeOf(frame)));
  text("range-text", limited ? `From ${start} to ${end}` : "In the whole clip");
  put(byId("range-all"), "disabled", !limited);
}

// Number of marks made since the masks were computed; text marks apply to their own frame only.
const since = (one) =>
  one.marks.things
    .filter((thing) => isWanted(thing) && thing.kind !== "text")
    .reduce((sum, { id, marks }) => sum + marks.length - (one.masks[id]?.marks ?? 0), 0);
const wanted = (one) => one.marks.things.filter(isWanted);
const masksOf = (one) => wanted(one).map(({ id }) => one.masks[id]);
const isFound = (one) => wanted(one).length > 0 && masksOf(one).every((mask) => mask && !mask.stale);

const FINDS = {
  moving: "Tracks the object forwards and backwards from the frames you marked.",
  fixed: "Uses the marked area unchanged.",
  text: "Searches the whole clip for overlaid text.",
};

function drawTrackStep(one) {
  const things = wanted(one);
  const found = isFound(one);
  const masks = masksOf(one).filter(Boolean);
  const places = found ? things.flatMap((thing) => one.masks[thing.id].unsure.map((place) => ({ ...place, thing }))) : [];
  let words = things.length === 1 ? FINDS[things[0].kind] : "Finds each of them; what was found already is kept.";
  if (!things.length) words = "First mark what to remove (step 1).";
  else if (masks.some(({ stale }) => stale)) words = "The marks changed. Find it again.";
  else if (found && since(one) > 0) words = "You corrected the mask. Find it again to update the other frames.";
  else if (found && places.length) words = "Found. Check these places and correct them with Brush and Erase:";
  else if (found) words = "Found. Play the clip and correct the mask with Brush and Erase where needed.";
  const notes = found ? masks.flatMap((mask) => mask.notes.map(sentence)) : [];
  text("track-text", [words, ...notes].join(" "));
  text("track", found ? "Find it again" : things.length > 1 ? "Find them" : "Find it");
  put(byId("track"), "disabled", !things.length || (found && since(one) === 0));
  drawPlaces(places, things.length > 1);
  put(byId("spans-key"), "hidden", places.length === 0);
}

function drawPlaces(places, named) {
  put(byId("unsure"), "hidden", places.length === 0);
  const key = places.map(({ first, why, thing }) => [first, why, thing.id, thing.name]);
  rebuild(byId("unsure"), [key, state.times.length, named], () =>
    places.slice(0, 12).map(({ first, why, thing }) => {
      const item = document.createElement("li");
      const go = document.createElement("button");
      go.type = "button";
      go.textContent = `${clock(timeOf(first))} ${named ? `${nameOf(thing)} ` : ""}${why}`;
      go.addEventListener("click", () => {
        state.thing = thing.id;
        show(first);
      });
      item.append(go);
      return item;
    }),
  );
}

function drawRemoveStep(one) {
  const ready = isFound(one);
  text("remove-text", ready
    ? "Copies the background from other frames where it is visible, and fills in the rest."
    : "First find it in every frame (step 2).");
  put(byId("remove"), "disabled", !ready || Boolean(one.result && !one.result.stale && !optionsChanged(one)));
  drawPart(ready);
}

// Options of the last removal, by clip id.
export const usedOptions = new Map();
export const options = () => ({
  dilate: byId("dilate").valueAsNumber,
  lossless: byId("lossless").checked,
});
export function setOptions({ dilate = 4, lossless = false } = {}) {
  byId("dilate").value = dilate;
  byId("lossless").checked = lossless;
}
const optionsChanged = (one) =>
  JSON.stringify(usedOptions.get(one.id)) !== JSON.stringify({ ...options(), ...state.part });

export function sentence(words) {
  const full = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(full) ? full : `${full}.`;
}

let nextBefore = null;

// Highlight the next step: frame its card and fill its button.
function drawProgress(one) {
  const done = {
    mark: wanted(one).length > 0,
    track: isFound(one) && since(one) === 0,
    remove: Boolean(one.result && !one.result.stale && !one.result.tried && (state.part || isWhole(one.result))),
  };
  const next = ["mark", "track", "remove"].find((name) => !done[name]);
  for (const name of ["mark", "track", "remove"]) {
    const card = byId(`step-${name}`).classList;
    card.toggle("done", Boolean(done[name]));
    card.toggle("now", name === next && !isBusy(one));
  }
  if (next !== nextBefore && next && matchMedia("(min-width: 821px)").matches)
    byId(`step-${next}`).scrollIntoView({ block: "nearest" });
  nextBefore = next;
  for (const name of ["track", "remove"]) byId(name).classList.toggle("primary", name === next);
}
