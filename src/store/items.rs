//! The items of the sample API.

use std::borrow::Cow;

use async_trait::async_trait;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Page, StoreError, Version};

/// The number of an item; none is used twice.
pub type ItemId = i64;

/// An item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its number.
    pub id: ItemId,
    /// Its name.
    pub name: ItemName,
    /// Its version: 1 when it is created, one more after each replacement.
    pub version: Version,
}

/// The name of an item: 1 to 200 characters, none of them a control character. Two items may have the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ItemName(Box<str>);

/// Errors of parsing the name of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemNameError {
    /// Nothing, or only spaces.
    #[error("expected the name of an item, found nothing in it")]
    Empty,
    /// Too long.
    #[error("the name of an item has at most {} characters, found {found}", ItemName::MAX)]
    Long {
        /// The number of its characters.
        found: usize,
    },
    /// A control character.
    #[error("the name of an item may not hold a control character")]
    Control,
}

impl ItemName {
    /// The most characters that a name has.
    pub const MAX: usize = 200;

    /// Parses a name.
    ///
    /// # Errors
    /// [`ItemNameError`].
    pub fn parse(text: &str) -> Result<Self, ItemNameError> {
        let found = text.chars().count();
        if text.trim().is_empty() {
            Err(ItemNameError::Empty)
        } else if found > Self::MAX {
            Err(ItemNameError::Long { found })
        } else if text.chars().any(char::is_control) {
            Err(ItemNameError::Control)
        } else {
            Ok(Self(text.into()))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for ItemName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Cow::<'de, str>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Access to the items. A change that names the version it expects is refused as [`StoreError::Stale`] if there is another.
#[async_trait]
pub trait Items: Send + Sync {
    /// Returns at most `limit` items, those with the smallest numbers above `after`.
    async fn list(&self, after: Option<ItemId>, limit: usize) -> Result<Page<Item>, StoreError>;

    /// Returns one item.
    async fn find(&self, id: ItemId) -> Result<Item, StoreError>;

    /// Creates an item.
    async fn create(&self, name: ItemName) -> Result<Item, StoreError>;

    /// Replaces an item.
    async fn replace(
        &self,
        id: ItemId,
        expected: Option<Version>,
        name: ItemName,
    ) -> Result<Item, StoreError>;

    /// Deletes an item.
    async fn delete(&self, id: ItemId, expected: Option<Version>) -> Result<(), StoreError>;
}

/// The items of a new store.
pub(crate) const FIRST_ITEMS: [&str; 3] = ["red ball", "blue square", "purple ellipse"];

pub(crate) fn no_item(id: ItemId) -> StoreError {
    StoreError::NotFound { what: "item", name: id.to_string() }
}

/// Checks that an item at version `found` may be changed by a caller that expects `expected`.
pub(crate) fn check_version(expected: Option<Version>, found: Version) -> Result<(), StoreError> {
    match expected {
        Some(expected) if expected != found => Err(StoreError::Stale { expected, found }),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_spaces_is_refused() {
        assert_eq!(ItemName::parse("  "), Err(ItemNameError::Empty));
    }

    #[test]
    fn a_name_may_have_two_hundred_characters_and_not_one_more() {
        assert!(ItemName::parse(&"ä".repeat(200)).is_ok());
        assert_eq!(ItemName::parse(&"ä".repeat(201)), Err(ItemNameError::Long { found: 201 }));
    }

    #[test]
    fn a_line_break_in_a_name_is_refused() {
        assert_eq!(ItemName::parse("a\nb"), Err(ItemNameError::Control));
    }
}
