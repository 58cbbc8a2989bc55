//! Scopes by the grammar of RFC 6749, section 3.3.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// One scope: `1*( %x21 / %x23-5B / %x5D-7E )`, compared byte for byte.
///
/// ```
/// use scopegate_provider::Scope;
///
/// assert_eq!(Scope::parse("items:write")?.as_str(), "items:write");
/// assert!(Scope::parse("two words").is_err());
/// # Ok::<(), scopegate_provider::ScopeError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(transparent)]
pub struct Scope(Arc<str>);

/// A string that is not a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// The empty string.
    #[error("expected a scope, found an empty string")]
    Empty,
    /// A character that RFC 6749, section 3.3, does not allow.
    #[error(
        "a scope may not hold {found:?} (RFC 6749, section 3.3, allows printable ASCII without space, `\"` and `\\`)"
    )]
    Character {
        /// The first such character.
        found: char,
    },
}

impl Scope {
    /// Parses one scope.
    ///
    /// # Errors
    /// [`ScopeError`] names the character that may not be there.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        if text.is_empty() {
            return Err(ScopeError::Empty);
        }
        match text.chars().find(|c| !matches!(c, '\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e')) {
            Some(found) => Err(ScopeError::Character { found }),
            None => Ok(Self(text.into())),
        }
    }

    /// The scope's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Scope {
    type Err = ScopeError;
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::parse(text)
    }
}

impl Borrow<str> for Scope {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// A set of scopes, sorted and without duplicates: the order in which a token names them means nothing.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct ScopeSet(Arc<[Scope]>);

impl ScopeSet {
    /// Parses a space-separated list (RFC 6749, section 3.3). Several spaces in a row are read as one.
    ///
    /// # Errors
    /// The first thing in it that is not a scope.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        text.split(' ').filter(|part| !part.is_empty()).map(Scope::parse).collect()
    }

    /// Returns `true` if `scope` is in the set.
    pub fn contains(&self, scope: &Scope) -> bool {
        self.0.binary_search(scope).is_ok()
    }

    /// Returns `true` if every scope of `other` is in the set.
    pub fn is_superset(&self, other: &ScopeSet) -> bool {
        other.iter().all(|scope| self.contains(scope))
    }

    /// The scopes, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.0.iter()
    }

    /// Returns the number of scopes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns `true` if the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes.into())
    }
}

impl<'a> IntoIterator for &'a ScopeSet {
    type Item = &'a Scope;
    type IntoIter = std::slice::Iter<'a, Scope>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_set_is_sorted_and_holds_each_scope_once() {
        assert_eq!(ScopeSet::parse("b a  b").unwrap().to_string(), "a b");
    }

    #[test]
    fn a_quote_in_a_scope_is_refused_by_name() {
        assert_eq!(Scope::parse("a\"b"), Err(ScopeError::Character { found: '"' }));
        assert_eq!(Scope::parse("ä"), Err(ScopeError::Character { found: 'ä' }));
    }

    proptest! {
        #[test]
        fn what_is_displayed_parses_to_the_same_set(parts in prop::collection::vec("[!#-\\[\\]-~]{1,9}", 0..6)) {
            let set = ScopeSet::parse(&parts.join(" ")).unwrap();
            prop_assert_eq!(ScopeSet::parse(&set.to_string()).unwrap(), set.clone());
            prop_assert!(parts.iter().all(|part| set.contains(&Scope::parse(part).unwrap())));
        }
    }
}
