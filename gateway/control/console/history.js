// Who did what to a model, and the way back.

import { ask, modelPath } from "/console/api.js";
import { confirmed, h, moment, table } from "/console/dom.js";

const SHOWN = 20;

export function historyPanel(name, mayChange) {
  const list = h("div");
  const result = h("p", { role: "status" });
  let revision = null;

  function told(model) {
    if (model.revision === revision) return;
    revision = model.revision;
    look();
  }

  async function look() {
    try {
      const entries = await ask("GET", modelPath(name, `/history?limit=${SHOWN}`));
      list.replaceChildren(table("history", ["revision", "when", "who", "what", "split after", "reason", ""], entries.map(row)));
    } catch (error) {
      result.textContent = error.message;
    }
  }

  function row(entry) {
    const split = Object.entries(entry.after?.split ?? {}).map(([version, weight]) => `${version}=${weight}`).join(" ");
    const canReturn = mayChange && entry.after && entry.revision !== revision;
    const back = h("button", { "aria-label": `restore revision ${entry.revision}`, click: () => restore(entry.revision) }, "Restore");
    return [String(entry.revision), moment(entry.at_ms), entry.who, entry.action, split, entry.reason, canReturn ? back : ""];
  }

  async function restore(wanted) {
    const match = revision ?? 0;
    const reason = await confirmed(`Bring back revision ${wanted} of ${name}, now at ${match}? Reason:`);
    if (reason === null) return;
    try {
      await ask("POST", modelPath(name, "/route/restore"), { match, body: { revision: wanted, reason } });
      result.textContent = `Revision ${wanted} is back.`;
    } catch (error) {
      result.textContent = `Not restored: ${error.message}`;
    }
  }

  return { element: h("section", { "aria-label": "history" }, h("h2", {}, "History"), list, result), told };
}
