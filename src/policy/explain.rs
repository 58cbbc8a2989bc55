//! Explanations of decisions: every route that was considered, why it did or did not decide, and each term of its rule.

use scopegate_provider::{Scope, ScopeSet};
use serde::Serialize;
use serde_json::Value;

use super::{
    CallerAt, Decision, Found, Irregularity, Policy, Reason, Refused, Route, Target,
    interpretations::interpretations,
};

/// A decision and how it was made, for people and as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The target in normal form.
    pub target: TargetFacts,
    /// `true` if the request may pass.
    pub permitted: bool,
    /// The route that decided; `None` if no route did.
    pub route: Option<RouteFacts>,
    /// The reason of a denial.
    pub reason: Option<Reason>,
    /// The reason in words.
    pub message: Option<String>,
    /// The scopes that the token lacks, where scopes would do.
    pub missing_scopes: Option<ScopeSet>,
    /// The whole smallest set of scopes that satisfies the rule, where scopes would do.
    pub required_scopes: Option<ScopeSet>,
    /// The alternatives of the rule that decided, and the caller's value for each of their terms.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<AlternativeFacts>,
    /// The decision of the routes in `mode: shadow`; `None` if none of them takes part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowFacts>,
    /// The interpretations of the path, and the routes that were considered for each; several where it is irregular.
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
    /// The irregularities of the path.
    pub irregularities: Vec<Irregularity>,
    /// The MCP method and name, if the headers have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcp: Option<String>,
}

/// A route, to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteFacts {
    /// The pattern.
    #[serde(rename = "match")]
    pub pattern: String,
    /// The rule in words.
    pub rule: String,
    /// The place of its declaration, such as `routes[0]`.
    pub source: String,
}

/// An alternative of a rule, term by term.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlternativeFacts {
    /// `true` if the caller satisfies all of it.
    pub met: bool,
    /// Its terms.
    pub requirements: Vec<TermFacts>,
}

/// A term of a rule, beside the caller's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TermFacts {
    /// The kind of term, such as `all_scopes` or `max_age`.
    pub kind: &'static str,
    /// The term in words.
    pub term: String,
    /// The values that the term asks for.
    pub needs: Value,
    /// The caller's value. Values that may be secret are left out.
    pub has: Value,
    /// `true` if the caller satisfies it.
    pub met: bool,
    /// The broader scope of the caller that implies the one of the term.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted_by: Option<Scope>,
}

/// The decision of routes in `mode: shadow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShadowFacts {
    /// `true` if the request would pass.
    pub permitted: bool,
    /// The route that would decide.
    pub route: Option<RouteFacts>,
    /// The reason of a denial.
    pub reason: Option<Reason>,
}

/// An interpretation of the path, and the routes that were considered, the most specific first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interpretation {
    /// The path.
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
    /// Its part in the decision.
    pub outcome: Outcome,
}

/// The part of a route in a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It decides.
    Decides,
    /// Its pattern is the most specific and decides alone, but this route does not name the method.
    OtherMethod,
    /// Its pattern is the most specific, but this route is about other MCP requests.
    OtherMcp,
    /// It matches, but a more specific pattern decides alone.
    LessSpecific,
    /// Its path matches, its host does not.
    OtherHost,
}

impl Outcome {
    /// Returns the outcome in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decides => "decides",
            Self::OtherMethod => "is the most specific pattern, but does not name the method",
            Self::OtherMcp => "is the most specific pattern, but is about other MCP requests",
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
        let mcp = target.mcp().ok().map(|facts| match &facts.name {
            Some(name) => format!("{} {name}", facts.method),
            None => facts.method.to_string(),
        });
        Self {
            method: target.method().to_string(),
            scheme: target.scheme().as_str(),
            host: target.host().to_owned(),
            path: target.normal_path().to_owned(),
            irregularities: target.irregularities().iter().collect(),
            mcp,
        }
    }
}

impl Policy {
    /// Decides as [`Policy::decide`] does, and explains the decision. It looks at every route, so it is not meant for the
    /// request path.
    pub fn explain(&self, target: &Target, caller: Option<CallerAt<'_>>) -> Explanation {
        let (route, denial) = parts(self.decide(target, caller));
        let at_path = caller.map(|caller| caller.at_path(target.normal_path()));
        let shadow = self.decide_in_shadow(target, caller).map(parts);
        Explanation {
            target: target.into(),
            permitted: denial.is_none(),
            route: route.map(RouteFacts::from),
            reason: denial.as_ref().map(super::Denial::reason),
            message: denial.as_ref().map(ToString::to_string),
            missing_scopes: denial.as_ref().and_then(|denial| denial.missing_scopes().cloned()),
            required_scopes: denial.as_ref().and_then(|denial| denial.challenge_scopes().cloned()),
            alternatives: route.map(|route| terms(route, at_path)).unwrap_or_default(),
            shadow: shadow.map(|(route, denial)| ShadowFacts {
                permitted: denial.is_none(),
                route: route.map(RouteFacts::from),
                reason: denial.map(|denial| denial.reason()),
            }),
            interpretations: self.interpretations(target),
        }
    }

    fn interpretations(&self, target: &Target) -> Vec<Interpretation> {
        let others = match self.find(target) {
            Found::Route(route) => self.other_names(target, route),
            Found::MethodNotAllowed { .. } | Found::Mcp { .. } | Found::NoRoute => interpretations(target),
        };
        let others = others.unwrap_or_default();
        let names: Vec<&Target> = [target].into_iter().chain(&others).collect();
        let mut found: Vec<Interpretation> = names.iter().map(|name| self.interpretation(name)).collect();
        if let Some(folded) = self.folded() {
            let without_case = names.iter().filter_map(|name| name.folded().ok());
            found.extend(without_case.map(|name| folded.interpretation(&name)));
        }
        found
    }

    fn interpretation(&self, target: &Target) -> Interpretation {
        let mut routes: Vec<&Route> = self.routes().iter().collect();
        routes.retain(|route| route.pattern.host_path.path.matches(target));
        routes.sort_by(|a, b| a.pattern.precedence(&b.pattern));
        let most_specific = routes.iter().find(|route| route.pattern.host_path.matches(target));
        let host_path = most_specific.map(|route| route.pattern.host_path.clone());
        let decides = match self.find(target) {
            Found::Route(route) => Some(route),
            Found::MethodNotAllowed { .. } | Found::Mcp { .. } | Found::NoRoute => None,
        };
        let considered = routes.iter().map(|route| {
            let pattern = &route.pattern;
            let outcome = if !pattern.host_path.host.matches(target.host()) {
                Outcome::OtherHost
            } else if Some(&pattern.host_path) != host_path.as_ref() {
                Outcome::LessSpecific
            } else if decides.is_some_and(|decides| std::ptr::eq(decides, *route)) {
                Outcome::Decides
            } else if route.methods().contains(target.method()) {
                Outcome::OtherMcp
            } else {
                Outcome::OtherMethod
            };
            Considered { route: RouteFacts::from(*route), outcome }
        });
        Interpretation { path: target.normal_path().to_owned(), considered: considered.collect() }
    }
}

fn parts(decision: Decision<'_>) -> (Option<&Route>, Option<super::Denial>) {
    match decision {
        Decision::Permit { route } => (Some(route), None),
        Decision::Deny(Refused { route, denial }) => (route, Some(denial)),
    }
}

/// Returns the terms of each alternative beside the caller's values.
fn terms(route: &Route, caller: Option<CallerAt<'_>>) -> Vec<AlternativeFacts> {
    let mut alternatives = Vec::new();
    for alternative in route.rule().alternatives() {
        let requirements = alternative.terms().into_iter().map(|term| TermFacts {
            kind: term.kind(),
            term: term.to_string(),
            needs: term.needs(),
            has: caller.map_or(Value::Null, |caller| term.has(caller)),
            met: caller.is_some_and(|caller| term.holds(alternative, caller)),
            granted_by: caller.and_then(|caller| term.granted_by(alternative, caller.principal.scopes())),
        });
        alternatives.push(AlternativeFacts {
            met: caller.is_some_and(|caller| alternative.permits(caller)),
            requirements: requirements.collect(),
        });
    }
    alternatives
}
