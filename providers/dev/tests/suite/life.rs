//! Keys, listeners, and who may ask.

use scopegate_dev::StartError;
use serde_json::json;

use crate::harness::{issuer, part, settings};

#[tokio::test]
async fn after_a_rotation_old_tokens_live_on_and_new_ones_have_the_next_key() {
    let issuer = issuer(json!({})).await;
    let before = issuer.ask(&[]).await;
    let published = issuer.kids().await;
    issuer.running.rotate().await.unwrap();
    let after = issuer.ask(&[]).await;
    let kid = part(after.token(), 0)["kid"].as_str().unwrap().to_owned();
    assert!(published.contains(&kid), "the next key was published before it signed");
    assert_ne!(part(before.token(), 0)["kid"], kid);
    issuer.verified(before.token()).await;
    assert_eq!(issuer.introspect(before.token()).await["active"], true);
}

#[tokio::test]
async fn a_forgotten_keys_tokens_are_dead() {
    let issuer = issuer(json!({})).await;
    let before = issuer.ask(&[]).await;
    issuer.post(&format!("{}/dev/rotate", issuer.running.url()), &[]).await;
    let answer = issuer.post(&format!("{}/dev/forget", issuer.running.url()), &[]).await;
    assert_eq!(answer.body["kid"], issuer.running.kid().await.unwrap());
    let old = part(before.token(), 0)["kid"].as_str().unwrap().to_owned();
    assert!(!issuer.kids().await.contains(&old));
    assert_eq!(issuer.introspect(before.token()).await, json!({ "active": false }));
}

#[tokio::test]
async fn a_page_of_another_site_rotates_no_key() {
    let issuer = issuer(json!({})).await;
    let kids = issuer.kids().await;
    let request = issuer.post_request(&format!("{}/dev/rotate", issuer.running.url()), "");
    assert_eq!(issuer.send(request.header("origin", "https://evil.example")).await.status, 403);
    assert_eq!(issuer.kids().await, kids);
}

#[tokio::test]
async fn a_host_that_is_not_loopback_is_misdirected() {
    let issuer = issuer(json!({})).await;
    for (host, status) in [("evil.example", 421), ("127.0.0.1.evil.example", 421), ("localhost:9400", 200)] {
        let request = reqwest::Client::new().get(issuer.running.jwks_url()).header("host", host);
        assert_eq!(issuer.send(request).await.status, status, "{host}");
    }
}

#[tokio::test]
async fn the_overview_shows_clients_and_no_secret() {
    let issuer = issuer(json!({})).await;
    let overview = issuer.get(&format!("{}/dev", issuer.running.url())).await.body;
    assert_eq!(overview["token"], issuer.running.token_url());
    assert!(!overview.to_string().contains("secret"));
}

#[tokio::test]
async fn a_method_that_is_not_served_is_405_with_allow() {
    let issuer = issuer(json!({})).await;
    let answer = issuer.get(&issuer.running.token_url()).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
}

#[tokio::test]
async fn a_dropped_issuer_leaves_its_address() {
    let issuer = issuer(json!({})).await;
    let mut again = settings(&json!({}));
    again.listen = scopegate_dev::LoopbackAddress::new(issuer.running.address()).unwrap();
    let (clock, address) = (issuer.clock.clone(), issuer.running.address());
    drop(issuer);
    assert_eq!(again.start(clock).await.unwrap().address(), address);
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_that_names_it() {
    let issuer = issuer(json!({})).await;
    let mut again = settings(&json!({}));
    again.listen = scopegate_dev::LoopbackAddress::new(issuer.running.address()).unwrap();
    let refused = again.start(issuer.clock.clone()).await.unwrap_err();
    assert!(matches!(refused, StartError::Bind { address, .. } if address == issuer.running.address()));
}
