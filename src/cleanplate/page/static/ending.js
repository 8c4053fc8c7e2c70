// The end of a job: title, notice and sound for those who look elsewhere; what would be lost.

import { pending } from "./edits.js";
import { byId, clip, isBusy, put, state } from "./state.js";

const KEY = "cleanplate-notify";
const downloaded = new Set(); // clip and version of results
let news = ""; // what ended while the page was hidden

const keyOf = (one) => `${one.id} ${one.result?.version}`;
export const noteDownload = (one) => downloaded.add(keyOf(one));
const isKept = (one) => !one.result || one.result.tried || downloaded.has(keyOf(one));

// The title says how far the work is, in tabs that are not looked at, too.
export function drawTitle(share) {
  const one = clip();
  const name = one ? `${one.name} · cleanplate` : "cleanplate";
  const doing = isBusy(one) && share !== null ? `${Math.floor(100 * share)} % · ` : news;
  put(document, "title", doing + name);
}

export function announceEnd(one) {
  const words = one.job.status === "failed" ? "Failed" : one.job.kind === "remove" ? "Removed" : "Found";
  byId("said").textContent = `${words}: ${one.name}`; // screen readers
  if (!document.hidden) return;
  news = `${words} · `;
  if (!byId("notify").checked) return;
  if (window.Notification?.permission === "granted") new Notification(`${words}: ${one.name}`);
  beep();
}

function beep() {
  const sound = new AudioContext();
  const [tone, level] = [sound.createOscillator(), sound.createGain()];
  tone.frequency.value = 660;
  level.gain.setValueAtTime(0.12, sound.currentTime);
  level.gain.exponentialRampToValueAtTime(0.001, sound.currentTime + 0.6);
  tone.connect(level).connect(sound.destination);
  tone.start();
  tone.stop(sound.currentTime + 0.6);
  tone.onended = () => sound.close();
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) news = "";
});
byId("notify").checked = localStorage.getItem(KEY) === "yes";
byId("notify").addEventListener("change", ({ target }) => {
  localStorage.setItem(KEY, target.checked ? "yes" : "no");
  if (target.checked) window.Notification?.requestPermission?.();
});
byId("download").addEventListener("click", () => clip() && noteDownload(clip()));

// Leaving the page ends an upload, and with the browser's session everything that was not downloaded.
window.addEventListener("beforeunload", (event) => {
  if (state.sending || pending || state.clips.some((one) => isBusy(one) || !isKept(one))) event.preventDefault();
});
