//! Opens the stores that last.

use std::{sync::Arc, time::Duration};

use scopegate_provider::Clock;

use super::{Backend, MemoryStore, OpenError, StoreSettings, StoreUrl, postgres, sqlite};

/// Opens the store that the settings name. If it is a server that is not there yet, waits for at most `patience`.
pub(super) async fn open(
    settings: &StoreSettings,
    clock: Arc<dyn Clock>,
    patience: Duration,
) -> Result<Arc<dyn Backend>, OpenError> {
    Ok(match &settings.url {
        StoreUrl::Memory => Arc::new(MemoryStore::new(clock)),
        StoreUrl::Sqlite(path) => Arc::new(sqlite::open(path, settings, clock).await?),
        StoreUrl::Postgres(url) => Arc::new(postgres::open(url, settings, clock, patience).await?),
    })
}
