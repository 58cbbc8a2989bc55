//! Bad variants of a good token.

use serde_json::{Map, Value, json};

use crate::{MintKey, base64url};

/// A token that every provider must reject: a good one with one fault.
#[derive(Debug, Clone)]
pub struct BadVariant {
    /// The fault.
    pub fault: &'static str,
    /// The token.
    pub token: String,
    /// The reason of the rejection.
    pub reason: &'static str,
}

/// Returns the corpus of bad variants of the token that `key` signs with this header and these claims, at `now` in seconds
/// since 1970. Whatever accepts one of them has left out a check.
///
/// # Panics
/// If the claims are not an object with `iss` as text.
pub fn bad_variants(key: &MintKey, header: &Value, claims: &Value, now: i64) -> Vec<BadVariant> {
    let good = Good { key, header, claims };
    let mut variants = good.with_bad_headers();
    variants.extend(good.with_bad_claims(now));
    variants.extend(good.with_bad_bytes());
    variants
}

struct Good<'a> {
    key: &'a MintKey,
    header: &'a Value,
    claims: &'a Value,
}

impl Good<'_> {
    fn with_bad_headers(&self) -> Vec<BadVariant> {
        let forger = MintKey::of(self.key.algorithm(), self.key.id().unwrap_or_default());
        let forger = if forger.jwk() == self.key.jwk() {
            MintKey::rsa(1, self.key.algorithm(), self.key.id().unwrap_or_default())
        } else {
            forger
        };
        vec![
            bad("another key", forger.token_with(self.header, self.claims), "signature_invalid"),
            bad("an unknown key id", self.header("kid", json!("unknown")), "unknown_key"),
            bad("no algorithm", self.unsigned(), "algorithm_not_allowed"),
            bad("an HMAC", self.header("alg", json!("HS256")), "algorithm_not_allowed"),
            bad("an unknown extension", self.header("crit", json!(["exp"])), "critical_header"),
            bad("another type", self.header("typ", json!("secevent+jwt")), "type_not_allowed"),
        ]
    }

    fn with_bad_claims(&self, now: i64) -> Vec<BadVariant> {
        let issuer = self.claims["iss"].as_str().unwrap();
        let slash = issuer.strip_suffix('/').map_or_else(|| format!("{issuer}/"), str::to_owned);
        let later = now + 3600;
        vec![
            bad("expired", self.claim("exp", json!(now - 3600)), "expired"),
            bad("an expiry in words", self.claim("exp", json!("never")), "wrong_claim_type"),
            bad("no expiry", self.without("exp"), "missing_claim"),
            bad("not valid yet", self.claim("nbf", json!(later)), "not_yet_valid"),
            bad("issued in the future", self.claim("iat", json!(later)), "issued_in_future"),
            bad("a life too long", self.claim("exp", json!(now + 400 * 86_400)), "lifetime_too_long"),
            bad("another issuer", self.claim("iss", json!("https://evil.example")), "issuer_mismatch"),
            bad("the issuer but for the slash", self.claim("iss", json!(slash)), "issuer_mismatch"),
            bad("no issuer", self.without("iss"), "missing_claim"),
            bad("an issuer among others", self.claim("iss", json!([issuer])), "wrong_claim_type"),
            bad("another audience", self.claim("aud", json!("https://other.example")), "audience_mismatch"),
            bad("bound to a key", self.claim("cnf", json!({ "jkt": "x" })), "sender_constrained"),
        ]
    }

    fn with_bad_bytes(&self) -> Vec<BadVariant> {
        let token = self.key.token_with(self.header, self.claims);
        let (input, signature) = token.rsplit_once('.').unwrap();
        let twice = self.key.raw_token(self.header.to_string().as_bytes(), br#"{"iss":"a","iss":"b"}"#);
        let mut claims = self.claims.clone();
        claims["sub"] = json!("mallory");
        let changed = self.key.token_with(self.header, &claims);
        let (changed, _) = changed.rsplit_once('.').unwrap();
        vec![
            bad("a claim twice", twice, "duplicate_member"),
            bad("claims of another token", format!("{changed}.{signature}"), "signature_invalid"),
            bad("without a signature", format!("{input}."), "signature_invalid"),
        ]
    }

    fn header(&self, name: &str, value: Value) -> String {
        self.key.token_with(&with(self.header, name, value), self.claims)
    }

    fn claim(&self, name: &str, value: Value) -> String {
        self.key.token_with(self.header, &with(self.claims, name, value))
    }

    fn without(&self, name: &str) -> String {
        let mut claims: Map<String, Value> = self.claims.as_object().unwrap().clone();
        claims.remove(name);
        self.key.token_with(self.header, &Value::Object(claims))
    }

    /// The token unsigned, with the `typ` of good ones.
    fn unsigned(&self) -> String {
        let mut header = json!({ "alg": "none" });
        if self.header["typ"].is_string() {
            header["typ"] = self.header["typ"].clone();
        }
        format!("{}.{}.", base64url(header.to_string()), base64url(self.claims.to_string()))
    }
}

fn bad(fault: &'static str, token: String, reason: &'static str) -> BadVariant {
    BadVariant { fault, token, reason }
}

fn with(members: &Value, name: &str, value: Value) -> Value {
    let mut members = members.clone();
    members[name] = value;
    members
}
