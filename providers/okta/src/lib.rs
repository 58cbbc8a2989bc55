#![doc = include_str!("../README.md")]

use schemars::JsonSchema;
use scopegate_oidc::{
    Algorithm, AlgorithmName, Common, Domain, KindRules, PresetKind, PresetSettings, Settings, SettingsError,
    Validate, claim_names, claim_paths,
};
use scopegate_provider::Issuer;
use serde::Deserialize;

/// The settings of a provider of the kind `okta`.
pub type Okta = PresetSettings<Organisation>;

/// The keys that Okta has beside the common ones. In place of both, `issuer` can be given.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Organisation {
    /// The organisation's domain, such as `acme.okta.com`.
    pub domain: Option<Domain>,
    /// The id of a custom authorization server: `default`, or one that begins with `aus`.
    pub authorization_server: Option<String>,
}

impl PresetKind for Organisation {
    const KIND: &'static str = "okta";

    fn settings(self, mut common: Common) -> Result<Settings, SettingsError> {
        let issuer = self.issuer(common.issuer.take())?;
        check_host(&issuer)?;
        // The organisation's own server has no path; custom ones are below `/oauth2`.
        let is_own_server = issuer.as_str().split('/').nth(3).is_none();
        let has_scheme = issuer.as_str().contains("://");
        if has_scheme && is_own_server && common.validate != Some(Validate::Introspect) {
            return Err(SettingsError::kind("validate", ORGANISATIONS_OWN));
        }
        common.issuer = Some(issuer);
        common.algorithms.get_or_insert_with(|| vec![AlgorithmName(Algorithm::Rs256)]);
        common.token_types.get_or_insert_with(|| vec!["none".to_owned()]);
        // Introspection answers name client and scopes otherwise than tokens.
        common.client_claims.get_or_insert_with(|| claim_names(&["cid", "client_id"]));
        common.scope_claims.get_or_insert_with(|| claim_names(&["scp", "scope"]));
        let access_token_claims = claim_paths(&["cid", "client_id", "scp", "scope"]);
        let rules = KindRules { access_token_claims, ..KindRules::default() };
        Ok(Settings::check(common)?.with_kind_rules(rules))
    }
}

const ORGANISATIONS_OWN: &str = "the organisation's own authorization server publishes no keys for its access tokens: write `validate: introspect`, or use a custom authorization server such as `https://acme.okta.com/oauth2/default`";

const NO_SERVER: &str = "expected the id of a custom authorization server, such as `default`; for the organisation's own write `issuer: https://acme.okta.com` in place of `domain`";

impl Organisation {
    fn issuer(self, issuer: Option<Issuer>) -> Result<Issuer, SettingsError> {
        let derived = match (self.domain, self.authorization_server, issuer) {
            (None, None, Some(issuer)) if issuer.as_str().ends_with('/') => {
                let shorter = issuer.as_str().trim_end_matches('/');
                let problem = format!("Okta's issuers do not end in a slash: write `{shorter}`");
                return Err(SettingsError::kind("issuer", problem));
            }
            (None, None, Some(issuer)) => return Ok(issuer),
            (_, _, Some(_)) => {
                let problem =
                    "it follows from `domain` and `authorization_server`; leave it or both of them out";
                return Err(SettingsError::kind("issuer", problem));
            }
            (Some(domain), Some(id), None) => custom_server(&domain, &id)?,
            (Some(_), None, None) => return Err(SettingsError::kind("authorization_server", NO_SERVER)),
            (None, _, None) => {
                let problem = "expected the authorization server's issuer, such as `https://acme.okta.com/oauth2/default`";
                return Err(SettingsError::kind("issuer", problem));
            }
        };
        Issuer::parse(&derived).map_err(|error| SettingsError::kind("domain", error.to_string()))
    }
}

fn custom_server(domain: &Domain, id: &str) -> Result<String, SettingsError> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(SettingsError::kind("authorization_server", NO_SERVER));
    }
    Ok(format!("{}/oauth2/{id}", domain.origin()))
}

/// Checks the host. The console runs at `acme-admin.okta.com`, from where people copy; tokens never come from there.
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
