// Two people at once: what somebody else wrote meanwhile, beside what was typed here, and the choice between them.

import { h } from "/console/dom.js";

/** Return what goes into an alert: *theirs* says or shows what is routed now; nothing that was typed is touched. */
export function choices(theirs, keepMine, useTheirs) {
  return [
    h("p", { class: "bad" }, theirs, " What you typed is kept."),
    h("p", { class: "row" }, h("button", { type: "button", click: keepMine }, "Keep mine"), h("button", { type: "button", click: useTheirs }, "Use theirs")),
  ];
}
