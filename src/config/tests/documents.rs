//! OpenAPI documents in `policy_from`.

use std::fs;

use poem_openapi::{
    ApiResponse, OAuthScopes, OpenApi, OpenApiService, SecurityScheme,
    auth::{ApiKey, Bearer},
    payload::PlainText,
};

use super::*;
use crate::{config::diagnostics::DocumentError, policy::Problem as PolicyProblem};

const PROVIDERS: &str = "providers: { okta: { issuer: 'https://a', audience: a }, other: { kind: oidc, issuer: 'https://b', audience: b } }\n";

/// The security schemes that the documents of these tests use.
const SCHEMES: &str = "components: { securitySchemes: {
  oauth: { type: oauth2, flows: { implicit: { scopes: { items: Read items, 'items:write': Write items } } } },
  bearer: { type: http, scheme: Bearer }, oidc: { type: openIdConnect }, key: { type: apiKey }, basic: { type: http, scheme: basic } } }\n";

/// Loads a configuration beside a document.
fn load_beside(document: &str, configuration: &str) -> Result<Config, ConfigErrors> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("api.yaml"), document).unwrap();
    let file = folder.path().join("scopegate.yaml");
    fs::write(&file, format!("{PROVIDERS}{configuration}")).unwrap();
    loader(&[]).load(&ConfigSource::Path(file))
}

fn document(rest: &str) -> String {
    format!("openapi: 3.0.3\n{SCHEMES}{rest}")
}

/// `METHODS PATTERN: RULE` for every route, in the order of the policy.
fn rules(config: &Config) -> Vec<String> {
    let policy = &config.rules.policy;
    policy.routes().iter().map(|route| format!("{}: {}", route.pattern(), route.rule())).collect()
}

fn imported(paths: &str) -> Vec<String> {
    let config = load_beside(&document(paths), "policy_from: [api.yaml]");
    rules(&config.unwrap_or_else(|errors| panic!("{errors}")))
}

/// The only thing that is wrong.
fn wrong(paths: &str, configuration: &str) -> (Cause, String, u32) {
    let errors = load_beside(&document(paths), configuration).unwrap_err();
    let error = match errors.iter().collect::<Vec<_>>().as_slice() {
        [error] => (*error).clone(),
        _ => panic!("{errors}"),
    };
    (error.cause().clone(), error.key().to_owned(), line(&error))
}

fn document_error(paths: &str, configuration: &str) -> (DocumentError, String) {
    match wrong(paths, configuration) {
        (Cause::Conflict(Conflict::Document(error)), key, _) => (error, key),
        other => panic!("{other:?}"),
    }
}

#[test]
fn security_of_an_operation_goes_before_that_of_the_document() {
    let told = imported(
        "security: [ { oauth: [items] } ]\npaths:\n  /a: { get: {}, post: { security: [ { oauth: ['items:write'] } ] }, put: { security: [] } }\n",
    );
    assert_eq!(told, ["GET /a: items", "POST /a: items:write", "PUT /a: anonymous"]);
}

#[test]
fn alternatives_are_any_of_and_schemes_together_are_all() {
    let told = imported(
        "paths:\n  /a: { get: { security: [ { oauth: ['items:write'], oidc: [items] }, { oauth: [items] } ] } }\n  /b: { get: { security: [ {}, { oauth: [items] } ] }, put: { security: [ { bearer: [] } ] } }\n",
    );
    let expected = ["GET /a: items, items:write or items", "GET /b: optional", "PUT /b: authenticated"];
    assert_eq!(told, expected);
}

#[test]
fn invariant_6_an_operation_of_which_nothing_is_said_has_no_route_and_is_warned_of() {
    for security in ["", "security: []\n"] {
        let text = document(&format!("{security}paths: {{ /a: {{ get: {{}} }} }}"));
        let config = load_beside(&text, "policy_from: [api.yaml]").unwrap();
        assert_eq!(rules(&config), [""; 0]);
        let told: Vec<String> = config.warnings.iter().map(|warning| warning.message.clone()).collect();
        assert!(told[0].contains("`GET /a` has no rule"), "{told:?}");
    }
}

#[test]
fn an_operation_is_public_by_name_and_decided_by_a_wider_route_if_there_is_one() {
    let text = document("paths: { /a: { get: {} }, '/b/{x}': { get: {} } }");
    let configuration = "policy_from: [ { document: api.yaml, public: [GET /a] } ]\nroutes: [ { match: /b/**, allow: authenticated } ]";
    let config = load_beside(&text, configuration).unwrap();
    assert_eq!(rules(&config), ["/b/**: authenticated", "GET /a: anonymous"]);
    assert_eq!(config.warnings, []);
}

#[test]
fn the_paths_of_servers_stand_in_front_unless_a_base_path_does() {
    let paths = "servers: [ { url: 'https://a.example/v1' }, { url: /v2/ } ]\npaths: { '/{id}': { servers: [ { url: 'https://a.example' } ], get: { security: [ { oauth: [items] } ] } }, /x: { get: { security: [ { oauth: [items] } ] } } }";
    assert_eq!(imported(paths), ["GET /{id}: items", "GET /v1/x: items", "GET /v2/x: items"]);
    let configuration = "policy_from: [ { document: api.yaml, base_path: /orders, host: api.example } ]";
    let config = load_beside(&document(paths), configuration).unwrap();
    assert_eq!(rules(&config), ["GET api.example/orders/{id}: items", "GET api.example/orders/x: items"]);
}

#[test]
fn a_server_whose_path_depends_on_a_variable_is_refused() {
    let paths = "servers: [ { url: 'https://a.example/{version}' } ]\npaths: { /x: { get: { security: [ { oauth: [items] } ] } } }";
    let (error, key) = document_error(paths, "policy_from: [api.yaml]");
    assert_eq!(error, DocumentError::Server { found: "https://a.example/{version}".into() });
    assert_eq!(key, "paths.\"/x\".get");
}

#[test]
fn a_template_that_is_no_whole_segment_is_refused_and_can_be_left_out() {
    let paths = "paths:\n  '/{id}:cancel': { post: { security: [ { oauth: [items] } ] } }\n";
    let (error, key) = document_error(paths, "policy_from: [api.yaml]");
    assert_eq!(
        (error, key),
        (DocumentError::Template { found: "{id}:cancel".into() }, "paths.\"/{id}:cancel\"".into())
    );
    let configuration = "policy_from: [ { document: api.yaml, leave_out: ['POST /{id}:cancel'] } ]";
    assert!(load_beside(&document(paths), configuration).is_ok());
}

#[test]
fn a_scheme_can_be_bound_to_providers() {
    let paths = "paths: { /x: { get: { security: [ { oauth: [items] }, { bearer: [] } ] } } }";
    let configuration = "policy_from: [ { document: api.yaml, schemes: { oauth: okta, bearer: [other] } } ]";
    let config = load_beside(&document(paths), configuration).unwrap();
    assert_eq!(rules(&config), ["GET /x: items, provider okta or provider other"]);
    let unknown = "policy_from: [ { document: api.yaml, schemes: { oauht: okta } } ]";
    assert_eq!(document_error(paths, unknown).0, DocumentError::UnknownScheme { found: "oauht".into() });
}

/// CASES I2: `schemes` says for a scheme of any type whose tokens stand for it.
#[test]
fn tokens_of_named_providers_take_the_place_of_an_api_key_or_basic() {
    let paths = "paths: { /x: { get: { security: [ { key: [] } ] } }, /y: { get: { security: [ { basic: [], oauth: [items] } ] } } }";
    let configuration =
        "policy_from: [ { document: api.yaml, schemes: { key: okta, basic: [okta, other] } } ]";
    let config = load_beside(&document(paths), configuration).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(rules(&config), ["GET /x: provider okta", "GET /y: items, provider one of okta other"]);
    let empty = "policy_from: [ { document: api.yaml, schemes: { key: [] } } ]";
    let errors = load_beside(&document(paths), empty).unwrap_err().to_string();
    assert!(errors.contains("name at least one provider"), "{errors}");
}

/// CASES I2: `undeclared` is the rule of operations that declare nothing.
#[test]
fn operations_that_declare_nothing_get_the_rule_of_undeclared() {
    let text = document(
        "paths: { /a: { get: {} }, /health: { get: {} }, /b: { get: { security: [ { oauth: [items] } ] } } }",
    );
    let load = |undeclared: &str| {
        let item = format!("{{ document: api.yaml, public: [/health], undeclared: {undeclared} }}");
        load_beside(&text, &format!("policy_from: [ {item} ]")).unwrap_or_else(|errors| panic!("{errors}"))
    };
    assert_eq!(rules(&load("nobody")), ["GET /a: nobody", "GET /health: anonymous", "GET /b: items"]);
    assert_eq!(rules(&load("authenticated"))[0], "GET /a: authenticated");
    let left_out = load("leave_out");
    assert_eq!(rules(&left_out), ["GET /health: anonymous", "GET /b: items"]);
    assert_eq!(left_out.warnings, []);
}

/// CASES I2: `public` takes patterns, which open nothing that declares security or that `leave_out` names.
#[test]
fn a_pattern_in_public_opens_only_operations_that_declare_nothing() {
    let text = document(
        "paths: { /s/a: { get: {} }, /s/b: { get: { security: [ { oauth: [items] } ] } }, /s/c: { get: {} } }",
    );
    let item = "policy_from: [ { document: api.yaml, public: [/s/**], leave_out: [GET /s/c] } ]";
    let config = load_beside(&text, item).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(rules(&config), ["GET /s/a: anonymous", "GET /s/b: items"]);
    for nothing_to_open in ["[GET /s/b]", "['/s/b']"] {
        let item = format!("policy_from: [ {{ document: api.yaml, public: {nothing_to_open} }} ]");
        let errors = load_beside(&text, &item).unwrap_err().to_string();
        assert!(errors.contains("is not public"), "{errors}");
    }
}

/// CASES I2: `leave_out` takes patterns.
#[test]
fn a_pattern_in_leave_out_leaves_operations_out_that_no_pattern_can_say() {
    let text = document(
        "paths: { '/k/{id}:cancel': { post: { security: [ { key: [] } ] } }, /k: { get: { security: [ { key: [] } ] } }, /x: { get: { security: [ { oauth: [items] } ] } } }",
    );
    let config = load_beside(&text, "policy_from: [ { document: api.yaml, leave_out: [/k/**] } ]").unwrap();
    assert_eq!(rules(&config), ["GET /x: items"]);
}

/// CASES I3: a path with a query or a fragment is refused with advice.
#[test]
fn a_path_with_a_query_or_a_fragment_is_refused_with_advice() {
    for path in ["/a?x=y", "/a#add"] {
        let paths = format!("paths: {{ '{path}': {{ get: {{ security: [ {{ oauth: [items] }} ] }} }} }}");
        let (error, key) = document_error(&paths, "policy_from: [api.yaml]");
        assert!(error.to_string().contains("write the operations of this path in `leave_out`"), "{error}");
        assert_eq!(key, format!("paths.{path:?}"));
        let left_out = format!("policy_from: [ {{ document: api.yaml, leave_out: ['GET {path}'] }} ]");
        assert!(load_beside(&document(&paths), &left_out).is_ok());
    }
}

#[test]
fn what_no_token_can_satisfy_is_refused() {
    for scheme in ["key", "basic"] {
        let paths = format!("paths: {{ /x: {{ get: {{ security: [ {{ {scheme}: [] }} ] }} }} }}");
        let (error, key) = document_error(&paths, "policy_from: [api.yaml]");
        assert_eq!((error, key.as_str()), (DocumentError::NoToken, "paths.\"/x\".get.security"));
    }
}

#[test]
fn a_scope_that_nobody_declares_is_refused_at_its_place() {
    let paths = "paths:\n  /x:\n    get:\n      security: [ { oidc: [itmes] } ]\n";
    let (cause, key, line) = wrong(paths, "policy_from: [api.yaml]");
    assert!(
        matches!(cause, Cause::Conflict(Conflict::Policy(PolicyProblem::UndeclaredScope { .. }))),
        "{cause}"
    );
    assert_eq!((key.as_str(), line), ("paths.\"/x\".get.security", 8));
}

#[test]
fn invariant_13_a_route_of_the_file_and_an_operation_of_one_pattern_are_refused_and_both_named() {
    let paths = "paths: { '/x/{id}': { get: { security: [ { oauth: [items] } ] } } }";
    let routes = "routes: [ { match: 'GET /x/{name}', allow: anonymous } ]\n";
    let (cause, key, _) = wrong(paths, &format!("{routes}policy_from: [api.yaml]"));
    assert!(cause.to_string().contains("already declared by routes[0]"), "{cause}");
    assert_eq!(key, "paths.\"/x/{id}\".get");
    let without = format!("{routes}policy_from: [ {{ document: api.yaml, leave_out: ['GET /x/{{id}}'] }} ]");
    assert_eq!(rules(&load_beside(&document(paths), &without).unwrap()), ["GET /x/{name}: anonymous"]);
}

#[test]
fn names_that_the_document_does_not_have_are_refused_with_the_nearest() {
    let paths = "paths: { /health: { get: {} }, /x: { get: { security: [ { oauth: [items] } ] } } }";
    let item = |text: &str| format!("policy_from: [ {{ document: api.yaml, {text} }} ]");
    let no_such = |key: &str| match document_error(paths, &item(&format!("{key}: [GET /helth]"))) {
        (DocumentError::NoSuchOperation { nearest, .. }, location) => (nearest, location),
        other => panic!("{other:?}"),
    };
    for key in ["public", "leave_out"] {
        assert_eq!(no_such(key), (Some("GET /health".into()), format!("policy_from[0].{key}[0]")));
    }
    let (error, _) = document_error(paths, &item("public: [GET /x]"));
    assert_eq!(error, DocumentError::NotPublic { operation: "GET /x".into() });
}

#[test]
fn another_version_of_openapi_is_refused() {
    for (text, found) in
        [("swagger: '2.0'", "convert it"), ("openapi: 3.2.0", "3.2.0"), ("{}", "no `openapi`")]
    {
        let errors = load_beside(text, "policy_from: [api.yaml]").unwrap_err();
        assert!(errors.to_string().contains(found), "{errors}");
    }
}

#[test]
fn documents_that_are_not_what_they_should_be_are_refused() {
    for text in [
        "openapi: 3.0.0\npaths: []",
        "openapi: 3.0.0\npaths: { /a: [] }",
        "openapi: 3.0.0\npaths: { a: {} }",
        "openapi: 3.0.0\npaths: { '/a/**': {} }",
        "openapi: 3.0.0\npaths: { /a: { get: { security: { t: [] } } } }",
        "openapi: 3.0.0\npaths: { /a: { get: { security: [t] } } }",
        "openapi: 3.0.0\npaths: { /a: { get: { security: [ { t: [] } ] } } }",
        "openapi: 3.0.0\npaths: { /a: {}, /a: {} }",
        "openapi: 3.0.0\ncomponents: { securitySchemes: { t: {} } }",
    ] {
        assert!(load_beside(text, "policy_from: [api.yaml]").is_err(), "{text}");
    }
}

#[test]
fn a_document_by_url_is_plain_http_on_loopback_and_upstreams_only_and_shows_no_secret() {
    for (url, expected) in [
        ("http://docs.example/a.json", "must be reached by https"),
        ("https://user:hunter2@docs.example/a.json", "without user name"),
        ("https://docs.example/a.json?key=hunter2", "without user name"),
        ("ftp://docs.example/a.json", "without user name"),
    ] {
        let errors = load(&format!("policy_from: ['{url}']")).unwrap_err();
        let cause = errors.iter().next().unwrap().cause().to_string();
        assert!(cause.contains(expected) && !cause.contains("hunter2"), "{cause}");
    }
}

#[test]
fn a_document_is_watched_as_the_configuration_is() {
    let config = load_beside(&document("paths: {}"), "policy_from: [api.yaml]").unwrap();
    assert!(config.watched.iter().any(|path| path.ends_with("api.yaml")), "{:?}", config.watched);
}

#[derive(OAuthScopes)]
enum Scopes {
    /// Read items
    #[oai(rename = "items")]
    Items,
    #[oai(rename = "items:write")]
    Write,
}

#[derive(SecurityScheme)]
#[oai(ty = "bearer")]
struct Token(#[expect(dead_code, reason = "only its metadata is looked at")] Bearer);

#[derive(SecurityScheme)]
#[oai(ty = "api_key", key_name = "X-Key", key_in = "header")]
struct Key(#[expect(dead_code, reason = "only its metadata is looked at")] ApiKey);

#[derive(SecurityScheme)]
enum Either {
    Token(#[expect(dead_code, reason = "only its metadata is looked at")] Token),
    #[oai(fallback)]
    Nobody,
}

#[derive(ApiResponse)]
enum Done {
    #[oai(status = 204)]
    Done,
}

struct Reading;
struct Writing;
struct Open;
struct Mixed;

#[OpenApi]
#[expect(clippy::unused_async, reason = "poem-openapi's handlers are asynchronous")]
impl Reading {
    #[oai(path = "/items/:id", method = "get")]
    async fn read(&self, #[oai(scope = "Scopes::Items")] _token: Token) -> PlainText<String> {
        PlainText(String::new())
    }
}

#[OpenApi]
#[expect(clippy::unused_async, reason = "poem-openapi's handlers are asynchronous")]
impl Writing {
    #[oai(path = "/items/:id", method = "put")]
    async fn write(
        &self,
        #[oai(scope = "Scopes::Write")] _token: Token,
        #[oai(scope = "Scopes::Items")] _key: Key,
    ) -> Done {
        Done::Done
    }

    #[oai(path = "/welcome", method = "get")]
    async fn welcome(&self, _either: Either) -> Done {
        Done::Done
    }
}

#[OpenApi]
#[expect(clippy::unused_async, reason = "poem-openapi's handlers are asynchronous")]
impl Open {
    #[oai(path = "/open", method = "get")]
    async fn open(&self) -> Done {
        Done::Done
    }

    #[oai(path = "/hidden", method = "get", hidden)]
    async fn hidden(&self) -> Done {
        Done::Done
    }
}

#[OpenApi]
#[expect(clippy::unused_async, reason = "poem-openapi's handlers are asynchronous")]
impl Mixed {
    #[oai(path = "/mixed", method = "get")]
    async fn mixed(&self, #[oai(scope = "Scopes::Items")] _either: Either) -> Done {
        Done::Done
    }
}

fn load_services(services: Vec<Operations>, configuration: &str) -> Result<Config, ConfigErrors> {
    let text = format!("{PROVIDERS}{configuration}");
    loader(&[]).services(services).load(&ConfigSource::Text { name: "scopegate.yaml".into(), text })
}

fn only(errors: &ConfigErrors) -> &DocumentError {
    match errors.iter().map(ConfigError::cause).collect::<Vec<_>>().as_slice() {
        [Cause::Conflict(Conflict::Document(error))] => error,
        _ => panic!("{errors}"),
    }
}

#[test]
fn what_a_service_declares_is_what_its_callers_need_on_shared_paths_too() {
    let service = OpenApiService::new((Reading, Writing), "t", "1");
    let config = load_services(vec![Operations::of(&service).nested_at("/api/")], "").unwrap();
    let expected =
        ["GET /api/items/{id}: items", "PUT /api/items/{id}: items:write", "GET /api/welcome: optional"];
    assert_eq!(rules(&config), expected);
    assert_eq!(config.rules.policy.scopes().len(), 2);
}

#[test]
fn invariant_6_an_operation_of_a_service_without_security_is_an_error_until_it_is_decided() {
    let service = OpenApiService::new(Open, "t", "1");
    let errors = load_services(vec![(&service).into()], "").unwrap_err();
    assert!(matches!(only(&errors), DocumentError::NoRule { operation, .. } if operation == "GET /open"));
    let public = load_services(vec![Operations::of(&service).public("GET /open")], "").unwrap();
    assert_eq!(rules(&public), ["GET /open: anonymous"], "what is hidden has no route");
    let route = "routes: [ { match: /open, allow: authenticated } ]";
    assert!(load_services(vec![(&service).into()], route).is_ok());
}

#[test]
fn an_operation_that_asks_for_a_token_cannot_be_declared_public() {
    let service = OpenApiService::new(Reading, "t", "1");
    let named = |operation: &str| {
        only(&load_services(vec![Operations::of(&service).public(operation)], "").unwrap_err()).clone()
    };
    assert_eq!(named("GET /items/{id}"), DocumentError::NotPublic { operation: "GET /items/{id}".into() });
    assert!(matches!(named("GET /items"), DocumentError::NoSuchOperation { .. }));
}

#[test]
fn scopes_that_a_fallback_would_pass_by_are_refused() {
    let service = OpenApiService::new(Mixed, "t", "1");
    assert_eq!(
        only(&load_services(vec![(&service).into()], "").unwrap_err()),
        &DocumentError::ScopesAndFallback
    );
}

#[test]
fn invariant_15_what_is_stored_cannot_loosen_an_operation() {
    use crate::{gate::effective_policy, store::StoredPolicy};
    let text = document("paths: { '/x/{id}': { get: { security: [ { oauth: [items] } ] } } }");
    let config = load_beside(&text, "policy_from: [api.yaml]").unwrap();
    let mut definition = config.rules.definition.clone();
    definition.add_stored_route(
        "a",
        serde_json::from_str(r#"{"match": "GET /x/1", "allow": "anonymous"}"#).unwrap(),
    );
    let errors = Policy::compile(&definition).unwrap_err();
    assert!(matches!(errors[0].problem, PolicyProblem::Loosens { .. }), "{errors:?}");
    assert_eq!(effective_policy(&config.rules.definition, &StoredPolicy::default()).rejected, []);
}
