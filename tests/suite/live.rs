//! Decisions as administrators see them: at once, later, and why.

use serde_json::{Value, json};

use crate::{
    admin::{Site, config, site_of},
    support::eventually,
};

fn watched() -> String {
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
