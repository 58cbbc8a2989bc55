//! The compiled policy: which route decides a target.

use http::Method;
use scopegate_provider::{Principal, Scope};

use super::{
    Decision, Denial, HostPath, Methods, Refused, Route, Rule, Source, Target, TargetError, TokenUse,
    interpretations::interpretations, settings::TokenSource, tree::Tree,
};

/// All routes, compiled. Immutable: a change compiles a new one, and swaps.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    routes: Box<[Route]>,
    entries: Box<[RouteEntry]>,
    tree: Tree,
    scopes: Box<[DeclaredScope]>,
    depth: usize,
}

/// A scope that the policy declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredScope {
    /// Its name.
    pub name: Scope,
    /// What it is for.
    pub description: String,
    /// Where it was declared.
    pub source: Source,
}

/// The routes of one place, by method.
#[derive(Debug, Clone, Default)]
struct RouteEntry {
    by_method: Vec<(Method, usize)>,
    otherwise: Option<usize>,
    first: usize,
}

/// The route that decides a target, found by [`Policy::find`].
#[derive(Debug, Clone)]
pub enum Found<'p> {
    /// This one.
    Route(&'p Route),
    /// The most specific place that matches names other methods only. No wider pattern is asked.
    MethodNotAllowed {
        /// One of the place's routes.
        route: &'p Route,
        /// The methods that are allowed there.
        allowed: Box<[Method]>,
    },
    /// No pattern matches.
    NoRoute,
}

/// The routes that decide a target: its own, those of the other readings of an irregular path, and those of what is left
/// where a prefix is stripped. All must permit.
#[derive(Debug, Clone)]
pub struct Resolved<'p> {
    route: &'p Route,
    others: Vec<&'p Route>,
}

impl Policy {
    pub(super) fn assemble(mut routes: Vec<Route>, scopes: Vec<DeclaredScope>) -> Self {
        let mut tree = Tree::default();
        let mut entries: Vec<RouteEntry> = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            let number = tree.insert(&route.pattern.host_path, entries.len());
            if number == entries.len() {
                entries.push(RouteEntry { first: index, ..RouteEntry::default() });
            }
            if let Some(entry) = entries.get_mut(number) {
                entry.add(&route.pattern.methods, index);
            }
        }
        for entry in &mut entries {
            entry.let_head_follow_get(&mut routes);
        }
        let depth = routes
            .iter()
            .map(|route| route.pattern.host_path.path.segments().len())
            .max()
            .unwrap_or_default();
        Self { routes: routes.into(), entries: entries.into(), tree, scopes: scopes.into(), depth }
    }

    /// The route that decides `target` by its own reading. [`Policy::resolve`] also looks at the others.
    pub fn find(&self, target: &Target) -> Found<'_> {
        let Some(entry) = self.entry(target.host(), target.matched_path()) else {
            return Found::NoRoute;
        };
        match (entry.route(target.method()), self.routes.get(entry.first)) {
            (Some(index), _) => self.routes.get(index).map_or(Found::NoRoute, Found::Route),
            (None, Some(route)) => {
                let allowed = entry.by_method.iter().map(|(method, _)| method.clone()).collect();
                Found::MethodNotAllowed { route, allowed }
            }
            (None, None) => Found::NoRoute,
        }
    }

    /// The routes that decide `target`: found, accepting what is irregular about it, for each of its readings, and for what
    /// is left of it where a prefix is stripped.
    ///
    /// # Errors
    /// The refusal, where no rule needs to be asked.
    pub fn resolve(&self, target: &Target) -> Result<Resolved<'_>, Refused<'_>> {
        let route = self.accepting(target)?;
        let mut others: Vec<&Route> = Vec::new();
        if target.irregularities().is_empty() && route.options.strip_prefix.is_none() {
            return Ok(Resolved { route, others });
        }
        let refused = |error| Refused { route: Some(route), denial: Denial::Interpretation(error) };
        for name in self.other_names(target, route).map_err(refused)? {
            let other = self.accepting(&name)?;
            if !std::ptr::eq(other, route) && !others.iter().any(|known| std::ptr::eq(*known, other)) {
                others.push(other);
            }
        }
        Ok(Resolved { route, others })
    }

    /// As what else `target` must be permitted, which `route` decides.
    pub(super) fn other_names(&self, target: &Target, route: &Route) -> Result<Vec<Target>, TargetError> {
        let irregular = !target.irregularities().is_empty();
        let mut names = if irregular { interpretations(target)? } else { Vec::new() };
        names.extend(self.names_of_rest(target, route)?);
        Ok(names)
    }

    /// The routes of the place that decides `target`, whatever the method.
    pub(super) fn of_host_path(&self, target: &Target) -> impl Iterator<Item = &Route> {
        let entry = self.entry(target.host(), target.matched_path());
        let indexes = entry
            .into_iter()
            .flat_map(|entry| entry.by_method.iter().map(|(_, index)| *index).chain(entry.otherwise));
        indexes.filter_map(|index| self.routes.get(index))
    }

    /// What the policy says to a request of `principal`, none if no token came.
    pub fn decide(&self, target: &Target, principal: Option<&Principal>) -> Decision<'_> {
        match self.resolve(target) {
            Ok(resolved) => resolved.decide(principal),
            Err(refused) => Decision::Deny(refused),
        }
    }

    /// Every route, in the order declared.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Every route, the most specific first.
    pub fn routes_by_precedence(&self) -> Vec<&Route> {
        let mut routes: Vec<&Route> = self.routes.iter().collect();
        routes.sort_by(|a, b| a.pattern.host_path.cmp(&b.pattern.host_path));
        routes
    }

    /// Every declared scope, in the order declared.
    pub fn scopes(&self) -> &[DeclaredScope] {
        &self.scopes
    }

    /// The place that decides a host and path, whatever the method.
    pub(super) fn host_path(&self, host: &str, path: &str) -> Option<&HostPath> {
        self.routes.get(self.entry(host, path)?.first).map(|route| &route.pattern.host_path)
    }

    /// The route that decides a host, path and method.
    pub(super) fn route_at(&self, host: &str, path: &str, method: &Method) -> Option<&Route> {
        self.routes.get(self.entry(host, path)?.route(method)?)
    }

    /// The most segments that a pattern has.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    fn entry(&self, host: &str, path: &str) -> Option<&RouteEntry> {
        self.entries.get(self.tree.find(host, path)?)
    }

    fn accepting(&self, target: &Target) -> Result<&Route, Refused<'_>> {
        match self.find(target) {
            Found::Route(route) => {
                let refused = target.irregularities().without(route.options.accept);
                let denial = Denial::IrregularPath(refused);
                if refused.is_empty() { Ok(route) } else { Err(Refused { route: Some(route), denial }) }
            }
            Found::MethodNotAllowed { route, allowed } => {
                Err(Refused { route: Some(route), denial: Denial::MethodNotAllowed { allowed } })
            }
            Found::NoRoute => Err(Refused { route: None, denial: Denial::NoRoute }),
        }
    }
}

impl RouteEntry {
    fn add(&mut self, methods: &Methods, index: usize) {
        match methods {
            Methods::Only(these) => self.by_method.extend(these.iter().map(|method| (method.clone(), index))),
            Methods::Except(_) => self.otherwise = Some(index),
        }
    }

    /// HEAD is decided as GET unless it is named itself.
    fn let_head_follow_get(&mut self, routes: &mut [Route]) {
        let named =
            |method: Method| self.by_method.iter().find(|(named, _)| *named == method).map(|(_, at)| *at);
        let (Some(get), None) = (named(Method::GET), named(Method::HEAD)) else { return };
        self.by_method.push((Method::HEAD, get));
        if let Some(route) = routes.get_mut(get) {
            route.effective = route.effective.with(Method::HEAD);
        }
        if let Some(route) = self.otherwise.and_then(|index| routes.get_mut(index)) {
            route.effective = route.effective.without(&[Method::HEAD]);
        }
    }

    fn route(&self, method: &Method) -> Option<usize> {
        let by_method = self.by_method.iter().find(|(named, _)| named == method).map(|(_, index)| *index);
        by_method.or(self.otherwise)
    }
}

impl<'p> Resolved<'p> {
    /// Returns the one route of an endpoint that the policy does not decide about.
    pub(crate) fn of(route: &'p Route) -> Self {
        Self { route, others: Vec::new() }
    }

    /// The route of the target as it was read first.
    pub fn route(&self) -> &'p Route {
        self.route
    }

    /// What is to be done with a token before the rules are asked.
    pub fn token_use(&self) -> TokenUse {
        if self.closed().is_some() {
            return TokenUse::Ignored;
        }
        self.routes().map(|route| route.rule.token_use()).max().unwrap_or(TokenUse::Required)
    }

    /// Whether the provider must be asked about the token now.
    pub fn fresh(&self) -> bool {
        self.routes().any(|route| route.options.fresh)
    }

    /// Whether a token may come from `source`.
    pub fn accepts_token_from(&self, source: TokenSource) -> bool {
        self.routes().all(|route| route.options.accept_token.contains(&source))
    }

    /// What the rules say to `principal`, none if no token came: all must permit.
    pub fn decide(&self, principal: Option<&Principal>) -> Decision<'p> {
        if let Some(route) = self.closed() {
            return Decision::Deny(Refused { route: Some(route), denial: Denial::Nobody });
        }
        for route in self.routes() {
            if let Err(denial) = route.rule.decide(principal) {
                return Decision::Deny(Refused { route: Some(route), denial });
            }
        }
        Decision::Permit { route: self.route }
    }

    /// A route that lets nobody in, so that no token needs to be looked at.
    fn closed(&self) -> Option<&'p Route> {
        self.routes().find(|route| *route.rule == Rule::Nobody)
    }

    /// Every route that decides: of the target as it was read first, then those of its other readings.
    pub fn routes(&self) -> impl Iterator<Item = &'p Route> {
        [self.route].into_iter().chain(self.others.iter().copied())
    }
}
