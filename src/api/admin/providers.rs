//! `/admin/providers`: the health of providers and the history of their keys, and the ways to stop one.

#![expect(clippy::unused_async, reason = "poem-openapi asks for async functions")]

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
    payload::Json,
};
use scopegate_provider::{HealthReport, IssuerHealth, Timestamp};
use serde_json::{Value, json};

use super::{
    Admin, Rights,
    bodies::{List, set},
    effect::Change,
    overview, rfc3339, unprocessable,
};
use crate::{
    authenticator::Connected,
    gate::Principal,
    problem::Problem,
    reason::Reason,
    store::{Actor, ProviderStates, StateChange},
    telemetry::metrics::{Fetch, IssuerHistory},
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
    async fn disable(
        &self,
        principal: Principal,
        Data(rights): Data<&Rights>,
        Path(name): Path<String>,
        /// `true`: change nothing, and answer the effect that it would have.
        Query(dry_run): Query<Option<bool>>,
    ) -> poem::Result<Json<Value>> {
        if rights.dry_run(dry_run)? {
            return Ok(self.effect(&principal, rights, &name, None)?);
        }
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
        Data(rights): Data<&Rights>,
        Path(name): Path<String>,
        Path(kid): Path<String>,
        /// `true`: change nothing, and answer the effect that it would have.
        Query(dry_run): Query<Option<bool>>,
    ) -> poem::Result<Json<Value>> {
        if rights.dry_run(dry_run)? {
            return Ok(self.effect(&principal, rights, &name, Some(&kid))?);
        }
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
        Data(rights): Data<&Rights>,
        Path(name): Path<String>,
        /// The key's id.
        Query(kid): Query<String>,
        /// `true`: change nothing, and answer the effect that it would have.
        Query(dry_run): Query<Option<bool>>,
    ) -> poem::Result<Json<Value>> {
        if rights.dry_run(dry_run)? {
            return Ok(self.effect(&principal, rights, &name, Some(&kid))?);
        }
        Ok(self.change(&principal, &name, StateChange::Distrust(kid)).await?)
    }
}

impl ProvidersApi {
    /// Returns the effect of disabling a provider, or of distrusting a key of it.
    fn effect(
        &self,
        principal: &Principal,
        rights: &Rights,
        name: &str,
        kid: Option<&str>,
    ) -> Result<Json<Value>, Problem> {
        let connected = self.0.provider(name)?;
        if connected.provider().key_control().is_none() {
            return Err(no_keys(name));
        }
        let change = match kid {
            None => Change::Disable(connected.name()),
            Some(kid) => Change::Distrust(connected.name(), kid),
        };
        Ok(Json(json!(self.0.effect(principal, rights, &change))))
    }

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
        let name = connected.name();
        let states = self.0.store.providers();
        let state = states.iter().find(|state| state.provider == *name);
        let disabled = state.is_some_and(|state| state.disabled);
        let report = connected.provider().health().map(scopegate_provider::Health::report);
        let metrics = self.0.node.status().metrics;
        let hour = metrics.live.last_hour(&metrics);
        let holders = metrics.streams.holders();
        let mut body = json!({
            "name": name,
            "disabled": disabled,
            "ready": report.as_ref().is_none_or(|report| report.ready) && !disabled,
            "distrusted": state.map(|state| state.distrusted.clone()).unwrap_or_default(),
            "issuers": connected.provider().issuers(),
            "takes_opaque_tokens": connected.provider().takes_opaque_tokens(),
            "health": health(report.as_ref()),
            "share": overview::share(&hour, name),
            "requests_1h": hour.providers.get(name).map_or(0, |totals| totals.permitted + totals.denied),
            "streams": holders.iter().filter(|holder| holder.principal.provider() == name).count(),
        });
        let issuers = || report.iter().flat_map(|report| &report.issuers);
        set(&mut body, "last_error", json!(issuers().find_map(|issuer| issuer.last_error.as_deref())));
        set(
            &mut body,
            "keys_at",
            json!(issuers().filter_map(|issuer| issuer.last_refresh).min().map(rfc3339)),
        );
        set(
            &mut body,
            "next_fetch",
            json!(issuers().filter_map(|issuer| issuer.next_refresh).min().map(rfc3339)),
        );
        set(&mut body, "stale_at", json!(issuers().filter_map(|issuer| issuer.stale_at).min().map(rfc3339)));
        let histories = issuers().map(|issuer| (issuer, metrics.keys.of(name, issuer.issuer.as_str())));
        let histories: Vec<_> = histories.collect();
        set(
            &mut body,
            "keys",
            histories.iter().flat_map(|(issuer, history)| keys(issuer, history)).collect(),
        );
        set(
            &mut body,
            "fetches",
            histories.iter().flat_map(|(_, history)| &history.fetches).map(fetch).collect(),
        );
        body
    }
}

/// Returns the keys that an issuer publishes, and those that it has withdrawn in the last day.
fn keys(issuer: &IssuerHealth, history: &IssuerHistory) -> Vec<Value> {
    let published = issuer.keys.iter().map(|key| {
        let seen = key.id.as_deref().and_then(|id| history.keys.get(id));
        json!({
            "kid": key.id,
            "algorithm": key.algorithms.join(" "),
            "distrusted": key.distrusted,
            "first_seen": seen.map(|seen| rfc3339(seen.first_seen)),
            "gone_at": null,
        })
    });
    let withdrawn = history.keys.iter().filter_map(|(id, seen)| {
        let gone_at = seen.gone_at?;
        Some(json!({ "kid": id, "distrusted": false, "first_seen": rfc3339(seen.first_seen), "gone_at": rfc3339(gone_at) }))
    });
    published.chain(withdrawn).collect()
}

fn fetch(fetch: &Fetch) -> Value {
    json!({ "at": rfc3339(fetch.at), "ok": fetch.error.is_none(), "error": fetch.error })
}

/// Returns the health of a provider, with moments as RFC 3339 writes them.
fn health(report: Option<&HealthReport>) -> Value {
    let mut health = json!(report);
    for issuer in health.get_mut("issuers").and_then(Value::as_array_mut).into_iter().flatten() {
        for name in ["last_refresh", "next_refresh", "stale_at"] {
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
