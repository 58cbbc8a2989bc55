// Providers: the life of their keys in the last day, and the ways out when something goes wrong.
import { $, h, s, put, icon, lit, count, time, moment, ago, dialog, toast, empty } from "./dom.js";
import { get, send } from "./api.js";
import { session, keep, failed, command, site } from "./ui.js";

const short = (kid) => (kid.length > 16 ? `${kid.slice(0, 8)}…${kid.slice(-5)}` : kid);
const hours = (at) => (Date.parse(at) - Date.now()) / 3600e3;
let readOnly = true, own = "";

// A lane for each key, one for the fetches. x runs from 24 hours ago to 2 hours ahead.
function timeline(p, width) {
  const keys = p.keys ?? [], fetches = p.fetches ?? [], lane = 24, left = 118;
  const height = keys.length * lane + 54, base = keys.length * lane + 14;
  const x = (hour) => left + ((Math.min(2, Math.max(-24, hour)) + 24) / 26) * (width - left - 4);
  const ticks = (width < 560 ? [-24, -12, 0] : [-24, -18, -12, -6, 0]).map((hour) => [s("path", { d: `M${x(hour)} 4V${base + 12}`, stroke: hour === 0 ? "var(--ink)" : "var(--line)", "stroke-width": hour === 0 ? 1.5 : 1 }), s("text", { x: x(hour), y: height - 3, "text-anchor": hour === 0 ? "middle" : "start" }, hour === 0 ? "now" : `${-hour} h ago`)]);
  const lanes = keys.map((key, n) => {
    const y = n * lane + 12, from = key.first_seen ? hours(key.first_seen) : -24, gone = key.gone_at ? hours(key.gone_at) : null, signed = (key.signed ?? []).map(([a, b]) => [hours(a), hours(b)]);
    return [s("text", { class: "kid", x: 0, y: y + 4 }, s("title", {}, key.kid ?? "without id"), short(key.kid ?? "without id")),
      s("path", { d: `M${x(from)} ${y}H${x(Math.min(0, gone ?? 2))}`, stroke: key.distrusted ? "var(--deny)" : "var(--control)", "stroke-width": 3, "stroke-dasharray": key.distrusted ? "2 3" : "none" }),
      signed.map(([a, b]) => s("path", { d: `M${x(a)} ${y}H${Math.max(x(a) + 2, x(b))}`, stroke: "var(--permit)", "stroke-width": 9 })),
      gone === null && !key.distrusted && s("path", { d: `M${x(0)} ${y}H${x(2)}`, stroke: "var(--control)", "stroke-width": 1.5, "stroke-dasharray": "2 4" }),
      [from > -24 && from, gone].filter(Number.isFinite).map((hour) => s("path", { d: `M${x(hour)} ${y - 8}v16`, stroke: "var(--ink)", "stroke-width": 1.5 }))];
  });
  const marks = fetches.map((fetch) => (fetch.ok ? s("path", { d: `M${x(hours(fetch.at))} ${base - 4}v9`, stroke: "var(--ink-3)", "stroke-width": 1.5 }) : s("path", { d: `M${x(hours(fetch.at)) - 4} ${base - 4}l8 8m0 -8l-8 8`, stroke: "var(--deny)", "stroke-width": 2 })));
  return s("svg", { class: "line-t", height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${p.name}: ${keys.length} keys in the last 24 hours, ${fetches.length} fetches, ${fetches.filter((fetch) => !fetch.ok).length} failed` },
    ticks, lanes, s("text", { x: 0, y: base + 4 }, "fetches"), marks);
}

async function act(path, done, undo) {
  try {
    await send("POST", path);
    toast(done, undo ? "Undo" : undefined, undo && (() => act(undo, "Undone.")));
    await load();
  } catch (error) {
    failed(error, () => act(path, done, undo));
  }
}
function confirm(title, consequence, word, label, run) {
  const typed = h("input", { id: "typed", class: "lit", autocomplete: "off", spellcheck: "false", oninput: () => { sure.disabled = typed.value !== word; } });
  const sure = h("button", { class: "btn harm first", type: "button", disabled: true, onclick: () => { box.close(); run(); } }, label);
  const box = dialog(title, [consequence, h("div", { class: "field" }, h("label", { for: "typed" }, "Type ", lit(word), " to confirm"), typed)], [h("p", {}, "On every node within a second."), h("button", { class: "btn", type: "button", onclick: () => box.close() }, "Cancel"), sure]);
  typed.focus();
}
const losses = (...items) => h("ul", { class: "losses" }, items.filter(Boolean).map((item) => h("li", {}, icon("deny"), h("div", {}, item))));
const at = (p, rest) => `/providers/${encodeURIComponent(p.name)}${rest}`;
async function dry(path) {
  return send("POST", `${path}?dry_run=true`).catch(() => ({}));
}
async function disable(p) {
  const found = await dry(at(p, "/disable"));
  confirm(`Disable ${p.name}?`, losses([h("b", {}, `${count(found.requests_1h ?? p.requests_1h ?? 0)} requests`), " of the last hour carried its tokens; such requests get 401 ", lit("provider_disabled"), "."], [h("b", {}, `${count(found.streams ?? p.streams ?? 0)} open streams`), " end now."], found.own_session || p.name === own ? ["Your own session ends too. To undo this, run ", lit(`scopegate provider enable ${p.name}`), " on a node."] : "Your own session uses another provider and continues."), p.name, "Disable", () => act(at(p, "/disable"), `${p.name} is disabled.`, at(p, "/enable")));
}
async function distrust(p, key) {
  const found = await dry(at(p, `/keys/${encodeURIComponent(key.kid)}/distrust`));
  confirm(`Distrust this key of ${p.name}?`, h("div", {}, h("p", {}, lit(key.kid)), losses([h("b", {}, `${found.streams ?? 0} open streams`), " depend on tokens signed by it and end now. Its tokens get 401 until their holders have tokens signed by another key."], found.own_session && "Your own session ends too.", "It stays distrusted, even if the issuer keeps publishing it, until you trust it again.")), key.kid.slice(0, 6), "Distrust", () => act(at(p, `/keys/${encodeURIComponent(key.kid)}/distrust`), "The key is distrusted.", at(p, `/keys/${encodeURIComponent(key.kid)}/trust`)));
}
const button = (label, mark, run, cls = "") => h("button", { class: `btn small ${cls}`, type: "button", disabled: readOnly, onclick: run }, mark && icon(mark), label);
const known = (value, shown) => (value === undefined || value === null ? "–" : shown(value));
const state = (key) => (key.distrusted ? "distrusted" : key.gone_at ? ["withdrawn ", ago(key.gone_at)] : (key.tokens_1h ?? 0) > 0 || key.last_used ? "signs" : key.tokens_1h === 0 ? "published, not in use" : "published");
function keyRow(p, key) {
  const action = key.gone_at || !key.kid ? "" : key.distrusted ? button("Trust again", null, () => act(at(p, `/keys/${encodeURIComponent(key.kid)}/trust`), "The key is trusted again.", at(p, `/keys/${encodeURIComponent(key.kid)}/distrust`))) : button("Distrust…", null, () => distrust(p, key));
  return h("tr", {}, h("td", {}, lit(short(key.kid ?? "without id"))), h("td", { class: "inl drop" }, key.algorithm ?? key.alg ?? ""), h("td", { class: "inl", "data-name": "since" }, moment(key.first_seen)), h("td", { class: "num inl", "data-name": "an hour" }, known(key.tokens_1h, count)), h("td", { class: "dim drop" }, known(key.last_used, ago)), h("td", { class: key.distrusted ? "err-text" : "soft" }, state(key)), h("td", { class: "num side" }, action));
}
function article(p) {
  const box = h("div"), draw = () => put(box, timeline(p, Math.max(300, box.clientWidth)));
  const tone = p.disabled ? "bad" : p.ready === false ? "bad" : p.last_error ? "warn" : "";
  const pairs = [["Keys fetched", p.keys_at ? moment(p.keys_at) : "never"], ["Next fetch", time(p.next_fetch)], ["Usable until", p.stale_at && moment(p.stale_at)], ["Last error", p.last_error ? h("span", { class: "err-text" }, p.last_error) : h("span", { class: "dim" }, "none")], ["Unknown key ids", p.unknown_kid && `${p.unknown_kid.left} left`], ["Traffic", p.share !== undefined && p.share !== null && `${Math.round(p.share * 100)} %, ${count(p.requests_1h)} requests an hour`]].filter(([, value]) => value);
  const table = h("table", { class: "fold keys-t" }, h("caption", { class: "vh" }, `Keys of ${p.name}`), h("thead", {}, h("tr", {}, ["Key", "Algorithm", "First seen", "Tokens an hour", "Last used", "State", ""].map((name, n) => h("th", { class: n === 3 ? "num" : "", scope: "col" }, name || h("span", { class: "vh" }, "Action"))))), h("tbody", {}, (p.keys ?? []).map((key) => keyRow(p, key))));
  const node = h("section", { class: "prov", id: p.name, "aria-label": p.name },
    h("div", { class: "sect" }, h("h2", {}, h("span", { class: `dot ${tone}` }), p.name, p.disabled ? h("span", { class: "tag is-deny" }, "disabled") : p.last_error && h("span", { class: "tag is-outage" }, "last fetch failed")), h("span", { class: "dim lit" }, p.issuer ?? (p.issuers ?? []).join(" ")),
      h("div", { class: "acts" }, button("Fetch keys now", "refresh", () => act(at(p, "/refresh"), "Fetched.")), p.disabled ? button("Enable", null, () => act(at(p, "/enable"), `${p.name} is enabled.`, at(p, "/disable"))) : button("Disable…", null, () => disable(p), "harm"))),
    h("div", { class: "prov-in" }, h("dl", { class: "kv" }, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])), h("div", {}, box, table)));
  requestAnimationFrame(() => {
    draw();
    new ResizeObserver(draw).observe(box);
  });
  return node;
}
async function load() {
  const { items } = await get("/providers");
  put($("#providers"), items.length === 0 ? empty("keys", "No provider is configured", "Without a provider no token is valid, so only public routes answer. Add one under providers in the configuration file.") : items.map(article));
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}
const found = await session;
readOnly = found.readOnly;
own = found.provider;
command("GET", "/providers");
get("/overview").then(site, () => {});
await keep(load);
