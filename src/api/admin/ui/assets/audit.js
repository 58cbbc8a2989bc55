// Audit: who changed what, with the difference.
import { $, h, put, icon, lit, moment, go, opens, empty } from "./dom.js";
import { ADMIN, get } from "./api.js";
import { query, keep, command, site } from "./ui.js";

const DAYS = { "1": "today", "7": "7 days", "30": "30 days" };
const actors = new Set(), actions = new Set();
let rows = [];

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 1));
// What was and what is, line by line; a record of an older version tells only what is.
function difference(record) {
  const lines = (value) => (value === null || value === undefined ? [] : text(value).split("\n"));
  const was = lines(record.before), is = lines(record.detail);
  const entries = [...was.filter((line) => !is.includes(line)).map((line) => ["del", "−", line]), ...is.map((line) => (was.includes(line) ? ["", "", line] : ["add", "+", line]))];
  return h("div", { class: "diff", role: "group", "aria-label": "Difference" }, entries.map(([cls, sign, line]) => h("span", { class: cls }, h("b", {}, sign), line)));
}
const rejected = (record) => record.rejected === true || record.action === "rejected";
function table() {
  if (rows.length === 0) return put($("#list"), empty("audit", "No changes", "Every change of scopes, routes, revocations and providers is recorded here, including rejected attempts."));
  put($("#list"), h("table", { class: "fold" }, h("caption", { class: "vh" }, "Changes, the newest first"), h("thead", {}, h("tr", {}, ["", "Time", "Actor", "Action", "Target", "Change"].map((name, n) => h("th", { class: n === 5 ? "num" : "", scope: "col" }, name || h("span", { class: "vh" }, "Open"))))),
    h("tbody", {}, rows.map((record) => opens(h("tr", {}, h("td", {}, go(`Details: ${record.action} ${record.name}`, icon("right"))), h("td", { class: "dim inl" }, moment(record.at)), h("td", { class: "inl" }, lit(record.actor)), h("td", { class: `inl ${rejected(record) ? "err-text" : ""}` }, rejected(record) && [icon("deny"), " "], record.action.replaceAll("_", " ")), h("td", {}, lit(record.name)), h("td", { class: "num dim drop" }, record.change ?? "none")), () => [difference(record), h("p", { class: "dim" }, rejected(record) ? "Nothing was changed." : `Change ${record.change}.`)], 6)))));
}
function filters() {
  const wanted = new URLSearchParams({ order: "desc", limit: "200" });
  if ($("#q").value.trim()) wanted.set("q", $("#q").value.trim());
  if ($("#actor").value) wanted.set("actor", $("#actor").value);
  if ($("#action").value) wanted.set("action", $("#action").value);
  wanted.set("from", new Date(Date.now() - Number($("#from").value) * 86400e3).toISOString());
  return wanted;
}
async function load() {
  rows = (await get(`/audit?${filters()}`)).items;
  if (rows.some((record, n) => n > 0 && record.at > rows[n - 1].at)) rows.reverse();
  for (const record of rows) {
    actors.add(record.actor);
    actions.add(record.action);
  }
  for (const [id, label, names] of [["actor", "anyone", actors], ["action", "anything", actions]]) {
    const chosen = $(`#${id}`).value;
    put($(`#${id}`), h("option", { value: "" }, label), [...names].sort().map((name) => h("option", { value: name, selected: name === chosen }, name.replaceAll("_", " "))));
  }
  $("#export").setAttribute("href", `${ADMIN}/audit?${filters()}&format=ndjson`);
  command("GET", `/audit?${filters()}`);
  table();
}
put($("#from"), Object.entries(DAYS).map(([days, label]) => h("option", { value: days, selected: days === (query.get("from") ?? "7") }, label)));
$("#q").value = query.get("q") ?? "";
const run = () => keep(load);
let timer = null;
for (const id of ["q", "actor", "action", "from"]) $(`#${id}`).addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => load().catch(() => {}), 200); });
get("/overview").then(site, () => {});
await run();
