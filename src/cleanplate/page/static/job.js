// Draw the job of a clip: how far it is, or why it failed.

import { drawTitle } from "./ending.js";
import { follow, sayLeft } from "./progress.js";
import { byId, changed, clip, isBusy, put, state } from "./state.js";
import { sentence } from "./steps.js";

const text = (id, words) => put(byId(id), "textContent", words);
const dismissed = new WeakSet(); // messages that were read, by job
let seen = { key: null, job: null };

export function drawJob(one) {
  const { job } = one;
  const { sending } = state;
  const failed = job?.status === "failed" && Boolean(one.video) && !isDismissed(one) && !sending;
  put(byId("job"), "hidden", !isBusy(one) && !sending && !failed);
  byId("job").classList.toggle("failed", failed);
  for (const id of ["job-bar", "job-more"]) put(byId(id), "hidden", failed);
  put(byId("job-error"), "hidden", !failed);
  let share = null;
  if (failed) {
    text("job-stage", { track: "It was not found", remove: "It was not removed" }[job.kind] ?? "This failed");
    text("job-error-text", sentence(job.message));
  } else if (sending) {
    share = sending.share;
    text("job-stage", `Uploading ${sending.name}`);
    text("job-rest", `${Math.round(100 * share)} %`);
  } else if (job?.status === "waiting") {
    text("job-stage", "Waiting in the queue");
    text("job-rest", job.ahead === 1 ? "1 job ahead" : `${job.ahead} jobs ahead`);
  } else if (isBusy(one)) {
    let left;
    ({ share, left } = follow(one));
    text("job-stage", job.stage || "Starting");
    text("job-rest", share === null ? "" : [`${Math.floor(100 * share)} %`, ...(left === null ? [] : [sayLeft(left)])].join(", "));
  }
  fill(byId("job-bar"), share);
  drawTitle(share);
  const broken = job?.status === "failed" && !one.video;
  put(byId("stage-note"), "hidden", Boolean(one.video));
  text("stage-note", broken ? sentence(job.message) : "Preparing the frames");
}

function fill(bar, share) {
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
}

// Each poll brings the job again: the same failure is the same object here.
function isDismissed({ id, revision, job }) {
  const key = `${id} ${job.kind} ${job.message}`;
  if (seen.key !== key) seen = { key, job, revision };
  return dismissed.has(seen.job);
}

byId("job-close").addEventListener("click", () => {
  if (clip()) dismissed.add(seen.job);
  changed();
});
