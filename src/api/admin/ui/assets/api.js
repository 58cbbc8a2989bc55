// The admin API: one place that asks, and that tells what went wrong.
const root = document.documentElement;
// The path of the admin endpoints and of these pages, below the base path of the node.
export const ADMIN = root.dataset.admin;
export const UI = `${ADMIN}/ui`;

export class Fault extends Error {
  constructor(status, problem) {
    super(problem.error_description ?? problem.detail ?? `the node answered ${status}`);
    this.status = status;
    this.reason = problem.reason ?? problem.error ?? "";
    this.problem = problem;
  }
}

async function ask(method, path, body, headers = {}) {
  let response;
  try {
    response = await fetch(ADMIN + path, {
      method,
      headers: { accept: "application/json", ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch {
    throw new Fault(0, { error_description: "The node does not answer.", reason: "unreachable" });
  }
  if (response.status === 401) {
    // The session has ended: sign in, and come back to this very screen.
    location.assign(`${UI}/sign-in?to=${encodeURIComponent(location.pathname + location.search)}`);
    return new Promise(() => {});
  }
  const text = await response.text();
  let data = null;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    data = null;
  }
  if (!response.ok) throw new Fault(response.status, data ?? {});
  return { data, etag: response.headers.get("etag") };
}

export const get = async (path) => (await ask("GET", path)).data;
export const read = (path) => ask("GET", path);
export const send = async (method, path, body, headers) => (await ask(method, path, body, headers)).data;

// Follows the pages of a list until its end, at most `most` entries.
export async function all(path, most = 20000) {
  const items = [];
  let after = null;
  do {
    const page = await get(`${path}${path.includes("?") ? "&" : "?"}limit=1000${after ? `&after=${encodeURIComponent(after)}` : ""}`);
    items.push(...(page.items ?? []));
    after = page.next ?? null;
  } while (after && items.length < most);
  return items;
}

// The same request as a command.
export function curl(method, path, body) {
  const lines = [`curl ${method === "GET" ? "" : `-X ${method} `}'${location.origin}${ADMIN}${path}'`, `-H "Authorization: Bearer $ADMIN"`];
  if (body !== undefined) lines.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`);
  return lines.join(" \\\n  ");
}
