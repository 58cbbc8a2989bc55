//! Invariant 15: what the file declares cannot be loosened at run time.
//!
//! A stored route is compared with each route of the file in two ways.
//!
//! - **The same name.** It decides requests that the file's route would decide. It must ask for at least as much, and
//!   lead to the same path of the same upstream with the same identity.
//! - **Another name.** Its requests reach the same path of the same upstream as requests of the file's route do, because
//!   one of them strips a prefix or names another host: `/open/admin` without `/open` is `/admin`. It must ask for at
//!   least as much, and carry the same identity.

use std::{collections::HashSet, fmt};

use ahash::AHashMap;

use super::{
    HostPath, HostPattern, KnownUpstream, McpSelector, PathPattern, Policy, Route, RouteOptions, Rule,
    Segment, compare::Stripped, settings::IdentitySettings,
};

/// A route of the file that a stored route would loosen.
#[derive(Debug, Clone)]
pub struct Loosened<'p> {
    /// The route of the file.
    pub route: &'p Route,
    /// The part of it that would be loosened.
    pub part: LoosenedPart,
    /// The name by which the stored route reaches what the file's route guards; none where it replaces it.
    pub alias: Option<String>,
}

/// The part of a route that a stored route would loosen or change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoosenedPart {
    /// `require` or `allow`.
    Rule,
    /// `fresh`.
    Fresh,
    /// `accept`.
    Accept,
    /// `accept_token`.
    AcceptToken,
    /// `cors`.
    Cors,
    /// `upstream`.
    Upstream,
    /// `strip_prefix`.
    StripPrefix,
    /// `identity`.
    Identity,
}

impl LoosenedPart {
    /// Returns the key of the part in a route.
    pub fn key(self) -> &'static str {
        match self {
            Self::Rule => "require",
            Self::Fresh => "fresh",
            Self::Accept => "accept",
            Self::AcceptToken => "accept_token",
            Self::Cors => "cors",
            Self::Upstream => "upstream",
            Self::StripPrefix => "strip_prefix",
            Self::Identity => "identity",
        }
    }
}

impl fmt::Display for LoosenedPart {
    /// Writes what the stored route has to do instead.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule => f.write_str("ask for at least as much"),
            Self::Fresh => f.write_str("keep its `fresh: true`"),
            Self::Accept => f.write_str("`accept` nothing that it does not accept"),
            Self::AcceptToken => f.write_str("take tokens from nowhere else (`accept_token`)"),
            Self::Cors => f.write_str("allow no further origins or headers (`cors`)"),
            Self::Upstream => f.write_str("keep its `upstream`"),
            Self::StripPrefix => f.write_str("keep its `strip_prefix`"),
            Self::Identity => f.write_str("keep its `identity`"),
        }
    }
}

impl Policy {
    /// Returns the route of the file, of which this is the policy, that `candidate` would loosen. `open_to_admin` lifts
    /// the comparison.
    ///
    /// A target that no route of the file decides, because none leads there or none names the method, may be opened. So
    /// may a path as which an irregular one of the file can be read: the irregular one still needs what the file asks
    /// for, and what the candidate asks for as well.
    ///
    /// `None` means that the candidate loosens nothing. A route means that it cannot be shown that it does not.
    pub fn loosened_by(&self, candidate: &Route) -> Option<Loosened<'_>> {
        Guard::new(self, &[]).loosened_by(candidate)
    }
}

/// The policy of the file, indexed for comparison with stored routes.
pub(super) struct Guard<'p> {
    file: &'p Policy,
    upstreams: &'p [KnownUpstream],
    /// Guarded routes by the first literal segment of their path.
    by_name: Index<'p>,
    /// Guarded routes with an upstream, by the first literal segment of the path that the upstream gets.
    by_image: Index<'p>,
    /// Upstreams to which a route of the file strips a prefix.
    stripped: HashSet<&'p str>,
}

/// Routes by a first literal segment, in the order declared.
#[derive(Default)]
struct Index<'p> {
    all: Vec<&'p Route>,
    by_first: AHashMap<Box<str>, Vec<&'p Route>>,
    /// Routes that begin with a parameter or with `**`.
    open: Vec<&'p Route>,
}

impl<'p> Index<'p> {
    fn add(&mut self, path: &PathPattern, route: &'p Route) {
        self.all.push(route);
        match first_literal(path) {
            Some(text) => self.by_first.entry(text.into()).or_default().push(route),
            None => self.open.push(route),
        }
    }

    /// Returns every route whose path may have a target in common with `path`.
    fn candidates(&self, path: &PathPattern) -> impl Iterator<Item = &'p Route> {
        let (narrow, open): (&[&'p Route], &[&'p Route]) = match first_literal(path) {
            Some(text) => (self.by_first.get(text).map(Vec::as_slice).unwrap_or_default(), &self.open),
            None => (&self.all, &[]),
        };
        narrow.iter().chain(open).copied()
    }
}

/// Returns the literal segment with which every path that matches begins. A pattern that also matches `/` has none.
fn first_literal(path: &PathPattern) -> Option<&str> {
    match path.segments().first() {
        Some(Segment::Literal(text)) => Some(text),
        Some(Segment::Parameter(_)) | None => None,
    }
}

impl<'p> Guard<'p> {
    pub(super) fn new(file: &'p Policy, upstreams: &'p [KnownUpstream]) -> Self {
        let mut guard = Self {
            file,
            upstreams,
            by_name: Index::default(),
            by_image: Index::default(),
            stripped: HashSet::new(),
        };
        for route in file.routes() {
            if let (Some(upstream), Some(_)) = (&route.options.upstream, &route.options.strip_prefix) {
                guard.stripped.insert(upstream);
            }
            if route.options.open_to_admin {
                continue;
            }
            guard.by_name.add(&route.pattern.host_path.path, route);
            if route.options.upstream.is_some() {
                guard.by_image.add(&image(route), route);
            }
        }
        guard
    }

    /// Returns the first route of the file that `candidate` would loosen.
    pub(super) fn loosened_by(&self, candidate: &Route) -> Option<Loosened<'p>> {
        if candidate.is_shadow() {
            return None;
        }
        let path = &candidate.pattern.host_path.path;
        let by_name = self.by_name.candidates(path).find_map(|route| self.replaced(route, candidate));
        by_name.or_else(|| {
            let image = image(candidate);
            self.by_image.candidates(&image).find_map(|route| self.renamed(route, candidate, &image))
        })
    }

    /// Compares `candidate` with a route of the file whose requests it would decide.
    fn replaced(&self, route: &'p Route, candidate: &Route) -> Option<Loosened<'p>> {
        if candidate.pattern.precedence(&route.pattern).is_gt() {
            return None;
        }
        let both = candidate.pattern.host_path.intersection(&route.pattern.host_path)?;
        let ours = candidate.pattern.mcp.as_ref();
        let theirs = route.pattern.mcp.as_ref();
        if !McpSelector::intersects(ours, theirs) {
            return None;
        }
        let selected = McpSelector::narrower(ours, theirs);
        if !self
            .file
            .representatives(&both)
            .any(|(host, path): (String, String)| self.decides(route, &host, &path, selected))
        {
            return None;
        }
        let changed = changed_image(&candidate.options, &route.options);
        let part = if self.guards_rests(route) && changed.is_some() {
            // Other routes strip a prefix off paths of this name and are held to its rule, as long as it leads to the
            // same upstream (`strip.rs`), whatever the method.
            changed
        } else if *candidate.rule == Rule::Nobody || !candidate.methods().intersects(route.methods()) {
            None
        } else {
            let loosens = !candidate.rule.asks_at_least(&route.rule);
            let rule = loosens.then_some(LoosenedPart::Rule);
            rule.or(changed).or_else(|| candidate.options.loosens(&route.options))
        };
        part.map(|part| Loosened { route, part, alias: None })
    }

    /// Compares `candidate` with a route of the file that leads to some of the same paths of the same upstream.
    fn renamed(&self, route: &'p Route, candidate: &Route, image: &PathPattern) -> Option<Loosened<'p>> {
        if *candidate.rule == Rule::Nobody
            || !candidate.methods().intersects(route.methods())
            || !self.is_same_upstream(route, candidate)
        {
            return None;
        }
        let ours = candidate.pattern.mcp.as_ref();
        let theirs = route.pattern.mcp.as_ref();
        if !McpSelector::intersects(ours, theirs) {
            return None;
        }
        let selected = McpSelector::narrower(ours, theirs);
        let common = image.intersection(&self::image(route))?;
        let anywhere = HostPath { host: HostPattern::Any, path: common };
        let their_host = route.pattern.host_path.host.representative();
        let our_host = candidate.pattern.host_path.host.representative();
        let reached = |(_, path): (String, String)| {
            let known = self.file.host_path(&our_host, &at(candidate, &path));
            known.is_none_or(|known| candidate.pattern.host_path <= *known)
                && self.decides(route, &their_host, &at(route, &path), selected)
        };
        if !self.file.representatives(&anywhere).any(reached) {
            return None;
        }
        let stripped = Stripped { ours: stripped_segments(candidate), theirs: stripped_segments(route) };
        let loosens = !candidate.rule.asks_at_least_stripped(&route.rule, stripped);
        let rule = loosens.then_some(LoosenedPart::Rule);
        let part = rule.or_else(|| candidate.options.loosens(&route.options))?;
        Some(Loosened { route, part, alias: Some(anywhere.path.to_string()) })
    }

    /// Returns `true` if `route` of the file decides there, for requests that `selected` selects.
    fn decides(&self, route: &Route, host: &str, path: &str, selected: Option<&McpSelector>) -> bool {
        self.file.host_path(host, path) == Some(&route.pattern.host_path) && {
            let own = route.pattern.mcp.as_ref();
            // A narrower selector of the same pattern may decide all of these requests instead.
            let mut selectors = self.file.mcp_selectors(host, path);
            !selectors.any(|other| {
                Some(other) != own
                    && McpSelector::is_within(selected, Some(other))
                    && McpSelector::is_within(Some(other), own)
            })
        }
    }

    /// Returns `true` if the rule of `route` also guards what is left where routes strip a prefix (`strip.rs`).
    fn guards_rests(&self, route: &Route) -> bool {
        let options = &route.options;
        options.strip_prefix.is_none()
            && options.upstream.as_deref().is_some_and(|upstream| self.stripped.contains(upstream))
    }

    fn is_same_upstream(&self, route: &Route, candidate: &Route) -> bool {
        let (Some(ours), Some(theirs)) = (&candidate.options.upstream, &route.options.upstream) else {
            return false;
        };
        let known = |name: &str| self.upstreams.iter().find(|upstream| upstream.name == name);
        ours == theirs
            || known(ours).zip(known(theirs)).is_some_and(|(ours, theirs)| ours.may_be_same_as(theirs))
    }
}

impl RouteOptions {
    /// Returns the part that lets more requests through than `file` does, or tells upstreams something else, beside the
    /// rule.
    fn loosens(&self, file: &Self) -> Option<LoosenedPart> {
        if file.fresh && !self.fresh {
            Some(LoosenedPart::Fresh)
        } else if !self.accept.without(file.accept).is_empty() {
            Some(LoosenedPart::Accept)
        } else if !self.accept_token.iter().all(|source| file.accept_token.contains(source)) {
            Some(LoosenedPart::AcceptToken)
        } else if !self.crosses_at_most(file) {
            Some(LoosenedPart::Cors)
        } else if self.identity() != file.identity() {
            Some(LoosenedPart::Identity)
        } else {
            None
        }
    }

    /// Returns the identity that upstreams are told, where it is not the general one.
    fn identity(&self) -> Option<&IdentitySettings> {
        self.identity.as_ref().filter(|identity| !identity.is_general())
    }

    /// Returns `true` if every page that may call under this may call under `file` too, whatever the settings for all
    /// routes are.
    fn crosses_at_most(&self, file: &Self) -> bool {
        match (&self.cors, &file.cors) {
            (None, None) => true,
            (Some(ours), None) => ours.origins.is_empty(),
            (None, Some(_)) => false,
            (Some(ours), Some(theirs)) => ours.allows_at_most(theirs),
        }
    }
}

fn changed_image(candidate: &RouteOptions, file: &RouteOptions) -> Option<LoosenedPart> {
    if candidate.upstream != file.upstream {
        Some(LoosenedPart::Upstream)
    } else if candidate.strip_prefix != file.strip_prefix {
        Some(LoosenedPart::StripPrefix)
    } else {
        None
    }
}

fn stripped_segments(route: &Route) -> usize {
    route.options.strip_prefix.as_deref().map_or(0, |prefix| prefix.matches('/').count())
}

/// Returns the paths that the upstream of a route gets.
fn image(route: &Route) -> PathPattern {
    let path = &route.pattern.host_path.path;
    let rest = path.segments().iter().skip(stripped_segments(route));
    PathPattern::new(rest.cloned().collect(), path.takes_rest())
}

/// Returns the path by which the upstream of `route` is asked for `path`.
fn at(route: &Route, path: &str) -> String {
    route.options.strip_prefix.as_deref().unwrap_or_default().to_owned() + path
}
