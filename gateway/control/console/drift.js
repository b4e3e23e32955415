// What has drifted from the data that a version was made for. Not there where the gateway watches no drift.

import { ask, modelPath } from "/console/api.js";
import { h, table } from "/console/dom.js";

const EVERY_MS = 10000;
const NOT_THERE = 404;

export function driftPanel(name) {
  const body = h("div");
  const element = h("section", { "aria-label": "drift", hidden: true }, h("h2", {}, "Drift"), body);
  let timer = null;
  let isOver = false;

  async function look() {
    try {
      const { versions } = await ask("GET", modelPath(name, "/drift"));
      element.hidden = versions.length === 0;
      body.replaceChildren(...versions.map(described));
    } catch (error) {
      element.hidden = error.status === NOT_THERE;
      if (element.hidden) return;
      body.replaceChildren(h("p", { class: "bad" }, error.message));
    }
    if (!isOver) timer = setTimeout(look, EVERY_MS);
  }

  look();
  return { element, leave: () => { isOver = true; clearTimeout(timer); } };
}

function described({ version, rows, reference, drifted, reasons, columns, anomalies }) {
  const verdict = reference ? (drifted ? "drifted" : "as its reference") : "no reference to compare with";
  return h("div", {}, h("p", {}, `Version ${version}, ${rows} rows: `, h("strong", { class: drifted ? "bad" : null }, verdict)),
    h("ul", {}, [...reasons, ...anomalies.map((each) => each.reason)].map((reason) => h("li", {}, reason))),
    columns.length ? table(`drift of version ${version}`, ["column", "state", "stability index", "rows"],
      columns.map((each) => [each.column, each.state, each.psi.toPrecision(3), String(each.rows)])) : "");
}
