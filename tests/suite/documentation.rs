//! The README and the manual hold what works: configurations are good, Rust compiles, pieces are those of tested files.

use crate::support::run;

/// Each page with its text.
const PAGES: [(&str, &str); 15] = [
    ("README.md", include_str!("../../README.md")),
    ("manual/architecture.md", include_str!("../../src/manual/architecture.md")),
    ("manual/install.md", include_str!("../../src/manual/install.md")),
    ("manual/kubernetes.md", include_str!("../../src/manual/kubernetes.md")),
    ("manual/mcp.md", include_str!("../../src/manual/mcp.md")),
    ("manual/operations.md", include_str!("../../src/manual/operations.md")),
    ("manual/providers.md", include_str!("../../src/manual/providers.md")),
    ("manual/runbook.md", include_str!("../../src/manual/runbook.md")),
    ("manual/sizing.md", include_str!("../../src/manual/sizing.md")),
    ("manual/threats.md", include_str!("../../src/manual/threats.md")),
    ("manual/proxies/nginx.md", include_str!("../../src/manual/proxies/nginx.md")),
    ("manual/proxies/caddy.md", include_str!("../../src/manual/proxies/caddy.md")),
    ("manual/proxies/traefik.md", include_str!("../../src/manual/proxies/traefik.md")),
    ("manual/proxies/envoy.md", include_str!("../../src/manual/proxies/envoy.md")),
    ("manual/proxies/haproxy.md", include_str!("../../src/manual/proxies/haproxy.md")),
];

/// Sections that stand beside a block that lacks them: a block with `providers` and `routes` is complete.
const BESIDE: [(&str, &str); 4] = [
    ("providers", "{ okta: { issuer: https://acme.okta.com/oauth2/default, audience: api://default } }"),
    ("scopes", "{ items: Read items, orders: Read orders, reports: Read reports }"),
    ("routes", "[ { match: /items/**, allow: authenticated } ]"),
    ("upstreams", "{ orders: { url: http://127.0.0.1:9001 } }"),
];

/// Files that blocks name.
const FILES: [(&str, &str); 5] = [
    ("secret", "Bearer a-secret-of-an-example"),
    ("tls.crt", "-----BEGIN CERTIFICATE-----\n"),
    ("tls.key", "-----BEGIN PRIVATE KEY-----\n"),
    ("clients.crt", "-----BEGIN CERTIFICATE-----\n"),
    ("openapi.json", r#"{"openapi":"3.1.0","info":{"title":"a","version":"1"},"paths":{}}"#),
];

/// Returns the code blocks whose info string begins with `language`.
fn blocks(text: &'static str, language: &str) -> Vec<&'static str> {
    let mut blocks = Vec::new();
    for part in text.split("\n```").skip(1).step_by(2) {
        let (info, code) = part.split_once('\n').unwrap_or((part, ""));
        if info.split(',').next() == Some(language) {
            blocks.push(code);
        }
    }
    blocks
}

fn has_section(block: &str, name: &str) -> bool {
    block.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))
}

/// Returns the block as a whole configuration.
fn completed(block: &str) -> String {
    let mut whole = block.replace("http://127.0.0.1:9001/openapi.json", "openapi.json");
    // The variables of the examples are not set here: a file stands for each.
    while let Some((before, rest)) = whole.split_once("{ env: ") {
        let (_, after) = rest.split_once('}').unwrap();
        whole = format!("{before}{{ file: secret }}{after}");
    }
    if !(has_section(block, "providers") && has_section(block, "routes")) {
        for (name, section) in BESIDE {
            if !has_section(block, name) {
                whole.extend(["\n", name, ": ", section, "\n"]);
            }
        }
    }
    whole
}

#[test]
fn every_yaml_block_is_a_good_configuration() {
    let mut bad = Vec::new();
    let mut count = 0;
    for (page, text) in PAGES {
        for block in blocks(text, "yaml") {
            count += 1;
            let whole = completed(block);
            let files = [&[("scopegate.yaml", whole.as_str())], &FILES[..]].concat();
            let checked = run(&files, &["check"]);
            if checked.code != 0 {
                bad.push(format!("{page}:\n{whole}\n{}{}", checked.stdout, checked.stderr));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(count >= 15, "only {count} blocks were found");
}

/// The pieces that the pages of proxies show, with the complete file that the tests run.
const PIECES: [(&str, &str); 5] = [
    ("manual/proxies/nginx.md", include_str!("../../src/manual/proxies/nginx.conf")),
    ("manual/proxies/caddy.md", include_str!("../../src/manual/proxies/Caddyfile")),
    ("manual/proxies/traefik.md", include_str!("../../src/manual/proxies/traefik.yaml")),
    (
        "manual/proxies/envoy.md",
        concat!(
            include_str!("../../src/manual/proxies/envoy.yaml"),
            include_str!("../../src/manual/proxies/envoy-grpc.yaml")
        ),
    ),
    ("manual/proxies/haproxy.md", include_str!("../../src/manual/proxies/haproxy.cfg")),
];

/// Directives of the complete files that an existing configuration has of its own.
const SKELETON: [&str; 48] = [
    "worker_processes 1;",
    "events { worker_connections 1024; }",
    "http {",
    "upstream api { server 127.0.0.1:9001; }",
    "server {",
    "listen 127.0.0.1:8000;",
    "location / {",
    "proxy_pass http://api;",
    "{",
    "}",
    "admin off",
    "auto_https off",
    "http://:8000 {",
    "bind 127.0.0.1",
    "handle {",
    "http:",
    "routers:",
    "api:",
    "rule: PathPrefix(`/`)",
    "middlewares: [scopegate, stripped]",
    "service: api",
    "services:",
    "loadBalancer:",
    "servers: [{ url: http://10.42.0.9:9001 }]",
    "name: envoy.filters.network.http_connection_manager",
    "typed_config:",
    "\"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "stat_prefix: api",
    "route_config:",
    "virtual_hosts:",
    "- name: api",
    "domains: [\"*\"]",
    "routes:",
    "- match: { prefix: / }",
    "route: { cluster: api }",
    "http_filters:",
    "- name: envoy.filters.http.router",
    "typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }",
    "global",
    "defaults",
    "mode http",
    "timeout connect 5s",
    "timeout client 30s",
    "timeout server 30s",
    "frontend api",
    "default_backend api",
    "backend api",
    "server api 127.0.0.1:9001",
];

/// Returns the directives of a proxy's configuration.
fn directives(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn the_pieces_for_existing_proxies_are_the_tested_files() {
    let mut wrong = Vec::new();
    for (page, complete) in PIECES {
        let (_, text) = PAGES.into_iter().find(|(name, _)| *name == page).unwrap();
        let languages = ["nginx", "caddyfile", "haproxy", "text"];
        let pieces =
            languages.into_iter().flat_map(|language| blocks(text, language)).collect::<Vec<_>>().join("\n");
        for line in directives(&pieces).filter(|line| !directives(complete).any(|other| other == *line)) {
            wrong.push(format!("{page}: `{line}` is not in the complete file"));
        }
        for line in directives(complete) {
            let is_own = SKELETON.contains(&line) || line.starts_with("bind ");
            if !is_own && !directives(&pieces).any(|other| other == line) {
                wrong.push(format!("{page}: `{line}` is in the complete file only"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where the token comes in another header or a cookie, each proxy has to pass on scopegate's answer about it.
#[test]
fn the_page_of_each_proxy_names_the_fields_of_accept_token() {
    for (page, _) in PIECES {
        let (_, text) = PAGES.into_iter().find(|(name, _)| *name == page).unwrap();
        let paragraphs: Vec<&str> =
            text.split("\n\n").filter(|part| part.contains("`accept_token")).collect();
        let said = paragraphs
            .iter()
            .any(|part| part.contains("X-Api-Token") && part.to_lowercase().contains("`cookie"));
        assert!(said || paragraphs.iter().any(|part| part.contains("exact: cookie")), "{page}");
    }
}

/// The README's lines for a program with the gate as a library, as they are there.
#[rustfmt::skip]
#[expect(dead_code, unused_variables, reason = "it is enough that the lines compile")]
async fn library(api: poem::Route, router: axum::Router) -> Result<(), Box<dyn std::error::Error>> {
    use poem::EndpointExt;
    let gate = scopegate::Gate::builder().config_file("scopegate.yaml").build().await?;
    let other = gate.clone();
    let app = poem::Route::new().nest("/api", api).with(gate);
    let gate = other;
    let app = scopegate::tower::protect(gate, router);
    Ok(())
}

#[test]
fn the_readme_uses_the_library_as_it_is() {
    let compiled = include_str!("documentation.rs");
    let (_, readme) = PAGES[0];
    let shown: Vec<&str> = blocks(readme, "rust")
        .into_iter()
        .flat_map(str::lines)
        .filter(|line| line.contains("scopegate::Gate::builder") || line.starts_with("let app"))
        .collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    for line in shown {
        let statement = line.split("//").next().unwrap().trim();
        assert!(compiled.contains(&format!("    {statement}\n")), "{statement} is not compiled");
    }
}
