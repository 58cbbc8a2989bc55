//! SQLite: one file, one writer.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use scopegate_provider::Clock;
use sqlx::{AnyConnection, AnyPool, Connection, any::AnyPoolOptions};

use super::{
    OpenError, StoreError, StoreSettings,
    sql::{
        Advance, Dialect, Place, SqlStore, install_drivers,
        migrations::{connect_error, migrate, migrations},
    },
};

pub(super) static DIALECT: Dialect = Dialect {
    // Takes the lock at once: a transaction that reads first and then wants to write may find that another was faster.
    begin_write: "BEGIN IMMEDIATE",
    begin_read: "BEGIN",
    unlimited: None,
    now: "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    notify: None,
    // A trigger keeps the stamps.
    advance: Advance {
        policy: "UPDATE heads SET last = last + 1, policy = last + 1, stamp = $1 WHERE id = 1 AND policy = $2 \
                 RETURNING last",
        revocations: "UPDATE heads SET last = last + 1, revocations = last + 1, stamp = $1 WHERE id = 1 \
                      RETURNING last",
        providers: "UPDATE heads SET last = last + 1, providers = last + 1, stamp = $1 WHERE id = 1 \
                    RETURNING last",
    },
    policy: "SELECT policy, \
        (SELECT CAST(json_group_array(json_array(name, description, routes, implies, version)) AS BLOB) FROM scopes), \
        (SELECT CAST(json_group_array(json_array(id, definition, version)) AS BLOB) FROM routes) \
        FROM heads WHERE id = 1",
    policy_versions: "SELECT policy, \
        (SELECT CAST(json_group_array(json_array(name, version)) AS BLOB) FROM scopes), \
        (SELECT CAST(json_group_array(json_array(id, version)) AS BLOB) FROM routes) FROM heads WHERE id = 1",
    insert_revocations: "INSERT INTO revocations \
        (id, provider, kind, value, key_hash, issued_before, expires_at, reason, created_at, change) \
        SELECT value ->> 'id', value ->> 'provider', value ->> 'kind', value ->> 'value', value ->> 'key_hash', \
        value ->> 'issued_before', value ->> 'expires_at', value ->> 'reason', value ->> 'created_at', \
        value ->> 'change' FROM json_each($1)",
    revocations_since: "SELECT CAST(json_group_array(json_array(id, provider, kind, value, issued_before, \
        expires_at, reason, created_at, change, deleted, refused, streams_cut)) AS BLOB) FROM \
        (SELECT * FROM revocations WHERE (change, id) > ($1, $2) AND expires_at > $3 ORDER BY change, id LIMIT $4)",
    provider_states: "SELECT CAST(json_group_array(json_array(provider, disabled, distrusted)) AS BLOB) \
        FROM provider_states",
    last_item: "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'items'), 0)",
    set_last_item: "UPDATE sqlite_sequence SET seq = $1 WHERE name = 'items'",
    aggregate: ["SELECT CAST(json_group_array(json_array(", ")) AS BLOB) FROM ", ""],
    elements: "json_each($1)",
    integer: ["", ""],
    migrations: migrations!("sqlite":
        1 "items", 2 "heads", 3 "policy", 4 "revocations", 5 "providers", 6 "audit", 7 "signing_keys", 8 "stamps",
        9 "blocks", 10 "nodes", 11 "implies"),
};

/// The number of connections that read. Each is a thread; readers do not wait for the writer.
const READERS: u32 = 4;

/// The time limit of waiting for another process's write.
const BUSY: Duration = Duration::from_secs(5);

/// Kept in a URL's path; everything else is escaped.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// Opens the file, and creates it if there is none.
pub(super) async fn open(
    path: &Path,
    settings: &StoreSettings,
    clock: Arc<dyn Clock>,
) -> Result<SqlStore, OpenError> {
    let failed = |error: sqlx::Error| connect_error(&settings.url, &error);
    let writes = connect(path, settings, &*clock).await?;
    let file = File::at(path).map_err(|error| failed(sqlx::Error::Io(error)))?;
    let reads = pool(path, READERS).await.map_err(failed)?;
    Ok(SqlStore::new(reads, writes, &DIALECT, clock, Some(Arc::new(file))))
}

/// Opens the file with one connection, creates it if there is none, and migrates it.
pub(super) async fn connect(
    path: &Path,
    settings: &StoreSettings,
    clock: &dyn Clock,
) -> Result<AnyPool, OpenError> {
    let failed = |error: sqlx::Error| connect_error(&settings.url, &error);
    install_drivers();
    prepare_file(path).map_err(|problem| OpenError::Connect { url: settings.url.to_string(), problem })?;
    // Once by hand: a pool would try again and then say only that it took too long.
    prepare(&mut AnyConnection::connect(&url(path).map_err(failed)?).await.map_err(failed)?)
        .await
        .map_err(failed)?;
    let writes = pool(path, 1).await.map_err(failed)?;
    migrate(&writes, &DIALECT, &settings.url, clock, settings.migrate).await?;
    probe(&writes).await.map_err(failed)?;
    warn_of_wide_modes(path);
    Ok(writes)
}

/// Opens a file that exists, without migrating it.
pub(super) async fn open_existing(path: &Path) -> sqlx::Result<AnyPool> {
    pool(path, 1).await
}

/// Makes the file the only one of its store: without a log beside it.
pub(super) async fn finish(pool: AnyPool) -> sqlx::Result<()> {
    sqlx::raw_sql("PRAGMA journal_mode = DELETE").execute(&pool).await?;
    pool.close().await;
    Ok(())
}

/// Creates the file if there is none, for its owner only: it holds private keys. SQLite gives `-wal` and `-shm` the same
/// mode.
fn prepare_file(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err("expected a file, found a folder".to_owned()),
        Ok(found) if found.len() == 0 => {
            tracing::warn!(
                "the store `{}` is an empty file and is taken for a new store: if it held anything, stop \
                 scopegate and restore it from a backup",
                path.display()
            );
            return Ok(());
        }
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("unable to open the file: {error}")),
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(format!("unable to open the file: there is no folder `{}`; create it", folder.display()));
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        // Another node was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(format!("unable to open the file: {error}")),
    }
}

/// Logs a warning for each file of the store that others than its owner may read or write.
fn warn_of_wide_modes(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        let Ok(found) = fs::metadata(&file) else { continue };
        let mode = found.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let file = Path::new(&file).display();
            tracing::warn!(
                "the store `{file}` has the mode {mode:04o}, so others can read the private keys in it: run \
                 `chmod 600 {file}`"
            );
        }
    }
}

async fn pool(path: &Path, connections: u32) -> sqlx::Result<AnyPool> {
    install_drivers();
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(BUSY)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(|connection, _| Box::pin(prepare(connection)))
        .connect(&url(path)?)
        .await
}

/// Sets up a connection: a commit is on the disk before it is answered (invariant 14), and readers see the last commit
/// without waiting.
async fn prepare(connection: &mut AnyConnection) -> sqlx::Result<()> {
    let sql = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

/// Begins a write that changes nothing: SQLite opens a file that it may only read without an error.
async fn probe(writes: &AnyPool) -> sqlx::Result<()> {
    sqlx::query("UPDATE heads SET last = last WHERE id = 0").execute(writes).await.map(drop)
}

/// Returns the URL of a file that exists: a connection that is made anew must not create another one.
fn url(path: &Path) -> sqlx::Result<String> {
    let path = std::path::absolute(path).map_err(sqlx::Error::Io)?;
    let text = path.to_str().ok_or_else(|| sqlx::Error::Configuration("the path is not UTF-8".into()))?;
    Ok(format!("sqlite://{}?mode=rw", utf8_percent_encode(text, ESCAPED)))
}

/// The file that is open, to be compared with the one that the path names.
#[derive(Debug)]
struct File {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// The path does not name the open file any more.
#[derive(Debug, thiserror::Error)]
enum Displaced {
    /// There is no file.
    #[error(
        "the file `{}` was deleted while it was open, so that writes would be lost: restart scopegate", _0.display()
    )]
    Deleted(PathBuf),
    /// It is another file.
    #[error(
        "the file `{}` was replaced while it was open, so that writes would be lost: stop scopegate, remove the old \
         `-wal` and `-shm` files beside it, and start again", _0.display()
    )]
    Replaced(PathBuf),
}

impl File {
    fn at(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let found = fs::metadata(&path)?;
        Ok(Self { device: found.dev(), inode: found.ino(), path })
    }
}

impl Place for File {
    fn check(&self) -> Result<(), StoreError> {
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(StoreError::unavailable(Displaced::Replaced(self.path.clone()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::unavailable(Displaced::Deleted(self.path.clone())))
            }
            Err(error) => Err(StoreError::unavailable(error)),
        }
    }
}

#[cfg(test)]
mod tests;
