//! What a client finds out about the API from the refusal that it gets (RFC 9728).

use serde_json::json;

use crate::{
    admin::{Site, site},
    support::{Client, Server},
    tutorial::DEVELOPMENT,
};

/// What stands behind a name in a challenge.
fn attribute(challenge: &str, name: &str) -> String {
    let (_, rest) = challenge.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("{challenge}"));
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_refusal_leads_to_the_metadata_and_that_to_issuers_and_scopes() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let refused = client.get("/items").await;
    let url = attribute(refused.header("www-authenticate"), "resource_metadata");
    assert_eq!(url, format!("{}/.well-known/oauth-protected-resource/items", server.url));
    let token = client.token("", "nobody", "nobody-secret", "").await;
    let lacking = client.get_with("/items", &token).await;
    assert_eq!(attribute(lacking.header("www-authenticate"), "resource_metadata"), url);

    let answer = client.get(url.strip_prefix(&server.url).unwrap()).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let metadata = answer.json();
    assert_eq!(metadata["resource"], format!("{}/items", server.url), "the URL that was called");
    assert_eq!(metadata["scopes_supported"], json!(["items", "items:write"]));
    let issuer = metadata["authorization_servers"][0].as_str().unwrap();
    let discovered = Client::new(issuer).get("/.well-known/openid-configuration").await;
    assert_eq!(discovered.json()["issuer"], issuer);
}

#[tokio::test]
async fn a_resource_below_the_root_has_its_own_metadata() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let answer = client.get("/.well-known/oauth-protected-resource/items").await;
    assert_eq!(answer.json()["resource"], format!("{}/items", server.url), "{answer:?}");
    let public = client.get("/.well-known/oauth-protected-resource/api/public").await;
    assert_eq!((public.status, public.json()["reason"].clone()), (404, json!("no_such_resource")));
    assert_eq!(client.send("POST", "/.well-known/oauth-protected-resource", &[], "").await.status, 405);
}

#[tokio::test]
async fn what_an_administrator_changes_is_told_from_the_moment_of_the_answer() {
    let Site { client, root, .. } = &site("memory:").await;
    let scopes = async || {
        let metadata = client.get("/.well-known/oauth-protected-resource").await.json();
        metadata["scopes_supported"].clone()
    };
    assert_eq!(scopes().await, json!(["items", "items:write"]));
    let scope = json!({ "description": "Read reports", "routes": ["GET /reports/**"] });
    assert_eq!(client.json("PUT", "/admin/scopes/reports", root, &scope).await.status, 201);
    assert_eq!(scopes().await, json!(["items", "items:write", "reports"]));
    assert_eq!(client.json("DELETE", "/admin/scopes/reports", root, &json!(null)).await.status, 204);
    assert_eq!(scopes().await, json!(["items", "items:write"]));
}

#[tokio::test]
async fn metadata_is_at_the_root_whatever_the_base_path_is() {
    let text = "
server: { listen: 127.0.0.1:0, base_path: /.scopegate, public_url: 'https://api.example' }
operations: { listen: 127.0.0.1:0 }
providers: { local: { kind: dev, listen: 127.0.0.1:0, audience: a, clients: [ { id: c, secret: s } ] } }
upstreams: { orders: { url: 'http://127.0.0.1:1' } }
routes: [ { match: /**, allow: authenticated, upstream: orders } ]
";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scopegate.yaml");
    std::fs::write(&file, text).unwrap();
    let server = Server::in_folder(folder, &["--config", file.to_str().unwrap()], &[]);
    let refused = Client::new(&server.url).get("/a").await;
    let url = attribute(refused.header("www-authenticate"), "resource_metadata");
    assert_eq!(url, "https://api.example/.well-known/oauth-protected-resource/a");
    let own = Client::new(&server.url).get("/.well-known/oauth-protected-resource").await;
    assert_eq!(own.json()["resource"], "https://api.example", "{own:?}");
}
