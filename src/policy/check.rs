//! What can only be seen of a policy as a whole: what is decided twice, never, or looser than the file says.

use ahash::AHashMap;
use scopegate_provider::ProviderName;

use super::{
    Alternative, HostPath, Policy, Problem, Route, Rule,
    compile::{Compiler, Warning},
    loosening::{Guard, Loosened},
};

impl Compiler<'_> {
    /// What the file declares cannot be loosened by what is stored (invariant 15).
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

    /// A method is decided once in each place.
    pub(super) fn check_duplicates(&mut self, routes: &[Route]) {
        let mut by_host_path: AHashMap<&HostPath, Vec<&Route>> = AHashMap::with_capacity(routes.len());
        for route in routes {
            let earlier = by_host_path.entry(&route.pattern.host_path).or_default();
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

    /// A pattern that more specific ones cover is a mistake of the file, or else a consequence of what is stored.
    pub(super) fn check_reach(&mut self, policy: &Policy, stored: bool, warnings: &mut Vec<Warning>) {
        for route in policy.routes().iter().filter(|route| !policy.decides(&route.pattern.host_path)) {
            let (at, pattern) = (&route.source, route.pattern.to_string());
            if stored {
                warnings.push(Warning::NeverDecides { at: at.clone(), pattern });
            } else {
                self.error(at, "match", Problem::NeverDecides { pattern });
            }
        }
    }

    /// What is allowed but deserves a second look.
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
            let takes = |one: &Alternative| one.audience.is_empty() && admits(one, &provider.name);
            if route.rule.alternatives().iter().any(takes) || *route.rule == Rule::Authenticated {
                let provider = provider.name.clone();
                warnings.push(Warning::AudienceNotNamed { at: route.source.clone(), provider });
            }
        }
    }

    fn warn_of_freshness(&self, route: &Route, warnings: &mut Vec<Warning>) {
        let alternatives = route.rule.alternatives();
        let admitted = |name| alternatives.is_empty() || alternatives.iter().any(|one| admits(one, name));
        let mut providers = self.vocabulary.providers().iter().filter(|provider| admitted(&provider.name));
        if route.options.fresh && !providers.any(|provider| provider.introspects) {
            warnings.push(Warning::NeverFresh { at: route.source.clone() });
        }
    }
}

fn admits(alternative: &Alternative, provider: &ProviderName) -> bool {
    alternative.providers.is_empty() || alternative.providers.contains(provider)
}
