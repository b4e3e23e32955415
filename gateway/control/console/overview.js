// All models at a glance.

import { h, table } from "/console/dom.js";
import { liveOf } from "/console/rollout.js";
import { Figures, figureCells, FIGURE_TITLES } from "/console/figures.js";

export function overviewPage(world) {
  const list = h("div");
  const rows = new Map();

  function draw() {
    const models = [...world.models.values()].sort((a, b) => a.name.localeCompare(b.name));
    for (const { name } of models) if (!rows.has(name)) rows.set(name, modelRow(name, draw));
    const now = models.map((model) => rows.get(model.name).drawn(model));
    const elements = now.length ? now : [h("p", {}, "No model yet.")];
    if (elements.length !== list.children.length || elements.some((each, i) => each !== list.children[i])) list.replaceChildren(...elements);
  }

  draw();
  return {
    element: h("div", {}, h("h1", {}, "Models"), list),
    told: draw,
    leave: () => rows.forEach((each) => each.leave()),
  };
}

/** One model. Its link is made once, so that no drawing takes it from under a finger or a key. */
function modelRow(name, changed) {
  const figures = new Figures(name, changed);
  const body = h("div");
  const element = h("section", { "aria-label": name },
    h("h2", {}, h("a", { href: `#/models/${encodeURIComponent(name)}` }, name)), body);

  function drawn(model) {
    const rollout = model.rollout && `rollout of version ${liveOf(model.rollout).join(", ")}: ${model.rollout.phase}`;
    body.replaceChildren(
      h("p", {}, model.ready ? "ready" : h("span", { class: "bad" }, "not ready"), `, revision ${model.revision ?? "–"}`, rollout ? `, ${rollout}` : ""),
      table(`figures of ${name}`, ["version", "state", ...FIGURE_TITLES],
        model.versions.map((version) => [version.version, version.state, ...figureCells(figures.of(version.version))])));
    return element;
  }

  return { drawn, leave: () => figures.leave() };
}
