#![doc = include_str!("../README.md")]

use schemars::JsonSchema;
use scopegate_oidc::{
    Common, Endpoint, IssuerSource, KindRules, PresetKind, PresetSettings, Settings, SettingsError,
    claim_names,
};
use scopegate_provider::Issuer;
use serde::Deserialize;
use serde_json::json;
use url::Url;

/// The settings of a provider of the kind `keycloak`.
pub type Keycloak = PresetSettings<Realm>;

/// The keys that Keycloak has beside the common ones.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Realm {
    /// The public URL of the server, with its relative path if it has one: `https://sso.acme.example`.
    pub url: Option<Endpoint>,
    /// The name of the realm.
    pub realm: Option<String>,
    /// The URL by which scopegate reaches the server, if tokens name another, such as
    /// `http://keycloak.auth.svc:8080`. Plain `http` needs `http.insecure_hosts`.
    pub internal_url: Option<Endpoint>,
    /// The clients whose roles count beside the realm's: those named in `audience` by default.
    pub client_roles: Option<Vec<String>>,
}

const AUDIENCE_ADVICE: &str = "; in Keycloak the audience comes from a mapper: Clients > the calling client > Client scopes > Add mapper > Audience; a lightweight token has none and must be introspected";

const NO_AUDIENCE: &str =
    "expected the Client ID of the API's client in Keycloak, or the audience that its audience mapper adds";

impl PresetKind for Realm {
    const KIND: &'static str = "keycloak";

    fn settings(self, mut common: Common) -> Result<Settings, SettingsError> {
        if common.audience.0.is_empty() && common.allowed_clients.is_empty() {
            return Err(SettingsError::kind("audience", NO_AUDIENCE));
        }
        let issuer = self.issuer(common.issuer.take())?;
        let mut source = IssuerSource::new(issuer.clone());
        if let Some(internal) = &self.internal_url {
            let realm = realm_below(internal, &issuer)?;
            source.discovery_url = Some(url(&format!("{realm}/.well-known/openid-configuration"))?);
            if common.jwks.file.is_none() && common.jwks.keys.is_none() {
                common.jwks_uri.get_or_insert(endpoint(&realm, "certs")?);
            }
            common.token_endpoint.get_or_insert(endpoint(&realm, "token")?);
            common.revocation_endpoint.get_or_insert(endpoint(&realm, "revoke")?);
            if common.wants_introspection() {
                common.introspection_endpoint.get_or_insert(endpoint(&realm, "token/introspect")?);
            }
        }
        common.token_types.get_or_insert_with(|| ["JWT", "at+jwt"].map(str::to_owned).into());
        common.client_claims.get_or_insert_with(|| claim_names(&["azp", "client_id"]));
        // The mark of an access token in the claims; ID tokens say `ID`, refresh tokens `Refresh`.
        for claim in claim_names(&["typ"]) {
            common.required_claims.entry(claim).or_insert_with(|| json!(["Bearer", "DPoP"]));
        }
        if common.role_claims.is_none() {
            let audiences = common.audience.0.iter().map(|audience| audience.as_str().to_owned());
            let clients = self.client_roles.unwrap_or_else(|| audiences.collect());
            let mut paths = vec!["/realm_access/roles".to_owned()];
            paths.extend(clients.iter().map(|client| {
                format!("/resource_access/{}/roles", client.replace('~', "~0").replace('/', "~1"))
            }));
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            common.role_claims = Some(claim_names(&paths));
        }
        let rules = KindRules { audience_advice: AUDIENCE_ADVICE, ..KindRules::default() };
        let mut sources = vec![source];
        sources.extend(common.issuers.iter().cloned().map(IssuerSource::new));
        Ok(Settings::check_with(common, sources)?.with_kind_rules(rules))
    }
}

impl Realm {
    fn issuer(&self, issuer: Option<Issuer>) -> Result<Issuer, SettingsError> {
        let (server, realm) = match (&self.url, &self.realm, issuer) {
            (None, None, Some(issuer)) => {
                if issuer.as_str().contains("/realms/") && !issuer.as_str().ends_with('/') {
                    return Ok(issuer);
                }
                let problem = format!(
                    "expected `https://HOST/realms/REALM` without a final slash, as the realm's \"OpenID Endpoint Configuration\" says, found `{issuer}`"
                );
                return Err(SettingsError::kind("issuer", problem));
            }
            (Some(server), Some(realm), None) => (server, realm),
            (_, _, Some(_)) => {
                let problem = "it follows from `url` and `realm`; leave it or both of them out";
                return Err(SettingsError::kind("issuer", problem));
            }
            (Some(_), None, None) => {
                return Err(SettingsError::kind("realm", "expected the name of the realm"));
            }
            (None, _, None) => {
                let problem = "expected the public URL of the server, such as `https://sso.acme.example`";
                return Err(SettingsError::kind("url", problem));
            }
        };
        let server = server.0.as_str().trim_end_matches('/');
        if let Some((before, _)) = server.split_once("/realms/") {
            return Err(SettingsError::kind("url", format!("leave the realm off: write `{before}`")));
        }
        if realm.is_empty() || realm.contains('/') {
            return Err(SettingsError::kind("realm", format!("expected a realm's name, found `{realm}`")));
        }
        Issuer::parse(&format!("{server}/realms/{realm}"))
            .map_err(|error| SettingsError::kind("realm", error.to_string()))
    }
}

/// Returns the URL of the issuer's realm on the internal server.
fn realm_below(internal: &Endpoint, issuer: &Issuer) -> Result<String, SettingsError> {
    let server = internal.0.as_str().trim_end_matches('/');
    match issuer.as_str().rsplit_once("/realms/") {
        Some((_, realm)) if !server.contains("/realms/") => Ok(format!("{server}/realms/{realm}")),
        _ => Err(SettingsError::kind("internal_url", "expected the URL of the server without `/realms/…`")),
    }
}

/// Returns an endpoint of a realm.
fn endpoint(realm: &str, path: &str) -> Result<Endpoint, SettingsError> {
    url(&format!("{realm}/protocol/openid-connect/{path}")).map(Endpoint)
}

fn url(text: &str) -> Result<Url, SettingsError> {
    Url::parse(text).map_err(|error| SettingsError::kind("internal_url", error.to_string()))
}
