//! What a provider's settings say about its tokens, parsed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use scopegate_provider::{
    Audience, ClaimPath, ClientId, DEFAULT_MAX_TOKEN_LIFETIME, Issuer, ProviderName, Scope,
};
use serde_json::Value;

use crate::{algorithm::Algorithm, recurring::Recurring};

/// What a provider's tokens must be like, and where in them things stand. Rules that name no issuer, no algorithm, no
/// type, or neither an audience nor a client, admit no token.
///
/// ```
/// use scopegate_oidc::{Algorithm, Jwt, KeySet, TokenRules};
/// use scopegate_provider::{Audience, BearerToken, Issuer, ProviderName, Scope, Timestamp};
/// # use scopegate_testkit::{MintKey, key_set};
/// # let key = MintKey::es256("k1");
/// # let jwks = key_set(&[&key]).to_string();
/// # let token = key.token(&serde_json::json!({
/// #     "iss": "https://id.example", "aud": "items-api", "exp": 1_790_003_600, "scope": "items",
/// # }));
///
/// let mut rules = TokenRules::new(ProviderName::parse("example")?, Issuer::parse("https://id.example")?);
/// rules.audiences = vec![Audience::parse("items-api")?];
/// let keys = KeySet::parse(jwks.as_bytes(), &rules.algorithms)?;
///
/// let admitted = rules.admit(Jwt::parse(&BearerToken::parse(&token)?)?)?;
/// let candidates = keys.find(admitted.key_id(), admitted.algorithm())?;
/// let signed = admitted.check_signature(&candidates)?;
/// let principal = rules.judge(signed, Timestamp::from_seconds(1_790_000_000))?;
/// assert!(principal.scopes().contains(&Scope::parse("items")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct TokenRules {
    /// The provider that vouches.
    pub provider: ProviderName,
    /// The issuers, compared byte for byte.
    pub issuers: Vec<Issuer>,
    /// Of these a token must name one. If empty, tokens must carry no audience and `allowed_clients` must name theirs.
    pub audiences: Vec<Audience>,
    /// If not empty, a token must have been issued to one of these.
    pub allowed_clients: Vec<ClientId>,
    /// The algorithms that are taken, whatever token and key say.
    pub algorithms: Vec<Algorithm>,
    /// The values of `typ` that are taken.
    pub token_types: Vec<TokenType>,
    /// Whether the tokens are access tokens or ID tokens.
    pub token_use: TokenUse,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// How long a token may be valid at most.
    pub max_token_lifetime: Duration,
    /// What further claims must hold.
    pub required_claims: Vec<RequiredClaim>,
    /// Where the client's id stands: the first that is present counts.
    pub client_claims: Vec<ClaimPath>,
    /// Where scopes stand: the union of those present.
    pub scope_claims: Vec<ClaimPath>,
    /// Where roles stand: the union of those present.
    pub role_claims: Vec<ClaimPath>,
    /// Where the session's id stands.
    pub session_claim: Option<ClaimPath>,
    /// The provider's name of a scope → ours. A scope that is not named keeps its name.
    pub map_scopes: HashMap<Box<str>, Scope>,
    /// What many of them have in common.
    pub(crate) recurring: Arc<Recurring>,
}

/// Whether tokens speak to an API or about a user to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenUse {
    /// Access tokens: what looks like an ID token is refused.
    #[default]
    Access,
    /// ID tokens, of issuers that give machines nothing else.
    Id,
}

/// A value of `typ` (RFC 7515, section 4.1.9): compared without case and without the prefix `application/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TokenType {
    /// No `typ`.
    Absent,
    /// A media type, without `application/`, in lower case.
    Named(Box<str>),
}

/// What a claim must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct RequiredClaim {
    /// Where it stands.
    pub path: ClaimPath,
    /// It must equal one of these, or be an array that holds one of them.
    pub any_of: Vec<Value>,
}

impl TokenRules {
    /// Rules for a plain issuer of access tokens: RS256, PS256, ES256 or `EdDSA`; `at+jwt`, `JWT` or no `typ`; 30 s of
    /// leeway; `client_id` or `azp`, `scope` and `scp`, `sid`. They admit nothing before an audience or a client is named.
    pub fn new(provider: ProviderName, issuer: Issuer) -> Self {
        Self {
            provider,
            issuers: vec![issuer],
            audiences: Vec::new(),
            allowed_clients: Vec::new(),
            algorithms: vec![Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa],
            token_types: vec![TokenType::parse("at+jwt"), TokenType::parse("JWT"), TokenType::Absent],
            token_use: TokenUse::Access,
            leeway: Duration::from_secs(30),
            max_token_lifetime: DEFAULT_MAX_TOKEN_LIFETIME,
            required_claims: Vec::new(),
            client_claims: paths(&["client_id", "azp"]),
            scope_claims: paths(&["scope", "scp"]),
            role_claims: Vec::new(),
            session_claim: paths(&["sid"]).pop(),
            map_scopes: HashMap::new(),
            recurring: Arc::default(),
        }
    }
}

impl TokenType {
    /// Reads it as a setting writes it: `none` is no `typ`.
    pub fn parse(text: &str) -> Self {
        if text.eq_ignore_ascii_case("none") { Self::Absent } else { Self::named(text) }
    }

    pub(crate) fn of_header(typ: Option<&str>) -> Self {
        typ.map_or(Self::Absent, Self::named)
    }

    fn named(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        Self::Named(text.strip_prefix("application/").unwrap_or(&text).into())
    }
}

impl RequiredClaim {
    pub(crate) fn is_met_by(&self, found: &Value) -> bool {
        match found {
            Value::Array(items) => items.iter().any(|item| self.any_of.contains(item)),
            scalar => self.any_of.contains(scalar),
        }
    }
}

fn paths(names: &[&str]) -> Vec<ClaimPath> {
    names.iter().filter_map(|name| ClaimPath::parse(name).ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_type_is_read_as_settings_and_headers_write_it() {
        assert_eq!(TokenType::parse("None"), TokenType::Absent);
        assert_eq!(TokenType::parse("at+jwt"), TokenType::of_header(Some("application/AT+JWT")));
        assert_eq!(TokenType::of_header(None), TokenType::Absent);
        assert_ne!(TokenType::of_header(Some("none")), TokenType::parse("none"));
    }

    #[test]
    fn a_required_claim_equals_a_value_or_holds_one() {
        let required =
            RequiredClaim { path: ClaimPath::parse("x").unwrap(), any_of: vec![json!("a"), json!(true)] };
        assert!(required.is_met_by(&json!("a")) && required.is_met_by(&json!([1, true])));
        assert!(!required.is_met_by(&json!("a b")) && !required.is_met_by(&json!({"a": 1})));
    }

    #[test]
    fn rules_that_name_neither_audience_nor_client_are_how_they_begin() {
        let rules =
            TokenRules::new(ProviderName::parse("p").unwrap(), Issuer::parse("https://a.example").unwrap());
        assert!(rules.audiences.is_empty() && rules.allowed_clients.is_empty());
        assert!(!rules.algorithms.is_empty() && rules.token_use == TokenUse::Access);
    }
}
