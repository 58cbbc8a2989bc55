//! Withdrawing tokens, and asking about them.

use serde_json::json;

use crate::admin::{Site, site};

#[tokio::test]
async fn a_token_is_refused_in_the_first_request_after_its_holder_revoked_it() {
    let Site { client, user, .. } = &site("memory:").await;
    assert_eq!(client.get_with("/items", user).await.status, 200);
    assert_eq!(client.form("/revoke", &format!("token={user}")).await.status, 200);
    let refused = client.get_with("/items", user).await;
    assert_eq!((refused.status, refused.json()["reason"].as_str()), (401, Some("revoked")), "{refused:?}");
    assert_eq!(client.form("/revoke", &format!("token={user}")).await.status, 200);
}

#[tokio::test]
async fn what_is_no_good_token_is_revoked_already_and_recorded_nowhere() {
    let Site { client, user, root, .. } = &site("memory:").await;
    let tampered = format!("{}AAAA", user.get(..user.len() - 4).unwrap());
    assert_eq!(client.form("/revoke", &format!("token={tampered}")).await.status, 200);
    assert_eq!(client.form("/revoke", "token=%20").await.status, 200);
    assert_eq!(client.form("/revoke", "").await.status, 400);
    assert_eq!(client.get_with("/admin/revocations", root).await.json()["items"], json!([]));
}

#[tokio::test]
async fn an_administrator_withdraws_all_tokens_of_a_client_and_takes_it_back() {
    let Site { client, user, root, .. } = &site("memory:").await;
    // Tokens count whole seconds: from the next one on, this one is older.
    let revocation = json!({ "provider": "local", "client": "demo", "reason": "left", "issued_before": "2099-01-01T00:00:00Z" });
    let made = client.json("POST", "/admin/revocations", root, &revocation).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(client.get_with("/items", user).await.status, 401);
    let path = format!("/admin/revocations/{}", made.json()["id"].as_str().unwrap());
    let read = client.get_with(&path, root).await.json();
    assert_eq!(
        (&read["kind"], &read["value"], &read["reason"]),
        (&json!("client"), &json!("demo"), &json!("left"))
    );
    assert_eq!(client.json("DELETE", &path, root, &json!(null)).await.status, 204);
    assert_eq!(client.get_with("/items", user).await.status, 200);
    assert_eq!(client.get_with(&path, root).await.status, 404);
}

#[tokio::test]
async fn an_administrator_withdraws_one_token() {
    let Site { client, user, root, .. } = &site("memory:").await;
    let made = client.json("POST", "/admin/revocations", root, &json!({ "token": user })).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(!made.text.contains(user.as_str()));
    assert_eq!(client.get_with("/items", user).await.status, 401);
    let again = client.json("POST", "/admin/revocations", root, &json!({ "token": user })).await;
    assert_eq!(again.status, 409, "{again:?}");
    assert_eq!(client.get_with("/admin/scopes", root).await.status, 200);
}

#[tokio::test]
async fn a_revocation_of_nothing_in_particular_is_refused() {
    let Site { client, root, .. } = &site("memory:").await;
    for bad in [
        json!({}),
        json!({ "provider": "local" }),
        json!({ "client": "demo" }),
        json!({ "provider": "local", "client": "a", "subject": "b" }),
        json!({ "token": "a", "provider": "local" }),
    ] {
        let refused = client.json("POST", "/admin/revocations", root, &bad).await;
        assert_eq!(
            (refused.status, refused.json()["reason"].as_str()),
            (422, Some("invalid_revocation")),
            "{refused:?}"
        );
    }
    let unknown = json!({ "provider": "nobody", "client": "demo" });
    assert_eq!(client.json("POST", "/admin/revocations", root, &unknown).await.status, 404);
}

#[tokio::test]
async fn many_revocations_are_imported_at_once_or_none_of_them() {
    let Site { client, root, .. } = &site("memory:").await;
    let line = |n: usize| format!("{{\"provider\":\"local\",\"token_id\":\"t{n}\"}}\n");
    let lines: String = (0..100_000).map(line).collect();
    let bearer = format!("Bearer {root}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/octet-stream")];
    let bad =
        client.send("POST", "/admin/revocations/import", &headers, &format!("{}nonsense", line(1))).await;
    assert_eq!((bad.status, bad.text.contains("line 2")), (422, true), "{bad:?}");
    assert_eq!(client.get_with("/admin/revocations", root).await.json()["items"], json!([]));
    let made = client.send("POST", "/admin/revocations/import", &headers, &lines).await;
    assert_eq!((made.status, made.json()["imported"].as_u64()), (201, Some(100_000)), "{made:?}");
    let page = client.get_with("/admin/revocations?limit=1000", root).await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 1000);
    assert!(page["next"].is_string());
}

#[tokio::test]
async fn introspection_knows_what_is_revoked_here() {
    let Site { client, user, .. } = &site("memory:").await;
    let ask = |token: &str| format!("client_id=api&client_secret=api-secret&token={token}");
    let active = client.form("/introspect", &ask(user)).await.json();
    assert_eq!((&active["active"], &active["client_id"]), (&json!(true), &json!("demo")));
    assert_eq!(active["scope"], "items reports");
    client.form("/revoke", &format!("token={user}")).await;
    assert_eq!(client.form("/introspect", &ask(user)).await.json(), json!({ "active": false }));
    assert_eq!(client.form("/introspect", &ask("nonsense")).await.json(), json!({ "active": false }));
}

#[tokio::test]
async fn nobody_else_introspects() {
    let Site { client, user, .. } = &site("memory:").await;
    assert_eq!(client.form("/introspect", &format!("token={user}")).await.status, 401);
    let wrong = format!("client_id=api&client_secret=wrong&token={user}");
    assert_eq!(client.form("/introspect", &wrong).await.status, 401);
}
