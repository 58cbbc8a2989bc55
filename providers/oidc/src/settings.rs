//! The settings of a provider, parsed and checked before anything starts.

mod common;
mod domain;
mod error;
mod preset;
mod proof;
mod signals;
mod text;

use std::{collections::HashMap, sync::Arc, time::Duration};

use schemars::JsonSchema;
use scopegate_provider::{
    Audience, ClaimPath, ClientId, DEFAULT_MAX_TOKEN_LIFETIME, Issuer, NameError, Outline, ProviderName,
    ScopeSet, Span, TokenRequests,
};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};
use url::Url;

pub use self::{
    common::{
        AnswerMember, ClientAuthenticationMethod, Common, IntrospectionSettings, JwksSettings, OpaqueTokens,
        TokenUseSetting, Validate,
    },
    domain::{Domain, DomainError},
    error::SettingsError,
    preset::{Preset, PresetKind, PresetSettings},
    proof::{DpopSettings, ProofSettings},
    signals::{EventEffect, PollSettings, SharedSignals, StatusListSettings, StreamSettings},
    text::{AlgorithmName, ClaimName, Endpoint, List, ScopeText, claim_names, claim_paths},
};
use crate::{
    algorithm::Algorithm,
    client::{Client, ClientAuthentication},
    dpop::Dpop,
    http::{DEFAULT_TIMEOUT, Http},
    issuers::IssuerPattern,
    key_set::KeySet,
    remote_keys::KeySource,
    rules::{Callers, ClaimsTest, RequiredClaim, TokenRules, TokenType, TokenUse},
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
/// assert_eq!(settings.issuer(), "https://id.example/realms/acme");
///
/// let error = serde_json::from_value::<Settings>(serde_json::json!({ "issuer": "https://id.example" })).unwrap_err();
/// assert!(error.to_string().starts_with("`audience`"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Settings {
    common: Common,
    sources: Vec<IssuerSource>,
    kind: KindRules,
    client: Option<Client>,
    http: Option<Arc<Http>>,
    token_parameters: Vec<(String, String)>,
}

/// An issuer and the place of its metadata.
#[derive(Debug, Clone)]
pub struct IssuerSource {
    /// The issuer that the metadata names: one issuer, or the template of a pattern.
    pub issuer: Issuer,
    /// The tenants' issuers that share the metadata and keys.
    pub pattern: Option<IssuerPattern>,
    /// The metadata's URL, if it does not follow from the issuer.
    pub discovery_url: Option<Url>,
}

impl IssuerSource {
    /// An issuer with metadata at the standard places.
    pub fn new(issuer: Issuer) -> Self {
        Self { issuer, pattern: None, discovery_url: None }
    }

    /// An issuer with metadata at `url`.
    pub fn at(issuer: Issuer, url: Url) -> Self {
        Self { issuer, pattern: None, discovery_url: Some(url) }
    }

    /// The issuers of a pattern, with shared metadata at `url`.
    ///
    /// # Errors
    /// [`NameError`] for a pattern with a control character.
    pub fn of_tenants(pattern: IssuerPattern, url: Url) -> Result<Self, NameError> {
        Ok(Self { issuer: pattern.as_issuer()?, pattern: Some(pattern), discovery_url: Some(url) })
    }
}

/// Rules for tokens that a kind fixes and no setting changes.
#[derive(Debug, Clone, Default)]
pub struct KindRules {
    /// See [`TokenRules::tenant_claim`].
    pub tenant_claim: Option<ClaimPath>,
    /// See [`TokenRules::audience_advice`].
    pub audience_advice: &'static str,
    /// See [`TokenRules::access_token_claims`].
    pub access_token_claims: Vec<ClaimPath>,
    /// See [`TokenRules::client_of_subject`].
    pub client_of_subject: Option<fn(&str) -> Option<ClientId>>,
    /// See [`TokenRules::scope_prefix`].
    pub scope_prefix: Option<Box<str>>,
    /// See [`TokenRules::callers`].
    pub callers: Callers,
    /// See [`TokenRules::is_application`].
    pub is_application: Option<ClaimsTest>,
    /// Warnings at every start, each beginning with the key.
    pub warnings: Vec<String>,
}

/// The least and the most that `jwks.refresh` may be.
const REFRESH: std::ops::RangeInclusive<Duration> = Duration::from_secs(30)..=Duration::from_hours(24);

/// The most that `leeway` may be: beyond it clocks are not skewed but wrong.
const LONGEST_LEEWAY: Duration = Duration::from_mins(5);

impl Settings {
    /// Checks settings: nothing in them contradicts anything else, and nothing that is needed is missing.
    ///
    /// # Errors
    /// [`SettingsError`] names the key and says what to write.
    pub fn check(common: Common) -> Result<Self, SettingsError> {
        let issuer = common.issuer.clone().ok_or(SettingsError::NoIssuer)?;
        check_issuer("issuer", &issuer)?;
        let mut first = IssuerSource::new(issuer);
        // The setting names the document of the first issuer; a custom domain has its own.
        first.discovery_url = common.discovery_url.as_ref().map(|endpoint| endpoint.0.clone());
        let mut sources = vec![first];
        for issuer in &common.issuers {
            check_issuer("issuers", issuer)?;
            if sources.iter().all(|source| source.issuer != *issuer) {
                sources.push(IssuerSource::new(issuer.clone()));
            }
        }
        Self::check_with(common, sources)
    }

    /// Checks settings of a kind that knows the places of its issuers' metadata. `issuer` and `issuers` are not read.
    ///
    /// # Errors
    /// As [`Settings::check`].
    pub fn check_with(common: Common, sources: Vec<IssuerSource>) -> Result<Self, SettingsError> {
        if sources.is_empty() {
            return Err(SettingsError::NoIssuer);
        }
        check_keys(&common)?;
        check_urls(&common, &sources)?;
        check_tokens(&common)?;
        check_times(&common)?;
        let client = client(&common)?;
        if common.wants_introspection() && client.is_none() && !common.introspects_without_client() {
            return Err(SettingsError::IntrospectionWithoutClient);
        }
        if common.introspection.as_ref().is_some_and(|settings| settings.signed) && client.is_none() {
            return Err(SettingsError::SignedWithoutClient);
        }
        if common.backchannel_logout && client.is_none() {
            let problem = "it needs `client_id`: the client whose logout URL is registered, which logout tokens name in `aud`";
            return Err(SettingsError::kind("backchannel_logout", problem));
        }
        common.shared_signals.as_ref().map_or(Ok(()), SharedSignals::check)?;
        let mut http = None;
        if !common.http.is_default() {
            let own =
                Http::new(common.http.clone())?.with_bearer_origins(&configured_urls(&common, &sources));
            http = Some(Arc::new(own));
        }
        let parameters = &common.token_request_parameters;
        let token_parameters = parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok(Self { sources, kind: KindRules::default(), client, http, token_parameters, common })
    }

    /// Adds the rules of a kind.
    #[must_use]
    pub fn with_kind_rules(self, kind: KindRules) -> Self {
        Self { kind, ..self }
    }

    /// Sends a parameter along with every token request, as Auth0 needs `audience`. A parameter of the same name in the
    /// settings goes before.
    #[must_use]
    pub fn with_token_parameter(mut self, name: &str, value: impl Into<String>) -> Self {
        if self.token_parameters.iter().all(|(known, _)| known != name) {
            self.token_parameters.push((name.to_owned(), value.into()));
        }
        self
    }

    /// The first issuer, or its pattern's template.
    pub fn issuer(&self) -> &str {
        self.sources.first().map_or("", |source| source.issuer.as_str())
    }

    /// The issuers and the places of their metadata.
    pub(crate) fn sources(&self) -> &[IssuerSource] {
        &self.sources
    }

    /// The issuers, each once; a pattern as its template.
    pub fn issuers(&self) -> Vec<Issuer> {
        let mut issuers: Vec<Issuer> = Vec::new();
        for source in &self.sources {
            if !issuers.contains(&source.issuer) {
                issuers.push(source.issuer.clone());
            }
        }
        issuers
    }

    /// The audiences.
    pub fn audiences(&self) -> &[Audience] {
        &self.common.audience.0
    }

    /// Describes the provider without connecting.
    pub fn outline(&self) -> Outline {
        let mut outline = Outline::default();
        outline.issuers = self.issuers();
        outline.audiences = self.audiences().to_vec();
        outline.introspects = self.introspects();
        let carries_none = self.common.scope_claims.as_ref().is_some_and(Vec::is_empty);
        outline.scopes = carries_none.then(Vec::new);
        outline.opaque_tokens = self.takes_opaque_tokens();
        outline.token_requests = match &self.client {
            Some(client) if client.can_request_tokens() => TokenRequests::ConfiguredClient,
            _ => TokenRequests::CallersClient,
        };
        outline.backchannel_logout = self.takes_logout_tokens();
        outline.shared_signals = self.shared_signals().is_some();
        outline.warnings = self.warnings();
        outline
    }

    /// The settings' JSON Schema.
    pub fn schema() -> Value {
        schemars::schema_for!(Common).to_value()
    }

    /// Returns the rules for the tokens of the provider `name`.
    pub fn rules(&self, name: ProviderName) -> TokenRules {
        let common = &self.common;
        let (shared, single): (Vec<_>, Vec<_>) =
            self.sources.iter().partition(|source| source.pattern.is_some());
        let mut rules = TokenRules::with_issuers(name, single.iter().map(|source| source.issuer.clone()));
        rules.issuer_patterns = shared.iter().filter_map(|source| source.pattern.clone()).collect();
        rules.tenant_claim.clone_from(&self.kind.tenant_claim);
        rules.audience_advice = self.kind.audience_advice;
        rules.access_token_claims.clone_from(&self.kind.access_token_claims);
        rules.client_of_subject = self.kind.client_of_subject;
        rules.scope_prefix.clone_from(&self.kind.scope_prefix);
        rules.callers = self.kind.callers;
        rules.is_application = self.kind.is_application;
        rules.key_by = common.key_by.clone().unwrap_or(rules.key_by);
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
        if let Some(claim) = &common.session_claim {
            rules.session_claim = Some(claim.0.clone());
        }
        if let Some(signals) = &common.shared_signals {
            rules.alias_claim = signals.subject_claim.as_ref().map(|claim| claim.0.clone());
            rules.email_alias = signals.email;
        }
        rules.map_scopes = common
            .map_scopes
            .iter()
            .map(|(theirs, ours)| (theirs.as_str().into(), ours.clone()))
            .collect::<HashMap<_, _>>();
        rules
    }

    /// The time for which a token waits for a fetch of keys: that of both requests that this may take.
    pub(crate) fn fetch_timeout(&self) -> Duration {
        self.common.http.timeout.map_or(DEFAULT_TIMEOUT, Span::get) * 2
    }

    pub(crate) fn validate(&self) -> Validate {
        self.common.validate.unwrap_or_default()
    }

    pub(crate) fn takes_opaque_tokens(&self) -> bool {
        self.common.opaque_tokens.is_some()
    }

    /// Returns `true` if the provider can be asked about a token.
    pub(crate) fn introspects(&self) -> bool {
        self.common.wants_introspection()
    }

    pub(crate) fn takes_logout_tokens(&self) -> bool {
        self.common.backchannel_logout
    }

    pub(crate) fn shared_signals(&self) -> Option<&SharedSignals> {
        self.common.shared_signals.as_ref()
    }

    pub(crate) fn status_list(&self) -> Option<&StatusListSettings> {
        self.common.status_list.as_ref()
    }

    pub(crate) fn max_token_lifetime(&self) -> Duration {
        self.common.max_token_lifetime.map_or(DEFAULT_MAX_TOKEN_LIFETIME, Span::get)
    }

    pub(crate) fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// The HTTP client with the settings of `http`; nothing if the default one has them.
    pub(crate) fn http(&self) -> Option<Arc<Http>> {
        self.http.clone()
    }

    /// The accepted DPoP proofs.
    pub(crate) fn dpop(&self) -> Dpop {
        self.common.proof.dpop(self.common.leeway)
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

    pub(crate) fn token_request_resource(&self) -> &[String] {
        &self.common.token_request_resource.0
    }

    pub(crate) fn token_parameters(&self) -> &[(String, String)] {
        &self.token_parameters
    }

    /// Returns `true` if the metadata of an issuer may be fetched.
    pub(crate) fn reaches_metadata(&self, source: &IssuerSource) -> bool {
        needs_metadata(&self.common) || metadata_url(source).is_some_and(|url| self.common.http.allows(&url))
    }

    /// Returns the source of the keys.
    pub(crate) fn key_source(&self) -> KeySource {
        let jwks = &self.common.jwks;
        if self.validate() == Validate::Introspect
            && !self.introspection().signed
            && !self.takes_logout_tokens()
        {
            return KeySource::Unneeded;
        }
        match (&jwks.file, &jwks.keys, &self.common.jwks_uri) {
            (Some(file), ..) => KeySource::File(file.clone()),
            (None, Some(keys), _) => KeySource::Inline(inline(keys)),
            (None, None, Some(endpoint)) => KeySource::Url(endpoint.0.clone()),
            (None, None, None) => KeySource::Discovery,
        }
    }

    pub(crate) fn endpoint(&self, which: impl Fn(&Common) -> Option<&Endpoint>) -> Option<Url> {
        which(&self.common).map(|endpoint| endpoint.0.clone())
    }

    pub(crate) fn client_authentication_method(&self) -> Option<ClientAuthenticationMethod> {
        self.common.client_authentication
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.kind.warnings.clone();
        for host in &self.common.http.insecure_hosts {
            warnings.push(format!(
                "`http.insecure_hosts`: `{host}` is reached by plain http; anyone on the network path can forge its keys"
            ));
        }
        if self.audiences().is_empty() {
            let warning = "`audience`: none is set, so tokens for any API pass if their client is one of `allowed_clients`";
            warnings.push(warning.to_owned());
        }
        warnings
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

fn claims(names: Option<&[ClaimName]>) -> Option<Vec<ClaimPath>> {
    names.map(|names| names.iter().map(|name| name.0.clone()).collect())
}

fn required_claim((path, value): (&ClaimName, &Value)) -> RequiredClaim {
    let any_of = match value {
        Value::Array(values) => values.clone(),
        scalar => vec![scalar.clone()],
    };
    RequiredClaim { path: path.0.clone(), any_of }
}

/// Ends of URLs of documents that are often copied in place of the issuer.
const DOCUMENTS: [&str; 7] = [
    "/v1/keys",
    "/keys",
    "/discovery/v2.0/keys",
    "/protocol/openid-connect/certs",
    "/oauth2/jwks",
    "/jwks",
    "/jwks.json",
];

fn check_issuer(key: &'static str, issuer: &Issuer) -> Result<(), SettingsError> {
    let text = issuer.as_str();
    if text.contains("{tenantid}") {
        return Err(SettingsError::IssuerTemplate { key });
    }
    if !text.contains("://") && text.contains('.') && !text.starts_with('/') {
        return Err(SettingsError::IssuerScheme { key, found: text.to_owned() });
    }
    let document = text.find("/.well-known/").and_then(|at| text.get(at..));
    let document = document.or_else(|| DOCUMENTS.into_iter().find(|suffix| text.ends_with(suffix)));
    match document {
        Some(suffix) => Err(SettingsError::IssuerDocument { key, suffix: suffix.to_owned() }),
        None => Ok(()),
    }
}

/// Checks that the keys come from one place and can be used.
fn check_keys(common: &Common) -> Result<(), SettingsError> {
    let sources = [
        ("`jwks.file`", common.jwks.file.is_some()),
        ("`jwks.keys`", common.jwks.keys.is_some()),
        ("`jwks_uri`", common.jwks_uri.is_some()),
    ];
    let given: Vec<&str> = sources.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect();
    if given.len() > 1 {
        return Err(SettingsError::KeySources { keys: given.join(", ") });
    }
    if let Some(keys) = &common.jwks.keys {
        KeySet::parse(&inline(keys), &Algorithm::ALL).map_err(SettingsError::InlineKeys)?;
    }
    match &common.key_by {
        Some(parameters) if parameters.is_empty() => Err(SettingsError::Empty { key: "key_by" }),
        _ => Ok(()),
    }
}

/// Returns keys of the settings as a key set.
fn inline(keys: &[Map<String, Value>]) -> Box<[u8]> {
    serde_json::json!({ "keys": keys }).to_string().into_bytes().into()
}

fn check_urls(common: &Common, sources: &[IssuerSource]) -> Result<(), SettingsError> {
    for (index, source) in sources.iter().enumerate() {
        let key = if index == 0 { "issuer" } else { "issuers" };
        let invalid = || SettingsError::IssuerUrl { key, found: source.issuer.as_str().to_owned() };
        let url = Url::parse(source.issuer.as_str()).map_err(|_| invalid())?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if !plain || !matches!(url.scheme(), "https" | "http") || !url.has_host() {
            return Err(invalid());
        }
        // A name that is never dialled may have any scheme, such as AD FS's.
        if source.discovery_url.is_none() && needs_metadata(common) {
            check_secure(common, key, &url)?;
        }
    }
    for (key, endpoint) in common.endpoints() {
        check_secure(common, key, &endpoint.0)?;
    }
    let lists = common.status_list.as_ref();
    if lists.is_some_and(|lists| lists.prefixes.is_empty()) {
        return Err(SettingsError::Empty { key: "status_list.prefixes" });
    }
    for prefix in lists.iter().flat_map(|lists| &lists.prefixes) {
        check_secure(common, "status_list.prefixes", &prefix.0)?;
    }
    Ok(())
}

/// Returns `true` if no token can be verified without the issuer's metadata.
fn needs_metadata(common: &Common) -> bool {
    let needs_keys_uri = common.jwks_uri.is_none() && !common.jwks.brings_keys();
    if common.validate == Some(Validate::Introspect) {
        let is_signed = common.introspection.as_ref().is_some_and(|settings| settings.signed);
        let verifies = is_signed || common.backchannel_logout;
        return common.introspection_endpoint.is_none() || (verifies && needs_keys_uri);
    }
    needs_keys_uri
}

/// Returns the URL whose host is asked for the metadata.
fn metadata_url(source: &IssuerSource) -> Option<Url> {
    source.discovery_url.clone().or_else(|| Url::parse(source.issuer.as_str()).ok())
}

/// Returns the URLs that the settings name themselves.
fn configured_urls(common: &Common, sources: &[IssuerSource]) -> Vec<Url> {
    let endpoints = common.endpoints().map(|(_, endpoint)| endpoint.0.clone());
    sources.iter().filter_map(metadata_url).chain(endpoints).collect()
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
    let lists = [
        ("algorithms", common.algorithms.as_ref().map(Vec::is_empty)),
        ("token_types", common.token_types.as_ref().map(Vec::is_empty)),
        ("client_claims", common.client_claims.as_ref().map(Vec::is_empty)),
    ];
    if let Some((key, _)) = lists.into_iter().find(|(_, is_empty)| *is_empty == Some(true)) {
        return Err(SettingsError::Empty { key });
    }
    let mut types = common.token_types.iter().flatten();
    match types.find_map(|name| TokenType::parse(name).foreign()) {
        Some(found) => Err(SettingsError::ForeignType { found }),
        None => Ok(()),
    }
}

fn check_times(common: &Common) -> Result<(), SettingsError> {
    let refresh = common.jwks.refresh.get();
    if !REFRESH.contains(&refresh) {
        return Err(SettingsError::range("jwks.refresh", *REFRESH.start(), *REFRESH.end()));
    }
    if common.jwks.stale_if_error.get() < refresh {
        return Err(SettingsError::StaleBeforeRefresh { refresh: common.jwks.refresh });
    }
    if common.jwks.cool_down.get().is_zero() {
        return Err(SettingsError::range("jwks.cool_down", Duration::from_secs(1), Duration::from_hours(1)));
    }
    if common.leeway.is_some_and(|leeway| leeway.get() > LONGEST_LEEWAY) {
        return Err(SettingsError::range("leeway", Duration::ZERO, LONGEST_LEEWAY));
    }
    if common.max_token_lifetime.is_some_and(|lifetime| lifetime.get().is_zero()) {
        return Err(SettingsError::range(
            "max_token_lifetime",
            Duration::from_secs(1),
            DEFAULT_MAX_TOKEN_LIFETIME,
        ));
    }
    common.proof.check()?;
    match &common.introspection {
        Some(introspection) if introspection.timeout.get().is_zero() => Err(SettingsError::range(
            "introspection.timeout",
            Duration::from_millis(1),
            Duration::from_mins(1),
        )),
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
