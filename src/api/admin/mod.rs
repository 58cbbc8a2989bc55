//! `/admin/…`: reading and changing scopes, routes, revocations and providers at run time.

mod audit;
mod bodies;
mod diff;
mod edit;
mod effect;
mod explain;
mod guard;
mod live;
mod nodes;
mod overview;
mod policy;
mod providers;
mod recorded;
mod revocations;
mod routes;
mod scopes;
pub mod ui;
mod who;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use scopegate_provider::{ProviderName, Timestamp};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub use self::{
    audit::AuditApi,
    diff::DiffApi,
    edit::{EditError, UNMADE, edit_store},
    explain::ExplainApi,
    guard::{AdminGuard, AdminGuardEndpoint, Rights},
    live::{Decisions, Overview, Session, Shadow, report_node},
    policy::PolicyInForce,
    providers::ProvidersApi,
    revocations::RevocationsApi,
    routes::RoutesApi,
    scopes::ScopesApi,
    who::WhoApi,
};
use super::etag;
use crate::{
    authenticator::Connected,
    config::own_endpoints::ServedEndpoint,
    gate::Gate,
    policy::{Definition, PolicyError, diff::GeneralSettings, settings::RouteSettings},
    problem::Problem,
    reason::Reason,
    store::{Expected, Store, StoreUrl},
    telemetry::Metrics,
};

/// The node that is administered.
#[async_trait]
pub trait Administered: Send + Sync {
    /// Returns the definition of its configuration file.
    fn definition(&self) -> Definition;

    /// Returns the place in the file of a declaration: the file's name and the line, if they are known.
    fn place(&self, source: &crate::policy::Source) -> Option<String>;

    /// Returns the settings for all routes that a comparison of policies covers.
    fn general(&self) -> GeneralSettings {
        GeneralSettings::default()
    }

    /// Puts in force what its store has in memory, before it returns.
    async fn take_over(&self);

    /// Returns the endpoint of scopegate itself that answers requests for a path before the policy decides.
    fn own_endpoint(&self, _path: &str) -> Option<ServedEndpoint> {
        None
    }

    /// Returns the endpoints of scopegate itself that are served.
    fn own_endpoints(&self) -> Vec<ServedEndpoint> {
        Vec::new()
    }

    /// Returns the path of scopegate's own endpoint that would answer in place of a route.
    fn hidden_by(&self, _route: &RouteSettings) -> Option<String> {
        None
    }

    /// Returns the state of the node.
    fn status(&self) -> NodeStatus {
        NodeStatus::default()
    }
}

/// The state of a node.
#[derive(Debug, Default)]
pub struct NodeStatus {
    /// The name of the node.
    pub id: String,
    /// The URL at which callers reach it.
    pub site: String,
    /// `server.base_path`.
    pub base_path: String,
    /// Set if the node can decide.
    pub ready: bool,
    /// The number of the configuration in force.
    pub generation: u64,
    /// The moment from which the configuration is in force.
    pub since: Option<Timestamp>,
    /// The moment from which a change of the store cannot be put in force, while that is so.
    pub behind_since: Option<Timestamp>,
    /// The error of the last reload, if it failed.
    pub reload_error: Option<String>,
    /// Stored entries that are ignored because they conflict with the configuration.
    pub rejected: Vec<PolicyError>,
    /// The number of verified tokens in the cache.
    pub cached_tokens: usize,
    /// The number of open streams.
    pub streams: u64,
    /// The store, if one is configured.
    pub store: Option<StoreUrl>,
    /// The kinds of the providers.
    pub kinds: Vec<(ProviderName, &'static str)>,
    /// The counters of the node, and its live decisions.
    pub metrics: Arc<Metrics>,
}

/// The gate, store and node that the admin endpoints act on. Clones are the same.
#[derive(Clone)]
pub struct Admin {
    gate: Gate,
    store: Store,
    node: Arc<dyn Administered>,
}

/// All admin endpoints, for poem-openapi.
pub type AdminApis =
    (ScopesApi, RoutesApi, RevocationsApi, ProvidersApi, ExplainApi, AuditApi, DiffApi, WhoApi);

impl Admin {
    /// Creates the administration of `node`, which decides by `gate` and keeps in `store`.
    pub fn new(gate: Gate, store: Store, node: Arc<dyn Administered>) -> Self {
        Self { gate, store, node }
    }

    /// Returns the endpoints.
    pub fn apis(&self) -> AdminApis {
        (
            ScopesApi(self.clone()),
            RoutesApi(self.clone()),
            RevocationsApi(self.clone()),
            ProvidersApi(self.clone()),
            ExplainApi(self.clone()),
            AuditApi(self.clone()),
            DiffApi(self.clone()),
            WhoApi(self.clone()),
        )
    }

    fn now(&self) -> Timestamp {
        self.store.now()
    }

    /// Returns the provider of this name.
    fn provider(&self, name: &str) -> Result<Connected, Problem> {
        let state = self.gate.current();
        let found = state.authenticator().provider(name).cloned();
        found.ok_or_else(|| {
            let description = match ProviderName::parse(name) {
                Ok(name) => format!("there is no provider `{name}`"),
                Err(error) => error.to_string(),
            };
            Problem::new(Reason::UnknownProvider, description)
        })
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// Checks the limit of a list: 1 to 1000, 100 unless given.
fn limit(limit: Option<usize>) -> Result<usize, Problem> {
    match limit.unwrap_or(100) {
        limit @ 1..=1000 => Ok(limit),
        limit => {
            Err(unprocessable(Reason::InvalidLimit, format!("expected a limit of 1 to 1000, found {limit}")))
        }
    }
}

/// Returns the state that `If-Match` and `If-None-Match` expect (RFC 9110, section 13.1).
fn expected(if_match: Option<&str>, if_none_match: Option<&str>) -> Result<Expected, Problem> {
    match (if_match.map(str::trim), if_none_match.map(str::trim)) {
        (None, None) => Ok(Expected::Any),
        (Some("*"), None) => Ok(Expected::Something),
        (tag @ Some(_), None) => Ok(etag::expected(tag)?.map_or(Expected::Something, Expected::Version)),
        (None, Some("*")) => Ok(Expected::Nothing),
        (_, Some(_)) => Err(Problem::new(
            Reason::MalformedIfNoneMatch,
            "expected `If-None-Match: *`, which creates and never replaces, or If-Match alone",
        )),
    }
}

fn unprocessable(reason: Reason, description: impl Into<String>) -> Problem {
    Problem::new(reason, description)
}

/// Returns a moment as RFC 3339 writes it.
fn rfc3339(at: Timestamp) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.millis()) * 1_000_000);
    let text = moment.ok().and_then(|moment| moment.format(&Rfc3339).ok());
    text.unwrap_or_else(|| at.millis().to_string())
}

fn moment(name: &str, text: &str) -> Result<Timestamp, Problem> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
        let description = format!("expected `{name}` as RFC 3339 writes it, such as 2026-11-21T12:00:00Z");
        unprocessable(Reason::InvalidMoment, description)
    })?;
    let millis = moment.unix_timestamp_nanos() / 1_000_000;
    i64::try_from(millis)
        .map(Timestamp::from_millis)
        .map_err(|_| unprocessable(Reason::InvalidMoment, format!("`{name}` is out of range")))
}

#[cfg(test)]
mod tests;
