// The versions of a model: their states, what they serve, and the orders to load and to unload one.

import { ask, modelPath } from "/console/api.js";
import { confirmed, h, line, table } from "/console/dom.js";
import { FIGURE_TITLES, Figures, figureCells } from "/console/figures.js";

const LOADED = ["READY", "LOADING"];

export function versionsPanel(name, mayChange) {
  const list = h("div");
  const chart = h("div");
  const result = h("p", { role: "status" });
  const buttons = new Map();
  const figures = new Figures(name, draw);
  let model = null;

  function draw() {
    if (!model) return;
    const held = document.activeElement;
    list.replaceChildren(table("versions", ["version", "state", "reason", "ready on", ...FIGURE_TITLES, ""],
      model.versions.map((each) => [each.version, each.state, [each.reason, each.note].filter(Boolean).join("; "),
        `${each.workers.ready} of ${each.workers.total}`, ...figureCells(figures.of(each.version)), button(each)])));
    if (list.contains(held)) held.focus();
    const now = figures.rates.at(-1);
    if (now !== undefined) {
      const text = `${now.toFixed(1)} requests/s`;
      chart.replaceChildren(h("p", {}, text), line(`requests per second while this page was open, now ${text}`, figures.rates));
    }
  }

  /** Return the one button of a version, the same at each drawing so that it keeps its focus. */
  function button({ version, state }) {
    const verb = LOADED.includes(state) ? "unload" : "load";
    const known = buttons.get(version) ?? h("button", { type: "button", disabled: !mayChange, click: () => order(version) });
    buttons.set(version, known);
    known.value = verb;
    known.textContent = verb === "load" ? "Load" : "Unload";
    known.setAttribute("aria-label", `${verb} version ${version}`);
    return known;
  }

  async function order(version) {
    const verb = buttons.get(version).value;
    const reason = await confirmed(`${verb} version ${version} of ${name} on every replica? Reason:`);
    if (reason === null) return;
    try {
      await ask("POST", modelPath(name, `/versions/${version}/${verb}`), { body: { reason } });
      result.textContent = `Version ${version}: the order to ${verb} it is given.`;
    } catch (error) {
      result.textContent = `Not done: ${error.message}`;
    }
  }

  return {
    element: h("section", { "aria-label": "versions and figures" }, h("h2", {}, "Versions"), list, result, chart),
    told: (now) => { model = now; draw(); },
    leave: () => figures.leave(),
  };
}
