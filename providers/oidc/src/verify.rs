//! Verification, step by step: [`Jwt`] → [`Admitted`] → [`Signed`] → [`Principal`]. Each step takes what the one before
//! gave, so that none can be left out:
//!
//! 1. [`Jwt::parse`]: three parts, base64url, JSON (RFC 7515, sections 5.2 and 7.1);
//! 2. [`TokenRules::admit`]: no extension; type, algorithm, issuer;
//! 3. [`KeySet::find`](crate::KeySet::find): the keys of this issuer, and no others;
//! 4. [`Admitted::check_signature`]: the only step that takes long, and the only one that wants no time of day;
//! 5. [`TokenRules::judge`]: the claims.

use std::sync::Arc;

use scopegate_provider::{Claims, ClientId, Excerpt, Issuer, Principal, Rejection, Timestamp};
use serde_json::{Map, Value};

use crate::{
    algorithm::Algorithm,
    claims,
    judge::{RequiredMembers, Vouched, client, judge},
    jwk::PublicKey,
    jwt::Jwt,
    key_set::Candidates,
    rules::{TokenRules, TokenType},
};

/// A JWT whose header fits the rules and whose `iss` is one of the provider's: its signature is worth checking.
#[derive(Debug)]
pub struct Admitted {
    jwt: Arc<Jwt>,
    algorithm: Algorithm,
    issuer: Issuer,
}

/// A JWT that a key of its issuer signed, and whose claims were not judged yet.
#[derive(Debug)]
pub struct Signed {
    jwt: Arc<Jwt>,
    issuer: Issuer,
    key: Arc<PublicKey>,
}

/// An introspection answer (RFC 7662, section 2.2).
#[derive(Debug)]
pub struct Introspected {
    /// The answer's members.
    pub claims: Map<String, Value>,
    /// The issuer whose endpoint answered.
    pub issuer: Issuer,
    /// What the answer must hold.
    pub required: RequiredMembers,
    /// Until when the answer may be kept at most; a moment that is not after now says that it may not be kept.
    pub cache_until: Timestamp,
}

impl TokenRules {
    /// What header and `iss` alone say about a token:
    ///
    /// 1. there is no `crit`, as no extension is understood (RFC 7515, section 4.1.11);
    /// 2. `typ` is one of `token_types` (RFC 8725, section 3.11; RFC 9068, section 4);
    /// 3. `alg` is one of `algorithms` (RFC 8725, section 3.1);
    /// 4. `iss` is one of `issuers`, byte for byte (RFC 8725, section 3.8): only that issuer's keys will be tried.
    ///
    /// # Errors
    /// [`Rejection::CriticalHeader`], [`Rejection::WrongType`] or [`Rejection::Malformed`] for the header;
    /// [`Rejection::TypeNotAllowed`], [`Rejection::AlgorithmNotAllowed`], [`Rejection::IssuerMismatch`], and what
    /// [`Jwt::unverified_issuer`] says.
    pub fn admit(&self, jwt: impl Into<Arc<Jwt>>) -> Result<Admitted, Rejection> {
        let jwt = jwt.into();
        let header = jwt.header()?;
        if !self.token_types.contains(&TokenType::of_header(header.token_type)) {
            return Err(Rejection::TypeNotAllowed { found: header.token_type.unwrap_or("none").into() });
        }
        let algorithm = self.allowed_algorithm(header.algorithm)?;
        let issuer = self.expected_issuer(jwt.unverified_issuer()?)?.clone();
        Ok(Admitted { jwt, algorithm, issuer })
    }

    /// What the claims of a signed token say, checked as RFC 7519, section 4.1, RFC 8725 and RFC 9068, section 4, ask
    /// for, and as the rules do.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn judge(&self, signed: Signed, now: Timestamp) -> Result<Principal, Rejection> {
        self.judge_until(signed, now, Timestamp::MAX)
    }

    /// The same, for an answer that may not be kept beyond `cache_until`, because the provider is asked too.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn judge_until(
        &self,
        signed: Signed,
        now: Timestamp,
        cache_until: Timestamp,
    ) -> Result<Principal, Rejection> {
        self.judge_signed(signed, now, cache_until).map_err(|(rejection, _)| rejection)
    }

    /// The same; with a rejection comes the client, for which the signature vouches.
    pub(crate) fn judge_signed(
        &self,
        signed: Signed,
        now: Timestamp,
        cache_until: Timestamp,
    ) -> Result<Principal, (Rejection, Option<ClientId>)> {
        let Signed { jwt, issuer, .. } = signed;
        let vouched = |issuer| Vouched {
            map: jwt.claims(),
            claims: jwt.kept_claims(),
            issuer,
            required: RequiredMembers::ALL,
            cache_until,
        };
        let judged =
            self.expected_issuer(issuer.as_str()).and_then(|issuer| judge(self, vouched(issuer), now));
        judged.map_err(|rejection| (rejection, client(self, jwt.claims())))
    }

    /// The same for an introspection answer, which must say `"active": true` and, if it names a `token_type`, `Bearer`
    /// (RFC 7662, section 2.2). That the issuer itself was asked stands for the signature.
    ///
    /// # Errors
    /// [`Rejection::Inactive`], [`Rejection::SenderConstrained`], [`Rejection::TypeNotAllowed`], or the first check
    /// that fails.
    pub fn judge_introspected(&self, answer: &Introspected, now: Timestamp) -> Result<Principal, Rejection> {
        if answer.claims.get("active") != Some(&Value::Bool(true)) {
            return Err(Rejection::Inactive);
        }
        check_token_type(&answer.claims)?;
        let said = claims::text(&answer.claims, "iss")?.unwrap_or(answer.issuer.as_str());
        let vouched = Vouched {
            issuer: self.expected_issuer(said)?,
            map: &answer.claims,
            claims: Claims::from_map(answer.claims.clone()),
            required: answer.required,
            cache_until: answer.cache_until,
        };
        judge(self, vouched, now)
    }

    fn allowed_algorithm(&self, name: &str) -> Result<Algorithm, Rejection> {
        let allowed = self.algorithms.iter().copied().find(|algorithm| algorithm.as_str() == name);
        allowed.ok_or_else(|| Rejection::AlgorithmNotAllowed { found: Excerpt::new(name) })
    }

    fn expected_issuer(&self, found: &str) -> Result<&Issuer, Rejection> {
        let expected = self.issuers.iter().find(|issuer| issuer.as_str() == found);
        expected.ok_or_else(|| Rejection::IssuerMismatch {
            expected: self.issuers.first().map_or("", Issuer::as_str).into(),
            found: Excerpt::new(found),
        })
    }
}

impl Admitted {
    /// The issuer: one of the provider's, whose key set is to be asked.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// `kid`, if the header names one.
    pub fn key_id(&self) -> Option<&str> {
        self.jwt.key_id()
    }

    /// `alg`, which the settings allow.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Checks the signature (RFC 7515, section 5.2) with keys of the token's issuer, as
    /// [`KeySet::find`](crate::KeySet::find) found them for [`key_id`](Self::key_id) and
    /// [`algorithm`](Self::algorithm). This is the expensive step, and may be done on another thread.
    ///
    /// # Errors
    /// [`Rejection::SignatureInvalid`].
    pub fn check_signature(self, keys: &Candidates) -> Result<Signed, Rejection> {
        let signer = keys.signer(self.algorithm, self.jwt.signing_input(), self.jwt.signature());
        let key = Arc::clone(signer.ok_or(Rejection::SignatureInvalid)?);
        Ok(Signed { jwt: self.jwt, issuer: self.issuer, key })
    }
}

impl Signed {
    /// The key that signed.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The issuer whose key it is.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }
}

/// RFC 6749, section 7.1. `access_token` is what Hydra 1 calls `Bearer`.
fn check_token_type(answer: &Map<String, Value>) -> Result<(), Rejection> {
    match claims::text(answer, "token_type")? {
        Some(found) if found.eq_ignore_ascii_case("DPoP") => Err(Rejection::SenderConstrained),
        Some(found) if !found.eq_ignore_ascii_case("Bearer") && found != "access_token" => {
            Err(Rejection::TypeNotAllowed { found: Excerpt::new(found) })
        }
        Some(_) | None => Ok(()),
    }
}
