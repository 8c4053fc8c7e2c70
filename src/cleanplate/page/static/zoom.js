// Zoom of the stage: how large the picture is drawn, and which part of it is in view.

import { changed, clip, state } from "./state.js";

const CRISP = 3; // screen pixels for a pixel of the picture, from which its pixels are shown as squares
const LARGEST = 32; // screen pixels for a pixel of the video

// In screen pixels: `width` and `height` of the window, `wide` and `high` of the picture, which begins
// at `left`, `top` of the window.
export let layout = { width: 1, height: 1, wide: 1, high: 1, left: 0, top: 0 };
let fitted = { wide: 1, high: 1 }; // size of the picture at zoom 1

const within = (least, value, most) => Math.max(least, Math.min(value, most));

// Lay out the picture of `video` in `room`; a window that `grows` does so with the zoom until it
// fills the room.
export function layOut(video, room, grows) {
  const wide = Math.floor(Math.max(Math.min(room.width, room.height * video.aspect), 40));
  fitted = { wide, high: Math.floor(wide / video.aspect) };
  state.zoom = within(1, state.zoom, largest(video));
  const size = { wide: fitted.wide * state.zoom, high: fitted.high * state.zoom };
  const grown = (length, most, least) => (grows ? Math.max(Math.min(Math.floor(most), length), least) : least);
  const width = grown(size.wide, room.width, fitted.wide);
  const height = grown(size.high, room.height, fitted.high);
  const [x, y] = state.centre;
  state.centre = [keepInside(x, width / size.wide), keepInside(y, height / size.high)];
  const left = width / 2 - state.centre[0] * size.wide;
  const top = height / 2 - state.centre[1] * size.high;
  layout = { width, height, ...size, left, top };
}

// `shown`: share of the picture's length in view.
const keepInside = (centre, shown) => within(shown / 2, centre, 1 - shown / 2);

const largest = (video) => Math.max(8, (LARGEST * video.width) / fitted.wide);

export const isCrisp = (canvas) => layout.wide / canvas.width >= CRISP;

export const percent = (video) => Math.round((100 * layout.wide) / video.width);

// Zoom, and keep what is `dx`, `dy` screen pixels from the middle of the window where it is.
export function zoomBy(factor, dx = 0, dy = 0) {
  const video = clip()?.video;
  if (!video) return;
  const zoom = within(1, state.zoom * factor, largest(video));
  const closer = (length) => 1 / (length * state.zoom) - 1 / (length * zoom);
  state.centre = [
    state.centre[0] + dx * closer(fitted.wide),
    state.centre[1] + dy * closer(fitted.high),
  ];
  state.zoom = zoom;
  changed();
}

// Move the picture by screen pixels.
export function pan(dx, dy) {
  state.centre = [
    state.centre[0] - dx / (fitted.wide * state.zoom),
    state.centre[1] - dy / (fitted.high * state.zoom),
  ];
  changed();
}

export function fitZoom() {
  Object.assign(state, { zoom: 1, centre: [0.5, 0.5] });
  changed();
}
