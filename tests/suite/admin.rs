//! Administering at run time, as curl would.

use serde_json::{Value, json};

use crate::support::{Client, Server, eventually};

/// A server with an administrator, on this store.
pub(crate) fn config(store: &str) -> String {
    format!(
        r#"
server: {{ listen: 127.0.0.1:0 }}
operations: {{ listen: 127.0.0.1:0 }}
token_endpoint: true
docs: true
sample_api: true
store: {{ url: "{store}" }}
admin: {{ require: scopegate:admin }}
introspection: {{ clients: [ {{ id: api, secret: api-secret }} ] }}
providers:
  local:
    kind: dev
    listen: 127.0.0.1:0
    audience: http://api.example
    clients:
      - {{ id: demo, secret: demo-secret, scopes: [items, "items:write", reports] }}
      - {{ id: root, secret: root-secret, scopes: [scopegate:admin] }}
scopes:
  items: Read items
  "items:write": Change items
  scopegate:admin: Administer
routes:
  - {{ match: GET /items/**, require: items }}
  - {{ match: POST|PUT|DELETE /items/**, require: "items:write" }}
  - {{ match: GET /api/private, allow: authenticated }}
"#
    )
}

/// A running server, and the tokens of a user and an administrator.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) user: String,
    pub(crate) root: String,
}

pub(crate) async fn site(store: &str) -> Site {
    site_of(&config(store)).await
}

pub(crate) async fn site_of(config: &str) -> Site {
    let server = Server::start(config);
    let client = Client::new(&server.url);
    let user = client.token("", "demo", "demo-secret", "items%20reports").await;
    let root = client.token("", "root", "root-secret", "scopegate:admin").await;
    Site { server, client, user, root }
}

fn reason(body: &Value) -> &str {
    body["reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn invariant_16_only_an_administrator_administers() {
    let site = site("memory:").await;
    assert_eq!(site.client.get("/admin/scopes").await.status, 401);
    let refused = site.client.get_with("/admin/scopes", &site.user).await;
    assert_eq!((refused.status, reason(&refused.json())), (403, "insufficient_scope"), "{refused:?}");
    assert_eq!(site.client.get_with("/admin/scopes", &site.root).await.status, 200);
}

#[tokio::test]
async fn a_scope_opens_its_routes_from_the_moment_of_the_answer() {
    let Site { client, user, root, .. } = &site("memory:").await;
    assert_eq!(reason(&client.get_with("/reports/1", user).await.json()), "no_route");
    let scope = json!({ "description": "Read reports", "routes": ["GET /reports/**"] });
    let made = client.json("PUT", "/admin/scopes/reports", root, &scope).await;
    assert_eq!((made.status, made.json()["source"].as_str()), (201, Some("store")), "{made:?}");
    // Permitted now: what is not there is not there.
    assert_eq!(reason(&client.get_with("/reports/1", user).await.json()), "nothing_here");
    let again = client.json("PUT", "/admin/scopes?name=reports", root, &scope).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_ne!(made.header("etag"), again.header("etag"));
    let bearer = format!("Bearer {root}");
    let stale = [("authorization", bearer.as_str()), ("if-match", made.header("etag"))];
    assert_eq!(client.send("DELETE", "/admin/scopes/reports", &stale, "").await.status, 412);
    let fresh = [("authorization", bearer.as_str()), ("if-match", again.header("etag"))];
    assert_eq!(client.send("DELETE", "/admin/scopes/reports", &fresh, "").await.status, 204);
    assert_eq!(reason(&client.get_with("/reports/1", user).await.json()), "no_route");
}

#[tokio::test]
async fn a_scope_whose_name_holds_a_slash_goes_in_the_query() {
    let Site { client, root, .. } = &site("memory:").await;
    let scope = json!({ "routes": ["GET /x"] });
    let made = client.json("PUT", "/admin/scopes?name=api%3A%2F%2Fx%2Fitems", root, &scope).await;
    assert_eq!((made.status, made.json()["name"].as_str()), (201, Some("api://x/items")), "{made:?}");
    let listed = client.get_with("/admin/scopes?name=api%3A%2F%2Fx%2Fitems", root).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_route_is_created_read_replaced_and_deleted() {
    let Site { client, user, root, .. } = &site("memory:").await;
    let made =
        client.json("POST", "/admin/routes", root, &json!({ "match": "GET /x", "require": "items" })).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(reason(&client.get_with("/x", user).await.json()), "nothing_here");
    let path = format!("/admin/routes/{}", made.json()["id"].as_str().unwrap());
    let replaced = client.json("PUT", &path, root, &json!({ "match": "GET /x", "allow": "nobody" })).await;
    assert_eq!(replaced.status, 200, "{replaced:?}");
    assert_eq!(client.get_with("/x", user).await.status, 403);
    assert_eq!(client.json("DELETE", &path, root, &json!(null)).await.status, 204);
    assert_eq!(reason(&client.get_with("/x", user).await.json()), "no_route");
    assert_eq!(client.get_with(&path, root).await.status, 404);
}

#[tokio::test]
async fn invariant_15_what_the_file_declares_is_not_loosened_and_its_line_is_told() {
    let Site { client, root, .. } = &site("memory:").await;
    let looser = json!({ "match": "GET /items/{id}", "allow": "authenticated" });
    let refused = client.json("POST", "/admin/routes", root, &looser).await;
    assert_eq!((refused.status, reason(&refused.json())), (409, "loosens_file"), "{refused:?}");
    assert!(refused.text.contains("scopegate.yaml:23:"), "{refused:?}");
    let same = json!({ "match": "GET /items/**", "allow": "nobody" });
    let refused = client.json("POST", "/admin/routes", root, &same).await;
    assert_eq!((refused.status, reason(&refused.json())), (409, "exists"), "{refused:?}");
    let file = client.json("DELETE", "/admin/scopes/items", root, &json!(null)).await;
    assert_eq!((file.status, reason(&file.json())), (409, "declared_in_file"), "{file:?}");
}

#[tokio::test]
async fn what_is_no_route_is_told_so() {
    let Site { client, root, .. } = &site("memory:").await;
    for bad in [
        json!({ "match": "GET /x" }),
        json!({ "mtch": "GET /x" }),
        json!({ "match": "x", "allow": "nobody" }),
    ] {
        let refused = client.json("POST", "/admin/routes", root, &bad).await;
        assert_eq!(refused.status, 422, "{refused:?}");
    }
    let undeclared = json!({ "match": "GET /x", "require": "itms" });
    assert_eq!(client.json("POST", "/admin/routes", root, &undeclared).await.status, 409);
}

#[tokio::test]
async fn the_table_says_where_each_route_comes_from() {
    let Site { client, root, .. } = &site("memory:").await;
    client.json("POST", "/admin/routes", root, &json!({ "match": "GET /x", "require": "items" })).await;
    let table = client.get_with("/admin/routes", root).await.json();
    let sources: Vec<_> = table["items"].as_array().unwrap().iter().map(|route| &route["source"]).collect();
    assert_eq!(sources.iter().filter(|source| **source == "file").count(), 3);
    assert_eq!(sources.iter().filter(|source| **source == "store").count(), 1);
    let all = table["items"].as_array().unwrap();
    let page = client.get_with("/admin/routes?limit=3", root).await.json();
    assert_eq!(page["next"], "3");
    let rest = client.get_with("/admin/routes?limit=1000&after=3", root).await.json();
    assert_eq!(rest["items"].as_array().unwrap()[..], all[3..]);
    assert_eq!(rest["next"], Value::Null);
}

#[tokio::test]
async fn a_disabled_provider_judges_no_token_until_it_is_enabled() {
    let Site { client, user, root, .. } = &site("memory:").await;
    let listed = client.get_with("/admin/providers", root).await.json();
    assert_eq!(
        (&listed["items"][0]["name"], &listed["items"][0]["health"]["ready"]),
        (&json!("local"), &json!(true))
    );
    let refreshed = listed["items"][0]["health"]["issuers"][0]["last_refresh"].as_str().unwrap();
    assert!(refreshed.ends_with('Z'), "a moment as people read it: {refreshed}");
    assert_eq!(client.json("POST", "/admin/providers/local/refresh", root, &json!(null)).await.status, 200);
    assert_eq!(client.json("POST", "/admin/providers/local/disable", root, &json!(null)).await.status, 200);
    let refused = client.get_with("/items", user).await;
    assert_eq!((refused.status, reason(&refused.json())), (503, "provider_disabled"), "{refused:?}");
}

#[tokio::test]
async fn a_distrusted_key_is_trusted_for_no_token() {
    let Site { client, user, root, .. } = &site("memory:").await;
    assert_eq!(client.get_with("/items", user).await.status, 200);
    let listed = client.get_with("/admin/providers/local", root).await.json();
    let kid = listed["health"]["issuers"][0]["keys"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/admin/providers/local/keys/{kid}/distrust");
    assert_eq!(client.json("POST", &path, root, &json!(null)).await.status, 200);
    assert_eq!(client.get_with("/items", user).await.status, 401);
}

#[tokio::test]
async fn every_change_is_in_the_audit_with_who_made_it() {
    let Site { client, root, .. } = &site("memory:").await;
    client.json("PUT", "/admin/scopes/x", root, &json!({ "routes": ["GET /x"] })).await;
    client.json("DELETE", "/admin/scopes/x", root, &json!(null)).await;
    let audit = client.get_with("/admin/audit", root).await.json();
    let actions: Vec<_> = audit["items"].as_array().unwrap().iter().map(|record| &record["action"]).collect();
    assert_eq!(actions, ["put_scope", "delete_scope"]);
    assert!(audit["items"][0]["actor"].as_str().unwrap().starts_with("local/root"), "{audit}");
    let earlier = client.get_with("/admin/audit?to=2020-01-01T00:00:00Z", root).await.json();
    assert_eq!(earlier["items"], json!([]));
}

#[tokio::test]
async fn without_a_store_what_must_last_is_refused() {
    let config = config("memory:").replace("store: { url: \"memory:\" }", "");
    let server = Server::start(&config);
    let client = Client::new(&server.url);
    let root = client.token("", "root", "root-secret", "scopegate:admin").await;
    let refused = client.json("PUT", "/admin/scopes/x", &root, &json!({ "routes": ["GET /x"] })).await;
    assert_eq!((refused.status, reason(&refused.json())), (503, "no_store"), "{refused:?}");
    let revoked = client.form("/revoke", &format!("token={root}")).await;
    assert_eq!((revoked.status, reason(&revoked.json())), (503, "no_store"), "{revoked:?}");
}

#[tokio::test]
async fn the_document_holds_the_admin_endpoints_with_what_they_ask() {
    let Site { client, .. } = &site("memory:").await;
    let document = client.get("/openapi.json").await.json();
    let operation = &document["paths"]["/admin/scopes/{name}"]["put"];
    assert!(operation["security"].to_string().contains("scopegate:admin"), "{operation}");
    assert!(document["paths"]["/items"]["get"].is_object());
}

#[tokio::test]
async fn a_decision_is_explained_without_repeating_the_token() {
    let Site { client, user, root, .. } = &site("memory:").await;
    let with_token = json!({ "method": "POST", "url": "/items", "token": user });
    let answer = client.json("POST", "/admin/explain", root, &with_token).await;
    assert_eq!((answer.status, answer.text.contains(user.as_str())), (200, false), "{answer:?}");
    let told = answer.json();
    assert_eq!((&told["permitted"], &told["missing_scopes"]), (&json!(false), &json!(["items:write"])));
    // By what the token can be matched.
    let revocable_by = told["token"]["revocable_by"].as_array().unwrap();
    assert!(revocable_by.contains(&json!({ "kind": "client", "value": "demo" })), "{told}");
    let supposed = json!({ "url": "http://h/items/1", "provider": "local", "scopes": ["items"] });
    let told = client.json("POST", "/admin/explain", root, &supposed).await.json();
    assert_eq!((&told["permitted"], &told["route"]["match"]), (&json!(true), &json!("GET /items/**")));
    let dots = client.json("POST", "/admin/explain", root, &json!({ "url": "/a/../items" })).await.json();
    assert_eq!((&dots["permitted"], &dots["reason"]), (&json!(false), &json!("dot_segment")));
}

#[tokio::test]
async fn administrators_may_have_a_listener_of_their_own() {
    let apart = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = config("memory:").replace("admin: { ", &format!("admin: {{ listen: \"{apart}\", "));
    let server = Server::start(&config);
    let client = Client::new(&server.url);
    let root = client.token("", "root", "root-secret", "scopegate:admin").await;
    assert_eq!(reason(&client.get_with("/admin/scopes", &root).await.json()), "no_route");
    let there = Client::new(&format!("http://{apart}"));
    assert_eq!(there.get_with("/admin/scopes", &root).await.status, 200);
    assert_eq!(there.get("/admin/scopes").await.status, 401);
    assert_eq!(there.get_with("/items", &root).await.status, 404);
}

/// Client, reason and count of the denials, once there are so many.
async fn denials(site: &Site, count: u64) -> Vec<(String, String, u64)> {
    let counted = async || {
        let told = site.client.get_with("/admin/audit/denials", &site.root).await.json();
        let mut sums = std::collections::BTreeMap::<_, u64>::new();
        for denial in told["items"].as_array().unwrap() {
            let text = |name: &str| denial[name].as_str().unwrap().to_owned();
            assert!(text("route").contains("/items/**") || text("route").contains("/api/private"));
            *sums.entry((text("client"), text("reason"))).or_default() += denial["count"].as_u64().unwrap();
        }
        sums
    };
    let sums = eventually(counted, |sums| sums.values().sum::<u64>() == count).await;
    sums.into_iter().map(|((client, reason), count)| (client, reason, count)).collect()
}

fn told(client: &str, reason: &str, count: u64) -> (String, String, u64) {
    (client.to_owned(), reason.to_owned(), count)
}

#[tokio::test]
async fn denials_are_counted_by_route_reason_and_client() {
    let site = site("memory:").await;
    let Site { client, user, root, .. } = &site;
    for token in [user, user, root] {
        assert_eq!(client.json("DELETE", "/items/1", token, &json!(null)).await.status, 403);
    }
    assert_eq!(client.get("/api/private").await.status, 401);
    let few = "insufficient_scope";
    let expected = [told("", "no_token", 1), told("demo", few, 2), told("root", few, 1)];
    assert_eq!(denials(&site, 4).await, expected);
}

#[tokio::test]
async fn a_denied_token_is_counted_for_its_client_if_it_was_verified_and_only_then() {
    let site = site("memory:").await;
    let Site { client, user, .. } = &site;
    let tampered = format!("{}AAAA", user.get(..user.len() - 4).unwrap());
    assert_eq!(client.get_with("/items", &tampered).await.status, 401);
    assert_eq!(client.form("/revoke", &format!("token={user}")).await.status, 200);
    assert_eq!(client.get_with("/items", user).await.status, 401);
    assert_eq!(client.get_with("/items", &tampered).await.status, 401);
    let expected = [told("", "signature_invalid", 2), told("demo", "revoked", 1)];
    assert_eq!(denials(&site, 3).await, expected);
}
