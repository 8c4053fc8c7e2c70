// Draw the list of things to remove, and react to it.

import { byId, clip, put, rebuild, state } from "./state.js";
import { MOST, addThing, choose, current, editThing, isMarked, nameOf, removeThing, styleOf } from "./things.js";

export function drawList(one) {
  const { things } = one.marks;
  const list = byId("things");
  put(list, "hidden", things.length < 2);
  put(byId("add-thing"), "hidden", !things.every(isMarked) || things.length >= MOST);
  const now = current(one).id;
  rebuild(list, [one.id, now, things.map(({ marks, ...rest }) => rest)], () =>
    things.map((thing) => drawThing(thing, thing.id === now)),
  );
}

function drawThing(thing, isCurrent) {
  const item = document.createElement("li");
  item.className = isCurrent ? "current" : "";
  item.style.setProperty("--colour", styleOf(thing));
  const name = nameOf(thing);
  item.append(drawSwitch(thing, name), drawName(thing, name, isCurrent));
  const close = document.createElement("button");
  close.type = "button";
  close.className = "close";
  close.textContent = "×";
  close.setAttribute("aria-label", `Delete ${name}`);
  close.addEventListener("click", () => removeThing(thing.id));
  item.append(close);
  return item;
}

function drawSwitch(thing, name) {
  const box = document.createElement("label");
  box.className = "swatch";
  const input = document.createElement("input");
  input.type = "checkbox";
  input.checked = thing.on;
  input.dataset.focus = `on-${thing.id}`;
  input.setAttribute("aria-label", `Remove ${name}`);
  input.addEventListener("change", () => editThing(thing.id, { on: input.checked }));
  box.append(input, document.createElement("span"));
  return box;
}

// The name of the current thing is changed by a click; until then, keys are shortcuts.
function drawName(thing, name, isCurrent) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "name";
  button.textContent = name;
  button.dataset.focus = `name-${thing.id}`;
  if (isCurrent) Object.assign(button, { title: "Rename", ariaCurrent: "true" });
  button.addEventListener("click", () => (isCurrent ? rename(button, thing, name) : choose(thing.id)));
  return button;
}

function rename(button, thing, name) {
  const input = document.createElement("input");
  Object.assign(input, { type: "text", maxLength: 60, value: thing.name, placeholder: name, ariaLabel: "Name" });
  input.dataset.focus = button.dataset.focus;
  let isDone = false;
  const finish = () => {
    if (isDone) return;
    isDone = true; // replacing a focused input blurs it
    const words = input.value.trim();
    const had = document.activeElement === input;
    input.replaceWith(button);
    if (had) button.focus();
    if (words !== thing.name) editThing(thing.id, { name: words });
  };
  input.addEventListener("blur", finish);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") input.value = thing.name;
    if (["Enter", "Escape"].includes(event.key)) finish();
  });
  button.replaceWith(input);
  input.focus();
}

byId("add-thing").addEventListener("click", () => {
  if (clip()) addThing();
  state.pointer = null;
});
