// One model: its versions, weights, route, rollout, quality, drift, lineage, history, and who gets what.

import { h } from "/console/dom.js";
import { driftPanel } from "/console/drift.js";
import { explainPanel } from "/console/explain.js";
import { historyPanel } from "/console/history.js";
import { lineagePanel } from "/console/lineage.js";
import { qualityPanel } from "/console/quality.js";
import { rolloutPanel } from "/console/rollout.js";
import { routePanel } from "/console/route.js";
import { versionsPanel } from "/console/versions.js";
import { weightsPanel } from "/console/weights.js";

export function modelPage(world, name) {
  const mayChange = world.me.role !== "viewer";
  const panels = [versionsPanel(name, mayChange), weightsPanel(name, mayChange), rolloutPanel(name, mayChange), historyPanel(name, mayChange),
    explainPanel(name), routePanel(name, mayChange), qualityPanel(name), driftPanel(name), lineagePanel(name)];
  const missing = h("p", { class: "bad" });

  function told() {
    const model = world.models.get(name);
    missing.textContent = model ? model.route_error ?? "" : "The gateway has not told of such a model.";
    if (model) panels.forEach((panel) => panel.told?.(model));
  }

  told();
  return {
    element: h("div", {}, h("h1", {}, name), missing, panels.map((panel) => panel.element)),
    told: (kind, about) => { if (kind === "model" && about === name) told(); },
    leave: () => panels.forEach((panel) => panel.leave?.()),
  };
}
