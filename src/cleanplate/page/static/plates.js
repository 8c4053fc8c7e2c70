// Clean plates: show those of the last removal, download, replace or restore one.

import { byId, clip, isBusy, put } from "./state.js";

let chosen = null; // path of the plate to replace

const describe = (share) =>
  share < 0.001 ? "nothing made up" : `${Math.max(0.1, Math.round(1000 * share) / 10)} % of the picture made up`;

export function drawPlates(one) {
  const pictures = one.plates?.pictures ?? [];
  put(byId("plates-part"), "hidden", pictures.length === 0);
  put(byId("again"), "disabled", isBusy(one) || byId("remove").disabled);
  const list = byId("plates");
  const key = JSON.stringify([one.id, one.plates, isBusy(one)]);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...pictures.map((picture, number) => drawPlate(one, picture, number)));
}

function drawPlate(one, { frame, made_up: share, replaced }, number) {
  const { version, edits } = one.plates;
  const path = `/api/clips/${one.id}/plates/${version}/${number}`;
  const item = document.createElement("li");
  const image = document.createElement("img");
  image.src = `${path}?${edits}`;
  image.alt = `Clean plate of frame ${frame + 1}`;
  image.loading = "lazy";
  // The place is kept while the picture loads.
  Object.assign(image, { width: one.video.width, height: one.video.height });
  const words = document.createElement("p");
  words.textContent = `Frame ${frame + 1}: ${describe(share)}${replaced ? ", edited" : ""}`;
  const row = document.createElement("p");
  row.className = "row";
  row.append(
    link("Download", `${path}?${edits}`, `plate-${frame + 1}.png`),
    link("Map", `${path}?origin=true`, `plate-${frame + 1}-origin.png`),
    act("Replace", isBusy(one), () => {
      chosen = path;
      byId("plate-file").click();
    }),
  );
  if (replaced)
    row.append(act("Restore", isBusy(one), () => announce({ method: "DELETE", path })));
  item.append(image, words, row);
  return item;
}

function link(words, path, name) {
  const made = document.createElement("a");
  made.className = "button";
  made.textContent = words;
  made.href = path;
  made.download = name;
  return made;
}

function act(words, disabled, work) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = words;
  made.disabled = disabled;
  made.addEventListener("click", work);
  return made;
}

const announce = (detail) => document.dispatchEvent(new CustomEvent("change-plate", { detail }));

byId("plate-file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (file && chosen && clip()) announce({ method: "PUT", path: chosen, file });
});
