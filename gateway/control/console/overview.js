// All models at a glance.

import { h, table } from "/console/dom.js";
import { liveOf } from "/console/rollout.js";
import { Figures, figureCells, FIGURE_TITLES } from "/console/figures.js";

export function overviewPage(world) {
  const list = h("div");
  const figures = new Map();

  function draw() {
    const models = [...world.models.values()].sort((a, b) => a.name.localeCompare(b.name));
    for (const { name } of models) if (!figures.has(name)) figures.set(name, new Figures(name, draw));
    list.replaceChildren(...(models.length ? models.map((model) => row(model, figures.get(model.name))) : [h("p", {}, "No model yet.")]));
  }

  draw();
  return {
    element: h("div", {}, h("h1", {}, "Models"), list),
    told: draw,
    leave: () => figures.forEach((each) => each.leave()),
  };
}

function row(model, figures) {
  const rollout = model.rollout && `rollout of version ${liveOf(model.rollout).join(", ")}: ${model.rollout.phase}`;
  return h("section", { "aria-label": model.name },
    h("h2", {}, h("a", { href: `#/models/${encodeURIComponent(model.name)}` }, model.name)),
    h("p", {}, model.ready ? "ready" : h("span", { class: "bad" }, "not ready"),
      `, revision ${model.revision ?? "–"}`, rollout ? `, ${rollout}` : ""),
    table(`figures of ${model.name}`, ["version", "state", ...FIGURE_TITLES],
      model.versions.map((version) => [version.version, version.state, ...figureCells(figures.of(version.version))])));
}
