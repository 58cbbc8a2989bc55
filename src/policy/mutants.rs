//! Policies with one flaw each, for measuring decision tests: a good set of tests notices every flaw.

use std::sync::Arc;

use super::{
    Alternative, HostPath, PathPattern, Pattern, Policy, Route, Rule, Segment, Source, Term, diff::compare,
};

/// A policy with one flaw.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// The route that has the flaw.
    pub source: Source,
    /// Its pattern.
    pub route: String,
    /// The flaw, such as `without items:write`.
    pub flaw: String,
    /// The policy.
    pub policy: Policy,
}

impl Policy {
    /// Returns the mutants of the enforced routes: each route dropped, each term of a rule removed, each `allow` opened
    /// by a step, and each literal segment widened to a parameter. Those that decide every request as this policy does
    /// are left out.
    pub fn mutants(&self) -> impl Iterator<Item = Mutant> {
        self.routes().iter().enumerate().flat_map(move |(index, route)| {
            let flaws = flaws(route).into_iter().chain([("dropped".to_owned(), None)]);
            flaws.filter_map(move |(flaw, replacement)| {
                let policy = self.with_route(index, replacement.as_ref())?;
                let is_noticeable = !compare(self, &policy, &[]).is_empty();
                let mutant = Mutant { source: route.source.clone(), route: route.to_string(), flaw, policy };
                is_noticeable.then_some(mutant)
            })
        })
    }

    /// Returns the policy with one route replaced, or left out; `None` if the new pattern is that of another route.
    fn with_route(&self, index: usize, replacement: Option<&Route>) -> Option<Self> {
        let mut routes = Vec::with_capacity(self.routes().len());
        for (at, route) in self.routes().iter().enumerate() {
            if at == index {
                routes.extend(replacement.cloned());
                continue;
            }
            let is_taken = replacement.is_some_and(|new| {
                new.pattern.host_path == route.pattern.host_path
                    && new.pattern.mcp == route.pattern.mcp
                    && new.pattern.methods.intersects(&route.pattern.methods)
            });
            if is_taken {
                return None;
            }
            routes.push(rebuilt(route, route.pattern.clone(), Arc::clone(&route.rule)));
        }
        Some(Self::assemble(routes, self.scopes().to_vec()).with_case(self.case()))
    }
}

fn rebuilt(route: &Route, pattern: Pattern, rule: Arc<Rule>) -> Route {
    Route::new(route.source.clone(), pattern, rule, Arc::clone(&route.options))
}

/// Returns the flaws of one route, each with the route that has it.
fn flaws(route: &Route) -> Vec<(String, Option<Route>)> {
    let mut flaws = Vec::new();
    for (flaw, rule) in loosened(&route.rule) {
        flaws.push((flaw, Some(rebuilt(route, route.pattern.clone(), Arc::new(rule)))));
    }
    let path = &route.pattern.host_path.path;
    let stripped = route.options.strip_prefix.as_deref().map_or(0, |prefix| prefix.matches('/').count());
    for (index, segment) in path.segments().iter().enumerate().skip(stripped) {
        let Segment::Literal(text) = segment else { continue };
        let mut segments = path.segments().to_vec();
        if let Some(widened) = segments.get_mut(index) {
            *widened = Segment::Parameter("any".into());
        }
        let widened = PathPattern::new(segments.into(), path.takes_rest());
        let host_path = HostPath { host: route.pattern.host_path.host.clone(), path: widened };
        let pattern = Pattern { host_path, ..route.pattern.clone() };
        let flaw = format!("any segment instead of {text}");
        flaws.push((flaw, Some(rebuilt(route, pattern, Arc::clone(&route.rule)))));
    }
    flaws
}

/// Returns rules that ask for less, each with a description.
fn loosened(rule: &Rule) -> Vec<(String, Rule)> {
    let Rule::Require(alternatives) = rule else {
        return match rule {
            Rule::Nobody => vec![("allow: authenticated".to_owned(), Rule::Authenticated)],
            Rule::Authenticated => vec![("allow: anonymous".to_owned(), Rule::Anonymous)],
            Rule::Anonymous | Rule::Optional | Rule::Require(_) => Vec::new(),
        };
    };
    let mut rules = Vec::new();
    for (index, alternative) in alternatives.iter().enumerate() {
        for term in alternative.terms() {
            let mut alternatives = alternatives.to_vec();
            if let Some(loosened) = alternatives.get_mut(index) {
                *loosened = without(alternative, term);
            }
            rules.push((format!("without {term}"), Rule::Require(alternatives.into())));
        }
    }
    rules
}

fn without(alternative: &Alternative, term: Term<'_>) -> Alternative {
    let mut without = alternative.clone();
    match term {
        Term::Scope(scope) => without.all = without.all.iter().filter(|one| *one != scope).cloned().collect(),
        Term::AnyScope(_) => without.any = Box::default(),
        Term::Roles(_) => without.roles = Box::default(),
        Term::Clients(_) => without.clients = Box::default(),
        Term::Providers(_) => without.providers = Box::default(),
        Term::Audience(_) => without.audience = Box::default(),
        Term::Claim(test) => {
            without.claims = without.claims.iter().filter(|one| *one != test).cloned().collect();
        }
        Term::Acr(_) => without.acr = Box::default(),
        Term::MaxAge(_) => without.max_age = None,
        Term::Proof(_) => without.proof = None,
        Term::Actor(_) => without.actor = None,
        Term::Detail(wanted) => {
            without.details = without.details.iter().filter(|one| *one != wanted).cloned().collect();
        }
    }
    without
}

#[cfg(test)]
mod tests {
    use crate::policy::tests::policy;

    #[test]
    fn a_mutant_differs_from_the_policy_in_one_route() {
        let policy = policy(
            "scopes: { r: '', w: '' }
routes:
- { match: GET /a/b, require: [r, w] }
- { match: GET /open, allow: anonymous }
- { match: GET /closed, allow: nobody }",
        );
        let flaws: Vec<String> =
            policy.mutants().map(|mutant| format!("{}: {}", mutant.route, mutant.flaw)).collect();
        assert_eq!(
            flaws,
            [
                "GET /a/b: without r",
                "GET /a/b: without w",
                "GET /a/b: any segment instead of a",
                "GET /a/b: any segment instead of b",
                "GET /a/b: dropped",
                "GET /open: any segment instead of open",
                "GET /open: dropped",
                "GET /closed: allow: authenticated"
            ]
        );
    }
}
