// Draw the mask and the marks over the frame, at the resolution of the screen.

import { send } from "./api.js";
import { colour } from "./pictures.js";
import { byId, changed, state } from "./state.js";
import { colourOf, covers, current, styleOf } from "./things.js";
import { isCrisp, layout } from "./zoom.js";

const overlay = byId("overlay");
const layer = document.createElement("canvas");
const rim = document.createElement("canvas");
const clicks = new Map(); // clip, frame and point → bitmap, or null while it is loading
let view = { x: 1, y: 1, left: 0, top: 0 }; // from pixels of the video to pixels of the canvas

// `masks`: of each thing that was found, by its id.
export function drawMarks(one, masks) {
  place(one.video);
  const context = overlay.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, overlay.width, overlay.height);
  context.fillStyle = "#000";
  if (state.view !== "mark") return;
  if (state.look === "only") context.fillRect(0, 0, overlay.width, overlay.height);
  const now = current(one);
  for (const thing of [...one.marks.things.filter((other) => other !== now), now])
    if (thing.on && covers(thing, state.index)) drawThing(context, one, thing, masks[thing.id], thing === now);
  if (state.pointer && ["brush", "erase"].includes(state.tool)) ring(context, one.video);
}

function drawThing(context, one, thing, mask, isCurrent) {
  const drafts = isCurrent && state.draft ? [state.draft] : [];
  const marks = [...thing.marks, ...drafts].filter(
    (mark) => mark.frame === state.index || thing.kind === "fixed",
  );
  fillLayer(one, thing, mask, marks);
  pasteLayer(context);
  for (const mark of marks) if (mark.kind === "box") outline(context, mark.box, styleOf(thing));
  for (const mark of marks) if (mark.kind === "click") dot(context, mark.point, styleOf(thing));
}

function pasteLayer(context) {
  context.globalAlpha = state.look === "tint" ? 0.5 : 1;
  context.drawImage(state.look === "outline" ? drawRim() : layer, 0, 0);
  context.globalAlpha = 1;
}

// The edge of the layer: what it covers when it is moved a little, without what it covers.
function drawRim() {
  const context = rim.getContext("2d");
  context.globalCompositeOperation = "source-over";
  context.clearRect(0, 0, rim.width, rim.height);
  for (let turn = 0; turn < 8; turn += 1) {
    const angle = (turn * Math.PI) / 4;
    context.drawImage(layer, view.line * Math.cos(angle), view.line * Math.sin(angle));
  }
  context.globalCompositeOperation = "destination-out";
  context.drawImage(layer, 0, 0);
  return rim;
}

function place(video) {
  const dense = window.devicePixelRatio || 1;
  const size = { width: Math.round(layout.width * dense), height: Math.round(layout.height * dense) };
  for (const canvas of [overlay, layer, rim])
    if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
  view = {
    x: (layout.wide * dense) / video.width,
    y: (layout.high * dense) / video.height,
    left: layout.left * dense,
    top: layout.top * dense,
    line: 1.5 * dense,
  };
}

const toCanvas = ([x, y]) => [x * view.x + view.left, y * view.y + view.top];

// Draw the mask and the strokes in one opaque colour.
function fillLayer(one, thing, mask, marks) {
  const { width, height } = one.video;
  const context = layer.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalCompositeOperation = "source-over";
  context.clearRect(0, 0, layer.width, layer.height);
  context.setTransform(view.x, 0, 0, view.y, view.left, view.top);
  context.imageSmoothingEnabled = !isCrisp(byId("picture"));
  if (mask) context.drawImage(mask, 0, 0, width, height);
  for (const mark of marks) {
    context.globalCompositeOperation = mark.kind === "erase" ? "destination-out" : "source-over";
    if (mark.kind === "box" && thing.kind === "fixed") {
      context.fillStyle = styleOf(thing);
      context.fillRect(...mark.box);
    } else if (mark.kind === "click") {
      const region = findClick(one, thing, mark);
      if (region) context.drawImage(region, 0, 0, width, height);
    } else if (mark.points) stroke(context, mark, styleOf(thing));
  }
}

function stroke(context, { points, radius }, style) {
  context.strokeStyle = style;
  context.lineWidth = 2 * radius;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  if (points.length === 1) context.lineTo(points[0][0] + 0.01, points[0][1]);
  context.stroke();
}

function outline(context, [x, y, width, height], style) {
  const corner = toCanvas([x, y]);
  const size = [width * view.x, height * view.y];
  context.lineWidth = view.line;
  context.setLineDash([]);
  context.strokeStyle = "#fff";
  context.strokeRect(...corner, ...size);
  context.setLineDash([3 * view.line, 3 * view.line]);
  context.strokeStyle = style;
  context.strokeRect(...corner, ...size);
  context.setLineDash([]);
}

function dot(context, point, style) {
  context.beginPath();
  context.arc(...toCanvas(point), 3 * view.line, 0, 7);
  context.fillStyle = "#fff";
  context.fill();
  context.lineWidth = view.line;
  context.strokeStyle = style;
  context.stroke();
}

function ring(context, video) {
  const radius = brushRadius(video);
  context.lineWidth = view.line;
  context.strokeStyle = state.tool === "erase" ? "#000" : "#fff";
  context.beginPath();
  context.ellipse(...toCanvas(state.pointer), radius * view.x, radius * view.y, 0, 0, 7);
  context.stroke();
}

// Brush radius in video pixels; the slider is in pixels of a picture 640 wide.
export const brushRadius = (video) => (state.radius * Math.max(video.width, video.height)) / 640;

// Return the region of a click; request it from the server once.
function findClick(one, thing, mark) {
  const key = JSON.stringify([one.id, thing.id, mark.frame, mark.point]);
  if (!clicks.has(key)) {
    clicks.set(key, null);
    const body = { frame: mark.frame, point: mark.point };
    send("POST", `/api/clips/${one.id}/click`, body)
      .then(async (answer) => colour(await createImageBitmap(await answer.blob()), colourOf(thing)))
      .then((region) => (clicks.set(key, region), changed()))
      .catch(() => clicks.delete(key));
  }
  return clicks.get(key);
}
