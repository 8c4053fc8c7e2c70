// Tools and views, and the keys that choose them.

import { redo, undo } from "./edits.js";
import { holdSpace, releaseSpace, zoomIn, zoomOut } from "./gestures.js";
import { setIn, setOut } from "./part.js";
import { lastFrame, step, toggle } from "./player.js";
import { byId, changed, clip, looks, state, views } from "./state.js";
import { fitZoom } from "./zoom.js";

export function setTool(tool) {
  state.tool = tool;
  setView("mark");
}

export function setView(view) {
  if (view !== "mark" && !clip()?.result) return;
  state.view = view;
  changed();
}

export function setLook(look) {
  state.look = look;
  changed();
}

export function setOrigins(shown) {
  if (!clip()?.result) return;
  state.origins = shown;
  if (shown && state.view === "mark") state.view = "slider";
  changed();
}

export function setRadius(radius) {
  state.radius = Math.max(0.5, Math.min(radius, 80));
  changed();
}

export function setSplit(split) {
  state.split = Math.max(0, Math.min(split, 100));
  changed();
}

const press = (id) => byId(id).disabled || byId("steps").disabled || byId(id).click();

const KEYS = {
  ArrowLeft: (event) => step(event.shiftKey ? -10 : -1),
  ArrowRight: (event) => step(event.shiftKey ? 10 : 1),
  Home: () => step(-lastFrame()),
  End: () => step(lastFrame()),
  " ": holdSpace,
  "+": zoomIn,
  "=": zoomIn,
  "-": zoomOut,
  0: fitZoom,
  b: () => setTool("box"),
  c: () => setTool("click"),
  p: () => setTool("brush"),
  e: () => setTool("erase"),
  "[": () => setRadius(state.radius - (state.radius > 4 ? 2 : 0.5)),
  "]": () => setRadius(state.radius + (state.radius < 4 ? 0.5 : 2)),
  n: () => {
    byId("numbers").open = true;
    byId("box-form").elements.x.focus();
  },
  f: () => press("track"),
  r: () => press("remove"),
  m: () => setLook(looks[(looks.indexOf(state.look) + 1) % looks.length]),
  i: setIn,
  o: setOut,
  t: () => press("try"),
  w: () => setOrigins(!state.origins),
  v: () => setView(views[(views.indexOf(state.view) + 1) % views.length]),
  ",": () => setSplit(state.split - 2),
  ".": () => setSplit(state.split + 2),
};

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (document.querySelector("dialog[open]")) return;
  const types = target.matches("input[type=number], input[type=text]");
  if (key === "?" && !types) return byId("help").showModal();
  if (!clip()?.video || types || event.altKey) return;
  if (event.ctrlKey || event.metaKey) {
    const act = { z: event.shiftKey ? redo : undo, y: redo }[key.toLowerCase()];
    if (act && !byId("steps").disabled) {
      event.preventDefault();
      act();
    }
    return;
  }
  // Leave keys to a focused control that uses them.
  if (key === " " && target.matches("button, a, summary, input")) return;
  if (key.startsWith("Arrow") && target.matches("input[type=radio], input[type=range]:not(#scrub)")) return;
  const act = KEYS[key] ?? KEYS[key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act(event);
});

// The space bar plays, unless the picture was moved while it was held.
document.addEventListener("keyup", ({ key }) => key === " " && releaseSpace() && toggle());
