//! Changes of a policy: tests, difference, shadow, replay and analysis, and that what they announce is what happens.

use serde_json::{Value, json};

use crate::{
    admin::{Site, config, site_of},
    support::{Browser, eventually, run},
};

const OKTA: &str =
    "providers: { okta: { issuer: https://acme.okta.com/oauth2/default, audience: api://default } }\n";

/// The routes of the site, and others in `mode: shadow` beside them.
fn shadowed() -> String {
    declared().replace(
        "routes:\n",
        r#"routes:
  - { match: GET /open, allow: anonymous }
  - { match: GET /open, require: items, mode: shadow }
  - { match: GET /items/**, require: "items:write", mode: shadow }
  - { match: GET /new/**, require: reports, mode: shadow, cors: { origins: ["https://app.example"] } }
  - { match: GET /api/private, allow: anonymous, mode: shadow }
"#,
    )
}

/// The configuration of the site, which declares a scope more.
fn declared() -> String {
    config("memory:").replace("scopes:\n", "scopes:\n  reports: Read reports\n")
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// The tests of each of the five situations pass, and notice every flaw.
#[test]
fn the_tests_of_each_situation_notice_every_flaw() {
    let situations = include_str!("../data/situations.yaml").split("\n---\n");
    let tests = include_str!("../data/situation_tests.yaml").split("\n---\n");
    for (number, (situation, tests)) in situations.zip(tests).enumerate() {
        let situation = situation
            .replace("/run/secrets/okta", "okta")
            .replace("{ env: DATABASE_URL }", "{ file: database }");
        let files = [
            ("scopegate.yaml", situation.as_str()),
            ("okta", "s3cret"),
            ("database", "postgres://u@h/d"),
            ("tests.yaml", tests),
        ];
        let run = run(&files, &["test", "tests.yaml", "--coverage"]);
        assert_eq!(run.code, 0, "situation {}: {run:?}", number + 1);
        assert!(run.stdout.contains("coverage 100 %"), "situation {}: {run:?}", number + 1);
    }
}

#[test]
fn tests_of_the_configuration_and_of_files_run_together_and_failures_say_why() {
    let text = format!(
        "{OKTA}scopes: {{ items: Read }}
routes:
  - {{ match: GET /items, require: items }}
tests:
  - {{ request: GET /items, scopes: [items], expect: permit }}
  - {{ request: GET /items, client: app, expect: permit }}
"
    );
    let further =
        "- { request: GET /items, expect: no_token }\n- { request: GET /other, expect: no_token }\n";
    let files = [("scopegate.yaml", text.as_str()), ("more.yaml", further)];
    let report = run(&files, &["test", "more.yaml"]);
    assert_eq!(report.code, 1);
    for line in [
        "failed scopegate.yaml:7:5: GET /items with client app",
        "expected permit, found insufficient_scope",
        "by GET /items: items scopegate.yaml:4:5",
        "failed more.yaml:2:3: GET /other with no token",
        "expected no_token, found no_route",
        "2 passed, 2 failed",
    ] {
        assert!(report.stdout.contains(line), "{line} is not in {}", report.stdout);
    }
    let typo = text.replace("expect: permit", "expect: insuficient_scope");
    let refused = run(&[("scopegate.yaml", &typo)], &["check"]);
    assert!(refused.stderr.contains("did you mean `insufficient_scope`?"), "{refused:?}");
    assert!(refused.stderr.contains("scopegate.yaml:6:"), "{refused:?}");
}

/// A route in `mode: shadow` changes no answer, challenge, metadata or document.
#[tokio::test]
async fn shadow_routes_change_no_answer() {
    let shadow = site_of(&shadowed()).await;
    let without: String = shadowed()
        .lines()
        .filter(|line| !line.contains("shadow"))
        .map(|line| line.to_owned() + "\n")
        .collect();
    let plain = site_of(&without).await;
    for path in [
        "/open",
        "/items",
        "/items/1",
        "/new/x",
        "/api/private",
        "/openapi.json",
        "/.well-known/oauth-protected-resource",
    ] {
        for caller in ["none", "user", "bad"] {
            for method in ["GET", "HEAD", "OPTIONS", "POST"] {
                let mut answers = Vec::new();
                for site in [&shadow, &plain] {
                    let bearer = match caller {
                        "user" => format!("Bearer {}", site.user),
                        _ => "Bearer bad".to_owned(),
                    };
                    let mut headers =
                        vec![("origin", "https://app.example"), ("access-control-request-method", "GET")];
                    if caller != "none" {
                        headers.push(("authorization", bearer.as_str()));
                    }
                    let answer = site.client.send(method, path, &headers, "").await;
                    // The sample API answers with the claims of the token there.
                    let text = if path == "/api/private" { "" } else { answer.text.as_str() };
                    // Ports and moments differ.
                    let body = text.replace(|c: char| c.is_ascii_digit(), "");
                    let body: Vec<&str> =
                        body.split(',').filter(|member| !member.contains("request_id")).collect();
                    answers.push((
                        answer.status,
                        answer.header("www-authenticate").replace(site.server.url.as_str(), "URL"),
                        answer.header("allow").to_owned(),
                        answer.header("access-control-allow-origin").to_owned(),
                        body.join(","),
                    ));
                }
                assert_eq!(answers[0], answers[1], "{method} {path} as {caller}");
            }
        }
    }
}

async fn shadow_count(site: &Site, wanted: &Value) -> Value {
    let matches = |item: &Value| wanted.as_object().unwrap().iter().all(|(name, value)| item[name] == *value);
    eventually(
        async || {
            let counts = site.client.get_with("/admin/shadow", &site.root).await.json();
            let items = counts["items"].as_array().cloned().unwrap_or_default();
            items.into_iter().find(|item| matches(item)).unwrap_or_else(|| counts.clone())
        },
        |found| matches(found),
    )
    .await
}

/// What would change, for which clients, how often, since when.
#[tokio::test]
async fn shadow_decisions_are_counted_by_client_and_shown_beside_the_enforced_decision() {
    let site = site_of(&shadowed()).await;
    let answer = site.client.get_with("/items", &site.user).await;
    assert_eq!(answer.status, 200);
    let denied = json!({ "enforced": "permitted", "shadow": "denied", "reason": "insufficient_scope", "client": "demo", "count": 1, "changes": true });
    let found = shadow_count(&site, &denied).await;
    assert_eq!(found["route"]["match"], "GET /items/**");
    assert!(found["route"]["place"].as_str().unwrap().contains("scopegate.yaml:"), "{found}");
    assert!(found["first"].is_string() && found["last"].is_string());
    let path = format!("/admin/decisions?request_id={}", answer.header("x-request-id"));
    let decision = eventually(
        async || site.client.get_with(&path, &site.root).await.json()["items"][0].clone(),
        |found| !found.is_null(),
    )
    .await;
    assert_eq!(
        (&decision["outcome"], &decision["shadow"]["outcome"]),
        (&json!("permitted"), &json!("denied"))
    );
    let groups =
        site.client.get_with("/admin/decisions?group=reason&outcome=shadow", &site.root).await.json();
    assert_eq!(groups["items"][0]["outcome"], "shadow", "{groups}");
    assert_eq!(groups["items"][0]["reason"], "insufficient_scope");

    // Denied today, permitted by the shadow.
    assert_eq!(site.client.get("/api/private").await.status, 401);
    shadow_count(&site, &json!({ "enforced": "denied", "shadow": "permitted", "count": 1 })).await;
    let page = site.client.at(&site.server.operations).get("/metrics").await.text;
    let line = r#"scopegate_shadow_decisions_total{route="GET /api/private",enforced="denied",shadow="permitted",reason="permitted"} 1"#;
    assert!(page.contains(line), "{page}");
}

/// The enforced route ignores tokens, so that the token is verified for the shadow alone, after the answer.
#[tokio::test]
async fn a_token_that_only_the_shadow_needs_is_verified_apart_from_the_answer() {
    let site = site_of(&shadowed()).await;
    assert_eq!(site.client.get_with("/open", &site.user).await.json()["reason"], "nothing_here");
    shadow_count(
        &site,
        &json!({ "enforced": "permitted", "shadow": "permitted", "client": "demo", "changes": false }),
    )
    .await;
    site.client.get_with("/open", "not.a.token").await;
    site.client.get("/open").await;
    for reason in ["no_token"] {
        shadow_count(&site, &json!({ "shadow": "denied", "reason": reason, "client": null })).await;
    }
}

#[test]
fn a_shadow_route_of_a_file_is_promoted_in_place_of_the_route_that_it_replaces() {
    let text = format!(
        "{OKTA}scopes: {{ items: Read, write: Write }}
routes:
  - {{ match: GET /a, require: items }}
  - {{ match: GET /a, require: write, mode: shadow }}   # from May
"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scopegate.yaml");
    std::fs::write(&file, &text).unwrap();
    let path = file.to_str().unwrap();
    let shadow = |arguments: &[&str]| run(&[], &[&["--config", path, "shadow"], arguments].concat());
    let listed = shadow(&["list"]);
    assert!(listed.stdout.contains("GET /a") && listed.stdout.contains("scopegate.yaml:5:5"), "{listed:?}");
    let written = std::fs::metadata(&file).unwrap().modified().unwrap();
    let tried = shadow(&["promote", "GET /a", "--dry-run"]);
    assert!(tried.stdout.contains("1 gained, 1 lost"), "{tried:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    // Not even for a moment: a node that watches the file would have enforced the route.
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), written);
    let done = shadow(&["promote", "GET /a"]);
    assert_eq!((done.code, &done.stdout), (0, &tried.stdout), "{done:?}");
    let after = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        after.lines().skip(3).collect::<Vec<_>>(),
        ["  - { match: GET /a, require: write }   # from May"]
    );
    assert_eq!(shadow(&["promote", "GET /a"]).code, 2);
}

#[test]
fn a_stored_shadow_route_is_promoted_in_place_of_the_one_that_it_replaces_and_of_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scopegate.yaml");
    let store = folder.path().join("gate.db");
    let text = format!(
        "{OKTA}scopes: {{ items: Read, write: Write }}\nstore: {{ url: 'sqlite://{}' }}\n\
         routes: [{{ match: /**, allow: anonymous }}]\n",
        store.display()
    );
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let scopegate = |arguments: &[&str]| run(&[], &[&["--config", path], arguments].concat());
    assert_eq!(scopegate(&["migrate"]).code, 0);
    for route in [
        "{ match: GET /a, require: items }",
        "{ match: GET /a, require: write, mode: shadow }",
        "{ match: GET /b, allow: nobody, mode: shadow }",
    ] {
        let put = scopegate(&["route", "put", route]);
        assert_eq!(put.code, 0, "{put:?}");
    }
    let tried = scopegate(&["shadow", "promote", "GET /a", "--dry-run"]);
    assert!(tried.stdout.contains("/a") && !tried.stdout.contains("/b"), "{tried:?}");
    assert!(scopegate(&["route", "list"]).stdout.contains("items"), "a dry run has changed the store");
    let done = scopegate(&["shadow", "promote", "GET /a"]);
    assert_eq!((done.code, &done.stdout), (0, &tried.stdout), "{done:?}");
    let routes = scopegate(&["route", "list"]).stdout;
    assert!(routes.contains("write") && !routes.contains("items"), "{routes}");
    assert_eq!(routes.matches("shadow").count(), 1, "{routes}");
    assert_eq!(scopegate(&["shadow", "promote", "GET /a"]).code, 2);
}

#[test]
fn what_is_often_not_meant_is_found_unless_it_is_intended() {
    let text = format!(
        "{OKTA}scopes: {{ items: Read, write: Write }}
routes:
  - {{ match: /**, allow: authenticated }}
  - {{ match: GET /items/**, require: {{ any_of: [ {{ all: [items] }}, {{ all: [items, write] }} ] }} }}
  - {{ match: /health, allow: anonymous }}
tests:
  - {{ request: GET /health, expect: no_token }}
  - {{ request: GET /health, expect: permit, client: app }}
  - {{ request: GET /health, expect: no_route }}
"
    );
    let found = run(&[("scopegate.yaml", &text)], &["check", "--json"]);
    let report = json_of(&found.stdout);
    let kinds: Vec<(&str, &str)> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["kind"].as_str().unwrap(), one["place"].as_str().unwrap()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("subsumed_alternative", "scopegate.yaml:5:5"),
            ("anonymous_inside", "scopegate.yaml:6:5"),
            ("method_not_allowed", "scopegate.yaml:5:5"),
            ("contradicting_tests", "scopegate.yaml:10:5"),
        ]
    );
    assert_eq!((found.code, &report["good"]), (0, &json!(true)));
    assert_eq!(run(&[("scopegate.yaml", &text)], &["check", "--strict"]).code, 1);
    let marked = text
        .replace("] } }\n", "] }, intended: [subsumed_alternative, method_not_allowed] }\n")
        .replace("allow: anonymous }", "allow: anonymous, intended: [anonymous_inside] }")
        .replace("  - { request: GET /health, expect: no_route }\n", "");
    assert_eq!(run(&[("scopegate.yaml", &marked)], &["check", "--strict"]).code, 0);
}

/// Decisions of a node are kept in a file without tokens, and made again under another policy.
#[tokio::test]
async fn recorded_decisions_are_made_again_under_a_new_policy() {
    let site = site_of(&config("memory:")).await;
    site.client.get_with("/admin/decisions", &site.root).await;
    for _ in 0..3 {
        assert_eq!(site.client.get_with("/items", &site.user).await.status, 200);
    }
    assert_eq!(site.client.get("/items").await.status, 401);
    let page = eventually(
        async || site.client.get_with("/admin/decisions?path=/items", &site.root).await.text,
        |body| json_of(body)["items"].as_array().is_some_and(|items| items.len() == 4),
    )
    .await;
    assert!(!page.contains(&site.user) && !page.contains("eyJ"), "{page}");
    assert_eq!(json_of(&page)["items"][1]["caller"]["scopes"], json!(["items", "reports"]));

    let same = config("memory:");
    let files = [("scopegate.yaml", same.as_str()), ("traffic.json", page.as_str())];
    let unchanged = run(&files, &["check", "--against-traffic", "traffic.json"]);
    assert_eq!(unchanged.code, 0, "{unchanged:?}");
    assert!(unchanged.stdout.contains("0 denied now, 4 unchanged, 0 of which"), "{unchanged:?}");

    let stricter = same.replace("GET /items/**, require: items", "GET /items/**, require: \"items:write\"");
    let files = [("scopegate.yaml", stricter.as_str()), ("traffic.json", page.as_str())];
    let changed = run(&files, &["replay", "traffic.json", "--json"]);
    let report = json_of(&changed.stdout);
    assert_eq!((changed.code, &report["denied_now"][0]["count"]), (1, &json!(3)), "{changed:?}");
    assert_eq!(report["denied_now"][0]["client"], "demo");
    assert_eq!(report["denied_now"][0]["examples"][0]["path"], "/items");
    assert_eq!(report["unchanged"], 1);
}

/// The client of an example, as its request is sent.
async fn status_of(site: &Site, example: &Value) -> u16 {
    let request = &example["request"];
    let mut headers = vec![("host", request["host"].as_str().unwrap().to_owned())];
    if let Some(scopes) = example["caller"]["scopes"].as_array() {
        let scopes: Vec<&str> = scopes.iter().filter_map(Value::as_str).collect();
        let token = site.client.token("", "demo", "demo-secret", &scopes.join("%20")).await;
        headers.push(("authorization", format!("Bearer {token}")));
    }
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let method = request["method"].as_str().unwrap();
    site.client.send(method, request["path"].as_str().unwrap(), &headers, "").await.status
}

/// What difference and replay announce by the API is what happens after saving.
#[tokio::test]
async fn what_difference_and_replay_announce_is_what_happens_after_saving() {
    let site = site_of(&declared()).await;
    let put = json!({ "match": "GET /stored/{id}", "require": "reports" });
    let made = site.client.json("POST", "/admin/routes", &site.root, &put).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let caller = site.user.clone();
    // Permits are remembered while someone looks.
    site.client.get_with("/admin/overview", &site.root).await;
    for _ in 0..2 {
        assert_eq!(site.client.get_with("/stored/1", &caller).await.status, 404);
    }
    let definition = json!({ "match": "GET|POST /stored/{id}", "require": "items:write" });
    let question = json!({ "replace": { "id": id, "definition": definition }, "replay": "1h" });
    let announced = eventually(
        async || site.client.json("POST", "/admin/diff", &site.root, &question).await.json(),
        |answer| answer["replay"]["denied_now"][0]["count"] == 2,
    )
    .await;
    let permitted = |status: u16| status != 401 && status != 403 && status != 405;
    let gains = announced["gains"].as_array().unwrap();
    let losses = announced["losses"].as_array().unwrap();
    assert!(!gains.is_empty() && !losses.is_empty(), "{announced}");
    for (examples, is_gain) in [(gains, true), (losses, false)] {
        for example in examples {
            assert_eq!(permitted(status_of(&site, example).await), !is_gain, "before: {example}");
        }
    }
    let put = site.client.json("PUT", &format!("/admin/routes/{id}"), &site.root, &definition).await;
    assert_eq!(put.status, 200, "{put:?}");
    for (examples, is_gain) in [(gains, true), (losses, false)] {
        for example in examples {
            assert_eq!(permitted(status_of(&site, example).await), is_gain, "after: {example}");
        }
    }
    assert_eq!(site.client.get_with("/stored/1", &caller).await.status, 403);
}

/// A whole policy is compared before its file is written.
#[tokio::test]
async fn a_proposed_policy_is_compared_with_the_one_in_force() {
    let site = site_of(&config("memory:")).await;
    let proposed = "scopes: { items: Read, 'scopegate:admin': Administer, 'items:write': Change }
routes:
  - { match: GET /items/**, allow: anonymous }
";
    let answer =
        site.client.json("POST", "/admin/diff", &site.root, &json!({ "policy": proposed })).await.json();
    assert_eq!(answer["gains"][0]["stands_for"], "GET|HEAD /items/**", "{answer}");
    assert!(answer["losses"].as_array().unwrap().len() >= 2, "{answer}");
    let wrong = proposed.replace("allow", "alow");
    let answer =
        site.client.json("POST", "/admin/diff", &site.root, &json!({ "policy": wrong })).await.json();
    let message = answer["problem"]["message"].as_str().unwrap();
    assert!(message.contains("line 3") && message.contains("did you mean `allow`?"), "{message}");
}

/// A file is compared with the policy of a running node, stored routes and settings for all routes included.
#[tokio::test]
async fn a_file_is_compared_with_the_policy_of_a_running_node() {
    let site = site_of(&declared()).await;
    let stored = json!({ "match": "GET /stored", "require": "reports" });
    assert_eq!(site.client.json("POST", "/admin/routes", &site.root, &stored).await.status, 201);
    std::fs::write(site.server.folder().join("new.yaml"), declared() + "streams: { grace: 30s }\n").unwrap();
    let arguments = ["diff", "running", "new.yaml", "--url", site.server.url.as_str()];
    let child = site.server.spawn(&arguments, ("SCOPEGATE_ADMIN_TOKEN", site.root.as_str()));
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "loss GET|HEAD /stored: ",
        "by GET /stored: reports stored route",
        "setting streams.grace \"0s\" -> \"30s\"",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert_eq!(output.status.code(), Some(1), "{text}");
}

/// A revision of a repository, Markdown, and approved differences.
#[test]
fn a_revision_is_compared_and_approved_differences_pass() {
    let folder = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
        let mut command = std::process::Command::new("git");
        let status = command.current_dir(folder.path()).args(identity).args(arguments).output().unwrap();
        assert!(status.status.success(), "{status:?}");
    };
    let old =
        format!("{OKTA}scopes: {{ r: Read, w: Write }}\nroutes:\n  - {{ match: GET /a, require: [r, w] }}\n");
    let path = folder.path().join("scopegate.yaml");
    git(&["init", "-q"]);
    std::fs::write(&path, &old).unwrap();
    git(&["add", "."]);
    git(&["commit", "-qm", "Policy"]);
    std::fs::write(&path, old.replace("[r, w]", "r")).unwrap();
    let diff = |further: &[&str]| {
        let arguments = [&["diff", "HEAD:scopegate.yaml", "scopegate.yaml"], further].concat();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_scopegate"));
        let output = command.current_dir(folder.path()).args(&arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = diff(&[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("old denied (insufficient_scope) by GET /a: r, w HEAD:/scopegate.yaml:4:5"),
        "{text}"
    );
    let line = text.lines().next().unwrap();
    let (_, markdown) = diff(&["--markdown"]);
    assert!(markdown.starts_with("### Gained\n\n| Requests | Caller |"), "{markdown}");
    std::fs::write(folder.path().join("approved.txt"), format!("# agreed\n{line}\n")).unwrap();
    let (code, text) = diff(&["--allow", "approved.txt"]);
    assert_eq!((code, text.contains("0 gained")), (Some(0), true), "{text}");
}

/// A stored scope that implies another reaches what that one opens, in difference, explanation and answer.
#[tokio::test]
async fn a_stored_scope_that_implies_another_is_followed_by_difference_explanation_and_answer() {
    let site = site_of(&config("memory:")).await;
    let reports = json!({ "routes": ["GET /reports"] });
    let put = async |name: &str, body: &Value| {
        site.client.json("PUT", &format!("/admin/scopes/{name}"), &site.root, body).await
    };
    assert_eq!(put("team", &reports).await.status, 201);
    let question = json!({ "scope": { "name": "reports", "implies": ["team"] } });
    let announced = site.client.json("POST", "/admin/diff", &site.root, &question).await.json();
    assert_eq!(announced["gains"][0]["caller"]["scopes"], json!(["reports"]), "{announced}");
    // The caller's token has the scope `reports`.
    assert_eq!(site.client.get_with("/reports", &site.user).await.status, 403);
    let made = put("reports", &json!({ "implies": ["team"] })).await;
    assert_eq!((made.status, &made.json()["implies"]), (201, &json!(["team"])), "{made:?}");
    assert_eq!(site.client.get_with("/reports", &site.user).await.status, 404);
    let read = site.client.get_with("/admin/scopes/reports", &site.root).await.json();
    assert_eq!(read["implies"], json!(["team"]));
    let reached = site.client.get_with("/admin/routes?with=reports", &site.root).await.text;
    assert!(reached.contains("GET /reports"), "{reached}");
    let cycle = put("team", &json!({ "routes": ["GET /reports"], "implies": ["reports"] })).await;
    assert_eq!(cycle.status, 422, "{cycle:?}");
    assert!(cycle.text.contains("implies itself"), "{cycle:?}");
    let of_file = put("more", &json!({ "implies": ["items"] })).await;
    assert_eq!(of_file.status, 422, "{of_file:?}");
}

/// The API answers what `scopegate who` and `scopegate routes --client` print.
#[tokio::test]
async fn the_api_says_who_is_needed_and_what_a_client_reaches() {
    let shadowed = shadowed().replace(
        "routes:\n",
        "routes:\n  - { match: GET /mine, require: { all: [items], clients: [demo] } }\n",
    );
    let site = site_of(&shadowed).await;
    let ask = async |query: &str| site.client.get_with(&format!("/admin/{query}"), &site.root).await;
    let needs = ask("who?method=GET&url=/items/1").await.json();
    assert_eq!(needs["routes"][0]["sets"][0][0]["needs"], json!(["items"]), "{needs}");
    let shadow = ask("routes?q=items&limit=1000").await.json();
    let shadow = shadow["items"].as_array().unwrap().iter().find(|route| route["mode"] == "shadow").unwrap();
    let needs = ask(&format!("who?route={}", shadow["id"].as_str().unwrap())).await.json();
    assert_eq!(needs["routes"][0]["sets"][0][0]["needs"], json!(["items:write"]), "{needs}");
    assert_eq!(ask("who?route=none").await.status, 404);
    assert_eq!(ask("who?method=GET").await.status, 422);
    let reached = async |client: &str| {
        let text = ask(&format!("routes?limit=1000&with=items&client={client}")).await.text;
        text.contains("\"GET /mine\"")
    };
    assert_eq!([reached("demo").await, reached("other").await], [true, false]);
}

/// A folder of files is compared, and the store with its configuration.
#[test]
fn folders_and_the_store_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let text = |rule: &str| {
        format!(
            "{OKTA}scopes: {{ r: Read, w: Write }}\nstore: {{ url: 'sqlite://{}' }}\nroutes:\n  - {{ match: GET /a, require: {rule} }}\n",
            folder.path().join("gate.db").display()
        )
    };
    for (name, rule) in [("old", "[r, w]"), ("new", "r")] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("scopegate.yaml"), text(rule)).unwrap();
    }
    let scopegate = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_scopegate"));
        let output = command.current_dir(folder.path()).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, found) = scopegate(&["diff", "old", "new"]);
    assert_eq!(code, Some(1), "{found}");
    assert!(found.contains("old denied (insufficient_scope) by GET /a: r, w"), "{found}");
    assert_eq!(scopegate(&["diff", "new", "old"]).0, Some(0), "a policy that only tightens is no failure");
    assert_eq!(scopegate(&["--config", "old", "migrate"]).0, Some(0));
    assert_eq!(scopegate(&["--config", "old", "route", "put", "{ match: GET /b, require: w }"]).0, Some(0));
    let (code, found) = scopegate(&["--config", "old", "diff", "old", "store"]);
    assert_eq!(code, Some(1), "{found}");
    assert!(found.contains("GET|HEAD /b") && !found.contains("/a"), "{found}");
}

/// The page shows who is needed, what a client reaches and what shadow rules would change; and what it
/// announces before saving is what happens after.
#[tokio::test]
async fn the_page_shows_who_is_needed_and_what_would_change_and_that_happens_after_saving() {
    let text = shadowed().replace("require: scopegate:admin }", "require: scopegate:admin, ui: true }");
    let site = site_of(&text).await;
    let route = json!({ "match": "GET /stored/{id}", "require": "reports" });
    let made = site.client.json("POST", "/admin/routes", &site.root, &route).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    // Permits are remembered while someone looks.
    site.client.get_with("/admin/overview", &site.root).await;
    for path in ["/items", "/stored/1", "/stored/1"] {
        site.client.get_with(path, &site.user).await;
    }
    shadow_count(&site, &json!({ "enforced": "permitted", "shadow": "denied", "client": "demo" })).await;
    let browser = Browser::signed_in(&site, &site.root).await;

    browser.open(&format!("{}/admin/ui/policy", site.server.url)).await;
    let figures = browser.wait_for_text("#shadow", "would be decided otherwise").await;
    for part in ["GET /items/**", "demo", "insufficient scope", "scopegate shadow promote"] {
        assert!(figures.contains(part), "{part} is not in {figures}");
    }
    browser.write("#client", "demo\u{e007}").await;
    browser.wait_for_text("#count", "can be reached by demo with no scope").await;

    browser.open(&format!("{}/admin/ui/policy/{id}", site.server.url)).await;
    browser.wait_for_text("dialog", "Who can reach it now").await;
    browser.wait_for_text("dialog ul", "reports").await;
    let definition = r#"{ "match": "GET /stored/{id}", "require": "items:write" }"#;
    browser.write("#definition", &format!("\u{e009}a\u{e000}{definition}")).await;
    browser.click("dialog .d-foot .btn:not(.harm):not(.first)").await;
    let announced = browser.wait_for_text("dialog .result", "permitted before, would be denied").await;
    for part in ["GET|HEAD /stored/{id}", "2", "demo", "will be denied"] {
        assert!(announced.contains(part), "{part} is not in {announced}");
    }
    assert_eq!(site.client.get_with("/stored/1", &site.user).await.status, 404);
    browser.click("#seen").await;
    browser.click("dialog .btn.first").await;
    browser.wait_for_text(".toast", "Saved").await;
    assert_eq!(site.client.get_with("/stored/1", &site.user).await.json()["reason"], "insufficient_scope");
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.close().await;
}
