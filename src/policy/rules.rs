//! Rules from their written form.

use std::collections::{BTreeMap, BTreeSet};

use scopegate_provider::{ClaimPath, ProviderName, Scope};
use serde_json::Value;

use super::{
    Alternative, ClaimTest, KnownProvider, Problem, Rule,
    error::nearest,
    settings::{Allow, RequireLong, RequireSettings},
};

/// The names that rules may use.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    scopes: BTreeSet<Scope>,
    providers: Vec<KnownProvider>,
}

/// Something wrong in a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {problem}")]
pub struct RuleError {
    /// The key below that of the rule, such as `any_of[0].all`; empty for the rule as a whole.
    pub key: String,
    /// What is wrong.
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
    /// The declared scopes and the configured providers.
    pub fn new(scopes: impl IntoIterator<Item = Scope>, providers: Vec<KnownProvider>) -> Self {
        Self { scopes: scopes.into_iter().collect(), providers }
    }

    /// The rule that `require` writes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn rule(&self, require: &RequireSettings) -> Result<Rule, Vec<RuleError>> {
        let mut parser = Parser { vocabulary: self, errors: Vec::new() };
        let alternatives = parser.alternatives(require);
        if parser.errors.is_empty() { Ok(Rule::Require(alternatives.into())) } else { Err(parser.errors) }
    }

    /// The rule that says who administers. Where there are several providers, each alternative names its own, so that
    /// no other provider's operator can make an administrator by naming a scope (invariant 16).
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn admin_rule(&self, require: &RequireSettings) -> Result<Rule, Vec<RuleError>> {
        let rule = self.rule(require)?;
        let unnamed = |alternative: &Alternative| alternative.providers.is_empty();
        match self.providers.as_slice() {
            [first, _, ..] if rule.alternatives().iter().any(unnamed) => {
                let problem = Problem::ProvidersNotNamed { example: first.name.as_str().to_owned() };
                Err(vec![RuleError { key: String::new(), problem }])
            }
            _ => Ok(rule),
        }
    }

    pub(super) fn providers(&self) -> &[KnownProvider] {
        &self.providers
    }
}

struct Parser<'a> {
    vocabulary: &'a Vocabulary,
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
        Alternative { all: scopes.iter().cloned().collect(), ..Alternative::default() }
    }

    fn any_of(&mut self, outer: &RequireLong, alternatives: &[RequireLong]) -> Vec<Alternative> {
        if *outer != (RequireLong { any_of: outer.any_of.clone(), ..RequireLong::default() }) {
            self.error("any_of", Problem::AnyOfWithOthers);
        }
        if alternatives.is_empty() {
            self.error("any_of", Problem::EmptyList);
        }
        let parse = |(index, one): (usize, &RequireLong)| {
            let prefix = format!("any_of[{index}]");
            if one.any_of.is_some() {
                self.error(&prefix, Problem::NestedAnyOf);
            }
            self.alternative(&prefix, one)
        };
        alternatives.iter().enumerate().map(parse).collect()
    }

    fn alternative(&mut self, prefix: &str, long: &RequireLong) -> Alternative {
        if *long == RequireLong::default() {
            self.error(prefix, Problem::EmptyRequirement);
        }
        let key = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        self.scopes(&key("all"), long.all.as_deref());
        self.scopes(&key("any"), long.any.as_deref());
        self.known_providers(&key("providers"), long.providers.as_deref().unwrap_or_default());
        Alternative {
            all: long.all.iter().flatten().cloned().collect(),
            any: self.some(&key("any"), long.any.as_deref()),
            roles: self.some(&key("roles"), long.roles.as_deref()),
            claims: self.claims(&key("claims"), long.claims.as_ref()),
            clients: self.some(&key("clients"), long.clients.as_deref()),
            providers: self.some(&key("providers"), long.providers.as_deref()),
            audience: self.some(&key("audience"), long.audience.as_deref()),
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
            if !self.vocabulary.scopes.contains(scope) {
                let names = self.vocabulary.scopes.iter().map(Scope::as_str);
                let nearest = nearest(scope.as_str(), names).and_then(|name| Scope::parse(name).ok());
                self.error(key, Problem::UndeclaredScope { scope: scope.clone(), nearest });
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

    fn claim_values(&mut self, key: &str, value: &Value) -> Box<[Value]> {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            _ => std::slice::from_ref(value),
        };
        if values.is_empty() {
            self.error(key, Problem::EmptyList);
        }
        if values.iter().any(|value| matches!(value, Value::Null | Value::Array(_) | Value::Object(_))) {
            self.error(key, Problem::ClaimValue);
        }
        values.into()
    }

    fn error(&mut self, key: &str, problem: Problem) {
        self.errors.push(RuleError { key: key.to_owned(), problem });
    }
}
