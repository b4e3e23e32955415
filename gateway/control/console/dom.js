// Builds elements. Text becomes text nodes and never markup, whoever wrote it.

/** Return an element; a value that is a function is a listener, null and false leave an attribute out. */
export function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Return an element of SVG. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Return a table in a box of its own that scrolls where it is too wide; a cell may be an element. */
export function table(caption, titles, rows) {
  const head = h("tr", {}, titles.map((title) => h("th", { scope: "col" }, title)));
  const body = rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell))));
  return h("div", { class: "wide", role: "region", "aria-label": caption, tabindex: "0" },
    h("table", { "aria-label": caption }, h("thead", {}, head), h("tbody", {}, body)));
}

/** Return a moment in the reader's time, with UTC when pointed at. */
export function moment(ms) {
  const date = new Date(ms);
  return h("time", { datetime: date.toISOString(), title: date.toISOString() }, date.toLocaleString());
}

/** Return a line through *values*, oldest first. */
export function line(label, values) {
  const most = Math.max(1e-9, ...values);
  const points = values.map((value, i) => `${(100 * i) / Math.max(1, values.length - 1)},${29 - (28 * value) / most}`);
  return svg("svg", { class: "line", role: "img", "aria-label": label, viewBox: "0 0 100 30", preserveAspectRatio: "none" },
    svg("polyline", { points: points.join(" ") }));
}

/** Ask for a reason and a confirmation, below what is *shown*; resolves to the reason, or to null. */
export function confirmed(question, ...shown) {
  const reason = h("input", { type: "text", maxlength: "500", "aria-label": "reason" });
  const form = h("form", { method: "dialog" }, h("p", {}, question), shown, h("div", { class: "row" }, reason),
    h("p", { class: "row" }, h("button", { value: "yes" }, "Confirm"), h("button", { value: "no" }, "Cancel")));
  const dialog = h("dialog", { "aria-label": "confirm" }, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? reason.value : null);
    });
  });
}
