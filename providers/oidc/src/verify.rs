//! Verification in steps: [`Jwt`] → [`Admitted`] → [`Signed`] → [`Principal`]. Each step takes the result of the one
//! before, so that none can be left out:
//!
//! 1. [`Jwt::parse`]: three parts, base64url, JSON (RFC 7515, sections 5.2 and 7.1);
//! 2. [`TokenRules::admit`]: no extension; type, algorithm, issuer;
//! 3. [`KeySet::find_by`](crate::KeySet::find_by): the keys of this issuer, and no others;
//! 4. [`Admitted::check_signature`]: the only expensive step, and the only one that needs no time of day;
//! 5. [`TokenRules::validate`]: the claims.

use std::sync::Arc;

use scopegate_provider::{Claims, ClientId, Excerpt, Issuer, Principal, Proof, Rejection, Timestamp};
use serde_json::{Map, Value};

use crate::{
    algorithm::Algorithm,
    claims,
    jwk::PublicKey,
    jwt::Jwt,
    key_set::{Candidates, KeyReference},
    rules::{TokenRules, TokenType},
    validate::{Attestation, Attested, RequiredMembers, client, validate},
};

/// A JWT whose header fits the rules and whose `iss` is one of the provider's: its signature is worth checking.
#[derive(Debug)]
pub struct Admitted {
    jwt: Arc<Jwt>,
    algorithm: Algorithm,
    issuer: Issuer,
}

/// A JWT that a key of its issuer signed, and whose claims were not checked yet.
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
    /// The members that the answer must hold.
    pub required: RequiredMembers,
    /// The end of the time for which the answer may be kept; a moment that is not after now forbids keeping it.
    pub cache_until: Timestamp,
    /// The keys that the sender has proven to possess.
    pub proof: Proof,
}

/// The type of a signed introspection answer (RFC 9701, section 5).
const ANSWER_TYPE: &str = "token-introspection+jwt";

impl TokenRules {
    /// Checks header and `iss`, which need no key:
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
        let token_type = TokenType::of_header(header.token_type);
        if token_type.foreign().is_some() || !self.token_types.contains(&token_type) {
            return Err(Rejection::TypeNotAllowed { found: header.token_type.unwrap_or("none").into() });
        }
        let algorithm = self.allowed_algorithm(header.algorithm)?;
        let issuer = self.expected_issuer(jwt.unverified_issuer()?)?;
        Ok(Admitted { jwt, algorithm, issuer })
    }

    /// Checks the claims of a signed token as RFC 7519, section 4.1, RFC 8725, RFC 9068, section 4, and the rules require.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn validate(&self, signed: Signed, now: Timestamp) -> Result<Principal, Rejection> {
        self.validate_with(signed, now, Timestamp::MAX, Proof::default()).map_err(|(rejection, _)| rejection)
    }

    /// Checks the claims of a signed token that came with a proof of possession.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn validate_bound(
        &self,
        signed: Signed,
        now: Timestamp,
        proof: Proof,
    ) -> Result<Principal, Rejection> {
        self.validate_with(signed, now, Timestamp::MAX, proof).map_err(|(rejection, _)| rejection)
    }

    /// Checks the same for a result that may not be kept beyond `cache_until`. A rejection comes with the client, which
    /// the signature attests.
    pub(crate) fn validate_with(
        &self,
        signed: Signed,
        now: Timestamp,
        cache_until: Timestamp,
        proof: Proof,
    ) -> Result<Principal, (Rejection, Option<ClientId>)> {
        let Signed { jwt, issuer, .. } = signed;
        let validated = self.expected_issuer(issuer.as_str()).and_then(|issuer| {
            let claims = jwt.kept_claims();
            let by = Attestation::Signature;
            validate(
                self,
                Attested { map: jwt.claims(), claims, issuer: &issuer, by, cache_until, proof },
                now,
            )
        });
        validated.map_err(|rejection| (rejection, client(self, jwt.claims())))
    }

    /// Checks an introspection answer, which must say `"active": true` and, if it names a `token_type`, `Bearer` or
    /// `DPoP` (RFC 7662, section 2.2). The issuer's own endpoint takes the place of a signature.
    ///
    /// # Errors
    /// [`Rejection::Inactive`], [`Rejection::SenderConstrained`], [`Rejection::TypeNotAllowed`], or the first check
    /// that fails.
    pub fn validate_introspection(
        &self,
        answer: &Introspected,
        now: Timestamp,
    ) -> Result<Principal, Rejection> {
        if answer.claims.get("active") != Some(&Value::Bool(true)) {
            return Err(Rejection::Inactive);
        }
        check_token_type(&answer.claims)?;
        let issuer = claims::text(&answer.claims, "iss")?.unwrap_or(answer.issuer.as_str());
        let attested = Attested {
            issuer: &self.expected_issuer(issuer)?,
            map: &answer.claims,
            claims: Claims::from_map(answer.claims.clone()),
            by: Attestation::Answer(answer.required),
            cache_until: answer.cache_until,
            proof: answer.proof,
        };
        validate(self, attested, now)
    }

    /// Checks header and `iss` of a signed introspection answer (RFC 9701, section 5).
    pub(crate) fn admit_answer(&self, jwt: Jwt, issuer: &Issuer) -> Result<Admitted, Rejection> {
        let found = jwt.unverified_issuer()?;
        if found != issuer.as_str() {
            let expected = issuer.as_str().into();
            return Err(Rejection::IssuerMismatch { expected, found: Excerpt::new(found) });
        }
        self.admit_typed(jwt, &[TokenType::parse(ANSWER_TYPE)], issuer.clone())
    }

    /// Checks the header of a JWT of one of `types`, whose `iss` the caller has checked.
    pub(crate) fn admit_typed(
        &self,
        jwt: Jwt,
        types: &[TokenType],
        issuer: Issuer,
    ) -> Result<Admitted, Rejection> {
        let header = jwt.header()?;
        if !types.contains(&TokenType::of_header(header.token_type)) {
            return Err(Rejection::TypeNotAllowed { found: header.token_type.unwrap_or("none").into() });
        }
        let algorithm = self.allowed_algorithm(header.algorithm)?;
        Ok(Admitted { jwt: jwt.into(), algorithm, issuer })
    }

    fn allowed_algorithm(&self, name: &str) -> Result<Algorithm, Rejection> {
        let allowed = self.algorithms.iter().copied().find(|algorithm| algorithm.as_str() == name);
        allowed.ok_or_else(|| Rejection::AlgorithmNotAllowed { found: Excerpt::new(name) })
    }
}

impl Admitted {
    /// The issuer: one of the provider's, whose key set is used.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// `kid`, if the header names it.
    pub fn key_id(&self) -> Option<&str> {
        self.jwt.key_id()
    }

    /// The header parameters that name the key.
    pub fn key_reference(&self) -> KeyReference<'_> {
        self.jwt.key_reference()
    }

    /// `alg`, which the settings allow.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// `iat`, unverified.
    pub(crate) fn unverified_issue(&self) -> Option<Timestamp> {
        claims::date(self.jwt.claims(), "iat").ok().flatten()
    }

    /// Checks the signature (RFC 7515, section 5.2) with keys of the token's issuer, as
    /// [`KeySet::find_by`](crate::KeySet::find_by) found them for [`key_reference`](Self::key_reference) and
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

    /// Takes the answer out of a signed introspection answer that is meant for `client` (RFC 9701, section 5).
    pub(crate) fn into_answer(self, client: &str) -> Result<Map<String, Value>, Rejection> {
        let map = self.jwt.claims();
        let audience = claims::audience(map, &[])?;
        if !audience.iter().any(|name| name.as_str() == client) {
            let found = audience.first().map_or("", |name| name.as_str());
            let found = Excerpt::new(found);
            return Err(Rejection::AudienceMismatch { found, expected: client.into(), advice: "" });
        }
        let answer = map.get("token_introspection").and_then(Value::as_object);
        let answer = answer.filter(|members| members.get("active").is_some_and(Value::is_boolean));
        answer.cloned().ok_or_else(|| Rejection::WrongType {
            claim: "token_introspection".into(),
            expected: "an object with a boolean `active`",
        })
    }

    /// The claims, whose issuer has signed them and which were not checked yet.
    pub(crate) fn claims(&self) -> &Map<String, Value> {
        self.jwt.claims()
    }

    /// The issuer whose key it is.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }
}

/// Checks `token_type` (RFC 6749, section 7.1). `access_token` is Hydra 1's word for `Bearer`. A DPoP token without a key
/// in `cnf` would pass as a bearer token.
fn check_token_type(answer: &Map<String, Value>) -> Result<(), Rejection> {
    match claims::text(answer, "token_type")? {
        Some(found) if found.eq_ignore_ascii_case("DPoP") => {
            if answer.contains_key("cnf") {
                Ok(())
            } else {
                Err(Rejection::SenderConstrained)
            }
        }
        Some(found) if !found.eq_ignore_ascii_case("Bearer") && found != "access_token" => {
            Err(Rejection::TypeNotAllowed { found: Excerpt::new(found) })
        }
        Some(_) | None => Ok(()),
    }
}
