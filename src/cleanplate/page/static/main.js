// Entry point of the page: handle buttons and keys, and poll the server.

import { Problem, ask, send, upload } from "./api.js";
import { noteChange, onProblem, pending, redo, take, undo } from "./edits.js";
import { announceEnd } from "./ending.js";
import { listenToGestures } from "./gestures.js";
import { setLook, setOrigins, setRadius, setSplit, setTool, setView } from "./keys.js";
import { addBox, listenToPointer } from "./marking.js";
import { drawPanel, size } from "./panel.js";
import { calm, complain } from "./notice.js";
import { isWhole, partOf, partToTry, setIn, setOut, setWhole, thisFrame } from "./part.js";
import { lastFrame, pause, show, step, toggle } from "./player.js";
import { drawStage } from "./stage.js";
import { byId, changed, clip, isBusy, onChange, state } from "./state.js";
import { options, setOptions, usedOptions } from "./steps.js";
import { clearMarks, current, edit, setRange } from "./things.js";

const stop = { now: () => {} };
let epoch = 0; // number of local actions: discard polls that began before the latest
let polling = 0;

onChange(drawPanel);
onChange(drawStage);
new ResizeObserver(changed).observe(byId("stage"));
onProblem(complain);
listenToPointer();
listenToGestures();

// Run an action that may throw a Problem, then poll the server.
async function attempt(work) {
  epoch += 1;
  calm();
  try {
    await work();
  } catch (problem) {
    complain(problem);
  }
  epoch += 1;
  poll();
}

// --------------------------------------------------------------------------- polling the server

async function poll() {
  clearTimeout(polling);
  const began = epoch;
  try {
    const session = await ask("GET", "/api/session");
    if (began === epoch && pending === 0) accept(session);
    if (byId("notice").dataset.status === "0") calm();
  } catch (problem) {
    complain(problem);
  }
  clearTimeout(polling);
  polling = setTimeout(poll, state.clips.some(isBusy) ? 300 : 3000);
}

function accept(session) {
  const before = clip();
  const news = new Map(session.clips.map((one) => [one.id, one]));
  for (const one of state.clips) {
    const fresh = news.get(one.id);
    if (fresh && JSON.stringify(fresh.marks) !== JSON.stringify(one.marks)) noteChange(one); // another tab
  }
  state.limits = session.limits;
  state.findsText = session.finds_text;
  state.clips = session.clips;
  const { upload: bytes, duration } = session.limits;
  const time = duration < 120 ? `${duration} seconds` : `${Math.floor(duration / 60)} minutes`;
  byId("limits").textContent = `up to ${size(bytes)} and ${time}`;
  const now = clip();
  if (!now) choose((state.clips.find(({ id }) => id === wanted()) ?? state.clips.at(-1))?.id ?? null);
  else if (before) noteChanges(before, now);
  changed();
}

// Report a job that ended since the last poll, and show its result.
function noteChanges(before, now) {
  if (now.video && !before.video) readTimes(now);
  if (isBusy(before) && ["done", "failed"].includes(now.job?.status)) {
    if (now.job.kind !== "prepare") announceEnd(now);
    keepFocus(now);
  }
  const made = now.result && now.result.version !== before.result?.version;
  if (made) {
    state.view = "slider";
    state.index = Math.max(now.result.first, Math.min(state.index, now.result.last));
  }
  if (!made && (!now.result || (isBusy(now) && !isBusy(before)))) state.view = "mark";
}

// A button that was pressed is disabled while its job runs: the focus goes to what replaces it.
function keepFocus(one) {
  if (document.activeElement !== byId("cancel")) return;
  const next = { track: "remove", remove: one.result?.tried ? "whole" : "download" }[one.job.kind];
  requestAnimationFrame(() => requestAnimationFrame(() =>
    byId(one.job.status === "failed" ? "job-close" : next)?.focus({ preventScroll: true })));
}

const wanted = () => location.hash.slice(1); // each clip has its own URL fragment

function choose(id) {
  if (id === state.id) return;
  Object.assign(state, { id, index: 0, times: [], playing: false, draft: null, pointer: null, thing: null, part: null });
  // Reset the tool for each clip, whichever was used last.
  Object.assign(state, { tool: "box", radius: 16, split: 50, zoom: 1, centre: [0.5, 0.5] });
  byId("box-form").reset();
  setOptions(usedOptions.get(id));
  const one = clip();
  state.view = one?.result && !one.result.stale ? "slider" : "mark";
  history.replaceState(null, "", id ? `#${id}` : "/");
  if (one?.video) readTimes(one);
  changed();
}

async function readTimes(one) {
  try {
    const times = await ask("GET", `/api/clips/${one.id}/times`);
    if (state.id === one.id) state.times = times;
    changed();
  } catch (problem) {
    complain(problem);
  }
}

// ------------------------------------------------------------------------------ clips and jobs

const adopt = (fresh) => {
  if (!state.clips.some((one) => one.id === fresh.id)) state.clips.push(fresh);
  take(fresh);
};

function bring(file) {
  if (!file) return;
  attempt(async () => {
    const { limits } = state;
    if (limits && state.clips.length >= limits.clips)
      throw new Problem(`${limits.clips} clips are open, which is the maximum; close one first`, 429);
    if (limits && file.size > limits.upload)
      throw new Problem(
        `the video is larger than ${size(limits.upload)}, the limit here; cut it into parts or make` +
          " it smaller", 413);
    state.sending = { name: file.name, share: 0 };
    showSending();
    try {
      const fresh = await upload(file, (share) => {
        state.sending.share = share;
        showSending();
      }, stop);
      if (fresh) {
        adopt(fresh);
        choose(fresh.id);
      }
    } finally {
      state.sending = null;
      showSending();
    }
  });
}

// Without a clip there is no panel, so the welcome button shows the progress.
function showSending() {
  byId("choose").textContent = state.sending
    ? `Uploading ${Math.round(100 * state.sending.share)} % – stop`
    : "Choose a video";
  changed();
}

const begin = (kind, more = {}) => {
  const one = clip();
  const pressed = document.activeElement?.matches("#track, #remove, #again, #try, #try-frame, #whole");
  pause();
  state.view = "mark";
  return attempt(async () => {
    take(await ask("POST", `/api/clips/${one.id}/job`, { kind, ...more }));
    if (pressed) requestAnimationFrame(() => requestAnimationFrame(() => byId("cancel").focus({ preventScroll: true })));
  });
};

function removeIt(part = partOf(), tried = false) {
  if (!byId("dilate").reportValidity()) return;
  usedOptions.set(clip().id, { ...options(), ...(tried || !isWhole(part) ? part : {}) });
  begin("remove", { ...options(), ...part, tried });
}

byId("again").addEventListener("click", () => removeIt());
document.addEventListener("change-plate", ({ detail: { method, path, file } }) => {
  attempt(async () => take(await ask(method, path, file)));
});

function cancel() {
  if (state.sending) return stop.now();
  const one = clip();
  attempt(async () => {
    if (one.video) take(await ask("DELETE", `/api/clips/${one.id}/job`));
    else await close(one.id);
  });
}

// Closing deletes the clip on the server: ask first if work would be lost.
function askToClose(id) {
  const one = state.clips.find((other) => other.id === id);
  const loses = isBusy(one)
    ? "It is still being processed. Processing stops and cannot be resumed."
    : one.result || one.marks.things.some(({ marks }) => marks.length)
      ? "Its marks and result will be deleted from the server. First download what you want to keep."
      : null;
  if (!loses) return attempt(() => close(id));
  byId("closing-title").textContent = `Close ${one.name}?`;
  byId("closing-text").textContent = loses;
  byId("closing").dataset.clip = id;
  byId("closing").returnValue = "";
  byId("closing").showModal();
}

async function close(id) {
  await send("DELETE", `/api/clips/${id}`);
  state.clips = state.clips.filter((one) => one.id !== id);
  if (state.id === id) choose(state.clips.at(-1)?.id ?? null);
  changed();
}

// ------------------------------------------------------------------------------------- controls

const on = (id, event, act) => byId(id).addEventListener(event, act);

on("choose", "click", () => (state.sending ? stop.now() : byId("file").click()));
on("add", "click", () => byId("file").click());
on("file", "change", (event) => {
  bring(event.target.files[0]);
  event.target.value = "";
});
on("help-open", "click", () => byId("help").showModal());
on("cancel", "click", cancel);
on("play-button", "click", toggle);
on("step-back", "click", () => step(-1));
on("step-next", "click", () => step(1));
on("scrub", "input", (event) => {
  state.playing = false;
  show(event.target.valueAsNumber);
});
on("radius", "input", (event) => setRadius(event.target.valueAsNumber));
on("divider", "input", (event) => setSplit(event.target.valueAsNumber));
on("origins", "change", (event) => setOrigins(event.target.checked));
on("undo", "click", undo);
on("redo", "click", redo);
on("clear", "click", clearMarks);
on("range-from", "click", () => setRange(state.index, current(clip()).last));
on("range-to", "click", () => setRange(current(clip()).first, state.index));
on("range-all", "click", () => setRange(0, null));
on("track", "click", () => begin("track"));
on("remove", "click", () => removeIt());
on("try", "click", () => removeIt(partToTry(), true));
on("try-frame", "click", () => removeIt(thisFrame(), true));
on("whole", "click", () => removeIt({ first: 0, last: lastFrame() }));
on("part-in", "click", setIn);
on("part-out", "click", setOut);
on("part-whole", "click", setWhole);
on("options", "input", changed);
on("box-form", "submit", (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  addBox(["x", "y", "width", "height"].map((name) => Number(form.get(name))));
});
for (const input of document.getElementsByName("tool"))
  input.addEventListener("change", () => setTool(input.value));
for (const input of document.getElementsByName("look"))
  input.addEventListener("change", () => setLook(input.value));
for (const input of document.getElementsByName("view"))
  input.addEventListener("change", () => setView(input.value));
for (const input of document.getElementsByName("kind"))
  input.addEventListener("change", () => edit({ kind: input.value }));
on("shadows", "change", (event) => edit({ shadows: event.target.checked }));
document.addEventListener("open-clip", (event) => choose(event.detail));
document.addEventListener("close-clip", (event) => askToClose(event.detail));
on("closing", "close", () => {
  const { returnValue: answer, dataset } = byId("closing");
  if (answer === "close") attempt(() => close(dataset.clip));
});
window.addEventListener("hashchange", () => state.clips.some(({ id }) => id === wanted()) && choose(wanted()));
document.addEventListener("visibilitychange", () => document.hidden || poll());

// --------------------------------------------------------------------------------- drag and drop

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("is-over");
});
for (const name of ["dragleave", "drop"])
  document.addEventListener(name, () => document.body.classList.remove("is-over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  bring(event.dataTransfer.files[0]);
});

await poll();
