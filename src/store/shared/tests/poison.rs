//! Stored entries that cannot be read: a node starts and follows later changes, whatever the store holds.

use super::*;
use crate::store::EntryKind;

/// A bad entry, its kind, and a part of the reason.
type Poison = (&'static str, EntryKind, &'static str);

/// An invalid value for each field of a stored entry.
const POISON: [Poison; 16] = [
    (
        "INSERT INTO scopes (name, description, routes, version) VALUES ('', 'x', '[]', 1)",
        EntryKind::Scope,
        "scope",
    ),
    (
        "INSERT INTO scopes (name, description, routes, version) VALUES ('two words', 'x', '[]', 1)",
        EntryKind::Scope,
        "scope",
    ),
    (
        "INSERT INTO scopes (name, description, routes, version) VALUES ('a', 'x', '', 1)",
        EntryKind::Scope,
        "JSON",
    ),
    (
        "INSERT INTO scopes (name, description, routes, version) VALUES ('a', 'x', '{', 1)",
        EntryKind::Scope,
        "JSON",
    ),
    (
        "INSERT INTO scopes (name, description, routes, version) VALUES ('a', 'x', '{}', 1)",
        EntryKind::Scope,
        "JSON",
    ),
    (
        "INSERT INTO scopes (name, description, routes, version) VALUES ('a', 'x', '[1]', 1)",
        EntryKind::Scope,
        "JSON",
    ),
    (
        "INSERT INTO scopes (name, description, routes, implies, version) VALUES ('a', 'x', '[]', '{', 1)",
        EntryKind::Scope,
        "`implies`",
    ),
    (
        "INSERT INTO scopes (name, description, routes, implies, version) VALUES ('a', 'x', '[]', '[\"two words\"]', 1)",
        EntryKind::Scope,
        "`implies`",
    ),
    ("INSERT INTO routes VALUES ('a', '', 1)", EntryKind::Route, "JSON"),
    ("INSERT INTO routes VALUES ('a', '{\"match\":', 1)", EntryKind::Route, "JSON"),
    ("INSERT INTO routes VALUES ('', '[]', -1)", EntryKind::Route, "JSON object"),
    (
        "INSERT INTO revocations (id, provider, kind, value, key_hash, issued_before, expires_at, created_at, change) \
         VALUES ('a', '', 'client', 'x', '', 0, 9000000000000, 0, 1)",
        EntryKind::Revocation,
        "provider",
    ),
    (
        "INSERT INTO revocations (id, provider, kind, value, key_hash, issued_before, expires_at, created_at, change) \
         VALUES ('a', 'okta', 'client', '', '', 0, 9000000000000, 0, 1)",
        EntryKind::Revocation,
        "client",
    ),
    (
        "INSERT INTO revocations (id, provider, kind, value, key_hash, issued_before, expires_at, created_at, change) \
         VALUES ('a', 'okta', 'token_hash', 'xyz', '', 0, 9000000000000, 0, 1)",
        EntryKind::Revocation,
        "token hash",
    ),
    ("INSERT INTO provider_states VALUES ('', 1, '[]')", EntryKind::Provider, "provider"),
    ("INSERT INTO provider_states VALUES ('okta', 1, 'k1')", EntryKind::Provider, "JSON"),
];

async fn a_node_starts_and_follows_changes(url: &str) {
    for (sql, kind, reason) in POISON {
        meddle(
            url,
            "DELETE FROM scopes; DELETE FROM routes; DELETE FROM revocations; DELETE FROM provider_states",
        )
        .await;
        let running = manual(url).await;
        meddle(url, sql).await;
        let started = manual(url).await;
        let found = started.unreadable();
        assert_eq!(found.len(), 1, "{sql}: {found:?}");
        assert_eq!(found[0].kind, kind, "{sql}");
        assert!(found[0].reason.contains(reason), "{sql}: {}", found[0]);
        // Both follow later changes, of every part.
        started.edit_policy(&actor(), &started.policy(), put("later")).await.unwrap();
        started.revoke(&actor(), vec![revocation("later")]).await.unwrap();
        started.change_provider(&actor(), &okta(), StateChange::Disable).await.unwrap();
        running.refresh().await.unwrap();
        for node in [&running, &started] {
            assert_eq!(node.policy().scopes.len(), 1, "{sql}");
            assert!(is_revoked(node, "later"), "{sql}");
            assert!(node.providers().iter().any(|state| state.disabled), "{sql}");
        }
    }
}

/// D4, CASES C15: whatever PostgreSQL holds, a node starts and follows later changes.
#[tokio::test]
async fn bad_entries_of_postgresql_are_ignored_and_reported() {
    a_node_starts_and_follows_changes(&Postgres::shared().database()).await;
}

/// D4, CASES C15: whatever a file of SQLite holds, a node starts and follows later changes.
#[tokio::test]
async fn bad_entries_of_sqlite_are_ignored_and_reported() {
    let folder = TempDir::new().unwrap();
    a_node_starts_and_follows_changes(&format!("sqlite://{}", folder.path().join("gate.db").display())).await;
}

/// D4: an entry that cannot be read is repaired by replacing it, or deleted, whatever its name is.
#[tokio::test]
async fn an_entry_that_cannot_be_read_is_repaired_or_deleted() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("gate.db").display());
    meddle(
        &url,
        "INSERT INTO scopes (name, description, routes, version) VALUES ('two words', 'x', '[]', 1), ('a', 'x', '{', 1), ('b', 'x', '', 1)",
    )
    .await;
    meddle(&url, "INSERT INTO routes VALUES ('r', '{', 1), ('s', '{', 1)").await;
    let store = manual(&url).await;
    assert_eq!(store.unreadable().len(), 5);
    let expected = Expected::Any;
    let id = |text: &str| crate::store::RecordId::from_text(text);
    let edits = [
        Edit::DeleteUnreadableScope { name: "two words".to_owned(), expected },
        put("a"),
        Edit::DeleteScope { name: Scope::parse("b").unwrap(), expected },
        Edit::ReplaceRoute { id: id("r"), definition: serde_json::json!({ "match": "/r" }), expected },
        Edit::DeleteRoute { id: id("s"), expected },
    ];
    for edit in edits {
        store.edit_policy(&actor(), &store.policy(), edit).await.unwrap();
    }
    let restarted = manual(&url).await;
    for store in [store, restarted] {
        assert_eq!(store.unreadable(), []);
        assert_eq!((store.policy().scopes.len(), store.policy().routes.len()), (1, 1));
    }
}
