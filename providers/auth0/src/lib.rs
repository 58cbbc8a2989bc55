#![doc = include_str!("../README.md")]

use schemars::JsonSchema;
use scopegate_oidc::{
    Algorithm, AlgorithmName, ClientAuthenticationMethod, Common, Domain, PresetKind, PresetSettings,
    Settings, SettingsError, claim_names,
};
use scopegate_provider::Issuer;
use serde::Deserialize;

/// The settings of a provider of the kind `auth0`.
pub type Auth0 = PresetSettings<Tenant>;

/// The keys that Auth0 has beside the common ones.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// The tenant's domain or a custom domain, as the console shows it: the issuer is `https://DOMAIN/`. Further ones go
    /// into `issuers`.
    pub domain: Option<Domain>,
}

impl PresetKind for Tenant {
    const KIND: &'static str = "auth0";

    fn settings(self, mut common: Common) -> Result<Settings, SettingsError> {
        common.issuer = Some(self.issuer(common.issuer)?);
        if let Some(key) = common.introspection_key() {
            return Err(SettingsError::kind(key, NO_INTROSPECTION));
        }
        let Some(audience) = common.audience.0.first().cloned() else {
            return Err(SettingsError::kind("audience", NO_AUDIENCE));
        };
        common
            .algorithms
            .get_or_insert_with(|| [Algorithm::Rs256, Algorithm::Ps256].map(AlgorithmName).into());
        common.token_types.get_or_insert_with(|| ["JWT", "at+jwt"].map(str::to_owned).into());
        common.client_claims.get_or_insert_with(|| claim_names(&["client_id", "azp"]));
        // `permissions` names what the user may do, not what this token may: it counts only where the settings list it.
        common.scope_claims.get_or_insert_with(|| claim_names(&["scope"]));
        if common.private_key.is_none() {
            common.client_authentication.get_or_insert(ClientAuthenticationMethod::ClientSecretPost);
        }
        // Without an audience Auth0 issues opaque tokens that only its own `/userinfo` understands.
        Ok(Settings::check(common)?.with_token_parameter("audience", audience.as_str()))
    }
}

impl Tenant {
    /// Returns the issuer with its final slash, which is part of it.
    fn issuer(self, issuer: Option<Issuer>) -> Result<Issuer, SettingsError> {
        let problem = match (self.domain, issuer) {
            (Some(domain), None) => {
                let issuer = Issuer::parse(&format!("{}/", domain.origin()));
                return issuer.map_err(|error| SettingsError::kind("domain", error.to_string()));
            }
            (None, Some(issuer)) if issuer.as_str().ends_with('/') => return Ok(issuer),
            (None, Some(issuer)) => format!("Auth0's issuers end in a slash: write `{issuer}/`"),
            (Some(_), Some(_)) => {
                "it follows from `domain`; leave one of them out, and put a custom domain into `issuers`"
                    .to_owned()
            }
            (None, None) => {
                let problem = "expected the tenant's domain, such as `acme.eu.auth0.com`";
                return Err(SettingsError::kind("domain", problem));
            }
        };
        Err(SettingsError::kind("issuer", problem))
    }
}

const NO_INTROSPECTION: &str = "Auth0 has no introspection endpoint: tokens are verified by signature (leave this key out); for revocation choose a short token lifetime, or record revocations here";

const NO_AUDIENCE: &str =
    "expected the identifier of the API in Auth0 (Applications → APIs), such as `https://api.acme.example`";
