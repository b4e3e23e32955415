// Fills the page of the API: what each operation takes and answers, and how curl asks for it.
import { h, table } from "/console/dom.js";
import { example } from "/console/examples.js";

const state = document.getElementById("state");

for (const section of document.querySelectorAll("section[data-document]")) show(section);

async function show(section) {
  try {
    const answer = await fetch(section.dataset.document);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const api = await answer.json();
    for (const details of section.querySelectorAll("details.operation")) {
      const show = () => fill(details, api, base(section));
      if (details.open) show();
      else details.addEventListener("toggle", show, { once: true });
    }
    reveal(section);
  } catch (error) {
    state.textContent = `${section.dataset.document} cannot be read (${error.message}); reload the page to try again`;
  }
}

/** Return where the port is reached: what its document says, or this page's own address. */
function base(section) {
  if (!section.dataset.base) return location.origin;
  const url = new URL(section.dataset.base);
  if (url.hostname === "0.0.0.0" || url.hostname === "[::]") url.hostname = location.hostname;
  return url.origin;
}

/** Open the operation that the address names. */
function reveal(section) {
  const named = location.hash ? document.getElementById(location.hash.slice(1)) : null;
  if (named !== null && section.contains(named) && named.matches("details")) {
    named.open = true;
    named.scrollIntoView();
  }
}

function fill(details, api, origin) {
  const { method, path } = details.dataset;
  const operation = api.paths[path][method];
  const body = operation.requestBody?.content?.["application/json"]?.schema;
  details.append(h("div", { class: "inside" },
    parameters(operation.parameters ?? []),
    body && [h("h4", {}, "Body"), schema(body, api)],
    h("h4", {}, "Answers"), answers(operation.responses, api),
    h("h4", {}, "Example"), curl(method, path, operation, body, api, origin)));
}

function parameters(found) {
  if (found.length === 0) return null;
  const rows = found.map((each) => [
    h("code", {}, each.name), each.in, each.required ? "yes" : "no", kind(each.schema)]);
  return table("Parameters", ["name", "in", "required", "what"], rows);
}

function answers(responses, api) {
  const rows = Object.entries(responses).map(([status, answer]) => {
    const content = Object.entries(answer.content ?? {})[0];
    return [status, answer.description, content ? [content[0], content[1].schema && schema(content[1].schema, api)] : ""];
  });
  return table("Answers", ["status", "when", "what"], rows.map((row) => row.map((cell) => h("span", {}, ...[cell].flat().filter(Boolean)))));
}

/** Return a schema as it stands in the document, with what it refers to one level deep. */
function schema(given, api) {
  const whole = given.$ref ? api.components.schemas[given.$ref.split("/").at(-1)] : given;
  return h("details", {}, h("summary", {}, kind(given)),
    h("pre", { tabindex: "0", role: "region", "aria-label": "schema" }, JSON.stringify(whole, null, 2)));
}

function kind(given) {
  if (given.$ref) return given.$ref.split("/").at(-1);
  const kinds = given.enum ? given.enum.join(" | ") : [given.type ?? "anything"].flat().join(" or ");
  const bounds = [given.pattern, given.minimum !== undefined && `from ${given.minimum}`,
    given.maximum !== undefined && `to ${given.maximum}`, given.default !== undefined && `default ${given.default}`];
  return [kinds, ...bounds.filter(Boolean)].join(", ");
}

function curl(method, path, operation, body, api, origin) {
  const text = command(method, path, operation, body, api, origin);
  const shown = h("pre", { class: "curl", tabindex: "0", role: "region", "aria-label": "curl" }, text);
  const copy = h("button", { type: "button", click: async () => {
    try {
      await navigator.clipboard.writeText(text);
      state.textContent = "copied";
    } catch {  // no clipboard without TLS away from this machine, or it is refused
      getSelection().selectAllChildren(shown);
      state.textContent = "selected; copy it with the keyboard";
    }
  } }, "Copy");
  return h("div", {}, shown, copy);
}

function command(method, path, operation, body, api, origin) {
  const words = ["curl", ...(method === "get" ? [] : ["-X", method.toUpperCase()])];
  if (operation["x-role"]) words.push("-H", '"authorization: Bearer $GATEWAY_TOKEN"');
  for (const each of operation.parameters ?? []) {
    if (each.in === "header" && each.required) words.push("-H", quoted(`${each.name}: ${example(each.schema, api)}`));
  }
  if (body) words.push("-H", quoted("content-type: application/json"), "-d", quoted(JSON.stringify(example(body, api))));
  const asked = (operation.parameters ?? []).filter((each) => each.in === "query" && each.required)
    .map((each) => `${each.name}=${encodeURIComponent(example(each.schema, api))}`);
  const query = asked.length ? `?${asked.join("&")}` : "";
  const named = path.replace("{model}", "breast-cancer").replace(/\{version\}|\{revision\}/g, "1").replace(/[{}]/g, "");
  return [...words, quoted(origin + named + query)].join(" ");
}

/** Return *text* as one word for a shell. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
