//! Opens the store in memory, the only one without the feature `server`.

use std::{sync::Arc, time::Duration};

use scopegate_provider::Clock;

use super::{Backend, MemoryStore, OpenError, StoreSettings, StoreUrl};

/// Opens the store that the settings name, if it is memory.
#[expect(clippy::unused_async, reason = "as where databases are opened")]
pub(super) async fn open(
    settings: &StoreSettings,
    clock: Arc<dyn Clock>,
    _: Duration,
) -> Result<Arc<dyn Backend>, OpenError> {
    match &settings.url {
        StoreUrl::Memory => Ok(Arc::new(MemoryStore::new(clock))),
        url @ (StoreUrl::Sqlite(_) | StoreUrl::Postgres(_)) => {
            Err(OpenError::LeftOut { url: url.to_string() })
        }
    }
}
