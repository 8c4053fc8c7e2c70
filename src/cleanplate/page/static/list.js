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
  item.append(drawSwitch(thing, name), isCurrent ? drawName(thing, name) : drawChoice(thing, name));
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

function drawName(thing, name) {
  const input = document.createElement("input");
  input.type = "text";
  input.maxLength = 60;
  input.value = thing.name;
  input.placeholder = name;
  input.dataset.focus = `name-${thing.id}`;
  input.setAttribute("aria-label", "Name");
  input.addEventListener("change", () => editThing(thing.id, { name: input.value.trim() }));
  input.addEventListener("keydown", ({ key }) => key === "Enter" && input.blur());
  return input;
}

function drawChoice(thing, name) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "name";
  button.textContent = name;
  button.dataset.focus = `name-${thing.id}`;
  button.addEventListener("click", () => choose(thing.id));
  return button;
}

byId("add-thing").addEventListener("click", () => {
  if (clip()) addThing();
  state.pointer = null;
});
