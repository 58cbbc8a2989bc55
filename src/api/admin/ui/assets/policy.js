// Policy: the compiled table, routes by scopes. Only the rows in view are made, however many there are.
import { $, h, s, put, icon, verdict, lit, scope, count, code, go, clicks, dialog, toast, empty, skeleton } from "./dom.js";
import { UI, get, read, send, all as pages } from "./api.js";
import { key, needs, reachedBy, shadowFigures, shadowSection } from "./shadow.js";
import { query, session, keep, failed, command, site } from "./ui.js";

const ROW = 32, COLUMNS = 24;
const held = new Set(query.get("with")?.split(" ").filter(Boolean) ?? []);
let text = query.get("q") ?? "", source = query.get("in") ?? "", client = query.get("client") ?? "", byClient = null;
let routes = [], scopes = [], implied = {}, columns = [], found = [], readOnly = true;

const KIND = { anonymous: ["permit", "anyone; tokens are ignored"], optional: ["permit", "anyone; a token must be valid if sent"], authenticated: ["permit", "any valid token"], nobody: ["deny", "nobody"], conditions: ["permit", "a valid token that fulfils the conditions"] };
const list = (value) => (value === undefined || value === null ? [] : Array.isArray(value) ? value : [value]);
const literal = (value) => (value !== null && typeof value === "object" ? (value.prefix !== undefined ? `begins with ${value.prefix}` : value.path !== undefined ? `= {${value.path}}` : value.equals !== undefined ? `= ${value.equals}` : JSON.stringify(value)) : `= ${value}`);

// The conditions of one alternative, in words, its scopes aside.
function conditions(rule) {
  return [list(rule.roles).length > 0 && `role ${list(rule.roles).join(" or ")}`, ...Object.entries(rule.claims ?? {}).map(([name, value]) => `claim ${name} ${list(value).map(literal).join(" or ")}`), list(rule.clients).length > 0 && `client ${list(rule.clients).join(" or ")}`, list(rule.providers).length > 0 && `provider ${list(rule.providers).join(" or ")}`, list(rule.audience).length > 0 && `audience ${list(rule.audience).join(" or ")}`, list(rule.acr).length > 0 && `acr ${list(rule.acr).join(" or ")}`, rule.max_age && `signed in at most ${rule.max_age} ago`, rule.proof && `proof ${rule.proof}`, rule.actor && `actor ${list(rule.actor).join(" or ")}`].filter(Boolean).join(" · ");
}
// A route of the API as a row of the table.
function compiled(route) {
  const rule = route.require ?? {}, alternatives = rule.any_of ?? [rule];
  const simple = alternatives.length === 1 ? alternatives[0] : {};
  const required = list(simple.all), any = list(simple.any);
  const and = [alternatives.length > 1 && alternatives.map((one) => [list(one.all).join(" and "), list(one.any).length > 0 && `one of ${list(one.any).join(", ")}`, conditions(one)].filter(Boolean).join(", ")).join("; or "), conditions(simple), route.mcp && `MCP ${route.mcp.method}${route.mcp.name ? ` ${route.mcp.name}` : ""}`].filter(Boolean).join(" · ");
  const kind = route.allow ?? (required.length + any.length > 0 ? "scopes" : "conditions");
  const methods = list(route.methods), place = route.place ?? route.declared_by ?? "";
  return { id: route.id, match: route.match, host: route.host ?? "any host", path: route.path ?? route.match, methods: methods.length > 0 ? methods.join("|") : "any", kind, all: required, any, and, place, stored: route.source === "store", openapi: route.source === "openapi" || place.includes(".json"), own: route.own === true, shadow: route.mode === "shadow", ignored: route.ignored ?? route.rejected ?? null, version: route.version, rule: route.rule };
}
const holds = (name) => held.has(name) || [...held].some((mine) => implied[mine]?.includes(name));
const lacks = (route) => [...route.all.filter((name) => !holds(name)), ...(route.any.length > 0 && !route.any.some(holds) ? [`one of ${route.any.join(", ")}`] : [])];
const reached = (route) => (byClient ? byClient.has(key(route)) : route.kind !== "nobody" && lacks(route).length === 0);

function mark(route, name) {
  if (route.all.includes(name)) return ["all", "required"];
  if (route.any.includes(name)) return ["any", "one of these"];
  return [...route.all, ...route.any].some((needed) => implied[name]?.includes(needed)) ? ["implied", "also satisfies it: implies the required scope"] : null;
}
const dot = (kind) => s("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, s("circle", { cx: 7, cy: 7, r: kind === "implied" ? 1.5 : 4.5, fill: kind === "any" ? "none" : "currentColor", stroke: "currentColor", "stroke-width": kind === "any" ? 2 : 0 }));

let before = "";
function row(route, index) {
  const shared = before.startsWith(route.host) ? common(before.slice(route.host.length), route.path) : 0;
  before = route.host + route.path;
  const pattern = h("td", { class: "pat", title: `${route.methods} ${route.host}${route.path}` }, h("span", { class: "m", title: route.methods }, route.methods === "any" ? h("span", { class: "dim" }, "any") : route.methods.replaceAll("|", " ")), h("button", { class: "go lit", type: "button", "aria-label": `${route.methods} ${route.path}` }, h("span", { class: "pre" }, route.path.slice(0, shared)), route.path.slice(shared)),
    route.shadow && [" ", h("span", { class: "tag is-shadow" }, "shadow")], route.own && [" ", h("span", { class: "tag dim" }, "own")], route.ignored && [" ", h("span", { class: "tag is-deny" }, "ignored")]);
  const out = (held.size > 0 || byClient) && !reached(route), kind = route.own ? ["permit", `for ${route.rule}`] : (KIND[route.kind] ?? KIND.conditions);
  const cells = route.kind === "scopes" && columns.length > 0
    ? columns.map((name, n) => { const is = mark(route, name); return h("td", { class: `s${n === columns.length - 1 ? " last" : ""} ${route.shadow ? "is-shadow" : ""}` }, is && [dot(is[0]), h("span", { class: "vh" }, `${name}: ${is[1]}`)]); })
    : columns.length > 0 && [h("td", { class: "span", colspan: columns.length }, h("span", { class: `verdict is-${kind[0]}` }, icon(kind[0])), " ", kind[1])];
  const words = route.kind === "scopes" ? [route.all.map((name) => scope(name)), route.any.length > 0 && [" one of ", route.any.map((name) => scope(name))]] : [icon(kind[0], `is-${kind[0]}`), " ", kind[1]];
  const tr = h("tr", { class: out ? "out" : "", "aria-rowindex": index + 2 }, pattern, cells, h("td", { class: "rule" }, words), h("td", { class: "and", title: route.and }, out && route.kind !== "nobody" ? h("span", {}, lacks(route).length > 0 ? `lacks ${lacks(route).join(", ")}` : "not by this client") : route.ignored ? h("span", { class: "err-text" }, route.ignored) : route.and), h("td", { class: "src", title: route.place }, icon(route.stored ? "audit" : route.own ? "lock" : "file"), " ", route.place));
  $(".go", tr).addEventListener("click", () => sheet(route));
  return clicks(tr);
}
// The length of the path that the row before has shown already, in whole segments.
function common(a, b) {
  let n = 0;
  while (n < Math.min(a.length, b.length) && a[n] === b[n]) n += 1;
  const ends = (path) => n === path.length || path[n] === "/";
  return n > 1 && ends(a) && ends(b) ? n : Math.max(0, b.lastIndexOf("/", n - 1));
}

// The rows in view, between two rows that are as high as the others together.
let lines = [];
function draw() {
  const body = $("#matrix tbody");
  if (!body) return;
  const long = lines.length > 120, first = Math.floor(-body.getBoundingClientRect().top / ROW / 10) * 10;
  const from = long ? Math.max(0, Math.min(lines.length - 1, first - 20)) : 0, to = long ? Math.min(lines.length, from + Math.min(100, Math.ceil(innerHeight / ROW) + 50)) : lines.length;
  if (body.dataset.from === `${from}-${to}`) return;
  body.dataset.from = `${from}-${to}`;
  const focused = document.activeElement?.closest("#matrix tr")?.getAttribute("aria-rowindex");
  const gap = (rows) => {
    if (rows <= 0) return null;
    const tr = h("tr", { "aria-hidden": "true" }, h("td", { colspan: columns.length + 4 }));
    tr.firstChild.style.height = `${rows * ROW}px`;
    tr.firstChild.style.border = "0";
    return tr;
  };
  $("#matrix .at").textContent = long ? lines.slice(Math.max(0, first), first + 12).findLast((entry) => entry.host)?.host ?? "" : "";
  before = "";
  put(body, gap(from), lines.slice(from, to).map((entry, n) => (entry.header ? h("tr", { class: "host" }, h("th", { colspan: columns.length + 4, scope: "rowgroup" }, lit(entry.header))) : row(entry, from + n))), gap(lines.length - to));
  if (focused) $(`tr[aria-rowindex="${focused}"] .go`, body)?.focus({ preventScroll: true });
}
const declared = (route) => ({ "": true, admin: route.stored, openapi: route.openapi, shadow: route.shadow, ignored: route.ignored !== null, file: !route.stored && !route.openapi && !route.own })[source] ?? true;
function show() {
  const needle = text.toLowerCase();
  found = routes.filter((route) => (route.words ??= `${route.methods} ${route.host}${route.path} ${route.match} ${route.all.join(" ")} ${route.any.join(" ")} ${route.and} ${route.place}`.toLowerCase()).includes(needle) && declared(route));
  $("#count").textContent = byClient ? `${count(found.filter(reached).length)} of ${count(found.length)} can be reached by ${client} with ${held.size > 0 ? [...held].join(" and ") : "no scope"}` : held.size > 0 ? `${count(found.filter(reached).length)} of ${count(found.length)} can be reached with ${[...held].join(" and ")}, other conditions aside` : found.length === routes.length ? (routes.length === 0 ? "No routes" : `${count(routes.length)} routes, the most specific first`) : `${count(found.length)} of ${count(routes.length)} routes`;
  if (found.length === 0) return put($("#matrix"), routes.length === 0
    ? empty("policy", "No routes: everything is denied", "A request that matches no route is denied. Add one to the configuration file:", code("scopes:\n  items: Read items\nroutes:\n  - match: GET /items/**\n    require: items"))
    : empty("search", `Nothing matches “${text}”`, "Methods, hosts, paths, scopes, conditions and sources were searched. To find the route of a URL, ask Why.", h("a", { class: "btn", href: `${UI}/why?url=${encodeURIComponent(text)}` }, "Ask why")));
  const needed = new Set(found.slice(0, 2000).flatMap((route) => [...route.all, ...route.any]));
  columns = needed.size <= COLUMNS ? scopes.filter((name) => needed.has(name) || (implied[name] ?? []).some((other) => needed.has(other))).slice(0, COLUMNS) : [];
  let host = null;
  lines = found.flatMap((route) => (route.host === host ? [route] : [{ header: (host = route.host) }, route]));
  put($("#matrix"), h("table", { class: "matrix grid", "aria-rowcount": lines.length + 1 }, h("caption", { class: "vh" }, "Routes and the scopes that they require"), h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "at" }), "Route"), columns.map((name) => h("th", { class: "s", scope: "col" }, h("span", { title: name }, name))), h("th", { scope: "col", class: "rule" }, "Requires"), h("th", { scope: "col", class: "and" }, "And also"), h("th", { scope: "col" }, "Declared in"))), h("tbody")));
  draw();
}

// The least that reaches a route: every set of scopes that is enough.
function reachers(route) {
  if (route.kind !== "scopes") return h("p", { class: "soft" }, (KIND[route.kind] ?? KIND.conditions)[1], route.and && [": ", route.and]);
  const sets = (route.any.length ? route.any : [null]).map((one) => [...route.all, one].filter(Boolean));
  return h("div", {}, h("ul", {}, sets.map((set, n) => h("li", {}, n > 0 && "or ", set.map((name, m) => [m > 0 && " and ", scope(name)])))), route.and && h("p", { class: "soft" }, "and also: ", route.and));
}
const outcome = (side) => (side.outcome === "permitted" ? "permitted" : `${side.outcome}${side.reason ? ` (${side.reason.replaceAll("_", " ")})` : ""}`);
const caller = (who) => (who === null || who === undefined || Object.keys(who).length === 0 ? "anyone" : Object.entries(who).map(([name, value]) => `${name} ${list(value).map((item) => (typeof item === "object" ? JSON.stringify(item) : item)).join(" ")}`).join(", "));
const change = (mark_, entry) => h("li", {}, icon(mark_), h("div", {}, lit(entry.stands_for ?? `${entry.request.method} ${entry.request.path}`), h("div", { class: "soft" }, `for example ${entry.request.method} ${entry.request.host ?? ""}${entry.request.path} with ${caller(entry.caller)}`), h("div", { class: "dim" }, `before: ${outcome(entry.before)}; after: ${outcome(entry.after)}`)));

// What a change does, exactly; the checkbox names whom it denies.
function consequences(diff, acknowledge) {
  const denied = diff.replay?.denied_now ?? [], permitted = diff.replay?.permitted_now ?? [];
  const rows = [...denied.map((entry) => ["deny", entry, "permitted before, would be denied"]), ...permitted.map((entry) => ["permit", entry, "denied before, would pass"])];
  const names = [...new Set(denied.map((entry) => entry.client ?? "callers without a client"))];
  const needs = diff.losses.length + denied.length > 0;
  return [h("h3", {}, diff.exact ? "What changes, exactly" : "What changes, as far as it was compared"),
    diff.gains.length + diff.losses.length === 0 && h("p", { class: "soft" }, "No request is decided otherwise."),
    diff.gains.length > 0 && h("ul", { class: "gains" }, diff.gains.map((entry) => change("plus", entry))), diff.losses.length > 0 && h("ul", { class: "losses" }, diff.losses.map((entry) => change("minus", entry))),
    h("p", { class: "dim" }, `${count(diff.unchanged_routes)} other routes do not change.`),
    diff.replay && [h("h3", {}, "The last hour, replayed"), h("table", { class: "fold" }, h("caption", { class: "vh" }, "Recent decisions under the new policy"), h("tbody", {}, rows.map(([mark_, entry, label]) => h("tr", {}, h("td", {}, verdict(mark_, "")), h("td", { class: "num strong inl" }, count(entry.count)), h("td", { class: "inl" }, label), h("td", { class: "inl" }, entry.client && lit(entry.client), h("span", { class: "dim" }, ` ${entry.provider ?? ""}`)))), h("tr", {}, h("td", {}), h("td", { class: "num inl" }, count(diff.replay.unchanged)), h("td", { class: "inl soft" }, "unchanged"), h("td")))), !diff.replay.complete && h("p", { class: "dim" }, "The node does not remember the whole hour: the replay is incomplete.")],
    needs && h("label", { class: "tick" }, h("input", { type: "checkbox", id: "seen", onchange: (event) => acknowledge(event.target.checked) }), h("span", {}, "I understand that ", names.length > 0 ? [h("b", {}, names.join(", ")), " will be denied"] : "requests that are permitted today will be denied"))];
}

const pretty = (definition) => JSON.stringify(definition, null, 2);
async function sheet(route) {
  const title = route.isNew ? "New route" : h("div", {}, h("h2", {}, lit(route.match)), h("p", { class: "soft" }, route.stored ? `Stored by an administrator, version ${route.version ?? "?"}` : route.own ? "scopegate's own endpoint" : ["Declared in ", lit(route.place)]));
  const why = h("a", { class: "btn", href: `${UI}/why?url=${encodeURIComponent(route.path ?? "")}` }, "Ask why");
  if (!route.stored || readOnly) {
    const who = route.own ? h("div", {}, reachers(route)) : h("div", {}), figures = h("div", {});
    if (!route.own && !route.ignored) needs(who, route).catch(() => put(who, reachers(route)));
    if (route.shadow) shadowFigures(figures, route).catch((error) => put(figures, h("p", { class: "err-text" }, error.message)));
    return dialog(title, [h("p", { class: "soft" }, icon("lock"), route.stored ? " Your token can read but not change." : " This route is declared in a file and is changed there. A changed file takes effect at once."), code(`match: ${route.match}\n${route.rule ? `require: ${route.rule}` : ""}`), h("div", {}, h("h3", {}, "Who can reach it"), who), figures], [h("p"), why], "sheet");
  }
  let was = "", etag = null, base = null, checked = null;
  if (!route.isNew) {
    const { data, etag: tag } = await read(`/routes/${encodeURIComponent(route.id)}`);
    was = pretty(data.route);
    etag = tag;
  }
  const area = h("textarea", { id: "definition", class: "lit", rows: 8, spellcheck: "false", value: was || '{\n  "match": "GET /reports/**",\n  "require": "reports"\n}', "aria-describedby": "definition-hint", oninput: () => { checked = null; save.disabled = true; put(result); hint.textContent = "Changed since the last check."; } });
  const result = h("div", { class: "result", "aria-live": "polite" }), hint = h("p", { role: "status" }, "Not checked yet.");
  const save = h("button", { class: "btn first", type: "button", disabled: true, onclick: () => store(checked) }, "Save");
  const problem = (message) => {
    area.setAttribute("aria-invalid", "true");
    put(result, h("p", { class: "err-text" }, icon("warn"), ` ${message}`));
    hint.textContent = "Cannot be saved.";
  };
  const propose = async (change_) => {
    save.disabled = true;
    try {
      const diff = await send("POST", "/diff", { ...change_, replay: "1h" });
      if (diff.problem) return problem([diff.problem.line && `line ${diff.problem.line}: `, diff.problem.message ?? diff.problem.error_description ?? diff.problem].filter(Boolean).join(""));
      area.removeAttribute("aria-invalid");
      base = diff.base;
      checked = change_;
      const ready = (yes) => { save.disabled = !yes; hint.textContent = yes ? "In force on every node within a second." : "Confirm the losses first."; };
      put(result, consequences(diff, ready));
      ready(diff.losses.length + (diff.replay?.denied_now ?? []).length === 0);
    } catch (error) {
      problem(error.message);
    }
  };
  const check = () => {
    if (area.value === was) { hint.textContent = "Nothing is changed."; return; }
    let definition;
    try {
      definition = JSON.parse(area.value);
    } catch (error) {
      return problem(`this is not JSON: ${error.message}`);
    }
    propose(route.isNew ? { create: definition } : { replace: { id: route.id, definition } });
  };
  const store = async (change_) => {
    const headers = { ...(etag ? { "if-match": etag } : {}), ...(base ? { "if-policy-change": String(base.change) } : {}) };
    try {
      if (change_.create) await send("POST", "/routes", change_.create, headers);
      else if (change_.replace) await send("PUT", `/routes/${encodeURIComponent(route.id)}`, change_.replace.definition, headers);
      else await send("DELETE", `/routes/${encodeURIComponent(route.id)}`, undefined, headers);
      box.close();
      toast(change_.delete ? "Deleted. In force on every node within a second." : "Saved. In force on every node within a second.");
      await load();
    } catch (error) {
      if (error.reason === "policy_moved" || error.reason === "stale_version") {
        hint.textContent = "The policy has changed meanwhile: it was checked again.";
        if (!route.isNew) etag = (await read(`/routes/${encodeURIComponent(route.id)}`)).etag;
        return propose(change_);
      }
      problem(error.message);
    }
  };
  const who = h("div", {}), figures = h("div", {});
  if (!route.isNew && !route.ignored) needs(who, route).catch(() => put(who, reachers(route)));
  if (route.shadow) shadowFigures(figures, route).catch((error) => put(figures, h("p", { class: "err-text" }, error.message)));
  const box = dialog(title, [h("div", { class: "field" }, h("label", { for: "definition" }, "Definition"), area, h("span", { class: "hint", id: "definition-hint" }, "JSON, with the keys of the configuration file.")), route.ignored && h("p", { class: "err-text" }, icon("warn"), ` This route is ignored: ${route.ignored}`), !route.isNew && h("div", {}, h("h3", {}, "Who can reach it now"), who), figures, result], [hint, !route.isNew && h("button", { class: "btn harm", type: "button", onclick: () => propose({ delete: route.id }) }, "Delete…"), h("button", { class: "btn", type: "button", onclick: check }, "Check"), save], "sheet");
  return box;
}

async function load() {
  const [table, declaredScopes] = await Promise.all([pages("/routes"), pages("/scopes")]);
  routes = table.map(compiled);
  scopes = declaredScopes.map((entry) => entry.name);
  implied = Object.fromEntries(declaredScopes.map((entry) => [entry.name, list(entry.implies)]));
  put($("#held"), scopes.map((name) => h("button", { class: "chip", type: "button", "aria-pressed": String(held.has(name)), onclick: (event) => {
    if (!held.delete(name)) held.add(name);
    event.currentTarget.setAttribute("aria-pressed", String(held.has(name)));
    reach();
  } }, name)));
  await reach();
  await shadowSection($("#shadow"), routes);
}
// What the chosen client reaches is asked of the node; what scopes reach is known here.
async function reach() {
  byClient = client === "" ? null : await reachedBy(client, [...held]);
  show();
}
$("#client").value = client;
$("#client").addEventListener("change", (event) => { client = event.target.value.trim(); reach().catch((error) => failed(error, load)); });
$("#q").value = text;
$("#q").addEventListener("input", (event) => { text = event.target.value.trim(); show(); });
$("#source").value = source;
$("#source").addEventListener("change", (event) => { source = event.target.value; show(); });
$("#new").addEventListener("click", () => sheet({ isNew: true, stored: true, kind: "scopes", all: [], any: [], and: "", path: "" }));
for (const slot of document.querySelectorAll(".legend [data-dot]")) slot.prepend(dot(slot.dataset.dot));
addEventListener("scroll", () => lines.length > 120 && requestAnimationFrame(draw), { passive: true });
addEventListener("resize", () => draw());
put($("#matrix"), skeleton(12));
readOnly = (await session).readOnly;
$("#new").hidden = readOnly;
command("GET", "/routes");
get("/overview").then(site, () => {});
await keep(load);
const opened = routes.find((route) => location.pathname.endsWith(`/policy/${encodeURIComponent(route.id)}`));
if (opened) sheet(opened);
