// Draw the frame, and the comparison of before and after.

import { drawMarks } from "./drawing.js";
import { peek } from "./pictures.js";
import { addresses, fetchAround } from "./player.js";
import { byId, clip, put, state } from "./state.js";
import { isMarked } from "./things.js";
import { isCrisp, layOut, layout, percent } from "./zoom.js";

const picture = byId("picture");
const after = byId("picture-after");

export function drawStage() {
  const one = clip();
  if (!one?.video) return;
  fit(one.video);
  fetchAround();
  const found = {};
  for (const { role, address } of addresses(state.index)) found[role] = peek(address);
  arrange(one);
  const isMade = addresses(state.index).some(({ role }) => role === "after");
  if (state.view === "after" && isMade) pasteResult(picture, found);
  else if (state.view === "slider" && isMade) pasteSplit(found);
  else paste(picture, found.before);
  if (state.view === "side") pasteResult(after, isMade ? found : { after: found.before });
  drawMarks(one, found);
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
  stage.toggle("zoomed", state.zoom > 1);
  stage.toggle("looks", view === "side" || view === "after");
  put(byId("looks"), "hidden", view !== "mark" || !one.marks.things.some(isMarked));
  for (const input of document.getElementsByName("look")) put(input, "checked", input.value === state.look);
  const share = `${percent(one.video)} %`;
  put(byId("zoom-fit"), "textContent", share);
  byId("zoom-fit").setAttribute("aria-label", `Zoom ${share}; fit the window`);
  put(byId("zoom-out"), "disabled", state.zoom <= 1);
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
  layOut(video, room, !narrow); // on a phone the panel below must not move
  for (const frame of [byId("frame"), byId("frame-after")])
    Object.assign(frame.style, { width: `${layout.width}px`, height: `${layout.height}px` });
  for (const canvas of [picture, after]) {
    const { left, top, wide, high } = layout;
    Object.assign(canvas.style, { left: `${left}px`, top: `${top}px`, width: `${wide}px`, height: `${high}px` });
    canvas.style.imageRendering = isCrisp(canvas) ? "pixelated" : "";
  }
}

function paste(canvas, bitmap) {
  if (!bitmap) return; // keep the previous picture until this one is loaded
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height)
    Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}

function pasteResult(canvas, { after: result, origins }) {
  paste(canvas, result);
  if (result) pasteOrigins(canvas, origins, 0);
}

// Draw the map of origins over the result, which begins at `left`; the picture shines through.
function pasteOrigins(canvas, origins, left) {
  if (!origins || !state.origins) return;
  const context = canvas.getContext("2d");
  const scale = origins.width / canvas.width;
  context.globalAlpha = 0.6;
  context.imageSmoothingEnabled = false;
  context.drawImage(
    origins, left * scale, 0, origins.width - left * scale, origins.height,
    left, 0, canvas.width - left, canvas.height);
  context.globalAlpha = 1;
}

// The split is a share of the window; both pictures lie at the same place behind it.
function pasteSplit({ before, after: result, origins }) {
  if (!before || !result) return;
  paste(picture, before);
  const { width, height } = picture;
  const line = (layout.width * state.split) / 100 - layout.left;
  const left = Math.max(0, Math.min(Math.round((line * width) / layout.wide), width));
  if (left >= width) return;
  picture.getContext("2d").drawImage(result, left, 0, width - left, height, left, 0, width - left, height);
  pasteOrigins(picture, origins, left);
}
