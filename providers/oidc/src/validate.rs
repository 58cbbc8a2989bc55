//! The checks of claims, attested by a signature or by an introspection answer. Principals are made here.

use std::sync::Arc;

use scopegate_provider::{
    Actor, Audience, Binding, Claims, ClientId, Excerpt, Facts, Issuer, Principal, Proof, Rejection,
    SessionId, Subject, Thumbprint, Timestamp, TokenId, Verified,
};
use serde_json::{Map, Value};

use crate::{
    claims::{self, ClaimMap},
    rules::{Callers, TokenRules, TokenUse},
};

/// Claims, and the issuer that attests them.
pub(crate) struct Attested<'a> {
    /// The claims.
    pub(crate) map: &'a ClaimMap,
    /// The same claims, to be kept with the principal.
    pub(crate) claims: Claims,
    /// The issuer that signed or answered.
    pub(crate) issuer: &'a Issuer,
    /// The form in which it attests them.
    pub(crate) by: Attestation,
    /// The end of the time for which the result may be kept.
    pub(crate) cache_until: Timestamp,
    /// The keys that the sender has proven to possess.
    pub(crate) proof: Proof,
}

/// The form in which an issuer attests claims.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attestation {
    /// A signed token, in which `iss`, `aud` and `exp` are required (invariant 3).
    Signature,
    /// An introspection answer with these required members.
    Answer(RequiredMembers),
}

/// The members, optional in RFC 7662, section 2.2, that an introspection answer must hold. Members that are present are
/// checked in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequiredMembers {
    /// `iss`.
    pub issuer: bool,
    /// `aud`.
    pub audience: bool,
    /// `exp`. An answer without it counts as long as it may be kept.
    pub expiry: bool,
}

impl RequiredMembers {
    /// All members, as in a JWT (invariant 3).
    pub const ALL: RequiredMembers = RequiredMembers { issuer: true, audience: true, expiry: true };
}

impl Default for RequiredMembers {
    fn default() -> Self {
        Self::ALL
    }
}

impl Attestation {
    /// Returns the rejection for a missing claim, or nothing if the claim is not required.
    fn missing(self, claim: &'static str, advice: &'static str) -> Option<Rejection> {
        let Self::Answer(required) = self else {
            return Some(Rejection::MissingClaim { claim: claim.into(), advice });
        };
        let is_required = match claim {
            "iss" => required.issuer,
            "aud" => required.audience,
            "exp" => required.expiry,
            _ => true,
        };
        is_required.then_some(Rejection::MissingMember { member: claim })
    }
}

/// Checks attested claims and makes a principal of them: the only place that does (invariant 1).
///
/// # Errors
/// The first check that fails.
pub(crate) fn validate(
    rules: &TokenRules,
    attested: Attested<'_>,
    now: Timestamp,
) -> Result<Principal, Rejection> {
    let Attested { map, claims, issuer, by, cache_until, proof } = attested;
    // 1. The issuer, byte for byte (RFC 7519, section 4.1.1; RFC 8725, section 3.8).
    check_issuer(rules, map, issuer, by)?;
    // 2. The kind of token (RFC 8725, section 3.12). A client that sends an ID token by mistake learns that, and not that
    //    its audience is another.
    check_use(rules, map)?;
    // 3. The audience (RFC 7519, section 4.1.3; RFC 8725, section 3.9).
    let audience = check_audience(rules, map, by)?;
    // 4. The time in which it is valid (RFC 7519, sections 4.1.4 to 4.1.6), and the length of that time.
    let validity = check_validity(rules, map, by, now)?;
    // 5. The client (RFC 9068, section 2.2; RFC 8693, section 4.3).
    let client = check_client(rules, map)?;
    // 6. The claims that the settings require.
    check_required_claims(rules, map)?;
    check_caller(rules, map)?;
    // 7. The proof of possession, if the token is bound (RFC 7800, section 3.1; RFC 9449, section 6; RFC 8705, section 3).
    let binding = check_binding(map, &proof)?;
    // 8. The other claims, each of its type.
    let expires_at = validity.expires_at.unwrap_or(cache_until);
    let verified = Verified {
        provider: rules.provider.clone(),
        issuer: issuer.clone(),
        subject: claims::name(map, "sub", Subject::parse)?,
        client: client.map(|client| rules.interner.clients.share(client)),
        audience: rules.interner.audiences.share(audience),
        scopes: rules.interner.scopes.share(claims::scopes(map, rules)?),
        roles: claims::roles(map, &rules.role_claims)?,
        token_id: claims::name(map, "jti", TokenId::parse)?,
        session: session(rules, map)?,
        issued_at: validity.issued_at,
        expires_at,
        leeway: rules.leeway,
        cache_until: cache_until.min(expires_at + rules.leeway),
        claims,
    };
    Ok(Principal::assert_verified_with(verified, facts(rules, map, binding)?))
}

fn check_issuer(
    rules: &TokenRules,
    map: &ClaimMap,
    issuer: &Issuer,
    by: Attestation,
) -> Result<(), Rejection> {
    match claims::text(map, "iss")? {
        Some(found) if found == issuer.as_str() => {}
        Some(found) => {
            let expected = issuer.as_str().into();
            return Err(Rejection::IssuerMismatch { expected, found: Excerpt::new(found) });
        }
        None => by.missing("iss", "").map_or(Ok(()), Err)?,
    }
    let (Some(claim), Some(tenant)) = (&rules.tenant_claim, rules.tenant_of(issuer.as_str())) else {
        return Ok(());
    };
    match claims::name_at(map, claim, Subject::parse)? {
        Some(found) if found.as_str() == tenant => Ok(()),
        Some(_) => Err(Rejection::RequiredClaim { claim: claim.as_str().into() }),
        None => Err(Rejection::MissingClaim { claim: claim.as_str().into(), advice: "" }),
    }
}

/// Checks that one of the token's audiences is configured. Where the settings name none, the issuer's tokens carry none,
/// and the client takes their place; a token with an audience is then meant for another API.
fn check_audience(rules: &TokenRules, map: &ClaimMap, by: Attestation) -> Result<Arc<[Audience]>, Rejection> {
    let audience = claims::audience(map, &rules.audiences)?;
    if audience.is_empty() {
        let pinned = rules.audiences.is_empty() && !rules.allowed_clients.is_empty();
        let missing = if pinned { None } else { by.missing("aud", rules.audience_advice) };
        return missing.map_or(Ok(audience), Err);
    }
    if audience.iter().any(|name| rules.audiences.contains(name)) {
        return Ok(audience);
    }
    Err(Rejection::AudienceMismatch {
        found: Excerpt::new(&list(&audience)),
        expected: list(&rules.audiences).into(),
        advice: rules.audience_advice,
    })
}

fn list(audiences: &[Audience]) -> String {
    audiences.iter().map(Audience::as_str).collect::<Vec<_>>().join(" ")
}

struct Validity {
    issued_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

fn check_validity(
    rules: &TokenRules,
    map: &ClaimMap,
    by: Attestation,
    now: Timestamp,
) -> Result<Validity, Rejection> {
    let expires_at = claims::date(map, "exp")?;
    let not_before = claims::date(map, "nbf")?;
    let issued_at = claims::date(map, "iat")?;
    match expires_at {
        None => by.missing("exp", "").map_or(Ok(()), Err)?,
        Some(expiry) if now >= expiry + rules.leeway => return Err(Rejection::Expired { expiry, now }),
        Some(_) => {}
    }
    if let Some(not_before) = not_before.filter(|moment| *moment > now + rules.leeway) {
        return Err(Rejection::NotYetValid { not_before, now });
    }
    if let Some(issued_at) = issued_at.filter(|moment| *moment > now + rules.leeway) {
        return Err(Rejection::IssuedInFuture { issued_at, now });
    }
    // A revocation is kept for this long and no longer: a token that outlives it would be good again.
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
    if let (None, Some(name_of)) = (&client, rules.client_of_subject) {
        client = claims::text(map, "sub")?.and_then(name_of);
    }
    match &client {
        _ if rules.allowed_clients.is_empty() => Ok(client),
        Some(id) if rules.allowed_clients.contains(id) => Ok(client),
        Some(id) => Err(Rejection::ClientNotAllowed { found: Excerpt::new(id.as_str()) }),
        None => {
            let claim = rules.client_claims.first().map_or("client_id", |path| path.as_str()).into();
            Err(Rejection::MissingClaim { claim, advice: "" })
        }
    }
}

/// Returns the client that claims name, whether or not it is allowed.
pub(crate) fn client(rules: &TokenRules, map: &ClaimMap) -> Option<ClientId> {
    rules.client_claims.iter().find_map(|path| claims::name_at(map, path, ClientId::parse).ok().flatten())
}

fn check_required_claims(rules: &TokenRules, map: &ClaimMap) -> Result<(), Rejection> {
    for required in &rules.required_claims {
        let claim = required.path.as_str();
        match required.path.find(map) {
            None => return Err(Rejection::MissingClaim { claim: claim.into(), advice: "" }),
            Some(found) if !required.is_met_by(found) => {
                return Err(Rejection::RequiredClaim { claim: claim.into() });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn check_caller(rules: &TokenRules, map: &ClaimMap) -> Result<(), Rejection> {
    let is_application = rules.is_application.is_some_and(|is_application| is_application(map));
    let found = match rules.callers {
        Callers::Applications if !is_application => "of a user",
        Callers::Users if is_application => "of an application",
        Callers::Any | Callers::Applications | Callers::Users => return Ok(()),
    };
    Err(Rejection::ClientNotAllowed { found: found.into() })
}

/// Claims that only one other kind of JWT holds, with the media type of that kind.
const FOREIGN_CLAIMS: [(&str, &str); 6] = [
    ("htm", "dpop+jwt"),                                // RFC 9449, section 4.2
    ("htu", "dpop+jwt"),                                // RFC 9449, section 4.2
    ("status_list", "statuslist+jwt"),                  // draft-ietf-oauth-status-list, section 5.1
    ("token_introspection", "token-introspection+jwt"), // RFC 9701, section 5
    ("response_type", "oauth-authz-req+jwt"),           // RFC 9101, section 4
    ("redirect_uri", "oauth-authz-req+jwt"),            // RFC 9101, section 4
];

/// Checks by content that the token is an access token. Its header's `typ` was checked before, but many issuers write
/// `JWT` into every token.
fn check_use(rules: &TokenRules, map: &ClaimMap) -> Result<(), Rejection> {
    if is_security_event(map) {
        return Err(Rejection::TypeNotAllowed { found: "secevent+jwt".into() });
    }
    if let Some((_, found)) = FOREIGN_CLAIMS.iter().find(|(claim, _)| map.contains_key(*claim)) {
        return Err(Rejection::TypeNotAllowed { found: (*found).into() });
    }
    // RFC 7523, section 3: a client that authenticates is issuer and subject of its assertion.
    if map.get("sub").is_some_and(|subject| subject.is_string() && map.get("iss") == Some(subject)) {
        return Err(Rejection::TypeNotAllowed { found: "client-authentication+jwt".into() });
    }
    if rules.token_use == TokenUse::Id {
        return Ok(());
    }
    // OpenID Connect Core 1.0, sections 2 and 3.3.2.11.
    if ["nonce", "at_hash", "c_hash"].iter().any(|name| map.contains_key(*name)) {
        return Err(Rejection::IdToken);
    }
    let marks = &rules.access_token_claims;
    if !marks.is_empty() && marks.iter().all(|path| path.find(map).is_none()) {
        return Err(Rejection::IdToken);
    }
    // `token_use` is a claim of Cognito and Hydra, `typ` one of Keycloak.
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

/// Returns `true` for a security event token (RFC 8417, section 2.2), such as a logout token (OpenID Connect Back-Channel
/// Logout 1.0, section 2.4). Its events are named by URIs.
fn is_security_event(map: &ClaimMap) -> bool {
    let events = map.get("events").and_then(Value::as_object);
    events.is_some_and(|events| events.keys().any(|event| event.contains(':')))
}

/// Checks that the sender has proven to possess every key in `cnf`. Unknown members beside a known one are ignored, as
/// RFC 7800, section 3.1, asks for; alone they are a binding that cannot be checked.
fn check_binding(map: &ClaimMap, proof: &Proof) -> Result<Binding, Rejection> {
    let Some(confirmation) = map.get("cnf") else { return Ok(Binding::default()) };
    let members = confirmation.as_object().ok_or(Rejection::SenderConstrained)?;
    let binding = Binding { key: thumbprint(members, "jkt")?, certificate: thumbprint(members, "x5t#S256")? };
    if !binding.is_bound() {
        return Err(Rejection::SenderConstrained);
    }
    if binding.is_proven_by(proof) {
        return Ok(binding);
    }
    let has_key = binding.key.is_none() || proof.key.is_some();
    let has_certificate = binding.certificate.is_none() || proof.certificate.is_some();
    Err(if has_key && has_certificate { Rejection::ProofMismatch } else { Rejection::SenderConstrained })
}

fn thumbprint(members: &Map<String, Value>, name: &str) -> Result<Option<Thumbprint>, Rejection> {
    let Some(value) = members.get(name) else { return Ok(None) };
    let print = value.as_str().and_then(Thumbprint::parse);
    print.map(Some).ok_or(Rejection::SenderConstrained)
}

fn session(rules: &TokenRules, map: &ClaimMap) -> Result<Option<SessionId>, Rejection> {
    rules.session_claim.as_ref().map_or(Ok(None), |path| claims::name_at(map, path, SessionId::parse))
}

fn facts(rules: &TokenRules, map: &ClaimMap, binding: Binding) -> Result<Facts, Rejection> {
    Ok(Facts {
        acr: claims::text(map, "acr")?.map(Box::from),
        auth_time: claims::date(map, "auth_time")?,
        actor: actor(map)?,
        authorization_details: authorization_details(map)?,
        binding,
        groups_omitted: groups_omitted(map),
        aliases: aliases(rules, map),
    })
}

/// Returns further names by which the provider's signals know the subject. An email address counts only if the provider
/// has verified it.
fn aliases(rules: &TokenRules, map: &ClaimMap) -> Box<[Subject]> {
    let claim = rules.alias_claim.as_ref().and_then(|path| path.find(map)).and_then(Value::as_str);
    let is_verified = rules.email_alias && map.get("email_verified") == Some(&Value::Bool(true));
    let email = map.get("email").and_then(Value::as_str).filter(|_| is_verified).map(str::to_lowercase);
    claim.into_iter().chain(email.as_deref()).filter_map(|name| Subject::parse(name).ok()).collect()
}

/// Reads `act` (RFC 8693, section 4.1). `PingOne` has been seen to write a string.
fn actor(map: &ClaimMap) -> Result<Option<Actor>, Rejection> {
    let expected = "an object with a string `sub` or `client_id`";
    let wrong = Rejection::WrongType { claim: "act".into(), expected };
    let (id, issuer) = match map.get("act") {
        None => return Ok(None),
        Some(Value::String(id)) => (Some(id.as_str()), None),
        Some(Value::Object(members)) => {
            let id = members.get("sub").or_else(|| members.get("client_id"));
            (id.and_then(Value::as_str), claims::name(members, "iss", Issuer::parse)?)
        }
        Some(_) => return Err(wrong),
    };
    let id = id.filter(|id| !id.is_empty()).ok_or(wrong)?;
    Ok(Some(Actor { id: id.into(), issuer }))
}

/// RFC 9396, section 2.
fn authorization_details(map: &ClaimMap) -> Result<Arc<[Map<String, Value>]>, Rejection> {
    let expected = "an array of objects with a string `type`";
    let wrong = Rejection::WrongType { claim: "authorization_details".into(), expected };
    let Some(details) = map.get("authorization_details") else { return Ok(Arc::default()) };
    let Some(details) = details.as_array() else { return Err(wrong) };
    let mut typed = Vec::with_capacity(details.len());
    for detail in details {
        let members = detail.as_object().filter(|members| members.get("type").is_some_and(Value::is_string));
        typed.push(members.ok_or_else(|| wrong.clone())?.clone());
    }
    Ok(typed.into())
}

/// Entra ID replaces `groups` by a pointer above 200 groups (distributed claims, OpenID Connect Core 1.0, section 5.6.2),
/// or by `hasgroups` in implicit flows.
fn groups_omitted(map: &ClaimMap) -> bool {
    let pointers = map.get("_claim_names").and_then(Value::as_object);
    let points = pointers.is_some_and(|names| names.contains_key("groups") || names.contains_key("roles"));
    points || map.get("hasgroups") == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use scopegate_provider::ProviderName;
    use serde_json::json;

    use super::*;

    #[test]
    fn invariant_2_claims_name_the_issuer_that_attests_them() {
        let issuer = Issuer::parse("https://a.example").unwrap();
        let mut rules = TokenRules::new(ProviderName::parse("p").unwrap(), issuer.clone());
        rules.issuers.push(Issuer::parse("https://a.example/b").unwrap());
        rules.audiences = vec![Audience::parse("api").unwrap()];
        let claims = json!({"iss": "https://a.example/b", "aud": "api", "exp": 60});
        let map = claims.as_object().unwrap();
        let attested = Attested {
            map,
            claims: Claims::from_map(map.clone()),
            issuer: &issuer,
            by: Attestation::Signature,
            cache_until: Timestamp::MAX,
            proof: Proof::default(),
        };
        let refused = validate(&rules, attested, Timestamp::from_seconds(0)).unwrap_err();
        let found = "https://a.example/b".into();
        assert_eq!(refused, Rejection::IssuerMismatch { expected: issuer.as_str().into(), found });
    }
}
