//! A compiled route.

use std::{fmt, sync::Arc};

use super::{
    HostPath, HostPattern, Irregularities, Methods, PathPattern, Pattern, Rule, Source, Target,
    settings::{CorsSettings, IdentitySettings, Mode, TokenSource},
};

/// A compiled route: a pattern, the rule that decides there, and the options of the exchange.
#[derive(Debug, Clone)]
pub struct Route {
    pub(super) source: Source,
    pub(super) pattern: Pattern,
    pub(super) effective: Methods,
    pub(super) label: Arc<str>,
    pub(super) rule: Arc<Rule>,
    pub(super) options: Arc<RouteOptions>,
    pub(super) reads_path: bool,
}

/// The settings of a route beside its pattern and rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RouteOptions {
    /// The provider is asked about the token now.
    pub fresh: bool,
    /// The accepted irregularities of the path.
    pub accept: Irregularities,
    /// Stored routes may loosen it (invariant 15).
    pub open_to_admin: bool,
    /// The upstream to which requests are proxied.
    pub upstream: Option<Box<str>>,
    /// The prefix that is taken off the path before it is proxied: segments in normal form with a slash before each.
    pub strip_prefix: Option<Box<str>>,
    /// The identity that upstreams are told, where it differs from the general one.
    pub identity: Option<IdentitySettings>,
    /// The rules for cross-origin requests, where they differ from the general ones.
    pub cors: Option<CorsSettings>,
    /// The places beside `Authorization` from which a token may come.
    pub accept_token: Box<[TokenSource]>,
    /// The effect of decisions.
    pub mode: Mode,
}

impl Route {
    pub(super) fn new(source: Source, pattern: Pattern, rule: Arc<Rule>, options: Arc<RouteOptions>) -> Self {
        let label = pattern.to_string().into();
        let reads_path = rule.reads_path();
        Self { source, effective: pattern.methods.clone(), label, pattern, rule, options, reads_path }
    }

    /// Creates the route of an endpoint of scopegate's own, which its own rule decides rather than the policy. `label`
    /// is the pattern that logs and metrics show.
    pub(crate) fn of_own_endpoint(label: &str, rule: Rule) -> Self {
        let path = PathPattern::new(Box::default(), true);
        let host_path = HostPath { host: HostPattern::Any, path };
        let pattern = Pattern { methods: Methods::all(), host_path, mcp: None };
        let source = Source::OwnEndpoint { label: label.into() };
        Self { label: label.into(), ..Self::new(source, pattern, Arc::new(rule), Arc::default()) }
    }

    /// Returns the place of its declaration.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Returns its pattern.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Returns the methods for which it decides: as written, and `HEAD` where it names `GET` and no other route of the
    /// same pattern names `HEAD`.
    pub fn methods(&self) -> &Methods {
        &self.effective
    }

    /// Returns its rule.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Returns its pattern as text, for logs and metrics. It is made once, not for each request.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Returns the path that an upstream gets: the normal form, or the path as sent if the route accepts irregular paths.
    pub fn path_for<'t>(&self, target: &'t Target) -> &'t str {
        if self.options.accept.is_empty() { target.normal_path() } else { target.path_as_sent() }
    }

    /// Returns its options.
    pub fn options(&self) -> &Arc<RouteOptions> {
        &self.options
    }

    /// Returns `true` if its rule depends on the path of the request.
    pub(super) fn reads_path(&self) -> bool {
        self.reads_path
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pattern.fmt(f)
    }
}
