//! `/admin/providers`: how providers are, and what is decided about them.

#![expect(clippy::unused_async, reason = "poem-openapi asks for async functions")]

use poem_openapi::{
    OpenApi,
    param::{Path, Query},
    payload::Json,
};
use scopegate_provider::Timestamp;
use serde_json::{Value, json};

use super::{Admin, bodies::List, rfc3339, unprocessable};
use crate::{
    authenticator::Connected,
    gate::Principal,
    problem::Problem,
    reason::Reason,
    store::{Actor, ProviderStates, StateChange},
};

/// The endpoints.
#[derive(Clone, Debug)]
pub struct ProvidersApi(pub(super) Admin);

#[OpenApi]
impl ProvidersApi {
    /// List the providers: state, issuers, keys, refreshes, latency.
    #[oai(path = "/admin/providers", method = "get", operation_id = "list_providers")]
    async fn list(&self) -> Json<List<Value>> {
        let state = self.0.gate.current();
        let providers = state.authenticator().providers();
        List::new(providers.iter().map(|connected| self.body(connected)).collect(), None)
    }

    /// Get a provider.
    #[oai(path = "/admin/providers/:name", method = "get", operation_id = "get_provider")]
    async fn get(&self, Path(name): Path<String>) -> poem::Result<Json<Value>> {
        Ok(Json(self.body(&self.0.provider(&name)?)))
    }

    /// Fetch a provider's keys now.
    #[oai(path = "/admin/providers/:name/refresh", method = "post", operation_id = "refresh_provider")]
    async fn refresh(&self, Path(name): Path<String>) -> poem::Result<Json<Value>> {
        let connected = self.0.provider(&name)?;
        let keys = connected.provider().key_control().ok_or_else(|| no_keys(&name))?;
        keys.refresh().await.map_err(|outage| Problem::unavailable(&outage))?;
        Ok(Json(self.body(&connected)))
    }

    /// Let no token of a provider pass, on any node.
    #[oai(path = "/admin/providers/:name/disable", method = "post", operation_id = "disable_provider")]
    async fn disable(&self, principal: Principal, Path(name): Path<String>) -> poem::Result<Json<Value>> {
        Ok(self.change(&principal, &name, StateChange::Disable).await?)
    }

    /// Let tokens of a provider pass again.
    #[oai(path = "/admin/providers/:name/enable", method = "post", operation_id = "enable_provider")]
    async fn enable(&self, principal: Principal, Path(name): Path<String>) -> poem::Result<Json<Value>> {
        Ok(self.change(&principal, &name, StateChange::Enable).await?)
    }

    /// Distrust a key, whatever the issuer publishes.
    #[oai(path = "/admin/providers/:name/keys/:kid/distrust", method = "post", operation_id = "distrust_key")]
    async fn distrust(
        &self,
        principal: Principal,
        Path(name): Path<String>,
        Path(kid): Path<String>,
    ) -> poem::Result<Json<Value>> {
        Ok(self.change(&principal, &name, StateChange::Distrust(kid)).await?)
    }

    /// Trust a key again.
    #[oai(path = "/admin/providers/:name/keys/:kid/trust", method = "post", operation_id = "trust_key")]
    async fn trust(
        &self,
        principal: Principal,
        Path(name): Path<String>,
        Path(kid): Path<String>,
    ) -> poem::Result<Json<Value>> {
        Ok(self.change(&principal, &name, StateChange::Trust(kid)).await?)
    }

    /// Distrust a key whose id holds a slash.
    #[oai(path = "/admin/providers/:name/distrust", method = "post", operation_id = "distrust_key_by_query")]
    async fn distrust_by_query(
        &self,
        principal: Principal,
        Path(name): Path<String>,
        /// The key's id.
        Query(kid): Query<String>,
    ) -> poem::Result<Json<Value>> {
        Ok(self.change(&principal, &name, StateChange::Distrust(kid)).await?)
    }
}

impl ProvidersApi {
    async fn change(
        &self,
        principal: &Principal,
        name: &str,
        change: StateChange,
    ) -> Result<Json<Value>, Problem> {
        let connected = self.0.provider(name)?;
        if connected.provider().key_control().is_none() {
            return Err(no_keys(name));
        }
        self.0.store.change_provider(&Actor::from(&**principal), connected.name(), change).await?;
        self.0.node.take_over().await;
        Ok(Json(self.body(&connected)))
    }

    fn body(&self, connected: &Connected) -> Value {
        let states = self.0.store.providers();
        let state = states.iter().find(|state| state.provider == *connected.name());
        json!({
            "name": connected.name(),
            "disabled": state.is_some_and(|state| state.disabled),
            "distrusted": state.map(|state| state.distrusted.clone()).unwrap_or_default(),
            "issuers": connected.provider().issuers(),
            "takes_opaque_tokens": connected.provider().takes_opaque_tokens(),
            "health": health(connected),
        })
    }
}

/// How the provider is, with moments as people read them.
fn health(connected: &Connected) -> Value {
    let mut health = json!(connected.provider().health().map(scopegate_provider::Health::report));
    for issuer in health.get_mut("issuers").and_then(Value::as_array_mut).into_iter().flatten() {
        for name in ["last_refresh", "next_refresh"] {
            if let Some(at) = issuer.get_mut(name) {
                *at = json!(at.as_i64().map(|millis| rfc3339(Timestamp::from_millis(millis))));
            }
        }
    }
    health
}

fn no_keys(name: &str) -> Problem {
    unprocessable(Reason::NotSupported, format!("the provider `{name}` has no keys that could be acted on"))
}
