//! The token and what came with it.

use crate::BearerToken;

/// The token and what came with it. Today the token alone; a proof of possession (RFC 9449) or a client certificate
/// (RFC 8705) would be further fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// The bearer token.
    pub token: BearerToken,
}

impl Credentials {
    /// A bearer token alone (RFC 6750, section 2.1).
    pub fn bearer(token: BearerToken) -> Self {
        Self { token }
    }
}

/// How fresh an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// What is known may be used for as long as the settings allow.
    #[default]
    Cached,
    /// The provider is asked now; one that cannot be asked rejects the token as
    /// [`FreshnessUnavailable`](crate::Rejection::FreshnessUnavailable).
    Fresh,
}
