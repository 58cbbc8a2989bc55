// Now: what is refused, above what passes; how the node and its providers are.
import { $, h, put, icon, glyph, lit, scope, count, time, ago, code, go, opens, seg, empty, skeleton } from "./dom.js";
import { ADMIN, UI, get } from "./api.js";
import { site, failed, shown, command } from "./ui.js";
import { mirror, mini, meter } from "./chart.js";

const OUTCOME = { permitted: "permit", denied: "deny", outage: "outage", shadow: "shadow" };
const words = (reason) => (reason ?? "").replaceAll("_", " ");
const pattern = (route) => route?.match ?? "";
const why = (id) => `${UI}/why?id=${encodeURIComponent(id)}`;
const lacking = (missing) => [...(missing?.scopes ?? []), ...(missing?.roles ?? []).map((role) => `role ${role}`), ...(missing?.acr ?? []).map((acr) => `acr ${acr}`)];

// What needs a look, each with the way to it.
const LOOK = {
  keys_not_fetched: (a) => [["The keys of ", lit(a.subject), ` have not been fetched since `, time(a.since), a.until && [". The old keys stay usable until ", time(a.until)], a.share !== null && a.share !== undefined && `; ${Math.round(a.share * 100)} % of the traffic depends on them`, "."], `${UI}/providers#${a.subject}`, "Open"],
  keys_expiring: (a) => [["The keys of ", lit(a.subject), " can be used until ", time(a.until), "."], `${UI}/providers#${a.subject}`, "Open"],
  store_silent: (a) => [["The store has not answered since ", time(a.since), ". What was read still holds", a.until && [" until ", time(a.until)], "."], "#strip", "Store"],
  reload_failed: (a) => [["The configuration could not be reloaded: ", lit(a.subject)], `${UI}/policy`, "Policy"],
  left_out: (a) => [["A stored entry does not fit and is ignored: ", lit(a.subject)], `${UI}/policy?in=ignored`, "Repair"],
  node_behind: (a) => [["The node ", lit(a.subject), " decides by an older generation since ", time(a.since), "."], "#strip", "Nodes"],
  denials_rising: (a) => [[lit(a.subject), ` has been denied ${count(a.per_minute)} times a minute since `, time(a.since), ".", lacking(a.missing).length > 0 && [" It lacks ", lacking(a.missing).map((name) => scope(name, "lack")), "."]], a.request_id ? why(a.request_id) : "#groups", "Why"],
  certificate_expires: (a) => [["The certificate ", lit(a.subject), " expires at ", time(a.until), "."], "#strip", "Look"],
};
const NUMBERS = ["No", "One", "Two", "Three", "Four", "Five"];

let overview = null;
function attention(list) {
  put($("#look"), list.map((entry) => {
    const [text, href, label] = (LOOK[entry.kind] ?? ((a) => [[words(a.kind), " ", lit(a.subject ?? "")], "#strip", "Look"]))(entry);
    return h("li", {}, icon("warn"), h("span", {}, text), h("a", { class: "btn small", href }, label));
  }));
  $("#look").hidden = list.length === 0;
  const total = overview.rates.permitted.at(-2) ?? 0;
  $("#sentence").textContent = list.length > 0 ? `${NUMBERS[Math.min(5, list.length)]} ${list.length === 1 ? "thing needs" : "things need"} attention.` : total + sum(overview.rates.permitted) + sum(overview.rates.denied) === 0 ? "Ready. No requests yet." : "All is well.";
}
const micros = (value) => (value === undefined || value === null ? "–" : value < 10000 ? `${count(value)} µs` : `${count(Math.round(value / 1000))} ms`);
const sum = (values) => values.reduce((a, b) => a + b, 0);
const perSecond = (perMinute) => (perMinute >= 600 ? Math.round(perMinute / 60) : Math.round(perMinute / 6) / 10);

function chart() {
  const { permitted, denied, outages } = overview.rates;
  const minutes = permitted.map((n, index) => ({ permit: perSecond(n), deny: perSecond(denied[index] ?? 0), outage: perSecond(outages[index] ?? 0) }));
  put($("#chart"), mirror(minutes, Math.max(280, $("#chart").clientWidth)));
}
function figures(rates) {
  const n = (value, unit) => [value, h("small", {}, unit)];
  const latency = rates ?? { p50_us: overview.latency_us.p50, p99_us: overview.latency_us.p99 };
  const permitted = rates?.permitted ?? perSecond(overview.rates.permitted.at(-2) ?? 0), denied = rates?.denied ?? perSecond(overview.rates.denied.at(-2) ?? 0);
  const all = [["Permitted", n(count(permitted), "/s")], ["Denied", n(count(denied), "/s")], ["Median decision", micros(latency.p50_us || null)], ["99th percentile", micros(latency.p99_us || null)], ["Open streams", count(rates?.streams ?? overview.streams)], ["Cached tokens", count(overview.cached_tokens)]];
  put($("#figures"), all.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
function strip() {
  const cell = (href, tone, name, kind, line, left, bar) => h("a", { href }, h("strong", {}, h("span", { class: `dot ${tone}` }), name, kind && h("span", { class: "kind" }, kind), h("span", { class: "vh" }, tone === "warn" ? "needs a look" : tone === "bad" ? "failed" : "good")),
    h("div", { class: "meter" }, bar), h("p", {}, line), h("p", { class: "dim" }, left));
  const tone = (state) => ({ good: "", warning: "warn" })[state] ?? "bad";
  const used = (p) => {
    if (!p.keys_at || !p.stale_at || p.state === "good") return 0;
    return Math.min(1, Math.max(0, (Date.now() - Date.parse(p.keys_at)) / (Date.parse(p.stale_at) - Date.parse(p.keys_at))));
  };
  const ready = overview.nodes.filter((node) => node.ready).length, { store, revocations } = overview;
  put($("#strip"), overview.providers.map((p) => cell(`${UI}/providers#${p.name}`, tone(p.state), p.name, p.kind === p.name ? "" : p.kind, p.keys_at ? `keys fetched ${ago(p.keys_at)}` : p.state === "disabled" ? "disabled" : "no keys yet", p.last_error ?? (p.introspection_ms ? `introspects, ${p.introspection_ms} ms` : p.next_fetch ? ["next fetch ", time(p.next_fetch)] : ""), meter(used(p), "var(--outage)"))),
    cell("#strip", ready === overview.nodes.length ? "" : "warn", "Nodes", "", `${ready} of ${overview.nodes.length} ready`, ["generation ", String(overview.nodes.find((node) => node.self)?.generation ?? 0)], meter(0, "var(--outage)")),
    cell("#strip", tone(store.state), "Store", store.kind, store.latency_ms === null || store.latency_ms === undefined ? "" : `${store.latency_ms} ms, change ${store.change}`, store.stale_at ? ["holds until ", time(store.stale_at)] : `heard ${ago(store.heard_at)}`, meter(store.state === "good" ? 0 : 0.5, "var(--deny)")),
    cell(`${UI}/revocations`, "", "Revocations", "", revocations.in_force === 0 ? "none" : `${count(revocations.in_force)} in force`, `${count(revocations.denied_1h)} requests denied this hour`, meter(0, "var(--outage)")));
}
function passes() {
  const rows = overview.permitted ?? [];
  const timed = rows.some((r) => r.p50_us !== undefined && r.p50_us !== null);
  const heads = ["", "Per second", "Route", "Denied", ...(timed ? ["Median", "99th percentile"] : []), "Clients", "Declared in"];
  $("#passing").hidden = rows.length === 0;
  put($("#allowed"), h("table", { class: "fold" }, h("caption", { class: "vh" }, "The busiest routes of the last hour"), h("thead", {}, h("tr", {}, heads.map((name) => h("th", { class: ["", "Route", "Declared in"].includes(name) ? "" : "num", scope: "col" }, name || h("span", { class: "vh" }, "Decision"))))),
    h("tbody", {}, rows.map((r) => h("tr", {}, h("td", {}, glyph("permit")), h("td", { class: "num strong inl" }, count(r.per_s)), h("td", { class: "inl" }, lit(r.route)), h("td", { class: "num inl", "data-name": "denied" }, `${(r.denied_share * 100).toFixed(1)} %`), timed && [h("td", { class: "num drop" }, micros(r.p50_us)), h("td", { class: "num inl", "data-name": "p99" }, micros(r.p99_us))], h("td", { class: "num drop" }, count(r.clients)), h("td", { class: "dim drop" }, r.place ?? "–"))))));
}

const reasonCell = (d) => h("td", {}, words(d.reason), lacking(d.missing).map((name) => [" ", scope(name, "lack")]));
function story(d) {
  const [first] = d.examples;
  return h("div", { class: "story-in" },
    h("div", {}, h("h3", {}, "Latest examples"), h("table", {}, h("tbody", {}, d.examples.map((e) => h("tr", {}, h("td", {}, time(e.at)), h("td", {}, lit(`${e.method} ${e.path}`)), h("td", { class: "num" }, h("a", { href: why(e.request_id), class: "lit" }, e.request_id.slice(0, 16))))))),
      d.route && h("p", { class: "soft" }, "Decided by ", lit(pattern(d.route)), d.route.place && [", ", lit(d.route.place)]), d.nearest && h("p", { class: "soft" }, "Nearest route: ", lit(d.nearest.match ?? d.nearest))),
    first && h("div", {}, h("h3", {}, d.reason === "no_route" ? "Where it would match" : "What would pass"), code(`curl -X ${first.method} '${overview.site}${first.path}' \\\n  -H "Authorization: Bearer $TOKEN"${lacking(d.missing).length ? `   # with ${lacking(d.missing).join(", ")}` : ""}`),
      h("p", {}, h("a", { href: why(first.request_id) }, "Full explanation"), d.route && [" · ", h("a", { href: `${UI}/policy?q=${encodeURIComponent(pattern(d.route))}` }, "Open the route")])));
}

let order = "most", kinds = "all", groups = [];
function drawGroups() {
  const wanted = groups.filter((d) => kinds === "all" || OUTCOME[d.outcome] === kinds);
  const sorted = [...wanted].sort((a, b) => (order === "most" ? b.count - a.count : Date.parse(b.last) - Date.parse(a.last)));
  if (sorted.length === 0) return put($("#groups"), empty("permit", kinds === "all" ? "Nothing was denied in the last hour" : "None of this kind in the last hour", "Denials are grouped here by route, reason and client. Cause one to see it:", code(`curl -i '${overview.site}/'`)));
  const classes = ["w-sign", "num w-times", "w-trend", "w-route", "", "w-client", "wide-only w-place", "w-last", "w-open"];
  put($("#groups"), h("table", { class: "fold laid" }, h("caption", { class: "vh" }, "Denials of the last hour by route, reason and client"),
    h("thead", {}, h("tr", {}, ["", "Times", "", "Route", "Reason", "Client", "Declared in", "Last", ""].map((name, n) => h("th", { class: classes[n], scope: "col" }, name || h("span", { class: "vh" }, ["Decision", "", "Trend"][n] ?? "Open"))))),
    h("tbody", {}, sorted.map((d) => opens(h("tr", {}, h("td", {}, glyph(OUTCOME[d.outcome])), h("td", { class: "num strong inl" }, count(d.count)), h("td", { class: "drop" }, mini(d.trend, OUTCOME[d.outcome])), h("td", { class: "inl one" }, d.route ? lit(pattern(d.route)) : h("span", { class: "dim" }, "none")), reasonCell(d), h("td", { class: "one" }, d.client ? lit(d.client) : h("span", { class: "dim" }, "no client"), " ", h("span", { class: "dim" }, d.provider ?? "")), h("td", { class: "dim wide-only drop one" }, d.route?.place ?? "–"), h("td", { class: "dim drop" }, ago(d.last)), h("td", { class: "num side" }, go(`Details: ${d.client ?? "no client"}, ${words(d.reason)}`, icon("right")))), () => story(d), 9)))));
}

// The live list: a bounded number of rows, the newest on top; it stops while it is read.
const ROWS = 14;
let running = true, kind = "all", waiting = 0, kept = [];
const row = (d, cls = "") => {
  const outcome = d.shadow && d.outcome === "permitted" && d.shadow.outcome !== "permitted" ? "shadow" : OUTCOME[d.outcome];
  return h("tr", { class: cls }, h("td", {}, glyph(outcome)), h("td", { class: "dim side" }, time(d.at)), h("td", { class: "one" }, lit(`${d.method} ${d.path}`)), h("td", { class: "inl" }, d.outcome === "permitted" ? h("span", { class: "dim" }, "permitted") : words(d.reason)), h("td", { class: "inl" }, d.client && lit(d.client), " ", h("span", { class: "dim" }, d.provider ?? "")), h("td", { class: "num dim drop" }, micros(d.micros)), h("td", { class: "num drop" }, h("a", { class: "lit dim", href: why(d.request_id) }, d.request_id.slice(0, 12))));
};
const wanted = (d) => kind === "all" || OUTCOME[d.outcome] === kind;
function drawLive() {
  put($("#live tbody"), kept.filter(wanted).slice(0, ROWS).map((d) => row(d)));
}
function arrived(d) {
  kept = [d, ...kept].slice(0, 200);
  if (!running || document.hidden || $("#live").matches(":hover, :focus-within")) {
    waiting += 1;
    $("#waiting").textContent = `${waiting} new since`;
    return;
  }
  if (waiting > 0) {
    waiting = 0;
    $("#waiting").textContent = "";
    return drawLive();
  }
  if (!wanted(d)) return;
  $("#live tbody").prepend(row(d, "new"));
  while ($("#live tbody").rows.length > ROWS) $("#live tbody").lastChild.remove();
}
function pause() {
  running = !running;
  waiting = 0;
  $("#waiting").textContent = "";
  put($("#pause"), icon(running ? "pause" : "play"), running ? "Pause" : "Resume");
  if (running) drawLive();
}

async function loadGroups() {
  groups = (await get("/decisions?group=outcome,route,reason,provider,client&outcome=denied,outage,shadow&limit=100")).items;
  drawGroups();
}
async function load() {
  overview = await get("/overview");
  site(overview);
  attention(overview.attention);
  const denied = perSecond(overview.rates.denied.at(-2) ?? 0), permitted = perSecond(overview.rates.permitted.at(-2) ?? 0);
  $("#lede").textContent = permitted + denied === 0 ? "Decisions appear here as they are made." : `${count(permitted)} requests a second are permitted, ${count(denied)} denied.`;
  chart();
  figures();
  strip();
  passes();
  await loadGroups();
  shown();
}
const reload = () => load().catch((error) => failed(error, reload));

let source = null;
function listen() {
  source = new EventSource(`${ADMIN}/decisions`);
  let pending = null;
  source.addEventListener("decision", (event) => {
    const d = JSON.parse(event.data);
    arrived(d);
    if (d.outcome !== "permitted" && pending === null) pending = setTimeout(() => { pending = null; loadGroups().catch(() => {}); }, 1000);
  });
  source.addEventListener("rates", (event) => overview && figures(JSON.parse(event.data)));
  source.addEventListener("attention", (event) => overview && attention(JSON.parse(event.data)));
  source.addEventListener("changed", reload);
  source.addEventListener("error", () => source.readyState === EventSource.CLOSED && failed({ message: "The live connection was lost", reason: "", status: 0, problem: {} }, () => { listen(); reload(); }));
}
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => event.persisted && listen());
new ResizeObserver(() => overview && chart()).observe($("#chart"));
put($("#sort"), seg("Order", [["most", "Most"], ["newest", "Newest"]], order, (value) => { order = value; drawGroups(); }));
put($("#kinds"), seg("Kind", [["all", "All"], ["deny", "Denied", "deny"], ["outage", "Could not decide", "outage"], ["shadow", "Shadow", "shadow"]], kinds, (value) => { kinds = value; drawGroups(); }));
put($("#only"), seg("Live", [["all", "All"], ["permit", "Permitted", "permit"], ["deny", "Denied", "deny"]], kind, (value) => { kind = value; drawLive(); }));
$("#pause").addEventListener("click", pause);
addEventListener("keydown", (event) => event.key === "p" && !event.target.closest("input, textarea, select") && !$("dialog[open]") && pause());
for (const id of ["groups", "allowed"]) put($(`#${id}`), skeleton(4));
command("GET", "/overview");
await reload();
get("/decisions?limit=14").then((page) => { kept = [...kept, ...page.items]; drawLive(); }, () => {});
listen();
setInterval(() => document.hidden || reload(), 30000);
