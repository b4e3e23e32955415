// The console: which page is shown, who is looking, and what the stream tells.

import { ask, forgetToken, hasToken, keepToken } from "/console/api.js";
import { h } from "/console/dom.js";
import { fleetPage } from "/console/fleet.js";
import { modelPage } from "/console/model.js";
import { overviewPage } from "/console/overview.js";
import { follow } from "/console/stream.js";

const page = document.getElementById("page");
const world = { models: new Map(), fleet: null, me: null };
let shown = null;

function open() {
  shown?.leave?.();
  const [, kind, name] = location.hash.split("/");
  if (kind === "fleet") shown = fleetPage(world);
  else if (kind === "models" && name) shown = modelPage(world, decoded(name));
  else shown = overviewPage(world);
  page.replaceChildren(shown.element);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function told({ name, about, view }) {
  if (name === "fleet") world.fleet = view;
  else if (view === null) world.models.delete(about);
  else world.models.set(about, view);
  shown?.told(name, about);
}

function state(isOpen) {
  document.getElementById("state").textContent = isOpen ? "live" : "reconnecting …";
}

async function start() {
  try {
    world.me = await ask("GET", "/api/v1/me");
  } catch (error) {
    return logIn(error);
  }
  const out = h("button", { click: () => { forgetToken(); location.reload(); } }, "Log out");
  document.getElementById("who").replaceChildren(`${world.me.name} (${world.me.role}) `, hasToken() ? out : "");
  open();
  return follow(told, state, logIn);
}

function logIn(error) {
  const token = h("input", { type: "password", id: "token", autocomplete: "off", required: true });
  const enter = (event) => { event.preventDefault(); keepToken(token.value.trim()); start(); };
  page.replaceChildren(h("h1", {}, "Log in"), h("p", { class: "bad" }, error.message),
    h("form", { submit: enter }, h("div", { class: "row" }, h("label", { for: "token" }, "Token"), token, h("button", {}, "Log in"))));
  shown = null;
  token.focus();
}

addEventListener("hashchange", () => { if (world.me) { open(); page.focus(); } });
start();
