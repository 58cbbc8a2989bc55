#![doc = include_str!("../README.md")]

use std::path::Path;

use schemars::JsonSchema;
use scopegate_oidc::{
    BearerFile, Common, Endpoint, IssuerSource, Jwt, KindRules, PresetKind, PresetSettings, Settings,
    SettingsError, claim_names,
};
use scopegate_provider::{Audience, BearerToken, ClientId, Issuer};
use serde::Deserialize;
use url::Url;

/// The settings of a provider of the kind `kubernetes`.
pub type Kubernetes = PresetSettings<Cluster>;

/// The keys that Kubernetes has beside the common ones.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// The accepted service accounts, each as `NAMESPACE/NAME`: all of the cluster by default.
    pub service_accounts: Vec<String>,
    /// The URL of the API server: `https://kubernetes.default.svc` by default.
    pub api_server: Option<Endpoint>,
    /// The folder with the pod's own `token` and `ca.crt`, where it is not at Kubernetes' usual place.
    #[schemars(extend("format" = "path"))]
    pub service_account: Option<Box<Path>>,
}

/// The folder into which Kubernetes mounts a pod's own service account.
const OWN_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const NO_AUDIENCE: &str = "expected the audience of this API, for which callers project their tokens (`serviceAccountToken: { audience: … }`)";

const API_SERVER_AUDIENCE: &str = "`audience`: that is the API server's own, so any pod's default token passes, and this API could use it there; project tokens for an audience of this API";

const AUDIENCE_ADVICE: &str = "; the caller's pod projects its token for an audience: volumes[].projected.sources[].serviceAccountToken.audience";

impl PresetKind for Cluster {
    const KIND: &'static str = "kubernetes";

    fn settings(self, mut common: Common) -> Result<Settings, SettingsError> {
        if let Some(key) = common.introspection_key() {
            let problem =
                "Kubernetes has no introspection endpoint of RFC 7662; tokens are verified by signature";
            return Err(SettingsError::kind(key, problem));
        }
        if common.audience.0.is_empty() {
            return Err(SettingsError::kind("audience", NO_AUDIENCE));
        }
        for account in &self.service_accounts {
            common.allowed_clients.push(account_id(account)?);
        }
        common.token_types.get_or_insert_with(|| ["none", "JWT"].map(str::to_owned).into());
        common.client_claims.get_or_insert_with(|| claim_names(&["client_id"]));
        common.scope_claims.get_or_insert_with(Vec::new);
        let mut audiences = common.audience.0.iter().map(Audience::as_str);
        let warns = audiences.any(|audience| audience.starts_with("https://kubernetes.default.svc"));
        let rules = KindRules {
            audience_advice: AUDIENCE_ADVICE,
            client_of_subject: Some(account_of),
            warnings: warns.then(|| API_SERVER_AUDIENCE.to_owned()).into_iter().collect(),
            ..KindRules::default()
        };
        let source = self.source(&mut common)?;
        Ok(Settings::check_with(common, vec![source])?.with_kind_rules(rules))
    }
}

impl Cluster {
    /// Returns the issuer of the tokens. That of the pod's own cluster is asked at the API server, with the pod's token and
    /// authority; another one is reached by discovery or by the settings.
    fn source(&self, common: &mut Common) -> Result<IssuerSource, SettingsError> {
        let folder = self.service_account.as_deref().unwrap_or(Path::new(OWN_ACCOUNT));
        let own = own_issuer(&folder.join("token"));
        let issuer = match (common.issuer.take(), own) {
            (Some(issuer), Ok(own)) if issuer == own => issuer,
            (None, Ok(own)) => own,
            (Some(issuer), _) if self.api_server.is_none() => return Ok(IssuerSource::new(issuer)),
            (Some(issuer), _) => issuer,
            (None, Err(problem)) => {
                let problem = format!(
                    "outside of a pod write the cluster's issuer (`kubectl get --raw /.well-known/openid-configuration`); {problem}"
                );
                return Err(SettingsError::kind("issuer", problem));
            }
        };
        let server = self.api_server.as_ref().map_or("https://kubernetes.default.svc", |url| url.0.as_str());
        let server = server.trim_end_matches('/');
        if !common.jwks.brings_keys() && common.jwks_uri.is_none() {
            common.jwks_uri = Some(Endpoint(url(&format!("{server}/openid/v1/jwks"))?));
        }
        let ca = folder.join("ca.crt");
        if common.http.ca.is_none() && ca.exists() {
            common.http.ca = Some(ca.into());
        }
        let token = folder.join("token");
        if common.http.bearer_token.is_none() && token.exists() {
            common.http.bearer_token = Some(BearerFile { file: token.into() });
        }
        Ok(IssuerSource::at(issuer, url(&format!("{server}/.well-known/openid-configuration"))?))
    }
}

/// Reads the issuer of the cluster from the pod's own token, which Kubernetes wrote.
fn own_issuer(file: &Path) -> Result<Issuer, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("`{}`: {error}", file.display()))?;
    let token = BearerToken::parse(text.trim()).map_err(|error| error.to_string())?;
    let jwt = Jwt::parse(&token).map_err(|error| format!("`{}`: {error}", file.display()))?;
    let issuer = jwt.unverified_issuer().map_err(|error| error.to_string())?;
    Issuer::parse(issuer).map_err(|error| error.to_string())
}

fn url(text: &str) -> Result<Url, SettingsError> {
    Url::parse(text).map_err(|error| SettingsError::kind("api_server", error.to_string()))
}

/// Parses a service account as `NAMESPACE/NAME`.
fn account_id(text: &str) -> Result<ClientId, SettingsError> {
    let parts = text.split_once('/').filter(|(namespace, name)| is_label(namespace) && is_label(name));
    let account = parts.and_then(|_| ClientId::parse(text).ok());
    account.ok_or_else(|| {
        let problem = format!("expected NAMESPACE/NAME, such as `shop/web`, found `{text}`");
        SettingsError::kind("service_accounts", problem)
    })
}

fn is_label(text: &str) -> bool {
    let mut bytes = text.bytes();
    !text.is_empty()
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'))
}

/// Returns the service account in a subject, `system:serviceaccount:NAMESPACE:NAME`, as `NAMESPACE/NAME`.
fn account_of(subject: &str) -> Option<ClientId> {
    let (namespace, name) = subject.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    account_id(&format!("{namespace}/{name}")).ok()
}
