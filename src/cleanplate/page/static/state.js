// What the page shows. Whoever changes it calls `changed`; whoever draws it listens.

export const state = {
  clips: [],
  limits: null,
  findsText: false,
  id: null, // of the clip that is shown
  index: 0, // of the frame that is shown
  times: [], // seconds at which frames are shown
  playing: false,
  tool: "box",
  radius: 16, // of the brush, in pixels of the preview
  view: "mark", // mark, slider, beside or after
  split: 50, // percent of the width that shows before
  draft: null, // the mark under the pointer
  pointer: null, // where the brush hovers
  sending: null, // {name, share} of an upload
};

export const clip = () => state.clips.find((one) => one.id === state.id) ?? null;
export const isBusy = (one) => ["waiting", "running"].includes(one?.job?.status);
export const views = ["mark", "slider", "beside", "after"];

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

export function clock(seconds) {
  const whole = Math.floor(seconds);
  const hundredths = Math.floor((seconds - whole) * 100 + 1e-6);
  const two = (number) => String(number).padStart(2, "0");
  return `${Math.floor(whole / 60)}:${two(whole % 60)}.${two(hundredths)}`;
}
