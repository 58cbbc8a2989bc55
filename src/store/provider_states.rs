//! The states that administrators give to providers.

use std::collections::BTreeSet;

use async_trait::async_trait;
use scopegate_provider::ProviderName;
use serde_json::{Value, json};

use super::{Action, Actor, ChangeNumber, StoreError};

/// The state of a provider, given by administrators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderState {
    /// The provider.
    pub provider: ProviderName,
    /// `true` if it is disabled.
    pub disabled: bool,
    /// The ids of its distrusted keys.
    pub distrusted: BTreeSet<String>,
}

/// A change of a provider's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateChange {
    /// Its tokens are refused.
    Disable,
    /// Its tokens are accepted again.
    Enable,
    /// A key is distrusted, even if the issuer publishes it.
    Distrust(String),
    /// A key is trusted again.
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
    /// Creates the state of a provider that administrators have not changed.
    pub fn new(provider: ProviderName) -> Self {
        Self { provider, disabled: false, distrusted: BTreeSet::new() }
    }

    /// Applies a change.
    pub fn apply(&mut self, change: &StateChange) {
        match change {
            StateChange::Disable => self.disabled = true,
            StateChange::Enable => self.disabled = false,
            StateChange::Distrust(kid) => drop(self.distrusted.insert(kid.clone())),
            StateChange::Trust(kid) => drop(self.distrusted.remove(kid)),
        }
    }
}

/// Access to the states of providers.
#[async_trait]
pub trait ProviderStates: Send + Sync {
    /// Returns the states that differ from the default, by name.
    async fn provider_states(&self) -> Result<Vec<ProviderState>, StoreError>;

    /// Changes a state. The same change again has no effect, but counts as a change.
    async fn change_provider(
        &self,
        by: &Actor,
        provider: &ProviderName,
        change: StateChange,
    ) -> Result<ChangeNumber, StoreError>;
}
