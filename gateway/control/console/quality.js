// What labels said of each version, and of the answers that each rule chose it for.

import { ask, modelPath } from "/console/api.js";
import { h, table } from "/console/dom.js";
import { percent } from "/console/figures.js";

const EVERY_MS = 5000;
const WINDOWS = { all: "all time", "24h": "the last 24 hours", "1h": "the last hour", "5m": "the last five minutes" };
const TITLES = ["version", "rule", "labels", "accuracy", "coverage", "mean delay"];

export function qualityPanel(name) {
  const list = h("div");
  const result = h("p", { role: "status" });
  const choice = h("select", { id: "quality-window", change: draw }, Object.entries(WINDOWS).map(([value, text]) => h("option", { value }, text)));
  let answer = null;
  let timer = null;
  let isOver = false;

  async function look() {
    try {
      answer = await ask("GET", modelPath(name, "/quality"));
      result.textContent = "";
    } catch (error) {
      result.textContent = error.message;
    }
    if (isOver) return;
    draw();
    timer = setTimeout(look, EVERY_MS);
  }

  function draw() {
    const told = (answer?.versions ?? []).map((each) => [each.version, each.windows[choice.value]]).filter(([, quality]) => quality);
    const rows = told.flatMap(([version, quality]) => [row(version, "all", quality),
      ...Object.entries(quality.segments).map(([rule, segment]) => row(version, rule, segment))]);
    list.replaceChildren(...(rows.length ? [table("quality of versions", TITLES, rows), h("p", {}, `Grey figures are of fewer than ${answer.enough_labels} labels.`)]
      : [h("p", {}, "No label of that time. Callers send what was right as feedback under an answer's id.")]));
  }

  function row(version, rule, quality) {
    const [labels, told] = said(quality);
    const isFew = labels < answer.enough_labels;
    const cells = [String(labels), isFew ? `${told} (too few labels)` : told, share(quality.coverage), delay(quality.mean_delay_seconds)];
    return [version, rule, ...cells.map((cell) => h("span", { class: isFew ? "few" : null }, cell))];
  }

  look();
  return {
    element: h("section", { "aria-label": "quality" }, h("h2", {}, "Quality"),
      h("p", { class: "row" }, h("label", { for: "quality-window" }, "Labels of"), choice), list, result),
    leave: () => { isOver = true; clearTimeout(timer); },
  };
}

/** Return how many labels there are, and what they say: of classes the accuracy, of numbers the error, or the reward. */
function said({ labels, accuracy, mean_absolute_error: error, rewards, mean_reward: reward }) {
  if (typeof accuracy === "number") return [labels, share(accuracy)];
  if (typeof error === "number") return [labels, `mean error ${error.toPrecision(3)}`];
  if (typeof reward === "number") return [rewards, `mean reward ${reward.toPrecision(3)}`];
  return [labels, "–"];
}

const share = (value) => (typeof value === "number" ? percent(value) : "–");

/** Return a time in the largest unit of which there are two. */
function delay(seconds) {
  if (typeof seconds !== "number") return "–";
  const [unit, size] = [["days", 86400], ["h", 3600], ["min", 60]].find(([, each]) => seconds >= 2 * each) ?? ["s", 1];
  return `${(seconds / size).toPrecision(3)} ${unit}`;
}
