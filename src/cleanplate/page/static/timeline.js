// Draw the timeline: for each thing, where it was found, is unsure or lost, or was marked by hand.

import { lastFrame, pause, show, timeOf } from "./player.js";
import { byId, clock, rebuild, state } from "./state.js";
import { current, editThing, isMarked, nameOf, styleOf } from "./things.js";

const share = (frame) => (100 * frame) / (lastFrame() + 1);

export function drawTimeline(one) {
  const things = one.marks.things.filter(isMarked);
  const now = current(one);
  const edits = state.view === "mark";
  const key = [one.id, lastFrame(), now.id, edits, things.map(({ id, first, last, on, kind, name, marks }) =>
    [id, first, last, on, kind, name, marks.map(({ frame }) => frame), one.masks[id]])];
  rebuild(byId("lanes"), key, () => things.map((thing) => drawLane(thing, one.masks[thing.id], edits && thing === now)));
}

function drawLane(thing, mask, isCurrent) {
  const lane = document.createElement("div");
  lane.className = thing.on ? "lane" : "lane off";
  lane.style.setProperty("--colour", styleOf(thing));
  const { first } = thing;
  const last = thing.last ?? lastFrame();
  const add = (name, from, to) => {
    const [left, right] = [Math.max(from, first), Math.min(to, last)];
    if (left <= right) lane.append(drawSpan(name, left, right, nameOf(thing)));
  };
  if (mask && !mask.stale) {
    for (const [from, to] of mask.seen) add("found", from, to);
    for (const { first: from, last: to, why } of mask.unsure) add(why === "unsure" ? "unsure" : "lost", from, to);
  } else if (thing.kind === "fixed") add("found", first, last);
  if (thing.kind !== "fixed")
    for (const frame of new Set(thing.marks.map((mark) => mark.frame))) add("hand", frame, frame);
  if (isCurrent && thing.kind !== "moving") lane.append(drawHandle(thing, "first", first), drawHandle(thing, "last", last));
  return lane;
}

const WORDS = { found: "found", unsure: "unsure", lost: "not seen", hand: "marked by hand" };

function drawSpan(name, first, last, of) {
  const span = document.createElement("span");
  span.className = name;
  span.style.left = `${share(first)}%`;
  span.style.width = `${share(last - first + 1)}%`;
  span.title = `${of}: ${WORDS[name]}, ${clock(timeOf(first))}`;
  return span;
}

// Ends of the part of the clip in which a thing is removed; the buttons of the panel set them, too.
function drawHandle(thing, end, frame) {
  const handle = document.createElement("i");
  handle.className = `handle ${end}`;
  let chosen = frame;
  const place = (at) => (handle.style.left = `${share(end === "last" ? at + 1 : at)}%`);
  place(frame);
  handle.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    pause();
    handle.setPointerCapture(event.pointerId);
    handle.onpointermove = ({ clientX }) => {
      chosen = frameAt(clientX);
      chosen = end === "first" ? Math.min(chosen, thing.last ?? lastFrame()) : Math.max(chosen, thing.first);
      place(chosen);
      show(chosen);
    };
  });
  handle.addEventListener("pointerup", () => {
    handle.onpointermove = null;
    if (chosen !== frame) editThing(thing.id, { [end]: end === "last" && chosen === lastFrame() ? null : chosen });
  });
  return handle;
}

export function frameAt(x) {
  const area = byId("lanes").getBoundingClientRect();
  const frame = Math.floor(((x - area.left) / area.width) * (lastFrame() + 1));
  return Math.max(0, Math.min(frame, lastFrame()));
}
