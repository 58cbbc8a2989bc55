//! A compiled route.

use std::{fmt, sync::Arc};

use super::{
    HostPath, HostPattern, Irregularities, Methods, PathPattern, Pattern, Rule, Source, Target,
    settings::{CorsSettings, IdentitySettings, TokenSource},
};

/// A compiled route: a pattern, and what happens where it decides.
#[derive(Debug, Clone)]
pub struct Route {
    pub(super) source: Source,
    pub(super) pattern: Pattern,
    pub(super) effective: Methods,
    pub(super) label: Arc<str>,
    pub(super) rule: Arc<Rule>,
    pub(super) options: Arc<RouteOptions>,
}

/// What else a route says: all but pattern and rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RouteOptions {
    /// The provider is asked about the token now.
    pub fresh: bool,
    /// What may be irregular about the path.
    pub accept: Irregularities,
    /// What is stored may loosen it (invariant 15).
    pub open_to_admin: bool,
    /// Where requests are proxied to.
    pub upstream: Option<Box<str>>,
    /// What is taken off the front of the path before it is proxied: segments in normal form with a slash before each.
    pub strip_prefix: Option<Box<str>>,
    /// What upstreams learn about the caller, where it differs from the rest.
    pub identity: Option<IdentitySettings>,
    /// Cross-origin requests, where they differ from the rest.
    pub cors: Option<CorsSettings>,
    /// Where else a token may come from.
    pub accept_token: Box<[TokenSource]>,
}

impl Route {
    pub(super) fn new(source: Source, pattern: Pattern, rule: Arc<Rule>, options: Arc<RouteOptions>) -> Self {
        let label = pattern.to_string().into();
        Self { source, effective: pattern.methods.clone(), label, pattern, rule, options }
    }

    /// Creates the route of an endpoint of scopegate's own, which its own rule decides rather than the policy. `label`
    /// is the pattern that logs and metrics show.
    pub(crate) fn of_own_endpoint(label: &str, rule: Rule) -> Self {
        let path = PathPattern::new(Box::default(), true);
        let pattern =
            Pattern { methods: Methods::all(), host_path: HostPath { host: HostPattern::Any, path } };
        let source = Source::OwnEndpoint { label: label.into() };
        Self { label: label.into(), ..Self::new(source, pattern, Arc::new(rule), Arc::default()) }
    }

    /// Where it was declared.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Its pattern.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The methods for which it decides: as written, and HEAD where it names GET and no other route of the same
    /// pattern names HEAD.
    pub fn methods(&self) -> &Methods {
        &self.effective
    }

    /// Its rule.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Its pattern as text, for logs and metrics: made once, not for each request.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// The path that an upstream gets: the normal form, or what was sent if the route accepts irregular paths.
    pub fn path_for<'t>(&self, target: &'t Target) -> &'t str {
        if self.options.accept.is_empty() { target.normal_path() } else { target.path_as_sent() }
    }

    /// What else it says.
    pub fn options(&self) -> &Arc<RouteOptions> {
        &self.options
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pattern.fmt(f)
    }
}
