//! What the parts of a policy do together.

mod comparing;
mod compiling;
mod deciding;
mod explaining;
mod finding;
mod ignoring_case;
mod language;
mod loosening;
mod paths;
mod settings;
mod situations;
mod stripping;
mod upstreams;

use std::collections::BTreeMap;

use http::Method;
use scopegate_provider::{Claims, Facts, Principal, ProviderName, Role, Scope, Timestamp, Verified};
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::{
    policy::settings::{RouteSettings, ScopeSettings},
    testing,
};

/// The sections of a configuration that concern the policy.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Sections {
    pub(super) scopes: BTreeMap<Scope, ScopeSettings>,
    pub(super) routes: Vec<RouteSettings>,
    pub(super) upstreams: BTreeMap<String, Value>,
    pub(super) providers: BTreeMap<ProviderName, Value>,
}

impl Sections {
    pub(super) fn definition(self) -> Definition {
        let known = |(name, settings): (ProviderName, Value)| KnownProvider {
            name,
            audiences: serde_json::from_value(settings["audience"].clone())
                .or_else(|_| serde_json::from_value(json!([settings["audience"]])))
                .unwrap_or_default(),
            introspects: settings["introspects"].as_bool().unwrap_or_default(),
            scopes: None,
        };
        let providers = self.providers.into_iter().map(known).collect();
        let mut definition =
            Definition::new(providers, self.upstreams.into_keys().map(KnownUpstream::from).collect());
        self.scopes.into_iter().for_each(|(name, settings)| definition.add_scope(name, settings));
        self.routes.into_iter().for_each(|settings| definition.add_route(settings));
        definition
    }
}

pub(super) fn definition(yaml: &str) -> Definition {
    serde_saphyr::from_str::<Sections>(yaml).unwrap().definition()
}

pub(super) fn compile(yaml: &str) -> Result<Compiled, Vec<PolicyError>> {
    Policy::compile(&definition(yaml))
}

pub(super) fn policy(yaml: &str) -> Policy {
    compile(yaml).unwrap().policy
}

/// A target of `GET /path`, `POST host/path` and so on, as on the wire.
pub(super) fn parse(text: &str) -> Result<Target, TargetError> {
    let (method, host_path) = text.split_once(' ').unwrap();
    let (host, path) = host_path.split_at(host_path.find('/').unwrap());
    let host = if host.is_empty() { "any.example" } else { host };
    Target::parse(RawTarget {
        method: &Method::from_bytes(method.as_bytes()).unwrap(),
        scheme: Scheme::Https,
        authority: None,
        hosts: [host],
        path_and_query: path.as_bytes(),
    })
}

pub(super) fn target(text: &str) -> Target {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A caller to be.
#[derive(Debug, Clone)]
pub(super) struct Caller(Verified, Facts);

impl Caller {
    pub(super) fn with(scopes: &str) -> Self {
        let verified = Verified {
            subject: Some("ada".parse().unwrap()),
            leeway: std::time::Duration::from_secs(30),
            scopes: scopes.split_whitespace().map(|scope| Scope::parse(scope).unwrap()).collect(),
            ..testing::verified("okta").unwrap()
        };
        Self(verified, Facts::default())
    }

    pub(super) fn subject(mut self, subject: &str) -> Self {
        self.0.subject = Some(subject.parse().unwrap());
        self
    }

    /// Adds facts beside the identity.
    pub(super) fn facts(mut self, facts: Facts) -> Self {
        self.1 = facts;
        self
    }

    pub(super) fn of(mut self, provider: &str) -> Self {
        self.0.provider = ProviderName::parse(provider).unwrap();
        self
    }

    pub(super) fn role(mut self, role: &str) -> Self {
        self.0.roles = [Role::parse(role).unwrap()].into();
        self
    }

    pub(super) fn client(mut self, client: &str) -> Self {
        self.0.client = Some(client.parse().unwrap());
        self
    }

    pub(super) fn audience(mut self, audience: &[&str]) -> Self {
        self.0.audience = audience.iter().map(|one| one.parse().unwrap()).collect();
        self
    }

    pub(super) fn claims(mut self, claims: &Value) -> Self {
        self.0.claims = Claims::from_map(claims.as_object().unwrap().clone());
        self
    }

    pub(super) fn principal(self) -> Principal {
        Principal::assert_verified_with(self.0, self.1)
    }
}

/// The moment of all decisions of these tests.
pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_796_000_000);

pub(super) fn now<'a>(principal: impl Into<Option<&'a Principal>>) -> Option<CallerAt<'a>> {
    principal.into().map(|principal| CallerAt::new(principal, NOW))
}

/// `permit`, or the reason of the denial.
pub(super) fn outcome(policy: &Policy, text: &str, caller: Option<&Caller>) -> &'static str {
    let principal = caller.cloned().map(Caller::principal);
    match policy.decide(&target(text), now(principal.as_ref())) {
        Decision::Permit { .. } => "permit",
        Decision::Deny(refused) => refused.denial.reason().as_str(),
    }
}

/// The pattern of the route that decides.
pub(super) fn decided_by(policy: &Policy, text: &str) -> String {
    match policy.find(&target(text)) {
        Found::Route(route) => route.pattern().to_string(),
        Found::MethodNotAllowed { route, .. } => format!("405 {route}"),
        Found::Mcp { route, error } => format!("{error:?} {route}"),
        Found::NoRoute => "none".to_owned(),
    }
}
