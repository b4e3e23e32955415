// Speaks to the admin API. The token lives in this tab's session storage and goes out in a header, never in a URL.

const KEY = "gateway-token";

/** What the API refused, with its problem document. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the gateway answered ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

export const keepToken = (token) => sessionStorage.setItem(KEY, token);
export const forgetToken = () => sessionStorage.removeItem(KEY);
export const hasToken = () => sessionStorage.getItem(KEY) !== null;

/** Return the path of a model, with *rest* below it. */
export const modelPath = (model, rest = "") => `/api/v1/models/${encodeURIComponent(model)}${rest}`;

/** Send a request and return the raw response; throws Refused for what is no success. */
export async function send(method, path, { body, match, signal } = {}) {
  const headers = {};
  const token = sessionStorage.getItem(KEY);
  if (token !== null) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  if (match !== undefined) headers["if-match"] = match === "*" ? "*" : `"${match}"`;
  const content = body === undefined ? undefined : JSON.stringify(body);
  const response = await fetch(path, { method, headers, body: content, signal, cache: "no-store" });
  if (!response.ok) throw new Refused(response.status, await response.json().catch(() => ({})));
  return response;
}

/** Send a request and return the JSON of its answer. */
export async function ask(method, path, given) {
  return (await send(method, path, given)).json();
}
