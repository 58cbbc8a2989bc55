//! The report: gains, losses and other changes, each with an example.

use scopegate_provider::Scope;
use serde::Serialize;
use serde_json::Value;

use super::{Side, caller::Caller};
use crate::policy::{Decision, Refused, Source, SupposedCaller, Target};

/// The difference of two policies.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Differences {
    /// Requests that the new policy permits and the old one denies.
    pub gains: Vec<Difference>,
    /// Requests that the old policy permits and the new one denies.
    pub losses: Vec<Difference>,
    /// Requests that are treated in another way.
    pub changes: Vec<Change>,
    /// Settings that are not those of a route, and differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<SettingChange>,
    /// `true` if nothing else differs. `false` if a search was given up, which takes rules with thousands of combinations.
    pub exact: bool,
    /// The number of routes of the new policy that are in the old one as well.
    pub unchanged_routes: usize,
    /// The number of regions that were compared.
    #[serde(skip)]
    pub regions: usize,
}

/// Requests of one kind that one policy permits and the other denies.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// One of these requests.
    pub request: ExampleRequest,
    /// A caller for whom the decisions differ; `None` for a request without a token.
    pub caller: Option<ExampleCaller>,
    /// The old policy's decision about the example.
    pub before: Verdict,
    /// The new policy's decision about the example.
    pub after: Verdict,
    /// The requests that the example represents.
    pub stands_for: String,
}

/// Requests that are treated in another way, beside whether they are permitted.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// The key in the route, such as `upstream`.
    pub key: &'static str,
    /// The old value.
    pub old: Value,
    /// The new value.
    pub new: Value,
    /// `true` if more requests pass or more is shown than before.
    pub loosens: bool,
    /// One of these requests.
    pub request: ExampleRequest,
    /// The old policy's route.
    pub before: Verdict,
    /// The new policy's route.
    pub after: Verdict,
    /// The requests that the example represents.
    pub stands_for: String,
}

/// A changed setting that is not one of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettingChange {
    /// The key, such as `streams.grace`.
    pub key: String,
    /// The old value.
    pub old: Value,
    /// The new value.
    pub new: Value,
    /// `true` if more passes than before.
    pub loosens: bool,
}

/// The request of an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExampleRequest {
    /// The method.
    pub method: String,
    /// The host.
    pub host: String,
    /// The path as it is sent.
    pub path: String,
    /// The MCP method and name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcp: Option<String>,
}

/// The caller of an example.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ExampleCaller {
    /// A caller whose token is not accepted.
    Invalid {
        /// `invalid`.
        token: &'static str,
    },
    /// A caller with a good token.
    Supposed(Box<SupposedCaller>),
}

/// The decision of one policy about an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// `permitted` or `denied`.
    pub outcome: &'static str,
    /// The reason of a denial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The pattern of the deciding route.
    pub route: Option<String>,
    /// Its rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The place of its declaration in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The scopes that the caller lacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Scope>,
    /// Its declaration.
    #[serde(skip)]
    pub source: Option<Source>,
}

impl Differences {
    /// Returns `true` if the policies decide and treat every request alike.
    pub fn is_empty(&self) -> bool {
        self.gains.is_empty() && self.losses.is_empty() && self.changes.is_empty() && self.settings.is_empty()
    }

    /// Returns `true` if the new policy permits or shows more.
    pub fn loosens(&self) -> bool {
        !self.gains.is_empty()
            || self.changes.iter().any(|change| change.loosens)
            || self.settings.iter().any(|change| change.loosens)
    }

    /// Adds the places of the declarations.
    pub fn locate(
        &mut self,
        old: impl Fn(&Source) -> Option<String>,
        new: impl Fn(&Source) -> Option<String>,
    ) {
        let gains_and_losses = self.gains.iter_mut().chain(&mut self.losses);
        let pairs = gains_and_losses.map(|one| (&mut one.before, &mut one.after));
        for (before, after) in
            pairs.chain(self.changes.iter_mut().map(|one| (&mut one.before, &mut one.after)))
        {
            before.place =
                before.source.as_ref().map(|source| old(source).unwrap_or_else(|| source.to_string()));
            after.place =
                after.source.as_ref().map(|source| new(source).unwrap_or_else(|| source.to_string()));
        }
    }
}

impl Verdict {
    pub(super) fn new(side: &Side<'_>, caller: &Caller) -> Self {
        let permitted = side.permits(caller);
        let (route, denial) = match side.decide(caller) {
            Decision::Permit { route } => (Some(route), None),
            Decision::Deny(Refused { route, denial }) => (route, Some(denial)),
        };
        let reason = match (&denial, caller) {
            _ if permitted => None,
            (_, Caller::Invalid) | (None, _) => Some(crate::policy::Reason::InvalidToken.as_str()),
            (Some(denial), _) => Some(denial.reason().as_str()),
        };
        let missing = denial.as_ref().and_then(|denial| denial.missing_scopes());
        Self {
            outcome: if permitted { "permitted" } else { "denied" },
            reason,
            route: route.map(ToString::to_string),
            rule: route.map(|route| route.rule().to_string()),
            place: None,
            missing: missing.into_iter().flat_map(|scopes| scopes.iter().cloned()).collect(),
            source: route.map(|route| route.source().clone()),
        }
    }
}

impl ExampleRequest {
    pub(super) fn new(target: &Target) -> Self {
        let mcp = target.mcp().ok().map(|facts| match &facts.name {
            Some(name) => format!("{} {name}", facts.method),
            None => facts.method.to_string(),
        });
        Self {
            method: target.method().to_string(),
            host: target.host().to_owned(),
            path: target.path_as_sent().to_owned(),
            mcp,
        }
    }
}

impl From<Caller> for Option<ExampleCaller> {
    fn from(caller: Caller) -> Self {
        match caller {
            Caller::Anonymous => None,
            Caller::Invalid => Some(ExampleCaller::Invalid { token: "invalid" }),
            Caller::Supposed(caller) => Some(ExampleCaller::Supposed(caller)),
        }
    }
}
