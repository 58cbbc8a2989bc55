//! A token and the proof that came with it.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

use crate::{BearerToken, Proof};

/// A token and the proof of possession that came with it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Credentials {
    /// The bearer token.
    pub token: BearerToken,
    /// The keys that the sender has proven to possess (RFC 9449, RFC 8705). A token that is bound to others is refused.
    pub proof: Proof,
    /// The parsed form of the token.
    reading: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Credentials {
    /// A bearer token alone (RFC 6750, section 2.1).
    pub fn bearer(token: BearerToken) -> Self {
        Self { token, proof: Proof::default(), reading: OnceLock::new() }
    }

    /// The same token with a proof. The caller has verified the proof for this token and this request.
    #[must_use]
    pub fn with_proof(self, proof: Proof) -> Self {
        Self { proof, ..self }
    }

    /// Returns the result of `read`, which runs once as long as all callers read the token as the same type: the
    /// authenticator parses it to choose the provider, and the provider need not parse it again.
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
        self.token == other.token && self.proof == other.proof
    }
}

impl Eq for Credentials {}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("token", &self.token).finish_non_exhaustive()
    }
}

/// The required freshness of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// A cached answer may be used for as long as the settings allow.
    #[default]
    Cached,
    /// The provider is asked now; one that cannot be asked rejects the token as
    /// [`FreshnessUnavailable`](crate::Rejection::FreshnessUnavailable).
    Fresh,
}
