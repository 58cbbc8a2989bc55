//! Why a request is permitted or denied: every route that was considered, and why it did or did not decide.

use scopegate_provider::{Principal, ScopeSet};
use serde::Serialize;

use super::{
    Decision, Found, Irregularity, Policy, Reason, Refused, Route, Target, interpretations::interpretations,
};

/// A decision and how it came about, for people and as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What was asked for, in normal form.
    pub target: TargetFacts,
    /// Whether the request may pass.
    pub permitted: bool,
    /// The route that decided; none where no route did.
    pub route: Option<RouteFacts>,
    /// Why the request is denied.
    pub reason: Option<Reason>,
    /// The same in words.
    pub message: Option<String>,
    /// The scopes that the token lacks, where scopes would do.
    pub missing_scopes: Option<ScopeSet>,
    /// The whole smallest set of scopes that satisfies the rule, where scopes would do.
    pub required_scopes: Option<ScopeSet>,
    /// How the path was read, and which routes were considered for that; more than once where it is irregular.
    #[serde(rename = "readings")]
    pub interpretations: Vec<Interpretation>,
}

/// A target, to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetFacts {
    /// The method.
    pub method: String,
    /// The scheme.
    pub scheme: &'static str,
    /// The host.
    pub host: String,
    /// The path in normal form.
    pub path: String,
    /// What is irregular about it.
    pub irregularities: Vec<Irregularity>,
}

/// A route, to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteFacts {
    /// The pattern.
    #[serde(rename = "match")]
    pub pattern: String,
    /// The rule in words.
    pub rule: String,
    /// Where it was declared, such as `routes[0]`.
    pub source: String,
}

/// A way to read the path, and the routes that were considered, the most specific first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interpretation {
    /// The path as read.
    pub path: String,
    /// The routes.
    pub considered: Vec<Considered>,
}

/// A route that was considered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// The route.
    #[serde(flatten)]
    pub route: RouteFacts,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of considering a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It decides.
    Decides,
    /// Its pattern is the most specific and decides alone, but this route does not name the method.
    OtherMethod,
    /// It matches, but a more specific pattern decides alone.
    LessSpecific,
    /// Its path matches, its host does not.
    OtherHost,
}

impl Outcome {
    /// The outcome in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decides => "decides",
            Self::OtherMethod => "is the most specific pattern, but does not name the method",
            Self::LessSpecific => "matches, but a more specific pattern decides alone",
            Self::OtherHost => "matches the path, but not the host",
        }
    }
}

impl From<&Route> for RouteFacts {
    fn from(route: &Route) -> Self {
        Self {
            pattern: route.to_string(),
            rule: route.rule().to_string(),
            source: route.source().to_string(),
        }
    }
}

impl From<&Target> for TargetFacts {
    fn from(target: &Target) -> Self {
        Self {
            method: target.method().to_string(),
            scheme: target.scheme().as_str(),
            host: target.host().to_owned(),
            path: target.normal_path().to_owned(),
            irregularities: target.irregularities().iter().collect(),
        }
    }
}

impl Policy {
    /// Decides as [`Policy::decide`] does, and says how. It looks at every route, so it is not for the way of a
    /// request.
    pub fn explain(&self, target: &Target, principal: Option<&Principal>) -> Explanation {
        let decision = self.decide(target, principal);
        let route = match &decision {
            Decision::Permit { route } => Some(*route),
            Decision::Deny(refused) => refused.route,
        };
        let denial = match &decision {
            Decision::Permit { .. } => None,
            Decision::Deny(Refused { denial, .. }) => Some(denial),
        };
        Explanation {
            target: target.into(),
            permitted: denial.is_none(),
            route: route.map(RouteFacts::from),
            reason: denial.map(super::Denial::reason),
            message: denial.map(ToString::to_string),
            missing_scopes: denial.and_then(|denial| denial.missing_scopes().cloned()),
            required_scopes: denial.and_then(|denial| denial.challenge_scopes().cloned()),
            interpretations: self.interpretations(target),
        }
    }

    fn interpretations(&self, target: &Target) -> Vec<Interpretation> {
        let others = match self.find(target) {
            Found::Route(route) => self.other_names(target, route),
            Found::MethodNotAllowed { .. } | Found::NoRoute => interpretations(target),
        };
        let others = others.unwrap_or_default();
        [target].into_iter().chain(&others).map(|target| self.reading(target)).collect()
    }

    fn reading(&self, target: &Target) -> Interpretation {
        let mut routes: Vec<&Route> = self.routes().iter().collect();
        routes.retain(|route| route.pattern().host_path.path.matches(target));
        routes.sort_by(|a, b| a.pattern().host_path.cmp(&b.pattern().host_path));
        let deciding =
            routes.iter().map(|route| &route.pattern().host_path).find(|host_path| host_path.matches(target));
        let considered = |route: &&Route| {
            let outcome = if !route.pattern().host_path.host.matches(target.host()) {
                Outcome::OtherHost
            } else if Some(&route.pattern().host_path) != deciding {
                Outcome::LessSpecific
            } else if route.methods().contains(target.method()) {
                Outcome::Decides
            } else {
                Outcome::OtherMethod
            };
            Considered { route: RouteFacts::from(*route), outcome }
        };
        Interpretation {
            path: target.normal_path().to_owned(),
            considered: routes.iter().map(considered).collect(),
        }
    }
}
