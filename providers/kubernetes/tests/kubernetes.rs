//! Projected service-account tokens, as documented, against the kind `kubernetes`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed expectation fails the test")]

use std::{path::PathBuf, sync::Arc};

use scopegate_kubernetes::Kubernetes;
use scopegate_oidc::Http;
use scopegate_provider::{
    AuthnError, BearerToken, Context, Credentials, Freshness, HttpClient, Inline, KeyControl, Principal,
    Provider, ProviderName, Settings,
};
use scopegate_testkit::{Bench, Emulation, MintKey, Reply, TestClock, TestIssuer, conforms, key_set};
use serde_json::{Value, json};

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("data/", $name))
    };
}

fn claims() -> Value {
    serde_json::from_str(recorded!("access-token-claims.json")).unwrap()
}

fn emulation() -> Emulation {
    Emulation::recorded(recorded!("discovery.json"), "{}", recorded!("access-token-claims.json"))
}

fn audience() -> String {
    claims()["aud"][0].as_str().unwrap().to_owned()
}

fn settings(issuer: &str) -> Value {
    json!({ "issuer": issuer, "audience": audience() })
}

fn http() -> Arc<dyn HttpClient> {
    Arc::new(Http::default())
}

async fn connect(settings: Value) -> Arc<dyn Provider> {
    let settings: Kubernetes = serde_json::from_value(settings).unwrap();
    let name = ProviderName::parse("kubernetes").unwrap();
    let context = Context::new(name, Arc::new(TestClock::default()), http(), Arc::new(Inline));
    settings.connect(context).await.unwrap()
}

async fn ask(provider: &Arc<dyn Provider>, token: &str) -> Result<Principal, AuthnError> {
    let credentials = Credentials::bearer(BearerToken::parse(token).unwrap());
    Ok(provider.authenticate(&credentials, Freshness::Cached).await?)
}

/// A pod's own service account, on disk.
struct Pod(PathBuf);

impl Pod {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("scopegate-pod-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn rotate(&self, token: &str) {
        std::fs::write(self.0.join("token"), token).unwrap();
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_clusters_issuer_conforms() {
    conforms::<Kubernetes>(&emulation(), &http(), settings).await;
}

#[tokio::test]
async fn a_service_account_is_a_client_by_namespace_and_name() {
    let bench = Bench::new::<Kubernetes>(&emulation(), http(), settings).await;
    let principal = bench.ask(&bench.token(), Freshness::Cached).await.unwrap();
    let account = &claims()["kubernetes.io"];
    let expected = format!(
        "{}/{}",
        account["namespace"].as_str().unwrap(),
        account["serviceaccount"]["name"].as_str().unwrap()
    );
    assert_eq!(principal.client().unwrap().as_str(), expected);
}

#[tokio::test]
async fn only_listed_service_accounts_are_accepted() {
    let bench = Bench::new::<Kubernetes>(&emulation(), http(), |issuer| {
        let mut settings = settings(issuer);
        settings["service_accounts"] = json!(["shop/other"]);
        settings
    })
    .await;
    let error = bench.ask(&bench.token(), Freshness::Cached).await.unwrap_err();
    assert_eq!(error.reason(), "client_not_allowed");
}

/// V2: in a pod issuer and bearer token are the pod's own, and the token is read again as it rotates.
#[tokio::test]
async fn in_a_pod_keys_are_fetched_with_the_pods_token_as_it_rotates() {
    let api_server = TestIssuer::start().await;
    let key = MintKey::rs256("k1");
    let keys = key_set(&[&key]);
    api_server.on("/openid/v1/jwks", move |request| match request.header("authorization") {
        Some(value) if value.starts_with("Bearer ") => Reply::json(200, &keys),
        _ => Reply::json(401, &json!({})),
    });
    let issuer = "https://kubernetes.default.svc.cluster.local";
    let mut claims = claims();
    claims["iss"] = json!(issuer);
    let pod = Pod::new("rotation");
    let first = MintKey::rs256("own").token(&claims);
    pod.rotate(&first);
    let settings =
        json!({ "audience": audience(), "api_server": api_server.at(""), "service_account": pod.0 });
    let provider = connect(settings).await;
    assert_eq!(provider.issuers()[0].as_str(), issuer);
    ask(&provider, &key.token(&claims)).await.unwrap();
    let sent = || api_server.last("/openid/v1/jwks").unwrap().header("authorization").unwrap().to_owned();
    assert_eq!(sent(), format!("Bearer {first}"));
    let second = MintKey::rs256("rotated").token(&claims);
    pod.rotate(&second);
    let control: &dyn KeyControl = provider.key_control().unwrap();
    control.refresh().await.unwrap();
    assert_eq!(sent(), format!("Bearer {second}"));
}

/// V2: in an air-gapped network the key set is a file.
#[tokio::test]
async fn the_key_set_may_be_a_file() {
    let key = MintKey::rs256("k1");
    let folder = Pod::new("file");
    let file = folder.0.join("keys.json");
    std::fs::write(&file, key_set(&[&key]).to_string()).unwrap();
    let provider = connect(json!({
        "issuer": "https://oidc.eks.eu-central-1.amazonaws.com/id/0000", "audience": audience(),
        "jwks": { "file": file },
    }))
    .await;
    let mut claims = claims();
    claims["iss"] = json!("https://oidc.eks.eu-central-1.amazonaws.com/id/0000");
    ask(&provider, &key.token(&claims)).await.unwrap();
    claims.as_object_mut().unwrap().remove("exp");
    assert_eq!(ask(&provider, &key.token(&claims)).await.unwrap_err().reason(), "missing_claim");
}

#[test]
fn outside_of_a_pod_the_issuer_is_asked_for() {
    let error = serde_json::from_value::<Kubernetes>(json!({
        "audience": "orders", "service_account": "/no/such/folder",
    }))
    .unwrap_err()
    .to_string();
    assert!(error.starts_with("`issuer`: outside of a pod"), "{error}");
}

#[test]
fn the_api_servers_audience_deserves_a_warning() {
    let settings: Kubernetes = serde_json::from_value(json!({
        "issuer": "https://kubernetes.example", "audience": "https://kubernetes.default.svc",
    }))
    .unwrap();
    assert!(settings.outline().warnings.iter().any(|warning| warning.contains("API server's own")));
}

#[test]
fn a_service_account_is_written_as_namespace_and_name() {
    for account in ["web", "system:serviceaccount:shop:web", "shop/*"] {
        let settings =
            json!({ "issuer": "https://k.example", "audience": "a", "service_accounts": [account] });
        let error = serde_json::from_value::<Kubernetes>(settings).unwrap_err().to_string();
        assert!(error.contains("expected NAMESPACE/NAME"), "{error}");
    }
}
