// Which version a user gets, and why.

import { ask, modelPath } from "/console/api.js";
import { h } from "/console/dom.js";

export function explainPanel(name) {
  const key = h("input", { type: "text", id: "key", required: true });
  const answer = h("p", { role: "status" });
  const form = h("form", { class: "row", submit: explain }, h("label", { for: "key" }, "User"), key, h("button", {}, "Explain"));

  async function explain(event) {
    event.preventDefault();
    try {
      const found = await ask("GET", modelPath(name, `/explain?key=${encodeURIComponent(key.value)}`));
      const why = Object.entries(found).filter(([member]) => !["model", "version"].includes(member));
      answer.textContent = `Version ${found.version}. ${why.map(([member, value]) => `${member}: ${JSON.stringify(value)}`).join(", ")}`;
    } catch (error) {
      answer.textContent = error.message;
    }
  }

  return { element: h("section", { "aria-label": "explain" }, h("h2", {}, "Which version does this user get?"), form, answer) };
}
