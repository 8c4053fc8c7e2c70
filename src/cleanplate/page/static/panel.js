// Draw the panel: clip tabs, transport controls, and the steps with their texts.

import { lastFrame, timeOf } from "./player.js";
import { drawPlates } from "./plates.js";
import { byId, clip, clock, isBusy, put, rebuild, state } from "./state.js";
import { drawSteps, sentence } from "./steps.js";

export function drawPanel() {
  const one = clip();
  put(byId("welcome"), "hidden", Boolean(one));
  put(byId("editor"), "hidden", !one);
  put(byId("add"), "hidden", !one);
  drawTabs();
  if (!one) return;
  drawJob(one);
  drawTransport(one);
  drawSteps(one);
  drawResult(one);
}

const text = (id, words) => put(byId(id), "textContent", words);

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

function drawTransport(one) {
  const scrub = byId("scrub");
  put(scrub, "max", String(lastFrame()));
  put(scrub, "value", String(state.index));
  scrub.setAttribute("aria-valuetext", `frame ${state.index + 1}, ${clock(timeOf(state.index))}`);
  text("clock", `${clock(timeOf(state.index))} · ${state.index + 1} / ${lastFrame() + 1}`);
  byId("play-icon").setAttribute("href", state.playing ? "#pause" : "#play");
  byId("play-button").setAttribute("aria-label", state.playing ? "Pause" : "Play");
  const { things } = one.marks;
  const marked = things.filter(({ kind }) => kind !== "fixed").flatMap(({ marks }) => marks.map(({ frame }) => frame));
  const spans = Object.values(one.masks).flatMap(({ unsure }) => unsure.map(({ first, last }) => ["unsure", first, last]));
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
