// Draw the panel: clip tabs, transport controls, and the steps with their texts.

import { drawFilmstrip } from "./filmstrip.js";
import { drawJob } from "./job.js";
import { lastFrame, timeOf } from "./player.js";
import { isWhole, sayPart } from "./part.js";
import { drawPlates } from "./plates.js";
import { byId, clip, clock, isBusy, put, rebuild, state } from "./state.js";
import { drawSteps, sentence } from "./steps.js";
import { drawTimeline } from "./timeline.js";

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

function drawTransport(one) {
  const scrub = byId("scrub");
  put(scrub, "max", String(lastFrame()));
  put(scrub, "value", String(state.index));
  scrub.setAttribute("aria-valuetext", `frame ${state.index + 1}, ${clock(timeOf(state.index))}`);
  text("clock", `${clock(timeOf(state.index))} · ${state.index + 1} / ${lastFrame() + 1}`);
  byId("play-icon").setAttribute("href", state.playing ? "#pause" : "#play");
  byId("play-button").setAttribute("aria-label", state.playing ? "Pause" : "Play");
  drawTimeline(one);
  drawFilmstrip(one);
}

function drawResult(one) {
  const { result } = one;
  put(byId("views"), "hidden", !result);
  put(byId("result"), "hidden", !result || state.view === "mark");
  put(byId("steps"), "hidden", state.view !== "mark");
  if (!result) return;
  drawPlates(one);
  drawOrigins(result);
  const old = "This result is older than your last changes. Remove again to update it.";
  const isPart = result.tried || !isWhole(result);
  const tried = `${result.tried ? "Tried on" : "Removed from"} ${sayPart(result)}. `;
  put(byId("whole"), "hidden", !isPart || result.stale);
  byId("download").classList.toggle("primary", !isPart);
  for (const id of ["download", "download-masks"]) put(byId(id), "hidden", result.tried);
  put(byId("download"), "textContent", isPart ? "Download this part" : "Download the video");
  text("result-text", result.stale ? old : `${isPart ? tried : "Done. "}Play it through and look at the edges.${result.tried ? "" : ` ${result.name}, ${size(result.size)}.`}`);
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

const ORIGINS = {
  near: "from near frames", far: "from far frames of the shot", made_up: "made up", painted: "painted by you",
};

// The legend of the map of origins, with the share of each.
function drawOrigins({ origins }) {
  put(byId("origins"), "checked", state.origins);
  put(byId("shares"), "hidden", !state.origins);
  rebuild(byId("shares"), origins, () =>
    Object.entries(ORIGINS).filter(([name]) => name !== "painted" || origins[name]).map(([name, words]) => {
      const item = document.createElement("li");
      item.className = name;
      item.textContent = `${percentOf(origins[name] ?? 0)} ${words}`;
      return item;
    }),
  );
}

const percentOf = (share) => `${share > 0 && share < 0.01 ? "< 1" : Math.round(100 * share)} %`;

export function size(bytes) {
  const unit = bytes < 1e6 ? "KB" : bytes < 1e9 ? "MB" : "GB";
  const number = bytes / { KB: 1e3, MB: 1e6, GB: 1e9 }[unit];
  return `${number < 10 ? Math.round(number * 10) / 10 : Math.round(number)} ${unit}`;
}
