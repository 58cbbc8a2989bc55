#![doc = include_str!("../README.md")]

use schemars::JsonSchema;
use scopegate_oidc::{
    Algorithm, AlgorithmName, Common, KindRules, PresetKind, PresetSettings, Settings, SettingsError,
    claim_names,
};
use scopegate_provider::{ClientId, Issuer};
use serde::Deserialize;
use serde_json::json;

/// The settings of a provider of the kind `cognito`.
pub type Cognito = PresetSettings<UserPool>;

/// The keys that Amazon Cognito has beside the common ones.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UserPool {
    /// The User pool ID, such as `eu-central-1_AcmePool1`; its region is the part before the underscore.
    pub user_pool: Option<String>,
    /// The Client IDs of the app clients whose tokens are accepted.
    pub app_clients: Vec<ClientId>,
    /// The identifier of the API's resource server. Its scopes, `IDENTIFIER/SCOPE` in tokens, are named `SCOPE` here.
    pub resource_server: Option<String>,
}

const NO_INTROSPECTION: &str = "Cognito has no introspection endpoint: tokens are verified by signature (leave this key out); for revocation record revocations here";

const NO_CLIENTS: &str = "expected the Client IDs of the app clients (App integration): Cognito's access tokens carry no audience, so their clients are what tells them apart";

const AUDIENCE_ADVICE: &str = "; Cognito's access tokens carry `aud` only for clients that sent `resource` (resource binding): otherwise leave `audience` out and list `app_clients`";

impl PresetKind for UserPool {
    const KIND: &'static str = "cognito";

    fn settings(self, mut common: Common) -> Result<Settings, SettingsError> {
        if let Some(key) = common.introspection_key() {
            return Err(SettingsError::kind(key, NO_INTROSPECTION));
        }
        common.issuer = Some(match (&self.user_pool, common.issuer.take()) {
            (Some(pool), None) => of_pool(pool)?,
            (None, Some(issuer)) => issuer,
            (Some(_), Some(_)) => {
                let problem = "it follows from `user_pool`; leave one of them out";
                return Err(SettingsError::kind("issuer", problem));
            }
            (None, None) => {
                let problem = "expected the User pool ID, such as `eu-central-1_AcmePool1`";
                return Err(SettingsError::kind("user_pool", problem));
            }
        });
        common.allowed_clients.extend(self.app_clients);
        if common.allowed_clients.is_empty() && common.audience.0.is_empty() {
            return Err(SettingsError::kind("app_clients", NO_CLIENTS));
        }
        common.algorithms.get_or_insert_with(|| vec![AlgorithmName(Algorithm::Rs256)]);
        common.token_types.get_or_insert_with(|| vec!["none".to_owned()]);
        common.client_claims.get_or_insert_with(|| claim_names(&["client_id"]));
        common.scope_claims.get_or_insert_with(|| claim_names(&["scope"]));
        common.role_claims.get_or_insert_with(|| claim_names(&["cognito:groups"]));
        for claim in claim_names(&["token_use"]) {
            common.required_claims.entry(claim).or_insert_with(|| json!("access"));
        }
        let rules = KindRules {
            audience_advice: AUDIENCE_ADVICE,
            scope_prefix: self.resource_server.map(|server| format!("{server}/").into()),
            ..KindRules::default()
        };
        Ok(Settings::check(common)?.with_kind_rules(rules))
    }
}

/// Returns the issuer of a user pool.
fn of_pool(pool: &str) -> Result<Issuer, SettingsError> {
    let is_name = pool.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let parts = pool.split_once('_');
    let parts = parts.filter(|(region, name)| is_name && region.contains('-') && !name.is_empty());
    let Some((region, _)) = parts else {
        let problem = format!(
            "expected a User pool ID of region and name, such as `eu-central-1_AcmePool1`, found `{pool}`"
        );
        return Err(SettingsError::kind("user_pool", problem));
    };
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    Issuer::parse(&format!("https://cognito-idp.{region}.{domain}/{pool}"))
        .map_err(|error| SettingsError::kind("user_pool", error.to_string()))
}
