// What the versions of a model were made from, and what was made from them: a drawing, and the same as a list.

import { ask, modelPath } from "/console/api.js";
import { h, svg } from "/console/dom.js";

const LETTER = 9;
const HEIGHT = 32;
const GAP = { x: 150, y: 16 };

export function lineagePanel(name) {
  const body = h("div");
  let seen = null;

  function told(model) {
    const now = model.versions.map((each) => each.version).join();
    if (now === seen) return;
    seen = now;
    look();
  }

  async function look() {
    try {
      body.replaceChildren(...drawn(name, await ask("GET", modelPath(name, "/lineage"))));
    } catch (error) {
      body.replaceChildren(h("p", { class: "bad" }, error.message));
    }
  }

  return { element: h("section", { "aria-label": "lineage" }, h("h2", {}, "Lineage"), body), told };
}

function drawn(model, { versions, parents }) {
  const unread = versions.flatMap((each) => each.unread.map((text) => h("li", {}, `${each.name}: its metadata names ${text}, which is no version here`)));
  if (!parents.length && !unread.length) return [h("p", {}, "No version says what it was made from.")];
  const isThere = Object.fromEntries(versions.map((each) => [each.name, each.there]));
  const said = parents.map((each) => h("li", {}, link(each.child), ` ${each.relation || "from"} `, link(each.parent), isThere[each.parent] ? "" : " (not in the repository any more)"));
  const list = h("ul", { "aria-label": "lineage as a list" }, said, unread);
  if (!parents.length) return [list];
  return [h("div", { class: "wide", role: "region", tabindex: "0", "aria-label": "lineage graph" }, graph(model, versions, parents)), list];
}

function link(version) {
  return h("a", { href: `#/models/${encodeURIComponent(version.slice(0, version.lastIndexOf("/")))}` }, version);
}

function graph(model, versions, parents) {
  const wide = Math.max(...versions.map((each) => each.name.length)) * LETTER + 20;
  const places = placed(versions.map((each) => each.name), parents);
  const at = (version) => ({ x: 1 + places.get(version).column * (wide + GAP.x), y: 1 + places.get(version).row * (HEIGHT + GAP.y) });
  const most = (member) => Math.max(...[...places.values()].map((each) => each[member]));
  const size = { width: most("column") * (wide + GAP.x) + wide + 2, height: most("row") * (HEIGHT + GAP.y) + HEIGHT + 2 };
  const label = `${versions.length} versions and who came from whom; the list below says the same`;
  return svg("svg", { class: "lineage", role: "img", "aria-label": label, ...size, viewBox: `0 0 ${size.width} ${size.height}` },
    parents.map((each) => edge(at(each.parent), at(each.child), wide, each.relation)),
    versions.map((each) => box(each, at(each.name), wide, each.name.startsWith(`${model}/`))));
}

/** Return version → column and row: each stands right of all its parents. A ring, which files can make, ends the search. */
function placed(names, parents) {
  const column = new Map(names.map((name) => [name, 0]));
  for (let round = 1, moved = true; moved && round < names.length; round += 1) {
    moved = false;
    for (const { parent, child } of parents) {
      if (column.get(child) <= column.get(parent)) {
        column.set(child, Math.min(names.length - 1, column.get(parent) + 1));
        moved = true;
      }
    }
  }
  const used = new Map();
  return new Map(names.map((name) => {
    const at = column.get(name);
    const row = used.get(at) ?? 0;
    used.set(at, row + 1);
    return [name, { column: at, row }];
  }));
}

function edge(from, to, wide, relation) {
  const [x1, y1, x2, y2] = [from.x + wide, from.y + HEIGHT / 2, to.x, to.y + HEIGHT / 2];
  return svg("g", {}, svg("line", { x1, y1, x2, y2 }),
    svg("text", { x: (x1 + x2) / 2, y: (y1 + y2) / 2 - 4, "text-anchor": "middle", class: "relation" }, relation));
}

function box({ name, there }, { x, y }, wide, isOwn) {
  return svg("g", { class: [isOwn && "own", !there && "gone"].filter(Boolean).join(" ") },
    svg("rect", { x, y, width: wide, height: HEIGHT, rx: 6 }),
    svg("text", { x: x + wide / 2, y: y + HEIGHT / 2 + 5, "text-anchor": "middle" }, name));
}
