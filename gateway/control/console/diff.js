// How one document differs from another, line by line.

import { h } from "/console/dom.js";

const AROUND = 3;
const MOST_CELLS = 4e6;

/** Return a document as the lines that are compared and edited. */
export const asText = (value) => JSON.stringify(value, null, 2);

/** Return whether the documents say the same, in whatever order their members are. */
export const isSame = (one, other) => asText(sorted(one)) === asText(sorted(other));

/** Return the changed lines of two documents with a few around them, each marked: - goes, + comes. */
export function diffBlock(label, before, after) {
  const rows = compared(lines(before), lines(after));
  const near = rows.map((_, i) => rows.slice(Math.max(0, i - AROUND), i + AROUND + 1).some(([mark]) => mark !== " "));
  const shown = rows.flatMap((row, i) => (near[i] ? [drawn(row)] : i === 0 || near[i - 1] ? ["  …\n"] : []));
  return h("pre", { class: "diff", role: "region", tabindex: "0", "aria-label": label }, shown);
}

const drawn = ([mark, text]) => h({ "+": "ins", "-": "del", " ": "span" }[mark], {}, `${mark} ${text}\n`);

const lines = (value) => (value === null || value === undefined ? [] : asText(value).split("\n"));

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, sorted(value[name])]));
}

/** Return rows of mark and line. What both begin and end with is cut off first, so an edit of a long route costs little. */
function compared(before, after) {
  let head = 0;
  while (head < Math.min(before.length, after.length) && before[head] === after[head]) head += 1;
  let tail = 0;
  while (tail < Math.min(before.length, after.length) - head && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  const same = (text) => [" ", text];
  return [...before.slice(0, head).map(same), ...changed(before.slice(head, before.length - tail), after.slice(head, after.length - tail)),
    ...before.slice(before.length - tail).map(same)];
}

/** The longest common subsequence; where that would take too long all goes and all comes. */
function changed(before, after) {
  const goes = (text) => ["-", text];
  const comes = (text) => ["+", text];
  if (before.length * after.length > MOST_CELLS) return [...before.map(goes), ...after.map(comes)];
  const longest = Array.from({ length: before.length + 1 }, () => new Uint32Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) {
      longest[i][j] = before[i] === after[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  const rows = [];
  let i = 0;
  let j = 0;
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) { rows.push([" ", before[i]]); i += 1; j += 1; }
    else if (j >= after.length || (i < before.length && longest[i + 1][j] >= longest[i][j + 1])) { rows.push(goes(before[i])); i += 1; }
    else { rows.push(comes(after[j])); j += 1; }
  }
  return rows;
}
