//! Rules from their written form.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use scopegate_provider::{ClaimPath, ProviderName, Scope, Span};
use serde_json::Value;

use super::{
    ActorTest, Alternative, ClaimTest, ClaimValue, KnownProvider, PathPattern, Problem, Rule, Segment,
    error::nearest,
    hierarchy::Hierarchy,
    literal::{self, Lookalike},
    settings::{ActorSettings, Allow, ClaimForm, DetailSettings, RequireLong, RequireSettings},
};

/// The names that rules may use.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    scopes: BTreeSet<Scope>,
    providers: Vec<KnownProvider>,
    hierarchy: Arc<Hierarchy>,
}

/// An error in a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {problem}")]
pub struct RuleError {
    /// The key below that of the rule, such as `any_of[0].all`; empty for the rule as a whole.
    pub key: String,
    /// The problem, and what to write instead.
    pub problem: Problem,
}

impl From<Allow> for Rule {
    fn from(allow: Allow) -> Self {
        match allow {
            Allow::Anonymous => Self::Anonymous,
            Allow::Optional => Self::Optional,
            Allow::Authenticated => Self::Authenticated,
            Allow::Nobody => Self::Nobody,
        }
    }
}

impl Vocabulary {
    /// Creates the vocabulary of the declared scopes and the configured providers, without implications.
    pub fn new(scopes: impl IntoIterator<Item = Scope>, providers: Vec<KnownProvider>) -> Self {
        Self { scopes: scopes.into_iter().collect(), providers, hierarchy: Arc::default() }
    }

    pub(super) fn with_hierarchy(self, hierarchy: Hierarchy) -> Self {
        Self { hierarchy: Arc::new(hierarchy), ..self }
    }

    /// Parses `require` of a rule that belongs to no path.
    ///
    /// # Errors
    /// All errors of the rule.
    pub fn rule(&self, require: &RequireSettings) -> Result<Rule, Vec<RuleError>> {
        self.rule_at(require, None)
    }

    /// Parses `require` of a route with this path.
    pub(super) fn rule_at(
        &self,
        require: &RequireSettings,
        path: Option<&PathPattern>,
    ) -> Result<Rule, Vec<RuleError>> {
        let mut parser = Parser { vocabulary: self, path, errors: Vec::new() };
        let alternatives = parser.alternatives(require);
        if parser.errors.is_empty() { Ok(Rule::Require(alternatives.into())) } else { Err(parser.errors) }
    }

    /// Parses the rule of administrators. Where there are several providers, each alternative names its own, so that no
    /// other provider's operator can make an administrator by naming a scope (invariant 16).
    ///
    /// # Errors
    /// All errors of the rule.
    pub fn admin_rule(&self, require: &RequireSettings) -> Result<Rule, Vec<RuleError>> {
        let rule = self.rule(require)?;
        match self.providers.as_slice() {
            [first, _, ..]
                if rule
                    .alternatives()
                    .iter()
                    .any(|alternative: &Alternative| alternative.providers.is_empty()) =>
            {
                let problem = Problem::ProvidersNotNamed { example: first.name.as_str().to_owned() };
                Err(vec![RuleError { key: String::new(), problem }])
            }
            _ => Ok(rule),
        }
    }

    pub(super) fn providers(&self) -> &[KnownProvider] {
        &self.providers
    }

    pub(super) fn hierarchy(&self) -> &Arc<Hierarchy> {
        &self.hierarchy
    }

    /// Returns the problem of a scope that is not declared.
    pub(super) fn undeclared(&self, scope: &Scope) -> Option<Problem> {
        if self.scopes.contains(scope) {
            return None;
        }
        let nearest = nearest(scope.as_str(), self.scopes.iter().map(Scope::as_str));
        let nearest = nearest.and_then(|name| Scope::parse(name).ok());
        Some(Problem::UndeclaredScope { scope: scope.clone(), nearest })
    }
}

struct Parser<'a> {
    vocabulary: &'a Vocabulary,
    path: Option<&'a PathPattern>,
    errors: Vec<RuleError>,
}

impl Parser<'_> {
    fn alternatives(&mut self, require: &RequireSettings) -> Vec<Alternative> {
        match require {
            RequireSettings::One(scope) => vec![self.all(std::slice::from_ref(scope))],
            RequireSettings::All(scopes) => vec![self.all(scopes)],
            RequireSettings::Long(long) => match &long.any_of {
                None => vec![self.alternative("", long)],
                Some(alternatives) => self.any_of(long, alternatives),
            },
        }
    }

    fn all(&mut self, scopes: &[Scope]) -> Alternative {
        if scopes.is_empty() {
            self.error("", Problem::EmptyRequirement);
        }
        self.scopes("", Some(scopes));
        let hierarchy = Arc::clone(&self.vocabulary.hierarchy);
        Alternative { all: scopes.iter().cloned().collect(), hierarchy, ..Alternative::default() }
    }

    fn any_of(&mut self, outer: &RequireLong, alternatives: &[RequireLong]) -> Vec<Alternative> {
        if *outer != (RequireLong { any_of: outer.any_of.clone(), ..RequireLong::default() }) {
            self.error("any_of", Problem::AnyOfWithOthers);
        }
        if alternatives.is_empty() {
            self.error("any_of", Problem::EmptyList);
        }
        let mut parsed = Vec::with_capacity(alternatives.len());
        for (index, one) in alternatives.iter().enumerate() {
            let prefix = format!("any_of[{index}]");
            if one.any_of.is_some() {
                self.error(&prefix, Problem::NestedAnyOf);
            }
            parsed.push(self.alternative(&prefix, one));
        }
        parsed
    }

    fn alternative(&mut self, prefix: &str, long: &RequireLong) -> Alternative {
        if *long == RequireLong::default() {
            self.error(prefix, Problem::EmptyRequirement);
        }
        let key = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        self.scopes(&key("all"), long.all.as_deref());
        self.scopes(&key("any"), long.any.as_deref());
        self.known_providers(&key("providers"), long.providers.as_deref().unwrap_or_default());
        self.literals(&key("roles"), long.roles.iter().flatten().map(scopegate_provider::Role::as_str));
        self.literals(
            &key("clients"),
            long.clients.iter().flatten().map(scopegate_provider::ClientId::as_str),
        );
        self.literals(
            &key("audience"),
            long.audience.iter().flatten().map(scopegate_provider::Audience::as_str),
        );
        Alternative {
            all: long.all.iter().flatten().cloned().collect(),
            any: self.some(&key("any"), long.any.as_deref()),
            roles: self.some(&key("roles"), long.roles.as_deref()),
            claims: self.claims(&key("claims"), long.claims.as_ref()),
            clients: self.some(&key("clients"), long.clients.as_deref()),
            providers: self.some(&key("providers"), long.providers.as_deref()),
            audience: self.some(&key("audience"), long.audience.as_deref()),
            acr: self.acr(&key("acr"), long.acr.as_deref()),
            max_age: self.max_age(&key("max_age"), long.max_age),
            proof: long.proof,
            actor: long.actor.as_ref().map(|actor| self.actor(&key("actor"), actor)),
            details: self.details(&key("details"), long.details.as_deref()),
            hierarchy: Arc::clone(&self.vocabulary.hierarchy),
        }
    }

    fn some<T: Clone>(&mut self, key: &str, names: Option<&[T]>) -> Box<[T]> {
        if names.is_some_and(<[T]>::is_empty) {
            self.error(key, Problem::EmptyList);
        }
        names.unwrap_or_default().into()
    }

    fn scopes(&mut self, key: &str, scopes: Option<&[Scope]>) {
        for scope in scopes.unwrap_or_default() {
            if let Some(problem) = self.vocabulary.undeclared(scope) {
                self.error(key, problem);
            }
        }
        if key.ends_with("all") && scopes.is_some_and(<[Scope]>::is_empty) {
            self.error(key, Problem::EmptyList);
        }
    }

    fn known_providers(&mut self, key: &str, names: &[ProviderName]) {
        for name in names {
            let known = || self.vocabulary.providers.iter().map(|provider| provider.name.as_str());
            if !known().any(|other| other == name.as_str()) {
                let nearest = nearest(name.as_str(), known()).map(str::to_owned);
                self.error(key, Problem::UnknownProvider { name: name.as_str().to_owned(), nearest });
            }
        }
    }

    /// Refuses names that look like patterns: names compare literally.
    fn literals<'n>(&mut self, key: &str, names: impl Iterator<Item = &'n str>) {
        for name in names {
            if literal::lookalike(name).is_some() {
                let claim = match key.rsplit('.').next() {
                    Some("clients") => "client_id",
                    Some("audience") => "aud",
                    _ => "roles",
                };
                self.error(key, Problem::NameLooksLikePattern { found: name.to_owned(), claim });
            }
        }
    }

    fn claims(&mut self, key: &str, claims: Option<&BTreeMap<String, Value>>) -> Box<[ClaimTest]> {
        if claims.is_some_and(BTreeMap::is_empty) {
            self.error(key, Problem::EmptyList);
        }
        let mut tests = Vec::new();
        for (path, value) in claims.into_iter().flatten() {
            let key = format!("{key}.{path}");
            let values = self.claim_values(&key, value);
            match ClaimPath::parse(path) {
                Ok(path) => tests.push(ClaimTest { path, values }),
                Err(error) => self.error(&key, error.into()),
            }
        }
        tests.into()
    }

    fn claim_values(&mut self, key: &str, value: &Value) -> Box<[ClaimValue]> {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            _ => std::slice::from_ref(value),
        };
        if values.is_empty() {
            self.error(key, Problem::EmptyList);
        }
        values.iter().filter_map(|value| self.claim_value(key, value)).collect()
    }

    fn claim_value(&mut self, key: &str, value: &Value) -> Option<ClaimValue> {
        match value {
            Value::String(text) => match literal::lookalike(text) {
                None => Some(ClaimValue::Equals(value.clone())),
                Some(lookalike) => {
                    let Lookalike { advice, .. } = lookalike;
                    self.error(key, Problem::LooksLikePattern { found: text.clone(), advice });
                    None
                }
            },
            Value::Bool(_) | Value::Number(_) => Some(ClaimValue::Equals(value.clone())),
            Value::Object(_) => {
                if let Ok(form) = serde_json::from_value::<ClaimForm>(value.clone()) {
                    self.claim_form(key, form)
                } else {
                    self.error(key, Problem::ClaimForm);
                    None
                }
            }
            Value::Null | Value::Array(_) => {
                self.error(key, Problem::ClaimValue);
                None
            }
        }
    }

    fn claim_form(&mut self, key: &str, form: ClaimForm) -> Option<ClaimValue> {
        match form {
            ClaimForm::Equals(Value::Null | Value::Array(_) | Value::Object(_)) => {
                self.error(key, Problem::ClaimValue);
                None
            }
            ClaimForm::Equals(value) => Some(ClaimValue::Equals(value)),
            ClaimForm::Prefix(prefix) if prefix.is_empty() => {
                self.error(key, Problem::EmptyPrefix);
                None
            }
            ClaimForm::Prefix(prefix) => match literal::lookalike(&prefix) {
                None => Some(ClaimValue::Prefix(prefix.into())),
                Some(Lookalike { literal, .. }) => {
                    self.error(key, Problem::PrefixLooksLikePattern { found: prefix, literal });
                    None
                }
            },
            ClaimForm::Path(name) => self.segment(key, &name),
        }
    }

    /// Finds the one segment that the pattern names so.
    fn segment(&mut self, key: &str, name: &str) -> Option<ClaimValue> {
        let Some(path) = self.path else {
            self.error(key, Problem::NoPathHere);
            return None;
        };
        let named = |segment: &Segment| matches!(segment, Segment::Parameter(own) if **own == *name);
        let mut indexes = path.segments().iter().enumerate().filter(|(_, segment)| named(segment));
        match (indexes.next(), indexes.next()) {
            (Some((index, _)), None) => Some(ClaimValue::Segment { index, name: name.into() }),
            (found, _) => {
                let pattern = path.to_string();
                let twice = found.is_some();
                self.error(key, Problem::NoSuchParameter { name: name.to_owned(), pattern, twice });
                None
            }
        }
    }

    fn acr(&mut self, key: &str, acr: Option<&[String]>) -> Box<[Box<str>]> {
        let acr = self.some(key, acr);
        for value in &acr {
            if !is_challenge_word(value) {
                self.error(key, Problem::AcrValue { found: value.clone() });
            }
        }
        acr.into_iter().map(Into::into).collect()
    }

    fn max_age(&mut self, key: &str, max_age: Option<Span>) -> Option<Span> {
        if max_age.is_some_and(|max_age| max_age.get().as_secs() == 0) {
            self.error(key, Problem::MaxAgeZero);
        }
        max_age
    }

    fn actor(&mut self, key: &str, actor: &ActorSettings) -> ActorTest {
        let ids = match actor {
            ActorSettings::One(text) if text == "none" => return ActorTest::Absent,
            ActorSettings::One(text) if text == "any" => return ActorTest::Present,
            ActorSettings::One(id) => std::slice::from_ref(id),
            ActorSettings::Many(ids) => ids.as_slice(),
        };
        if ids.is_empty() || ids.iter().any(String::is_empty) {
            self.error(key, Problem::EmptyList);
        }
        self.literals(key, ids.iter().map(String::as_str));
        ActorTest::OneOf(ids.iter().map(|id| id.as_str().into()).collect())
    }

    fn details(&mut self, key: &str, details: Option<&[DetailSettings]>) -> Box<[DetailSettings]> {
        let details = self.some(key, details);
        if details.iter().any(|detail| detail.kind.is_empty()) {
            self.error(key, Problem::DetailWithoutType);
        }
        details
    }

    fn error(&mut self, key: &str, problem: Problem) {
        self.errors.push(RuleError { key: key.to_owned(), problem });
    }
}

/// Returns `true` for what can stand in a challenge's list of words (RFC 6750, section 3).
fn is_challenge_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}
