// Starting a rollout: who goes, by which plan, watched by what; shown before it is done.
//
// What a plan may say is for the gateway to judge: a preview is its own dry run.

import { ask, modelPath } from "/console/api.js";
import { diffBlock, isSame } from "/console/diff.js";
import { confirmed, h, table } from "/console/dom.js";

export const POLICIES = {
  canary: ["size", "wait", "holdback", "bake"], linear: ["size", "wait", "holdback", "bake"],
  blue_green: ["holdback", "bake"], all_at_once: ["bake"],
};
export const GUARDS = { errors: true, invalid: true, latency: true, labels: false, outputs: true };
const ENFORCE = { rollback: "takes it back", hold: "holds it", off: "only shows", none: "does not watch" };
const TOLERATING = ["errors", "invalid", "latency"];
const HINTS = { size: "percent, such as 10", wait: "such as 10m", holdback: "percent, such as 5", bake: "such as 30m" };
const ROUTES = "the route's plan";
const OWN = "own steps";

/** *revision* returns what the page shows; *started* is told what came of a start. */
export function planForm(name, mayChange, revision, started) {
  const disabled = !mayChange;
  const preview = h("div", { role: "status" });
  const candidate = h("input", { pattern: "[0-9]+( *, *[0-9]+)*", inputmode: "numeric", id: "candidate", required: true,
    title: "a version, or several with commas", disabled });
  const kind = h("select", { id: "plan", disabled, change: offer },
    [ROUTES, ...Object.keys(POLICIES), OWN].map((each) => h("option", { value: each }, each.replaceAll("_", " "))));
  const parameters = Object.fromEntries(Object.keys(HINTS).map((each) =>
    [each, h("input", { type: "text", id: `plan-${each}`, placeholder: HINTS[each], disabled })]));
  const rows = Object.fromEntries(Object.entries(parameters).map(([each, input]) =>
    [each, h("p", { class: "row" }, h("label", { for: input.id }, each), input)]));
  const steps = h("input", { type: "text", id: "plan-steps", placeholder: "5:10m 50:10m", disabled });
  const ownRow = h("p", { class: "row" }, h("label", { for: "plan-steps" }, "Steps, percent:duration"), steps);
  const guards = guardFields(disabled);
  const form = h("form", { submit: start, input: () => preview.replaceChildren() }, h("h3", {}, "Start a rollout"),
    h("p", { class: "row" }, h("label", { for: "candidate" }, "Candidate version"), candidate, h("label", { for: "plan" }, "by"), kind),
    Object.values(rows), ownRow, guards.element,
    h("p", { class: "row" }, h("button", { type: "button", disabled, click: look }, "Preview"), h("button", { disabled }, "Start")), preview);

  function offer() {
    for (const [each, row] of Object.entries(rows)) row.hidden = !(POLICIES[kind.value] ?? []).includes(each);
    ownRow.hidden = kind.value !== OWN;
    guards.element.hidden = kind.value === ROUTES;
  }

  /** Return the body of a start; what is left empty is left to the gateway's defaults. */
  function asked() {
    const versions = candidate.value.split(",").map((each) => each.trim());
    const who = versions.length > 1 ? { candidates: versions } : { candidate: versions[0] };
    if (kind.value === OWN) return { ...who, steps: stepsOf(steps.value), ...guards.chosen() };
    if (!(kind.value in POLICIES)) return who;
    const given = POLICIES[kind.value].map((each) => [each, parameters[each].value.trim()]).filter(([, text]) => text);
    return { ...who, policy: { name: kind.value, ...Object.fromEntries(given) }, ...guards.chosen() };
  }

  /** Ask for a dry run and show it; null where the gateway refuses, which is said. */
  async function look() {
    if (!form.reportValidity()) return null;
    try {
      const match = revision() ?? 0;
      const [found, route] = await Promise.all([
        ask("POST", modelPath(name, "/rollouts"), { match, body: { ...asked(), dry_run: true } }),
        ask("GET", modelPath(name, "/route")),
      ]);
      preview.replaceChildren(...described(found, route));
      return match;
    } catch (error) {
      preview.replaceChildren(h("p", { class: "bad" }, `Refused: ${error.message}`));
      return null;
    }
  }

  async function start(event) {
    event.preventDefault();
    const body = asked();
    const match = await look();
    if (match === null) return;
    const reason = await confirmed(`start the rollout of ${name}, at revision ${match}? Reason:`);
    if (reason === null) return;
    try {
      const { phase } = await ask("POST", modelPath(name, "/rollouts"), { match, body: { ...body, reason } });
      preview.replaceChildren();
      started(`start: the rollout is ${phase}.`);
    } catch (error) {
      started(`Not done: ${error.message}`);
    }
  }

  offer();
  return form;
}

function guardFields(disabled) {
  const fields = Object.entries(GUARDS).map(([guard, isUsual]) => {
    const enforce = h("select", { id: `guard-${guard}`, disabled }, Object.entries(ENFORCE).map(([value, text]) => h("option", { value }, text)));
    enforce.value = isUsual ? "rollback" : "none";
    const tolerate = TOLERATING.includes(guard)
      ? h("input", { type: "text", "aria-label": `${guard} tolerates`, placeholder: "tolerates, such as 1%", disabled }) : null;
    return { guard, usual: enforce.value, enforce, tolerate };
  });
  return {
    element: h("details", {}, h("summary", {}, "Guards"), fields.map(({ guard, enforce, tolerate }) =>
      h("p", { class: "row" }, h("label", { for: enforce.id }, guard), enforce, tolerate))),
    chosen() {
      const isUsual = fields.every(({ enforce, usual, tolerate }) => enforce.value === usual && !tolerate?.value.trim());
      if (isUsual) return {};
      const watched = fields.filter(({ enforce }) => enforce.value !== "none").map(({ guard, enforce, tolerate }) =>
        [guard, { enforce: enforce.value, ...(tolerate?.value.trim() ? { tolerate: tolerate.value.trim() } : {}) }]);
      return { guards: Object.fromEntries(watched) };
    },
  };
}

/** Return steps as a plan writes them; what is no pair goes to the gateway as it is, which says what is wrong. */
function stepsOf(text) {
  return text.split(/\s+/).filter(Boolean).map((word) => {
    const at = word.lastIndexOf(":");
    return at < 0 ? { weight: word } : { weight: word.slice(0, at), for: word.slice(at + 1) };
  });
}

function described({ plan, candidates, baseline, revision, warnings }, route) {
  const who = candidates.map((each) => each.version).join(", ");
  return [
    h("p", {}, `Version ${who} would go, compared with version ${baseline}. Nothing was started; the route stays at revision ${revision}.`),
    ...warnings.map((text) => h("p", { class: "bad" }, `Warning: ${text}`)),
    table("preview of the rollout", ["phase", "percent", "for", "then"], stages(plan)),
    ...(isSame(route.rollout, plan) ? [] : [h("p", {}, route.rollout ? "How this plan differs from the route's own:" : "The route has no plan of its own; this one would be walked:"), diffBlock("difference from the route's plan", route.rollout, plan)]),
  ];
}

function stages(plan) {
  const share = (weight) => (typeof weight === "object" ? Object.entries(weight).map((pair) => pair.join("=")).join(" ") : String(weight));
  return [
    ["preflight", "0", "", "loaded and warm on every worker"],
    ...(plan.shadow ? [["shadow", "0", plan.shadow.for, `copies of ${plan.shadow.share} of the requests`]] : []),
    ...plan.steps.map((step, i) => [`step ${i + 1}`, share(step.weight), step.for, step.approve ? "waits for approval" : ""]),
    ["bake", share(plan.holdback.weight), plan.holdback.for, "all traffic, and it is the baseline"],
    ...(plan.alarms ?? []).map((alarm) => [`alarm ${alarm.name}`, "", alarm.for, alarm.then === "rollback" ? "takes it back" : "holds it"]),
  ];
}
