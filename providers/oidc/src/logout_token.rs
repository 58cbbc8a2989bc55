//! Logout tokens (OpenID Connect Back-Channel Logout 1.0, section 2.4).

use std::time::Duration;

use scopegate_provider::{
    Excerpt, Issuer, Rejection, SessionId, Signal, SignalEffect, SignalTarget, Subject, Timestamp, TokenId,
    Withdrawal,
};
use serde_json::Value;

use crate::{
    claims::{self, ClaimMap},
    jwt::Jwt,
    rules::{TokenRules, TokenType},
    verify::{Admitted, Signed},
};

/// The member of `events` that makes a token a logout token.
pub(crate) const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

impl TokenRules {
    /// Checks header and `iss` of a logout token. `typ` is `logout+jwt` as recommended, or `JWT` or absent as many
    /// providers send it.
    pub(crate) fn admit_logout(&self, jwt: Jwt) -> Result<Admitted, Rejection> {
        let types = [TokenType::parse("logout+jwt"), TokenType::parse("JWT"), TokenType::Absent];
        let issuer = self.expected_issuer(jwt.unverified_issuer()?)?;
        self.admit_typed(jwt, &types, issuer)
    }

    /// Checks the claims of a logout token for `client` (section 2.6) and returns its effect: a session that it names is
    /// withdrawn, otherwise all tokens of the subject. The moment is `iat` and not now, so that a login after the logout
    /// survives a late delivery.
    pub(crate) fn validate_logout(
        &self,
        signed: &Signed,
        client: &str,
        now: Timestamp,
    ) -> Result<Signal, Rejection> {
        let map = signed.claims();
        check_issuer(map, signed.issuer())?;
        check_audience(map, client)?;
        let issued_at = required_date(map, "iat")?;
        if issued_at > now + self.leeway {
            return Err(Rejection::IssuedInFuture { issued_at, now });
        }
        let expiry = required_date(map, "exp")?;
        if now >= expiry + self.leeway {
            return Err(Rejection::Expired { expiry, now });
        }
        let id = claims::name(map, "jti", TokenId::parse)?.ok_or_else(|| missing("jti"))?;
        let event = map.get("events").and_then(|events| events.get(LOGOUT_EVENT));
        if !event.is_some_and(Value::is_object) {
            let expected = "an object with the member `http://schemas.openid.net/event/backchannel-logout`, which is an \
                            object too";
            return Err(Rejection::WrongType { claim: "events".into(), expected });
        }
        if map.contains_key("nonce") {
            return Err(Rejection::Malformed { detail: "expected a logout token, which has no `nonce`" });
        }
        let subject = claims::name(map, "sub", Subject::parse)?;
        let session = claims::name(map, "sid", SessionId::parse)?;
        let target = match (session, subject) {
            (Some(session), _) => SignalTarget::Session(session),
            (None, Some(subject)) => SignalTarget::Subject(subject),
            (None, None) => return Err(missing("sid")),
        };
        let withdrawal = Withdrawal { target, issued_before: Some(end_of_second(issued_at)) };
        Ok(Signal {
            id: id.as_str().into(),
            issued_at,
            expires_at: Some(expiry + self.leeway),
            event: LOGOUT_EVENT.into(),
            effect: SignalEffect::Withdraw(vec![withdrawal]),
            doubt: None,
        })
    }
}

/// Returns the start of the second after `moment`: `iat` of tokens counts whole seconds.
pub(crate) fn end_of_second(moment: Timestamp) -> Timestamp {
    Timestamp::from_seconds(moment.seconds()) + Duration::from_secs(1)
}

pub(crate) fn check_issuer(map: &ClaimMap, expected: &Issuer) -> Result<(), Rejection> {
    match claims::text(map, "iss")? {
        Some(found) if found == expected.as_str() => Ok(()),
        found => Err(Rejection::IssuerMismatch {
            expected: expected.as_str().into(),
            found: Excerpt::new(found.unwrap_or_default()),
        }),
    }
}

fn check_audience(map: &ClaimMap, client: &str) -> Result<(), Rejection> {
    let audience = claims::audience(map, &[])?;
    if audience.iter().any(|name| name.as_str() == client) {
        return Ok(());
    }
    let found = Excerpt::new(audience.first().map_or("", |name| name.as_str()));
    let advice = "; a logout token is meant for a client: set `client_id` to the one that the logout URL is registered for";
    Err(Rejection::AudienceMismatch { found, expected: client.into(), advice })
}

pub(crate) fn required_date(map: &ClaimMap, name: &'static str) -> Result<Timestamp, Rejection> {
    claims::date(map, name)?.ok_or_else(|| missing(name))
}

pub(crate) fn missing(claim: &'static str) -> Rejection {
    Rejection::MissingClaim { claim: claim.into(), advice: "" }
}

#[cfg(test)]
mod tests;
