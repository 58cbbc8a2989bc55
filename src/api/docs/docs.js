"use strict";

// Everything that this page calls is served where the page came from, whatever name that place goes by in the document.
function home(url) {
  const called = new URL(url, window.location.href);
  return window.location.origin + called.pathname + called.search;
}

// Basic wants id and secret form-encoded before they are joined (RFC 6749, section 2.3.1); Swagger UI joins them as they are.
function encoded(authorization) {
  const bytes = Uint8Array.from(atob(authorization.slice("Basic ".length)), (byte) => byte.charCodeAt(0));
  const joined = new TextDecoder().decode(bytes);
  const colon = joined.indexOf(":");
  const parts = [joined.slice(0, colon), joined.slice(colon + 1)];
  return "Basic " + btoa(parts.map(encodeURIComponent).join(":"));
}

// Dark as the operator page is, or as the system is.
const system = window.matchMedia("(prefers-color-scheme: dark)");
function theme() {
  let chosen = null;
  try {
    chosen = window.localStorage.getItem("theme");
  } catch {
    chosen = null;
  }
  document.documentElement.classList.toggle("dark-mode", chosen ? chosen === "dark" : system.matches);
}
theme();
system.addEventListener("change", theme);

// A pasted token is in this field and nowhere else.
const pasted = document.getElementById("pasted");
document.getElementById("pasted-clear").addEventListener("click", () => {
  pasted.value = "";
  pasted.focus();
});

window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  displayRequestDuration: true,
  queryConfigEnabled: false,
  validatorUrl: null,
  requestInterceptor(request) {
    request.url = home(request.url);
    // Else the browser asks for a password of its own when a secret was wrong (401 with a challenge for Basic).
    request.credentials = "omit";
    const authorization = request.headers && request.headers.Authorization;
    if (typeof authorization === "string" && authorization.startsWith("Basic ")) {
      request.headers.Authorization = encoded(authorization);
    }
    const token = pasted.value.trim().replace(/^Bearer /i, "");
    if (authorization === undefined && token !== "" && !request.loadSpec) {
      request.headers = { ...request.headers, Authorization: `Bearer ${token}` };
    }
    return request;
  },
});
