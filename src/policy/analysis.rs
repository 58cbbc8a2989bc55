//! Analysis of a policy: rules and routes that are allowed, and that are often not meant.

use std::collections::BTreeSet;

use http::Method;
use scopegate_provider::Scope;

use super::{
    Alternative, Decision, DecisionTest, Definition, Denial, HostPath, KnownProvider, Policy, Route, Rule,
    Source, compare::Stripped, methods::COMMON, settings::FindingKind,
};

/// A finding: where, what, and a request that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The kind, which `intended` names.
    pub kind: FindingKind,
    /// The route or scope.
    pub at: Source,
    /// The key in it; empty for the whole.
    pub key: String,
    /// The finding in words.
    pub message: String,
    /// A request, and its decision.
    pub example: String,
}

/// The analysis of one policy.
struct Analysis<'p> {
    policy: &'p Policy,
    definition: &'p Definition,
    tests: &'p [DecisionTest],
    /// The routes whose pattern ends with `**`, which may contain others.
    trees: Vec<&'p Route>,
    findings: Vec<Finding>,
}

impl Policy {
    /// Returns what is often not meant. A route that lists a kind under `intended` has no finding of it. Nor has one for
    /// which a test expects just that: a permit without a token, or `method_not_allowed`.
    pub fn analyze(&self, definition: &Definition, tests: &[DecisionTest]) -> Vec<Finding> {
        let trees = self.routes().iter().filter(|route| route.pattern.host_path.path.takes_rest()).collect();
        let mut analysis = Analysis { policy: self, definition, tests, trees, findings: Vec::new() };
        for route in self.routes() {
            analysis.never_permits(route);
            analysis.subsumed_alternatives(route);
            analysis.anonymous_inside(route);
        }
        analysis.scopes_not_issued();
        for (host_path, routes) in self.by_host_path() {
            analysis.method_not_allowed(host_path, &routes);
        }
        analysis.findings
    }
}

impl Analysis<'_> {
    fn report(&mut self, kind: FindingKind, at: &Source, key: &str, message: String, example: String) {
        let is_intended = self.definition.intended(at).contains(&kind);
        let finding = Finding { kind, at: at.clone(), key: key.to_owned(), message, example };
        // A route with several patterns has the same alternatives in each.
        let is_known = self.findings.iter().any(|known| {
            known.kind == kind
                && known.at == *at
                && known.key == finding.key
                && known.message == finding.message
        });
        if !is_intended && !is_known {
            self.findings.push(finding);
        }
    }

    fn never_permits(&mut self, route: &Route) {
        let alternatives = route.rule().alternatives();
        let reasons: Vec<String> = alternatives.iter().filter_map(|one| self.unsatisfiable(one)).collect();
        if alternatives.is_empty() || reasons.len() < alternatives.len() {
            return;
        }
        let message = format!("no caller satisfies `{}`: {}", route.rule(), reasons.join("; "));
        let example = format!("{} is denied, whatever the token", example(route, &route.pattern.host_path));
        self.report(FindingKind::NeverPermits, route.source(), "require", message, example);
    }

    /// Returns the reason why no token of a configured provider satisfies an alternative.
    fn unsatisfiable(&self, alternative: &Alternative) -> Option<String> {
        let admitted: Vec<&KnownProvider> = self
            .definition
            .providers
            .iter()
            .filter(|known| alternative.providers.is_empty() || alternative.providers.contains(&known.name))
            .collect();
        if admitted.is_empty() {
            return None;
        }
        let mut reason = None;
        for provider in admitted {
            let issued = provider.scopes.as_ref()?;
            let lacking = alternative.all.iter().find(|scope| !is_issued(issued, scope, alternative));
            let lacking = lacking.map(ToString::to_string).or_else(|| {
                let any_issued = alternative.any.iter().any(|scope| is_issued(issued, scope, alternative));
                let names: Vec<&str> = alternative.any.iter().map(Scope::as_str).collect();
                (!alternative.any.is_empty() && !any_issued).then(|| names.join(" or "))
            })?;
            reason = Some(format!("the provider `{}` issues no token with {lacking}", provider.name));
        }
        reason
    }

    fn subsumed_alternatives(&mut self, route: &Route) {
        let alternatives = route.rule().alternatives();
        for (index, one) in alternatives.iter().enumerate() {
            let broader = alternatives.iter().enumerate().find(|(other_index, other)| {
                *other_index != index
                    && one.asks_at_least(other, Stripped::default())
                    // Of two equal ones, the second is the one too many.
                    && (*other_index < index || !other.asks_at_least(one, Stripped::default()))
            });
            let Some((other, broader)) = broader else { continue };
            let key = format!("require.any_of[{index}]");
            let message = format!(
                "`{key}` adds no caller: each that satisfies it satisfies `any_of[{other}]` too; leave it out"
            );
            let terms: Vec<String> = broader.terms().iter().map(ToString::to_string).collect();
            let request = example(route, &route.pattern.host_path);
            let example = format!("{request} is permitted with {} alone", terms.join(", "));
            self.report(FindingKind::SubsumedAlternative, route.source(), &key, message, example);
        }
    }

    fn scopes_not_issued(&mut self) {
        let providers = &self.definition.providers;
        let mut issued: BTreeSet<&Scope> = BTreeSet::new();
        for provider in providers {
            match &provider.scopes {
                Some(scopes) => issued.extend(scopes),
                None => return,
            }
        }
        if providers.is_empty() {
            return;
        }
        for declared in self.policy.scopes() {
            let asking = self.policy.routes().iter().find(|route| {
                let mut alternatives = route.rule().alternatives().iter();
                alternatives.any(|one| {
                    one.scopes().any(|scope| *scope == declared.name)
                        && !issued.iter().any(|held| {
                            **held == declared.name || one.hierarchy.implies(held, &declared.name)
                        })
                })
            });
            let Some(route) = asking else { continue };
            let message = format!(
                "no configured provider issues `{}`: let a client of a provider have it, or leave it out",
                declared.name
            );
            let request = example(route, &route.pattern.host_path);
            let example = format!("{request} asks for `{}`", declared.name);
            self.report(FindingKind::ScopeNotIssued, &declared.source, "", message, example);
        }
    }

    fn anonymous_inside(&mut self, route: &Route) {
        if !matches!(route.rule(), Rule::Anonymous | Rule::Optional) {
            return;
        }
        let inner = &route.pattern.host_path;
        let guarding = self.trees.iter().find(|tree| {
            !matches!(tree.rule(), Rule::Anonymous | Rule::Optional)
                && contains(&tree.pattern.host_path, inner)
                && !tree.methods().and(route.methods()).is_empty()
        });
        let Some(tree) = guarding else { return };
        let request = example(route, inner);
        let message = format!(
            "`{route}` needs no token, inside of `{tree}` ({}), which needs one: list `anonymous_inside` under \
             `intended`, or write a test that expects it",
            tree.source()
        );
        let example = format!("{request} is permitted without a token");
        let is_tested = self.tests.iter().any(|test| {
            test.supposed().is_none() && test.expect.as_str() == "permit" && self.decides(test, inner)
        });
        if !is_tested {
            self.report(FindingKind::AnonymousInside, route.source(), "", message, example);
        }
    }

    fn method_not_allowed(&mut self, inner: &HostPath, routes: &[&Route]) {
        let Some(first) = routes.first() else { return };
        let mut missing: Vec<&Method> = COMMON.iter().collect();
        missing.retain(|method| !routes.iter().any(|route| route.methods().contains(method)));
        let wider = self.trees.iter().filter(|tree| {
            *tree.rule() != Rule::Nobody
                && tree.pattern.host_path != *inner
                && contains(&tree.pattern.host_path, inner)
        });
        let mut found = wider.filter_map(|tree| {
            let method = missing.iter().find(|method| tree.methods().contains(method))?;
            Some((*tree, *method))
        });
        let Some((tree, method)) = found.next() else { return };
        let is_tested = self
            .tests
            .iter()
            .any(|test| test.expect.as_str() == "method_not_allowed" && self.decides(test, inner));
        let is_intended = routes
            .iter()
            .any(|route| self.definition.intended(route.source()).contains(&FindingKind::MethodNotAllowed));
        if is_tested || is_intended {
            return;
        }
        let message = format!(
            "{method} is 405 here, though `{tree}` ({}) names it: the most specific pattern decides alone; add the \
             method, list `method_not_allowed` under `intended`, or write a test that expects it",
            tree.source()
        );
        let example = format!("{method} {} is 405", example_path(inner));
        self.report(FindingKind::MethodNotAllowed, first.source(), "match", message, example);
    }

    /// Returns `true` if the pattern decides the request of a test.
    fn decides(&self, test: &DecisionTest, pattern: &HostPath) -> bool {
        let Ok(target) = test.target() else { return false };
        match self.policy.decide(&target, None) {
            Decision::Permit { route } => route.pattern.host_path == *pattern,
            Decision::Deny(refused) => {
                !matches!(refused.denial, Denial::NoRoute)
                    && refused.route.is_some_and(|route| route.pattern.host_path == *pattern)
            }
        }
    }
}

fn is_issued(issued: &[Scope], wanted: &Scope, alternative: &Alternative) -> bool {
    issued.iter().any(|held| held == wanted || alternative.hierarchy.implies(held, wanted))
}

/// Returns `true` if every target of `inner` matches `outer` too.
fn contains(outer: &HostPath, inner: &HostPath) -> bool {
    inner.intersection(outer).is_some_and(|both| {
        both.host == inner.host
            && both.path.takes_rest() == inner.path.takes_rest()
            && both.path.segments().len() == inner.path.segments().len()
            && both.path.segments().iter().zip(inner.path.segments()).all(|(both, inner)| {
                !matches!((both, inner), (super::Segment::Literal(_), super::Segment::Parameter(_)))
            })
    })
}

fn example(route: &Route, host_path: &HostPath) -> String {
    let method = route.methods().named().first().map_or_else(|| "GET".to_owned(), ToString::to_string);
    format!("{method} {}", example_path(host_path))
}

/// Returns the URL or path of a request that a pattern matches.
fn example_path(host_path: &HostPath) -> String {
    let mut path = String::new();
    for segment in host_path.path.segments() {
        path.push('/');
        path.push_str(match segment {
            super::Segment::Literal(text) => text,
            super::Segment::Parameter(_) => "x",
        });
    }
    if path.is_empty() || host_path.path.takes_rest() {
        path.push_str(if host_path.path.takes_rest() && !path.is_empty() { "/x" } else { "/" });
    }
    match &host_path.host {
        super::HostPattern::Exact(host) => format!("https://{host}{path}"),
        super::HostPattern::Wildcard(suffix) => format!("https://x.{suffix}{path}"),
        super::HostPattern::Any => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::definition;

    fn findings(yaml: &str, issued: Option<&[&str]>, tests: &str) -> Vec<(FindingKind, String, String)> {
        let mut definition = definition(yaml);
        for provider in &mut definition.providers {
            provider.scopes =
                issued.map(|names| names.iter().map(|name| Scope::parse(name).unwrap()).collect());
        }
        let tests: Vec<DecisionTest> = serde_saphyr::from_str(tests).unwrap();
        let policy = Policy::compile(&definition).unwrap().policy;
        let findings = policy.analyze(&definition, &tests);
        findings.into_iter().map(|one| (one.kind, one.at.to_string(), one.example)).collect()
    }

    #[test]
    fn finds_a_rule_that_no_caller_satisfies_and_the_scope_that_no_provider_issues() {
        let yaml = "providers: { okta: {} }\nscopes: { r: '', w: '' }\nroutes:\n- { match: GET /a, require: w }\n- { match: GET /b, require: r }";
        assert_eq!(
            findings(yaml, Some(&["r"]), "[]"),
            [
                (
                    FindingKind::NeverPermits,
                    "routes[0]".to_owned(),
                    "GET /a is denied, whatever the token".to_owned()
                ),
                (FindingKind::ScopeNotIssued, "scopes.w".to_owned(), "GET /a asks for `w`".to_owned()),
            ]
        );
        assert_eq!(findings(yaml, None, "[]"), []);
        let broader = yaml.replace("r: ''", "r: { implies: [w] }");
        assert_eq!(findings(&broader, Some(&["r"]), "[]"), []);
        let intended = yaml.replace("require: w", "require: w, intended: [never_permits]");
        assert_eq!(findings(&intended, Some(&["r"]), "[]").len(), 1);
    }

    #[test]
    fn finds_an_alternative_that_adds_no_caller() {
        let yaml = "scopes: { r: '', w: '' }\nroutes:\n- { match: GET /a, require: { any_of: [ { all: [r] }, { all: [r, w] } ] } }";
        let expected = (
            FindingKind::SubsumedAlternative,
            "routes[0]".to_owned(),
            "GET /a is permitted with r alone".to_owned(),
        );
        assert_eq!(findings(yaml, None, "[]"), [expected]);
        let equal = yaml.replace("[r, w]", "[r]");
        assert_eq!(findings(&equal, None, "[]").len(), 1);
    }

    #[test]
    fn finds_an_anonymous_route_inside_of_a_guarded_tree() {
        let yaml = "scopes: { r: '' }\nroutes:\n- { match: /in/**, require: r }\n- { match: /in/open, allow: anonymous }\n- { match: /out, allow: anonymous }";
        let expected = (
            FindingKind::AnonymousInside,
            "routes[1]".to_owned(),
            "GET /in/open is permitted without a token".to_owned(),
        );
        assert_eq!(findings(yaml, None, "[]"), [expected]);
        assert_eq!(findings(yaml, None, "[{ request: GET /in/open, expect: permit }]"), []);
        let intended = yaml.replace(
            "/in/open, allow: anonymous",
            "/in/open, allow: anonymous, intended: [anonymous_inside]",
        );
        assert_eq!(findings(&intended, None, "[]"), []);
    }

    #[test]
    fn finds_a_method_that_a_wider_pattern_names_and_that_is_405() {
        let yaml = "routes:\n- { match: /**, allow: authenticated }\n- { match: GET /items/**, allow: authenticated }";
        let found = findings(yaml, None, "[]");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0, found[0].1.as_str()), (FindingKind::MethodNotAllowed, "routes[1]"));
        assert!(found[0].2.ends_with("/items/x is 405"), "{found:?}");
        assert_eq!(findings(yaml, None, "[{ request: POST /items/1, expect: method_not_allowed }]"), []);
    }
}
