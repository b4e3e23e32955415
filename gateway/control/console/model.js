// One model: its versions, weights, rollout, quality, history, and who gets what.

import { h, line, table } from "/console/dom.js";
import { explainPanel } from "/console/explain.js";
import { FIGURE_TITLES, Figures, figureCells } from "/console/figures.js";
import { historyPanel } from "/console/history.js";
import { qualityPanel } from "/console/quality.js";
import { rolloutPanel } from "/console/rollout.js";
import { weightsPanel } from "/console/weights.js";

export function modelPage(world, name) {
  const mayChange = world.me.role !== "viewer";
  const versions = h("div");
  const chart = h("div");
  const panels = [weightsPanel(name, mayChange), rolloutPanel(name, mayChange), qualityPanel(name), historyPanel(name, mayChange), explainPanel(name)];
  const missing = h("p", { class: "bad" });
  const figures = new Figures(name, drawVersions);

  function drawVersions() {
    const model = world.models.get(name);
    missing.textContent = model ? model.route_error ?? "" : "The gateway has not told of such a model.";
    if (!model) return;
    versions.replaceChildren(table("versions", ["version", "state", "reason", "ready on", ...FIGURE_TITLES],
      model.versions.map((each) => [each.version, each.state, [each.reason, each.note].filter(Boolean).join("; "),
        `${each.workers.ready} of ${each.workers.total}`, ...figureCells(figures.of(each.version))])));
    const now = figures.rates.at(-1);
    if (now !== undefined) {
      const text = `${now.toFixed(1)} requests/s`;
      chart.replaceChildren(h("p", {}, text), line(`requests per second while this page was open, now ${text}`, figures.rates));
    }
  }

  function told() {
    drawVersions();
    const model = world.models.get(name);
    if (model) panels.forEach((panel) => panel.told?.(model));
  }

  told();
  return {
    element: h("div", {}, h("h1", {}, name), missing, h("section", { "aria-label": "versions and figures" }, h("h2", {}, "Versions"), versions, chart),
      panels.map((panel) => panel.element)),
    told: (kind, about) => { if (kind === "model" && about === name) told(); },
    leave: () => { figures.leave(); panels.forEach((panel) => panel.leave?.()); },
  };
}
