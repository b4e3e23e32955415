// The rollout of a model: where it stands, why, and what an operator may do about it.

import { ask, modelPath } from "/console/api.js";
import { confirmed, h, moment, table } from "/console/dom.js";
import { planForm } from "/console/plan.js";

const MOVES = ["pause", "resume", "promote", "abort", "retry"];
const ENDED = ["succeeded", "rolled_back", "aborted", "superseded"];
const EVERY_MS = 1500;

export function rolloutPanel(name, mayChange) {
  const status = h("div", { role: "status" });
  const result = h("p", { role: "status" });
  const chosen = h("select", { id: "chosen", disabled: !mayChange });
  const choice = h("label", { hidden: true }, "Promote version ", chosen);
  const start = planForm(name, mayChange, () => revision, (text) => { result.textContent = text; });
  const moves = h("p", { class: "row" }, MOVES.map((verb) => h("button", { disabled: !mayChange, click: () => move(verb) }, verb)), choice);
  let revision = null;
  let seen = "";
  let timer = null;
  let isOver = false;

  function told(model) {
    revision = model.revision;
    const now = `${model.revision} ${JSON.stringify(model.rollout)}`;
    if (now === seen) return;
    seen = now;
    moves.hidden = !model.rollout;
    if (model.rollout) look();
    else status.replaceChildren(h("p", {}, "No rollout yet."));
  }

  async function look() {
    clearTimeout(timer);
    try {
      const rollout = await ask("GET", modelPath(name, "/rollouts/current"));
      revision = rollout.revision;  // a move is made of what is shown, and the stream may tell of it later
      status.replaceChildren(...described(rollout));
      offer(rollout);
      if (rollout.is_over) return;
    } catch (error) {
      result.textContent = error.message;
    }
    if (isOver) return;
    timer = setTimeout(look, EVERY_MS);
  }

  // Of several candidates one is promoted, so the choice is offered; it is not redrawn under somebody's fingers.
  function offer(rollout) {
    const versions = rollout.is_over ? [] : liveOf(rollout);
    choice.hidden = versions.length < 2;
    if (String([...chosen.options].map((each) => each.value)) !== String(versions)) {
      chosen.replaceChildren(...versions.map((version) => h("option", { value: version }, version)));
    }
  }

  const move = (verb) => act(verb, `/rollouts/current/${verb}`,
    verb === "promote" && !choice.hidden ? { version: chosen.value } : {});

  async function act(verb, path, body) {
    const atRevision = revision;
    const reason = await confirmed(`${verb} the rollout of ${name}, at revision ${atRevision}? Reason:`);
    if (reason === null) return;
    try {
      const { phase } = await ask("POST", modelPath(name, path), { match: atRevision ?? 0, body: { ...body, reason } });
      result.textContent = `${verb}: the rollout is ${phase}.`;
    } catch (error) {
      result.textContent = `Not done: ${error.message}`;
    }
  }

  return {
    element: h("section", { "aria-label": "rollout" }, h("h2", {}, "Rollout"), status, moves, result, start),
    told,
    leave: () => { isOver = true; clearTimeout(timer); },
  };
}

// The candidates that are in a rollout, or were when it ended.
export function liveOf(rollout) {
  const live = rollout.candidates.filter((each) => each.state === "live");
  return (live.length ? live : rollout.candidates).map((each) => each.version);
}

function described(rollout) {
  const where = rollout.step ? `step ${rollout.step} of ${rollout.steps}` : rollout.phase;
  const { verdict } = rollout;
  const verdicts = Object.entries(rollout.verdicts);
  const gone = rollout.candidates.filter((each) => each.state !== "live");
  return [
    h("p", {}, `Version ${liveOf(rollout).join(", ")} against ${rollout.baseline}: `,
      h("strong", { class: rollout.phase === "rolled_back" ? "bad" : null }, ENDED.includes(rollout.phase) ? rollout.phase : `${rollout.phase}, ${where}`)),
    h("p", {}, `Because: ${rollout.reason}`),
    h("p", {}, "Started ", moment(rollout.started_at_ms)),
    ...(rollout.waits_for ? [h("p", {}, `Waits for: ${rollout.waits_for}`)] : []),
    ...(rollout.kept ? [h("p", {}, `Version ${rollout.kept.version} stays loaded for ${(rollout.kept.seconds_left / 3600).toFixed(1)} h`)] : []),
    h("p", {}, `Verdict: ${verdict.kind}`),
    h("ul", {}, verdict.reasons.map((reason) => h("li", {}, `${reason.guard}: ${reason.text}`))),
    ...(rollout.candidates.length > 1
      ? gone.map((each) => h("p", { class: "bad" }, `Version ${each.version} ${each.state.replace("_", " ")}: ${each.reason}`)) : []),
    table("evidence", ["version", "guard", "e-value", "rolls back at"],
      verdicts.flatMap(([version, said]) => Object.keys(said.e_values).map((guard) =>
        [version, guard, short(said.e_values[guard]), short(said.thresholds[guard])]))),
    ...rollout.alarms.map((alarm) => h("p", {}, `Alarm ${alarm.name}, ${alarm.state}: ${alarm.text}`)),
    table("counts", ["version", "requests", "failed"],
      Object.entries(rollout.counts).map(([version, counts]) => [version, String(counts.n), String(counts.failed)])),
  ];
}

const short = (value) => (value === undefined || value === null ? "–" : String(Number(value.toPrecision(4))));
