//! Backup, restore, and moving to another database.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use scopegate_provider::{Clock, SystemClock};

use super::{
    OpenError, StoreError, StoreSettings, StoreUrl, postgres,
    sql::transfer::{Database, is_store, is_unused, transfer},
    sqlite,
};

/// The rows that were copied, by table.
pub type Transferred = Vec<(&'static str, usize)>;

/// Errors of a backup, a restore or a copy. The target is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A store cannot be read or written.
    #[error("the store cannot be copied: {}", _0.cause())]
    Store(#[from] StoreError),
    /// A store in memory ends with its process.
    #[error("expected a store in SQLite or PostgreSQL, found `memory:`, which only its own process can read")]
    Memory,
    /// The file for the backup exists.
    #[error("the file `{}` exists already: choose another name, or remove it", _0.display())]
    Exists(PathBuf),
    /// The file is not a backup.
    #[error("the file `{}` is not a store of scopegate", _0.display())]
    NotAStore(PathBuf),
    /// The target holds something already.
    #[error("the store `{0}` holds data already, which would be replaced: use `--force` to replace it")]
    InUse(String),
    /// Source and target are the same store.
    #[error("`{0}` is the store itself")]
    Same(String),
    /// The system refuses.
    #[error("cannot write `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// Writes everything that a store holds, as it is at one moment, to a new file of SQLite. The store may be in use.
///
/// # Errors
/// [`TransferError`].
pub async fn backup(settings: &StoreSettings, file: &Path) -> Result<Transferred, TransferError> {
    if file.exists() {
        return Err(TransferError::Exists(file.to_owned()));
    }
    let source = connect(settings).await?;
    let partial = append(file, ".partial");
    remove(&partial)?;
    let target = sqlite_at(&partial).await?;
    let transferred = transfer(&source, &target).await?;
    sqlite::finish(target.pool).await.map_err(StoreError::unavailable)?;
    fs::rename(&partial, file).map_err(|source| TransferError::File { path: file.to_owned(), source })?;
    Ok(transferred)
}

/// Replaces everything that a store holds by a backup, of this or an earlier version of scopegate. Nodes that are running
/// notice and read everything again.
///
/// # Errors
/// [`TransferError`].
pub async fn restore(settings: &StoreSettings, file: &Path) -> Result<Transferred, TransferError> {
    // A copy is migrated, so that the backup stays as it is.
    let copy = append(file, ".restoring");
    remove(&copy)?;
    fs::copy(file, &copy).map_err(|source| TransferError::File { path: file.to_owned(), source })?;
    let outcome = restore_from(settings, file, &copy).await;
    remove(&copy)?;
    outcome
}

async fn restore_from(
    settings: &StoreSettings,
    file: &Path,
    copy: &Path,
) -> Result<Transferred, TransferError> {
    match sqlite::open_existing(copy).await {
        Ok(pool) if is_store(&pool).await => pool.close().await,
        Ok(_) | Err(_) => return Err(TransferError::NotAStore(file.to_owned())),
    }
    let source = sqlite_at(copy).await?;
    let target = connect(settings).await?;
    let transferred = transfer(&source, &target).await?;
    sqlite::finish(source.pool).await.map_err(StoreError::unavailable)?;
    target.pool.close().await;
    Ok(transferred)
}

/// Copies everything that a store holds to another one. One that holds something already is replaced only with `force`.
///
/// # Errors
/// [`TransferError`].
pub async fn copy(
    from: &StoreSettings,
    to: &StoreSettings,
    force: bool,
) -> Result<Transferred, TransferError> {
    if from.url == to.url {
        return Err(TransferError::Same(to.url.to_string()));
    }
    let source = connect(from).await?;
    let target = connect(to).await?;
    if !force && !is_unused(&target).await? {
        return Err(TransferError::InUse(to.url.to_string()));
    }
    let transferred = transfer(&source, &target).await?;
    target.pool.close().await;
    Ok(transferred)
}

async fn connect(settings: &StoreSettings) -> Result<Database, TransferError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    match &settings.url {
        StoreUrl::Memory => Err(TransferError::Memory),
        StoreUrl::Sqlite(path) => {
            let pool = sqlite::connect(path, settings, &*clock).await?;
            Ok(Database { pool, dialect: &sqlite::DIALECT })
        }
        StoreUrl::Postgres(url) => {
            let pool = postgres::connect(url, settings, &*clock, Duration::ZERO).await?;
            Ok(Database { pool, dialect: &postgres::POLLED })
        }
    }
}

async fn sqlite_at(path: &Path) -> Result<Database, TransferError> {
    connect(&StoreSettings::new(StoreUrl::Sqlite(path.to_owned()))).await
}

/// Removes a file that an earlier, interrupted run may have left, and its logs.
fn remove(file: &Path) -> Result<(), TransferError> {
    for path in [file.to_owned(), append(file, "-wal"), append(file, "-shm")] {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(TransferError::File { path, source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Returns the path with a suffix.
fn append(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests;
