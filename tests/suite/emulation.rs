//! Issuers shaped like Auth0 and Okta beside a server with the kinds `auth0` and `okta`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::support::{Answer, Client, Issuer, Server, eventually};

const API: &str = "https://api.acme.example";
const CLIENT: &str = "demo:demo-secret:items";

fn auth0(arguments: &[&str]) -> Issuer {
    Issuer::start(&[&["--emulate", "auth0", "--audience", API, "--client", CLIENT], arguments].concat())
}

fn okta(arguments: &[&str]) -> Issuer {
    Issuer::start(
        &[&["--emulate", "okta", "--audience", "api://default", "--client", CLIENT], arguments].concat(),
    )
}

fn server(providers: &str) -> Server {
    Server::start(&format!(
        "
server: {{ listen: 127.0.0.1:0 }}
operations: {{ listen: 127.0.0.1:0 }}
sample_api: true
token_endpoint: true
store: {{ url: 'memory:' }}
providers:
{providers}
scopes: {{ items: Read items }}
routes: [ {{ match: GET /items/**, require: items }} ]
"
    ))
}

fn both(auth0: &Issuer, okta: &Issuer) -> Server {
    server(&format!(
        "  auth0: {{ domain: {}, audience: {API} }}\n  okta: {{ issuer: {}, audience: api://default }}",
        auth0.name, okta.name
    ))
}

async fn token(issuer: &Issuer) -> String {
    let form = format!(
        "grant_type=client_credentials&client_id=demo&client_secret=demo-secret&scope=items&audience={API}"
    );
    let answer = Client::new(&issuer.token).form("", &form).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

/// The same token with another `iss` and `typ`, the signature as it was.
fn disguised(token: &str, issuer: &str, typ: Option<&str>) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let json = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let (mut header, mut claims) = (json(parts[0]), json(parts[1]));
    match typ {
        Some(typ) => header["typ"] = typ.into(),
        None => drop(header.as_object_mut().unwrap().remove("typ")),
    }
    claims["iss"] = issuer.into();
    let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.{}", encode(&header), encode(&claims), parts[2])
}

#[tokio::test]
async fn tokens_of_both_open_items_each_with_its_own_keys_and_audience() {
    let (auth0, okta) = (auth0(&[]), okta(&[]));
    let server = both(&auth0, &okta);
    let client = Client::new(&server.url);
    for issuer in [&auth0, &okta] {
        let answer = client.get_with("/items", &token(issuer).await).await;
        assert_eq!(answer.status, 200, "{}: {answer:?}", issuer.name);
    }
}

#[tokio::test]
async fn the_token_endpoint_asks_the_provider_that_is_named() {
    let (auth0, okta) = (auth0(&[]), okta(&[]));
    let server = both(&auth0, &okta);
    let client = Client::new(&server.url);
    for name in ["auth0", "okta"] {
        let token = client.token(&format!("?provider={name}"), "demo", "demo-secret", "items").await;
        assert_eq!(client.get_with("/items", &token).await.status, 200, "{name}");
    }
    let unnamed = client.form("/token", "grant_type=client_credentials&client_id=demo&client_secret=x").await;
    assert_eq!(
        (unnamed.status, unnamed.json()["error"].as_str()),
        (400, Some("invalid_request")),
        "{unnamed:?}"
    );
}

#[tokio::test]
async fn invariant_2_a_token_of_one_presented_under_the_others_issuer_is_refused() {
    let (auth0, okta) = (auth0(&[]), okta(&[]));
    let server = both(&auth0, &okta);
    let client = Client::new(&server.url);
    for (of, as_if, typ) in [(&auth0, &okta, None), (&okta, &auth0, Some("JWT"))] {
        let answer = client.get_with("/items", &disguised(&token(of).await, &as_if.name, typ)).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(answer.json()["reason"], "unknown_key");
    }
}

#[tokio::test]
async fn an_opaque_token_of_auth0_is_refused_with_what_the_client_forgot() {
    let issuer = auth0(&[]);
    let server = server(&format!("  auth0: {{ domain: {}, audience: {API} }}", issuer.name));
    let form = "grant_type=client_credentials&client_id=demo&client_secret=demo-secret";
    let opaque =
        Client::new(&issuer.token).form("", form).await.json()["access_token"].as_str().unwrap().to_owned();
    let answer = Client::new(&server.url).get_with("/items", &opaque).await;
    assert_eq!(
        (answer.status, answer.json()["reason"].as_str()),
        (401, Some("encrypted_token")),
        "{answer:?}"
    );
    assert!(answer.text.contains("audience"), "{answer:?}");
}

#[tokio::test]
async fn while_keys_are_rotated_no_call_with_a_good_token_fails() {
    let issuer = okta(&[]);
    let provider =
        format!("  okta: {{ issuer: {}, audience: api://default, jwks: {{ cool_down: 1s }} }}", issuer.name);
    let server = server(&provider);
    let (client, control) = (Client::new(&server.url), Client::new(&issuer.origin()));
    let old = token(&issuer).await;
    for _ in 0..3 {
        assert_eq!(control.form("/dev/rotate", "").await.status / 100, 2);
        let new = token(&issuer).await;
        assert_eq!(client.get_with("/items", &old).await.status, 200);
        let answer = client.get_with("/items", &new).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn known_keys_outlast_the_issuer_and_new_ones_are_picked_up_when_it_is_back() {
    let issuer = okta(&[]);
    let address = issuer.address();
    let jwks = "jwks: { cool_down: 1s }";
    let server = server(&format!("  okta: {{ issuer: {}, audience: api://default, {jwks} }}", issuer.name));
    let client = Client::new(&server.url);
    let (first, second) = (token(&issuer).await, token(&issuer).await);
    assert_eq!(client.get_with("/items", &first).await.status, 200);
    drop(issuer);
    let never_seen = client.get_with("/items", &second).await;
    assert_eq!(never_seen.status, 200, "{never_seen:?}");
    let back = okta(&["--listen", &address]);
    let new = token(&back).await;
    let ask = async || client.get_with("/items", &new).await.status;
    eventually(ask, |status| *status == 200).await;
}

#[tokio::test]
async fn invariant_9_introspection_that_is_down_is_503_with_retry_after_and_never_an_answer() {
    let issuer = okta(&[]);
    let server = server(&format!(
        "  okta: {{ issuer: {}, audience: api://default, validate: introspect, client_id: demo, \
         client_secret: demo-secret, introspection: {{ cache: 0s }} }}",
        issuer.name
    ));
    let client = Client::new(&server.url);
    let token = token(&issuer).await;
    assert_eq!(client.get_with("/items", &token).await.status, 200);
    drop(issuer);
    let answer: Answer = client.get_with("/items", &token).await;
    assert_eq!((answer.status, answer.json()["reason"].as_str()), (503, Some("introspection_unavailable")));
    assert!(!answer.header("retry-after").is_empty());
}

/// V12: only a provider with `required: true` holds up readiness, however many providers there are.
#[tokio::test]
async fn a_provider_that_is_not_required_does_not_hold_up_readiness() {
    let issuer = okta(&[]);
    let name = issuer.name.clone();
    drop(issuer);
    let server = server(&format!("  okta: {{ issuer: {name}, audience: api://default }}"));
    let readiness = Client::new(&server.operations).get("/readyz").await;
    assert_eq!(readiness.status, 200);
    assert!(readiness.text.contains("the provider `okta` cannot verify tokens"), "{}", readiness.text);
}

#[tokio::test]
async fn a_start_while_a_required_issuer_is_away_is_not_ready_and_recovers_by_itself() {
    let issuer = okta(&[]);
    let (name, address) = (issuer.name.clone(), issuer.address());
    drop(issuer);
    let server = server(&format!("  okta: {{ issuer: {name}, audience: api://default, required: true }}"));
    let operations = Client::new(&server.operations);
    assert_eq!(operations.get("/readyz").await.status, 503);
    assert_eq!(operations.get("/healthz").await.status, 200);
    let back = okta(&["--listen", &address]);
    let token = token(&back).await;
    let client = Client::new(&server.url);
    eventually(async || client.get_with("/items", &token).await.status, |status| *status == 200).await;
    assert_eq!(operations.get("/readyz").await.status, 200);
}
