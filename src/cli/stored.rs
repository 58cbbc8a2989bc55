//! The store as commands see it: what the running node would decide by, and a note if that was not looked at.

use std::sync::Arc;

use scopegate_provider::SystemClock;
use serde::Serialize;

use super::failure::Failure;
use crate::{
    config::Config,
    gate::{EffectivePolicy, effective_policy},
    policy::Policy,
    store::{OpenError, Store, StoreSettings, StoreUrl},
};

/// The store, if a command could read it.
pub(super) struct Stored {
    /// The store.
    pub(super) store: Option<Store>,
    /// The reason why a configured store was not looked at.
    pub(super) note: Option<String>,
    /// `true` if a server would not start: the store cannot be opened, for a reason on this machine.
    pub(super) is_broken: bool,
    /// `true` if a database on the network cannot be opened from here and now.
    pub(super) is_away: bool,
}

/// A stored entry that is ignored.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Ignored {
    /// The entry, such as `stored route 00000000000a000000`.
    pub(super) source: String,
    /// The reason why it is ignored.
    pub(super) ignored: String,
}

/// The policy that decides: of the file and of the store.
pub(super) struct Effective {
    pub(super) policy: Arc<Policy>,
    pub(super) ignored: Vec<Ignored>,
}

impl Stored {
    /// Opens the store of the configuration to read it. It is not created and not migrated.
    pub(super) async fn of(config: &Config) -> Self {
        let nothing = Self { store: None, note: None, is_broken: false, is_away: false };
        let Some(settings) = &config.store else { return nothing };
        let not_looked_at = |reason: &str| Self {
            store: None,
            note: Some(format!(
                "the store `{}` was not looked at: {reason}; revocations, stored scopes, routes and states of \
                 providers do not count here",
                settings.url
            )),
            is_broken: false,
            is_away: false,
        };
        match &settings.url {
            StoreUrl::Memory => return not_looked_at("it is in the memory of the running server"),
            StoreUrl::Sqlite(path)
                if !path.exists()
                    && path
                        .parent()
                        .is_none_or(|folder| folder.as_os_str().is_empty() || folder.is_dir()) =>
            {
                return not_looked_at("the file does not exist yet");
            }
            StoreUrl::Sqlite(_) | StoreUrl::Postgres(_) => {}
        }
        let read_only = StoreSettings { migrate: false, listen: false, ..settings.clone() };
        match Store::open_now(&read_only, Arc::new(SystemClock::new())).await {
            Ok(store) => Self { store: Some(store), ..nothing },
            Err(error @ OpenError::Unmigrated { .. }) if settings.migrate => {
                not_looked_at(&format!("it is migrated at the next start ({error})"))
            }
            Err(error) => {
                let is_away = matches!(settings.url, StoreUrl::Postgres(_));
                Self { is_broken: !is_away, is_away, ..not_looked_at(&error.to_string()) }
            }
        }
    }

    /// Returns the policy of the file and the store together, as a node computes it.
    pub(super) fn effective(&self, config: &Config) -> Effective {
        let stored = self.store.as_ref().map(Store::policy).unwrap_or_default();
        let EffectivePolicy { policy, rejected, .. } = effective_policy(&config.rules.definition, &stored);
        let unreadable = self.store.as_ref().map(Store::unreadable).unwrap_or_default();
        let unreadable = unreadable.into_iter().map(|entry| Ignored {
            source: format!("stored {} {}", entry.kind, entry.name.escape_debug()),
            ignored: entry.reason,
        });
        let conflicting = rejected.into_iter().map(|error| Ignored {
            source: error.at.to_string(),
            ignored: format!("{}: {}", error.key, error.problem),
        });
        Effective { policy, ignored: unreadable.chain(conflicting).collect() }
    }
}

/// Opens the store to change it.
///
/// # Errors
/// No store that other processes see is configured, or it cannot be opened.
pub(super) async fn open(config: &Config) -> Result<Store, Failure> {
    let settings = durable(config)?;
    Store::open_now(&settings, Arc::new(SystemClock::new())).await.map_err(Failure::other)
}

/// Returns the settings of a store that other processes see.
///
/// # Errors
/// None is configured.
pub(super) fn durable(config: &Config) -> Result<StoreSettings, Failure> {
    let settings = config.store.clone().filter(|settings| settings.url != StoreUrl::Memory);
    let message = "this acts on a store that lasts: expected `store.url` with `sqlite://…` or `postgres://…`";
    settings.ok_or_else(|| Failure::Usage(message.to_owned()))
}
