use scopegate_oidc::Http;
use scopegate_provider::{
    AuthnError, BearerToken, ClientCredentials, Health, Inline, ProviderName, Rejection, ScopeSet,
    Settings as _, SystemClock, TokenRequest, TokenRequestError,
};
use serde_json::{Value, json};

use super::*;
use crate::Fault;

const API: &str = "https://api.acme.example";

fn whole(more: &Value) -> Value {
    let mut whole = json!({
        "listen": "127.0.0.1:0",
        "audience": API,
        "clients": [{ "id": "demo", "secret": "demo-secret", "scopes": ["items", "items:write"] }],
    });
    for (key, value) in more.as_object().unwrap() {
        whole[key] = value.clone();
    }
    whole
}

fn dev(more: &Value) -> Dev {
    serde_json::from_value(whole(more)).unwrap()
}

fn refused(more: &Value) -> String {
    serde_json::from_value::<Dev>(whole(more)).unwrap_err().to_string()
}

async fn connect(settings: Dev) -> Arc<dyn Provider> {
    let name = ProviderName::parse("local").unwrap();
    let http = Arc::new(Http::default());
    let context = Context::new(name, Arc::new(SystemClock::new()), http, Arc::new(Inline));
    let provider = settings.connect(context).await.unwrap();
    provider.health().unwrap().ready().await;
    provider
}

fn demo(scopes: &str) -> TokenRequest {
    let (id, secret) = (ClientId::parse("demo").unwrap(), Secret::new("demo-secret"));
    let scopes = Some(ScopeSet::parse(scopes).unwrap());
    TokenRequest { client: Some(ClientCredentials { id, secret }), scopes, ..TokenRequest::default() }
}

async fn token(provider: &dyn Provider, scopes: &str) -> BearerToken {
    provider.request_token().unwrap().request_token(demo(scopes)).await.unwrap().access_token
}

async fn authenticate(provider: &dyn Provider, token: &BearerToken) -> Result<Principal, AuthnError> {
    let credentials = Credentials::bearer(token.clone());
    provider.authenticate(&credentials, Freshness::Cached).await.map_err(|failure| failure.error)
}

/// A token with something wrong with it.
async fn broken(provider: &dyn Provider, fault: Fault) -> BearerToken {
    let [issuer] = provider.issuers() else { panic!("one issuer") };
    let body = format!(
        "grant_type=client_credentials&client_id=demo&client_secret=demo-secret&fault={}",
        fault.as_str()
    );
    let request = reqwest::Client::new().post(format!("{issuer}/token")).body(body);
    let response = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    BearerToken::parse(answer["access_token"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn in_every_shape_its_own_tokens_are_taken_by_discovery() {
    let shapes = [
        json!({}),
        json!({ "algorithm": "EdDSA" }),
        json!({ "emulate": "auth0" }),
        json!({ "emulate": "auth0", "token_dialect": "rfc9068_profile" }),
        json!({ "emulate": "okta", "authorization_server": "aus1" }),
    ];
    for shape in shapes {
        let provider = connect(dev(&shape)).await;
        let principal = authenticate(&*provider, &token(&*provider, "items").await).await.unwrap();
        assert_eq!(principal.scopes().to_string(), "items", "{shape}");
        assert_eq!(principal.client().unwrap().as_str(), "demo", "{shape}");
        assert_eq!(principal.audience()[0].as_str(), API, "{shape}");
    }
}

#[tokio::test]
async fn invariant_1_every_broken_token_is_refused_for_what_is_wrong_with_it() {
    let provider = connect(dev(&json!({}))).await;
    for fault in Fault::ALL {
        let result = authenticate(&*provider, &broken(&*provider, fault).await).await;
        let Err(AuthnError::Rejected(rejection)) = result else { panic!("{fault}: {result:?}") };
        let as_expected = match fault {
            Fault::Expired => matches!(rejection, Rejection::Expired { .. }),
            Fault::NotYetValid => matches!(rejection, Rejection::NotYetValid { .. }),
            Fault::WrongAudience => matches!(rejection, Rejection::AudienceMismatch { .. }),
            Fault::NoAudience | Fault::NoExpiry => matches!(rejection, Rejection::MissingClaim { .. }),
            Fault::WrongIssuer => matches!(rejection, Rejection::IssuerMismatch { .. }),
            Fault::TextExpiry => matches!(rejection, Rejection::WrongType { .. }),
            Fault::Unsigned | Fault::Hmac => matches!(rejection, Rejection::AlgorithmNotAllowed { .. }),
            Fault::BadSignature | Fault::Tampered | Fault::EmbeddedKey => {
                matches!(rejection, Rejection::SignatureInvalid)
            }
            Fault::UnknownKey => matches!(rejection, Rejection::UnknownKey),
            Fault::CriticalHeader => matches!(rejection, Rejection::CriticalHeader),
            Fault::IdToken => matches!(rejection, Rejection::IdToken),
            Fault::KeyBound => matches!(rejection, Rejection::SenderConstrained),
        };
        assert!(as_expected, "{fault}: {rejection:?}");
    }
}

#[tokio::test]
async fn a_fresh_answer_knows_of_a_revocation() {
    for shape in [json!({}), json!({ "emulate": "okta" })] {
        let provider = connect(dev(&shape)).await;
        let token = token(&*provider, "items").await;
        let fresh = Credentials::bearer(token.clone());
        let principal = provider.authenticate(&fresh, Freshness::Fresh).await.unwrap();
        assert_eq!(principal.scopes().to_string(), "items");
        provider.revoke_token().unwrap().revoke_token(&token).await.unwrap();
        let result = provider.authenticate(&fresh, Freshness::Fresh).await;
        assert_eq!(result.unwrap_err().error, Rejection::Inactive.into());
    }
}

#[tokio::test]
async fn an_opaque_token_is_introspected_where_the_settings_take_them() {
    let clients = json!([{ "id": "demo", "secret": "demo-secret", "scopes": ["items"], "tokens": "opaque" }]);
    let provider = connect(dev(&json!({ "clients": clients, "opaque_tokens": "introspect" }))).await;
    let token = token(&*provider, "items").await;
    assert!(!token.reveal().contains('.'));
    assert_eq!(authenticate(&*provider, &token).await.unwrap().scopes().to_string(), "items");
    provider.revoke_token().unwrap().revoke_token(&token).await.unwrap();
    let fresh = provider.authenticate(&Credentials::bearer(token), Freshness::Fresh).await;
    assert_eq!(fresh.unwrap_err().error, Rejection::Inactive.into());
}

#[tokio::test]
async fn invariant_12_an_opaque_token_is_refused_where_the_settings_do_not_take_them() {
    let clients = json!([{ "id": "demo", "secret": "demo-secret", "scopes": ["items"], "tokens": "opaque" }]);
    let provider = connect(dev(&json!({ "clients": clients }))).await;
    let result = authenticate(&*provider, &token(&*provider, "items").await).await;
    assert_eq!(result.unwrap_err(), AuthnError::Rejected(Rejection::Opaque));
}

#[tokio::test]
async fn an_opaque_token_of_auth0_is_told_from_a_jwt() {
    let provider = connect(dev(&json!({ "emulate": "auth0" }))).await;
    let [issuer] = provider.issuers() else { panic!("one issuer") };
    let body = "grant_type=client_credentials&client_id=demo&client_secret=demo-secret";
    let request = reqwest::Client::new().post(format!("{issuer}oauth/token")).body(body);
    let response = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    let opaque = BearerToken::parse(answer["access_token"].as_str().unwrap()).unwrap();
    assert_eq!(
        authenticate(&*provider, &opaque).await.unwrap_err(),
        AuthnError::Rejected(Rejection::Encrypted)
    );
    assert!(provider.authenticate(&Credentials::bearer(opaque), Freshness::Fresh).await.is_err());
}

#[tokio::test]
async fn a_refusal_of_the_issuer_is_relayed() {
    let provider = connect(dev(&json!({}))).await;
    let refused = provider.request_token().unwrap().request_token(demo("admin")).await.unwrap_err();
    assert!(
        matches!(&refused, TokenRequestError::Refused { status: 400, error, .. } if error == "invalid_scope"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn rotating_keys_while_calls_run_fails_none() {
    let settings = dev(&json!({ "jwks": { "cool_down": "1ms" } }));
    let clock: Arc<SystemClock> = Arc::new(SystemClock::new());
    let running = settings.issuer.start_as(None, clock).await.unwrap();
    let tenant = Tenant::parse(&settings.issuer).unwrap();
    let name = running.issuer().clone();
    let checked = preset_for(&settings.issuer, &tenant, settings.common, name, Some(&running)).unwrap();
    let provider_name = ProviderName::parse("local").unwrap();
    let http = Arc::new(Http::default());
    let context = Context::new(provider_name, Arc::new(SystemClock::new()), http, Arc::new(Inline));
    let provider = OidcProvider::connect(checked, context).unwrap();
    Health::ready(&*provider).await;
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(token(&*provider, "items").await);
        for token in &tokens {
            authenticate(&*provider, token).await.unwrap();
        }
        running.rotate().await.unwrap();
    }
}

#[tokio::test]
async fn a_successor_at_the_same_address_goes_on_with_keys_and_revocations() {
    let first = connect(dev(&json!({}))).await;
    let address = first.issuers()[0].as_str().strip_prefix("http://").unwrap().to_owned();
    let (kept, revoked) = (token(&*first, "items").await, token(&*first, "items").await);
    first.revoke_token().unwrap().revoke_token(&revoked).await.unwrap();

    let clients = json!([{ "id": "demo", "secret": "demo-secret", "scopes": ["items", "more"] }]);
    let second = connect(dev(&json!({ "listen": address, "clients": clients }))).await;
    authenticate(&*second, &kept).await.unwrap();
    authenticate(&*second, &token(&*second, "more").await).await.unwrap();
    let fresh = second.authenticate(&Credentials::bearer(revoked), Freshness::Fresh).await;
    assert_eq!(fresh.unwrap_err().error, Rejection::Inactive.into());

    drop(first);
    authenticate(&*second, &token(&*second, "more").await).await.unwrap();
}

#[tokio::test]
async fn who_was_to_succeed_and_did_not_gives_the_address_back() {
    let first = connect(dev(&json!({}))).await;
    let address = first.issuers()[0].as_str().strip_prefix("http://").unwrap().to_owned();
    let clients = json!([{ "id": "other", "secret": "s" }]);
    let second = connect(dev(&json!({ "listen": address, "clients": clients }))).await;
    let asked = first.request_token().unwrap().request_token(demo("items")).await;
    assert!(matches!(asked, Err(TokenRequestError::Refused { status: 401, .. })));
    drop(second);
    authenticate(&*first, &token(&*first, "items").await).await.unwrap();
}

#[tokio::test]
async fn another_provider_does_not_get_an_address_that_is_taken() {
    let first = connect(dev(&json!({}))).await;
    let address = first.issuers()[0].as_str().strip_prefix("http://").unwrap().to_owned();
    let settings = dev(&json!({ "listen": address }));
    let name = ProviderName::parse("another").unwrap();
    let context =
        Context::new(name, Arc::new(SystemClock::new()), Arc::new(Http::default()), Arc::new(Inline));
    assert!(matches!(settings.connect(context).await, Err(ConnectError::Bind { .. })));
}

#[test]
fn what_leads_away_from_the_embedded_issuer_is_refused_by_name() {
    for key in ["issuer", "jwks_uri", "token_endpoint", "client_id"] {
        let told = refused(&json!({ key: "https://other.example" }));
        assert!(told.starts_with(&format!("`{key}`: ")), "{told}");
    }
}

#[test]
fn the_org_server_is_not_for_the_kind_dev() {
    let told = refused(&json!({ "emulate": "okta", "authorization_server": "org" }));
    assert!(
        told.starts_with("`authorization_server`: tokens of the org server are for Okta alone"),
        "{told}"
    );
}

#[test]
fn an_emulation_of_auth0_cannot_be_introspected() {
    let told = refused(&json!({ "emulate": "auth0", "validate": "introspect" }));
    assert!(told.contains("Auth0 has no introspection"), "{told}");
}

#[test]
fn invariant_13_an_unknown_key_is_refused_by_name() {
    let told = refused(&json!({ "clientz": [] }));
    assert!(told.contains("`clientz`"), "{told}");
}

#[test]
fn the_settings_of_every_kind_are_taken() {
    let dev = dev(&json!({ "leeway": "5s", "role_claims": ["roles"], "map_scopes": { "theirs": "ours" } }));
    assert!(dev.outline().introspects);
}

#[test]
fn the_outline_knows_the_issuer_before_it_runs() {
    let dev = dev(&json!({ "listen": "127.0.0.1:9400", "emulate": "auth0" }));
    let outline = dev.outline();
    assert_eq!(outline.issuers, [Issuer::parse("http://127.0.0.1:9400/").unwrap()]);
    assert!(!outline.introspects);
}

#[test]
fn the_schema_holds_both_halves() {
    let schema = Dev::schema();
    let keys = schema["properties"].as_object().unwrap();
    assert!(["listen", "clients", "emulate", "leeway", "audience"].iter().all(|key| keys.contains_key(*key)));
}

/// The kind's rules before an issuer of the test kit's, which the kind itself never has: for the suite of all kinds.
#[derive(Debug, Clone)]
struct Elsewhere(Dev, Issuer);

impl<'de> Deserialize<'de> for Elsewhere {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (settings, issuer): (Value, Issuer) = Deserialize::deserialize(deserializer)?;
        Ok(Self(serde_json::from_value(settings).map_err(de::Error::custom)?, issuer))
    }
}

#[async_trait]
impl scopegate_provider::Settings for Elsewhere {
    const KIND: &'static str = "dev";

    async fn connect(self, context: Context) -> Result<Arc<dyn Provider>, ConnectError> {
        let Self(Dev { issuer, common }, name) = self;
        let tenant = Tenant::parse(&issuer).unwrap();
        Ok(OidcProvider::connect(preset_for(&issuer, &tenant, common, name, None)?, context)?)
    }

    fn outline(&self) -> Outline {
        self.0.outline()
    }
}

#[tokio::test]
async fn the_kind_conforms() {
    let emulation = scopegate_testkit::Emulation {
        discovery: json!({
            "issuer": "https://issuer.example",
            "jwks_uri": "https://issuer.example/.well-known/jwks.json",
            "token_endpoint": "https://issuer.example/token",
            "introspection_endpoint": "https://issuer.example/introspect",
            "revocation_endpoint": "https://issuer.example/revoke",
        }),
        header: json!({ "typ": "at+jwt" }),
        claims: json!({
            "sub": "demo", "client_id": "demo", "aud": API, "iat": 1_790_000_000, "exp": 1_790_003_600,
            "jti": "w3Vh0nSpv0iJcSSjtNcJN0LyaNq5CFk1bCMvFHSaTcM", "scope": "items",
        }),
    };
    let settings = |issuer: &str| json!([whole(&json!({ "algorithm": "RS256" })), issuer]);
    let http: Arc<dyn scopegate_provider::HttpClient> = Arc::new(Http::default());
    scopegate_testkit::conforms::<Elsewhere>(&emulation, &http, settings).await;
}
