// Reads the stream of events with fetch: EventSource cannot send a token in a header.

import { Refused, send } from "/console/api.js";

const RETRY_MS = 1000;
const SILENCE_MS = 25000;

/** Follow the stream for ever; *told* gets each event, *state* whether the stream is open, *refused* a 401 or 403. */
export async function follow(told, state, refused) {
  for (;;) {
    try {
      await readOnce(told, state);
    } catch (error) {
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) return refused(error);
    }
    state(false);
    await new Promise((resolve) => { setTimeout(resolve, RETRY_MS); });
  }
}

async function readOnce(told, state) {
  const control = new AbortController();
  let watch = setTimeout(() => control.abort(), SILENCE_MS);
  const response = await send("GET", "/api/v1/events", { signal: control.signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  state(true);
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(watch);
      watch = setTimeout(() => control.abort(), SILENCE_MS);
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      parts.map(parsed).forEach((event) => event && told(event));
    }
  } finally {
    clearTimeout(watch);
  }
}

function parsed(text) {
  const fields = Object.fromEntries(text.split("\n").map((row) => [row.slice(0, row.indexOf(":")), row.slice(row.indexOf(":") + 2)]));
  return fields.data === undefined ? null : { name: fields.event, ...JSON.parse(fields.data) };
}
