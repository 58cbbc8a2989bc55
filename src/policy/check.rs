//! Checks of a policy as a whole: what is decided twice, never, or looser than the file says.

use ahash::AHashMap;
use scopegate_provider::ProviderName;

use super::{
    Alternative, HostPath, McpSelector, Policy, Problem, Route, Rule,
    compile::{Compiler, Warning},
    loosening::{Guard, Loosened},
};

impl Compiler<'_> {
    /// Checks that no stored route loosens the file (invariant 15).
    pub(super) fn check_stored(&mut self, policy: &Policy, file: Option<&Policy>) {
        let Some(file) = file else { return };
        let guard = Guard::new(file, &self.definition.upstreams);
        for route in policy.routes().iter().filter(|route| !route.source.is_file()) {
            if let Some(Loosened { route: loosened, part, alias }) = guard.loosened_by(route) {
                let pattern = loosened.pattern.to_string();
                let problem = Problem::Loosens { pattern, file: loosened.source.clone(), part, alias };
                self.error(&route.source, "match", problem);
            }
        }
    }

    /// Checks that a method is decided once for each pattern, among the enforced routes and among those in shadow.
    pub(super) fn check_duplicates(&mut self, routes: &[Route]) {
        type Key<'r> = (&'r HostPath, Option<&'r McpSelector>, bool);
        let mut by_pattern: AHashMap<Key<'_>, Vec<&Route>> = AHashMap::with_capacity(routes.len());
        for route in routes {
            let key = (&route.pattern.host_path, route.pattern.mcp.as_ref(), route.is_shadow());
            let earlier = by_pattern.entry(key).or_default();
            for other in earlier.iter() {
                let both = route.pattern.methods.and(&other.pattern.methods);
                if !both.is_empty() {
                    let problem = Problem::DuplicatePattern {
                        pattern: route.pattern.to_string(),
                        other: other.source.clone(),
                        other_pattern: other.pattern.to_string(),
                        methods: both.to_string(),
                    };
                    self.error(&route.source, "match", problem);
                }
            }
            earlier.push(route);
        }
    }

    /// Checks that every pattern decides a target. One that never does is an error of the file, or else a consequence of
    /// what is stored.
    pub(super) fn check_reach(&mut self, policy: &Policy, stored: bool, warnings: &mut Vec<Warning>) {
        for policy in [Some(policy), policy.shadow()].into_iter().flatten() {
            for route in
                policy.routes().iter().filter(|route: &&Route| !policy.decides(&route.pattern.host_path))
            {
                let pattern = route.pattern.to_string();
                if stored {
                    let warning = Warning::NeverDecides { at: route.source.clone(), pattern };
                    if !warnings.contains(&warning) {
                        warnings.push(warning);
                    }
                } else {
                    self.error(&route.source, "match", Problem::NeverDecides { pattern });
                }
            }
        }
    }

    /// Returns the warnings about single routes.
    pub(super) fn warnings(&self, policy: &Policy) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for route in policy.routes() {
            self.warn_of_audiences(route, &mut warnings);
            self.warn_of_freshness(route, &mut warnings);
        }
        warnings.dedup();
        warnings
    }

    fn warn_of_audiences(&self, route: &Route, warnings: &mut Vec<Warning>) {
        for provider in self.vocabulary.providers().iter().filter(|provider| provider.audiences.len() > 1) {
            if route
                .rule
                .alternatives()
                .iter()
                .any(|one: &Alternative| one.audience.is_empty() && admits(one, &provider.name))
                || *route.rule == Rule::Authenticated
            {
                let provider = provider.name.clone();
                warnings.push(Warning::AudienceNotNamed { at: route.source.clone(), provider });
            }
        }
    }

    fn warn_of_freshness(&self, route: &Route, warnings: &mut Vec<Warning>) {
        if !route.options.fresh {
            return;
        }
        let alternatives = route.rule.alternatives();
        let introspects = self.vocabulary.providers().iter().any(|provider| {
            let admitted =
                alternatives.is_empty() || alternatives.iter().any(|one| admits(one, &provider.name));
            provider.introspects && admitted
        });
        if !introspects {
            warnings.push(Warning::NeverFresh { at: route.source.clone() });
        }
    }
}

fn admits(alternative: &Alternative, provider: &ProviderName) -> bool {
    alternative.providers.is_empty() || alternative.providers.contains(provider)
}
