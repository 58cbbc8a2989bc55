//! `$ref` in OpenAPI documents: a reference is followed or refused with its location (CASES I1).

use std::fs;

use super::*;

const START: &str = "openapi: 3.0.3
security: [ { o: [] } ]
";

const SCHEMES: &str =
    "  securitySchemes: { o: { type: oauth2, flows: { implicit: { scopes: { items: Read items } } } } }
";

/// Loads `api/main.yaml`, with other files beside it, and returns `PATTERN: RULE` for every route.
fn try_rules(main: &str, others: &[(&str, &str)]) -> Result<Vec<String>, ConfigErrors> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in others.iter().copied().chain([("main.yaml", main)]) {
        let path = folder.path().join("api").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let configuration = "providers: { okta: { issuer: 'https://a', audience: a } }
policy_from: [api/main.yaml]
routes: [ { match: /**, allow: authenticated } ]
";
    let file = folder.path().join("scopegate.yaml");
    fs::write(&file, configuration).unwrap();
    let config = loader(&[]).load(&ConfigSource::Path(file))?;
    let routes = config.rules.policy.routes().iter().skip(1);
    Ok(routes.map(|route| format!("{}: {}", route.pattern(), route.rule())).collect())
}

fn rules(main: &str, others: &[(&str, &str)]) -> Vec<String> {
    try_rules(main, others).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Asserts that the document is refused with one error, and returns `LINE MESSAGE`.
fn refusal(main: &str, others: &[(&str, &str)]) -> String {
    let errors = try_rules(main, others).unwrap_err();
    let error = match errors.iter().collect::<Vec<_>>().as_slice() {
        [error] => (*error).clone(),
        _ => panic!("{errors}"),
    };
    format!("{} {}", line(&error), error.cause())
}

/// CASES I1: the operation is a reference into the document, whose root requires less.
#[test]
fn an_operation_that_is_a_reference_keeps_its_scopes() {
    let main = format!(
        "{START}components:\n  x-ops: {{ w: {{ security: [ {{ o: [items] }} ] }} }}\n{SCHEMES}paths: {{ /a: {{ get: {{ $ref: '#/components/x-ops/w' }} }} }}"
    );
    assert_eq!(rules(&main, &[]), ["GET /a: items"]);
}

/// CASES I1: references through `~1`, `~0`, percent-encoding, a list, and another reference.
#[test]
fn every_form_of_a_pointer_is_followed() {
    for (name, pointer) in [
        ("a/b", "#/components/x-ops/a~1b"),
        ("a~b", "#/components/x-ops/a~0b"),
        ("a~1b", "#/components/x-ops/a~01b"),
        ("a b", "#/components/x-ops/a%20b"),
        ("ä", "#/components/x-ops/%C3%A4"),
        ("{id}", "#/components/x-ops/%7Bid%7D"),
        ("x", "#/x-list/0"),
        ("x", "#/x-other/x"),
    ] {
        let main = format!(
            "{START}x-list: [ {{ $ref: '#/components/x-ops/x' }} ]\nx-other: {{ $ref: '#/components/x-ops' }}\ncomponents:\n  x-ops: {{ '{name}': {{ security: [ {{ o: [items] }} ] }} }}\n{SCHEMES}paths: {{ /a: {{ get: {{ $ref: '{pointer}' }} }} }}"
        );
        assert_eq!(rules(&main, &[]), ["GET /a: items"], "{pointer}");
    }
    let path = format!(
        "{START}components:\n{SCHEMES}paths: {{ '/a/{{id}}': {{ get: {{ security: [ {{ o: [items] }} ] }} }}, /b: {{ $ref: '#/paths/~1a~1%7Bid%7D' }} }}"
    );
    assert_eq!(rules(&path, &[]), ["GET /a/{id}: items", "GET /b: items"]);
}

/// CASES I1: references wherever a rule is read from.
#[test]
fn references_are_followed_in_every_part_that_a_rule_is_made_of() {
    let all = "paths: { $ref: '#/x-paths' }
security: { $ref: '#/x-security' }
servers: { $ref: '#/x-servers' }
components: { $ref: '#/x-components' }
x-paths: { /a: { $ref: '#/x-item' }, /b: { put: {} } }
x-item: { get: { security: { $ref: '#/x-security' } } }
x-security: [ { $ref: '#/x-entry' } ]
x-entry: { o: { $ref: '#/x-scopes' } }
x-scopes: [items]
x-servers: [ { $ref: '#/x-server' } ]
x-server: { url: /v1 }
x-components: { securitySchemes: { $ref: '#/x-schemes' } }
x-schemes: { o: { $ref: '#/x-scheme' } }
x-scheme: { type: oauth2, flows: { $ref: '#/x-flows' } }
x-flows: { implicit: { $ref: '#/x-flow' } }
x-flow: { scopes: { $ref: '#/x-declared' } }
x-declared: { items: Read items }
";
    assert_eq!(rules(&format!("openapi: 3.1.0\n{all}"), &[]), ["GET /v1/a: items", "PUT /v1/b: items"]);
}

/// CASES I1: files are relative to the file that names them.
#[test]
fn a_reference_to_a_file_is_relative_to_the_document_that_holds_it() {
    let main = format!(
        "{START}components:\n{SCHEMES}paths: {{ /a: {{ $ref: paths/a.yaml }}, /b: {{ get: {{ $ref: 'my%20ops.json#/w' }} }} }}"
    );
    let others = [
        (
            "paths/a.yaml",
            "get: { $ref: '../ops.yaml#/ops/r' }\nput: { $ref: '#/x-put' }\nx-put: { security: [ { o: [items] } ] }",
        ),
        ("ops.yaml", "ops: { r: { $ref: 'main.yaml#/paths/~1b/get' } }"),
        ("my ops.json", r#"{ "w": { "security": [ { "o": ["items"] } ] } }"#),
    ];
    assert_eq!(rules(&main, &others), ["GET /a: items", "PUT /a: items", "GET /b: items"]);
}

/// CASES I1: a reference that cannot be followed is refused, with its line.
#[test]
fn a_reference_that_cannot_be_followed_is_refused_at_its_line() {
    for (target, expected) in [
        ("'#/components/x-ops/w'", "there is no `x-ops`"),
        ("'#anchor'", "expected a reference such as"),
        ("'#/components/%ff'", "expected a reference such as"),
        ("'nope.yaml#/w'", "cannot read"),
        ("'broken.yaml#/w'", "cannot read"),
        ("'https://a.example/ops.yaml#/w'", "is not followed"),
        ("'file:///etc/passwd'", "is not followed"),
        ("'/etc/passwd#/w'", "is not followed"),
        ("[a]", "expected the text of a reference here"),
        ("'#/paths/~1a/get'", "leads back to itself"),
        ("'#/x-a'", "leads back to itself"),
        ("'round.yaml#/a'", "leads back to itself"),
    ] {
        let main = format!(
            "{START}x-a: {{ $ref: '#/x-b' }}\nx-b: {{ $ref: '#/x-a' }}\ncomponents:\n{SCHEMES}paths:\n  /a:\n    get: {{ $ref: {target} }}\n"
        );
        let others =
            [("broken.yaml", "w: ["), ("round.yaml", "a: { $ref: '#/b' }\nb: { $ref: 'round.yaml#/a' }")];
        let found = refusal(&main, &others);
        assert!(found.contains(expected), "{target}: {found}");
    }
    let dangling = format!("{START}components:\n{SCHEMES}paths:\n  /a:\n    get: {{ $ref: '#/x' }}\n");
    assert!(refusal(&dangling, &[]).starts_with("7 "), "{}", refusal(&dangling, &[]));
}

/// CASES I1: what is written beside a reference would be lost.
#[test]
fn security_beside_a_reference_is_refused_and_a_description_is_not() {
    let text = |beside: &str| {
        format!(
            "{START}x-w: {{ responses: {{}} }}\ncomponents:\n{SCHEMES}paths: {{ /a: {{ get: {{ $ref: '#/x-w', {beside} }} }} }}"
        )
    };
    assert!(refusal(&text("security: [ { o: [items] } ]"), &[]).contains("found both"));
    assert!(refusal(&text("servers: [ { url: /v1 } ]"), &[]).contains("found both"));
    assert_eq!(rules(&text("description: d, x-y: 1"), &[]), ["GET /a: authenticated"]);
    let item = format!(
        "{START}x-w: {{ get: {{}} }}\ncomponents:\n{SCHEMES}paths: {{ /a: {{ $ref: '#/x-w', put: {{ security: [ {{ o: [items] }} ] }} }} }}"
    );
    assert!(refusal(&item, &[]).contains("either `$ref` or `put`"));
}

/// CASES I1: a misspelt key would leave a rule weaker than the document says.
#[test]
fn a_key_that_looks_like_one_that_is_read_is_refused() {
    for (paths, found) in [
        ("{ /a: { GET: { security: [ { o: [items] } ] } } }", "GET"),
        ("{ /a: { gte: { security: [ { o: [items] } ] } } }", "gte"),
        ("{ /a: { query: { responses: {}, security: [ { o: [items] } ] } } }", "query"),
        ("{ /a: { security: [ { o: [items] } ], get: {} } }", "security"),
        ("{ /a: { get: { secuirty: [ { o: [items] } ] } } }", "secuirty"),
        ("{ /a: { get: { Security: [ { o: [items] } ] } } }", "Security"),
        ("{ /a: { get: { server: [ { url: /v1 } ] } } }", "server"),
    ] {
        let main = format!("{START}components:\n{SCHEMES}paths: {paths}");
        let refusal = refusal(&main, &[]);
        assert!(refusal.contains(&format!("unknown key `{found}`")), "{paths}: {refusal}");
    }
    let sloppy = format!(
        "{START}components:\n{SCHEMES}paths: {{ /a: {{ summary: s, x-a: 1, parameters: [], tags: [t], get: {{ responses: {{}}, produces: [], operationId: o, consumes: [] }} }} }}"
    );
    assert_eq!(rules(&sloppy, &[]), ["GET /a: authenticated"]);
}

/// CASES I1: a part of the wrong type is refused instead of being taken for an absent one.
#[test]
fn a_part_of_the_wrong_type_is_refused() {
    for rest in [
        "security: { o: [items] }\npaths: { /a: { get: {} } }",
        "security: text\npaths: { /a: { get: {} } }",
        "paths: { /a: { get: { security: } } }",
        "paths: { /a: { get: { security: { o: [items] } } } }",
        "paths: { /a: { get: text } }",
        "servers: { url: /v1 }\npaths: { /a: { get: {} } }",
        "servers: [ { url: { $ref: '#/x' } } ]\npaths: { /a: { get: {} } }",
        "paths: { /a: { get: { security: [ { o: [ { $ref: '#/x' } ] } ] } } }",
    ] {
        let main = format!("openapi: 3.0.3\ncomponents:\n{SCHEMES}{rest}");
        assert!(refusal(&main, &[]).contains("expected"), "{rest}");
    }
}

#[test]
fn files_behind_references_are_watched_and_those_of_schemas_are_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let main = "openapi: 3.0.3\npaths: { /a: { $ref: a.yaml } }\n";
    let item = "get: { security: [], parameters: [ { $ref: nope.yaml } ], responses: { $ref: nope.yaml } }";
    for (name, text) in
        [("main.yaml", main), ("a.yaml", item), ("scopegate.yaml", "policy_from: [main.yaml]")]
    {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let config = loader(&[]).load(&ConfigSource::Path(folder.path().join("scopegate.yaml"))).unwrap();
    assert!(config.watched.iter().any(|path| path.ends_with("a.yaml")), "{:?}", config.watched);
    assert!(!config.watched.iter().any(|path| path.ends_with("nope.yaml")), "{:?}", config.watched);
}
