// Draw the panel: clip tabs, transport controls, and the steps with their texts.

import { canRedo, canUndo } from "./edits.js";
import { lastFrame, show, timeOf } from "./player.js";
import { drawPlates } from "./plates.js";
import { byId, clip, clock, isBusy, put, state } from "./state.js";

const TEXT_HINT =
  "Subtitles and captions are detected automatically. Draw a box to search only there.";
const HINTS = {
  box: "Draw a tight box around the object on any frame that shows it clearly.",
  click: "Click on the object. The region around the click is selected; correct it with the brush.",
  brush: "Paint over what to remove.",
  erase: "Erase what should stay.",
};

export function drawPanel() {
  const one = clip();
  put(byId("welcome"), "hidden", Boolean(one));
  put(byId("editor"), "hidden", !one);
  put(byId("add"), "hidden", !one);
  drawTabs();
  if (!one) return;
  drawJob(one);
  drawTransport(one);
  put(byId("steps"), "disabled", isBusy(one) || !one.video);
  drawMarkStep(one);
  drawTrackStep(one);
  drawRemoveStep(one);
  drawResult(one);
  drawProgressOfSteps(one);
}

const text = (id, words) => put(byId(id), "textContent", words);

// Rebuild a list only when its content changed, so that keyboard focus is kept.
function rebuild(element, key, make) {
  const wanted = JSON.stringify(key);
  if (element.dataset.key === wanted) return;
  element.dataset.key = wanted;
  element.replaceChildren(...make());
}

function button(words, name, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = name;
  made.textContent = words;
  made.addEventListener("click", act);
  return made;
}

function drawTabs() {
  const tabs = state.clips.map((one) => [one.id, one.name, stateOf(one), one.id === state.id]);
  rebuild(byId("clips"), tabs, () =>
    tabs.map(([id, name, doing, current]) => {
      const tab = document.createElement("div");
      tab.className = current ? "tab current" : "tab";
      const open = button(name, "name", () => document.dispatchEvent(new CustomEvent("open-clip", { detail: id })));
      if (current) open.setAttribute("aria-current", "true");
      if (doing) {
        const note = document.createElement("span");
        note.className = "state";
        note.textContent = ` · ${doing}`;
        open.append(note);
      }
      const close = button("×", "close", () => document.dispatchEvent(new CustomEvent("close-clip", { detail: id })));
      close.setAttribute("aria-label", `Close ${name} and delete it from the server`);
      tab.append(open, close);
      return tab;
    }),
  );
}

function stateOf(one) {
  if (one.job?.status === "waiting") return "waiting";
  if (one.job?.status === "running") return "processing";
  if (one.job?.status === "failed" && !one.video) return "failed";
  return one.result && !one.result.stale ? "done" : "";
}

function drawJob(one) {
  const { job } = one;
  const sending = state.sending;
  put(byId("job"), "hidden", !isBusy(one) && !sending);
  const bar = byId("job-bar");
  if (sending) {
    text("job-stage", `Uploading ${sending.name}`);
    text("job-rest", `${Math.round(100 * sending.share)} %`);
    fill(bar, sending.share);
  } else if (job?.status === "waiting") {
    text("job-stage", "Waiting in the queue");
    text("job-rest", job.ahead === 1 ? "1 job ahead" : `${job.ahead} jobs ahead`);
    fill(bar, null);
  } else if (job) {
    text("job-stage", job.stage || "Starting");
    text("job-rest", rest(one));
    fill(bar, job.total ? job.done / job.total : null);
  }
  const failed = job?.status === "failed" && !one.video;
  put(byId("stage-note"), "hidden", Boolean(one.video));
  text("stage-note", failed ? sentence(job.message) : "Preparing the frames");
}

function fill(bar, share) {
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
}

let estimate = { of: null, due: 0 };

function rest({ id, job }) {
  const { stage, done, total, seconds } = job;
  if (!total) return done ? `${done} frames` : "";
  const percent = `${Math.floor((100 * done) / total)} %`;
  if (done < 2 || seconds < 2) return percent;
  // Frames arrive in bursts: between two bursts, count the remaining time down by the clock.
  const now = performance.now() / 1000;
  const of = `${id} ${stage} ${done}`;
  if (estimate.of !== of) estimate = { of, due: now + (seconds / done) * (total - done) };
  const left = Math.ceil(estimate.due - now);
  if (left <= 0) return percent;
  return `${percent}, ${left < 60 ? `${left} s` : `${Math.ceil(left / 60)} min`} left`;
}

export function sentence(words) {
  const full = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(full) ? full : `${full}.`;
}

function drawTransport(one) {
  const scrub = byId("scrub");
  put(scrub, "max", String(lastFrame()));
  put(scrub, "value", String(state.index));
  scrub.setAttribute("aria-valuetext", `frame ${state.index + 1}, ${clock(timeOf(state.index))}`);
  text("clock", `${clock(timeOf(state.index))} · ${state.index + 1} / ${lastFrame() + 1}`);
  byId("play-icon").setAttribute("href", state.playing ? "#pause" : "#play");
  byId("play-button").setAttribute("aria-label", state.playing ? "Pause" : "Play");
  const marked = one.marks.kind !== "fixed" ? one.marks.marks.map((mark) => mark.frame) : [];
  const spans = (one.mask?.unsure ?? []).map(({ first, last }) => ["unsure", first, last]);
  const ticks = [...spans, ...[...new Set(marked)].map((frame) => ["marked", frame, frame])];
  rebuild(byId("ticks"), [ticks, lastFrame()], () =>
    ticks.map(([name, first, last]) => {
      const tick = document.createElement("span");
      tick.className = name;
      tick.style.left = `${(100 * first) / Math.max(lastFrame(), 1)}%`;
      tick.style.width = `${(100 * (last - first)) / Math.max(lastFrame(), 1)}%`;
      return tick;
    }),
  );
}

function drawMarkStep(one) {
  const painting = ["brush", "erase"].includes(state.tool);
  for (const input of document.getElementsByName("tool")) put(input, "checked", input.value === state.tool);
  for (const input of document.getElementsByName("kind")) put(input, "checked", input.value === one.marks.kind);
  put(byId("kind-text"), "hidden", !state.findsText);
  put(byId("shadows-row"), "hidden", one.marks.kind !== "moving");
  put(byId("shadows"), "checked", one.marks.shadows);
  text("hint", one.marks.kind === "text" && state.tool === "box" ? TEXT_HINT : HINTS[state.tool]);
  put(byId("radius-row"), "hidden", !painting);
  put(byId("radius"), "value", String(state.radius));
  put(byId("undo"), "disabled", !canUndo(one));
  put(byId("redo"), "disabled", !canRedo(one));
  put(byId("clear"), "disabled", one.marks.marks.length === 0);
}

// Number of marks made since the mask was computed; text marks apply to their own frame only.
const since = (one) =>
  one.marks.kind === "text" ? 0 : one.marks.marks.length - (one.mask?.marks ?? 0);
const isMarked = (one) => one.marks.marks.length > 0 || one.marks.kind === "text";
const isFound = (one) => Boolean(one.mask && !one.mask.stale);

function drawTrackStep(one) {
  const { mask, marks } = one;
  const found = isFound(one);
  let words = {
    moving: "Tracks the object forwards and backwards from the frames you marked.",
    fixed: "Uses the marked area unchanged in every frame.",
    text: "Searches the whole clip for overlaid text.",
  }[marks.kind];
  if (!isMarked(one)) words = "First mark what to remove (step 1).";
  else if (mask?.stale) words = "The marks changed. Find it again.";
  else if (found && since(one) > 0) words = "You corrected the mask. Find it again to update the other frames.";
  else if (found && mask.unsure.length) words = "Found. Check these places and correct them with Brush and Erase:";
  else if (found) words = "Found. Play the clip and correct the mask with Brush and Erase where needed.";
  text("track-text", [words, ...(found ? mask.notes.map(sentence) : [])].join(" "));
  text("track", found ? "Find it again" : "Find it");
  put(byId("track"), "disabled", !isMarked(one) || (found && since(one) === 0));
  const places = found ? mask.unsure : [];
  put(byId("unsure"), "hidden", places.length === 0);
  rebuild(byId("unsure"), [places, state.times.length], () =>
    places.slice(0, 12).map(({ first, why }) => {
      const item = document.createElement("li");
      item.append(button(`${clock(timeOf(first))} ${why}`, "", () => show(first)));
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
  JSON.stringify(usedOptions.get(one.id)) !== JSON.stringify(options());

function drawResult(one) {
  const { result } = one;
  put(byId("views"), "hidden", !result);
  put(byId("result"), "hidden", !result || state.view === "mark");
  put(byId("steps"), "hidden", state.view !== "mark");
  if (!result) return;
  drawPlates(one);
  const old = "This result is older than your last changes. Remove again to update it.";
  text("result-text", result.stale ? old : `Done. Play it through and look at the edges. ${result.name}, ${size(result.size)}.`);
  text("result-notes", result.notes.map(sentence).join(" "));
  for (const input of document.getElementsByName("view")) put(input, "checked", input.value === state.view);
  put(byId("divider-row"), "hidden", state.view !== "slider");
  put(byId("divider"), "value", String(state.split));
  for (const [id, path, name] of [
    ["download", "result", result.name],
    ["download-masks", "masks", ""],
  ]) {
    byId(id).setAttribute("href", `/api/clips/${one.id}/${path}`);
    byId(id).setAttribute("download", name);
  }
}

export function size(bytes) {
  const unit = bytes < 1e6 ? "KB" : bytes < 1e9 ? "MB" : "GB";
  const number = bytes / { KB: 1e3, MB: 1e6, GB: 1e9 }[unit];
  return `${number < 10 ? Math.round(number * 10) / 10 : Math.round(number)} ${unit}`;
}

let nextBefore = null;

// Highlight the next step: frame its card and fill its button.
function drawProgressOfSteps(one) {
  const done = {
    mark: isMarked(one),
    track: isFound(one) && since(one) === 0,
    remove: Boolean(one.result && !one.result.stale),
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
