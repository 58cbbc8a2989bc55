#![doc = include_str!("../README.md")]

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use scopegate_oidc::{
    Algorithm, AlgorithmName, ClaimName, ClientAuthenticationMethod, Common, Domain, OidcProvider, Preset,
    Settings, SettingsError,
};
use scopegate_provider::{ClaimPath, ConnectError, Context, Issuer, Outline, Provider};
use serde::Deserialize;

/// The settings of a provider of the kind `auth0`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Preset<Tenant>")]
pub struct Auth0(Settings);

/// The keys that Auth0 has beside the common ones.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// The tenant's domain or a custom domain, as the console shows it: the issuer is `https://DOMAIN/`. Further ones go
    /// into `issuers`.
    pub domain: Option<Domain>,
}

impl TryFrom<Preset<Tenant>> for Auth0 {
    type Error = SettingsError;

    fn try_from(Preset { own, mut common }: Preset<Tenant>) -> Result<Self, SettingsError> {
        common.issuer = Some(issuer(own.domain, common.issuer)?);
        if let Some(key) = common.introspection_key() {
            return Err(SettingsError::kind(key, NO_INTROSPECTION));
        }
        let Some(audience) = common.audience.0.first().cloned() else {
            return Err(SettingsError::kind("audience", NO_AUDIENCE));
        };
        fill_in(&mut common)?;
        // Without an audience Auth0 gives out opaque tokens that only its own `/userinfo` understands.
        Ok(Self(Settings::check(common)?.with_token_parameter("audience", audience.as_str())))
    }
}

const NO_INTROSPECTION: &str = "Auth0 has no introspection endpoint: tokens are verified by signature (leave this key out); for revocation choose a short token lifetime, or record revocations here";

const NO_AUDIENCE: &str =
    "expected the identifier of the API in Auth0 (Applications → APIs), such as `https://api.acme.example`";

/// The issuer with its final slash, which is part of it.
fn issuer(domain: Option<Domain>, issuer: Option<Issuer>) -> Result<Issuer, SettingsError> {
    match (domain, issuer) {
        (Some(domain), None) => Issuer::parse(&format!("{}/", domain.origin()))
            .map_err(|error| SettingsError::kind("domain", error.to_string())),
        (None, Some(issuer)) if issuer.as_str().ends_with('/') => Ok(issuer),
        (None, Some(issuer)) => {
            Err(SettingsError::kind("issuer", format!("Auth0's issuers end in a slash: write `{issuer}/`")))
        }
        (Some(_), Some(_)) => Err(SettingsError::kind(
            "issuer",
            "it follows from `domain`; leave one of them out, and put a custom domain into `issuers`",
        )),
        (None, None) => {
            Err(SettingsError::kind("domain", "expected the tenant's domain, such as `acme.eu.auth0.com`"))
        }
    }
}

/// What Auth0 fixes, unless the settings say otherwise. `permissions` says what the user may do, not what this token may:
/// they count only where `scope_claims` or `role_claims` list them.
fn fill_in(common: &mut Common) -> Result<(), SettingsError> {
    let claim = |name: &str| {
        ClaimPath::parse(name)
            .map(ClaimName)
            .map_err(|error| SettingsError::kind("client_claims", error.to_string()))
    };
    common.algorithms.get_or_insert_with(|| [Algorithm::Rs256, Algorithm::Ps256].map(AlgorithmName).into());
    common.token_types.get_or_insert_with(|| ["JWT", "at+jwt"].map(str::to_owned).into());
    common.client_claims.get_or_insert(vec![claim("client_id")?, claim("azp")?]);
    common.scope_claims.get_or_insert(vec![claim("scope")?]);
    if common.private_key.is_none() {
        common.client_authentication.get_or_insert(ClientAuthenticationMethod::ClientSecretPost);
    }
    Ok(())
}

#[async_trait]
impl scopegate_provider::Settings for Auth0 {
    const KIND: &'static str = "auth0";

    async fn connect(self, context: Context) -> Result<Arc<dyn Provider>, ConnectError> {
        Ok(OidcProvider::connect(self.0, context)?)
    }

    fn outline(&self) -> Outline {
        self.0.outline()
    }

    fn schema() -> serde_json::Value {
        Preset::<Tenant>::schema()
    }
}
