//! The compiled policy: the routes, and the search for the one that decides a target.

use std::sync::Arc;

use http::Method;
use scopegate_provider::{ClaimPath, Scope};

use super::{
    CallerAt, Decision, Denial, HostPath, Irregularities, McpError, McpSelector, Methods, Refused, Route,
    RouteOptions, Rule, Source, Target, TargetError, TokenUse,
    interpretations::interpretations,
    methods,
    settings::{Mode, TokenSource},
    tree::Tree,
};

/// All routes, compiled. Immutable: a change compiles a new policy and swaps it in.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    routes: Box<[Route]>,
    entries: Box<[RouteEntry]>,
    tree: Tree,
    scopes: Box<[DeclaredScope]>,
    depth: usize,
    reads_mcp: bool,
    pub(super) shadow: Option<Arc<Policy>>,
    /// The policy whose patterns have no case, where services ignore it.
    pub(super) folded: Option<Arc<Policy>>,
    tested_claims: Box<[ClaimPath]>,
}

/// A scope that the policy declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredScope {
    /// Its name.
    pub name: Scope,
    /// Its description, for people.
    pub description: String,
    /// The scopes that it implies directly.
    pub implies: Box<[Scope]>,
    /// The place of its declaration.
    pub source: Source,
}

/// The routes of one host and path. Those that name an MCP method decide the requests that match them, the others the
/// rest.
#[derive(Debug, Clone, Default)]
struct RouteEntry {
    plain: Slots,
    by_mcp: Vec<(McpSelector, Slots)>,
    first: usize,
}

/// Routes by HTTP method.
#[derive(Debug, Clone, Default)]
struct Slots {
    by_method: Vec<(Method, usize)>,
    otherwise: Option<usize>,
}

/// The result of [`Policy::find`].
#[derive(Debug, Clone)]
pub enum Found<'p> {
    /// The route that decides.
    Route(&'p Route),
    /// The most specific pattern that matches names other methods only. No wider pattern is tried.
    MethodNotAllowed {
        /// One of the routes there.
        route: &'p Route,
        /// The methods that are allowed there.
        allowed: Box<[Method]>,
    },
    /// The most specific pattern is decided by MCP headers, and those of the request cannot be relied on.
    Mcp {
        /// One of the routes there.
        route: &'p Route,
        /// The problem with the headers.
        error: McpError,
    },
    /// No pattern matches.
    NoRoute,
}

/// The routes that decide a target: its own, those of the other interpretations of an irregular path, and those of the
/// rest where a prefix is stripped. All must permit.
#[derive(Debug, Clone)]
pub struct Resolved<'p> {
    own: Deciding<'p>,
    others: Vec<Deciding<'p>>,
}

/// A route, and the path for which it decides where its rule depends on the path.
#[derive(Debug, Clone)]
struct Deciding<'p> {
    route: &'p Route,
    path: Option<Box<str>>,
}

impl<'p> Deciding<'p> {
    fn new(route: &'p Route, target: &Target) -> Self {
        Self { route, path: route.reads_path().then(|| target.normal_path().into()) }
    }

    fn decides_as(&self, other: &Self) -> bool {
        let is_same =
            std::ptr::eq(self.route, other.route) || Arc::ptr_eq(&self.route.rule, &other.route.rule);
        is_same && self.path == other.path
    }

    fn decide(&self, caller: Option<CallerAt<'_>>) -> Result<(), Denial> {
        match &self.path {
            Some(path) => self.route.rule.decide(caller.map(|caller| caller.at_path(path))),
            None => self.route.rule.decide(caller),
        }
    }
}

impl Policy {
    /// Assembles enforced routes, and a second policy in which the shadow routes are enforced as well.
    pub(super) fn assemble(routes: Vec<Route>, scopes: Vec<DeclaredScope>) -> Self {
        let (shadow, enforced): (Vec<Route>, Vec<Route>) = routes.into_iter().partition(Route::is_shadow);
        let shadow = (!shadow.is_empty()).then(|| {
            let replaced = enforced.iter().filter_map(|route| route.without_those_of(&shadow));
            let all = replaced.chain(shadow.iter().cloned()).collect();
            Arc::new(Self::of_routes(all, scopes.clone()))
        });
        let mut policy = Self::of_routes(enforced, scopes);
        if let Some(shadow) = &shadow {
            policy.tested_claims = claim_paths(policy.routes.iter().chain(&shadow.routes));
        }
        Self { shadow, ..policy }
    }

    pub(super) fn of_routes(mut routes: Vec<Route>, scopes: Vec<DeclaredScope>) -> Self {
        let mut tree = Tree::default();
        let mut entries: Vec<RouteEntry> = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            let number = tree.insert(&route.pattern.host_path, entries.len());
            if number == entries.len() {
                entries.push(RouteEntry { first: index, ..RouteEntry::default() });
            }
            if let Some(entry) = entries.get_mut(number) {
                entry.add(route, index);
            }
        }
        for entry in &mut entries {
            entry.plain.let_head_follow_get(&mut routes);
        }
        let depth = routes.iter().map(|route| route.pattern.host_path.path.segments().len()).max();
        Self {
            reads_mcp: routes.iter().any(|route| route.pattern.mcp.is_some()),
            tested_claims: claim_paths(&routes),
            routes: routes.into(),
            entries: entries.into(),
            tree,
            scopes: scopes.into(),
            depth: depth.unwrap_or_default(),
            shadow: None,
            folded: None,
        }
    }

    /// Finds the route that decides `target` by its own interpretation. [`Policy::resolve`] also looks at the others.
    pub fn find(&self, target: &Target) -> Found<'_> {
        let Some(entry) = self.entry(target.host(), target.matched_path()) else {
            return Found::NoRoute;
        };
        let Some(first) = self.routes.get(entry.first) else {
            return Found::NoRoute;
        };
        match entry.slots(target) {
            Ok(slots) => match slots.route(target.method()) {
                Some(index) => self.routes.get(index).map_or(Found::NoRoute, Found::Route),
                None => Found::MethodNotAllowed { route: first, allowed: slots.allowed() },
            },
            Err(error) => Found::Mcp { route: first, error },
        }
    }

    /// Finds the routes that decide `target`: for each interpretation of its path, which must be accepted, and for the
    /// rest where a prefix is stripped.
    ///
    /// # Errors
    /// The refusal, where no rule needs to be decided.
    pub fn resolve(&self, target: &Target) -> Result<Resolved<'_>, Refused<'_>> {
        let route = self.accepting(target)?;
        let own = Deciding::new(route, target);
        let mut others: Vec<Deciding<'_>> = Vec::new();
        let is_plain = target.irregularities().is_empty() && route.options.strip_prefix.is_none();
        if is_plain && self.folded.is_none() {
            return Ok(Resolved { own, others });
        }
        let names = self.other_names(target, route);
        let names =
            names.map_err(|error| Refused { route: Some(route), denial: Denial::Interpretation(error) })?;
        for name in &names {
            let other = Deciding::new(self.accepting(name)?, name);
            if !other.decides_as(&own) && !others.iter().any(|known| known.decides_as(&other)) {
                others.push(other);
            }
        }
        let Some(folded) = self.folded() else { return Ok(Resolved { own, others }) };
        for name in [target].into_iter().chain(&names) {
            let without_case = name
                .folded()
                .map_err(|error| Refused { route: Some(route), denial: Denial::Interpretation(error) })?;
            // The segments that a rule reads are those that were sent.
            let other = Deciding::new(folded.accepting(&without_case)?, name);
            if !other.decides_as(&own) && !others.iter().any(|known| known.decides_as(&other)) {
                others.push(other);
            }
        }
        Ok(Resolved { own, others })
    }

    /// Returns the targets that must be permitted besides `target`, which `route` decides.
    pub(super) fn other_names(&self, target: &Target, route: &Route) -> Result<Vec<Target>, TargetError> {
        let irregular = !target.irregularities().is_empty();
        let mut names = if irregular { interpretations(target)? } else { Vec::new() };
        names.extend(self.names_of_rest(target, route)?);
        Ok(names)
    }

    /// The routes of the host and path that decide `target`, whatever the method.
    pub(super) fn of_host_path(&self, target: &Target) -> impl Iterator<Item = &Route> {
        let entry = self.entry(target.host(), target.matched_path());
        let slots = entry
            .into_iter()
            .flat_map(|entry| [&entry.plain].into_iter().chain(entry.by_mcp.iter().map(|(_, slots)| slots)));
        slots.flat_map(Slots::indexes).filter_map(|index| self.routes.get(index))
    }

    /// Decides about a request of `caller`, `None` for one without a token.
    pub fn decide(&self, target: &Target, caller: Option<CallerAt<'_>>) -> Decision<'_> {
        match self.resolve(target) {
            Ok(resolved) => resolved.decide(caller),
            Err(refused) => Decision::Deny(refused),
        }
    }

    /// Decides as if the routes in `mode: shadow` were enforced; `None` where none of them takes part.
    pub fn decide_in_shadow(&self, target: &Target, caller: Option<CallerAt<'_>>) -> Option<Decision<'_>> {
        Some(match self.resolve_in_shadow(target)? {
            Ok(resolved) => resolved.decide(caller),
            Err(refused) => Decision::Deny(refused),
        })
    }

    /// Resolves as if the routes in `mode: shadow` were enforced; `None` where none of them takes part.
    pub fn resolve_in_shadow(&self, target: &Target) -> Option<Result<Resolved<'_>, Refused<'_>>> {
        let resolved = self.shadow.as_deref()?.resolve(target);
        let takes_part = match &resolved {
            Ok(resolved) => resolved.routes().any(Route::is_shadow),
            Err(refused) => refused.route.is_some_and(Route::is_shadow),
        };
        takes_part.then_some(resolved)
    }

    /// Returns the paths of the claims that rules test, those of routes in `mode: shadow` included.
    pub fn tested_claims(&self) -> &[ClaimPath] {
        &self.tested_claims
    }

    /// Returns the policy with other options of its enforced routes.
    pub(super) fn with_options(&self, options: impl Fn(&Route) -> RouteOptions) -> Self {
        let routes = self.routes.iter();
        let routes = routes.map(|route| Route { options: Arc::new(options(route)), ..route.clone() });
        Self { routes: routes.collect(), ..self.clone() }
    }

    /// Every enforced route, in the order declared.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The policy in which the routes in `mode: shadow` are enforced; `None` if there is none.
    pub fn shadow(&self) -> Option<&Policy> {
        self.shadow.as_deref()
    }

    /// Returns the enforced routes that a route in `mode: shadow` replaces once it is enforced.
    ///
    /// # Errors
    /// An enforced route of the same pattern keeps other methods: they have to be named there first.
    pub fn replaced_by(&self, shadow: &Source) -> Result<Vec<Source>, String> {
        let mut replaced = Vec::new();
        let all = self.routes_by_precedence();
        for route in all.iter().filter(|route| route.source == *shadow) {
            let same = self.routes.iter().filter(|other| {
                other.pattern.host_path == route.pattern.host_path && other.pattern.mcp == route.pattern.mcp
            });
            for other in same.filter(|other| !other.pattern.methods.and(&route.pattern.methods).is_empty()) {
                if !other.pattern.methods.minus(&route.pattern.methods).is_empty() {
                    return Err(format!(
                        "`{route}` would decide some methods of `{other}` ({}): leave these methods out there first",
                        other.source
                    ));
                }
                if !replaced.contains(&other.source) {
                    replaced.push(other.source.clone());
                }
            }
        }
        Ok(replaced)
    }

    /// The policy whose patterns have no case, where services ignore it.
    pub(super) fn folded(&self) -> Option<&Policy> {
        self.folded.as_deref()
    }

    /// Returns every route, the most specific first, those in `mode: shadow` behind the enforced ones of their pattern.
    pub fn routes_by_precedence(&self) -> Vec<&Route> {
        let shadow =
            self.shadow.iter().flat_map(|shadow| shadow.routes.iter().filter(|route| route.is_shadow()));
        let mut routes: Vec<&Route> = self.routes.iter().chain(shadow).collect();
        routes.sort_by(|a, b| a.pattern.precedence(&b.pattern));
        routes
    }

    /// Returns the routes of each host and path that has any.
    pub(super) fn by_host_path(&self) -> impl Iterator<Item = (&HostPath, Vec<&Route>)> {
        self.entries.iter().filter_map(|entry| {
            let indexes =
                entry.plain.indexes().chain(entry.by_mcp.iter().flat_map(|(_, slots)| slots.indexes()));
            let mut indexes: Vec<usize> = indexes.collect();
            indexes.sort_unstable();
            indexes.dedup();
            let routes: Vec<&Route> =
                indexes.into_iter().filter_map(|index| self.routes.get(index)).collect();
            Some((&self.routes.get(entry.first)?.pattern.host_path, routes))
        })
    }

    /// Every declared scope, in the order declared.
    pub fn scopes(&self) -> &[DeclaredScope] {
        &self.scopes
    }

    /// Returns `true` if a route names an MCP method, so that targets need [`Target::with_mcp`].
    pub fn reads_mcp(&self) -> bool {
        self.reads_mcp || self.shadow.as_ref().is_some_and(|shadow| shadow.reads_mcp)
    }

    /// Returns the host and path of the pattern that decides these, whatever the method.
    pub(super) fn host_path(&self, host: &str, path: &str) -> Option<&HostPath> {
        self.routes.get(self.entry(host, path)?.first).map(|route| &route.pattern.host_path)
    }

    /// Returns the MCP selectors of the pattern that decides a host and path.
    pub(super) fn mcp_selectors(&self, host: &str, path: &str) -> impl Iterator<Item = &McpSelector> {
        self.entry(host, path).into_iter().flat_map(|entry| entry.by_mcp.iter().map(|(selector, _)| selector))
    }

    /// Returns the route that decides a host, path and method.
    pub(super) fn route_at(&self, host: &str, path: &str, method: &Method) -> Option<&Route> {
        self.routes.get(self.entry(host, path)?.plain.route(method)?)
    }

    /// The most segments of a pattern.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    fn entry(&self, host: &str, path: &str) -> Option<&RouteEntry> {
        self.entries.get(self.tree.find(host, path)?)
    }

    fn accepting(&self, target: &Target) -> Result<&Route, Refused<'_>> {
        let (route, denial) = match self.find(target) {
            Found::Route(route) => {
                let refused = target.irregularities().without(route.options.accept);
                if refused.is_empty() {
                    return Ok(route);
                }
                (Some(route), Denial::IrregularPath(refused))
            }
            Found::MethodNotAllowed { route, allowed } => (Some(route), Denial::MethodNotAllowed { allowed }),
            Found::Mcp { route, error } => (Some(route), Denial::Mcp(error)),
            Found::NoRoute => {
                let refused = target.irregularities().and(Irregularities::REFUSED_WITHOUT_ROUTE);
                let denial =
                    if refused.is_empty() { Denial::NoRoute } else { Denial::IrregularPath(refused) };
                (None, denial)
            }
        };
        Err(Refused { route, denial })
    }
}

/// Returns the paths of the claims that the rules of routes test.
fn claim_paths<'r>(routes: impl IntoIterator<Item = &'r Route>) -> Box<[ClaimPath]> {
    let rules = routes.into_iter().flat_map(|route| route.rule.alternatives());
    let mut paths: Vec<ClaimPath> =
        rules.flat_map(|alternative| alternative.claims.iter().map(|test| test.path.clone())).collect();
    paths.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    paths.dedup();
    paths.into()
}

impl RouteEntry {
    fn add(&mut self, route: &Route, index: usize) {
        let slots = match &route.pattern.mcp {
            None => &mut self.plain,
            Some(selector) => {
                let at = self.by_mcp.partition_point(|(known, _)| known < selector);
                if self.by_mcp.get(at).is_none_or(|(known, _)| known != selector) {
                    self.by_mcp.insert(at, (selector.clone(), Slots::default()));
                }
                match self.by_mcp.get_mut(at) {
                    Some((_, slots)) => slots,
                    None => return,
                }
            }
        };
        slots.add(&route.pattern.methods, index);
    }

    /// Returns the slots of the most specific selector that matches. MCP requests are `POST` requests.
    fn slots(&self, target: &Target) -> Result<&Slots, McpError> {
        if self.by_mcp.is_empty() || *target.method() != Method::POST {
            return Ok(&self.plain);
        }
        let facts = target.mcp()?;
        let matching = self.by_mcp.iter().find(|(selector, _)| selector.matches(facts));
        Ok(matching.map_or(&self.plain, |(_, slots)| slots))
    }
}

impl Slots {
    fn add(&mut self, methods: &Methods, index: usize) {
        match methods {
            Methods::Only(these) => self.by_method.extend(these.iter().map(|method| (method.clone(), index))),
            Methods::Except(_) => self.otherwise = Some(index),
        }
    }

    fn named(&self, method: &Method) -> Option<usize> {
        self.by_method.iter().find(|(named, _)| named == method).map(|(_, index)| *index)
    }

    /// Lets `HEAD` be decided as `GET` unless it is named itself.
    fn let_head_follow_get(&mut self, routes: &mut [Route]) {
        let (Some(get), None) = (self.named(&Method::GET), self.named(&Method::HEAD)) else { return };
        self.by_method.push((Method::HEAD, get));
        if let Some(route) = routes.get_mut(get) {
            route.effective = route.effective.with(Method::HEAD);
        }
        if let Some(route) = self.otherwise.and_then(|index| routes.get_mut(index)) {
            route.effective = route.effective.without(&[Method::HEAD]);
        }
    }

    fn route(&self, method: &Method) -> Option<usize> {
        self.named(method).or_else(|| self.otherwise.filter(|_| Methods::all().contains(method)))
    }

    fn allowed(&self) -> Box<[Method]> {
        let named = self.by_method.iter().map(|(method, _)| method.clone());
        let others =
            methods::COMMON.iter().filter(|method| self.otherwise.is_some() && self.named(method).is_none());
        named.chain(others.cloned()).collect()
    }

    fn indexes(&self) -> impl Iterator<Item = usize> {
        self.by_method.iter().map(|(_, index)| *index).chain(self.otherwise)
    }
}

impl<'p> Resolved<'p> {
    /// Returns the one route of an endpoint that the policy does not decide about.
    pub(crate) fn of(route: &'p Route) -> Self {
        Self { own: Deciding { route, path: None }, others: Vec::new() }
    }

    /// Returns the route of the target's own interpretation.
    pub fn route(&self) -> &'p Route {
        self.own.route
    }

    /// Returns the treatment of a token before the rules are decided.
    pub fn token_use(&self) -> TokenUse {
        if self.closed().is_some() {
            return TokenUse::Ignored;
        }
        self.routes().map(|route| route.rule.token_use()).max().unwrap_or(TokenUse::Required)
    }

    /// Returns `true` if the provider must be asked about the token now.
    pub fn fresh(&self) -> bool {
        self.routes().any(|route| route.options.fresh)
    }

    /// Returns the places beside `Authorization` from which a token may come: those that every route accepts.
    pub fn token_sources(&self) -> impl Iterator<Item = &'p TokenSource> {
        let own: &'p Route = self.own.route;
        let sources = own.options.accept_token.iter();
        sources.filter(|source| self.routes().all(|route| route.options.accept_token.contains(source)))
    }

    /// Decides about a request of `caller`, `None` for one without a token: all rules must permit.
    pub fn decide(&self, caller: Option<CallerAt<'_>>) -> Decision<'p> {
        if let Some(route) = self.closed() {
            return Decision::Deny(Refused { route: Some(route), denial: Denial::Nobody });
        }
        for deciding in self.deciding() {
            if let Err(denial) = deciding.decide(caller) {
                return Decision::Deny(Refused { route: Some(deciding.route), denial });
            }
        }
        Decision::Permit { route: self.own.route }
    }

    /// Returns a route that is closed, so that no token needs to be looked at.
    fn closed(&self) -> Option<&'p Route> {
        self.routes().find(|route| *route.rule == Rule::Nobody)
    }

    fn deciding(&self) -> impl Iterator<Item = &Deciding<'p>> {
        [&self.own].into_iter().chain(&self.others)
    }

    /// Returns the rules that must all permit, each with the path that it reads.
    pub(super) fn rules(&self) -> impl Iterator<Item = (&'p Rule, &str)> {
        self.deciding().map(|deciding| (&*deciding.route.rule, deciding.path.as_deref().unwrap_or_default()))
    }

    /// Every route that decides: that of the target's own interpretation first.
    pub fn routes(&self) -> impl Iterator<Item = &'p Route> {
        self.deciding().map(|deciding| deciding.route)
    }
}

impl Route {
    /// Returns `true` if the route is decided and counted without effect.
    pub fn is_shadow(&self) -> bool {
        self.options.mode == Mode::Shadow
    }

    /// Returns the route without the methods for which a shadow route of the same pattern decides; `None` if none is left.
    fn without_those_of(&self, shadow: &[Route]) -> Option<Route> {
        let same = shadow.iter().filter(|other| {
            other.pattern.host_path == self.pattern.host_path && other.pattern.mcp == self.pattern.mcp
        });
        let mut methods = self.pattern.methods.clone();
        for other in same {
            methods = methods.minus(&other.pattern.methods);
        }
        let pattern = super::Pattern { methods: methods.clone(), ..self.pattern.clone() };
        (!methods.is_empty()).then(|| Route { effective: methods, pattern, ..self.clone() })
    }
}
