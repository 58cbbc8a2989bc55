//! Entra ID's tokens, keys and metadata, as documented, against the kind `entra`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed expectation fails the test")]

use std::sync::Arc;

use scopegate_entra::Entra;
use scopegate_oidc::Http;
use scopegate_provider::{
    AuthnError, BearerToken, Context, Credentials, Freshness, HttpClient, Inline, Principal, Provider,
    ProviderName, Settings,
};
use scopegate_testkit::{Bench, Emulation, MintKey, Reply, TestClock, TestIssuer, conforms, key_set};
use serde_json::{Value, json};

const TENANT: &str = "3f0c1a52-7e7b-4f1e-9a55-0d2b6c8e1f90";
const OTHER: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
const API: &str = "8d1f6a0e-2a6c-4a38-9c39-1f5b7c0a4d11";

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("data/", $name))
    };
}

fn emulation(claims: &str) -> Emulation {
    Emulation::recorded(recorded!("discovery.json"), recorded!("jose-header-v2.json"), claims)
}

fn settings(issuer: &str) -> Value {
    json!({ "issuer": issuer, "audience": API })
}

fn http() -> Arc<dyn HttpClient> {
    Arc::new(Http::default())
}

async fn accepted(claims: &str) -> Principal {
    let bench = Bench::new::<Entra>(&emulation(claims), http(), settings).await;
    bench.ask(&bench.token(), Freshness::Cached).await.unwrap()
}

fn refused(settings: Value) -> String {
    serde_json::from_value::<Entra>(settings).unwrap_err().to_string()
}

#[tokio::test]
async fn a_single_tenant_conforms() {
    conforms::<Entra>(&emulation(recorded!("access-token-claims.json")), &http(), settings).await;
}

#[tokio::test]
async fn an_applications_token_carries_roles_and_a_users_token_scopes() {
    let application = accepted(recorded!("access-token-claims.json")).await;
    assert_eq!(application.roles()[0].as_str(), "Orders.Read.All");
    assert!(application.scopes().is_empty());
    let user = accepted(recorded!("access-token-claims-user.json")).await;
    assert!(!user.scopes().is_empty());
}

/// V10: groups that Entra ID left out are a fact about the token.
#[tokio::test]
async fn groups_that_were_left_out_are_reported() {
    assert!(accepted(recorded!("access-token-claims-user-groups-overage.json")).await.groups_omitted());
    assert!(!accepted(recorded!("access-token-claims-user.json")).await.groups_omitted());
}

#[tokio::test]
async fn applications_and_users_are_told_apart_where_the_settings_ask_for_it() {
    let application = recorded!("access-token-claims.json");
    let user = recorded!("access-token-claims-user.json");
    for (callers, good, bad) in [("applications", application, user), ("users", user, application)] {
        let settings = |issuer: &str| json!({ "issuer": issuer, "audience": API, "callers": callers });
        let bench = Bench::new::<Entra>(&emulation(good), http(), settings).await;
        bench.ask(&bench.token(), Freshness::Cached).await.unwrap();
        let bench = Bench::new::<Entra>(&emulation(bad), http(), settings).await;
        let error = bench.ask(&bench.token(), Freshness::Cached).await.unwrap_err();
        assert_eq!(error.reason(), "client_not_allowed");
    }
}

#[tokio::test]
async fn an_id_token_without_a_nonce_is_refused_as_one() {
    let bench =
        Bench::new::<Entra>(&emulation(recorded!("access-token-claims.json")), http(), settings).await;
    let token = bench.token_with(|_, claims| {
        for name in ["azp", "roles"] {
            claims.as_object_mut().unwrap().remove(name);
        }
        claims["preferred_username"] = json!("ada@acme.example");
    });
    assert_eq!(bench.ask(&token, Freshness::Cached).await.unwrap_err().reason(), "id_token");
}

/// An issuer like `login.microsoftonline.com`, with shared and single metadata.
struct Cloud {
    issuer: TestIssuer,
    key: MintKey,
    clock: Arc<TestClock>,
}

impl Cloud {
    async fn start() -> Self {
        let issuer = TestIssuer::start().await;
        let this = Self { issuer, key: MintKey::rs256("k1"), clock: Arc::new(TestClock::default()) };
        for tenant in [TENANT, OTHER] {
            let own = |path: &str| this.issuer.at(&format!("/{tenant}/{path}"));
            this.serves(&format!("/{tenant}/v2.0"), &own("v2.0"), "/keys");
            this.serves(&format!("/{tenant}"), &own(""), "/keys");
        }
        this.serves("/common/v2.0", &this.issuer.at("/{tenantid}/v2.0"), "/keys");
        this.serves("/common", &this.issuer.at("/{tenantid}/"), "/keys");
        this.publish("/keys", &[(&this.key, Some("{tenantid}"))]);
        this
    }

    fn serves(&self, place: &str, issuer: &str, keys: &str) {
        let document = json!({ "issuer": issuer, "jwks_uri": self.issuer.at(keys) });
        let path = format!("{place}/.well-known/openid-configuration");
        self.issuer.on(&path, move |_| Reply::json(200, &document));
    }

    /// Publishes keys, each for a tenant or for all.
    fn publish(&self, path: &str, keys: &[(&MintKey, Option<&str>)]) {
        let mut document = key_set(&keys.iter().map(|(key, _)| *key).collect::<Vec<_>>());
        for (index, (_, tenant)) in keys.iter().enumerate() {
            document["keys"][index].as_object_mut().unwrap().remove("alg");
            if let Some(tenant) = tenant {
                document["keys"][index]["issuer"] = json!(self.issuer.at(&format!("/{tenant}/v2.0")));
            }
        }
        self.issuer.on(path, move |_| Reply::json(200, &document));
    }

    async fn provider(&self, more: Value) -> Arc<dyn Provider> {
        let mut settings = json!({ "authority": self.issuer.at(""), "audience": API });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let settings: Entra = serde_json::from_value(settings).unwrap();
        let name = ProviderName::parse("entra").unwrap();
        let context = Context::new(name, self.clock.clone(), http(), Arc::new(Inline));
        let provider = settings.connect(context).await.unwrap();
        provider.health().unwrap().ready().await;
        provider
    }

    /// A token whose issuer names one tenant and whose `tid` another.
    fn token_of(&self, key: &MintKey, tenant: &str, tid: &str) -> String {
        let mut claims: Value = serde_json::from_str(recorded!("access-token-claims.json")).unwrap();
        claims["iss"] = json!(self.issuer.at(&format!("/{tenant}/v2.0")));
        claims["tid"] = json!(tid);
        key.token(&claims)
    }
}

async fn ask(provider: &Arc<dyn Provider>, token: &str) -> Result<Principal, AuthnError> {
    let credentials = Credentials::bearer(BearerToken::parse(token).unwrap());
    Ok(provider.authenticate(&credentials, Freshness::Cached).await?)
}

/// V3: a registration for any tenant takes each tenant's tokens, under that tenant's issuer.
#[tokio::test]
async fn any_tenant_is_accepted_under_its_own_issuer() {
    let cloud = Cloud::start().await;
    let provider = cloud.provider(json!({ "tenants": "any" })).await;
    for tenant in [TENANT, OTHER] {
        let token = cloud.token_of(&cloud.key, tenant, tenant);
        assert!(provider.serves(&cloud.issuer.at(&format!("/{tenant}/v2.0"))));
        let principal = ask(&provider, &token).await.unwrap();
        assert_eq!(principal.issuer().as_str(), cloud.issuer.at(&format!("/{tenant}/v2.0")));
    }
    assert!(!provider.serves(&cloud.issuer.at("/common/v2.0")) && !provider.serves("https://evil.example"));
}

/// V3: a token of version 1.0 names another issuer of the same tenant.
#[tokio::test]
async fn both_token_versions_of_any_tenant_are_accepted() {
    let cloud = Cloud::start().await;
    let provider = cloud.provider(json!({ "tenants": "any" })).await;
    let mut claims: Value = serde_json::from_str(recorded!("access-token-claims-v1.json")).unwrap();
    claims["iss"] = json!(cloud.issuer.at(&format!("/{TENANT}/")));
    claims["aud"] = json!(format!("api://{API}"));
    let principal = ask(&provider, &cloud.key.token(&claims)).await.unwrap();
    assert_eq!(principal.client().unwrap().as_str(), claims["appid"].as_str().unwrap());
}

/// V3: the issuer is bound to `tid`.
#[tokio::test]
async fn a_token_whose_tid_is_another_tenant_is_refused() {
    let cloud = Cloud::start().await;
    for tenants in [json!("any"), json!([TENANT, OTHER])] {
        let provider = cloud.provider(json!({ "tenants": tenants })).await;
        let error = ask(&provider, &cloud.token_of(&cloud.key, TENANT, OTHER)).await.unwrap_err();
        assert_eq!(error.reason(), "required_claim");
    }
}

/// V3: a tenant that is not on the list is refused, whoever signed.
#[tokio::test]
async fn a_tenant_that_is_not_listed_is_refused() {
    let cloud = Cloud::start().await;
    let provider = cloud.provider(json!({ "tenants": [TENANT] })).await;
    ask(&provider, &cloud.token_of(&cloud.key, TENANT, TENANT)).await.unwrap();
    let error = ask(&provider, &cloud.token_of(&cloud.key, OTHER, OTHER)).await.unwrap_err();
    assert_eq!(error.reason(), "issuer_mismatch");
}

/// V3: a key that Microsoft publishes for one tenant signs no token of another.
#[tokio::test]
async fn a_key_of_one_tenant_signs_for_no_other() {
    let cloud = Cloud::start().await;
    let personal = MintKey::rsa(1, jsonwebtoken::Algorithm::RS256, "k2");
    cloud.publish("/keys", &[(&cloud.key, Some("{tenantid}")), (&personal, Some(OTHER))]);
    let provider = cloud.provider(json!({ "tenants": "any" })).await;
    ask(&provider, &cloud.token_of(&personal, OTHER, OTHER)).await.unwrap();
    let error = ask(&provider, &cloud.token_of(&personal, TENANT, TENANT)).await.unwrap_err();
    assert_eq!(error.reason(), "unknown_key");
}

/// Two user flows of B2C share one issuer and have key sets of their own.
#[tokio::test]
async fn two_user_flows_with_one_issuer_and_two_key_sets_are_accepted() {
    let cloud = Cloud::start().await;
    let second = MintKey::rsa(1, jsonwebtoken::Algorithm::RS256, "k2");
    let issuer = cloud.issuer.at(&format!("/{TENANT}/v2.0/"));
    for (flow, key) in [("B2C_1_signin", &cloud.key), ("B2C_1_reset", &second)] {
        let keys = format!("/{flow}/keys");
        cloud.serves(&format!("/{TENANT}/{flow}/v2.0"), &issuer, &keys);
        cloud.publish(&keys, &[(key, None)]);
    }
    let flows = json!(["B2C_1_signin", "B2C_1_reset"]);
    let domain = cloud.issuer.at("");
    let provider = cloud.provider(json!({ "domain": domain, "tenant": TENANT, "user_flows": flows })).await;
    let mut claims: Value = serde_json::from_str(recorded!("access-token-claims-user.json")).unwrap();
    claims["iss"] = json!(issuer);
    claims.as_object_mut().unwrap().remove("tid");
    for key in [&cloud.key, &second] {
        ask(&provider, &key.token(&claims)).await.unwrap();
    }
    let stranger = MintKey::rsa(2, jsonwebtoken::Algorithm::RS256, "k2");
    assert_eq!(ask(&provider, &stranger.token(&claims)).await.unwrap_err().reason(), "signature_invalid");
}

fn issuers(settings: Value) -> Vec<String> {
    let settings: Entra = serde_json::from_value(settings).unwrap();
    settings.outline().issuers.iter().map(ToString::to_string).collect()
}

#[test]
fn the_issuers_of_a_tenant_are_those_of_both_token_versions() {
    let expected = [
        format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
        format!("https://sts.windows.net/{TENANT}/"),
    ];
    assert_eq!(issuers(json!({ "tenant": TENANT, "audience": API })), expected);
    for issuer in &expected {
        assert_eq!(issuers(json!({ "issuer": issuer, "audience": API })), expected);
    }
    let external = json!({ "tenant": TENANT, "domain": "acme.ciamlogin.com", "audience": API });
    assert_eq!(issuers(external), [format!("https://{TENANT}.ciamlogin.com/{TENANT}/v2.0")]);
}

#[test]
fn the_audience_counts_as_id_and_as_uri() {
    let settings: Entra = serde_json::from_value(json!({ "tenant": TENANT, "audience": API })).unwrap();
    let audiences: Vec<String> = settings.outline().audiences.iter().map(ToString::to_string).collect();
    assert_eq!(audiences, [API.to_owned(), format!("api://{API}")]);
}

#[test]
fn settings_that_cannot_work_are_refused_by_key() {
    let cases = [
        (json!({ "audience": API }), "`tenant`: expected the Directory (tenant) ID"),
        (json!({ "tenant": TENANT }), "`audience`: expected the Application (client) ID"),
        (
            json!({ "tenant": "common", "audience": API }),
            "`tenant`: `common` is not a tenant; write `tenants: any`",
        ),
        (json!({ "tenant": "acme.onmicrosoft.com", "audience": API }), "found `acme.onmicrosoft.com`"),
        (json!({ "tenant": TENANT, "tenants": "any", "audience": API }), "exclude each other"),
        (json!({ "tenants": [], "audience": API }), "`tenants`: expected"),
        (
            json!({ "tenant": TENANT, "audience": API, "validate": "introspect" }),
            "Entra ID has no introspection",
        ),
    ];
    for (settings, expected) in cases {
        let error = refused(settings);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn any_tenant_deserves_a_warning() {
    let settings: Entra = serde_json::from_value(json!({ "tenants": "any", "audience": API })).unwrap();
    assert!(settings.outline().warnings[0].starts_with("`tenants: any`"));
}
