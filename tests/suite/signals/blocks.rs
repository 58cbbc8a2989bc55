//! Blocks: a subject, client, session or actor is refused until that is lifted; by API and by command.

use serde_json::{Value, json};

use super::{Site, site};
use crate::support::{eventually, now};

/// The members by which a holder of tokens is blocked, and the holder that is blocked.
const BLOCKED: [(&str, &str); 4] =
    [("subject", "ada"), ("client", "shop"), ("session", "s-1"), ("actor", "agent-7")];

/// A token, issued after any block, of the blocked holder of this kind, or of another.
fn token(site: &Site, kind: &str, is_blocked: bool) -> String {
    let mut claims = json!({
        "iss": site.provider.issuer.url(), "aud": "api", "sub": "bob", "client_id": "app", "sid": "s-2",
        "act": { "sub": "agent-8" }, "jti": format!("{kind}-{is_blocked}"), "iat": now() + 2, "exp": now() + 3600,
        "scope": "items",
    });
    match (kind, is_blocked) {
        (_, false) => {}
        ("subject", true) => claims["sub"] = json!("ada"),
        ("client", true) => claims["client_id"] = json!("shop"),
        ("session", true) => claims["sid"] = json!("s-1"),
        (_, true) => claims["act"] = json!({ "sub": "agent-7" }),
    }
    site.provider.key.token(&claims)
}

/// Waits until a token has this status on both nodes.
async fn answered(site: &Site, token: &str, expected: u16) {
    for node in [&site.one, &site.other] {
        eventually(async || node.get_with("/items", token).await.status, |status| *status == expected).await;
    }
}

fn admin(site: &Site) -> String {
    site.provider.access("root", "s-9", now() - 5)
}

/// Asserts that the audit names a block of this kind with the action.
async fn assert_audited(site: &Site, action: &str, kind: &str) {
    let audit = site.one.get_with("/admin/audit?limit=1000", &admin(site)).await.json();
    let records: &Vec<Value> = audit["items"].as_array().unwrap();
    let found = records.iter().any(|record| {
        record["action"] == action
            && record["detail"]["kind"] == kind
            && record["detail"]["until_lifted"] == true
    });
    assert!(found, "{action} {kind}: {audit}");
}

/// By API: listed with the requests that it has refused, lifted, audited.
#[tokio::test]
async fn a_block_by_api_refuses_later_tokens_until_it_is_lifted() {
    let site = site("").await;
    let admin = admin(&site);
    for (kind, value) in BLOCKED {
        let [blocked, kept] = [true, false].map(|is_blocked| token(&site, kind, is_blocked));
        let block = json!({ "provider": "idp", kind: value, "until_lifted": true, "reason": "leaked" });
        let made = site.one.json("POST", "/admin/revocations", &admin, &block).await;
        assert_eq!(made.status, 201, "{kind}: {made:?}");
        answered(&site, &blocked, 401).await;
        assert!(site.passes(&kept).await, "{kind}");
        let path = format!("/admin/revocations/{}", made.json()["id"].as_str().unwrap());
        let listed = eventually(
            async || site.one.get_with(&path, &admin).await.json(),
            |listed| listed["refused"].as_u64() >= Some(2),
        );
        let listed = listed.await;
        assert_eq!(
            (&listed["kind"], &listed["value"], &listed["until_lifted"]),
            (&json!(kind), &json!(value), &json!(true))
        );
        assert_eq!((&listed["reason"], &listed["streams_cut"]), (&json!("leaked"), &json!(0)));
        assert_eq!(site.one.json("DELETE", &path, &admin, &json!(null)).await.status, 204);
        answered(&site, &blocked, 200).await;
        assert_audited(&site, "revoke", kind).await;
        assert_audited(&site, "delete_revocation", kind).await;
    }
}

/// CASES O5, O8: by command: as by API.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_by_command_refuses_later_tokens_until_it_is_undone() {
    let site = site("").await;
    for (kind, value) in BLOCKED {
        let [blocked, kept] = [true, false].map(|is_blocked| token(&site, kind, is_blocked));
        let made =
            site.servers[0].output(&["revoke", &format!("--{kind}"), value, "--block", "--reason", "leaked"]);
        assert_eq!(made.code, 0, "{kind}: {made:?}");
        answered(&site, &blocked, 401).await;
        assert!(site.passes(&kept).await, "{kind}");
        let list = async || {
            let listed = site.servers[0].output(&["revoke", "list", "--json"]);
            let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
            listed[0].clone()
        };
        let listed = eventually(list, |listed| listed["refused"].as_u64() >= Some(2)).await;
        assert_eq!(
            (&listed["kind"], &listed["value"], &listed["until_lifted"]),
            (&json!(kind), &json!(value), &json!(true))
        );
        let shown = site.servers[0].output(&["revoke", "list"]);
        assert!(shown.stdout.contains("requests, 0 streams so far)"), "{shown:?}");
        let undone = site.servers[0].output(&["revoke", "undo", listed["id"].as_str().unwrap()]);
        assert_eq!(undone.code, 0, "{undone:?}");
        answered(&site, &blocked, 200).await;
        assert_audited(&site, "revoke", kind).await;
        assert_audited(&site, "delete_revocation", kind).await;
    }
}
