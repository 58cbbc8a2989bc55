//! `/items` as a user of a REST interface expects it.

use serde_json::json;

use crate::{
    support::{Client, Server},
    tutorial::DEVELOPMENT,
};

async fn writer() -> (Server, Client, String) {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let token = client.token("", "demo", "demo-secret", "items%20items:write").await;
    (server, client, token)
}

#[tokio::test]
async fn an_item_is_created_read_replaced_and_deleted() {
    let (_server, client, token) = writer().await;
    let created = client.json("POST", "/items", &token, &json!({"name": "green cube"})).await;
    assert_eq!(created.status, 201, "{created:?}");
    let path = created.header("location").to_owned();
    let replaced = client.json("PUT", &path, &token, &json!({"name": "green sphere"})).await;
    assert_eq!(
        (replaced.status, replaced.json()["name"].as_str()),
        (200, Some("green sphere")),
        "{replaced:?}"
    );
    assert_eq!(client.json("DELETE", &path, &token, &json!(null)).await.status, 204);
    let gone = client.get_with(&path, &token).await;
    assert_eq!((gone.status, gone.json()["reason"].as_str()), (404, Some("not_found")), "{gone:?}");
}

#[tokio::test]
async fn an_item_that_has_changed_since_it_was_read_is_not_overwritten() {
    let (_server, client, token) = writer().await;
    let read = client.get_with("/items/1", &token).await;
    client.json("PUT", "/items/1", &token, &json!({"name": "crimson ball"})).await;
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("if-match", read.header("etag")),
    ];
    let stale = client.send("PUT", "/items/1", &headers, r#"{"name":"pink ball"}"#).await;
    assert_eq!(stale.status, 412, "{stale:?}");
}

#[tokio::test]
async fn items_come_in_pages_that_link_to_the_next() {
    let (_server, client, token) = writer().await;
    let page = client.get_with("/items?limit=2", &token).await;
    assert_eq!(page.json().as_array().unwrap().len(), 2);
    assert_eq!(page.header("link"), "</items?limit=2&after=2>; rel=\"next\"");
    let last = client.get_with("/items?limit=2&after=2", &token).await;
    assert_eq!((last.json(), last.header("link")), (json!([{"id": 3, "name": "purple ellipse"}]), ""));
}

#[tokio::test]
async fn a_name_that_is_none_is_422() {
    let (_server, client, token) = writer().await;
    let refused = client.json("POST", "/items", &token, &json!({"name": " "})).await;
    assert_eq!(
        (refused.status, refused.json()["reason"].as_str()),
        (422, Some("invalid_name")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_body_that_is_no_item_is_a_problem_that_says_so() {
    let (_server, client, token) = writer().await;
    let refused = client.json("POST", "/items", &token, &json!({"title": "x"})).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(refused.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn a_token_that_may_only_read_does_not_write() {
    let (_server, client, _) = writer().await;
    let token = client.token("", "reader", "reader-secret", "items").await;
    let refused = client.json("POST", "/items", &token, &json!({"name": "x"})).await;
    assert_eq!((refused.status, refused.json()["missing_scopes"].clone()), (403, json!(["items:write"])));
}
