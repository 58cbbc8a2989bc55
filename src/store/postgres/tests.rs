use std::{collections::HashSet, sync::Mutex};

use scopegate_testkit::{Cable, Postgres};

use super::*;
use crate::store::{
    Changes, Heads, ItemId, ItemName, Items, RecordId, Revocations, StoreError, StoreUrl,
    conformance::{actor, conformance, record, still, token_id},
};

fn settings(url: &str) -> StoreSettings {
    StoreSettings { max_connections: 4, ..StoreSettings::new(url.parse().unwrap()) }
}

async fn at(settings: &StoreSettings) -> Result<SqlStore, OpenError> {
    let StoreUrl::Postgres(url) = &settings.url else { panic!("not PostgreSQL") };
    super::open(url, settings, still(), Duration::from_mins(1)).await
}

async fn open() -> (SqlStore, ()) {
    (at(&settings(&Postgres::shared().database())).await.unwrap(), ())
}

conformance!(open);

async fn meddle(url: &str, sql: &'static str) {
    install_drivers();
    let mut connection = AnyConnection::connect(url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

#[tokio::test]
async fn nodes_that_start_together_migrate_once() {
    let settings = settings(&Postgres::shared().database());
    let stores = futures_util::future::join_all((0..4).map(|_| at(&settings))).await;
    for store in stores {
        assert_eq!(store.unwrap().list(None, 10).await.unwrap().items.len(), 3);
    }
}

#[tokio::test]
async fn concurrent_changes_of_two_nodes_have_numbers_without_gaps() {
    let settings = settings(&Postgres::shared().database());
    let (a, b) = (at(&settings).await.unwrap(), at(&settings).await.unwrap());
    let revoke = |n| {
        let store = if n % 2 == 0 { &a } else { &b };
        async move { store.revoke(&actor(), vec![record(token_id(&format!("{n}")))]).await.unwrap() }
    };
    let made = futures_util::future::join_all((0..1000).map(revoke)).await;
    let mut numbers: Vec<_> = made.iter().map(|made| made[0].change.0).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=1000).collect::<Vec<_>>());
    assert_eq!(a.heads().await.unwrap().last.0, 1000);
}

#[tokio::test]
async fn a_store_of_a_newer_scopegate_is_refused() {
    let url = Postgres::shared().database();
    at(&settings(&url)).await.unwrap();
    meddle(&url, "INSERT INTO scopegate_migrations VALUES (999, 'later', '', 0)").await;
    let error = at(&settings(&url)).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 999, .. }), "{error}");
}

#[tokio::test]
async fn missing_migrations_are_named_where_they_may_not_be_run() {
    let settings = settings(&Postgres::shared().database());
    let only_check = StoreSettings { migrate: false, ..settings.clone() };
    let error = at(&only_check).await.unwrap_err();
    let all: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
    assert!(matches!(&error, OpenError::Unmigrated { missing, .. } if *missing == all), "{error}");
    at(&settings).await.unwrap();
    at(&only_check).await.unwrap();
}

#[tokio::test]
async fn a_migration_that_fails_half_way_is_undone() {
    let url = Postgres::shared().database();
    meddle(&url, "CREATE TABLE routes (mine TEXT)").await;
    let error = at(&settings(&url)).await.unwrap_err();
    assert!(matches!(&error, OpenError::Migration { version: 3, .. }), "{error}");
    meddle(&url, "CREATE TABLE scopes (mine TEXT); DROP TABLE scopes; DROP TABLE routes").await;
    assert_eq!(at(&settings(&url)).await.unwrap().heads().await.unwrap(), Heads::default());
}

#[tokio::test]
async fn without_listen_no_advisory_lock_and_no_notification_is_used() {
    let url = Postgres::shared().database();
    // As a database that speaks the protocol without them.
    meddle(
        &url,
        "CREATE SCHEMA poor; \
         CREATE FUNCTION poor.pg_advisory_lock(BIGINT) RETURNS VOID AS 'BEGIN RAISE ''none''; END' LANGUAGE plpgsql; \
         CREATE FUNCTION poor.pg_notify(TEXT, TEXT) RETURNS VOID AS 'BEGIN RAISE ''none''; END' LANGUAGE plpgsql; \
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = poor, pg_catalog, public', \
         current_database()); END $$",
    )
    .await;
    meddle(&url, "ALTER SCHEMA poor OWNER TO postgres; CREATE TABLE public.probe ()").await;
    let polled = StoreSettings { listen: false, ..settings(&url) };
    let store = at(&polled).await.unwrap();
    store.revoke(&actor(), vec![record(token_id("a"))]).await.unwrap();
    let listened = at(&settings(&url)).await.unwrap();
    let refused = listened.revoke(&actor(), vec![record(token_id("a"))]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "the probe does not probe");
}

#[tokio::test]
async fn a_database_that_starts_when_the_node_does_is_waited_for() {
    let server = Arc::new(Postgres::start());
    let settings = settings(&server.database());
    server.stop();
    let starts = server.clone();
    let start = tokio::task::spawn_blocking(move || starts.restart());
    let (store, started) = futures_util::join!(at(&settings), start);
    started.unwrap();
    store.unwrap().create(ItemName::parse("first").unwrap()).await.unwrap();
}

/// What was acknowledged until the database was gone.
#[derive(Default)]
struct Acknowledged {
    items: Mutex<HashSet<ItemId>>,
    revocations: Mutex<HashSet<RecordId>>,
    taken_back: Mutex<HashSet<RecordId>>,
}

impl Acknowledged {
    fn count(&self) -> usize {
        self.items.lock().unwrap().len() + self.revocations.lock().unwrap().len()
    }

    /// Writes until the database is gone: creates items, or records revocations and takes every third back.
    async fn write(&self, store: &SqlStore, n: usize) {
        for round in 0.. {
            if n.is_multiple_of(2) {
                let name = ItemName::parse(&format!("item {n}/{round}")).unwrap();
                let Ok(item) = store.create(name).await else { return };
                self.items.lock().unwrap().insert(item.id);
                continue;
            }
            let record = record(token_id(&format!("{n}/{round}")));
            let Ok(made) = store.revoke(&actor(), vec![record]).await else { return };
            let id = made[0].id.clone();
            if round % 3 < 2 {
                self.revocations.lock().unwrap().insert(id);
            } else if store.delete_revocation(&actor(), &id).await.is_ok() {
                self.taken_back.lock().unwrap().insert(id);
            } else {
                return;
            }
        }
    }

    async fn check(&self, store: &SqlStore) {
        let items = store.list(None, 1_000_000).await.unwrap().items;
        let items: HashSet<_> = items.into_iter().map(|item| item.id).collect();
        let revocations = store.revocations(None, 1_000_000).await.unwrap().items;
        let revocations: HashSet<_> = revocations.into_iter().map(|revocation| revocation.id).collect();
        assert_eq!(self.items.lock().unwrap().difference(&items).count(), 0, "of {} items", items.len());
        let lost = self.revocations.lock().unwrap().difference(&revocations).count();
        assert_eq!(lost, 0, "of {} revocations", revocations.len());
        assert!(
            self.taken_back.lock().unwrap().is_disjoint(&revocations),
            "what was taken back is there again"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_14_a_killed_and_restarted_database_has_every_acknowledged_write() {
    let server = Arc::new(Postgres::start());
    let store = at(&settings(&server.database())).await.unwrap();
    let acknowledged = Acknowledged::default();
    for more in [50, 300, 1200] {
        let deadly = acknowledged.count() + more;
        let killed = server.clone();
        let kill = async {
            while acknowledged.count() < deadly {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::task::spawn_blocking(move || killed.kill()).await.unwrap();
        };
        let writing = futures_util::future::join_all((0..64).map(|n| acknowledged.write(&store, n)));
        futures_util::join!(writing, kill);
        let restarted = server.clone();
        tokio::task::spawn_blocking(move || restarted.restart()).await.unwrap();
        acknowledged.check(&store).await;
    }
    assert!(!acknowledged.revocations.lock().unwrap().is_empty());
    store.create(ItemName::parse("after").unwrap()).await.unwrap();
}

/// A connection of a node that holds the lock of all changes and does nothing more, as if the node were frozen.
async fn frozen_in_a_write(url: &str) -> sqlx::pool::PoolConnection<sqlx::Any> {
    let mut connection = pool(&url.parse().unwrap(), 2).unwrap().acquire().await.unwrap();
    let sql = "BEGIN; UPDATE heads SET last = last WHERE id = 1";
    sqlx::raw_sql(sql).execute(&mut *connection).await.unwrap();
    connection
}

/// D1: a node that is frozen in the middle of a write keeps the others from writing for seconds, not for hours.
#[tokio::test]
async fn a_node_that_is_frozen_in_a_write_does_not_keep_others_from_writing() {
    let url = Postgres::shared().database();
    let store = at(&settings(&url)).await.unwrap();
    let frozen = frozen_in_a_write(&url).await;
    store.revoke(&actor(), vec![record(token_id("a"))]).await.unwrap();
    drop(frozen);
}

/// D1: the same for a node that is cut off without a word; it works again once there is a way to the database.
#[tokio::test]
async fn a_node_that_is_cut_off_in_a_write_does_not_keep_others_from_writing() {
    let server = Postgres::shared();
    let url = server.database();
    let cable = Cable::to(server).await;
    let near = at(&settings(&url)).await.unwrap();
    let far = at(&settings(&cable.url(&url))).await.unwrap();
    let hangs = frozen_in_a_write(&cable.url(&url)).await;
    cable.freeze();
    near.revoke(&actor(), vec![record(token_id("a"))]).await.unwrap();
    drop(hangs);
    cable.mend();
    far.revoke(&actor(), vec![record(token_id("b"))]).await.unwrap();
    assert_eq!(far.heads().await.unwrap(), near.heads().await.unwrap());
}

/// D1: a connection that leads nowhere keeps a node from hearing of changes for seconds only.
#[tokio::test]
async fn a_node_gives_up_a_connection_that_leads_nowhere() {
    let server = Postgres::shared();
    let url = server.database();
    let cable = Cable::to(server).await;
    let store = at(&settings(&cable.url(&url))).await.unwrap();
    cable.freeze();
    // Whether the answer or the next connection is waited for in vain depends on what the pool keeps.
    let error = store.heads().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    cable.mend();
    store.heads().await.unwrap();
}

/// CASES C14: a database that refuses connections is named at once, with the cause and the key of the setting.
#[tokio::test]
async fn a_refused_connection_is_named_at_once() {
    let settings = settings("postgres://gate@127.0.0.1:1/gate");
    let StoreUrl::Postgres(url) = &settings.url else { panic!("not PostgreSQL") };
    let error = super::open(url, &settings, still(), Duration::ZERO).await.unwrap_err().to_string();
    for part in ["postgres://127.0.0.1:1/gate", "store.url", "refused"] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
}
