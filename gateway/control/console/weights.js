// The split of a model: a slider and a number for each version, and one Apply for all of them.
//
// What somebody typed is never overwritten: when the route changes meanwhile, or Apply meets another
// revision, both are shown and the operator chooses.

import { ask, modelPath } from "/console/api.js";
import { choices } from "/console/conflict.js";
import { h } from "/console/dom.js";

export function weightsPanel(name, mayChange) {
  const fields = h("div");
  const follows = h("p", { hidden: true });
  const result = h("p", { role: "status" });
  const conflict = h("div", { role: "alert" });
  const reason = h("input", { type: "text", id: "weights-reason", maxlength: "500", disabled: !mayChange });
  const apply = h("button", { disabled: !mayChange }, "Apply");
  const form = h("form", { submit: send }, fields,
    h("div", { class: "row" }, h("label", { for: "weights-reason" }, "Reason"), reason, apply));
  const inputs = new Map();
  let latest = null;
  let base = null;
  let isEdited = false;

  function told(model) {
    latest = model;
    const optimize = model.route?.optimize;
    follows.hidden = !optimize;
    if (optimize) {
      follows.textContent = `Labels move these weights by ${optimize.by} every ${optimize.every}: at least ${optimize.floor} each, at most ${optimize.step} at once.`;
    }
    const names = model.versions.map((each) => each.version);
    const isNew = names.join() !== [...inputs.keys()].join();
    if (isNew) rebuild(model);
    if (!isEdited) take();
    else if (model.revision !== base) showConflict();
  }

  function rebuild(model) {
    const typed = isEdited ? split() : {};
    inputs.clear();
    fields.replaceChildren(...model.versions.map((each) => field(each.version, typed[each.version] ?? each.weight)));
  }

  function field(version, weight) {
    const given = { min: "0", step: "1", value: String(weight), disabled: !mayChange };
    const number = h("input", { ...given, type: "number", max: "1000000000", required: true, id: `weight-${version}` });
    const slider = h("input", { ...given, type: "range", max: "100", "aria-label": `weight of version ${version}, slider` });
    number.addEventListener("input", () => { slider.max = Math.max(100, number.value); slider.value = number.value; isEdited = true; });
    slider.addEventListener("input", () => { number.value = slider.value; isEdited = true; });
    inputs.set(version, { number, slider });
    return h("div", { class: "weight" }, h("label", { for: `weight-${version}` }, `weight of version ${version}`), slider, number);
  }

  function take() {
    base = latest.revision;
    isEdited = false;
    for (const { version, weight } of latest.versions) {
      const { number, slider } = inputs.get(version);
      slider.max = Math.max(100, weight);
      number.value = slider.value = String(weight);
    }
    conflict.replaceChildren();
  }

  function showConflict() {
    const theirs = latest.versions.map((each) => `${each.version}=${each.weight}`).join(" ");
    const mine = () => { base = latest.revision; conflict.replaceChildren(); apply.focus(); };
    conflict.replaceChildren(...choices(`Somebody changed the route to revision ${latest.revision}: ${theirs}.`, mine, take));
  }

  function split() {
    return Object.fromEntries([...inputs].map(([version, { number }]) => [version, Number(number.value)]));
  }

  /** Versions that the route does not name stay out of it while their weight is 0. */
  function wanted() {
    const named = latest.route?.split ?? {};
    return Object.fromEntries(Object.entries(split()).filter(([version, weight]) => weight || version in named));
  }

  async function send(event) {
    event.preventDefault();
    result.textContent = "";
    try {
      await ask("PATCH", modelPath(name, "/route/weights"), { match: base ?? 0, body: { weights: wanted(), reason: reason.value } });
      isEdited = false;
      reason.value = "";
      told(await ask("GET", modelPath(name)));
      result.textContent = `Applied, now at revision ${base}.`;
    } catch (error) {
      result.textContent = `Not applied: ${error.message}`;
      if (error.status === 412) {
        isEdited = true;
        told(await ask("GET", modelPath(name)));
      }
    }
  }

  return { element: h("section", { "aria-label": "weights" }, h("h2", {}, "Weights"), follows, form, conflict, result), told };
}
