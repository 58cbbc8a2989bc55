//! The provider kind `dev`: the issuer, and the provider that verifies its tokens, under one name.

use std::sync::Arc;

use async_trait::async_trait;
use scopegate_oidc::{
    AlgorithmName, Common, IntrospectionSettings, JwksSettings, List, OidcProvider, Preset, Settings,
    SettingsError, claim_names,
};
use scopegate_provider::{
    AuthnFailure, ClientCredentials, ClientId, ConnectError, Context, Credentials, Freshness, Issuer,
    Outline, Principal, Provider, Scope, Secret, Span, TokenRequests,
};
use serde::{Deserialize, Deserializer, de};

use crate::{Emulate, IssuerSettings, Running, StartError, dialect::ORG, settings::Tenant};

/// The least between two fetches that unknown keys ask for, unless `jwks` says otherwise: asking on loopback costs nothing,
/// and who tries out rotation rotates often.
const COOL_DOWN: Span = Span::from_secs(1);

/// The settings of the kind `dev`: those of the issuer, and the ones common to all kinds. What would lead away from the
/// embedded issuer (`issuer`, endpoints, a client) is refused.
///
/// ```
/// let settings: scopegate_dev::Dev = serde_json::from_str(
///     r#"{"audience":"https://api.example","clients":[{"id":"demo","secret":"demo-secret","scopes":["items"]}]}"#,
/// )?;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Dev {
    issuer: IssuerSettings,
    common: Common,
}

impl Dev {
    fn parse(preset: Preset<IssuerSettings>) -> Result<Self, StartError> {
        let Preset { own: issuer, mut common } = preset;
        common.audience = issuer.audience.clone();
        let tenant = Tenant::parse(&issuer)?;
        refuse_foreign_keys(&common, issuer.emulate)?;
        refuse_org_server(&issuer)?;
        // The port may be another once it listens; nothing else can be.
        let base = format!("http://{}", issuer.listen);
        let expected = Issuer::parse(&tenant.dialect.issuer(&base))?;
        preset_for(&issuer, &tenant, common.clone(), expected, None)?;
        Ok(Self { issuer, common })
    }
}

/// Settings that would lead away from the embedded issuer.
fn refuse_foreign_keys(common: &Common, emulate: Option<Emulate>) -> Result<(), SettingsError> {
    let problem = "the kind `dev` brings its own; leave it out, or use the kind `oidc` for another issuer";
    let foreign = [
        ("issuer", common.issuer.is_some()),
        ("issuers", !common.issuers.is_empty()),
        ("discovery_url", common.discovery_url.is_some()),
        ("jwks_uri", common.jwks_uri.is_some()),
        ("token_endpoint", common.token_endpoint.is_some()),
        ("introspection_endpoint", common.introspection_endpoint.is_some()),
        ("revocation_endpoint", common.revocation_endpoint.is_some()),
        ("client_id", common.client_id.is_some()),
        ("client_secret", common.client_secret.is_some()),
        ("private_key", common.private_key.is_some()),
    ];
    if let Some((key, _)) = foreign.into_iter().find(|(_, given)| *given) {
        return Err(SettingsError::kind(key, problem));
    }
    let without = match emulate {
        Some(Emulate::Auth0) => Some("Auth0"),
        Some(Emulate::Entra) => Some("Entra ID"),
        Some(Emulate::Cognito) => Some("Cognito"),
        None | Some(Emulate::Okta | Emulate::Keycloak) => None,
    };
    if let Some(name) = without.filter(|_| common.wants_introspection()) {
        let problem = format!(
            "{name} has no introspection, nor has its emulation; expected `validate: jwt`, no `opaque_tokens` and no `introspection`"
        );
        return Err(SettingsError::kind("validate", problem));
    }
    Ok(())
}

/// Settings of a provider for an issuer that another process runs, and the first of its clients.
pub(crate) fn settings_elsewhere(dev: Dev) -> Result<(Settings, Option<ClientCredentials>), ConnectError> {
    let tenant = Tenant::parse(&dev.issuer).map_err(StartError::from)?;
    let name = Issuer::parse(&tenant.dialect.issuer(&format!("http://{}", dev.issuer.listen)))?;
    let client = dev.issuer.clients.first();
    let client =
        client.map(|client| ClientCredentials { id: client.id.clone(), secret: client.secret.clone() });
    Ok((preset_for(&dev.issuer, &tenant, dev.common, name, None)?, client))
}

/// Refuses the org server, whose tokens are for Okta alone.
fn refuse_org_server(issuer: &IssuerSettings) -> Result<(), SettingsError> {
    if issuer.authorization_server.as_deref() != Some(ORG) {
        return Ok(());
    }
    let problem = "tokens of the org server are for Okta alone; expected the id of a custom server, such as `default` \
                   (`scopegate issuer --authorization-server org` runs one for the kind `okta`)";
    Err(SettingsError::kind("authorization_server", problem))
}

/// Returns `true` if the emulated provider has an introspection endpoint.
fn introspects(emulate: Option<Emulate>) -> bool {
    matches!(emulate, None | Some(Emulate::Okta | Emulate::Keycloak))
}

/// Fills in the settings that the emulated provider's kind fixes.
fn preset_for(
    issuer: &IssuerSettings,
    tenant: &Tenant,
    mut common: Common,
    name: Issuer,
    running: Option<&Running>,
) -> Result<Settings, SettingsError> {
    let (types, clients, scopes): (&[&str], &[&str], &[&str]) = match issuer.emulate {
        None => (&["at+jwt"], &["client_id"], &["scope"]),
        Some(Emulate::Auth0) => (&["JWT", "at+jwt"], &["azp", "client_id"], &["scope"]),
        // An introspection answer says `client_id` and `scope` where the token says `cid` and `scp`.
        Some(Emulate::Okta) => (&["none"], &["cid", "client_id"], &["scp", "scope"]),
        Some(Emulate::Entra) => (&["JWT"], &["azp"], &["scp", "roles"]),
        Some(Emulate::Keycloak) => (&["JWT"], &["azp"], &["scope"]),
        Some(Emulate::Cognito) => (&["none"], &["client_id"], &["scope"]),
    };
    let signed = tenant.algorithm.as_str().parse().ok().map(|algorithm| vec![AlgorithmName(algorithm)]);
    common.issuer = Some(name);
    common.algorithms = common.algorithms.or(signed);
    common.token_types = common.token_types.or(Some(types.iter().map(ToString::to_string).collect()));
    common.client_claims = common.client_claims.or(Some(claim_names(clients)));
    common.scope_claims = common.scope_claims.or(Some(claim_names(scopes)));
    if common.jwks == JwksSettings::default() {
        common.jwks.cool_down = COOL_DOWN;
    }
    if issuer.emulate == Some(Emulate::Cognito) {
        // Cognito's tokens carry no audience.
        common.audience = List::default();
        common.allowed_clients.extend(issuer.clients.iter().map(|client| client.id.clone()));
    }
    if introspects(issuer.emulate) {
        let credentials = running.map(Running::resource_server);
        let id = credentials.map_or("resource-server", |server| server.id.as_str());
        let secret = credentials.map_or("made at start", |server| server.secret.as_str());
        common.client_id = ClientId::parse(id).ok();
        common.client_secret = Some(Secret::new(secret));
        common.introspection.get_or_insert_with(IntrospectionSettings::default);
    }
    let settings = Settings::check(common)?;
    Ok(match (issuer.emulate, tenant.audiences.first()) {
        (Some(Emulate::Auth0), Some(audience)) => {
            settings.with_token_parameter("audience", audience.as_str())
        }
        _ => settings,
    })
}

impl Dev {
    /// Returns the scopes of all clients. They are not known where tokens carry scopes in other claims, or in other names.
    fn issued_scopes(&self) -> Option<Vec<Scope>> {
        let clients = &self.issuer.clients;
        let is_plain = self.common.scope_claims.is_none()
            && self.common.map_scopes.is_empty()
            && clients.iter().all(|client| client.claims.is_empty());
        is_plain.then(|| clients.iter().flat_map(|client| client.scopes.iter().cloned()).collect())
    }
}

impl<'de> Deserialize<'de> for Dev {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(Preset::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[async_trait]
impl scopegate_provider::Settings for Dev {
    const KIND: &'static str = "dev";

    /// Starts the issuer, then the provider, which finds it by discovery like any other.
    async fn connect(self, context: Context) -> Result<Arc<dyn Provider>, ConnectError> {
        let owner = Some(context.name.as_str());
        let running = self.issuer.start_as(owner, context.clock.clone()).await?;
        let tenant = Tenant::parse(&self.issuer).map_err(StartError::from)?;
        let name = running.issuer().clone();
        let settings = preset_for(&self.issuer, &tenant, self.common, name, Some(&running))?;
        let provider = OidcProvider::connect(settings, context)?;
        Ok(Arc::new(DevProvider { provider, _running: running }))
    }

    fn outline(&self) -> Outline {
        let base = format!("http://{}", self.issuer.listen);
        let mut outline = Outline::default();
        if let Ok(tenant) = Tenant::parse(&self.issuer) {
            outline.issuers.extend(Issuer::parse(&tenant.dialect.issuer(&base)));
            outline.audiences = tenant.audiences.into();
        }
        outline.introspects = introspects(self.issuer.emulate);
        outline.scopes = self.issued_scopes();
        outline.opaque_tokens = self.common.opaque_tokens.is_some();
        outline.token_requests = TokenRequests::CallersClient;
        outline
    }

    fn schema() -> serde_json::Value {
        Preset::<IssuerSettings>::schema()
    }
}

/// The provider, and the issuer that runs as long as it does.
#[derive(Debug)]
struct DevProvider {
    provider: Arc<dyn Provider>,
    _running: Running,
}

#[async_trait]
impl Provider for DevProvider {
    fn issuers(&self) -> &[Issuer] {
        self.provider.issuers()
    }

    fn inner(&self) -> Option<&dyn Provider> {
        Some(&*self.provider)
    }

    async fn authenticate(
        &self,
        credentials: &Credentials,
        freshness: Freshness,
    ) -> Result<Principal, AuthnFailure> {
        self.provider.authenticate(credentials, freshness).await
    }
}

impl From<StartError> for ConnectError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Settings(error) => {
                Self::Setting { key: error.key().to_owned(), problem: error.to_string() }
            }
            StartError::Provider(error) => error.into(),
            StartError::Bind { address, source } => Self::Bind { address: address.to_string(), source },
            StartError::Issuer(error) => error.into(),
            StartError::Randomness => Self::Setting { key: "clients".to_owned(), problem: error.to_string() },
        }
    }
}

#[cfg(test)]
mod tests;
