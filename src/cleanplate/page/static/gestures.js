// Zoom and pan with the wheel, two fingers, the middle button, or the space bar held.

import { drop } from "./marking.js";
import { byId, state } from "./state.js";
import { fitZoom, pan, zoomBy } from "./zoom.js";

const STEP = 1.5;
const stage = byId("stage");
const fingers = new Map(); // pointer → its place
let panning = null; // pointer that moves the picture
let isPinching = false; // until the last finger is lifted
let isHeld = false; // the space bar
let hasPanned = false; // since the space bar was pressed

export const zoomIn = () => zoomBy(STEP);
export const zoomOut = () => zoomBy(1 / STEP);

export function holdSpace() {
  if (!isHeld) hasPanned = false;
  isHeld = true;
  stage.classList.add("can-pan");
}

// Return whether the space bar was pressed alone, without a pan.
export function releaseSpace() {
  const alone = isHeld && !hasPanned;
  isHeld = false;
  stage.classList.remove("can-pan");
  return alone;
}

export function listenToGestures() {
  stage.addEventListener("wheel", turn, { passive: false });
  stage.addEventListener("pointerdown", press, { capture: true });
  stage.addEventListener("pointermove", move, { capture: true });
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, lift, { capture: true });
  window.addEventListener("blur", releaseSpace);
  byId("zoom-in").addEventListener("click", zoomIn);
  byId("zoom-out").addEventListener("click", zoomOut);
  byId("zoom-fit").addEventListener("click", fitZoom);
}

// Zoom at a place on the screen, in whichever picture it is.
function zoomAt(factor, [x, y], target) {
  const frame = target.closest?.(".frame") ?? byId("frame");
  const area = frame.getBoundingClientRect();
  zoomBy(factor, x - area.left - area.width / 2, y - area.top - area.height / 2);
}

function turn(event) {
  event.preventDefault();
  const lines = event.deltaMode === 1 ? 16 : 1;
  // A pinch on a touchpad arrives as a wheel with the control key and small steps.
  const speed = event.ctrlKey ? 0.01 : 0.0025;
  zoomAt(Math.exp(-event.deltaY * lines * speed), [event.clientX, event.clientY], event.target);
}

function press(event) {
  if (event.target.closest("button")) return;
  const place = [event.clientX, event.clientY];
  if (event.pointerType === "touch") fingers.set(event.pointerId, place);
  if (fingers.size === 2) {
    drop();
    isPinching = true;
  }
  if (isPinching) return event.stopPropagation();
  const looks = state.zoom > 1 && ["side", "after"].includes(state.view);
  if (event.button !== 1 && !(event.button === 0 && (isHeld || looks))) return;
  event.preventDefault();
  event.stopPropagation();
  panning = { id: event.pointerId, place };
  stage.setPointerCapture(event.pointerId);
  stage.classList.add("pans");
}

function move(event) {
  const place = [event.clientX, event.clientY];
  if (panning?.id === event.pointerId) {
    event.stopPropagation();
    hasPanned = true;
    pan(place[0] - panning.place[0], place[1] - panning.place[1]);
    panning.place = place;
  } else if (fingers.has(event.pointerId)) {
    const before = measure();
    fingers.set(event.pointerId, place);
    if (!isPinching) return;
    event.stopPropagation();
    if (fingers.size < 2) return;
    const after = measure();
    pan(after.middle[0] - before.middle[0], after.middle[1] - before.middle[1]);
    zoomAt(after.apart / before.apart, after.middle, event.target);
  }
}

function measure() {
  const [one, other = one] = fingers.values();
  const apart = Math.max(Math.hypot(one[0] - other[0], one[1] - other[1]), 1);
  return { apart, middle: [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2] };
}

function lift(event) {
  fingers.delete(event.pointerId);
  if (panning?.id === event.pointerId) {
    event.stopPropagation();
    panning = null;
    stage.classList.remove("pans");
  }
  if (isPinching) event.stopPropagation();
  if (!fingers.size) isPinching = false;
}
