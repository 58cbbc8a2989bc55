//! Each example in `config/providers` loads and decides on tokens like the provider's own, signed anew.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use poem::{
    EndpointExt, Route,
    endpoint::make_sync,
    http::{Method, StatusCode},
    test::TestClient,
};
use scopegate::Gate;
use scopegate_testkit::{MintKey, TestClock};
use serde_json::{Value, json};

/// A request to an example's API, and the expected status.
struct Case {
    example: &'static str,
    header: Value,
    claims: Value,
    request: (Method, &'static str),
    expected: StatusCode,
}

fn file(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Recorded claims of a provider, with changes.
fn recorded(path: &str, changes: &Value) -> Value {
    let mut claims: Value = serde_json::from_str(&file(&format!("providers/{path}"))).unwrap();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// Claims of a provider without a recording.
fn made(claims: &Value) -> Value {
    let mut all = json!({ "sub": "alice", "iat": 1_790_000_000, "exp": 1_790_000_300 });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    all
}

/// Sends the request with a token whose key the example's provider has, in place of the real provider's.
async fn status(case: &Case) -> StatusCode {
    let algorithm = if case.example == "google-iap" { Algorithm::ES256 } else { Algorithm::RS256 };
    let key = MintKey::of(algorithm, "k1");
    let mut config: Value =
        serde_saphyr::from_str(&file(&format!("config/providers/{}.yaml", case.example))).unwrap();
    for provider in config["providers"].as_object_mut().unwrap().values_mut() {
        let mut jwk = key.jwk();
        if case.header.get("x5t").is_some() {
            jwk.as_object_mut().unwrap().remove("kid");
            jwk["x5t"] = case.header["x5t"].clone();
        }
        let settings = provider.as_object_mut().unwrap();
        settings.remove("jwks_uri");
        settings.insert("jwks".to_owned(), json!({ "keys": [jwk] }));
    }
    let gate = Gate::builder().config_text(config.to_string()).clock(Arc::new(TestClock::default()));
    let gate = gate.build().await.unwrap_or_else(|error| panic!("{}: {error}", case.example));
    let app = Route::new().at("/*rest", make_sync(|_| "ok")).with(gate);
    let mut header = case.header.clone();
    header["alg"] = json!(key.algorithm());
    if header.get("x5t").is_none() {
        header["kid"] = json!("k1");
    }
    let (method, path) = case.request.clone();
    let client = TestClient::new(app);
    let request = client.request(method, path);
    let request = request.header("host", "localhost");
    let token = key.token_with(&header, &case.claims);
    // Proxies that sign in put the token into a header of their own.
    match config.pointer("/accept_token/0/header").and_then(Value::as_str) {
        Some(header) => request.header(header, token).send().await.0.status(),
        None => request.header("authorization", format!("Bearer {token}")).send().await.0.status(),
    }
}

fn case(example: &'static str, claims: Value, request: (Method, &'static str), expected: u16) -> Case {
    let expected = StatusCode::from_u16(expected).unwrap();
    Case { example, header: json!({ "typ": "JWT" }), claims, request, expected }
}

const ORDERS: (Method, &str) = (Method::GET, "/orders/7");
const DELETE: (Method, &str) = (Method::DELETE, "/orders/7");
const DEPLOY: (Method, &str) = (Method::POST, "/deployments/7");

fn with_type(typ: &Value, cases: Vec<Case>) -> Vec<Case> {
    let header = if typ.is_null() { json!({}) } else { json!({ "typ": typ }) };
    cases.into_iter().map(|case| Case { header: header.clone(), ..case }).collect()
}

fn clouds() -> Vec<Case> {
    let entra = |file: &str| recorded(&format!("entra/tests/data/{file}.json"), &json!({}));
    let cognito = |changes: &Value| recorded("cognito/tests/data/access-token-claims-user.json", changes);
    let mut cases = vec![
        case("entra", entra("access-token-claims"), ORDERS, 200),
        case("entra", entra("access-token-claims-user"), ORDERS, 200),
        case(
            "entra",
            recorded("entra/tests/data/access-token-claims.json", &json!({ "roles": [] })),
            ORDERS,
            403,
        ),
    ];
    cases.extend(with_type(
        &Value::Null,
        vec![
            case("cognito", cognito(&json!({ "scope": "orders-api/read" })), ORDERS, 200),
            case("cognito", cognito(&json!({ "scope": "orders-api/read" })), DELETE, 403),
            case("cognito", recorded("cognito/tests/data/id-token-claims.json", &json!({})), ORDERS, 401),
            case("aws-alb", cognito(&json!({ "cognito:groups": ["orders-admins"] })), ORDERS, 200),
            case("aws-alb", cognito(&json!({ "cognito:groups": ["others"] })), ORDERS, 403),
        ],
    ));
    let iap = json!({ "iss": "https://cloud.google.com/iap", "hd": "acme.example",
        "aud": "/projects/123456789012/global/backendServices/9876543210987654321" });
    let access = json!({ "iss": "https://acme.cloudflareaccess.com", "type": "app", "country": "DE",
        "aud": ["32eafc7626e737a2dcbeb5f9b1f1f1f6dc5d22b9a3dc7a2d7f6e5d4c3b2a1908"], "identity_nonce": "n" });
    let mut abroad = access.clone();
    abroad["country"] = json!("FR");
    let mut another = iap.clone();
    another["aud"] = json!("/projects/1/global/backendServices/1");
    cases.extend([
        case("google-iap", made(&iap), ORDERS, 200),
        case("google-iap", made(&another), ORDERS, 401),
        case("cloudflare-access", made(&access), ORDERS, 200),
        case("cloudflare-access", made(&abroad), ORDERS, 403),
    ]);
    cases
}

fn workloads() -> Vec<Case> {
    let api = json!({ "aud": "https://api.acme.example" });
    let github = "oidc/tests/data/fixtures/github-actions/access-token-claims.json";
    let gitlab = "oidc/tests/data/fixtures/gitlab/access-token-claims.json";
    let mut stranger = api.clone();
    stranger["repository_id"] = json!("740002");
    let spire = |name: &str| {
        made(&json!({ "iss": "https://oidc.acme.example", "aud": ["spiffe://acme.example/orders-api"],
            "sub": format!("spiffe://acme.example/ns/shop/sa/{name}") }))
    };
    let account = |name: &str| {
        json!({ "aud": ["https://api.acme.example"], "iss": "https://kubernetes.default.svc.cluster.local",
            "sub": format!("system:serviceaccount:shop:{name}") })
    };
    let kubernetes = |name: &str| recorded("kubernetes/tests/data/access-token-claims.json", &account(name));
    let mut cases = vec![
        case("github-actions", recorded(github, &api), DEPLOY, 200),
        case("github-actions", recorded(github, &stranger), DEPLOY, 403),
        case("github-actions", recorded(github, &json!({})), DEPLOY, 401),
        case("gitlab-ci", recorded(gitlab, &json!({})), DEPLOY, 200),
        case("gitlab-ci", recorded(gitlab, &json!({ "ref_protected": "false" })), DEPLOY, 403),
        case("spire", spire("web"), ORDERS, 200),
        case("spire", spire("other"), ORDERS, 403),
    ];
    cases.extend(with_type(
        &Value::Null,
        vec![
            case("kubernetes", kubernetes("web"), ORDERS, 200),
            case("kubernetes", kubernetes("other"), ORDERS, 403),
        ],
    ));
    cases
}

fn servers() -> Vec<Case> {
    let fixture =
        |path: &str, changes: Value| recorded(&format!("oidc/tests/data/fixtures/{path}"), &changes);
    let keycloak = |changes: Value| recorded("keycloak/tests/data/access-token-claims.json", &changes);
    let adfs = json!({ "iss": "http://fs.acme.example/adfs/services/trust", "appid": "web",
        "aud": "microsoft:identityserver:orders-api", "scp": "orders.read", "apptype": "Confidential" });
    let mut by_certificate = case("adfs", made(&adfs), ORDERS, 200);
    by_certificate.header["x5t"] = json!("qAT4VOkVJ_O_BO1aC3UXmS6hLG4");
    let admin = json!({ "realm_access": { "roles": ["orders-admin"] } });
    let mut cases = vec![
        by_certificate,
        case("adfs", made(&adfs), DELETE, 403),
        case("keycloak", keycloak(json!({ "scope": "orders.read" })), ORDERS, 200),
        case("keycloak", keycloak(admin), DELETE, 200),
        case(
            "keycloak",
            keycloak(json!({ "realm_access": { "roles": [] }, "resource_access": {} })),
            DELETE,
            403,
        ),
        case("zitadel", fixture("zitadel/access-token-claims.json", json!({})), ORDERS, 200),
        case("authentik", fixture("authentik/access-token-claims.json", json!({})), ORDERS, 200),
        case("authentik", fixture("authentik/access-token-claims.json", json!({})), DELETE, 403),
        case("hydra", fixture("ory-hydra/access-token-claims.json", json!({})), ORDERS, 200),
    ];
    cases.extend(with_type(
        &json!("at+jwt"),
        vec![
            case(
                "ping",
                fixture("pingone/access-token-claims.json", json!({ "scope": "orders.read" })),
                ORDERS,
                200,
            ),
            case(
                "ping",
                fixture("pingone/access-token-claims.json", json!({ "scope": "other" })),
                ORDERS,
                403,
            ),
        ],
    ));
    cases
}

fn google() -> Vec<Case> {
    let account = "oidc/tests/data/fixtures/google/id-token-claims-service-account.json";
    let good = json!({ "email": "orders@acme-project.iam.gserviceaccount.com", "email_verified": true,
        "aud": "https://api.acme.example" });
    let mut another = good.clone();
    another["email"] = json!("other@acme-project.iam.gserviceaccount.com");
    vec![
        case("google", recorded(account, &good), ORDERS, 200),
        case("google", recorded(account, &another), ORDERS, 403),
    ]
}

/// V1, V2, V3, V6 and the other providers as users meet them: every example loads, checks and decides.
#[tokio::test]
async fn every_example_of_a_provider_decides_on_its_tokens() {
    let cases: Vec<Case> = [clouds(), workloads(), servers(), google()].into_iter().flatten().collect();
    let mut wrong = Vec::new();
    for case in &cases {
        let found = status(case).await;
        if found != case.expected {
            let (method, path) = &case.request;
            wrong.push(format!("{} {method} {path}: {found}, expected {}", case.example, case.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let folder = format!("{}/config/providers", env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let example = name.trim_end_matches(".yaml");
        assert!(cases.iter().any(|case| case.example == example), "{name} has no case");
    }
}
