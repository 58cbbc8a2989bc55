//! What administrators have decided about providers.

use std::collections::BTreeSet;

use async_trait::async_trait;
use scopegate_provider::ProviderName;
use serde_json::{Value, json};

use super::{Action, Actor, ChangeNumber, StoreError};

/// What administrators have decided about a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderState {
    /// The provider.
    pub provider: ProviderName,
    /// Whether it is disabled.
    pub disabled: bool,
    /// The ids of its keys that are distrusted.
    pub distrusted: BTreeSet<String>,
}

/// A decision about a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateChange {
    /// Its tokens are not judged any more.
    Disable,
    /// They are.
    Enable,
    /// A key is distrusted, whatever the issuer publishes.
    Distrust(String),
    /// It no longer is.
    Trust(String),
}

impl StateChange {
    pub(crate) fn action(&self) -> Action {
        match self {
            Self::Disable => Action::DisableProvider,
            Self::Enable => Action::EnableProvider,
            Self::Distrust(_) => Action::DistrustKey,
            Self::Trust(_) => Action::TrustKey,
        }
    }

    pub(crate) fn detail(&self) -> Value {
        match self {
            Self::Disable | Self::Enable => json!({}),
            Self::Distrust(kid) | Self::Trust(kid) => json!({ "kid": kid }),
        }
    }
}

impl ProviderState {
    /// The state of a provider about which nothing was decided.
    pub fn new(provider: ProviderName) -> Self {
        Self { provider, disabled: false, distrusted: BTreeSet::new() }
    }

    /// Takes a decision over.
    pub fn apply(&mut self, change: &StateChange) {
        match change {
            StateChange::Disable => self.disabled = true,
            StateChange::Enable => self.disabled = false,
            StateChange::Distrust(kid) => drop(self.distrusted.insert(kid.clone())),
            StateChange::Trust(kid) => drop(self.distrusted.remove(kid)),
        }
    }
}

/// Keeps what administrators have decided about providers.
#[async_trait]
pub trait ProviderStates: Send + Sync {
    /// The providers about which something was decided, by name.
    async fn provider_states(&self) -> Result<Vec<ProviderState>, StoreError>;

    /// Decides. Deciding the same again changes nothing but is a change.
    async fn change_provider(
        &self,
        by: &Actor,
        provider: &ProviderName,
        change: StateChange,
    ) -> Result<ChangeNumber, StoreError>;
}
