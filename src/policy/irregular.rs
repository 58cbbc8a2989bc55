//! Irregularities of a path, which routes may accept by name.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of a path that parsers read in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Irregularity {
    /// `%2F`: some read it as `/`.
    EncodedSlash,
    /// `%25`: some decode what follows it once more.
    EncodedPercent,
    /// `;x=y`, also as `%3B`: some take it off the segment.
    Parameters,
    /// `//`: some read it as `/`.
    EmptySegment,
    /// `%23`: some cut the path off at the `#` that it stands for.
    EncodedHash,
    /// `%5C`: some read it as `/`.
    EncodedBackslash,
}

impl Irregularity {
    /// Every irregularity.
    pub const ALL: [Self; 6] = [
        Self::EncodedSlash,
        Self::EncodedPercent,
        Self::Parameters,
        Self::EmptySegment,
        Self::EncodedHash,
        Self::EncodedBackslash,
    ];

    /// Returns its name in `accept:` and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EncodedSlash => "encoded_slash",
            Self::EncodedPercent => "encoded_percent",
            Self::Parameters => "parameters",
            Self::EmptySegment => "empty_segment",
            Self::EncodedHash => "encoded_hash",
            Self::EncodedBackslash => "encoded_backslash",
        }
    }

    /// Returns the text in the path.
    fn spelling(self) -> &'static str {
        match self {
            Self::EncodedSlash => "%2F",
            Self::EncodedPercent => "%25",
            Self::Parameters => ";",
            Self::EmptySegment => "//",
            Self::EncodedHash => "%23",
            Self::EncodedBackslash => "%5C",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of irregularities.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Irregularities(u8);

impl Irregularities {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The irregularities that are 400 wherever no route accepts them, also where no route matches: a reader that decodes
    /// `%23` or `%5C` sees another path altogether.
    pub(super) const REFUSED_WITHOUT_ROUTE: Self =
        Self(1 << Irregularity::EncodedHash as u8 | 1 << Irregularity::EncodedBackslash as u8);

    /// Adds one.
    pub fn insert(&mut self, irregularity: Irregularity) {
        self.0 |= irregularity.bit();
    }

    /// Returns `true` if `irregularity` is in the set.
    pub fn contains(self, irregularity: Irregularity) -> bool {
        self.0 & irregularity.bit() != 0
    }

    /// Returns `true` if the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the members that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns the members of both sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the members with the text that each has in a path, such as `` `%23` (encoded_hash) ``.
    pub fn described(self) -> String {
        let members: Vec<String> =
            self.iter().map(|one| format!("`{}` ({})", one.spelling(), one.as_str())).collect();
        members.join(", ")
    }

    /// The members, in the order of [`Irregularity`].
    pub fn iter(self) -> impl Iterator<Item = Irregularity> {
        Irregularity::ALL.into_iter().filter(move |one| self.contains(*one))
    }
}

impl FromIterator<Irregularity> for Irregularities {
    fn from_iter<I: IntoIterator<Item = Irregularity>>(members: I) -> Self {
        let mut set = Self::NONE;
        members.into_iter().for_each(|one| set.insert(one));
        set
    }
}

impl fmt::Display for Irregularities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.iter().enumerate() {
            f.write_str(if index > 0 { ", " } else { "" })?;
            f.write_str(one.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Irregularities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
