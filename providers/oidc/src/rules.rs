//! The rules of a provider for its tokens.

use std::{collections::HashMap, sync::Arc, time::Duration};

use schemars::JsonSchema;
use scopegate_provider::{
    Audience, ClaimPath, ClientId, DEFAULT_MAX_TOKEN_LIFETIME, Excerpt, Issuer, ProviderName, Rejection,
    Scope,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{algorithm::Algorithm, interner::Interner, issuers::IssuerPattern, key_set::KeyParameter};

/// The rules for a provider's tokens, and the places of the claims in them. Rules that name no issuer, no algorithm, no
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
/// let principal = rules.validate(signed, Timestamp::from_seconds(1_790_000_000))?;
/// assert!(principal.scopes().contains(&Scope::parse("items")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct TokenRules {
    /// The provider that vouches.
    pub provider: ProviderName,
    /// The issuers, compared byte for byte.
    pub issuers: Vec<Issuer>,
    /// The patterns of further issuers, one for each tenant of a provider.
    pub issuer_patterns: Vec<IssuerPattern>,
    /// The claim that must equal the tenant in the issuer, for providers with an issuer for each tenant.
    pub tenant_claim: Option<ClaimPath>,
    /// The audiences of which a token must name one. If empty, tokens must carry no audience and `allowed_clients` must
    /// name their client.
    pub audiences: Vec<Audience>,
    /// Advice that follows a rejection for the audience.
    pub audience_advice: &'static str,
    /// If not empty, a token must have been issued to one of these.
    pub allowed_clients: Vec<ClientId>,
    /// The accepted algorithms, whatever token and key say.
    pub algorithms: Vec<Algorithm>,
    /// The accepted values of `typ`.
    pub token_types: Vec<TokenType>,
    /// The use of the tokens.
    pub token_use: TokenUse,
    /// The tolerated difference of clocks.
    pub leeway: Duration,
    /// The longest time for which a token may be valid.
    pub max_token_lifetime: Duration,
    /// Requirements of further claims.
    pub required_claims: Vec<RequiredClaim>,
    /// The claims of which an access token holds at least one, if the provider's ID tokens hold none of them.
    pub access_token_claims: Vec<ClaimPath>,
    /// The claims with the client's id: the first that is present counts.
    pub client_claims: Vec<ClaimPath>,
    /// Derives the client from the subject, for tokens without a client claim.
    pub client_of_subject: Option<fn(&str) -> Option<ClientId>>,
    /// The claims with scopes: the union of those present.
    pub scope_claims: Vec<ClaimPath>,
    /// The claims with roles: the union of those present.
    pub role_claims: Vec<ClaimPath>,
    /// The claim with the session's id.
    pub session_claim: Option<ClaimPath>,
    /// The claim with another name of the subject, by which the provider's signals know it.
    pub alias_claim: Option<ClaimPath>,
    /// `true` if a verified email address is such a name, too.
    pub email_alias: bool,
    /// The provider's names of scopes, with ours. A scope that is not named keeps its name.
    pub map_scopes: HashMap<Box<str>, Scope>,
    /// The prefix of the provider's scope names that ours do not have.
    pub scope_prefix: Option<Box<str>>,
    /// The accepted callers, where the provider's tokens tell applications from users.
    pub callers: Callers,
    /// Returns `true` for the claims of an application that calls as itself.
    pub is_application: Option<ClaimsTest>,
    /// The header parameters by which the key of a token is found, in the order in which they are tried.
    pub key_by: Vec<KeyParameter>,
    /// Values that many tokens share.
    pub(crate) interner: Arc<Interner>,
}

/// The use of tokens: to call an API, or to tell a client about a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenUse {
    /// Access tokens. ID tokens are refused.
    #[default]
    Access,
    /// ID tokens, of issuers that issue nothing else to machines.
    Id,
}

/// A test of a token's claims.
pub type ClaimsTest = fn(&Map<String, Value>) -> bool;

/// The callers whose tokens are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Callers {
    /// Applications and users.
    #[default]
    Any,
    /// Applications that call as themselves.
    Applications,
    /// Users, whose clients call on their behalf.
    Users,
}

/// A value of `typ` (RFC 7515, section 4.1.9): compared without case and without the prefix `application/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TokenType {
    /// No `typ`.
    Absent,
    /// A media type, without `application/`, in lower case.
    Named(Box<str>),
}

/// A requirement of a claim.
#[derive(Debug, Clone, PartialEq)]
pub struct RequiredClaim {
    /// The claim.
    pub path: ClaimPath,
    /// The accepted values: the claim equals one of them, or is an array that holds one.
    pub any_of: Vec<Value>,
}

impl TokenRules {
    /// Rules for a plain issuer of access tokens: RS256, PS256, ES256 or `EdDSA`; `at+jwt`, `JWT` or no `typ`; 30 s of
    /// leeway; `client_id` or `azp`, `scope` and `scp`, `sid`. They admit nothing before an audience or a client is named.
    pub fn new(provider: ProviderName, issuer: Issuer) -> Self {
        Self::with_issuers(provider, [issuer])
    }

    /// Rules for several issuers.
    pub(crate) fn with_issuers(provider: ProviderName, issuers: impl IntoIterator<Item = Issuer>) -> Self {
        let mut unique: Vec<Issuer> = Vec::new();
        for issuer in issuers {
            if !unique.contains(&issuer) {
                unique.push(issuer);
            }
        }
        Self {
            provider,
            issuers: unique,
            issuer_patterns: Vec::new(),
            tenant_claim: None,
            audiences: Vec::new(),
            audience_advice: "",
            allowed_clients: Vec::new(),
            algorithms: vec![Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa],
            token_types: vec![TokenType::parse("at+jwt"), TokenType::parse("JWT"), TokenType::Absent],
            token_use: TokenUse::Access,
            leeway: Duration::from_secs(30),
            max_token_lifetime: DEFAULT_MAX_TOKEN_LIFETIME,
            required_claims: Vec::new(),
            access_token_claims: Vec::new(),
            client_claims: paths(&["client_id", "azp"]),
            client_of_subject: None,
            scope_claims: paths(&["scope", "scp"]),
            role_claims: Vec::new(),
            session_claim: paths(&["sid"]).pop(),
            alias_claim: None,
            email_alias: false,
            map_scopes: HashMap::new(),
            scope_prefix: None,
            callers: Callers::Any,
            is_application: None,
            key_by: KeyParameter::ALL.to_vec(),
            interner: Arc::default(),
        }
    }

    /// Returns the configured issuer that equals `found` byte for byte, or the one of a configured pattern.
    ///
    /// # Errors
    /// [`Rejection::IssuerMismatch`].
    pub(crate) fn expected_issuer(&self, found: &str) -> Result<Issuer, Rejection> {
        if let Some(issuer) = self.issuers.iter().find(|issuer| issuer.as_str() == found) {
            return Ok(issuer.clone());
        }
        let matches = self.issuer_patterns.iter().any(|pattern| pattern.tenant_of(found).is_some());
        let issuer = matches.then(|| Issuer::parse(found).ok()).flatten();
        issuer.ok_or_else(|| Rejection::IssuerMismatch {
            expected: self.issuers.first().map_or("", Issuer::as_str).into(),
            found: Excerpt::new(found),
        })
    }

    /// Returns the tenant that an issuer belongs to, if the provider has an issuer for each tenant.
    pub(crate) fn tenant_of<'a>(&self, issuer: &'a str) -> Option<&'a str> {
        self.tenant_claim.as_ref()?;
        let pattern = self.issuer_patterns.iter().find_map(|pattern| pattern.tenant_of(issuer));
        pattern.or_else(|| issuer.split('/').nth(3).filter(|tenant| !tenant.is_empty()))
    }

    /// Returns our name of a provider's scope, or nothing if the name is not a scope.
    pub(crate) fn our_scope(&self, name: &str) -> Option<Scope> {
        if let Some(scope) = self.map_scopes.get(name) {
            return Some(scope.clone());
        }
        let prefix = self.scope_prefix.as_deref().unwrap_or_default();
        Scope::parse(name.strip_prefix(prefix).unwrap_or(name)).ok()
    }
}

/// Types of JWTs that are never access tokens: DPoP proofs, logout tokens, security events, ID-JAGs, status lists,
/// introspection answers, request objects, client assertions.
const FOREIGN_TYPES: [&str; 9] = [
    "dpop+jwt",
    "logout+jwt",
    "secevent+jwt",
    "oauth-id-jag+jwt",
    "statuslist+jwt",
    "token-introspection+jwt",
    "oauth-authz-req+jwt",
    "client-authentication+jwt",
    "id_token+jwt",
];

impl TokenType {
    /// Parses a setting: `none` means no `typ`.
    pub fn parse(text: &str) -> Self {
        if text.eq_ignore_ascii_case("none") { Self::Absent } else { Self::named(text) }
    }

    pub(crate) fn of_header(typ: Option<&str>) -> Self {
        typ.map_or(Self::Absent, Self::named)
    }

    /// The media type of another kind of JWT, which no setting can make an access token, or nothing.
    pub(crate) fn foreign(&self) -> Option<&'static str> {
        let Self::Named(name) = self else { return None };
        FOREIGN_TYPES.iter().copied().find(|foreign| **name == **foreign)
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
