// Draw the frame, its mask, the marks, and the comparison of before and after.

import { colour, peek } from "./pictures.js";
import { TINT, addresses, fetchAround } from "./player.js";
import { send } from "./api.js";
import { byId, changed, clip, put, state } from "./state.js";

const TINT_STYLE = `rgb(${TINT.join(" ")})`;
const picture = byId("picture");
const after = byId("picture-after");
const overlay = byId("overlay");
const layer = document.createElement("canvas");
const clicks = new Map(); // clip, frame and point → bitmap, or null while it is loading

export function drawStage() {
  const one = clip();
  if (!one?.video) return;
  fit(one.video);
  fetchAround();
  const found = {};
  for (const { role, address } of addresses(state.index)) found[role] = peek(address);
  arrange(one);
  if (state.view === "after") paste(picture, found.after);
  else if (state.view === "slider") pasteSplit(found.before, found.after);
  else paste(picture, found.before);
  if (state.view === "side") paste(after, found.after);
  drawMarks(one, found.mask);
  // Set only when all pictures of this view are drawn; tests wait for it.
  if (Object.values(found).every(Boolean)) picture.dataset.shown = state.index;
  else delete picture.dataset.shown;
}

function arrange(one) {
  const { view } = state;
  put(byId("frame-after"), "hidden", view !== "side");
  put(byId("split"), "hidden", view !== "slider");
  put(byId("label-before"), "hidden", view !== "slider" && view !== "side");
  put(byId("label-after"), "hidden", view !== "slider" && view !== "after");
  byId("split").style.left = `${state.split}%`;
  const draws = view === "mark" && !byId("steps").disabled;
  const stage = byId("stage").classList;
  stage.toggle("can-draw", draws);
  stage.toggle("paints", draws && ["brush", "erase"].includes(state.tool));
  stage.toggle("can-split", view === "slider");
  picture.setAttribute("aria-label", `Frame ${state.index + 1} of ${one.video.frames}`);
}

// Fit the frames into the stage and keep their aspect ratio.
function fit(video) {
  const stage = byId("stage");
  const style = getComputedStyle(stage);
  const width = stage.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const narrow = matchMedia("(max-width: 820px)").matches;
  const height = narrow ? window.innerHeight * 0.48 : stage.clientHeight - 24;
  const both = state.view === "side";
  const stacked = both && width / height < 2 * video.aspect * 0.6;
  stage.style.flexDirection = stacked ? "column" : "row";
  const room = both
    ? { width: stacked ? width : (width - 8) / 2, height: stacked ? (height - 8) / 2 : height }
    : { width, height };
  const wide = Math.max(Math.min(room.width, room.height * video.aspect), 40);
  for (const frame of [byId("frame"), byId("frame-after")]) {
    frame.style.width = `${Math.floor(wide)}px`;
    frame.style.height = `${Math.floor(wide / video.aspect)}px`;
  }
}

function paste(canvas, bitmap) {
  if (!bitmap) return; // keep the previous picture until this one is loaded
  resize(canvas, bitmap);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}

function pasteSplit(before, result) {
  if (!before || !result) return;
  paste(picture, before);
  const left = Math.round((picture.width * state.split) / 100);
  const width = picture.width - left;
  if (width > 0)
    picture.getContext("2d").drawImage(result, left, 0, width, picture.height, left, 0, width, picture.height);
}

function resize(canvas, { width, height }) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
}

function drawMarks(one, mask) {
  resize(overlay, picture);
  resize(layer, picture);
  const context = overlay.getContext("2d");
  context.clearRect(0, 0, overlay.width, overlay.height);
  if (state.view !== "mark") return;
  const scale = overlay.width / one.video.width;
  const marks = [...one.marks.marks, ...(state.draft ? [state.draft] : [])].filter(
    (mark) => mark.frame === state.index || one.marks.kind === "fixed",
  );
  fillLayer(one, mask, marks, scale);
  context.globalAlpha = 0.5;
  context.drawImage(layer, 0, 0);
  context.globalAlpha = 1;
  for (const mark of marks) if (mark.kind === "box") outline(context, mark.box, scale);
  for (const mark of marks) if (mark.kind === "click") dot(context, mark.point, scale);
  if (state.pointer && ["brush", "erase"].includes(state.tool)) ring(context, scale);
}

// Draw the mask and the strokes in one opaque colour.
function fillLayer(one, mask, marks, scale) {
  const context = layer.getContext("2d");
  context.globalCompositeOperation = "source-over";
  context.clearRect(0, 0, layer.width, layer.height);
  if (mask) context.drawImage(mask, 0, 0, layer.width, layer.height);
  for (const mark of marks) {
    context.globalCompositeOperation = mark.kind === "erase" ? "destination-out" : "source-over";
    if (mark.kind === "box" && one.marks.kind === "fixed") {
      context.fillStyle = TINT_STYLE;
      context.fillRect(...mark.box.map((length) => length * scale));
    } else if (mark.kind === "click") {
      const region = findClick(one, mark);
      if (region) context.drawImage(region, 0, 0, layer.width, layer.height);
    } else if (mark.points) stroke(context, mark, scale);
  }
}

function stroke(context, { points, radius }, scale) {
  context.strokeStyle = context.fillStyle = TINT_STYLE;
  context.lineWidth = 2 * radius * scale;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x * scale, y * scale);
  if (points.length === 1) context.lineTo(points[0][0] * scale + 0.01, points[0][1] * scale);
  context.stroke();
}

function outline(context, box, scale) {
  const [x, y, width, height] = box.map((length) => length * scale);
  const line = Math.max(overlay.width / (overlay.clientWidth || 1), 1) * 1.5;
  context.lineWidth = line;
  context.setLineDash([]);
  context.strokeStyle = "#fff";
  context.strokeRect(x, y, width, height);
  context.setLineDash([3 * line, 3 * line]);
  context.strokeStyle = TINT_STYLE;
  context.strokeRect(x, y, width, height);
  context.setLineDash([]);
}

function dot(context, [x, y], scale) {
  context.beginPath();
  context.arc(x * scale, y * scale, Math.max(overlay.width / 160, 3), 0, 7);
  context.fillStyle = "#fff";
  context.fill();
  context.lineWidth = Math.max(overlay.width / 400, 1.5);
  context.strokeStyle = TINT_STYLE;
  context.stroke();
}

function ring(context, scale) {
  const [x, y] = state.pointer;
  context.lineWidth = Math.max(overlay.width / (overlay.clientWidth || 1), 1);
  context.strokeStyle = state.tool === "erase" ? "#000" : "#fff";
  context.beginPath();
  context.arc(x * scale, y * scale, brushRadius(clip().video) * scale, 0, 7);
  context.stroke();
}

// Brush radius in video pixels; the slider is in pixels of a picture 640 wide.
export const brushRadius = (video) => (state.radius * Math.max(video.width, video.height)) / 640;

// Return the region of a click; request it from the server once.
function findClick(one, mark) {
  const key = JSON.stringify([one.id, mark.frame, mark.point]);
  if (!clicks.has(key)) {
    clicks.set(key, null);
    const body = { frame: mark.frame, point: mark.point };
    send("POST", `/api/clips/${one.id}/click`, body)
      .then(async (answer) => colour(await createImageBitmap(await answer.blob()), TINT))
      .then((region) => (clicks.set(key, region), changed()))
      .catch(() => clicks.delete(key));
  }
  return clicks.get(key);
}
