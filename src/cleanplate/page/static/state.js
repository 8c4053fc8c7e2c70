// State of the page. Call `changed` after a change; `onChange` registers a redraw.

export const state = {
  clips: [],
  limits: null,
  findsText: false,
  id: null, // current clip
  index: 0, // current frame
  times: [], // timestamps of the frames, seconds
  playing: false,
  thing: null, // id of the thing that is marked; null is the first
  tool: "box",
  radius: 16, // brush radius, preview pixels
  look: "tint", // how the mask is shown: tint, outline or only
  view: "mark", // mark, slider, side or after
  part: null, // {first, last} to write; null is the whole clip
  origins: false, // whether the result shows where its pixels are from
  split: 50, // split position, percent of the window
  zoom: 1, // 1 fits the picture into the window
  centre: [0.5, 0.5], // of the window, shares of the picture
  draft: null, // mark being drawn
  pointer: null, // pointer position
  sending: null, // upload in progress: {name, share}
};

export const clip = () => state.clips.find((one) => one.id === state.id) ?? null;
export const isBusy = (one) => ["waiting", "running"].includes(one?.job?.status);
export const looks = ["tint", "outline", "only"];
export const views = ["mark", "slider", "side", "after"];

const listeners = [];
let due = false;

export const onChange = (listener) => listeners.push(listener);

export function changed() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    for (const listener of listeners) listener();
  });
}

export const byId = (id) => document.getElementById(id);

export function put(element, key, value) {
  if (element[key] !== value) element[key] = value;
}

// Rebuild a list only when its content changed, and keep the focus in it.
export function rebuild(element, key, make) {
  const wanted = JSON.stringify(key);
  if (element.dataset.key === wanted) return;
  element.dataset.key = wanted;
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  element.replaceChildren(...make());
  if (focused) [...element.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === focused)?.focus();
}

export function clock(seconds) {
  const whole = Math.floor(seconds);
  const hundredths = Math.floor((seconds - whole) * 100 + 1e-6);
  const two = (number) => String(number).padStart(2, "0");
  return `${Math.floor(whole / 60)}:${two(whole % 60)}.${two(hundredths)}`;
}
