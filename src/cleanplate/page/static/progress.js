// Progress of a job over all of its phases, and the time left.

// Shares of the time that the phases of a job take, measured on clips of 432 to 1280 pixels.
const PHASES = {
  prepare: { "Reading the video": 0.1, "Preparing the frames": 0.9 },
  track: { "Tracking": 0.98, "Tracking with your corrections": 0.98, "Searching for text": 0.98, "Writing the masks": 0.02 },
  remove: { "Reading the masks": 0.005, "Removing": 0.98, "Preparing the comparison": 0.015 },
};
const EARLY = 0.02; // share from which a remaining time is known
const SOON = 3; // seconds

let kept = { of: null, share: 0, left: Infinity }; // of the job on the screen: neither goes back

// Return {share, left}: 0 to 1 or null, seconds or null. The share never falls, the time never grows.
export function follow({ id, job }) {
  const of = `${id} ${job.kind} ${job.status}`;
  if (kept.of !== of || job.elapsed < kept.elapsed) kept = { of, share: 0, left: Infinity };
  kept.elapsed = job.elapsed;
  const share = measure(job);
  if (share === null && !kept.share) return { share: null, left: null };
  kept.share = Math.max(kept.share, share ?? 0);
  if (kept.share >= EARLY && job.elapsed >= SOON)
    kept.left = Math.min(kept.left, (job.elapsed * (1 - kept.share)) / kept.share);
  return { share: kept.share, left: Number.isFinite(kept.left) ? kept.left : null };
}

// A stage may name its part: "Tracking, 2 of 3".
function measure({ kind, stage, done, total }) {
  const [, name, part = 1, parts = 1] = /^(.*?)(?:, (\d+) of (\d+))?$/.exec(stage);
  const phases = PHASES[kind] ?? {};
  if (!(name in phases)) return total ? done / total : null;
  const within = phases[name] * (total ? Math.min(done / total, 1) : 0);
  return (part - 1 + startOf(phases, name) + within) / parts;
}

// Phases with the share of the first are other names of it.
function startOf(phases, name) {
  const last = Object.keys(phases).at(-1);
  if (name === last) return 1 - phases[last];
  return phases === PHASES.remove && name === "Removing" ? phases["Reading the masks"] : 0;
}

export const sayLeft = (seconds) =>
  seconds < 5 ? "a few seconds left" : seconds < 60 ? `${Math.ceil(seconds)} s left` : `${Math.ceil(seconds / 60)} min left`;
