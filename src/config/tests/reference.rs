//! `config/scopegate.yaml` says what is: it loads, its values are the defaults, its examples load, and no key is missing.

use std::{collections::BTreeSet, fs};

use super::*;

const REFERENCE: &str = include_str!("../../../config/scopegate.yaml");

/// What the examples of `policy_from` name.
const OPENAPI: &str = r#"{ "openapi": "3.1.0",
  "paths": { "/health": { "get": {} }, "/projects/{id}": { "post": {}, "get": { "security": [{ "token": [] }] } } },
  "components": { "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } } } }"#;

/// Loads with every variable set that the reference reads a secret from.
fn builtin() -> Loader {
    let names = REFERENCE.split("{ env: ").skip(1).filter_map(|rest| rest.split(' ').next());
    Loader::new().environment(names.map(|name| (name.to_owned(), variable(name))))
}

fn variable(name: &str) -> String {
    if name == "DATABASE_URL" { "memory:".to_owned() } else { "x".to_owned() }
}

fn load_reference(text: &str) -> Config {
    let source = ConfigSource::Text { name: "scopegate.yaml".into(), text: text.into() };
    builtin().load(&source).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn what_the_reference_says_is_the_default() {
    let mut written = load_reference(REFERENCE);
    let mut default = load_reference("");
    // Their location differs.
    written.warnings.clear();
    default.warnings.clear();
    let written = format!("{written:#?}");
    let default = format!("{default:#?}");
    let different = written.lines().zip(default.lines()).find(|(written, default)| written != default);
    assert_eq!(different, None);
}

/// What is empty unless said, and what stands there when the examples do.
const FILLED: [(&str, &str); 12] = [
    ("providers: {}", "providers:"),
    ("scopes: {}", "scopes:"),
    ("routes: []", "routes:"),
    ("tests: []", "tests:"),
    ("accept_token: []", "accept_token:"),
    ("policy_from: []", "policy_from:"),
    ("upstreams: {}", "upstreams:"),
    ("  headers: {}", "  headers:"),
    ("resources: []", "resources:"),
    ("  dialects: []", "  dialects: [envoy]"),
    ("  trusted_proxies: []", "  trusted_proxies: [10.42.0.0/16]"),
    ("  base_path: \"\"", "  base_path: /.scopegate"),
];

/// The reference with its examples in place of what they stand beside.
fn with_examples() -> String {
    let mut text = String::new();
    // There is no certificate authority at hand.
    for line in REFERENCE.lines().filter(|line| !line.contains(" ca: ca.pem")) {
        let comment = line.trim_start().strip_prefix('#');
        // Prose has one space behind the `#`.
        let is_example = comment
            .is_some_and(|rest| rest.starts_with("  ") || !rest.starts_with([' ', '#']) && !rest.is_empty());
        let uncommented = if is_example { line.replacen('#', "", 1) } else { line.to_owned() };
        let head = FILLED.iter().find(|(empty, _)| uncommented.starts_with(empty));
        let replaced = head.map_or(uncommented.as_str(), |(_, full)| full);
        text = text + replaced + "\n";
    }
    text
}

#[test]
fn every_example_of_the_reference_loads() {
    let folder = tempfile::tempdir().unwrap();
    let pem = include_str!("../../../providers/testkit/data/rsa-2048-a.test-key.pem");
    let p256 = include_str!("../../../providers/oidc/tests/data/openssl-p256.test-key.pem");
    let files = [
        ("tls.crt", "-----BEGIN CERTIFICATE-----"),
        ("tls.key", pem),
        ("client.pem", pem),
        ("mint.pem", p256),
        ("mint-next.pem", p256),
        ("mint.seal", "a secret of thirty-two characters"),
        ("routes.d/a.yaml", ""),
        ("openapi.json", OPENAPI),
    ];
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let path = folder.path().join("scopegate.yaml");
    fs::write(&path, with_examples()).unwrap();
    let config = builtin().load(&ConfigSource::Path(path)).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!((config.providers.len(), config.upstreams.len()), (12, 1));
}

#[test]
fn no_key_is_missing_in_the_reference() {
    let mut keys = BTreeSet::new();
    collect(&builtin().schema(), &mut keys);
    let missing: Vec<&String> = keys
        .iter()
        .filter(|key| !REFERENCE.contains(&format!("{key}:")) && !REFERENCE.contains(&format!("kind: {key}")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn collect(schema: &serde_json::Value, keys: &mut BTreeSet<String>) {
    if let Some(properties) = schema.get("properties").and_then(serde_json::Value::as_object) {
        keys.extend(properties.keys().cloned());
    }
    let inner = schema.as_object().into_iter().flat_map(|object| object.values());
    for value in inner.chain(schema.as_array().into_iter().flatten()) {
        collect(value, keys);
    }
}
