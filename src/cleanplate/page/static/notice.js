// The notice at the top: what could not be done, in words.

import { Problem } from "./api.js";
import { byId } from "./state.js";
import { sentence } from "./steps.js";

export function complain(problem) {
  if (!(problem instanceof Problem)) throw problem;
  byId("notice-text").textContent = sentence(problem.message);
  byId("notice").dataset.status = problem.status;
  byId("notice").hidden = false;
}

export function calm() {
  byId("notice").hidden = true;
}

byId("notice-close").addEventListener("click", calm);
