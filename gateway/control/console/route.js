// The whole route of a model as text: checked by the gateway, compared with what is routed, then written.
//
// The text is the document as the API has it. What somebody typed is never overwritten: when the route changes
// meanwhile, or a write meets another revision, both are shown and the operator chooses.

import { ask, modelPath } from "/console/api.js";
import { choices } from "/console/conflict.js";
import { asText, diffBlock, isSame } from "/console/diff.js";
import { confirmed, h } from "/console/dom.js";

export function routePanel(name, mayChange) {
  const text = h("textarea", { id: "route-text", rows: "14", spellcheck: "false", autocomplete: "off", readonly: !mayChange,
    input: () => { isEdited = true; trial.replaceChildren(); } });
  const force = h("input", { type: "checkbox", id: "route-force", disabled: !mayChange });
  const trial = h("div");
  const result = h("p", { role: "status" });
  const conflict = h("div", { role: "alert" });
  const form = h("form", { submit: write }, h("label", { for: "route-text" }, `Route of ${name} as JSON`), text,
    h("p", { class: "row" }, force, h("label", { for: "route-force" }, "also give weight to a version that was rolled back")),
    h("p", { class: "row" }, h("button", { type: "button", disabled: !mayChange, click: check }, "Check route"),
      h("button", { disabled: !mayChange }, "Write route"), h("button", { type: "button", disabled: !mayChange, click: take }, "Discard edits")));
  let latest = null;
  let base = null;
  let based = null;
  let isEdited = false;

  function told(model) {
    latest = model;
    if (model.revision === base && (isEdited || isSame(model.route, based))) return;
    if (isEdited) showConflict();
    else take();
  }

  function take() {
    base = latest.revision;
    based = latest.route;
    isEdited = false;
    text.value = based ? asText(based) : "";
    trial.replaceChildren();
    conflict.replaceChildren();
  }

  function showConflict() {
    const mine = () => { base = latest.revision; based = latest.route; conflict.replaceChildren(); trial.replaceChildren(); text.focus(); };
    conflict.replaceChildren(...choices(`Somebody changed the route to revision ${latest.revision}.`, mine, take),
      diffBlock("what they changed", based, latest.route));
  }

  /** Ask the gateway what it would write and show how that differs; null where it refuses, which is said. */
  async function check() {
    trial.replaceChildren();
    try {
      const checked = await ask("POST", modelPath(name, `/route/check?force=${force.checked}`), { body: parsed() });
      const isNeeded = !isSame(based, checked);
      result.textContent = isNeeded ? `The gateway would take this route in place of revision ${base ?? 0}.` : "This changes nothing.";
      if (isNeeded) trial.replaceChildren(diffBlock("what would change", based, checked));
      return isNeeded ? checked : null;
    } catch (error) {
      result.textContent = `Refused: ${error.message}`;
      return null;
    }
  }

  async function write(event) {
    event.preventDefault();
    const checked = await check();
    if (checked === null) return;
    const match = base ?? 0;
    const reason = await confirmed(`Write the route of ${name}, now at revision ${match}? Reason:`, diffBlock("what is written", based, checked));
    if (reason === null) return;
    try {
      const query = new URLSearchParams({ reason, force: force.checked });
      await ask("PUT", modelPath(name, `/route?${query}`), { match, body: checked });
      isEdited = false;
      told(await ask("GET", modelPath(name)));
      result.textContent = `Written, now at revision ${base}.`;
    } catch (error) {
      result.textContent = `Not written: ${error.message}`;
      if (error.status === 412) {
        isEdited = true;
        told(await ask("GET", modelPath(name)));
      }
    }
  }

  /** Return what is typed; its error says where JSON ends to be JSON. */
  function parsed() {
    try {
      return JSON.parse(text.value);
    } catch (error) {
      throw new Error(`this is no JSON: ${error.message}`);
    }
  }

  return { element: h("section", { "aria-label": "route" }, h("h2", {}, "Route"), form, result, trial, conflict), told };
}
