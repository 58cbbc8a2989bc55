//! Decisions as administrators see them: at once, later, and why.

use serde_json::{Value, json};

use crate::{
    admin::{Site, config, site_of},
    nodes::two_of,
    support::eventually,
};

/// Returns the configuration of a site with an operator page and a client that may only look.
pub(crate) fn watched() -> String {
    config("memory:")
        .replace(
            "admin: { require: scopegate:admin }",
            "admin: { require: scopegate:admin, read: scopegate:read, ui: true }",
        )
        .replace(
            "scopes: [scopegate:admin] }",
            "scopes: [scopegate:admin] }\n      - { id: looker, secret: looker-secret, scopes: [scopegate:read] }",
        )
        .replace("scopegate:admin: Administer", "scopegate:admin: Administer\n  scopegate:read: Look")
}

async fn denial(site: &Site) -> (String, Value) {
    let refused =
        site.client.json("POST", "/items?secret=in-the-query", &site.user, &json!({ "name": "x" })).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let id = refused.header("x-request-id").to_owned();
    let path = format!("/admin/decisions?request_id={id}");
    let found = eventually(
        async || site.client.get_with(&path, &site.root).await.json()["items"][0].clone(),
        |found| !found.is_null(),
    )
    .await;
    (id, found)
}

#[tokio::test]
async fn a_denial_is_remembered_with_its_route_and_what_the_token_lacks_and_without_the_query() {
    let site = site_of(&watched()).await;
    let (id, found) = denial(&site).await;
    assert_eq!(found["request_id"], id);
    assert_eq!(found["outcome"], "denied");
    assert_eq!(found["reason"], "insufficient_scope");
    assert_eq!(found["path"], "/items");
    assert_eq!(found["client"], "demo");
    assert_eq!(found["missing"], json!({ "scopes": ["items:write"] }));
    assert!(found["route"]["place"].as_str().unwrap().contains("scopegate.yaml:"), "{found}");
    assert!(!found.to_string().contains("in-the-query"));
    let groups =
        site.client.get_with("/admin/decisions?group=reason&outcome=denied", &site.root).await.json();
    let group = groups["items"].as_array().unwrap().iter().find(|group| group["client"] == "demo").unwrap();
    assert_eq!((&group["count"], &group["examples"][0]["request_id"]), (&json!(1), &json!(id)));
}

#[tokio::test]
async fn a_remembered_denial_is_explained_by_its_request_id() {
    let site = site_of(&watched()).await;
    let (id, _) = denial(&site).await;
    let asked = json!({ "request_id": id });
    let told = site.client.json("POST", "/admin/explain", &site.root, &asked).await.json();
    assert_eq!((&told["permitted"], &told["reason"]), (&json!(false), &json!("insufficient_scope")));
    assert_eq!(told["then"]["status"], 403);
    assert_eq!(told["least"]["scopes"], json!(["items:write"]));
    assert_eq!(told["alternatives"][0]["requirements"][0]["has"], json!(["items", "reports"]));
    let unknown = site.client.json("POST", "/admin/explain", &site.root, &json!({ "request_id": "x" })).await;
    assert_eq!((unknown.status, unknown.json()["reason"].clone()), (404, json!("unknown_request")));
}

/// The decisions of all nodes are gathered through the store, with their rates and last examples.
#[tokio::test]
async fn an_overview_holds_the_denials_of_every_node_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("gate.db").display());
    let (_first, one, _second, other, user, root) = two_of(&config(&url)).await;
    let mut ids = Vec::new();
    for node in [&one, &other] {
        let denied = node.json("POST", "/items", &user, &json!({ "name": "x" })).await;
        assert_eq!(denied.status, 403, "{denied:?}");
        ids.push(denied.header("x-request-id").to_owned());
    }
    let path = "/admin/decisions?group=reason&outcome=denied&client=demo&reason=insufficient_scope";
    let groups = eventually(
        async || one.get_with(path, &root).await.json()["items"].clone(),
        |groups| groups[0]["count"] == 2,
    )
    .await;
    assert_eq!(groups.as_array().unwrap().len(), 1, "{groups}");
    let examples = groups[0]["examples"].as_array().unwrap();
    for id in &ids {
        assert!(examples.iter().any(|example| example["request_id"] == json!(id)), "{groups}");
    }
    let overview = one.get_with("/admin/overview", &root).await.json();
    let nodes = overview["nodes"].as_array().unwrap();
    assert_eq!((nodes.len(), &nodes[0]["self"], &nodes[1]["self"]), (2, &json!(true), &json!(false)));
    assert!(nodes.iter().all(|node| node["ready"] == true) && nodes[0]["id"] != nodes[1]["id"], "{overview}");
    let denied: u64 = overview["rates"]["denied"].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
    assert!(denied >= 2, "{overview}");
    let asked = json!({ "request_id": ids[1] });
    let told = one.json("POST", "/admin/explain", &root, &asked).await;
    assert!(told.status == 404 && told.text.contains(nodes[1]["id"].as_str().unwrap()), "{told:?}");
    let unfit = one.get_with("/admin/decisions?group=reason&path=/items", &root).await.json();
    assert_eq!(
        unfit["items"][0]["count"], 1,
        "a filter that reports cannot answer is answered by this node: {unfit}"
    );
}

/// CASES O3: the token is at fault, so that its reason is the headline.
#[tokio::test]
async fn the_explanation_of_a_revoked_token_says_so_first() {
    let site = site_of(&watched()).await;
    let revoke = json!({ "token": site.user });
    assert_eq!(site.client.json("POST", "/admin/revocations", &site.root, &revoke).await.status, 201);
    let asked = json!({ "url": "/items", "token": site.user });
    let told = site.client.json("POST", "/admin/explain", &site.root, &asked).await.json();
    assert_eq!((&told["permitted"], &told["reason"]), (&json!(false), &json!("revoked")), "{told}");
}

/// CASES C5: an own endpoint answers before the policy, and the explanation says so.
#[tokio::test]
async fn the_explanation_of_an_own_endpoint_says_that_it_is_one() {
    let site = site_of(&watched()).await;
    let told =
        site.client.json("POST", "/admin/explain", &site.root, &json!({ "url": "/docs" })).await.json();
    assert_eq!(told["own_endpoint"], "/docs", "{told}");
}

#[tokio::test]
async fn a_reader_sees_everything_and_changes_nothing() {
    let site = site_of(&watched()).await;
    let reader = site.client.token("", "looker", "looker-secret", "scopegate:read").await;
    for path in ["/admin/overview", "/admin/decisions", "/admin/routes", "/admin/audit", "/admin/providers"] {
        assert_eq!(site.client.get_with(path, &reader).await.status, 200, "{path}");
    }
    let session = site.client.get_with("/admin/session", &reader).await.json();
    assert_eq!((&session["may"], &session["provider"]), (&json!(["read"]), &json!("local")));
    let session = site.client.get_with("/admin/session", &site.root).await.json();
    assert_eq!(session["may"], json!(["read", "change"]));
    let explained = site.client.json("POST", "/admin/explain", &reader, &json!({ "url": "/items" })).await;
    assert_eq!(explained.status, 200);
    let route = json!({ "match": "GET /z", "require": "items" });
    let refused = site.client.json("POST", "/admin/routes", &reader, &route).await;
    assert_eq!((refused.status, refused.json()["reason"].clone()), (403, json!("insufficient_scope")));
    let revoked = site.client.json("POST", "/admin/revocations", &reader, &json!({ "token": reader })).await;
    assert_eq!(revoked.status, 403);
    assert_eq!(site.client.get_with("/admin/overview", &site.user).await.status, 403);
}

#[tokio::test]
async fn the_overview_counts_decisions_and_names_the_providers() {
    let site = site_of(&watched()).await;
    denial(&site).await;
    let overview = site.client.get_with("/admin/overview", &site.root).await.json();
    let sum = |name: &str| -> u64 {
        overview["rates"][name].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum()
    };
    assert_eq!(overview["rates"]["permitted"].as_array().unwrap().len(), 60);
    assert_eq!(sum("denied"), 1, "{overview}");
    assert_eq!(overview["providers"][0]["name"], "local");
    assert_eq!(overview["providers"][0]["kind"], "dev");
    assert_eq!(overview["nodes"][0]["ready"], true);
    assert_eq!(overview["attention"], json!([]));
}

#[tokio::test]
async fn a_listener_gets_a_denial_as_it_is_made_and_no_more_once_its_token_is_revoked() {
    let site = site_of(&watched()).await;
    let answer = reqwest::Client::new()
        .get(format!("{}/admin/decisions", site.server.url))
        .bearer_auth(&site.root)
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut events = answer;
    let mut seen = String::new();
    let (id, _) = denial(&site).await;
    while !(seen.contains(&id) && seen.contains("event: rates")) {
        seen.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(seen.starts_with("retry: 4000\n\n"), "{seen}");
    let revoke = json!({ "token": site.root });
    assert_eq!(site.client.json("POST", "/admin/revocations", &site.root, &revoke).await.status, 201);
    while let Ok(Some(_)) = events.chunk().await {}
}

#[tokio::test]
async fn an_unknown_filter_is_refused() {
    let site = site_of(&watched()).await;
    let refused = site.client.get_with("/admin/decisions?klient=x", &site.root).await;
    assert_eq!((refused.status, refused.json()["reason"].clone()), (422, json!("invalid_filter")));
}

#[tokio::test]
async fn the_operator_page_asks_for_a_sign_in_and_opens_with_the_session() {
    let site = site_of(&watched()).await;
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let page = format!("{}/admin/ui", site.server.url);
    let first = browser.get(&page).send().await.unwrap();
    assert_eq!(first.status(), 303);
    let to = first.headers()["location"].to_str().unwrap().to_owned();
    assert!(to.starts_with("/admin/ui/sign-in?to="), "{to}");
    let form = [("token", site.root.as_str()), ("to", "/admin/ui")];
    let signed = browser.post(format!("{page}/sign-in")).form(&form).send().await.unwrap();
    assert_eq!(signed.status(), 200);
    let cookie = signed.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert!(!cookie.contains(&site.root), "the token is sealed");
    let open = browser.get(&page).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(open.status(), 200);
    let session = browser.get(format!("{}/admin/session", site.server.url)).header("cookie", &cookie);
    let session: Value = serde_json::from_str(&session.send().await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(session["may"], json!(["read", "change"]));
    let change = browser
        .delete(format!("{}/admin/scopes/items", site.server.url))
        .header("cookie", &cookie)
        .header("sec-fetch-site", "cross-site");
    assert_eq!(change.send().await.unwrap().status(), 403);
}

/// A14: denials of scopegate's own endpoints are recorded, and repeated failures are slowed down.
#[tokio::test]
async fn failed_token_requests_are_recorded_and_slowed_down() {
    let site = site_of(&watched()).await;
    let form = "grant_type=client_credentials&client_id=demo&client_secret=wrong";
    for _ in 0..5 {
        assert_eq!(site.client.form("/token", form).await.status, 401);
    }
    let slowed = site.client.form("/token", form).await;
    assert_eq!(slowed.status, 429, "{slowed:?}");
    assert!(slowed.header("retry-after").parse::<u64>().unwrap() >= 1);
    let root = site.client.token("", "root", "root-secret", "scopegate:admin").await;
    let path = "/admin/decisions?group=reason&outcome=denied";
    let reasons = eventually(
        async || {
            let groups = site.client.get_with(path, &root).await.json();
            let groups = groups["items"].as_array().unwrap().clone();
            groups.iter().map(|group| group["reason"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        },
        |reasons| reasons.iter().any(|reason| reason == "too_many_tries"),
    )
    .await;
    assert!(reasons.iter().any(|reason| reason == "invalid_client"), "{reasons:?}");
}

/// A14: the same for introspection.
#[tokio::test]
async fn failed_introspections_are_slowed_down() {
    let site = site_of(&watched()).await;
    let form = "client_id=api&client_secret=wrong&token=x";
    for _ in 0..5 {
        assert_eq!(site.client.form("/introspect", form).await.status, 401);
    }
    assert_eq!(site.client.form("/introspect", form).await.status, 429);
    let other = site.client.form("/introspect", "client_id=other&client_secret=wrong&token=x").await;
    assert_eq!(other.status, 401, "another client of the same peer may still try");
}

/// CASES C16: an unknown member of a body is refused, as an unknown key of the file is.
#[tokio::test]
async fn unknown_members_of_admin_bodies_are_refused() {
    let site = site_of(&watched()).await;
    for (method, path, body) in [
        ("PUT", "/admin/scopes/reports", json!({ "description": "Read", "rutes": [] })),
        ("POST", "/admin/routes", json!({ "match": "GET /z", "require": "items", "upstrem": "x" })),
        ("POST", "/admin/revocations", json!({ "provider": "local", "client": "x", "untill": "x" })),
        ("POST", "/admin/explain", json!({ "url": "/items", "scope": "items" })),
    ] {
        let refused = site.client.json(method, path, &site.root, &body).await;
        assert_eq!(refused.status, 422, "{path}: {refused:?}");
    }
}

/// CASES C16, C5: a stored route that an own endpoint would answer is refused, as in the file.
#[tokio::test]
async fn a_stored_route_that_an_own_endpoint_answers_is_refused() {
    let site = site_of(&watched()).await;
    let route = json!({ "match": "GET /docs", "allow": "anonymous" });
    let refused = site.client.json("POST", "/admin/routes", &site.root, &route).await;
    assert_eq!(
        (refused.status, refused.json()["reason"].clone()),
        (422, json!("hidden_route")),
        "{refused:?}"
    );
}

/// CASES C15: a stored route that no longer fits is listed with its reason, and can be deleted.
#[tokio::test]
async fn an_ignored_entry_is_listed_with_its_reason_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", folder.path().join("scopegate.db").display());
    let text = watched().replace("memory:", &store);
    let mut site = site_of(&text).await;
    let route = json!({ "match": "GET /late/**", "require": "reports" });
    let scope = json!({ "description": "Read reports" });
    assert_eq!(site.client.json("PUT", "/admin/scopes/reports", &site.root, &scope).await.status, 201);
    let made = site.client.json("POST", "/admin/routes", &site.root, &route).await;
    assert_eq!(made.status, 201, "{made:?}");
    // The file declares the same pattern now.
    let text = text.replace("routes:\n", "routes:\n  - { match: GET /late/**, allow: nobody }\n");
    drop(site.server);
    site = site_of(&text).await;
    let routes = site.client.get_with("/admin/routes", &site.root).await.json();
    let ignored: Vec<_> =
        routes["items"].as_array().unwrap().iter().filter(|route| route.get("ignored").is_some()).collect();
    assert_eq!(ignored.len(), 1, "{routes}");
    assert!(ignored[0]["ignored"].as_str().unwrap().contains("already declared"), "{ignored:?}");
    let ready = reqwest::get(format!("{}/readyz", site.server.operations)).await.unwrap();
    assert_eq!(ready.status(), 200);
    assert!(ready.text().await.unwrap().contains("degraded"));
    let id = ignored[0]["id"].as_str().unwrap();
    let gone = site.client.json("DELETE", &format!("/admin/routes/{id}"), &site.root, &json!(null)).await;
    assert_eq!(gone.status, 204, "{gone:?}");
}

/// A dry run shows an effect and changes nothing, and lets a reader do nothing else.
#[tokio::test]
async fn a_dry_run_tells_the_effect_and_a_reader_cannot_change_anything_by_it() {
    let site = site_of(&watched()).await;
    let reader = site.client.token("", "looker", "looker-secret", "scopegate:read").await;
    let block = json!({ "provider": "local", "client": "looker", "until_lifted": true });
    let told = site.client.json("POST", "/admin/revocations?dry_run=true", &reader, &block).await;
    assert_eq!((told.status, &told.json()["own_session"]), (200, &json!(true)), "{told:?}");
    let told =
        site.client.json("POST", "/admin/providers/local/disable?dry_run=true", &site.root, &json!({})).await;
    assert_eq!((told.status, &told.json()["own_session"]), (200, &json!(true)), "{told:?}");
    assert!(told.json()["requests_1h"].is_u64() && told.json()["streams"] == 0, "{told:?}");
    let key = "/admin/providers/local/distrust?kid=another&dry_run=true";
    let told = site.client.json("POST", key, &reader, &json!({})).await;
    assert_eq!((told.status, &told.json()["own_session"]), (200, &json!(false)), "{told:?}");
    let listed = site.client.get_with("/admin/revocations", &site.root).await.json();
    assert_eq!(listed["items"], json!([]));
    assert_eq!(site.client.get_with("/admin/providers/local", &site.root).await.json()["disabled"], false);
    let route = json!({ "match": "GET /z", "require": "items" });
    for (path, body) in [
        ("/admin/revocations", &block),
        ("/admin/revocations?dry_run=false&dry_run=true", &block),
        ("/admin/revocations?dry_run=true&dry_run=false", &block),
        ("/admin/revocations/import?dry_run=true", &block),
        ("/admin/routes?dry_run=true", &route),
        ("/admin/providers/local/enable?dry_run=true", &route),
        ("/admin/providers/local/refresh?dry_run=true", &route),
        ("/admin/providers/local/keys/x/trust?dry_run=true", &route),
    ] {
        let refused = site.client.json("POST", path, &reader, body).await;
        let reason = refused.json()["reason"].clone();
        assert_eq!((refused.status, reason), (403, json!("insufficient_scope")), "{path}");
    }
}

#[tokio::test]
async fn routes_are_listed_by_their_parts_and_by_the_scopes_that_reach_them() {
    let config = watched()
        .replace("items: Read items", "items: Read items\n  wide: { description: All, implies: [items] }")
        .replace(
            "routes:\n",
            "routes:\n  - { match: \"GET shop.example/orders/{id}\", require: { all: items, roles: [clerk], claims: { \
             tenant: { prefix: acme/ } }, max_age: 5m } }\n",
        );
    let site = site_of(&config).await;
    let listed = site.client.get_with("/admin/routes?q=orders", &site.root).await.json();
    let route = &listed["items"][0];
    assert_eq!(
        (&route["host"], &route["path"]),
        (&json!("shop.example"), &json!("/orders/{id}")),
        "{listed}"
    );
    assert_eq!((&route["methods"], &route["own"]), (&json!(["GET"]), &json!(false)));
    let require = json!({ "all": ["items"], "roles": ["clerk"], "claims": { "tenant": [{ "prefix": "acme/" }] },
                          "max_age": "5m" });
    assert_eq!(route["require"], require);
    let reached = site.client.get_with("/admin/routes?with=wide", &site.root).await.json();
    let patterns: Vec<_> =
        reached["items"].as_array().unwrap().iter().map(|route| route["match"].as_str().unwrap()).collect();
    assert_eq!(patterns, ["GET shop.example/orders/{id}", "GET /api/private", "GET /items/**"]);
    let scopes = site.client.get_with("/admin/scopes?name=wide", &site.root).await.json();
    assert_eq!(scopes["items"][0]["implies"], json!(["items"]));
    let own = site.client.get_with("/admin/routes?q=/admin", &site.root).await.json();
    assert_eq!(
        (&own["items"][0]["own"], &own["items"][0]["match"].as_str().unwrap().ends_with("/admin/**")),
        (&json!(true), &true),
        "{own}"
    );
}

#[tokio::test]
async fn the_audit_is_filtered_ordered_and_exported() {
    let site = site_of(&watched()).await;
    for name in ["one", "two", "three"] {
        let scope = json!({ "routes": [format!("GET /{name}")] });
        assert_eq!(
            site.client.json("PUT", &format!("/admin/scopes/{name}"), &site.root, &scope).await.status,
            201
        );
    }
    let block = json!({ "provider": "local", "client": "gone", "until_lifted": true });
    assert_eq!(site.client.json("POST", "/admin/revocations", &site.root, &block).await.status, 201);
    let names = async |query: &str| -> Vec<String> {
        let page = site.client.get_with(&format!("/admin/audit?{query}"), &site.root).await.json();
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| record["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("action=put_scope&order=desc").await, ["three", "two", "one"]);
    assert_eq!(names("q=TWO").await, ["two"]);
    assert_eq!(names("action=put_scope&actor=local/root").await, ["one", "two", "three"]);
    assert_eq!(names("actor=local/other").await, [] as [String; 0]);
    let first =
        site.client.get_with("/admin/audit?action=put_scope&order=desc&limit=2", &site.root).await.json();
    let rest = format!("action=put_scope&order=desc&before={}", first["next"].as_str().unwrap());
    assert_eq!(names(&rest).await, ["one"]);
    let lines = site.client.get_with("/admin/audit?format=ndjson&action=put_scope", &site.root).await;
    assert_eq!(
        (lines.header("content-type"), lines.text.lines().count()),
        ("application/x-ndjson", 3),
        "{lines:?}"
    );
    let refused = site.client.get_with("/admin/audit?action=nothing", &site.root).await;
    assert_eq!((refused.status, refused.json()["reason"].clone()), (422, json!("invalid_filter")));
}

#[tokio::test]
async fn a_provider_tells_the_history_of_its_keys() {
    let site = site_of(&watched()).await;
    let provider = eventually(
        async || site.client.get_with("/admin/providers/local", &site.root).await.json(),
        |provider| provider["keys"][0]["first_seen"].is_string(),
    )
    .await;
    assert_eq!(
        (&provider["fetches"][0]["ok"], &provider["ready"]),
        (&json!(true), &json!(true)),
        "{provider}"
    );
    assert!(provider["stale_at"].is_string(), "{provider}");
    let overview = site.client.get_with("/admin/overview", &site.root).await.json();
    assert!(overview["providers"][0]["stale_at"].is_string(), "{overview}");
    assert!(overview["store"]["latency_ms"].is_number(), "{overview}");
}

#[tokio::test]
async fn an_explanation_shows_the_challenge_and_the_smallest_addition() {
    let config = watched().replace(
        "routes:\n",
        "routes:\n  - { match: GET /fresh, require: { all: items, claims: { tenant: acme } } }\n",
    );
    let site = site_of(&config).await;
    let asked = json!({ "url": "/items/%31?x=1", "method": "POST", "token": site.user });
    let told = site.client.json("POST", "/admin/explain", &site.root, &asked).await.json();
    assert!(told["challenge"].as_str().unwrap().contains("insufficient_scope"), "{told}");
    assert_eq!(told["token"]["algorithm"], "ES256");
    assert!(told["curl"].as_str().unwrap().contains("curl -X POST"));
    let asked =
        json!({ "url": "/fresh", "provider": "local", "scopes": ["items"], "claims": { "tenant": "other" } });
    let told = site.client.json("POST", "/admin/explain", &site.root, &asked).await.json();
    assert_eq!(told["least"]["conditions"], json!(["tenant = \"acme\""]), "{told}");
}

/// `trace` follows a running node, filtered, and prints one line a decision.
#[tokio::test]
async fn the_command_trace_follows_the_denials_of_a_running_node() {
    let site = site_of(&watched()).await;
    let url = site.server.url.clone();
    let arguments =
        ["--json", "trace", "--url", &url, "--outcome", "denied", "--path", "/items", "--count", "1"];
    let mut trace = site.server.spawn(&arguments, ("SCOPEGATE_ADMIN_TOKEN", &site.root));
    let status = eventually(
        async || {
            site.client.json("POST", "/items", &site.user, &json!({ "name": "x" })).await;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            trace.try_wait().unwrap()
        },
        Option::is_some,
    )
    .await;
    assert!(status.unwrap().success());
    let mut printed = String::new();
    std::io::Read::read_to_string(&mut trace.stdout.take().unwrap(), &mut printed).unwrap();
    let decision: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&decision["path"], &decision["reason"]), (&json!("/items"), &json!("insufficient_scope")));
    assert_eq!(printed.lines().count(), 1, "{printed}");
}

/// `/` of the operations listener links to what is there.
#[tokio::test]
async fn the_operations_listener_links_to_what_it_serves() {
    let site = site_of(&watched()).await;
    let operations = crate::support::Client::new(&site.server.operations);
    let page = operations.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    for link in ["/readyz", "/healthz", "/metrics"] {
        assert!(page.text.contains(&format!("href=\"{link}\"")), "{link}: {}", page.text);
        assert_eq!(operations.get(link).await.status, 200);
    }
    assert!(page.text.contains(&format!("{}/admin/ui", site.server.url)), "{}", page.text);
    for style in page.text.split('"').filter(|text| text.starts_with("/assets/") && !text.contains('#')) {
        assert_eq!(operations.get(style).await.status, 200, "{style}");
    }
}

/// The difference of a change is told before it is saved, and a save after another change is refused.
#[tokio::test]
async fn a_change_is_compared_before_it_is_saved_and_refused_once_the_policy_has_moved() {
    let site = site_of(&watched()).await;
    denial(&site).await;
    let route = json!({ "match": "GET /reports/**", "require": "items" });
    let asked = json!({ "create": route, "replay": "1h" });
    let told = site.client.json("POST", "/admin/diff", &site.root, &asked).await.json();
    assert_eq!(
        (&told["exact"], &told["losses"], &told["problem"]),
        (&json!(true), &json!([]), &Value::Null),
        "{told}"
    );
    assert_eq!(told["gains"][0]["after"]["outcome"], "permitted", "{told}");
    assert!(told["replay"]["unchanged"].as_u64().unwrap() >= 1, "{told}");
    let wrong = json!({ "create": { "match": "GET /reports/**", "require": "nothing-such" } });
    let told = site.client.json("POST", "/admin/diff", &site.root, &wrong).await.json();
    assert_eq!(told["problem"]["reason"], "undeclared_scope", "{told}");
    let seen = told["base"]["change"].to_string();
    let scope = json!({ "routes": ["GET /other"] });
    assert_eq!(site.client.json("PUT", "/admin/scopes/other", &site.root, &scope).await.status, 201);
    let bearer = format!("Bearer {}", site.root);
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("if-policy-change", seen.as_str()),
    ];
    let refused = site.client.send("POST", "/admin/routes", &headers, &route.to_string()).await;
    assert_eq!(
        (refused.status, refused.json()["reason"].clone()),
        (409, json!("policy_moved")),
        "{refused:?}"
    );
}
