// The workers of this replica, what they serve, and the store.

import { h, table } from "/console/dom.js";

export function fleetPage(world) {
  const body = h("div");

  function draw() {
    if (!world.fleet) return;
    const rows = world.fleet.workers.map((worker) => [
      String(worker.slot), String(worker.pid), worker.ready ? "ready" : listed(worker.not_ready),
      worker.store_up ? "up" : h("span", { class: "bad" }, "unavailable"), listed(worker.revisions),
    ]);
    body.replaceChildren(h("p", {}, "Store: ", h("strong", { class: world.fleet.store === "up" ? "good" : "bad" }, world.fleet.store)),
      table("workers", ["worker", "pid", "state", "store", "revisions"], rows));
  }

  draw();
  return { element: h("div", {}, h("h1", {}, "Fleet"), body), told: draw };
}

const listed = (values) => Object.entries(values).map(([name, value]) => `${name}: ${value}`).join(", ");
