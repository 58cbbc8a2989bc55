//! What is asked of claims, whether a signature or an introspection answer vouches for them. Here principals are made.

use std::sync::Arc;

use scopegate_provider::{
    Audience, Claims, ClientId, Excerpt, Issuer, Principal, Rejection, SessionId, Subject, Timestamp,
    TokenId, Verified,
};
use serde_json::Value;

use crate::{
    claims::{self, ClaimMap},
    rules::{TokenRules, TokenUse},
};

/// Claims that somebody vouches for.
pub(crate) struct Vouched<'a> {
    /// What they say.
    pub(crate) map: &'a ClaimMap,
    /// The same, to be kept.
    pub(crate) claims: Claims,
    /// Who vouches.
    pub(crate) issuer: &'a Issuer,
    /// What must be there.
    pub(crate) required: RequiredMembers,
    /// Until when the answer may be kept at most.
    pub(crate) cache_until: Timestamp,
}

/// Which members, optional in RFC 7662, section 2.2, an introspection answer must hold. Those present are checked in
/// any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequiredMembers {
    /// `iss`.
    pub issuer: bool,
    /// `aud`.
    pub audience: bool,
    /// `exp`. An answer without one counts as long as it may be kept.
    pub expiry: bool,
}

impl RequiredMembers {
    /// All of them, as in a JWT (invariant 3).
    pub const ALL: RequiredMembers = RequiredMembers { issuer: true, audience: true, expiry: true };
}

impl Default for RequiredMembers {
    fn default() -> Self {
        Self::ALL
    }
}

/// Judges claims that are vouched for: the one place that makes a principal of them (invariant 1).
///
/// # Errors
/// The first check that fails.
pub(crate) fn judge(
    rules: &TokenRules,
    vouched: Vouched<'_>,
    now: Timestamp,
) -> Result<Principal, Rejection> {
    let Vouched { map, claims, issuer, required, cache_until } = vouched;
    // 1. The issuer, byte for byte (RFC 7519, section 4.1.1; RFC 8725, section 3.8).
    check_issuer(map, issuer, required)?;
    // 2. That it is the kind of token that it passes for (RFC 8725, section 3.12). Whoever sent an ID token by mistake
    //    learns that, and not that its audience is another.
    check_use(rules, map)?;
    // 3. Whom it is meant for (RFC 7519, section 4.1.3; RFC 8725, section 3.9).
    let audience = check_audience(rules, map, required)?;
    // 4. When it is valid (RFC 7519, sections 4.1.4 to 4.1.6), and for how long.
    let validity = check_validity(rules, map, required, now)?;
    // 5. To whom it was issued (RFC 9068, section 2.2; RFC 8693, section 4.3).
    let client = check_client(rules, map)?;
    // 6. What else the settings ask for.
    check_required_claims(rules, map)?;
    // 7. That bearing it is enough (RFC 7800, section 3.1; RFC 9449, section 6).
    check_unbound(map)?;
    // 8. What it says of its bearer, each claim of its type.
    let expires_at = validity.expires_at.unwrap_or(cache_until);
    Ok(Principal::assert_verified(Verified {
        provider: rules.provider.clone(),
        issuer: issuer.clone(),
        subject: claims::name(map, "sub", Subject::parse)?,
        client: client.map(|client| rules.recurring.clients.share(client)),
        audience: rules.recurring.audiences.share(audience),
        scopes: rules.recurring.scopes.share(claims::scopes(map, &rules.scope_claims, &rules.map_scopes)?),
        roles: claims::roles(map, &rules.role_claims)?,
        token_id: claims::name(map, "jti", TokenId::parse)?,
        session: session(rules, map)?,
        issued_at: validity.issued_at,
        expires_at,
        leeway: rules.leeway,
        cache_until: cache_until.min(expires_at + rules.leeway),
        claims,
    }))
}

fn check_issuer(map: &ClaimMap, issuer: &Issuer, required: RequiredMembers) -> Result<(), Rejection> {
    match claims::text(map, "iss")? {
        Some(found) if found == issuer.as_str() => Ok(()),
        Some(found) => {
            Err(Rejection::IssuerMismatch { expected: issuer.as_str().into(), found: Excerpt::new(found) })
        }
        None if required.issuer => Err(missing("iss")),
        None => Ok(()),
    }
}

/// One of the token's audiences must be ours. Where the settings name none, the issuer's tokens carry none, and the
/// client stands in; a token that does carry one is then meant for somebody else.
fn check_audience(
    rules: &TokenRules,
    map: &ClaimMap,
    required: RequiredMembers,
) -> Result<Arc<[Audience]>, Rejection> {
    let audience = claims::audience(map, &rules.audiences)?;
    if audience.is_empty() {
        let pinned = rules.audiences.is_empty() && !rules.allowed_clients.is_empty();
        return if pinned || !required.audience { Ok(audience) } else { Err(missing("aud")) };
    }
    if audience.iter().any(|name| rules.audiences.contains(name)) {
        return Ok(audience);
    }
    let found: Vec<&str> = audience.iter().map(Audience::as_str).collect();
    Err(Rejection::AudienceMismatch { found: Excerpt::new(&found.join(" ")) })
}

struct Validity {
    issued_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

fn check_validity(
    rules: &TokenRules,
    map: &ClaimMap,
    required: RequiredMembers,
    now: Timestamp,
) -> Result<Validity, Rejection> {
    let expires_at = claims::date(map, "exp")?;
    let not_before = claims::date(map, "nbf")?;
    let issued_at = claims::date(map, "iat")?;
    if expires_at.is_none() && required.expiry {
        return Err(missing("exp"));
    }
    if expires_at.is_some_and(|expiry| now >= expiry + rules.leeway) {
        return Err(Rejection::Expired);
    }
    if not_before.is_some_and(|moment| moment > now + rules.leeway) {
        return Err(Rejection::NotYetValid);
    }
    if issued_at.is_some_and(|moment| moment > now + rules.leeway) {
        return Err(Rejection::IssuedInFuture);
    }
    // A revocation is kept this long and no longer: a token that outlives it would be good again.
    let latest = issued_at.unwrap_or(now + rules.leeway) + rules.max_token_lifetime;
    if expires_at.is_some_and(|expiry| expiry > latest) {
        return Err(Rejection::LifetimeTooLong);
    }
    Ok(Validity { issued_at, expires_at })
}

fn check_client(rules: &TokenRules, map: &ClaimMap) -> Result<Option<ClientId>, Rejection> {
    let mut client = None;
    for path in &rules.client_claims {
        let found = claims::name_at(map, path, ClientId::parse)?;
        client = client.or(found);
    }
    match &client {
        _ if rules.allowed_clients.is_empty() => Ok(client),
        Some(id) if rules.allowed_clients.contains(id) => Ok(client),
        Some(id) => Err(Rejection::ClientNotAllowed { found: Excerpt::new(id.as_str()) }),
        None => Err(missing(rules.client_claims.first().map_or("client_id", |path| path.as_str()))),
    }
}

/// The client that claims name, whether or not it is allowed.
pub(crate) fn client(rules: &TokenRules, map: &ClaimMap) -> Option<ClientId> {
    let found = |path| claims::name_at(map, path, ClientId::parse).ok().flatten();
    rules.client_claims.iter().find_map(found)
}

fn check_required_claims(rules: &TokenRules, map: &ClaimMap) -> Result<(), Rejection> {
    for required in &rules.required_claims {
        let claim = required.path.as_str();
        let found = required.path.find(map).ok_or_else(|| missing(claim))?;
        if !required.is_met_by(found) {
            return Err(Rejection::RequiredClaim { claim: claim.into() });
        }
    }
    Ok(())
}

/// OpenID Connect Core 1.0, sections 2 and 3.3.2.11, names what only ID tokens hold; RFC 8417, section 2.2, what only
/// security events do. `token_use` (Cognito, Hydra) and `typ` among the claims (Keycloak) are their providers' own.
fn check_use(rules: &TokenRules, map: &ClaimMap) -> Result<(), Rejection> {
    if is_security_event(map) {
        return Err(Rejection::TypeNotAllowed { found: "secevent+jwt".into() });
    }
    if rules.token_use == TokenUse::Id {
        return Ok(());
    }
    if ["nonce", "at_hash", "c_hash"].iter().any(|name| map.contains_key(*name)) {
        return Err(Rejection::IdToken);
    }
    for name in ["token_use", "typ"] {
        match map.get(name).and_then(Value::as_str) {
            Some("id" | "id_token" | "ID") => return Err(Rejection::IdToken),
            Some(found @ ("refresh" | "refresh_token" | "Refresh" | "Offline" | "Logout")) => {
                return Err(Rejection::TypeNotAllowed { found: Excerpt::new(found) });
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}

/// A back-channel logout token is one, and its audience is a client's (OpenID Connect Back-Channel Logout 1.0,
/// section 2.4). Its events are named by URIs.
fn is_security_event(map: &ClaimMap) -> bool {
    let events = map.get("events").and_then(Value::as_object);
    events.is_some_and(|events| events.keys().any(|event| event.contains(':')))
}

fn check_unbound(map: &ClaimMap) -> Result<(), Rejection> {
    if map.contains_key("cnf") { Err(Rejection::SenderConstrained) } else { Ok(()) }
}

fn session(rules: &TokenRules, map: &ClaimMap) -> Result<Option<SessionId>, Rejection> {
    rules.session_claim.as_ref().map_or(Ok(None), |path| claims::name_at(map, path, SessionId::parse))
}

fn missing(claim: &str) -> Rejection {
    Rejection::MissingClaim { claim: claim.into() }
}

#[cfg(test)]
mod tests {
    use scopegate_provider::ProviderName;
    use serde_json::json;

    use super::*;

    #[test]
    fn invariant_2_claims_are_those_of_the_issuer_that_vouches() {
        let issuer = Issuer::parse("https://a.example").unwrap();
        let mut rules = TokenRules::new(ProviderName::parse("p").unwrap(), issuer.clone());
        rules.issuers.push(Issuer::parse("https://a.example/b").unwrap());
        rules.audiences = vec![Audience::parse("api").unwrap()];
        let claims = json!({"iss": "https://a.example/b", "aud": "api", "exp": 60});
        let map = claims.as_object().unwrap();
        let vouched = Vouched {
            map,
            claims: Claims::from_map(map.clone()),
            issuer: &issuer,
            required: RequiredMembers::ALL,
            cache_until: Timestamp::MAX,
        };
        let refused = judge(&rules, vouched, Timestamp::from_seconds(0)).unwrap_err();
        let found = "https://a.example/b".into();
        assert_eq!(refused, Rejection::IssuerMismatch { expected: issuer.as_str().into(), found });
    }
}
