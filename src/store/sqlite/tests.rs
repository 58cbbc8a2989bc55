use std::{fs::Permissions, time::Instant};

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use tempfile::TempDir;

use super::*;
use crate::store::{
    ChangeNumber, Changes, ItemName, Items, Policies, ProviderStates, Revocations, StoreUrl,
    conformance::{actor, conformance, record, still, token_id},
};

fn settings(folder: &TempDir) -> StoreSettings {
    StoreSettings::new(StoreUrl::Sqlite(path_in(folder)))
}

fn path_in(folder: &TempDir) -> PathBuf {
    folder.path().join("a #1?%.db")
}

async fn at(settings: &StoreSettings) -> Result<SqlStore, OpenError> {
    let StoreUrl::Sqlite(path) = &settings.url else { panic!("not SQLite") };
    super::open(path, settings, still()).await
}

async fn open() -> (SqlStore, TempDir) {
    let folder = TempDir::new().unwrap();
    (at(&settings(&folder)).await.unwrap(), folder)
}

conformance!(open);

/// Opens it once this process has closed what it could only read: connections of a pool are closed in the background, and
/// share what they know of the file.
async fn released(settings: &StoreSettings) -> SqlStore {
    let begun = Instant::now();
    loop {
        match at(settings).await {
            Ok(store) => return store,
            Err(error) => assert!(begun.elapsed().as_secs() < 10, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Changes the file as another program would.
async fn meddle(settings: &StoreSettings, sql: &'static str) {
    let StoreUrl::Sqlite(path) = &settings.url else { panic!("not SQLite") };
    prepare_file(path).unwrap();
    sqlx::raw_sql(sql).execute(&pool(path, 1).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_second_start_finds_what_the_first_wrote() {
    let (store, folder) = open().await;
    let item = store.create(ItemName::parse("kept").unwrap()).await.unwrap();
    store.revoke(&actor(), vec![record(token_id("a"))]).await.unwrap();
    drop(store);
    let store = at(&settings(&folder)).await.unwrap();
    assert_eq!(store.find(item.id).await.unwrap(), item);
    assert_eq!(store.revocations(None, 10).await.unwrap().items.len(), 1);
    assert_eq!(store.list(None, 10).await.unwrap().items.len(), 4);
}

#[tokio::test]
async fn ten_thousand_concurrent_writes_are_all_made() {
    let (store, _folder) = open().await;
    let writes = (0..10_000).map(|n| store.create(ItemName::parse(&format!("item {n}")).unwrap()));
    let made = futures_util::future::join_all(writes).await;
    assert!(made.iter().all(Result::is_ok));
    assert_eq!(store.list(None, 20_000).await.unwrap().items.len(), 10_003);
}

#[tokio::test]
async fn one_bad_write_does_not_spoil_those_that_are_committed_with_it() {
    let (store, folder) = open().await;
    let forbid =
        "CREATE TRIGGER no BEFORE INSERT ON items WHEN NEW.name = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END";
    meddle(&settings(&folder), forbid).await;
    let names = ["a", "bad", "b", "c"].map(|name| ItemName::parse(name).unwrap());
    let made = futures_util::future::join_all(names.map(|name| store.create(name))).await;
    assert_eq!(made.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, true]);
    assert!(matches!(&made[1], Err(StoreError::Unavailable(_))));
    assert_eq!(store.list(None, 10).await.unwrap().items.len(), 6);
}

#[tokio::test]
async fn a_store_of_a_newer_scopegate_is_refused() {
    let (_, folder) = open().await;
    meddle(&settings(&folder), "INSERT INTO scopegate_migrations VALUES (999, 'later', '', 0)").await;
    let error = at(&settings(&folder)).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 999, .. }), "{error}");
}

#[tokio::test]
async fn an_altered_migration_is_refused() {
    let (_, folder) = open().await;
    meddle(&settings(&folder), "UPDATE scopegate_migrations SET checksum = '' WHERE version = 2").await;
    assert!(matches!(at(&settings(&folder)).await, Err(OpenError::Altered { version: 2, .. })));
}

#[tokio::test]
async fn missing_migrations_are_named_where_they_may_not_be_run() {
    let folder = TempDir::new().unwrap();
    let only_check = StoreSettings { migrate: false, ..settings(&folder) };
    let error = at(&only_check).await.unwrap_err();
    let all: Vec<i64> = DIALECT.migrations.iter().map(|migration| migration.version).collect();
    assert!(matches!(&error, OpenError::Unmigrated { missing, .. } if *missing == all), "{error}");
    at(&settings(&folder)).await.unwrap();
    at(&only_check).await.unwrap();
}

#[tokio::test]
async fn a_migration_that_fails_half_way_is_undone() {
    let folder = TempDir::new().unwrap();
    // The third migration creates two tables; the second of them is in the way.
    meddle(&settings(&folder), "CREATE TABLE routes (mine TEXT)").await;
    let error = at(&settings(&folder)).await.unwrap_err();
    assert!(matches!(&error, OpenError::Migration { version: 3, .. }), "{error}");
    meddle(&settings(&folder), "CREATE TABLE scopes (mine TEXT); DROP TABLE scopes; DROP TABLE routes").await;
    let store = at(&settings(&folder)).await.unwrap();
    assert_eq!(store.heads().await.unwrap(), crate::store::Heads::default());
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_named() {
    let folder = TempDir::new().unwrap();
    let settings = StoreSettings::new(StoreUrl::Sqlite(folder.path().join("no/such/folder.db")));
    let error = at(&settings).await.unwrap_err().to_string();
    assert!(error.contains("no/such/folder.db"), "{error}");
}

/// Opens it as a user who may do only what the modes of file and folder say, which root does not heed.
async fn unprivileged(settings: &StoreSettings) -> Result<(), OpenError> {
    let settings = settings.clone();
    let open = move || {
        let nothing = CapabilitySet::empty();
        let sets = CapabilitySets { effective: nothing, permitted: nothing, inheritable: nothing };
        set_capabilities(None, sets).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(at(&settings)).map(drop)
    };
    tokio::task::spawn_blocking(|| std::thread::spawn(open).join().unwrap()).await.unwrap()
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_file_or_folder_that_may_only_be_read_is_told_at_open_and_left_alone() {
    let (store, folder) = open().await;
    let item = store.create(ItemName::parse("kept").unwrap()).await.unwrap();
    drop(store);
    let (known, settings) =
        (settings(&folder), |name: &str| StoreSettings::new(StoreUrl::Sqlite(folder.path().join(name))));
    let StoreUrl::Sqlite(file) = &known.url else { panic!("not SQLite") };
    for (mode, folder_mode, opened) in
        [(0o444, 0o755, &known), (0o444, 0o555, &known), (0o644, 0o555, &settings("new.db"))]
    {
        allow(file, mode);
        allow(folder.path(), folder_mode);
        let error = unprivileged(opened).await.unwrap_err();
        allow(folder.path(), 0o755);
        allow(file, 0o644);
        let OpenError::Connect { url, problem } = &error else { panic!("{error}") };
        assert!(url.contains(".db"), "{error}");
        assert!(problem.contains("readonly") || problem.contains("unable to open"), "{error}");
    }
    assert_eq!(released(&known).await.find(item.id).await.unwrap(), item);
    assert!(!folder.path().join("new.db").exists());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let StoreUrl::Sqlite(path) = settings(&folder).url else { panic!("not SQLite") };
    fs::write(&path, "precious words, not a database".repeat(100)).unwrap();
    let before = fs::read(&path).unwrap();
    let error = at(&settings(&folder)).await.unwrap_err();
    assert!(
        matches!(&error, OpenError::Connect { problem, .. } if problem.contains("not a database")),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_damages_nothing() {
    let (store, folder) = open().await;
    drop(store);
    let StoreUrl::Sqlite(path) = settings(&folder).url else { panic!("not SQLite") };
    let writes = pool(&path, 1).await.unwrap();
    // The file may not grow any more: SQLITE_FULL, as on a full disk.
    sqlx::raw_sql("PRAGMA max_page_count = 1").execute(&writes).await.unwrap();
    let store = SqlStore::new(pool(&path, 1).await.unwrap(), writes, &DIALECT, still(), None);
    let big = || (0..200).map(|n| record(token_id(&format!("{n}{}", "x".repeat(1000))))).collect();
    let refused = store.revoke(&actor(), big()).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable(error)) if error.to_string().contains("full")));
    assert_eq!(store.heads().await.unwrap(), crate::store::Heads::default());
    drop(store);
    assert_eq!(at(&settings(&folder)).await.unwrap().revoke(&actor(), big()).await.unwrap().len(), 200);
}

/// D3: after SQLite has undone a transaction by itself, as when the disk is full, writes are made again.
#[tokio::test]
async fn writes_are_made_again_after_a_transaction_was_lost() {
    let (store, folder) = open().await;
    let full = "CREATE TRIGGER disk BEFORE INSERT ON items BEGIN SELECT RAISE(ROLLBACK, 'disk is full'); END";
    meddle(&settings(&folder), full).await;
    let name = ItemName::parse("a").unwrap();
    let refused = store.create(name.clone()).await.unwrap_err();
    assert!(refused.cause().contains("disk is full"), "{}", refused.cause());
    let refused = store.create(name.clone()).await.unwrap_err();
    assert!(refused.cause().contains("disk is full"), "{}", refused.cause());
    meddle(&settings(&folder), "DROP TRIGGER disk").await;
    store.create(name).await.unwrap();
    store.revoke(&actor(), vec![record(token_id("a"))]).await.unwrap();
}

/// D7: a write is refused with the reason once the file was deleted, and no other file is created.
#[tokio::test]
async fn writes_are_refused_after_the_file_was_deleted() {
    let (store, folder) = open().await;
    fs::remove_file(path_in(&folder)).unwrap();
    let refused = store.create(ItemName::parse("a").unwrap()).await.unwrap_err();
    assert!(refused.cause().contains("was deleted while it was open"), "{}", refused.cause());
    assert!(!path_in(&folder).exists());
}

/// D7: a write is refused with the reason once another file is in the place of the open one.
#[tokio::test]
async fn writes_are_refused_after_the_file_was_replaced() {
    let (store, folder) = open().await;
    fs::copy(path_in(&folder), folder.path().join("backup.db")).unwrap();
    fs::rename(folder.path().join("backup.db"), path_in(&folder)).unwrap();
    let refused = store.revoke(&actor(), vec![record(token_id("a"))]).await.unwrap_err();
    assert!(refused.cause().contains("was replaced while it was open"), "{}", refused.cause());
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A11, CASES O9: the file and those that SQLite makes beside it can be read by their owner only.
#[tokio::test]
async fn a_new_file_is_for_its_owner_only() {
    let (store, folder) = open().await;
    store.create(ItemName::parse("a").unwrap()).await.unwrap();
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

/// CASES C14: the folder that is missing is named, and the key of the setting.
#[tokio::test]
async fn a_missing_folder_is_named() {
    let folder = TempDir::new().unwrap();
    let settings = StoreSettings::new(StoreUrl::Sqlite(folder.path().join("no/store.db")));
    let error = at(&settings).await.unwrap_err().to_string();
    assert!(error.contains("store.url") && error.contains("there is no folder"), "{error}");
}

/// D4: text that is not UTF-8, which SQLite takes, hides no other entry.
#[tokio::test]
async fn text_that_is_not_utf_8_hides_no_other_entry() {
    let (store, folder) = open().await;
    store.revoke(&actor(), vec![record(token_id("a"))]).await.unwrap();
    let poison = "INSERT INTO scopes (name, description, routes, version) VALUES (CAST(x'66ff' AS TEXT), 'x', '[]', 1), ('good', 'x', '[]', 1); \
        INSERT INTO revocations (id, provider, kind, value, key_hash, issued_before, expires_at, created_at, change) \
        VALUES ('x', CAST(x'ff' AS TEXT), 'client', 'y', '', 0, 9000000000000, 0, 1); \
        INSERT INTO provider_states VALUES (CAST(x'ff20' AS TEXT), 0, '[]'), ('okta', 1, '[]')";
    meddle(&settings(&folder), poison).await;
    let policy = store.stored_policy().await.unwrap();
    assert_eq!(policy.scopes.keys().map(scopegate_provider::Scope::as_str).collect::<Vec<_>>(), ["good"]);
    assert_eq!(policy.unreadable.len(), 1, "{:?}", policy.unreadable);
    let revocations = store.revocations_since(ChangeNumber(0), None, 10).await.unwrap().items;
    assert!(revocations.iter().any(|found| found.record.key == token_id("a")), "{revocations:?}");
    let states = store.provider_states().await.unwrap();
    assert!(states.iter().any(|state| state.provider.as_str() == "okta" && state.disabled), "{states:?}");
}
