//! Compiles a definition to a policy, and reports all of its errors at once.

use std::{collections::BTreeMap, sync::Arc};

use ahash::AHashMap;
use http::Method;
use scopegate_provider::{ProviderName, Scope};

use super::{
    Definition, McpSelector, Methods, PathPattern, Pattern, PatternError, Policy, PolicyError, Problem,
    Route, RouteOptions, Rule, Segment, Source, Vocabulary,
    error::nearest,
    hierarchy::{Hierarchy, HierarchyError},
    scope_routes::{ScopePattern, scope_routes},
    settings::{MatchSettings, McpSettings, RouteSettings},
    table::DeclaredScope,
};

/// A policy, and warnings about it.
#[derive(Debug, Clone, Default)]
pub struct Compiled {
    /// The policy.
    pub policy: Policy,
    /// The warnings.
    pub warnings: Vec<Warning>,
}

/// A setting that is allowed but deserves a second look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A provider takes tokens of several audiences, and this route takes them all.
    #[error(
        "{at}: the provider `{provider}` takes several audiences, and this route names none: add `audience`"
    )]
    AudienceNotNamed {
        /// The route.
        at: Source,
        /// The provider.
        provider: ProviderName,
    },
    /// No provider that the rule lets in can be asked about a token now.
    #[error("{at}: `fresh` refuses every call, as no provider of this route introspects")]
    NeverFresh {
        /// The route.
        at: Source,
    },
    /// Stored routes cover all of a pattern.
    #[error("{at}: `{pattern}` never decides: more specific patterns cover all of it")]
    NeverDecides {
        /// The route.
        at: Source,
        /// The pattern.
        pattern: String,
    },
}

impl Policy {
    /// Compiles a policy.
    ///
    /// # Errors
    /// All errors of the definition, each with its place and the text to write instead.
    pub fn compile(definition: &Definition) -> Result<Compiled, Vec<PolicyError>> {
        let scopes = definition.scopes.iter().map(|(_, name, _)| name.clone());
        let vocabulary = Vocabulary::new(scopes, definition.providers.clone());
        let mut compiler = Compiler { definition, vocabulary, errors: Vec::new() };
        let scopes = compiler.declared_scopes();
        compiler.close_hierarchy();
        let written = compiler.routes();
        let scope_patterns = compiler.scope_patterns();
        let stored = definition.has_stored();
        let hierarchy = Arc::clone(compiler.vocabulary.hierarchy());
        let file = stored.then(|| of_the_file(&written, &scope_patterns, &hierarchy));
        let routes: Vec<Route> =
            written.into_iter().chain(scope_routes(&scope_patterns, &hierarchy)).collect();
        compiler.check_duplicates(&routes);
        let policy = Self::assemble(routes, scopes).with_case(definition.case);
        let file = file.map(|file| file.with_case(definition.case));
        compiler.check_stored(&policy, file.as_ref());
        if let Some(folded) = policy.folded() {
            compiler.check_duplicates(folded.routes());
            compiler.check_stored(folded, file.as_ref().and_then(Self::folded));
        }
        let mut warnings = compiler.warnings(&policy);
        compiler.check_reach(&policy, stored, &mut warnings);
        if compiler.errors.is_empty() { Ok(Compiled { policy, warnings }) } else { Err(compiler.errors) }
    }
}

pub(super) struct Compiler<'d> {
    pub(super) definition: &'d Definition,
    pub(super) vocabulary: Vocabulary,
    errors: Vec<PolicyError>,
}

impl<'d> Compiler<'d> {
    pub(super) fn error(&mut self, at: &Source, key: impl Into<String>, problem: Problem) {
        let error = PolicyError { at: at.clone(), key: key.into(), problem };
        // The rule of a route with several patterns is parsed for each.
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn declared_scopes(&mut self) -> Vec<DeclaredScope> {
        let mut seen: AHashMap<&Scope, &Source> = AHashMap::new();
        let mut scopes = Vec::new();
        for (source, name, settings) in &self.definition.scopes {
            if let Some(other) = seen.insert(name, source) {
                let other = other.clone();
                self.error(source, "", Problem::DuplicateScope { other });
            }
            scopes.push(DeclaredScope {
                name: name.clone(),
                description: settings.description().to_owned(),
                implies: settings.implies().into(),
                source: source.clone(),
            });
        }
        scopes
    }

    /// Checks `implies` of all scopes, and makes the hierarchy known to the rules.
    fn close_hierarchy(&mut self) {
        let declared: AHashMap<&Scope, &Source> =
            self.definition.scopes.iter().map(|(source, name, _)| (name, source)).collect();
        let mut direct: BTreeMap<Scope, Vec<Scope>> = BTreeMap::new();
        for (source, name, settings) in &self.definition.scopes {
            for implied in settings.implies() {
                if let Some(problem) = self.vocabulary.undeclared(implied) {
                    self.error(source, "implies", problem);
                } else if let Some(file) = declared.get(implied)
                    && file.is_file()
                    && !source.is_file()
                {
                    let problem = Problem::ImpliesFile { scope: implied.clone(), file: (*file).clone() };
                    self.error(source, "implies", problem);
                } else {
                    direct.entry(name.clone()).or_default().push(implied.clone());
                }
            }
        }
        let (scope, problem) = match Hierarchy::close(&direct) {
            Ok(hierarchy) => {
                self.vocabulary = std::mem::take(&mut self.vocabulary).with_hierarchy(hierarchy);
                return;
            }
            Err(HierarchyError::TooDeep(scope)) => {
                (scope, Problem::ImpliesTooDeep { limit: Hierarchy::MAX_DEPTH })
            }
            Err(HierarchyError::Cycle(cycle)) => match cycle.first() {
                Some(first) => (first.clone(), Problem::ImpliesItself { cycle }),
                None => return,
            },
        };
        if let Some(source) = declared.get(&scope) {
            self.error(source, "implies", problem);
        }
    }

    fn routes(&mut self) -> Vec<Route> {
        self.definition.routes.iter().flat_map(|(source, settings)| self.route(source, settings)).collect()
    }

    fn route(&mut self, source: &Source, settings: &RouteSettings) -> Vec<Route> {
        let mut patterns = self.patterns(source, &settings.matches);
        if let Some(mcp) = &settings.mcp {
            self.select_mcp(source, mcp, &mut patterns);
        }
        let first = patterns.first().map(|pattern| &pattern.host_path.path);
        let rule = self.rule(source, settings, first);
        let options = self.options(source, settings, rule.as_deref(), &patterns);
        let Some(rule) = rule else { return Vec::new() };
        let mut routes = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            // A named segment may have another index in another pattern.
            let own = if rule.reads_path() {
                self.rule(source, settings, Some(&pattern.host_path.path))
            } else {
                Some(Arc::clone(&rule))
            };
            routes.extend(own.map(|rule| Route::new(source.clone(), pattern, rule, Arc::clone(&options))));
        }
        routes
    }

    fn patterns(&mut self, source: &Source, matches: &MatchSettings) -> Vec<Pattern> {
        match matches {
            MatchSettings::One(text) => {
                self.pattern(source, "match", Pattern::parse(text)).into_iter().collect()
            }
            MatchSettings::Long(long) => {
                let pattern = Pattern::from_parts(&long.methods, long.host.as_deref(), &long.path);
                self.pattern(source, "match", pattern).into_iter().collect()
            }
            MatchSettings::Many(texts) => {
                if texts.is_empty() {
                    self.error(source, "match", Problem::NoPattern);
                }
                let indexed = texts.iter().enumerate();
                indexed
                    .filter_map(|(index, text)| {
                        self.pattern(source, format!("match[{index}]"), Pattern::parse(text))
                    })
                    .collect()
            }
        }
    }

    fn pattern(
        &mut self,
        source: &Source,
        key: impl Into<String>,
        pattern: Result<Pattern, PatternError>,
    ) -> Option<Pattern> {
        pattern.map_err(|error| self.error(source, key, Problem::Pattern(error))).ok()
    }

    /// Restricts patterns to MCP requests, which are `POST` requests.
    fn select_mcp(&mut self, source: &Source, mcp: &McpSettings, patterns: &mut [Pattern]) {
        for (key, text) in [("mcp.method", Some(&mcp.method)), ("mcp.name", mcp.name.as_ref())] {
            if let Some(text) = text
                && let Some(problem) = mcp_problem(text)
            {
                self.error(source, key, problem);
            }
        }
        let selector =
            McpSelector { method: mcp.method.as_str().into(), name: mcp.name.as_deref().map(Into::into) };
        for pattern in patterns {
            let methods = pattern.methods.and(&Methods::only([Method::POST]));
            if methods.is_empty() {
                self.error(source, "mcp", Problem::McpWithoutPost { pattern: pattern.to_string() });
            }
            pattern.methods = methods;
            pattern.mcp = Some(selector.clone());
        }
    }

    fn rule(
        &mut self,
        source: &Source,
        settings: &RouteSettings,
        path: Option<&PathPattern>,
    ) -> Option<Arc<Rule>> {
        match (&settings.require, settings.allow) {
            (Some(_), Some(_)) => self.error(source, "allow", Problem::RequireAndAllow),
            (None, None) => self.error(source, "require", Problem::NeitherRequireNorAllow),
            (None, Some(allow)) => return Some(Arc::new(allow.into())),
            (Some(require), None) => match self.vocabulary.rule_at(require, path) {
                Ok(rule) => return Some(Arc::new(rule)),
                Err(errors) => {
                    for error in errors {
                        let dot = if error.key.is_empty() { "" } else { "." };
                        self.error(source, format!("require{dot}{}", error.key), error.problem);
                    }
                }
            },
        }
        None
    }

    fn options(
        &mut self,
        source: &Source,
        settings: &RouteSettings,
        rule: Option<&Rule>,
        patterns: &[Pattern],
    ) -> Arc<RouteOptions> {
        if matches!(rule, Some(Rule::Anonymous | Rule::Nobody)) {
            if settings.fresh {
                self.error(source, "fresh", Problem::NeedsToken);
            }
            if settings.accept_token.as_ref().is_some_and(|sources| !sources.is_empty()) {
                self.error(source, "accept_token", Problem::NeedsToken);
            }
        }
        if settings.open_to_admin && !source.is_file() {
            self.error(source, "open_to_admin", Problem::OpenStored);
        }
        if !settings.accept.is_empty()
            && let Some(pattern) = patterns.iter().find(|pattern| pattern.host_path.path.is_literal())
        {
            self.error(source, "accept", Problem::AcceptsNothing { pattern: pattern.to_string() });
        }
        self.check_upstream(source, settings);
        let accept_token = match rule {
            Some(Rule::Anonymous | Rule::Nobody) => Box::default(),
            _ => settings.accept_token.as_ref().unwrap_or(&self.definition.accept_token).as_slice().into(),
        };
        Arc::new(RouteOptions {
            fresh: settings.fresh,
            accept: settings.accept.iter().copied().collect(),
            open_to_admin: settings.open_to_admin,
            upstream: settings.upstream.as_deref().map(Into::into),
            strip_prefix: self.strip_prefix(source, settings, patterns),
            identity: settings.identity.clone(),
            cors: settings.cors.clone(),
            accept_token,
            mode: settings.mode,
        })
    }

    fn check_upstream(&mut self, source: &Source, settings: &RouteSettings) {
        let known = &self.definition.upstreams;
        if let Some(name) = &settings.upstream
            && known.iter().all(|upstream| upstream.name != *name)
        {
            let nearest = nearest(name, known.iter().map(|upstream| upstream.name.as_str()));
            let problem =
                Problem::UnknownUpstream { name: name.clone(), nearest: nearest.map(str::to_owned) };
            self.error(source, "upstream", problem);
        }
        if settings.upstream.is_none() && settings.strip_prefix.is_some() {
            self.error(source, "strip_prefix", Problem::StripWithoutUpstream);
        }
    }

    fn strip_prefix(
        &mut self,
        source: &Source,
        settings: &RouteSettings,
        patterns: &[Pattern],
    ) -> Option<Box<str>> {
        let prefix = match PathPattern::parse(settings.strip_prefix.as_deref()?) {
            Ok(prefix) => prefix,
            Err(error) => {
                self.error(source, "strip_prefix", error.into());
                return None;
            }
        };
        for pattern in patterns {
            if prefix.segments().is_empty() || !begins_with(&pattern.host_path.path, &prefix) {
                self.error(source, "strip_prefix", Problem::StripPrefix { pattern: pattern.to_string() });
            }
        }
        Some(prefix.to_string().into())
    }

    /// Returns the patterns that scopes list.
    fn scope_patterns(&mut self) -> Vec<ScopePattern<'d>> {
        let mut patterns = Vec::new();
        for (source, scope, settings) in &self.definition.scopes {
            for (index, text) in settings.routes().iter().enumerate() {
                match Pattern::parse(text) {
                    Ok(pattern) => patterns.push(ScopePattern { source, scope, pattern }),
                    Err(error) => self.error(source, format!("routes[{index}]"), error.into()),
                }
            }
        }
        patterns
    }
}

fn mcp_problem(text: &str) -> Option<Problem> {
    if text.is_empty() || text.chars().any(char::is_control) {
        Some(Problem::McpText { found: text.to_owned() })
    } else if text.contains('*') {
        Some(Problem::McpPattern { found: text.to_owned() })
    } else {
        None
    }
}

fn begins_with(path: &PathPattern, prefix: &PathPattern) -> bool {
    let wanted = prefix.segments();
    let mut pairs = path.segments().iter().zip(wanted);
    !prefix.takes_rest()
        && path.segments().len() >= wanted.len()
        && pairs
            .all(|pair| matches!(pair, (Segment::Literal(ours), Segment::Literal(theirs)) if ours == theirs))
}

/// Returns the policy of the file alone, with which stored routes are compared.
fn of_the_file(written: &[Route], scope_patterns: &[ScopePattern<'_>], hierarchy: &Arc<Hierarchy>) -> Policy {
    let of_scopes: Vec<ScopePattern<'_>> =
        scope_patterns.iter().filter(|one| one.source.is_file()).cloned().collect();
    let written = written.iter().filter(|route| route.source.is_file()).cloned();
    Policy::assemble(written.chain(scope_routes(&of_scopes, hierarchy)).collect(), Vec::new())
}
