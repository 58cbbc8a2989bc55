//! `security` of an OpenAPI document (3.1.0, section 4.8.30) as the requirement of a rule.

use std::collections::BTreeSet;

use scopegate_provider::{ProviderName, Scope};

use crate::{
    config::diagnostics::DocumentError,
    policy::settings::{Allow, RequireLong, RequireSettings},
};

/// The access that an operation grants.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Access {
    /// This, whatever scopes a token has.
    Allow(Allow),
    /// A token that satisfies this.
    Require(RequireSettings),
}

/// A security scheme, as far as a gate can check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scheme {
    /// A bearer token, of one of these providers unless there are none.
    Token(Vec<ProviderName>),
    /// Credentials that a gate does not check, such as an API key.
    Other,
}

/// One entry of `security`: all of these.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Entry(pub(super) Vec<(Scheme, Vec<Scope>)>);

impl Scheme {
    /// The scheme of a `type`, and of `scheme` where the type is `http`.
    pub(super) fn new(kind: &str, scheme: Option<&str>) -> Self {
        let is_bearer = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"));
        match kind {
            "oauth2" | "openIdConnect" => Self::Token(Vec::new()),
            "http" if is_bearer => Self::Token(Vec::new()),
            _ => Self::Other,
        }
    }
}

impl Access {
    /// The access of a caller that satisfies one of the entries. An entry that requires more than a token is left out, so
    /// that no caller passes with less than the document requires.
    ///
    /// # Errors
    /// No caller could pass.
    pub(super) fn any_of(entries: &[Entry]) -> Result<Self, DocumentError> {
        if entries.iter().all(|entry| entry.0.is_empty()) {
            return Ok(Self::Allow(Allow::Anonymous));
        }
        if entries.iter().any(|entry| entry.0.is_empty()) {
            return Ok(Self::Allow(Allow::Optional));
        }
        let checked: Vec<&Entry> = entries.iter().filter(|entry| entry.is_checked()).collect();
        if checked.is_empty() {
            return Err(DocumentError::NoToken);
        }
        let mut alternatives: Vec<RequireLong> = Vec::new();
        for alternative in checked.into_iter().filter_map(Entry::alternative) {
            if !alternatives.contains(&alternative) {
                alternatives.push(alternative);
            }
        }
        if alternatives.contains(&RequireLong::default()) {
            return Ok(Self::Allow(Allow::Authenticated));
        }
        let require = match alternatives.len() {
            0 => return Err(DocumentError::NoProvider),
            1 => alternatives.pop().unwrap_or_default(),
            _ => RequireLong { any_of: Some(alternatives), ..RequireLong::default() },
        };
        Ok(Self::Require(RequireSettings::Long(Box::new(require))))
    }
}

impl Entry {
    /// Returns `true` if a gate checks all of it.
    pub(super) fn is_checked(&self) -> bool {
        self.0.iter().all(|(scheme, _)| *scheme != Scheme::Other)
    }

    /// One token with all of the scopes, of a provider that every scheme accepts; `None` if there is no such provider.
    fn alternative(&self) -> Option<RequireLong> {
        let mut common: Option<Vec<ProviderName>> = None;
        for (scheme, _) in &self.0 {
            match (scheme, &mut common) {
                (Scheme::Token(providers), _) if providers.is_empty() => {}
                (Scheme::Token(providers), None) => common = Some(providers.clone()),
                (Scheme::Token(providers), Some(known)) => known.retain(|name| providers.contains(name)),
                (Scheme::Other, _) => {}
            }
        }
        if common.as_ref().is_some_and(Vec::is_empty) {
            return None;
        }
        let scopes: BTreeSet<Scope> = self.0.iter().flat_map(|(_, scopes)| scopes).cloned().collect();
        let all = (!scopes.is_empty()).then(|| scopes.into_iter().collect());
        Some(RequireLong { all, providers: common, ..RequireLong::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(providers: &[&str], scopes: &[&str]) -> (Scheme, Vec<Scope>) {
        let providers = providers.iter().map(|name| ProviderName::parse(name).unwrap()).collect();
        (Scheme::Token(providers), scopes.iter().map(|scope| Scope::parse(scope).unwrap()).collect())
    }

    fn key() -> (Scheme, Vec<Scope>) {
        (Scheme::Other, Vec::new())
    }

    /// As JSON, which is easily read.
    fn required(entries: &[Entry]) -> serde_json::Value {
        match Access::any_of(entries) {
            Ok(Access::Require(require)) => serde_json::to_value(require).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn entries_are_alternatives_and_schemes_in_one_are_required_together() {
        let both = Entry(vec![token(&[], &["b"]), token(&[], &["a"])]);
        let expected = serde_json::json!({ "any_of": [{ "all": ["a", "b"] }, { "all": ["c"] }] });
        assert_eq!(required(&[both.clone(), Entry(vec![token(&[], &["c"])]), both]), expected);
    }

    #[test]
    fn an_entry_without_scopes_is_any_good_token() {
        let entries = [Entry(vec![token(&[], &["a"])]), Entry(vec![token(&[], &[])])];
        assert_eq!(Access::any_of(&entries), Ok(Access::Allow(Allow::Authenticated)));
    }

    #[test]
    fn an_empty_entry_makes_the_token_optional_and_alone_opens_to_everybody() {
        let entries = [Entry(vec![token(&[], &["a"])]), Entry::default()];
        assert_eq!(Access::any_of(&entries), Ok(Access::Allow(Allow::Optional)));
        assert_eq!(Access::any_of(&[Entry::default()]), Ok(Access::Allow(Allow::Anonymous)));
        assert_eq!(Access::any_of(&[]), Ok(Access::Allow(Allow::Anonymous)));
    }

    #[test]
    fn a_scheme_that_is_not_checked_never_makes_an_entry_weaker() {
        let entries = [Entry(vec![token(&[], &[]), key()]), Entry(vec![token(&[], &["a"])])];
        assert_eq!(required(&entries), serde_json::json!({ "all": ["a"] }));
        assert_eq!(Access::any_of(&[Entry(vec![token(&[], &[]), key()])]), Err(DocumentError::NoToken));
    }

    #[test]
    fn a_scheme_may_mean_the_tokens_of_some_providers() {
        let entries = [Entry(vec![token(&["okta", "auth0"], &["a"]), token(&["okta"], &[])])];
        assert_eq!(required(&entries), serde_json::json!({ "all": ["a"], "providers": ["okta"] }));
        let nobody = [Entry(vec![token(&["okta"], &[]), token(&["auth0"], &[])])];
        assert_eq!(Access::any_of(&nobody), Err(DocumentError::NoProvider));
    }
}
