//! From a definition to a policy, with everything that is wrong said at once.

use std::sync::Arc;

use ahash::AHashMap;
use scopegate_provider::{ProviderName, Scope};

use super::{
    Definition, PathPattern, Pattern, Policy, PolicyError, Problem, Route, RouteOptions, Rule, Segment,
    Source, Vocabulary,
    error::nearest,
    scope_routes::{ScopePattern, scope_routes},
    settings::{MatchSettings, RouteSettings},
    table::DeclaredScope,
};

/// A policy, and what is allowed but deserves a second look.
#[derive(Debug, Clone, Default)]
pub struct Compiled {
    /// The policy.
    pub policy: Policy,
    /// The warnings.
    pub warnings: Vec<Warning>,
}

/// What is allowed but deserves a second look.
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
    /// What is stored covers all of a pattern.
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
    /// Everything that is wrong, each with where it is and what to write instead.
    pub fn compile(definition: &Definition) -> Result<Compiled, Vec<PolicyError>> {
        let scopes = definition.scopes.iter().map(|(_, name, _)| name.clone());
        let vocabulary = Vocabulary::new(scopes, definition.providers.clone());
        let mut compiler = Compiler { definition, vocabulary, errors: Vec::new() };
        let scopes = compiler.declared_scopes();
        let written = compiler.routes();
        let opened = compiler.opened();
        let stored = definition.has_stored();
        let file = stored.then(|| of_the_file(&written, &opened));
        let routes: Vec<Route> = written.into_iter().chain(scope_routes(&opened)).collect();
        compiler.check_duplicates(&routes);
        let policy = Self::assemble(routes, scopes);
        compiler.check_stored(&policy, file.as_ref());
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
        self.errors.push(PolicyError { at: at.clone(), key: key.into(), problem });
    }

    fn declared_scopes(&mut self) -> Vec<DeclaredScope> {
        let mut seen: AHashMap<&Scope, &Source> = AHashMap::new();
        let mut scopes = Vec::new();
        for (source, name, settings) in &self.definition.scopes {
            if let Some(other) = seen.insert(name, source) {
                let other = other.clone();
                self.error(source, "", Problem::DuplicateScope { other });
            }
            let description = settings.description().to_owned();
            scopes.push(DeclaredScope { name: name.clone(), description, source: source.clone() });
        }
        scopes
    }

    fn routes(&mut self) -> Vec<Route> {
        self.definition.routes.iter().flat_map(|(source, settings)| self.route(source, settings)).collect()
    }

    fn route(&mut self, source: &Source, settings: &RouteSettings) -> Vec<Route> {
        let patterns = self.patterns(source, &settings.matches);
        let rule = self.rule(source, settings);
        let options = self.options(source, settings, rule.as_deref(), &patterns);
        let Some(rule) = rule else { return Vec::new() };
        let route = |pattern| Route::new(source.clone(), pattern, rule.clone(), options.clone());
        patterns.into_iter().map(route).collect()
    }

    fn patterns(&mut self, source: &Source, matches: &MatchSettings) -> Vec<Pattern> {
        let parsed = match matches {
            MatchSettings::One(text) => vec![("match".to_owned(), Pattern::parse(text))],
            MatchSettings::Many(texts) => {
                let parse =
                    |(index, text): (usize, &String)| (format!("match[{index}]"), Pattern::parse(text));
                texts.iter().enumerate().map(parse).collect()
            }
            MatchSettings::Long(long) => {
                let pattern = Pattern::from_parts(&long.methods, long.host.as_deref(), &long.path);
                vec![("match".to_owned(), pattern)]
            }
        };
        if parsed.is_empty() {
            self.error(source, "match", Problem::NoPattern);
        }
        let keep = |(key, pattern): (String, Result<_, _>)| match pattern {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                self.error(source, key, Problem::Pattern(error));
                None
            }
        };
        parsed.into_iter().filter_map(keep).collect()
    }

    fn rule(&mut self, source: &Source, settings: &RouteSettings) -> Option<Arc<Rule>> {
        match (&settings.require, settings.allow) {
            (Some(_), Some(_)) => self.error(source, "allow", Problem::RequireAndAllow),
            (None, None) => self.error(source, "require", Problem::NeitherRequireNorAllow),
            (None, Some(allow)) => return Some(Arc::new(allow.into())),
            (Some(require), None) => match self.vocabulary.rule(require) {
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
        let ignores_token = matches!(rule, Some(Rule::Anonymous | Rule::Nobody));
        if ignores_token && settings.fresh {
            self.error(source, "fresh", Problem::NeedsToken);
        }
        if ignores_token && !settings.accept_token.is_empty() {
            self.error(source, "accept_token", Problem::NeedsToken);
        }
        if settings.open_to_admin && !source.is_file() {
            self.error(source, "open_to_admin", Problem::OpenStored);
        }
        let literal = |pattern: &&Pattern| pattern.host_path.path.is_literal() && !settings.accept.is_empty();
        if let Some(pattern) = patterns.iter().find(literal) {
            self.error(source, "accept", Problem::AcceptsNothing { pattern: pattern.to_string() });
        }
        self.check_upstream(source, settings);
        Arc::new(RouteOptions {
            fresh: settings.fresh,
            accept: settings.accept.iter().copied().collect(),
            open_to_admin: settings.open_to_admin,
            upstream: settings.upstream.as_deref().map(Into::into),
            strip_prefix: self.strip_prefix(source, settings, patterns),
            identity: settings.identity.clone(),
            cors: settings.cors.clone(),
            accept_token: settings.accept_token.as_slice().into(),
        })
    }

    fn check_upstream(&mut self, source: &Source, settings: &RouteSettings) {
        let known = &self.definition.upstreams;
        if let Some(name) =
            settings.upstream.as_ref().filter(|name| known.iter().all(|upstream| upstream.name != **name))
        {
            let nearest =
                nearest(name, known.iter().map(|upstream| upstream.name.as_str())).map(str::to_owned);
            self.error(source, "upstream", Problem::UnknownUpstream { name: name.clone(), nearest });
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

    /// The patterns that scopes list.
    fn opened(&mut self) -> Vec<ScopePattern<'d>> {
        let mut opened = Vec::new();
        for (source, scope, settings) in &self.definition.scopes {
            for (index, text) in settings.routes().iter().enumerate() {
                match Pattern::parse(text) {
                    Ok(pattern) => opened.push(ScopePattern { source, scope, pattern }),
                    Err(error) => self.error(source, format!("routes[{index}]"), error.into()),
                }
            }
        }
        opened
    }
}

fn begins_with(path: &PathPattern, prefix: &PathPattern) -> bool {
    let literal = |pair: (&Segment, &Segment)| matches!(pair, (Segment::Literal(ours), Segment::Literal(theirs)) if ours == theirs);
    let (path, wanted) = (path.segments(), prefix.segments());
    !prefix.takes_rest() && path.len() >= wanted.len() && path.iter().zip(wanted).all(literal)
}

/// The policy of the file alone, against which what is stored is held.
fn of_the_file(written: &[Route], opened: &[ScopePattern<'_>]) -> Policy {
    let opened: Vec<ScopePattern<'_>> = opened.iter().filter(|one| one.source.is_file()).cloned().collect();
    let written = written.iter().filter(|route| route.source.is_file()).cloned();
    Policy::assemble(written.chain(scope_routes(&opened)).collect(), Vec::new())
}
