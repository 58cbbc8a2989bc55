// Why: a question about a request, and the answer as a way with stations.
import { $, h, s, put, icon, verdict, lit, scope, time, moment, code, seg, empty } from "./dom.js";
import { UI, get, send } from "./api.js";
import { query, failed, shown, command, session } from "./ui.js";

const words = (reason) => (reason ?? "").replaceAll("_", " ");
const step = (kind, mark, title, aside, ...body) => h("li", { class: kind }, h("span", { class: "knot" }, icon(mark)), h("h2", {}, title, aside && h("span", {}, aside)), body);
const facts = (pairs) => h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== false).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
const chips = (names) => (names?.length ? h("span", { class: "chips" }, names.map((name) => scope(name))) : h("span", { class: "dim" }, "none"));
const plain = (value) => (value === null || value === undefined ? h("span", { class: "dim" }, "nothing") : Array.isArray(value) ? (value.length ? value.map((item, n) => [n > 0 && ", ", lit(String(typeof item === "object" ? JSON.stringify(item) : item))]) : h("span", { class: "dim" }, "nothing")) : lit(typeof value === "object" ? JSON.stringify(value) : String(value)));

const KINDS = { all_scopes: "all of these scopes", any_scope: "one of these scopes", roles: "one of these roles", claim: "this claim", clients: "one of these clients", providers: "one of these providers", audience: "this audience", acr: "one of these authentication levels", max_age: "a sign-in of at most this age", proof: "a proof of possession", actor: "this actor", details: "these authorization details" };
function requirement(r) {
  const needed = r.kind.endsWith("scopes") || r.kind === "any_scope" ? chips(r.needs) : plain(r.needs);
  const outcome = r.met === true ? "permit" : r.met === false ? "deny" : "outage";
  return h("tr", {}, h("td", {}, verdict(outcome, outcome === "permit" ? "met" : outcome === "deny" ? "not met" : "unknown")), h("td", { class: "inl" }, KINDS[r.kind] ?? words(r.kind), r.name && [" ", lit(r.name)]), h("td", { class: "inl", "data-name": "needs" }, needed), h("td", { class: "inl", "data-name": "has" }, plain(r.has)));
}
const requirements = (rows) => h("table", { class: "fold flat" }, h("caption", { class: "vh" }, "Requirements of the rule"), h("thead", {}, h("tr", {}, ["", "Requirement", "Needs", "The token has"].map((name) => h("th", { scope: "col" }, name || h("span", { class: "vh" }, "Verdict"))))), h("tbody", {}, rows.map(requirement)));

// The life of the token: issued, asked, expires.
function life(token, at) {
  if (!token.issued_at || !token.expires_at) return moment(token.expires_at);
  const from = Date.parse(token.issued_at), to = Date.parse(token.expires_at), now = Math.min(1, Math.max(0, ((Date.parse(at) || Date.now()) - from) / (to - from))) * 100;
  return h("div", { class: "life" }, s("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, s("path", { d: "M0 5H100", stroke: "var(--line)", "stroke-width": 4 }), s("path", { d: `M0 5H${now}`, stroke: "var(--permit)", "stroke-width": 4 }), s("path", { d: `M${now} 0V10`, stroke: "var(--ink)", "stroke-width": 2, "vector-effect": "non-scaling-stroke" })),
    h("span", {}, "issued ", time(token.issued_at)), h("span", {}, "asked ", time(at ?? new Date().toISOString())), h("span", {}, "expires ", time(token.expires_at)));
}

function headline(a) {
  const outcome = a.permitted ? "permit" : a.outcome === "outage" ? "outage" : "deny";
  const lacks = a.least?.scopes ?? a.missing?.scopes ?? [];
  const text = a.permitted ? "Permitted" : outcome === "outage" ? ["Could not decide: ", words(a.reason)] : lacks.length > 0 ? ["Denied: the token lacks ", lacks.map((name) => scope(name, "lack"))] : ["Denied: ", words(a.reason)];
  return h("div", { class: `answer is-${outcome}`, role: "status" }, icon(outcome), h("div", {}, h("h1", {}, text), h("p", {}, a.message && `${a.message}.`, a.decided_at && [" Decided at ", moment(a.decided_at), a.node && [" by node ", lit(a.node)], "."], a.changed_since && " The policy has changed since then: the answer below is that of now.")));
}

function stations(a) {
  const route = a.route, decided = a.decided_by ?? a.route;
  const way = [step("", "check", "The request", a.target?.notes?.length ? "normalized" : "is regular", facts([["As sent", a.target?.sent && lit(a.target.sent)], ["Decided on", lit(typeof a.target === "string" ? a.target : [a.target?.method, a.target?.host, a.target?.path].filter(Boolean).join(" "))], ["Notes", a.target?.notes?.length > 0 && a.target.notes.map((note) => h("div", {}, words(note)))]]))];
  way.push(route
    ? step("", "check", "The route", "the most specific match", facts([["Pattern", lit(route.match ?? route)], ["Declared in", (route.place ?? a.place) && h("a", { class: "lit", href: `${UI}/policy?q=${encodeURIComponent(route.match ?? route)}` }, route.place ?? a.place)], ["Requires", (route.rule ?? a.rule) && lit(route.rule ?? a.rule)]]), others(a))
    : step("stop", "deny", "The route", "no pattern matches", a.nearest && h("p", {}, "Nearest route: ", lit(a.nearest.match ?? a.nearest)), others(a)));
  if (a.token) {
    const t = a.token, bad = t.verified === false || t.reason;
    way.push(step(bad ? "stop" : t.verified ? "" : "unsure", bad ? "deny" : t.verified ? "check" : "outage", "The token", bad ? words(t.reason) : t.verified ? "is valid" : "is assumed, with what was entered", t.message && h("p", {}, t.message),
      facts([["Provider", t.provider && [lit(t.provider), t.issuer && [h("span", { class: "dim" }, " by issuer "), lit(t.issuer, "dim")]]], ["Client", t.client && lit(t.client)], ["Subject", t.subject && lit(t.subject)], ["Actor", t.actor && plain(t.actor)], ["Signature", t.algorithm && [lit(t.algorithm), t.key && [" with key ", lit(t.key)]]], ["Lifetime", t.verified && (t.issued_at || t.expires_at) && life(t, a.decided_at)], ["Scopes", t.scopes && chips(t.scopes)], ["Roles", t.roles?.length > 0 && plain(t.roles)], ["Revoked", t.revoked === undefined ? null : t.revoked ? plain(t.revoked) : "no"]])));
  }
  const alternatives = a.alternatives ?? [];
  if (alternatives.length > 0) {
    way.push(step(a.permitted ? "" : "stop", a.permitted ? "check" : "deny", "The rule", a.permitted ? "holds" : "denied the request here", alternatives.map((alternative, n) => [alternatives.length > 1 && h("h3", {}, n > 0 ? "or else" : "either"), requirements(alternative.requirements)]), decided?.note && h("p", { class: "soft" }, decided.note)));
  }
  if (!a.permitted) {
    const least = [...(a.least?.scopes ?? []).map((name) => scope(name, "lack")), ...(a.least?.roles ?? []).map((name) => [" role ", lit(name)]), ...(a.least?.conditions ?? []).map((term) => [" ", lit(term)])];
    way.push(step("todo", "right", "What would pass", "the smallest change", facts([["Missing", least.length > 0 && least], ["Clients that pass here", a.clients_with?.length > 0 && plain(a.clients_with)], ["What to do", a.advice]]),
      a.curl && [h("p", {}, "With such a token this passes:"), code(a.curl)], a.challenge && h("details", {}, h("summary", {}, "The challenge that the caller got"), code(`WWW-Authenticate: ${a.challenge}`)),
      h("p", { class: "acts" }, route && h("a", { class: "btn", href: `${UI}/policy?q=${encodeURIComponent(route.match ?? route)}` }, "Open the route"), " ", a.token?.client && h("a", { class: "btn", href: `${UI}/revocations?kind=client&value=${encodeURIComponent(a.token.client)}&provider=${encodeURIComponent(a.token.provider ?? "")}` }, "Revoke this client"))));
  }
  return [headline(a), h("ol", { class: "way" }, way)];
}
function others(a) {
  const list = (a.readings?.[0]?.considered ?? []).filter((other) => other.outcome !== "decides");
  return list.length > 0 && h("details", {}, h("summary", {}, `${list.length} other ${list.length === 1 ? "route was" : "routes were"} considered`), h("table", {}, h("tbody", {}, list.map((other) => h("tr", {}, h("td", {}, lit(other.match ?? other.route ?? other.pattern ?? "")), h("td", { class: "dim" }, other.source ?? ""), h("td", { class: "soft" }, words(other.outcome)))))));
}

const unknown = () => [h("h1", { class: "vh" }, "Why"), empty("why", "No decision with this id is remembered", "A node remembers its last 10,000 denials and 1,000 permits until it restarts. The log has them all. You can ask about the request itself instead.", code(`scopegate explain --request-id ${query.get("id") ?? "ID"}`))];

let by = query.has("id") ? "id" : "token";
const fields = h("div", { class: "field-set" });
let providers = [];
function drawFields() {
  const field = (id, label, input, hint) => h("div", { class: "field" }, h("label", { for: id }, label), input, hint && h("span", { class: "hint", id: `${id}-hint` }, hint));
  const text = (id, placeholder, value = "") => h("input", { id, class: "lit", placeholder, value, spellcheck: "false", autocomplete: "off" });
  put(fields, by === "token" ? field("token", "Token", h("textarea", { id: "token", rows: 5, class: "lit", spellcheck: "false", autocomplete: "off", placeholder: "eyJhbGciOi…", "aria-describedby": "token-hint" }), "Sent to this node to be verified, then discarded. It appears in no log, no audit record and no address.")
    : by === "scopes" ? [field("provider", "Provider", h("select", { id: "provider" }, providers.map((name) => h("option", {}, name)))), field("scopes", "Scopes", text("scopes", "items items:write")), field("roles", "Roles", text("roles", "analyst")), field("client", "Client", text("client", "web-shop")), field("claims", "Claims", text("claims", "org_id=acme"))]
    : by === "id" ? field("id", "Request id", text("id", "7c1e0b52a9f34d08", query.get("id") ?? ""), "From the X-Request-Id header, the response body or the log.") : h("p", { class: "soft" }, "A caller without a token."));
}
const list = (id) => $(`#${id}`).value.trim().split(/[\s,]+/).filter(Boolean);
function question() {
  if (by === "id") return { request_id: $("#id").value.trim() };
  const asked = { method: $("#method").value, url: $("#url").value.trim() };
  if (by === "token") asked.token = $("#token").value.trim();
  if (by === "scopes") {
    Object.assign(asked, { provider: $("#provider").value, scopes: list("scopes"), roles: list("roles") });
    if ($("#client").value.trim()) asked.client = $("#client").value.trim();
    const claims = Object.fromEntries(list("claims").map((pair) => pair.split("=")).filter((pair) => pair.length === 2));
    if (Object.keys(claims).length > 0) asked.claims = claims;
  }
  return asked;
}
async function explain() {
  const asked = question();
  // The command never holds the token that was pasted.
  command("POST", "/explain", asked.token ? { ...asked, token: "$TOKEN" } : asked);
  $("#answer").setAttribute("aria-busy", "true");
  try {
    const answer = await send("POST", "/explain", asked);
    put($("#answer"), stations(answer));
    if (asked.request_id) history.replaceState(null, "", `${UI}/why?id=${encodeURIComponent(asked.request_id)}`);
    shown();
  } catch (error) {
    if (error.reason === "unknown_request") put($("#answer"), unknown());
    else failed(error, explain);
  } finally {
    $("#answer").removeAttribute("aria-busy");
  }
}

function form() {
  const seen = query.get("url") ?? "";
  const choose = (value) => {
    by = value;
    asks.hidden = by === "id";
    drawFields();
  };
  const asks = h("div", { class: "field-set", hidden: by === "id" }, h("div", { class: "field" }, h("label", { for: "method" }, "Method"), h("select", { id: "method" }, ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"].map((name) => h("option", { selected: name === query.get("method") }, name)))), h("div", { class: "field" }, h("label", { for: "url" }, "URL or path"), h("textarea", { id: "url", class: "lit", rows: 2, value: seen, placeholder: "https://api.acme.example/items/42", spellcheck: "false" })));
  put($("#ask"), h("div", { class: "field" }, h("span", { class: "label" }, "Caller"), seg("Caller", [["token", "Token"], ["scopes", "Scopes"], ["anonymous", "Anonymous"], ["id", "Request id"]], by, choose)), asks, fields,
    h("div", {}, h("button", { class: "btn first", type: "submit" }, "Explain")), h("p", { class: "dim" }, "On a terminal: ", lit("scopegate explain"), ". Nothing is sent to the upstream and nothing is counted."));
  drawFields();
  $("#ask").addEventListener("submit", (event) => {
    event.preventDefault();
    explain();
  });
}
async function blank() {
  const recent = await get("/decisions?outcome=denied&limit=8").catch(() => ({ items: [] }));
  put($("#answer"), h("h1", { class: "vh" }, "Why"), empty("why", "Ask why", "Enter a method, a URL and the caller: a token, assumed scopes, or none. The answer shows which route decides, where it is declared, and how each requirement turns out."),
    recent.items.length > 0 && [h("h2", {}, "Recently denied"), h("ul", {}, recent.items.map((d) => h("li", {}, h("a", { href: `${UI}/why?id=${encodeURIComponent(d.request_id)}` }, lit(`${d.method} ${d.path}`)), h("span", { class: "dim" }, ` ${words(d.reason)}`))))]);
}
form();
session.then(() => get("/providers")).then((page) => { providers = page.items.map((p) => p.name); if (by === "scopes") drawFields(); }, () => {});
command("POST", "/explain", { method: "GET", url: "/items" });
if (query.has("id") || (query.has("url") && by === "anonymous")) await explain();
else await blank();
