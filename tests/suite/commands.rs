//! What the commands print and how they end: 0 is good, 1 is no, 2 is a wrong use.

use serde_json::Value;

use crate::support::run;

const OKTA: &str =
    "providers: { okta: { issuer: https://acme.okta.com/oauth2/default, audience: api://default } }\n";

const ITEMS: &str = "scopes: { items: Read items, 'items:write': Change items }
routes:
  - { match: GET /items/**, require: items }
  - { match: POST|PUT /items/**, require: 'items:write' }
  - { match: /status, allow: anonymous }
";

fn okta() -> String {
    format!("{OKTA}{ITEMS}")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[test]
fn a_good_configuration_is_told_so_without_starting_anything() {
    let run = run(&[("scopegate.yaml", &okta())], &["check"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("good: 1 provider, 2 scopes, 3 routes"), "{run:?}");
}

#[test]
fn invariant_13_every_error_of_a_bad_configuration_is_told_with_its_line() {
    let bad = "server: { listn: 127.0.0.1:1 }\nproviders:\n  otka: { audience: x }\n";
    let run = run(&[("scopegate.yaml", bad)], &["check"]);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    for expected in
        ["scopegate.yaml:1:11 (server.listn)", "did you mean `listen`?", "scopegate.yaml:3:3", "`okta`"]
    {
        assert!(run.stderr.contains(expected), "{expected} is not in {}", run.stderr);
    }
}

#[test]
fn a_bad_configuration_is_json_for_machines() {
    let run = run(&[("scopegate.yaml", "docs: 3")], &["check", "--json"]);
    let told = json(&run.stdout);
    assert_eq!(
        (run.code, &told["errors"][0]["line"], &told["errors"][0]["key"]),
        (1, &1.into(), &"docs".into())
    );
}

#[test]
fn a_configuration_that_is_not_there_is_no_good_one() {
    let run = run(&[], &["check", "--config", "nowhere.yaml"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("cannot read `nowhere.yaml`"), "{run:?}");
}

#[test]
fn without_a_configuration_what_is_built_in_is_checked() {
    let run = run(&[], &["check", "--json"]);
    assert_eq!((run.code, &json(&run.stdout)["providers"][0]["kind"]), (0, &"dev".into()));
}

#[test]
fn an_unknown_command_is_a_wrong_use() {
    assert_eq!(run(&[], &["chekc"]).code, 2);
}

#[test]
fn routes_are_printed_the_most_specific_first() {
    let run = run(&[("scopegate.yaml", &okta())], &["routes", "--json"]);
    let rows = json(&run.stdout);
    let patterns: Vec<&str> =
        rows.as_array().unwrap().iter().map(|row| row["match"].as_str().unwrap()).collect();
    assert_eq!(patterns, ["/items/**", "/items/**", "/status"]);
    assert_eq!(rows[2]["place"], "scopegate.yaml:6:5");
}

#[test]
fn a_supposed_caller_is_permitted_or_told_what_is_missing() {
    let files = [("scopegate.yaml", okta())];
    let files = [(files[0].0, files[0].1.as_str())];
    let permitted = run(&files, &["explain", "GET", "https://api.example/items/7", "--scope", "items"]);
    assert_eq!(permitted.code, 0, "{permitted:?}");
    let denied = run(&files, &["explain", "POST", "/items", "--scope", "items", "--json"]);
    let told = json(&denied.stdout);
    assert_eq!((denied.code, &told["reason"]), (1, &"insufficient_scope".into()));
    assert_eq!(told["missing_scopes"], serde_json::json!(["items:write"]));
    assert_eq!(told["place"], "scopegate.yaml:5:5");
}

#[test]
fn explain_says_what_no_policy_is_asked_about() {
    let run = run(&[("scopegate.yaml", &okta())], &["explain", "GET", "/items/../status"]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("dot_segment"), "{run:?}");
}

#[test]
fn a_provider_that_is_not_there_is_a_wrong_use() {
    let run = run(&[("scopegate.yaml", &okta())], &["explain", "GET", "/items", "--provider", "auth0"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("there is no provider `auth0`; expected `okta`"), "{run:?}");
}

#[test]
fn the_schema_knows_every_kind() {
    let schema = json(&run(&[], &["schema"]).stdout);
    for kind in ["auth0", "okta", "oidc", "dev"] {
        assert!(schema["properties"]["providers"]["properties"][kind].is_object(), "{kind}");
    }
}

#[test]
fn who_does_not_run_is_not_healthy() {
    let run = run(&[("scopegate.yaml", "operations: { listen: 127.0.0.1:1 }")], &["health"]);
    assert_eq!(run.code, 1);
}

#[test]
fn a_tampered_token_is_taken_apart_and_told_bad() {
    // {"alg":"ES256","kid":"x"}.{"iss":"https://elsewhere.example"}.
    let token = "eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJodHRwczovL2Vsc2V3aGVyZS5leGFtcGxlIn0.AAAA";
    let run = run(&[("scopegate.yaml", &okta())], &["token", "inspect", token, "--json"]);
    let told = json(&run.stdout);
    assert_eq!((run.code, &told["reason"]), (1, &"unknown_issuer".into()));
    assert_eq!(told["claims"]["iss"], "https://elsewhere.example");
}

#[test]
fn every_situation_of_real_users_is_checked_clean() {
    let situations = include_str!("../data/situations.yaml");
    for (number, situation) in situations.split("\n---\n").enumerate() {
        let situation = situation
            .replace("/run/secrets/okta", "okta")
            .replace("{ env: DATABASE_URL }", "{ file: database }");
        let files =
            [("scopegate.yaml", situation.as_str()), ("okta", "s3cret"), ("database", "postgres://u@h/d")];
        let run = run(&files, &["check"]);
        assert_eq!(run.code, 0, "situation {}: {run:?}", number + 1);
    }
}

const STORED: &str = "store: { url: sqlite://scopegate.db }\n";

#[test]
fn a_store_is_migrated_by_hand() {
    let file = format!("{STORED}{OKTA}");
    let run = run(&[("scopegate.yaml", &file)], &["migrate"]);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn tokens_of_a_subject_are_revoked_and_a_provider_disabled_without_an_admin_token() {
    let file = format!("{STORED}{OKTA}");
    for arguments in [&["revoke", "--subject", "mallory"][..], &["provider", "disable", "okta"]] {
        let run = run(&[("scopegate.yaml", &file)], arguments);
        assert_eq!(run.code, 0, "{run:?}");
    }
}

#[test]
fn acting_on_a_store_that_nobody_else_sees_is_a_wrong_use() {
    let file = format!("store: {{ url: 'memory:' }}\n{OKTA}");
    assert_eq!(run(&[("scopegate.yaml", &file)], &["revoke", "--subject", "mallory"]).code, 2);
}

#[test]
fn a_scope_is_put_without_an_admin_token() {
    let file = format!("{STORED}{OKTA}");
    let put = ["scope", "put", "reports", "--description", "Read reports", "--route", "GET /reports/**"];
    let run = run(&[("scopegate.yaml", &file)], &put);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn invariant_15_a_scope_that_loosens_the_file_is_refused_here_too() {
    let file = format!("{STORED}{}", okta());
    let run = run(&[("scopegate.yaml", &file)], &["scope", "put", "reports", "--route", "GET /items/{id}"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("loosen"), "{run:?}");
}
