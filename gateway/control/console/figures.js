// What the workers counted, asked for every few seconds while a page shows it.

import { ask, modelPath } from "/console/api.js";
import { h } from "/console/dom.js";

const EVERY_MS = 3000;
const KEPT = 60;

export const FIGURE_TITLES = ["live share", "requests", "errors", "p50", "p95", "p99"];

/** The figures of one model; *changed* is called after each look. */
export class Figures {
  constructor(model, changed) {
    this.model = model;
    this.changed = changed;
    this.versions = {};
    this.rates = [];
    this.isOver = false;
    this.look();
  }

  of(version) {
    return this.versions[version] ?? null;
  }

  leave() {
    this.isOver = true;
    clearTimeout(this.timer);
  }

  async look() {
    try {
      const { versions } = await ask("GET", modelPath(this.model, "/figures"));
      const now = Date.now();
      const total = Object.values(versions).reduce((sum, each) => sum + requests(each), 0);
      if (this.last) this.rates = [...this.rates, Math.max(0, (1000 * (total - this.last.total)) / (now - this.last.now))].slice(-KEPT);
      this.last = { total, now };
      this.versions = versions;
    } catch {
      // The page says already that the gateway does not answer; the last figures stay.
    }
    if (this.isOver) return;
    this.changed();
    this.timer = setTimeout(() => this.look(), EVERY_MS);
  }
}

/** Return the cells that go with FIGURE_TITLES. */
export function figureCells(figures) {
  if (!figures) return FIGURE_TITLES.map(() => "–");
  const { p50, p95, p99 } = figures.latency_seconds;
  return [
    h("span", {}, h("progress", { max: "1", value: figures.share, "aria-label": "live share" }), ` ${percent(figures.share)}`),
    String(requests(figures)),
    String(figures.requests.model_error + figures.requests.timeout),
    ...[p50, p95, p99].map(duration),
  ];
}

const requests = (figures) => Object.values(figures.requests).reduce((sum, each) => sum + each, 0);
export const percent = (share) => `${(100 * share).toLocaleString(undefined, { maximumFractionDigits: 2 })} %`;
const duration = (seconds) => (seconds === undefined ? "–" : `${(1000 * seconds).toPrecision(3)} ms`);
