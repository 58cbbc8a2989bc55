//! Tokens of our own for services behind (`forward: mint`): short-lived, and of one shape whatever the provider, so that
//! these trust one issuer. A caller's own token does not go on.
//!
//! | claim | holds |
//! | --- | --- |
//! | `iss` | the public URL of scopegate |
//! | `aud` | the upstream's `audience`, its URL unless said |
//! | `sub` | the subject, or where there is none the client (RFC 9068, section 2.2) |
//! | `client_id`, `scope`, `roles` | as the policy saw them: in our names, whatever the provider calls them |
//! | `provider`, `original_issuer` | who vouches for the caller |
//! | `iat`, `exp`, `jti` | `exp` is never after the moment until which the caller's token is accepted |

mod ring;
mod settings;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use scopegate_oidc::SignerError;
use scopegate_provider::{ClientId, Principal, Role, Subject, Timestamp};
use serde_json::{Map, Value, json};

pub use self::{
    ring::{KeyRing, PreparedKeys},
    settings::MintSettings,
};
use crate::{
    authenticator::DerivedToken, gate::decision::Permit, policy::RouteOptions, problem::Problem,
    reason::Reason, telemetry::Metrics,
};

/// Mints tokens.
#[derive(Debug)]
pub struct Mint {
    ring: Arc<KeyRing>,
    terms: Terms,
    metrics: Arc<Metrics>,
    /// The number of this mint: another one, with other terms, mints other tokens.
    id: u64,
}

/// The claims of minted tokens that do not depend on the caller.
#[derive(Debug, Clone)]
pub struct Terms {
    /// `iss`.
    pub issuer: Box<str>,
    /// The longest lifetime.
    pub lifetime: Duration,
    /// `aud` where a route names no upstream.
    pub audience: Arc<str>,
    /// `aud` for each upstream.
    pub upstreams: BTreeMap<Box<str>, Arc<str>>,
}

/// Errors that can occur while a token is minted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// No key yet.
    #[error("there is no key to sign with yet")]
    NoKey,
    /// The library made no signature.
    #[error(transparent)]
    Sign(#[from] SignerError),
    /// The library gave no random bytes.
    #[error("no random bytes could be had")]
    Random,
}

impl From<MintError> for Problem {
    fn from(error: MintError) -> Self {
        tracing::error!(%error, "no token can be minted");
        let description = "no token for the service behind can be made now";
        let problem = Problem::new(Reason::MintUnavailable, description);
        problem.with_retry_after(Duration::from_secs(1))
    }
}

impl Mint {
    /// Signs with the keys of `ring`, which may come later.
    pub fn new(ring: Arc<KeyRing>, terms: Terms, metrics: Arc<Metrics>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { ring, terms, metrics, id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// `Authorization` for the service behind; none for an anonymous caller. One that was made for the same token and
    /// audience is used again until a quarter of its life is left.
    pub(in crate::gate) fn authorization(&self, permit: &Permit) -> Result<Option<HeaderValue>, MintError> {
        let Some((principal, authenticated)) = permit.principal.as_ref().zip(permit.authenticated.as_ref())
        else {
            return Ok(None);
        };
        let audience = self.audience(&permit.options);
        if let Some(known) = authenticated.slot.find(self.id, audience, authenticated.at) {
            return Ok(Some(known));
        }
        let minted = self.make(principal, audience, authenticated.at)?;
        authenticated.slot.keep(&minted, authenticated.at);
        Ok(Some(minted.value))
    }

    fn audience(&self, options: &RouteOptions) -> &Arc<str> {
        let upstream = options.upstream.as_ref().and_then(|name| self.terms.upstreams.get(name));
        upstream.unwrap_or(&self.terms.audience)
    }

    fn make(
        &self,
        principal: &Principal,
        audience: &Arc<str>,
        now: Timestamp,
    ) -> Result<DerivedToken, MintError> {
        // A token that is accepted within the leeway is past its `exp`: one that is minted for it is not born expired.
        let expires = principal.accepted_until().min(now + self.terms.lifetime);
        let expires = expires.max(now + Duration::from_secs(1));
        let claims = self.claims(principal, audience, now, expires)?;
        let token = self.ring.sign(&claims, now).ok_or(MintError::NoKey)??;
        self.metrics.minted.increment();
        let text = format!("Bearer {token}");
        let mut value =
            HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).map_err(|_| MintError::NoKey)?;
        value.set_sensitive(true);
        let until = expires - expires.since(now) / 4;
        Ok(DerivedToken { maker: self.id, audience: audience.clone(), until, value })
    }

    fn claims(
        &self,
        principal: &Principal,
        audience: &str,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<Map<String, Value>, MintError> {
        let client = principal.client().map(ClientId::as_str);
        let claims = json!({
            "iss": self.terms.issuer,
            "aud": audience,
            "sub": principal.subject().map(Subject::as_str).or(client),
            "client_id": client,
            "scope": principal.scopes().to_string(),
            "roles": principal.roles().iter().map(Role::as_str).collect::<Vec<_>>(),
            "provider": principal.provider().as_str(),
            "original_issuer": principal.issuer().as_str(),
            "iat": now.seconds(),
            "exp": expires.seconds(),
            "jti": token_id()?,
        });
        let Value::Object(mut claims) = claims else { return Ok(Map::new()) };
        // A claim without a value is left out (RFC 9068, section 2.2.3.1, has no empty lists).
        claims.retain(|_, value| match value {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => true,
        });
        Ok(claims)
    }
}

fn token_id() -> Result<String, MintError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| MintError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests;
