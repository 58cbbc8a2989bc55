//! Where tokens are checked: an issuer with a key of each kind, rules for it, and a fixed time.

use scopegate_oidc::{Algorithm, Jwt, KeySet, TokenRules};
use scopegate_provider::{
    Audience, BearerToken, ClientId, Issuer, Principal, ProviderName, Rejection, Timestamp,
};
use scopegate_testkit::{MintKey, key_set};
use serde_json::{Value, json};

/// The time, in seconds.
pub(crate) const NOW: i64 = 1_790_000_100;
pub(crate) const ISSUER: &str = "https://issuer.example/tenant";
pub(crate) const AUDIENCE: &str = "https://api.example";

pub(crate) struct Desk {
    pub(crate) rsa: MintKey,
    pub(crate) ec: MintKey,
    pub(crate) ed: MintKey,
    pub(crate) keys: KeySet,
    pub(crate) rules: TokenRules,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let (rsa, ec, ed) = (MintKey::rs256("rsa"), MintKey::es256("ec"), MintKey::eddsa("ed"));
        let mut rules = TokenRules::new(ProviderName::parse("test").unwrap(), Issuer::parse(ISSUER).unwrap());
        rules.audiences = vec![Audience::parse(AUDIENCE).unwrap()];
        let keys = keys_of(&[&rsa, &ec, &ed]);
        Self { rsa, ec, ed, keys, rules }
    }

    /// Every step of verification, one after the other.
    pub(crate) fn verify(&self, token: &str) -> Result<Principal, Rejection> {
        self.verify_at(token, NOW)
    }

    pub(crate) fn verify_at(&self, token: &str, now: i64) -> Result<Principal, Rejection> {
        self.verify_bearer(&BearerToken::parse(token).unwrap(), now)
    }

    pub(crate) fn verify_bearer(&self, token: &BearerToken, now: i64) -> Result<Principal, Rejection> {
        let admitted = self.rules.admit(Jwt::parse(token)?)?;
        let candidates = self.keys.find(admitted.key_id(), admitted.algorithm())?;
        let signed = admitted.check_signature(&candidates)?;
        self.rules.validate(signed, Timestamp::from_seconds(now))
    }

    /// What becomes of good claims with these changed; null takes one out.
    pub(crate) fn verify_claims(&self, changes: &Value) -> Result<Principal, Rejection> {
        self.verify(&self.ec.token(&claims(changes)))
    }

    pub(crate) fn allow_clients(&mut self, clients: &[&str]) {
        self.rules.allowed_clients = clients.iter().map(|id| ClientId::parse(id).unwrap()).collect();
    }

    pub(crate) fn leeway(&self) -> i64 {
        i64::try_from(self.rules.leeway.as_secs()).unwrap()
    }
}

pub(crate) fn keys_of(keys: &[&MintKey]) -> KeySet {
    KeySet::parse(key_set(keys).to_string().as_bytes(), &Algorithm::ALL).unwrap()
}

/// Good claims.
pub(crate) fn good_claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "iat": NOW - 60, "nbf": NOW - 60, "exp": NOW + 3600,
        "jti": "t1", "client_id": "client", "scope": "items items:write",
    })
}

/// Good claims with these changed; null takes one out.
pub(crate) fn claims(changes: &Value) -> Value {
    let mut claims = good_claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

pub(crate) fn wrong(claim: &str, expected: &'static str) -> Rejection {
    Rejection::WrongType { claim: claim.into(), expected }
}

pub(crate) fn missing(claim: &str) -> Rejection {
    Rejection::MissingClaim { claim: claim.into(), advice: "" }
}

pub(crate) fn expired(expiry: i64, now: i64) -> Rejection {
    Rejection::Expired { expiry: Timestamp::from_seconds(expiry), now: Timestamp::from_seconds(now) }
}

pub(crate) fn not_yet_valid(not_before: i64) -> Rejection {
    let not_before = Timestamp::from_seconds(not_before);
    Rejection::NotYetValid { not_before, now: Timestamp::from_seconds(NOW) }
}

pub(crate) fn other_audience(found: &str) -> Rejection {
    Rejection::AudienceMismatch { found: found.into(), expected: AUDIENCE.into(), advice: "" }
}

pub(crate) fn malformed(detail: &'static str) -> Rejection {
    Rejection::Malformed { detail }
}
