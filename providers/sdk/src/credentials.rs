//! The token and what came with it.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

use crate::BearerToken;

/// The token and what came with it. Today the token alone; a proof of possession (RFC 9449) or a client certificate
/// (RFC 8705) would be further fields.
#[derive(Clone)]
#[non_exhaustive]
pub struct Credentials {
    /// The bearer token.
    pub token: BearerToken,
    /// What was read from it.
    reading: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Credentials {
    /// A bearer token alone (RFC 6750, section 2.1).
    pub fn bearer(token: BearerToken) -> Self {
        Self { token, reading: OnceLock::new() }
    }

    /// What `read` makes of the token, which is read once if all who look at it read it as the same type: who chooses
    /// the provider takes it apart, and the provider need not do so again.
    ///
    /// ```
    /// use scopegate_provider::{BearerToken, Credentials};
    ///
    /// let credentials = Credentials::bearer(BearerToken::parse("a.b")?);
    /// let parts = |token: &BearerToken| token.reveal().split('.').count();
    /// assert_eq!(*credentials.read(parts), 2);
    /// assert_eq!(*credentials.read(|_| -> usize { unreachable!("it was read") }), 2);
    /// # Ok::<(), scopegate_provider::TokenError>(())
    /// ```
    pub fn read<T: Any + Send + Sync>(&self, read: impl Fn(&BearerToken) -> T) -> Arc<T> {
        let reading = self.reading.get_or_init(|| Arc::new(read(&self.token)));
        Arc::clone(reading).downcast().unwrap_or_else(|_| Arc::new(read(&self.token)))
    }
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.token == other.token
    }
}

impl Eq for Credentials {}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("token", &self.token).finish_non_exhaustive()
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
