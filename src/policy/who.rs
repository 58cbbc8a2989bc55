//! The smallest sets of what a caller needs, for a request and for a route.

use serde::Serialize;
use serde_json::Value;

use super::{Denial, Policy, Route, Rule, Source, Target};

/// The callers that a request needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Needs {
    /// The routes that must all permit; more than one for irregular paths and behind stripped prefixes.
    pub routes: Vec<RouteNeeds>,
    /// The reason why no caller is permitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied: Option<String>,
}

/// The callers that one route permits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteNeeds {
    /// The pattern.
    pub route: String,
    /// The route's declaration.
    pub place: String,
    /// `anonymous`, `optional`, `authenticated`, `nobody`, or `require`.
    pub rule: &'static str,
    /// The sets of which a caller needs all of one.
    pub sets: Vec<Vec<Need>>,
}

/// One requirement of a set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Need {
    /// The kind of requirement, such as `all_scopes`.
    pub kind: &'static str,
    /// The values that satisfy it.
    pub needs: Value,
    /// The requirement in words.
    pub text: String,
}

impl Policy {
    /// Returns the smallest sets of what a caller of a request needs. `place` names the place of a declaration, if it is
    /// known.
    pub fn needs_of(&self, target: &Target, place: impl Fn(&Source) -> Option<String>) -> Needs {
        match self.resolve(target) {
            Ok(resolved) => Needs::of(resolved.routes().map(|route| RouteNeeds::new(route, &place))),
            Err(refused) => Needs { routes: Vec::new(), denied: Some(refused.denial.to_string()) },
        }
    }

    /// Returns the same for one route, enforced or in `mode: shadow`; `None` if no route is selected.
    pub fn needs_of_route(
        &self,
        is_selected: impl Fn(&Route) -> bool,
        place: impl Fn(&Source) -> Option<String>,
    ) -> Option<Needs> {
        let route = self.routes_by_precedence().into_iter().find(|route| is_selected(route))?;
        Some(Needs::of(std::iter::once(RouteNeeds::new(route, place))))
    }
}

impl Needs {
    fn of(routes: impl Iterator<Item = RouteNeeds>) -> Self {
        let routes: Vec<RouteNeeds> = routes.collect();
        let is_closed = routes.iter().any(|needs| needs.rule == "nobody");
        Self { routes, denied: is_closed.then(|| Denial::Nobody.to_string()) }
    }
}

impl RouteNeeds {
    fn new(route: &Route, place: impl Fn(&Source) -> Option<String>) -> Self {
        let rule = match route.rule() {
            Rule::Anonymous => "anonymous",
            Rule::Optional => "optional",
            Rule::Authenticated => "authenticated",
            Rule::Nobody => "nobody",
            Rule::Require(_) => "require",
        };
        let mut sets = Vec::new();
        for alternative in route.rule().least_alternatives() {
            let needs = alternative.terms().into_iter().map(|term| Need {
                kind: term.kind(),
                needs: term.needs(),
                text: term.to_string(),
            });
            sets.push(needs.collect());
        }
        let place = place(route.source()).unwrap_or_else(|| route.source().to_string());
        Self { route: route.to_string(), place, rule, sets }
    }
}
