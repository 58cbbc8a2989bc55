// What routes in `mode: shadow` would change: for which clients, how often, since when. And what a caller needs for a route.
import { h, verdict, lit, scope, count, code, moment } from "./dom.js";
import { get } from "./api.js";

const WORD = { permitted: "permit", denied: "deny", outage: "outage" };

// The counts of one route, or of all routes; the changes first.
export function figures(counts, match = null) {
  const items = counts.items.filter((item) => match === null || item.route?.match === match);
  const changes = items.filter((item) => item.changes), total = items.reduce((sum, item) => sum + item.count, 0);
  if (items.length === 0) return h("p", { class: "soft" }, `No request has reached ${match === null ? "a shadow rule" : "it"} since `, moment(counts.since), ".");
  const sum = changes.reduce((total_, item) => total_ + item.count, 0);
  return h("div", {}, h("p", {}, sum === 0 ? `None of ${count(total)} requests would be decided otherwise.` : `${count(sum)} of ${count(total)} requests would be decided otherwise.`),
    changes.length > 0 && h("table", { class: "fold" }, h("caption", { class: "vh" }, "Requests that the shadow rules would decide otherwise"),
      h("thead", {}, h("tr", {}, ["Route", "Client", "Now", "With the shadow rule", "Requests", "First", "Last"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, changes.map((item) => h("tr", {}, h("td", {}, lit(item.route?.match ?? "no route")), h("td", {}, item.client ? lit(item.client) : h("span", { class: "dim" }, "no client"), item.provider && h("span", { class: "dim" }, ` ${item.provider}`)), h("td", {}, verdict(WORD[item.enforced], item.enforced)), h("td", {}, verdict(WORD[item.shadow], item.shadow), item.shadow === "denied" && h("span", { class: "dim" }, ` ${(item.reason ?? "").replaceAll("_", " ")}`)), h("td", { class: "num strong" }, count(item.count)), h("td", {}, moment(item.first)), h("td", {}, moment(item.last)))))),
    counts.others > 0 && h("p", { class: "dim" }, `${count(counts.others)} more are counted without their client, as there are too many clients.`));
}
// The section of the policy page; hidden without shadow rules.
export async function shadowSection(place, routes) {
  const rules = routes.filter((route) => route.shadow);
  place.hidden = rules.length === 0;
  if (rules.length === 0) return;
  const counts = await get("/shadow");
  place.replaceChildren(h("h2", {}, "Shadow rules"), h("p", { class: "soft" }, "They change no answer: counted by this node is what they would decide."), figures(counts), h("p", { class: "soft" }, "To enforce one in place of the rule beside it:"), code(rules.slice(0, 5).map((route) => `scopegate shadow promote '${route.match}'`).join("\n")));
}
export async function shadowFigures(place, route) {
  place.replaceChildren(h("h3", {}, "What it would change"), figures(await get("/shadow"), route.match));
}

const RULE = { anonymous: "Anyone; tokens are ignored.", optional: "Anyone without a token, or with an accepted one.", authenticated: "Any accepted token.", nobody: "Nobody." };
const words = (need) => (need.kind === "all_scopes" && Array.isArray(need.needs) ? need.needs.map((name) => [scope(name), " "]) : need.text);
// The smallest sets of what a caller needs for a route, as `scopegate who` prints them.
export async function needs(place, route) {
  const answer = await get(`/who?route=${encodeURIComponent(route.id)}&match=${encodeURIComponent(route.match)}`);
  place.replaceChildren(...answer.routes.map((one) => (one.sets.length === 0 ? h("p", { class: "soft" }, RULE[one.rule] ?? one.rule) : h("ul", {}, one.sets.map((set, n) => h("li", {}, n > 0 && "or ", set.map((need, m) => [m > 0 && " and ", words(need)])))))));
}

// The keys of the routes that a caller of a client reaches, with these scopes and no more.
export const key = (route) => `${route.id} ${route.match}`;
export async function reachedBy(client, scopes) {
  const found = new Set();
  let after = null;
  do {
    const page = await get(`/routes?limit=1000&client=${encodeURIComponent(client)}&with=${encodeURIComponent(scopes.join(" "))}${after ? `&after=${after}` : ""}`);
    page.items.forEach((route) => found.add(key(route)));
    after = page.next ?? null;
  } while (after);
  return found;
}
