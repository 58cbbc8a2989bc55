// What every screen has: session, node, theme, keys, find, read-only look.
import { $, h, put, dialog, fault, code } from "./dom.js";
import { UI, get, curl } from "./api.js";

const screens = ["/", "/why", "/policy", "/providers", "/revocations", "/audit"];
export const query = new URLSearchParams(location.search);

const root = document.documentElement;
const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
function turn() {
  root.dataset.theme = dark() ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
}
for (const button of document.querySelectorAll("[data-act=theme]")) button.addEventListener("click", turn);

export function help() {
  const keys = [["/", "Find a route, a client or a request id"], ["1 – 6", "Go to a screen"], ["↑ ↓", "Next or previous row"], ["Enter", "Open the row"], ["Esc", "Close; leave a field"], ["p", "Pause or resume the live list"], ["t", "Light or dark"], ["?", "This list"]];
  dialog("Keyboard shortcuts", h("dl", { class: "keys" }, keys.map(([key, effect]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, effect)])));
}
for (const button of document.querySelectorAll("[data-act=help]")) button.addEventListener("click", help);

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input:not([type=radio], [type=checkbox]), textarea, select");
  if (event.key === "Escape" && typing) return typing.blur();
  if (typing || $("dialog[open]")) return;
  const row = event.target.closest(".go");
  if (row && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    const rows = [...row.closest("table").querySelectorAll(".go")];
    rows[rows.indexOf(row) + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
    return event.preventDefault();
  }
  if (event.key === "/") {
    $("#find")?.focus();
    event.preventDefault();
  } else if (event.key === "?") help();
  else if (event.key === "t") turn();
  else if (/^[1-6]$/.test(event.key)) location.assign(UI + screens[event.key - 1]);
});
$(".find")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("#find").value.trim();
  location.assign(/^[0-9a-f-]{16,}$/i.test(text) ? `${UI}/why?id=${encodeURIComponent(text)}` : `${UI}/policy?q=${encodeURIComponent(text)}`);
});

// The session says what this caller may do. Controls that change are disabled for readers; the node refuses anyway.
export const session = get("/session").then((found) => {
  const readOnly = !found.may.includes("change");
  if (readOnly) root.dataset.role = "read-only";
  const name = $(".who b"), role = $(".who span");
  if (name) name.textContent = found.actor.replace(`${found.provider}:`, "");
  if (role) role.textContent = `by ${found.provider}, until ${new Date(found.expires_at).toLocaleTimeString("en-GB", { timeStyle: "short" })}${readOnly ? ", read only" : ""}`;
  return { ...found, readOnly };
});

export function site(overview) {
  const ready = overview.nodes.filter((node) => node.ready).length, own = overview.nodes.find((node) => node.self) ?? overview.nodes[0];
  put($(".site"), h("span", {}, h("b", {}, new URL(overview.site, location).host)), h("span", {}, `${overview.version}, generation ${own?.generation ?? 0}`),
    h("span", { class: "keep" }, h("span", { class: `dot ${ready === overview.nodes.length ? "" : "warn"}` }), ` ${ready} of ${overview.nodes.length} ${overview.nodes.length === 1 ? "node" : "nodes"} ready`));
}

// A band above the content; what was shown before stays, with its age.
let shownAt = null;
export function shown() {
  shownAt = new Date();
  $("main > .fault")?.remove();
}
export function failed(error, again) {
  $("main > .fault")?.remove();
  const since = shownAt ? ` What you see is from ${shownAt.toLocaleTimeString("en-GB")}.` : "";
  const needs = error.status === 403 && error.problem.missing_scopes ? ` Your token lacks ${error.problem.missing_scopes.join(", ")}.` : "";
  $("main").prepend(fault(`${error.message}${error.reason ? ` (${error.reason})` : ""}.${needs}${since}`.replace("..", "."), again));
}

// Asks again when the window gets the focus, and shows what went wrong.
export function keep(load) {
  const run = () => load().then(shown, (error) => failed(error, run));
  addEventListener("focus", () => document.visibilityState === "visible" && run());
  return run();
}

// The command that does what the screen shows.
export function command(method, path, body) {
  put($("#command"), h("details", {}, h("summary", {}, "The same on a terminal"), code(curl(method, path, body))));
}
