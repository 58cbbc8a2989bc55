use scopegate_provider::{ClientId, ProviderName, Scope, Secret, Timestamp};
use scopegate_testkit::Postgres;
use tempfile::TempDir;

use super::*;
use crate::store::{
    Actor, Audit, Changes, DenialCount, Edit, Expected, ItemName, Items, NewRevocation, Period, Policies,
    ProviderStates, RevocationKey, Revocations, SigningKey, SigningKeys, StateChange, Store,
};

fn sqlite_in(folder: &TempDir, name: &str) -> StoreSettings {
    StoreSettings::new(StoreUrl::Sqlite(folder.path().join(name)))
}

fn postgres() -> StoreSettings {
    StoreSettings::new(Postgres::shared().database().parse().unwrap())
}

async fn open(settings: &StoreSettings) -> Store {
    Store::open(Some(settings), Arc::new(SystemClock::new())).await.unwrap()
}

fn okta() -> ProviderName {
    ProviderName::parse("okta").unwrap()
}

/// Writes something to every table.
async fn fill(store: &Store) {
    let by = Actor::System;
    let item = store.create(ItemName::parse("gr\u{fc}n").unwrap()).await.unwrap();
    store.create(ItemName::parse("gone").unwrap()).await.unwrap();
    store.delete(item.id + 1, None).await.unwrap();
    let put = Edit::PutScope {
        name: Scope::parse("reports").unwrap(),
        description: "Read \"reports\"".to_owned(),
        routes: vec!["GET /reports/**".to_owned()],
        implies: vec![Scope::parse("narrow").unwrap()],
        expected: Expected::Any,
    };
    store.edit_policy(&by, &store.policy(), put).await.unwrap();
    let definition = serde_json::json!({ "match": "GET /x", "allow": "anonymous" });
    store.edit_policy(&by, &store.policy(), Edit::CreateRoute { definition }).await.unwrap();
    let client = RevocationKey::Client(ClientId::parse("web").unwrap());
    store.revoke(&by, vec![NewRevocation::block(okta(), client, Some("leaked".to_owned()))]).await.unwrap();
    store.change_provider(&by, &okta(), StateChange::Distrust("k1".to_owned())).await.unwrap();
    let denial = DenialCount {
        minute: Timestamp::from_seconds(60),
        route: "/x".to_owned(),
        reason: "no_token".to_owned(),
        client: String::new(),
        count: 3,
    };
    store.count_denials(vec![denial]).await.unwrap();
    let private_key = Secret::new("-----BEGIN");
    let key = SigningKey { number: 1, active_from: Timestamp::from_seconds(0), private_key };
    store.add_signing_key(key).await.unwrap();
}

/// Everything that a store holds, to be compared.
async fn content(store: &Store) -> String {
    let keys = store.signing_keys().await.unwrap();
    let keys: Vec<_> = keys.iter().map(|key| (key.number, key.private_key.reveal().to_owned())).collect();
    let heads = store.heads().await.unwrap();
    format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{keys:?}\n{:?}",
        store.list(None, 100).await.unwrap(),
        store.stored_policy().await.unwrap(),
        store.revocations(None, 100).await.unwrap(),
        store.provider_states().await.unwrap(),
        store.audit(Period::ALWAYS, None, 100).await.unwrap(),
        store.denials(Period::ALWAYS, 100).await.unwrap(),
        (heads.last, heads.policy, heads.revocations, heads.providers),
    )
}

/// Moving from SQLite to PostgreSQL keeps everything, and so does moving back.
#[tokio::test]
async fn a_store_is_copied_completely_to_postgresql_and_back() {
    let folder = TempDir::new().unwrap();
    let here = sqlite_in(&folder, "here.db");
    let there = postgres();
    let back = sqlite_in(&folder, "back.db");
    let store = open(&here).await;
    fill(&store).await;
    copy(&here, &there, false).await.unwrap();
    copy(&there, &back, false).await.unwrap();
    let wanted = content(&store).await;
    for settings in [there, back] {
        let copied = open(&settings).await;
        assert_eq!(content(&copied).await, wanted);
        // No number of an item is used twice.
        assert_eq!(copied.create(ItemName::parse("next").unwrap()).await.unwrap().id, 6);
    }
}

/// A store that holds data is not replaced by mistake.
#[tokio::test]
async fn a_store_that_is_in_use_is_replaced_by_force_only() {
    let folder = TempDir::new().unwrap();
    let here = sqlite_in(&folder, "here.db");
    let there = sqlite_in(&folder, "there.db");
    fill(&open(&here).await).await;
    open(&there).await.create(ItemName::parse("mine").unwrap()).await.unwrap();
    let refused = copy(&here, &there, false).await;
    assert!(matches!(refused, Err(TransferError::InUse(_))), "{refused:?}");
    copy(&here, &there, true).await.unwrap();
    assert_eq!(content(&open(&there).await).await, content(&open(&here).await).await);
}

async fn a_backup_is_restored(settings: StoreSettings) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("backup.db");
    let store = open(&settings).await;
    fill(&store).await;
    let wanted = content(&store).await;
    backup(&settings, &file).await.unwrap();
    let again = backup(&settings, &file).await;
    assert!(matches!(again, Err(TransferError::Exists(_))), "{again:?}");
    let files: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["backup.db"], "one file is the whole backup");
    let later = NewRevocation::block(okta(), RevocationKey::Client(ClientId::parse("x").unwrap()), None);
    store.revoke(&Actor::System, vec![later]).await.unwrap();
    restore(&settings, &file).await.unwrap();
    store.refresh().await.unwrap();
    assert_eq!(content(&store).await, wanted);
    assert_eq!(store.revocation_index().len(), 1, "a running node reads everything again");
    assert_eq!(store.subscribe().borrow().rereads, 1);
}

/// D2: a SQLite file is backed up while it is in use, and restored under a running node.
#[tokio::test]
async fn a_backup_of_sqlite_is_restored_under_a_running_node() {
    let folder = TempDir::new().unwrap();
    a_backup_is_restored(sqlite_in(&folder, "gate.db")).await;
}

/// D2: the same for PostgreSQL.
#[tokio::test]
async fn a_backup_of_postgresql_is_restored_under_a_running_node() {
    a_backup_is_restored(postgres()).await;
}

/// A file that is not a backup changes nothing.
#[tokio::test]
async fn a_file_that_is_not_a_backup_is_refused() {
    let folder = TempDir::new().unwrap();
    let settings = sqlite_in(&folder, "gate.db");
    let store = open(&settings).await;
    fill(&store).await;
    let wanted = content(&store).await;
    let file = folder.path().join("other");
    for bytes in [&b""[..], b"not a database, but some words"] {
        fs::write(&file, bytes).unwrap();
        let refused = restore(&settings, &file).await;
        assert!(matches!(refused, Err(TransferError::NotAStore(_))), "{refused:?}");
    }
    assert_eq!(content(&store).await, wanted);
}

/// A store as commit 96007da wrote it.
const OLD_SQLITE: &str = include_str!("../../../tests/data/stores/96007da.sqlite.sql");
const OLD_POSTGRES: &str = include_str!("../../../tests/data/stores/96007da.postgres.sql");

async fn an_upgraded_store_keeps_everything(settings: &StoreSettings) {
    let store = open(settings).await;
    let items = store.list(None, 10).await.unwrap().items;
    let items: Vec<_> = items.iter().map(|item| (item.id, item.name.as_str(), item.version.0)).collect();
    assert_eq!(items, [(1, "red ball", 1), (3, "purple ellipse", 1), (5, "kept", 2)]);
    assert_eq!(store.create(ItemName::parse("next").unwrap()).await.unwrap().id, 7);
    let policy = store.policy();
    assert_eq!((policy.change.0, policy.scopes.len(), policy.routes.len()), (2, 1, 1));
    let revocations = store.revocations(None, 10).await.unwrap().items;
    assert_eq!(revocations.iter().map(|found| found.record.key.value()).collect::<Vec<_>>(), ["web"]);
    assert_eq!(store.revocation_index().len(), 1);
    let state = &store.providers()[0];
    assert!(state.disabled && state.distrusted.contains("k1"), "{state:?}");
    assert_eq!(store.audit(Period::ALWAYS, None, 10).await.unwrap().items.len(), 6);
    assert_eq!(store.denials(Period::ALWAYS, 10).await.unwrap()[0].count, 7);
    assert_eq!(store.signing_keys().await.unwrap().len(), 1);
    assert_eq!(store.unreadable(), []);
    let client = RevocationKey::Client(ClientId::parse("x").unwrap());
    let made = store.revoke(&Actor::System, vec![NewRevocation::block(okta(), client, None)]).await.unwrap();
    assert_eq!(made[0].change.0, 7);
    let kept = store.delete_revocation(&Actor::System, &revocations[0].id).await;
    assert!(kept.is_ok(), "{kept:?}");
    assert_eq!(store.revocation_index().len(), 1);
}

/// An upgrade from a SQLite file of 96007da keeps everything.
#[tokio::test]
async fn a_sqlite_file_of_96007da_keeps_everything() {
    let folder = TempDir::new().unwrap();
    let settings = sqlite_in(&folder, "gate.db");
    fs::write(folder.path().join("gate.db"), b"").unwrap();
    let pool = sqlite::open_existing(&folder.path().join("gate.db")).await.unwrap();
    sqlx::raw_sql(OLD_SQLITE).execute(&pool).await.unwrap();
    pool.close().await;
    an_upgraded_store_keeps_everything(&settings).await;
}

/// An upgrade from a PostgreSQL database of 96007da keeps everything.
#[tokio::test]
async fn a_postgresql_of_96007da_keeps_everything() {
    let url = Postgres::shared().database();
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
    sqlx::raw_sql(OLD_POSTGRES).execute(&mut connection).await.unwrap();
    an_upgraded_store_keeps_everything(&StoreSettings::new(url.parse().unwrap())).await;
}

/// A backup that 96007da left behind is restored, and stays as it is.
#[tokio::test]
async fn a_file_of_96007da_is_restored_into_postgresql() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("old.db");
    fs::write(&file, b"").unwrap();
    let pool = sqlite::open_existing(&file).await.unwrap();
    sqlx::raw_sql(OLD_SQLITE).execute(&pool).await.unwrap();
    sqlite::finish(pool).await.unwrap();
    let before = fs::read(&file).unwrap();
    let settings = postgres();
    restore(&settings, &file).await.unwrap();
    assert_eq!(fs::read(&file).unwrap(), before);
    an_upgraded_store_keeps_everything(&settings).await;
}
