// Revocations: a sentence to fill in, the effect it will have, and what is in force.
import { $, h, put, icon, lit, count, moment, toast, empty, seg } from "./dom.js";
import { get, send, all } from "./api.js";
import { query, session, keep, failed, command } from "./ui.js";

const FIELDS = { token: ["the token", "the token itself"], token_id: ["the token with the id", "token id (jti)"], session: ["all tokens of the session", "session id"], subject: ["all tokens of the subject", "subject (sub)"], client: ["all tokens of the client", "client id"], actor: ["all tokens of the actor", "actor (act.sub)"] };
const blocks = (kind) => !kind.startsWith("token");
let kind = FIELDS[query.get("kind")] ? query.get("kind") : "client", until = "lifted", value = query.get("value") ?? "", reason = "", provider = query.get("provider") ?? "";
let providers = [], rows = [], readOnly = true;

const body = () => ({ provider, [kind]: value, ...(blocks(kind) && until === "lifted" ? { until_lifted: true } : {}), ...(reason ? { reason } : {}) });
let asking = 0;
async function effect() {
  const mine = ++asking;
  const later = h("p", { class: "soft" }, blocks(kind) && until === "lifted" ? `The ${kind} stays blocked until you lift it, whatever new tokens it gets.` : blocks(kind) ? "Only tokens issued before this moment are denied. A caller who has the secret can get a new one: if the secret has leaked, block instead." : "The token is denied until it expires.");
  // A pasted token is not shown in the command.
  command("POST", "/revocations", kind === "token" ? { ...body(), token: "$TOKEN" } : body());
  if (!value) return put($("#effect"), h("p", { class: "dim" }, "Enter an id to see how many requests and streams this affects."));
  await new Promise((resolve) => setTimeout(resolve, 250));
  if (mine !== asking || readOnly) return put($("#effect"), later);
  try {
    const found = await send("POST", "/revocations?dry_run=true", body());
    if (mine !== asking) return;
    put($("#effect"), h("p", {}, icon("deny", "is-deny"), " This ", found.requests_1h !== undefined && ["affects ", h("b", {}, `${count(found.requests_1h)} remembered requests of the last hour`)], found.addresses !== undefined && found.addresses !== null && ` from ${count(found.addresses)} addresses`, found.requests_1h !== undefined && " and ", "ends ", h("b", {}, `${count(found.streams)} open streams`), "."), found.own_session && h("p", { class: "err-text" }, icon("warn"), " Your own session ends too."), later);
  } catch (error) {
    if (mine === asking) put($("#effect"), h("p", { class: "err-text" }, icon("warn"), ` ${error.message}`), later);
  }
}
function sentence() {
  put($("#sentence"), "Revoke", h("select", { "aria-label": "Kind", onchange: (event) => { kind = event.target.value; sentence(); } }, Object.entries(FIELDS).map(([name, [label]]) => h("option", { value: name, selected: name === kind }, label))),
    h("input", { class: "lit", "aria-label": FIELDS[kind][1], placeholder: FIELDS[kind][1], spellcheck: "false", autocomplete: "off", value, oninput: (event) => { value = event.target.value.trim(); effect(); } }),
    kind !== "token" && ["of", h("select", { "aria-label": "Provider", onchange: (event) => { provider = event.target.value; effect(); } }, providers.map((name) => h("option", { selected: name === provider }, name)))],
    blocks(kind) && seg("How long", [["lifted", "until I lift it"], ["issued", "if issued before now"]], until, (chosen) => { until = chosen; effect(); }),
    h("span", { class: "together" }, "because", h("input", { class: "wide", "aria-label": "Reason", placeholder: "a reason, for the audit", value: reason, oninput: (event) => { reason = event.target.value; } }), h("button", { class: "btn harm first", type: "submit", disabled: readOnly }, "Revoke")));
  effect();
}
const subject = (r) => ["token_id", "session", "subject", "client", "actor", "token"].map((name) => [name, r[name]]).find(([, found]) => found) ?? [r.kind ?? "", r.value ?? r.id];
async function lift(r) {
  try {
    await send("DELETE", `/revocations/${encodeURIComponent(r.id)}`);
    toast(`Lifted: ${subject(r).join(" ")} is permitted again.`);
    await load();
  } catch (error) {
    failed(error, () => lift(r));
  }
}
function table() {
  const needle = $("#q").value.toLowerCase();
  const found = rows.filter((r) => [subject(r).join(" "), r.provider, r.reason, r.by].join(" ").toLowerCase().includes(needle));
  if (found.length === 0) return put($("#list"), empty("revoke", needle ? "None matches" : "Nothing is revoked", needle ? "Ids, providers, reasons and actors were searched." : "Tokens expire on their own. Revoke one here, or everything of a client, when that is too late."));
  const heads = ["Kind", "Id", "Provider", "Until", "Since", "Denied", "Streams cut", "By", ""];
  put($("#list"), h("table", { class: "fold flat revs" }, h("caption", { class: "vh" }, "Revocations in force, the newest first"), h("thead", {}, h("tr", {}, heads.map((name, n) => h("th", { class: n === 5 || n === 6 ? "num" : "", scope: "col" }, name || h("span", { class: "vh" }, "Lift"))))),
    h("tbody", {}, found.map((r) => h("tr", {}, h("td", { class: "soft" }, subject(r)[0].replaceAll("_", " ")), h("td", {}, lit(subject(r)[1]), r.reason && h("div", { class: "dim" }, r.reason)), h("td", { class: "inl" }, r.provider ? lit(r.provider) : ""), h("td", { class: "inl" }, r.until_lifted ? h("span", { class: "tag is-deny" }, "blocked until lifted") : ["issued before ", moment(r.issued_before)]), h("td", { class: "dim drop" }, moment(r.created_at ?? r.at)), h("td", { class: "num inl", "data-name": "denied" }, count(r.denied_1h ?? r.refused)), h("td", { class: "num inl", "data-name": "streams" }, count(r.streams_cut)), h("td", { class: "soft drop" }, r.by ?? r.actor ?? ""), h("td", { class: "num side" }, h("button", { class: "btn small", type: "button", disabled: readOnly, onclick: () => lift(r), "aria-label": `Lift ${subject(r).join(" ")}` }, icon("undo"), r.until_lifted ? "Lift" : "Undo")))))));
}
async function load() {
  rows = (await all("/revocations")).sort((a, b) => (b.created_at ?? b.at ?? "").localeCompare(a.created_at ?? a.at ?? ""));
  $("#lede").textContent = rows.length === 0 ? "None in force. A new one holds on every node within a second." : `${count(rows.length)} in force. A new one holds on every node within a second.`;
  table();
}
$("#q").addEventListener("input", table);
$("#revoke").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!value) return $("#sentence input").focus();
  try {
    const made = await send("POST", "/revocations", body());
    toast(`Revoked: ${kind.replaceAll("_", " ")} ${kind === "token" ? "" : value}.`, "Undo", () => lift(made));
    value = "";
    sentence();
    await load();
  } catch (error) {
    failed(error);
  }
});
const found = await session;
readOnly = found.readOnly;
providers = (await get("/providers")).items.map((p) => p.name);
provider ||= providers.includes(found.provider) ? found.provider : (providers[0] ?? "");
sentence();
await keep(load);
