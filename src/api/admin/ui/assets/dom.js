// Elements are created, never parsed from text: nothing that a caller sent can become markup.
const ICONS = new URL("icons.svg", import.meta.url).pathname;
const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, kids) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...kids.flat(Infinity).filter((kid) => kid !== undefined && kid !== null && kid !== false));
  return element;
}
export const h = (tag, props, ...kids) => fill(document.createElement(tag), props, kids);
export const s = (tag, props, ...kids) => fill(document.createElementNS(SVG, tag), props, kids);
export const $ = (selector, root = document) => root.querySelector(selector);
export const put = (root, ...kids) => root.replaceChildren(...kids.flat(Infinity).filter(Boolean));
export const icon = (name, cls = "") => s("svg", { class: `i ${cls}`, "aria-hidden": "true" }, s("use", { href: `${ICONS}#${name}` }));

// A decision: shape, colour and word. The word may be hidden, never left out.
const WORDS = { permit: "permitted", deny: "denied", outage: "could not decide", shadow: "shadow" };
export const verdict = (outcome, word = WORDS[outcome]) => h("span", { class: `verdict is-${outcome}` }, icon(outcome), h("span", {}, word));
export const glyph = (outcome) => h("span", { class: `is-${outcome}`, title: WORDS[outcome] }, icon(outcome), h("span", { class: "vh" }, WORDS[outcome]));

export const lit = (text, cls = "") => h("code", { class: `lit ${cls}`, title: String(text).length > 48 ? text : undefined }, text);
export const scope = (name, state) => h("span", { class: `chip ${state ?? ""}` }, state === "lack" && icon("minus"), state === "has" && icon("check"), state === "lack" && h("span", { class: "vh" }, "lacks "), name);
export const count = (n) => Number(n ?? 0).toLocaleString("en-US");
export const time = (at) => (at ? h("time", { datetime: at, title: at }, new Date(at).toLocaleTimeString("en-GB")) : h("span", { class: "dim" }, "never"));
export const moment = (at) => (at ? h("time", { datetime: at }, new Date(at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" })) : h("span", { class: "dim" }, "never"));
export function ago(at) {
  if (!at) return "never";
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(at)) / 1000));
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} d ago`;
}

export function code(text, label = "Copy") {
  const button = h("button", { class: "btn small", type: "button", onclick: async () => {
    await navigator.clipboard?.writeText(text).catch(() => {});
    button.lastChild.textContent = "Copied";
    setTimeout(() => { button.lastChild.textContent = label; }, 1500);
  } }, icon("copy"), h("span", { "aria-live": "polite" }, label));
  return h("div", { class: "code" }, h("pre", { tabindex: "0" }, text), button);
}

// A row has at most one control of its own, `.go`: the arrow keys go from one to the next. A click on the row is one on it.
export const go = (label, ...kids) => h("button", { class: "go", type: "button", "aria-label": label }, kids);
export function opens(row, details, columns) {
  const button = $(".go", row);
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    if (open) row.after(h("tr", { class: "more" }, h("td", { colspan: columns }, details())));
    else row.nextElementSibling.remove();
  });
  return clicks(row);
}
export function clicks(row) {
  row.addEventListener("click", (event) => event.target.closest("a, button, input") || $(".go", row).click());
  return row;
}

export function seg(name, options, chosen, onchange) {
  return h("span", { class: "seg", role: "radiogroup", "aria-label": name }, options.map(([value, label, mark]) =>
    h("label", {}, h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => onchange(value) }), mark && icon(mark), label)));
}

export function dialog(title, body, foot, cls = "") {
  const close = h("button", { class: "btn bare", type: "button", "aria-label": "Close", onclick: () => box.close() }, icon("close"));
  const box = h("dialog", { class: cls, "aria-label": typeof title === "string" ? title : "Details", onclose: () => box.remove() },
    h("div", { class: "d-head" }, h("div", { tabindex: "-1", autofocus: true }, typeof title === "string" ? h("h2", {}, title) : title), close),
    h("div", { class: "d-body" }, body), foot && h("div", { class: "d-foot" }, foot));
  document.body.append(box);
  box.showModal();
  return box;
}

export function toast(message, label, act) {
  const box = $(".toast");
  put(box, h("span", {}, message), label ? h("button", { class: "btn small", type: "button", onclick: () => { act?.(); put(box); } }, icon("undo"), label) : h("span"));
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => put(box), 10000);
}

export const empty = (mark, title, text, ...more) => h("div", { class: "empty" }, icon(mark), h("h2", {}, title), h("p", {}, text), ...more);
export const fault = (text, again) => h("div", { class: "fault", role: "alert" }, icon("warn"), h("span", {}, text), h("button", { class: "btn small", type: "button", onclick: again ?? (() => location.reload()) }, icon("refresh"), "Try again"));
export const skeleton = (rows) => h("div", { "aria-busy": "true", "aria-label": "Loading" }, Array.from({ length: rows }, (_, n) => {
  const bar = h("span", { class: "skel" });
  bar.style.width = `${88 - ((n * 37) % 50)}%`;
  bar.style.margin = "16px 0";
  return bar;
}));
