//! What the commands print and how they end: 0 is good, 1 is no, 2 is a wrong use.

use serde_json::Value;

use crate::support::{Client, Server, run};

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
fn a_put_scope_implies_another_of_the_store_and_none_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scopegate.yaml");
    std::fs::write(
        &file,
        format!("store: {{ url: 'sqlite://{}' }}\n{}", folder.path().join("gate.db").display(), okta()),
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let scopegate = |arguments: &[&str]| run(&[], &[&["--config", path], arguments].concat());
    assert_eq!(scopegate(&["migrate"]).code, 0);
    assert_eq!(scopegate(&["scope", "put", "reports", "--route", "GET /reports/**"]).code, 0);
    let put = scopegate(&["scope", "put", "audit", "--implies", "reports"]);
    assert!(put.code == 0 && put.stdout.contains("the scope `audit` implies reports"), "{put:?}");
    assert!(scopegate(&["scope", "list"]).stdout.contains("implies reports"));
    let explained = scopegate(&["explain", "GET", "/reports/1", "--scope", "audit"]);
    assert_eq!(explained.code, 0, "{explained:?}");
    let reached = scopegate(&["routes", "--scope", "audit"]);
    assert!(reached.stdout.contains("/reports/**"), "{reached:?}");
    let difference = scopegate(&["diff", path, "store"]);
    assert!(difference.code == 1 && difference.stdout.contains("/reports/**"), "{difference:?}");
    let refused = scopegate(&["scope", "put", "mine", "--implies", "items"]);
    assert!(refused.code == 1 && refused.stderr.contains("items"), "{refused:?}");
    let cycle = scopegate(&["scope", "put", "reports", "--implies", "audit"]);
    assert!(cycle.stderr.contains("implies itself"), "{cycle:?}");
}

#[test]
fn invariant_15_a_scope_that_loosens_the_file_is_refused_here_too() {
    let file = format!("{STORED}{}", okta());
    let run = run(&[("scopegate.yaml", &file)], &["scope", "put", "reports", "--route", "GET /items/{id}"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("loosen"), "{run:?}");
}

/// Packages install completions and pages that the program writes itself, and can tell what they installed.
#[test]
fn the_program_writes_its_version_completions_and_manual() {
    let version = run(&[], &["--version"]);
    for part in [env!("CARGO_PKG_VERSION"), "commit", "features server"] {
        assert!(version.stdout.contains(part), "{part} is not in {version:?}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let completions = run(&[], &["completions", shell]);
        assert!(completions.code == 0 && completions.stdout.contains("scopegate"), "{completions:?}");
    }
    let page = run(&[], &["man"]);
    assert!(page.code == 0 && page.stdout.contains(".TH scopegate 1"), "{page:?}");
    assert_eq!(run(&[("pages/.keep", "")], &["man", "pages"]).code, 0);
}

/// CASES O2: a route that an administrator has stored is in the table, with its source, and decides in `explain`.
#[tokio::test]
async fn a_stored_route_is_listed_and_explained() {
    let site = crate::admin::site(&store_in(&tempfile::tempdir().unwrap().keep())).await;
    let route = "{ match: GET /stored, require: items }";
    assert_eq!(site.server.command(&["route", "put", route]), 0);
    let table = json(&site.server.output(&["routes", "--json"]).stdout);
    let row = table.as_array().unwrap().iter().find(|row| row["match"] == "/stored").unwrap();
    assert!(row["source"].as_str().unwrap().starts_with("stored route"), "{row}");
    let explained = site.server.output(&["explain", "GET", "/stored", "--scope", "items", "--json"]);
    assert_eq!((explained.code, &json(&explained.stdout)["permitted"]), (0, &true.into()), "{explained:?}");
    let listed = json(&site.server.output(&["route", "list", "--json"]).stdout);
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(site.server.command(&["route", "delete", id]), 0);
    assert_eq!(json(&site.server.output(&["route", "list", "--json"]).stdout), serde_json::json!([]));
}

/// CASES O1, invariant 18: a token that is revoked at the server is revoked for the commands, too.
#[tokio::test]
async fn a_revoked_token_is_revoked_for_the_commands_too() {
    let site = crate::admin::site(&store_in(&tempfile::tempdir().unwrap().keep())).await;
    let issuer = site.client.get_with("/admin/providers/local", &site.root).await.json();
    let issuer = issuer["issuers"][0].as_str().unwrap().to_owned();
    // The commands find the issuer where it runs.
    let config = std::fs::read_to_string(site.server.folder().join("scopegate.yaml")).unwrap();
    let port = issuer.rsplit(':').next().unwrap().trim_end_matches('/');
    let config = config.replace("    listen: 127.0.0.1:0\n", &format!("    listen: 127.0.0.1:{port}\n"));
    std::fs::write(site.server.folder().join("commands.yaml"), config).unwrap();
    let inspect = ["token", "inspect", &site.user, "--json", "--config", "commands.yaml"];
    let explain = ["explain", "GET", "/items", "--token", &site.user, "--json", "--config", "commands.yaml"];
    let good = site.server.output(&inspect);
    assert_eq!((good.code, &json(&good.stdout)["good"]), (0, &true.into()), "{good:?}");
    assert_eq!(site.client.form("/revoke", &format!("token={}", site.user)).await.status, 200);
    let revoked = site.server.output(&inspect);
    assert_eq!((revoked.code, &json(&revoked.stdout)["reason"]), (1, &"revoked".into()), "{revoked:?}");
    let denied = site.server.output(&explain);
    assert_eq!((denied.code, &json(&denied.stdout)["permitted"]), (1, &false.into()), "{denied:?}");
}

/// Invariant 18: what the commands did not look at they say.
#[test]
fn a_store_that_was_not_looked_at_is_said_so() {
    let file = format!("store: {{ url: 'memory:' }}\n{}", okta());
    for arguments in [&["routes"][..], &["explain", "GET", "/status"], &["check"]] {
        let run = run(&[("scopegate.yaml", &file)], arguments);
        assert!(format!("{}{}", run.stdout, run.stderr).contains("was not looked at"), "{run:?}");
        assert_eq!(run.code, 0, "{run:?}");
    }
}

/// CASES C5, O1: `explain` knows scopegate's own endpoints.
#[test]
fn a_request_to_an_own_endpoint_is_explained_as_such() {
    let file = format!("docs: true\n{}", okta());
    let run = run(&[("scopegate.yaml", &file)], &["explain", "GET", "/docs", "--json"]);
    assert_eq!((run.code, &json(&run.stdout)["own_endpoint"]), (0, &"/docs".into()), "{run:?}");
}

/// CASES C14: `check` looks at the store, and names the folder that is missing and the key.
#[test]
fn a_store_that_cannot_be_opened_is_not_good() {
    let file = format!("store: {{ url: 'sqlite://missing/gate.db' }}\n{}", okta());
    let run = run(&[("scopegate.yaml", &file)], &["check"]);
    assert_eq!(run.code, 1, "{run:?}");
    for part in ["store.url", "the folder `missing` does not exist"] {
        assert!(run.stderr.contains(part), "{part} is not in {run:?}");
    }
}

/// CASES O5, O8: a client is blocked until that is undone; revocations are listed and undone by command.
#[tokio::test]
async fn a_client_is_blocked_until_that_is_undone() {
    let site = crate::admin::site(&store_in(&tempfile::tempdir().unwrap().keep())).await;
    let client = &site.client;
    assert_eq!(site.server.command(&["revoke", "--client", "demo", "--block", "--reason", "leaked"]), 0);
    crate::support::eventually(
        async || client.get_with("/items", &site.user).await.status,
        |status| *status == 401,
    )
    .await;
    let later = client.token("", "demo", "demo-secret", "items").await;
    assert_eq!(client.get_with("/items", &later).await.json()["reason"], "revoked");
    let listed = json(&site.server.output(&["revoke", "list", "--json"]).stdout);
    assert_eq!((&listed[0]["until_lifted"], &listed[0]["value"]), (&true.into(), &"demo".into()), "{listed}");
    let body = client.get_with("/admin/revocations", &site.root).await.json();
    assert_eq!(body["items"][0]["until_lifted"], true, "{body}");
    assert_eq!(site.server.command(&["revoke", "undo", listed[0]["id"].as_str().unwrap()]), 0);
    crate::support::eventually(
        async || client.get_with("/items", &later).await.status,
        |status| *status == 200,
    )
    .await;
    assert_eq!(site.server.command(&["revoke", "undo", "nosuchid"]), 1);
}

/// CASES O6: a key that the provider does not publish is distrusted with `--force` only.
#[test]
fn a_key_that_is_not_published_is_distrusted_by_force_only() {
    let issuer = crate::support::Issuer::start(&[]);
    let provider =
        format!("providers: {{ own: {{ kind: oidc, issuer: '{}', audience: a }} }}\n", issuer.name);
    let file = format!("{STORED}{provider}");
    let files = [("scopegate.yaml", file.as_str())];
    let refused = run(&files, &["provider", "distrust", "own", "nosuchkid"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("publishes no key `nosuchkid`"), "{refused:?}");
    assert_eq!(run(&files, &["provider", "distrust", "own", "nosuchkid", "--force"]).code, 0);
    let listed = run(&files, &["provider", "list", "--json"]);
    assert_eq!((listed.code, &json(&listed.stdout)[0]["name"]), (0, &"own".into()), "{listed:?}");
}

/// CASES O7: a provider that refuses connections is reported with the place in the file.
#[test]
fn a_provider_that_cannot_be_reached_is_reported_with_its_place() {
    let file = "providers:\n  own: { kind: oidc, issuer: 'https://127.0.0.1:1', audience: a }\n";
    let run = run(&[("scopegate.yaml", file)], &["check", "--online"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains("scopegate.yaml:2"), "{run:?}");
}

/// The store is backed up and restored by command, under a running server.
#[tokio::test]
async fn a_store_is_backed_up_and_restored_under_a_running_server() {
    let site = crate::admin::site(&store_in(&tempfile::tempdir().unwrap().keep())).await;
    let user = site.client.token("", "demo", "demo-secret", "items%20items:write").await;
    let items = async || site.client.get_with("/items?limit=100", &user).await.text;
    let before = items().await;
    assert_eq!(site.server.command(&["store", "backup", "backup.db"]), 0);
    let body = serde_json::json!({ "name": "later" });
    assert_eq!(site.client.json("POST", "/items", &user, &body).await.status, 201);
    assert_eq!(site.server.command(&["store", "restore", "backup.db"]), 0);
    assert_eq!(items().await, before);
    assert_eq!(site.server.command(&["store", "backup", "backup.db"]), 1, "a backup is not overwritten");
}

/// D4, CASES C15: a server starts over bad stored entries, reports them, and follows later changes.
#[tokio::test]
async fn a_server_starts_over_bad_stored_entries_and_reports_them() {
    let store = store_in(&tempfile::tempdir().unwrap().keep());
    drop(Server::start(&crate::admin::config(&store)));
    let sql = "INSERT INTO scopes (name, description, routes, version) VALUES ('two words', 'x', '[]', 1); INSERT INTO routes VALUES ('r', '{', 1), \
               ('s', '{\"match\":\"GET /z\",\"require\":\"items\",\"identity\":{\"headers\":{\"Host\":\"sub\"}}}', 1)";
    let mut connection =
        <sqlx::SqliteConnection as sqlx::Connection>::connect(&store.replace("//", "")).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    let site = crate::admin::site(&store).await;
    let operations = Client::new(&site.server.operations);
    let ready = operations.get("/readyz").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    for part in ["stored scope `two words`", "stored route `r`"] {
        assert!(ready.text.contains(part), "{part} is not in {ready:?}");
    }
    let metrics = operations.get("/metrics").await.text;
    assert!(metrics.contains("scopegate_store_ignored_entries 3"), "{metrics}");
    let table = site.server.output(&["routes"]);
    for part in ["stored route r", "stored route s", "ignored"] {
        assert!(table.stdout.contains(part), "{part} is not in {table:?}");
    }
    let put = serde_json::json!({ "routes": ["GET /reports"] });
    assert_eq!(site.client.json("PUT", "/admin/scopes/reports", &site.root, &put).await.status, 201);
    assert_ne!(site.client.get_with("/reports", &site.user).await.json()["reason"], "no_route");
    for name in ["/admin/routes/r", "/admin/routes/s", "/admin/scopes?name=two%20words"] {
        let deleted = site.client.json("DELETE", name, &site.root, &Value::Null).await;
        assert_eq!(deleted.status, 204, "{name}: {deleted:?}");
    }
    let ready = operations.get("/readyz").await;
    assert!(!ready.text.contains("stored"), "{ready:?}");
}

fn store_in(folder: &std::path::Path) -> String {
    format!("sqlite://{}/gate.db", folder.display())
}

/// A loosened rule is one gain with both places, and the status is 1 unless it is approved.
#[test]
fn a_loosened_policy_is_a_difference_with_both_places() {
    let old = format!("{OKTA}{ITEMS}");
    let new = old.replace("require: 'items:write'", "require: items");
    let line = "gain POST|PUT /items/**: provider okta, scopes [\"items\"]";
    let tight = old.replace("require: 'items:write'", "require: [items, 'items:write']");
    let files = [
        ("old.yaml", old.as_str()),
        ("new.yaml", new.as_str()),
        ("tight.yaml", tight.as_str()),
        ("approved.txt", line),
    ];
    let difference = run(&files, &["diff", "old.yaml", "new.yaml"]);
    assert_eq!(difference.code, 1, "{difference:?}");
    for expected in [line, "old.yaml:5:5", "new.yaml:5:5", "denied (insufficient_scope)"] {
        assert!(difference.stdout.contains(expected), "{expected} is not in {difference:?}");
    }
    let approved = run(&files, &["diff", "old.yaml", "new.yaml", "--allow", "approved.txt"]);
    assert_eq!(approved.code, 0, "{approved:?}");
    let tightened = run(&files, &["diff", "new.yaml", "tight.yaml", "--json"]);
    let answer = json(&tightened.stdout);
    assert_eq!((tightened.code, &answer["losses"][0]["caller"]["scopes"][0]), (0, &"items".into()));
    assert_eq!((&answer["exact"], &answer["gains"]), (&true.into(), &serde_json::json!([])));
}

#[test]
fn a_test_that_expects_another_decision_fails_with_the_route() {
    let tests = "- { request: GET /items/1, caller: { scopes: [items] }, expect: permit }
- { request: PUT /items/1, caller: { scopes: [items] }, expect: permit }\n";
    let run = run(&[("scopegate.yaml", &okta()), ("tests.yaml", tests)], &["test", "tests.yaml"]);
    assert_eq!(run.code, 1, "{run:?}");
    for expected in
        ["tests.yaml:2:3: PUT /items/1", "expected permit, found insufficient_scope", "1 passed, 1 failed"]
    {
        assert!(run.stdout.contains(expected), "{expected} is not in {run:?}");
    }
}

#[test]
fn the_needs_of_a_request_and_the_routes_of_a_caller_are_printed() {
    let who = run(&[("scopegate.yaml", &okta())], &["who", "PUT", "/items/1", "--json"]);
    assert_eq!(json(&who.stdout)["routes"][0]["sets"][0][0]["needs"], serde_json::json!(["items:write"]));
    let routes = run(&[("scopegate.yaml", &okta())], &["routes", "--scope", "items", "--json"]);
    let reached: Vec<Value> =
        json(&routes.stdout).as_array().unwrap().iter().map(|row| row["match"].clone()).collect();
    assert_eq!(reached, ["/items/**", "/status"]);
}

#[test]
fn a_flaw_that_no_test_would_notice_is_listed() {
    let tests = "- { request: GET /items/1, caller: { scopes: [items] }, expect: permit }
- { request: GET /items/1, caller: {}, expect: insufficient_scope }
- { request: GET /other/1, caller: { scopes: [items] }, expect: no_route }\n";
    let policy = "scopes: { items: Read }\nroutes:\n  - { match: GET /items/**, require: items }
  - { match: GET /status, allow: anonymous }\n";
    let files = [("scopegate.yaml", format!("{OKTA}{policy}")), ("tests.yaml", tests.to_owned())];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let run = run(&files, &["test", "tests.yaml", "--coverage"]);
    assert_eq!(run.code, 1, "{run:?}");
    for expected in ["no test notices GET /status: dropped", "coverage 60 %: 3 of 5 flaws are noticed"] {
        assert!(run.stdout.contains(expected), "{expected} is not in {run:?}");
    }
}
