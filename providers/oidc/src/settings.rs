//! The settings of a provider: what people write, parsed and proven before anything starts.

mod common;
mod domain;
mod error;
mod preset;
mod text;

use std::{collections::HashMap, sync::Arc, time::Duration};

use schemars::JsonSchema;
use scopegate_provider::{
    Audience, DEFAULT_MAX_TOKEN_LIFETIME, Issuer, Outline, ProviderName, ScopeSet, Span, TokenRequests,
};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use url::Url;

pub use self::{
    common::{
        ClientAuthenticationMethod, Common, IntrospectionSettings, JwksSettings, OpaqueTokens,
        TokenUseSetting, Validate,
    },
    domain::{Domain, DomainError},
    error::SettingsError,
    preset::Preset,
    text::{AlgorithmName, ClaimName, Endpoint, List, ScopeText},
};
use crate::{
    client::{Client, ClientAuthentication},
    http::{DEFAULT_TIMEOUT, Http},
    rules::{RequiredClaim, TokenRules, TokenType, TokenUse},
};

/// The settings of a provider of the kind `oidc`, and of the kinds that are presets of it. They can only be had by
/// [`Settings::check`], so that contradictory ones do not exist.
///
/// ```
/// use scopegate_oidc::Settings;
///
/// let settings: Settings = serde_json::from_value(serde_json::json!({
///     "issuer": "https://id.example/realms/acme",
///     "audience": "items-api",
///     "role_claims": ["/realm_access/roles"],
/// }))?;
/// assert_eq!(settings.issuer().as_str(), "https://id.example/realms/acme");
///
/// let error = serde_json::from_value::<Settings>(serde_json::json!({ "issuer": "https://id.example" })).unwrap_err();
/// assert!(error.to_string().starts_with("`audience`"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Settings {
    common: Common,
    issuer: Issuer,
    client: Option<Client>,
    http: Option<Arc<Http>>,
    token_parameters: Vec<(&'static str, String)>,
}

/// The least and the most that `jwks.refresh` may be.
const REFRESH: std::ops::RangeInclusive<Duration> = Duration::from_secs(30)..=Duration::from_hours(24);

/// The most that `leeway` may be: beyond it clocks are not skewed but wrong.
const LONGEST_LEEWAY: Duration = Duration::from_mins(5);

impl Settings {
    /// Proves settings: nothing in them contradicts anything else, and nothing that is needed is missing.
    ///
    /// # Errors
    /// [`SettingsError`] names the key and says what to write.
    pub fn check(common: Common) -> Result<Self, SettingsError> {
        let issuer = common.issuer.clone().ok_or(SettingsError::NoIssuer)?;
        check_urls(&common, &issuer)?;
        check_tokens(&common)?;
        check_times(&common)?;
        let client = client(&common)?;
        if common.wants_introspection() && client.is_none() && !common.introspects_without_client() {
            return Err(SettingsError::IntrospectionWithoutClient);
        }
        let default = common.http.is_default();
        let http = if default { None } else { Some(Arc::new(Http::new(common.http.clone())?)) };
        Ok(Self { common, issuer, client, http, token_parameters: Vec::new() })
    }

    /// Sends a parameter along with every token request, as Auth0 wants `audience`.
    #[must_use]
    pub fn with_token_parameter(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.token_parameters.push((name, value.into()));
        self
    }

    /// The issuer.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The issuer and the further ones of the same tenant.
    pub fn issuers(&self) -> Vec<Issuer> {
        let mut issuers = vec![self.issuer.clone()];
        issuers.extend(self.common.issuers.iter().filter(|further| **further != self.issuer).cloned());
        issuers
    }

    /// The audiences.
    pub fn audiences(&self) -> &[Audience] {
        &self.common.audience.0
    }

    /// What the settings say, as far as it can be said without connecting.
    pub fn outline(&self) -> Outline {
        let mut outline = Outline::default();
        outline.issuers = self.issuers();
        outline.audiences = self.audiences().to_vec();
        outline.introspects = self.introspects();
        outline.opaque_tokens = self.takes_opaque_tokens();
        outline.token_requests = match &self.client {
            Some(client) if client.can_request_tokens() => TokenRequests::ConfiguredClient,
            _ => TokenRequests::CallersClient,
        };
        outline.warnings = self.warnings();
        outline
    }

    /// The settings' JSON Schema.
    pub fn schema() -> Value {
        schemars::schema_for!(Common).to_value()
    }

    /// The rules by which the tokens of the provider `name` are judged.
    pub fn rules(&self, name: ProviderName) -> TokenRules {
        let common = &self.common;
        let mut rules = TokenRules::new(name, self.issuer.clone());
        rules.issuers = self.issuers();
        rules.audiences.clone_from(&common.audience.0);
        rules.allowed_clients.clone_from(&common.allowed_clients);
        rules.algorithms = common
            .algorithms
            .as_ref()
            .map_or(rules.algorithms, |names| names.iter().map(|name| name.0).collect());
        rules.token_types = common
            .token_types
            .as_ref()
            .map_or_else(default_types, |names| names.iter().map(|name| TokenType::parse(name)).collect());
        rules.token_use = match common.token_use {
            TokenUseSetting::Access => TokenUse::Access,
            TokenUseSetting::Id => TokenUse::Id,
        };
        rules.leeway = common.leeway.map_or(rules.leeway, Span::get);
        rules.max_token_lifetime = self.max_token_lifetime();
        rules.required_claims = common.required_claims.iter().map(required_claim).collect();
        rules.client_claims = claims(common.client_claims.as_deref()).unwrap_or(rules.client_claims);
        rules.scope_claims = claims(common.scope_claims.as_deref()).unwrap_or(rules.scope_claims);
        rules.role_claims = claims(common.role_claims.as_deref()).unwrap_or_default();
        rules.map_scopes = common
            .map_scopes
            .iter()
            .map(|(theirs, ours)| (theirs.as_str().into(), ours.clone()))
            .collect::<HashMap<_, _>>();
        rules
    }

    /// How long a token waits for the keys that it asked to be fetched: for both requests that this may take.
    pub(crate) fn patience(&self) -> Duration {
        self.common.http.timeout.map_or(DEFAULT_TIMEOUT, Span::get) * 2
    }

    pub(crate) fn validate(&self) -> Validate {
        self.common.validate.unwrap_or_default()
    }

    pub(crate) fn takes_opaque_tokens(&self) -> bool {
        self.common.opaque_tokens.is_some()
    }

    /// Whether the provider can be asked about a token.
    pub(crate) fn introspects(&self) -> bool {
        self.common.wants_introspection()
    }

    pub(crate) fn max_token_lifetime(&self) -> Duration {
        self.common.max_token_lifetime.map_or(DEFAULT_MAX_TOKEN_LIFETIME, Span::get)
    }

    pub(crate) fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// The client of its own that `http` asks for; none means that the default one will do.
    pub(crate) fn http(&self) -> Option<Arc<Http>> {
        self.http.clone()
    }

    pub(crate) fn jwks(&self) -> &JwksSettings {
        &self.common.jwks
    }

    pub(crate) fn introspection(&self) -> IntrospectionSettings {
        self.common.introspection.clone().unwrap_or_default()
    }

    pub(crate) fn token_request_scope(&self) -> Option<&ScopeSet> {
        self.common.token_request_scope.as_ref().map(|text| &text.0)
    }

    pub(crate) fn token_parameters(&self) -> &[(&'static str, String)] {
        &self.token_parameters
    }

    pub(crate) fn endpoint(&self, which: impl Fn(&Common) -> Option<&Endpoint>) -> Option<Url> {
        which(&self.common).map(|endpoint| endpoint.0.clone())
    }

    pub(crate) fn client_authentication_method(&self) -> Option<ClientAuthenticationMethod> {
        self.common.client_authentication
    }

    fn warnings(&self) -> Vec<String> {
        let hosts = &self.common.http.insecure_hosts;
        let insecure = hosts.iter().map(|host| {
            format!("`http.insecure_hosts`: `{host}` is reached by plain http; whoever is on the way can forge its keys")
        });
        let unused = self.audiences().is_empty().then(|| {
            "`audience`: none is given, so any API's token passes that one of `allowed_clients` holds"
                .to_owned()
        });
        insecure.chain(unused).collect()
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::check(Common::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Settings {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OidcSettings".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Common::json_schema(generator)
    }
}

fn default_types() -> Vec<TokenType> {
    vec![TokenType::parse("at+jwt"), TokenType::parse("JWT")]
}

fn claims(names: Option<&[ClaimName]>) -> Option<Vec<scopegate_provider::ClaimPath>> {
    names.map(|names| names.iter().map(|name| name.0.clone()).collect())
}

fn required_claim((path, value): (&ClaimName, &Value)) -> RequiredClaim {
    let any_of = match value {
        Value::Array(values) => values.clone(),
        scalar => vec![scalar.clone()],
    };
    RequiredClaim { path: path.0.clone(), any_of }
}

fn check_urls(common: &Common, issuer: &Issuer) -> Result<(), SettingsError> {
    for (key, issuer) in
        std::iter::once(("issuer", issuer)).chain(common.issuers.iter().map(|issuer| ("issuers", issuer)))
    {
        let found = || issuer.as_str().to_owned();
        let url =
            Url::parse(issuer.as_str()).map_err(|_| SettingsError::IssuerUrl { key, found: found() })?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if !plain || !matches!(url.scheme(), "https" | "http") || !url.has_host() {
            return Err(SettingsError::IssuerUrl { key, found: found() });
        }
        check_secure(common, key, &url)?;
    }
    for (key, endpoint) in common.endpoints() {
        check_secure(common, key, &endpoint.0)?;
    }
    Ok(())
}

fn check_secure(common: &Common, key: &'static str, url: &Url) -> Result<(), SettingsError> {
    if common.http.allows(url) {
        return Ok(());
    }
    Err(SettingsError::Insecure { key, host: url.host_str().unwrap_or_default().to_owned() })
}

fn check_tokens(common: &Common) -> Result<(), SettingsError> {
    if common.audience.0.is_empty() && common.allowed_clients.is_empty() {
        return Err(SettingsError::NoAudience);
    }
    let empty =
        |key, list: Option<bool>| if list == Some(true) { Err(SettingsError::Empty { key }) } else { Ok(()) };
    empty("algorithms", common.algorithms.as_ref().map(Vec::is_empty))?;
    empty("token_types", common.token_types.as_ref().map(Vec::is_empty))?;
    empty("client_claims", common.client_claims.as_ref().map(Vec::is_empty))
}

fn check_times(common: &Common) -> Result<(), SettingsError> {
    let outside = |key, least, most| SettingsError::Range { key, least, most };
    let refresh = common.jwks.refresh.get();
    if !REFRESH.contains(&refresh) {
        return Err(outside("jwks.refresh", *REFRESH.start(), *REFRESH.end()));
    }
    if common.jwks.stale_if_error.get() < refresh {
        return Err(SettingsError::StaleBeforeRefresh { refresh: common.jwks.refresh });
    }
    if common.jwks.cool_down.get().is_zero() {
        return Err(outside("jwks.cool_down", Duration::from_secs(1), Duration::from_hours(1)));
    }
    if common.leeway.is_some_and(|leeway| leeway.get() > LONGEST_LEEWAY) {
        return Err(outside("leeway", Duration::ZERO, LONGEST_LEEWAY));
    }
    if common.max_token_lifetime.is_some_and(|lifetime| lifetime.get().is_zero()) {
        return Err(outside("max_token_lifetime", Duration::from_secs(1), DEFAULT_MAX_TOKEN_LIFETIME));
    }
    match &common.introspection {
        Some(introspection) if introspection.timeout.get().is_zero() => {
            Err(outside("introspection.timeout", Duration::from_millis(1), Duration::from_mins(1)))
        }
        _ => Ok(()),
    }
}

fn client(common: &Common) -> Result<Option<Client>, SettingsError> {
    use ClientAuthenticationMethod as Method;
    let Some(id) = &common.client_id else {
        let orphan = [
            ("client_secret", common.client_secret.is_some()),
            ("private_key", common.private_key.is_some()),
        ];
        let orphan = orphan.into_iter().find(|(_, given)| *given);
        return orphan.map_or(Ok(None), |(key, _)| Err(SettingsError::NoClientId { key }));
    };
    let method = common.client_authentication.unwrap_or(match (&common.client_secret, &common.private_key) {
        (Some(_), _) => Method::ClientSecretBasic,
        (None, Some(_)) => Method::PrivateKeyJwt,
        (None, None) => Method::None,
    });
    let authentication = match (method, &common.client_secret, &common.private_key) {
        (Method::ClientSecretBasic, Some(secret), None) => ClientAuthentication::Basic(secret.clone()),
        (Method::ClientSecretPost, Some(secret), None) => ClientAuthentication::Post(secret.clone()),
        (Method::PrivateKeyJwt, None, Some(key)) => {
            ClientAuthentication::private_key_jwt(key, common.private_key_id.as_deref())?
        }
        (Method::None, None, None) => ClientAuthentication::None,
        (method, secret, _) => return Err(SettingsError::authentication(method, secret.is_some())),
    };
    Ok(Some(Client { id: id.clone(), authentication }))
}

#[cfg(test)]
mod tests;
