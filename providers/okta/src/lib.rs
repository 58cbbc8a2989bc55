#![doc = include_str!("../README.md")]

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use scopegate_oidc::{
    Algorithm, AlgorithmName, ClaimName, Common, Domain, OidcProvider, Preset, Settings, SettingsError,
    Validate,
};
use scopegate_provider::{ClaimPath, ConnectError, Context, Issuer, Outline, Provider};
use serde::Deserialize;

/// The settings of a provider of the kind `okta`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Preset<Organisation>")]
pub struct Okta(Settings);

/// The keys that Okta has beside the common ones. In place of both, `issuer` can be given.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Organisation {
    /// The organisation's domain, such as `acme.okta.com`.
    pub domain: Option<Domain>,
    /// The id of a custom authorization server: `default`, or one that begins with `aus`.
    pub authorization_server: Option<String>,
}

impl TryFrom<Preset<Organisation>> for Okta {
    type Error = SettingsError;

    fn try_from(Preset { own, mut common }: Preset<Organisation>) -> Result<Self, SettingsError> {
        let issuer = issuer(own, common.issuer.take())?;
        check_host(&issuer)?;
        if is_organisations_own(&issuer) && common.validate != Some(Validate::Introspect) {
            return Err(SettingsError::kind("validate", ORGANISATIONS_OWN));
        }
        common.issuer = Some(issuer);
        fill_in(&mut common)?;
        Settings::check(common).map(Self)
    }
}

const ORGANISATIONS_OWN: &str = "the organisation's own authorization server publishes no keys for its access tokens: write `validate: introspect`, or use a custom authorization server such as `https://acme.okta.com/oauth2/default`";

const NO_SERVER: &str = "expected the id of a custom authorization server, such as `default`; for the organisation's own write `issuer: https://acme.okta.com` in place of `domain`";

fn issuer(own: Organisation, issuer: Option<Issuer>) -> Result<Issuer, SettingsError> {
    let derived = match (own.domain, own.authorization_server, issuer) {
        (None, None, Some(issuer)) if issuer.as_str().ends_with('/') => {
            let shorter = issuer.as_str().trim_end_matches('/');
            let problem = format!("Okta's issuers do not end in a slash: write `{shorter}`");
            return Err(SettingsError::kind("issuer", problem));
        }
        (None, None, Some(issuer)) => return Ok(issuer),
        (_, _, Some(_)) => {
            let problem = "it follows from `domain` and `authorization_server`; leave it or both of them out";
            return Err(SettingsError::kind("issuer", problem));
        }
        (Some(domain), Some(id), None) => custom_server(&domain, &id)?,
        (Some(_), None, None) => return Err(SettingsError::kind("authorization_server", NO_SERVER)),
        (None, _, None) => {
            let problem =
                "expected the authorization server's issuer, such as `https://acme.okta.com/oauth2/default`";
            return Err(SettingsError::kind("issuer", problem));
        }
    };
    Issuer::parse(&derived).map_err(|error| SettingsError::kind("domain", error.to_string()))
}

fn custom_server(domain: &Domain, id: &str) -> Result<String, SettingsError> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(SettingsError::kind("authorization_server", NO_SERVER));
    }
    Ok(format!("{}/oauth2/{id}", domain.origin()))
}

/// The console runs at `acme-admin.okta.com`, from where people copy; tokens never come from there.
fn check_host(issuer: &Issuer) -> Result<(), SettingsError> {
    let host = issuer.as_str().split('/').nth(2).unwrap_or_default();
    match host.split_once("-admin.okta") {
        Some((organisation, rest)) => Err(SettingsError::kind(
            "issuer",
            format!("that is the console's host; tokens come from `{organisation}.okta{rest}`"),
        )),
        None => Ok(()),
    }
}

/// Whether the issuer is the organisation itself and not one of its custom authorization servers.
fn is_organisations_own(issuer: &Issuer) -> bool {
    issuer.as_str().split('/').nth(3).is_none()
}

/// What Okta fixes, unless the settings say otherwise. Introspection answers name client and scopes otherwise than tokens.
fn fill_in(common: &mut Common) -> Result<(), SettingsError> {
    let claims = |names: [&str; 2]| {
        let parsed = names
            .into_iter()
            .map(|name| ClaimPath::parse(name).map(ClaimName))
            .collect::<Result<Vec<_>, _>>();
        parsed.map_err(|error| SettingsError::kind("scope_claims", error.to_string()))
    };
    common.algorithms.get_or_insert_with(|| vec![AlgorithmName(Algorithm::Rs256)]);
    common.token_types.get_or_insert_with(|| vec!["none".to_owned()]);
    common.client_claims.get_or_insert(claims(["cid", "client_id"])?);
    common.scope_claims.get_or_insert(claims(["scp", "scope"])?);
    Ok(())
}

#[async_trait]
impl scopegate_provider::Settings for Okta {
    const KIND: &'static str = "okta";

    async fn connect(self, context: Context) -> Result<Arc<dyn Provider>, ConnectError> {
        Ok(OidcProvider::connect(self.0, context)?)
    }

    fn outline(&self) -> Outline {
        self.0.outline()
    }

    fn schema() -> serde_json::Value {
        Preset::<Organisation>::schema()
    }
}
