#![doc = include_str!("../README.md")]

use schemars::JsonSchema;
use scopegate_oidc::{
    Algorithm, AlgorithmName, Callers, ClientAuthenticationMethod, Common, Domain, IssuerPattern,
    IssuerSource, KindRules, PresetKind, PresetSettings, ScopeText, Settings, SettingsError, claim_names,
    claim_paths, is_guid,
};
use scopegate_provider::{Audience, Issuer, ScopeSet};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

/// The settings of a provider of the kind `entra`.
pub type Entra = PresetSettings<Registration>;

/// The keys that Entra ID has beside the common ones.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Registration {
    /// The Directory (tenant) ID.
    pub tenant: Option<String>,
    /// Several tenants, by their ids, or `any` of Entra ID's.
    pub tenants: Option<Tenants>,
    /// The sign-in host of the cloud: `https://login.microsoftonline.com` by default.
    pub authority: Option<Domain>,
    /// The domain of an external tenant, such as `acme.ciamlogin.com`, or of Azure AD B2C, such as `acme.b2clogin.com` or a
    /// custom domain.
    pub domain: Option<Domain>,
    /// The user flows or custom policies of Azure AD B2C, such as `B2C_1_signin`. Each has its own keys.
    pub user_flows: Vec<String>,
    /// The accepted callers: tokens of applications, of users (delegated), or both.
    pub callers: Callers,
}

/// The tenants whose tokens are accepted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Tenants {
    /// All tenants.
    Any(AnyTenant),
    /// These tenants, by id.
    Ids(Vec<String>),
}

/// The word `any`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnyTenant {
    /// All tenants.
    Any,
}

const NO_INTROSPECTION: &str = "Entra ID has no introspection endpoint: tokens are verified by signature (leave this key out); for revocation record revocations here";

const NO_TENANT: &str = "expected the Directory (tenant) ID of the registration, such as `3f0c1a52-7e7b-4f1e-9a55-0d2b6c8e1f90`, or `tenants: any` or a list of ids";

const ANY_TENANT: &str = "`tenants: any`: every organisation and every personal account can get a token for a multi-tenant registration; require a scope or role on each route";

const AUDIENCE_ADVICE: &str = "; the audience is the Application (client) ID of the API's registration or its Application ID URI, which tokens of version 1.0 carry";

impl PresetKind for Registration {
    const KIND: &'static str = "entra";

    fn settings(self, mut common: Common) -> Result<Settings, SettingsError> {
        if let Some(key) = common.introspection_key() {
            return Err(SettingsError::kind(key, NO_INTROSPECTION));
        }
        let Some(audience) = common.audience.0.first().cloned() else {
            let problem =
                "expected the Application (client) ID of the API's registration, or its Application ID URI";
            return Err(SettingsError::kind("audience", problem));
        };
        add_audience_forms(&mut common.audience.0);
        if common.token_request_scope.is_none() {
            common.token_request_scope = ScopeSet::parse(&format!("{audience}/.default")).ok().map(ScopeText);
        }
        common.algorithms.get_or_insert_with(|| vec![AlgorithmName(Algorithm::Rs256)]);
        common.token_types.get_or_insert_with(|| vec!["JWT".to_owned()]);
        common.client_claims.get_or_insert_with(|| claim_names(&["azp", "appid"]));
        common.scope_claims.get_or_insert_with(|| claim_names(&["scp"]));
        common.role_claims.get_or_insert_with(|| claim_names(&["roles", "groups"]));
        if common.private_key.is_none() {
            common.client_authentication.get_or_insert(ClientAuthenticationMethod::ClientSecretPost);
        }
        let is_b2c = !self.user_flows.is_empty();
        let rules = KindRules {
            // B2C puts `tid` into tokens only where a policy asks for it.
            tenant_claim: if is_b2c { None } else { claim_paths(&["tid"]).pop() },
            audience_advice: AUDIENCE_ADVICE,
            access_token_claims: claim_paths(&["azp", "appid", "scp"]),
            callers: self.callers,
            is_application: Some(is_application),
            warnings: match self.tenants {
                Some(Tenants::Any(_)) => vec![ANY_TENANT.to_owned()],
                _ => Vec::new(),
            },
            ..KindRules::default()
        };
        let sources = self.sources(common.issuer.take())?;
        Ok(Settings::check_with(common, sources)?.with_kind_rules(rules))
    }
}

impl Registration {
    /// Returns the issuers of the registration and the places of their metadata.
    fn sources(&self, issuer: Option<Issuer>) -> Result<Vec<IssuerSource>, SettingsError> {
        match (&self.tenant, &self.tenants, issuer) {
            (Some(tenant), None, None) => match &self.domain {
                Some(domain) => self.external(domain, tenant_id("tenant", tenant)?),
                None => tenant_sources(&self.authority(), tenant_id("tenant", tenant)?),
            },
            (None, Some(Tenants::Any(_)), None) => every_tenant(&self.authority()),
            (None, Some(Tenants::Ids(ids)), None) => {
                let mut sources = Vec::new();
                for id in ids {
                    sources.extend(tenant_sources(&self.authority(), tenant_id("tenants", id)?)?);
                }
                if sources.is_empty() { Err(SettingsError::kind("tenants", NO_TENANT)) } else { Ok(sources) }
            }
            (None, None, Some(issuer)) => of_issuer(&issuer),
            (None, None, None) => Err(SettingsError::kind("tenant", NO_TENANT)),
            _ => {
                let problem =
                    "`tenant`, `tenants` and `issuer` exclude each other; leave all but one of them out";
                Err(SettingsError::kind("tenant", problem))
            }
        }
    }

    fn authority(&self) -> String {
        let authority = self.authority.as_ref().map(Domain::origin);
        authority.unwrap_or("https://login.microsoftonline.com").to_owned()
    }

    /// Returns the issuers of an external tenant, or of B2C, whose user flows share one issuer and have keys of their own.
    fn external(&self, domain: &Domain, tenant: &str) -> Result<Vec<IssuerSource>, SettingsError> {
        let origin = domain.origin();
        if self.user_flows.is_empty() {
            // The issuer's host is the tenant's id, whatever host signs users in.
            let host = match domain.host().split_once('.') {
                Some((_, "ciamlogin.com")) => format!("https://{tenant}.ciamlogin.com"),
                _ => origin.to_owned(),
            };
            let metadata = url("domain", &format!("{origin}/{tenant}/v2.0/{METADATA}"))?;
            return Ok(vec![IssuerSource::at(issuer(&format!("{host}/{tenant}/v2.0"))?, metadata)]);
        }
        let mut sources = Vec::new();
        for flow in &self.user_flows {
            let metadata = url("user_flows", &format!("{origin}/{tenant}/{flow}/v2.0/{METADATA}"))?;
            sources.push(IssuerSource::at(issuer(&format!("{origin}/{tenant}/v2.0/"))?, metadata));
        }
        Ok(sources)
    }
}

/// The place of metadata below an issuer.
const METADATA: &str = ".well-known/openid-configuration";

/// Returns the issuer of tokens of version 1.0, up to the tenant.
fn version_1(authority: &str) -> &str {
    match authority {
        "https://login.microsoftonline.com" | "https://login.microsoftonline.us" => "https://sts.windows.net",
        "https://login.partner.microsoftonline.cn" => "https://sts.chinacloudapi.cn",
        other => other,
    }
}

/// Returns both issuers of a tenant. The API's registration decides which of them its tokens name.
fn tenant_sources(authority: &str, tenant: &str) -> Result<Vec<IssuerSource>, SettingsError> {
    let version_1 = issuer(&format!("{}/{tenant}/", version_1(authority)))?;
    let metadata = url("authority", &format!("{authority}/{tenant}/{METADATA}"))?;
    Ok(vec![
        IssuerSource::new(issuer(&format!("{authority}/{tenant}/v2.0"))?),
        IssuerSource::at(version_1, metadata),
    ])
}

/// Returns the patterns of all tenants' issuers, which share metadata and keys; each key names its tenant or all.
fn every_tenant(authority: &str) -> Result<Vec<IssuerSource>, SettingsError> {
    let texts = [
        (format!("{authority}/{{tenantid}}/v2.0"), format!("{authority}/common/v2.0/{METADATA}")),
        (format!("{}/{{tenantid}}/", version_1(authority)), format!("{authority}/common/{METADATA}")),
    ];
    let mut sources = Vec::new();
    for (pattern, metadata) in texts {
        let pattern = IssuerPattern::parse(&pattern)
            .ok_or_else(|| SettingsError::kind("authority", "it makes no issuer"))?;
        let source = IssuerSource::of_tenants(pattern, url("authority", &metadata)?);
        sources.push(source.map_err(|error| SettingsError::kind("authority", error.to_string()))?);
    }
    Ok(sources)
}

/// Returns the issuers of the tenant in an issuer that is given as a whole.
fn of_issuer(given: &Issuer) -> Result<Vec<IssuerSource>, SettingsError> {
    let mut parts = given.as_str().splitn(4, '/');
    let scheme = parts.next().unwrap_or_default();
    let host = parts.nth(1).unwrap_or_default();
    let tenant = parts.next().unwrap_or_default().split('/').next().unwrap_or_default();
    let authority = match host {
        "sts.windows.net" => "https://login.microsoftonline.com".to_owned(),
        host => format!("{scheme}//{host}"),
    };
    tenant_sources(&authority, tenant_id("issuer", tenant)?)
}

fn tenant_id<'a>(key: &'static str, text: &'a str) -> Result<&'a str, SettingsError> {
    if is_guid(text) {
        return Ok(text);
    }
    let problem = match text {
        "common" | "organizations" | "consumers" | "{tenantid}" => {
            format!("`{text}` is not a tenant; write `tenants: any`, or the ids of the tenants")
        }
        _ => format!("{NO_TENANT}; found `{text}`"),
    };
    Err(SettingsError::kind(key, problem))
}

fn issuer(text: &str) -> Result<Issuer, SettingsError> {
    Issuer::parse(text).map_err(|error| SettingsError::kind("tenant", error.to_string()))
}

fn url(key: &'static str, text: &str) -> Result<Url, SettingsError> {
    Url::parse(text).map_err(|error| SettingsError::kind(key, error.to_string()))
}

/// Adds the other form of audiences that are a client id: `aud` is the id in version 2.0 and often `api://ID` in 1.0.
fn add_audience_forms(audiences: &mut Vec<Audience>) {
    for audience in audiences.clone() {
        let other = match audience.as_str().strip_prefix("api://") {
            Some(id) if is_guid(id) => Audience::parse(id),
            None if is_guid(audience.as_str()) => Audience::parse(&format!("api://{audience}")),
            _ => continue,
        };
        audiences.extend(other.ok().filter(|other| !audiences.contains(other)));
    }
}

/// Returns `true` for the token of an application that calls as itself: it has no scopes, and says so or has the service
/// principal as subject.
fn is_application(claims: &Map<String, Value>) -> bool {
    let says_so = claims.get("idtyp").and_then(Value::as_str) == Some("app");
    let is_own_subject = claims.get("sub").is_some_and(|subject| claims.get("oid") == Some(subject));
    says_so || (!claims.contains_key("scp") && is_own_subject)
}
