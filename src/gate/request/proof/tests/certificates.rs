//! Certificate-bound tokens (RFC 8705), from the client's own connection and from the header of a trusted proxy.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderName;
use poem::{
    Addr, Body, Endpoint, EndpointExt, Request, Response,
    endpoint::make_sync,
    web::{LocalAddr, RemoteAddr},
};
use scopegate_provider::Thumbprint;

use super::*;
use crate::{
    gate::{
        forward_auth::{Caddy, CheckService, Dialect, Envoy, ForwardAuth, Haproxy, Nginx, Traefik},
        identities::Identities,
    },
    server::ClientCertThumbprint,
};

const PROXY: &str = "10.0.0.1:80";
const CLIENT: &str = "203.0.113.9:4711";

/// A sequence of DER: the contents of a certificate are not read.
const CERTIFICATE: [u8; 5] = [0x30, 3, 2, 1, 7];
const OTHER: [u8; 5] = [0x30, 3, 2, 1, 8];

fn world() -> World {
    World::with(&json!({ "certificate_header": "Client-Cert" }), Some("https://api.example"))
}

fn print(certificate: &[u8]) -> Thumbprint {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    Thumbprint::new(digest.as_ref().try_into().unwrap())
}

fn field(certificate: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(certificate))
}

fn bound(world: &World) -> String {
    world.token(&json!({ "x5t#S256": print(&CERTIFICATE).to_string() }))
}

fn request(peer: &str, path: &str, fields: &[(&str, &str)], own: Option<&[u8]>) -> Request {
    let mut http = http::Request::builder().uri(path);
    for (name, value) in fields {
        http = http.header(HeaderName::try_from(*name).unwrap(), *value);
    }
    let (parts, ()) = http.body(()).unwrap().into_parts();
    let remote = RemoteAddr(Addr::SocketAddr(peer.parse().unwrap()));
    let parts = (parts, LocalAddr::default(), remote, http::uri::Scheme::HTTPS).into();
    let mut request = Request::from_parts(parts, Body::empty());
    if let Some(own) = own {
        request.set_data(ClientCertThumbprint(print(own)));
    }
    request
}

/// Returns the reason of a refusal; an empty text for a permit.
async fn reason_of(response: Response) -> String {
    if response.status().is_success() {
        return String::new();
    }
    let problem = response.headers().get("x-scopegate-problem").cloned();
    let body: Value = match problem {
        Some(relayed) => {
            let relayed =
                base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(relayed.as_bytes()).unwrap();
            serde_json::from_slice(&relayed).unwrap()
        }
        None => response.into_body().into_json().await.unwrap(),
    };
    body["reason"].as_str().unwrap().to_owned()
}

/// Sends a request through the gate as middleware.
async fn send(world: &World, peer: &str, fields: &[(&str, &str)], own: Option<&[u8]>) -> String {
    let token = format!("Bearer {}", bound(world));
    let fields = [&[("host", "api.example"), ("authorization", &*token)], fields].concat();
    let endpoint = make_sync(|_| "passed").with(world.gate.clone());
    reason_of(endpoint.get_response(request(peer, "/items/7", &fields, own)).await).await
}

#[tokio::test]
async fn a_bound_token_passes_with_the_certificate_of_its_own_connection() {
    let world = world();
    assert_eq!(send(&world, CLIENT, &[], Some(&CERTIFICATE)).await, "");
    assert_eq!(send(&world, CLIENT, &[], Some(&OTHER)).await, "proof_key_mismatch");
    assert_eq!(send(&world, CLIENT, &[], None).await, "sender_constrained");
    assert_eq!(send(&world, CLIENT, &[], Some(&CERTIFICATE)).await, "", "also when it is cached");
}

#[tokio::test]
async fn a_bound_token_passes_with_the_certificate_that_a_trusted_proxy_forwards() {
    let world = world();
    assert_eq!(send(&world, PROXY, &[("client-cert", &field(&CERTIFICATE))], None).await, "");
    assert_eq!(send(&world, PROXY, &[("client-cert", &field(&OTHER))], None).await, "proof_key_mismatch");
    assert_eq!(send(&world, PROXY, &[("client-cert", "")], None).await, "sender_constrained");
    assert_eq!(send(&world, PROXY, &[("client-cert", "x")], None).await, "invalid_client_certificate");
}

/// T3.1: the header of a client itself is not read, with or without a certificate of its own.
#[tokio::test]
async fn a_client_cannot_send_the_header_itself() {
    let world = world();
    let fields = [("client-cert", &*field(&CERTIFICATE))];
    assert_eq!(send(&world, CLIENT, &fields, None).await, "sender_constrained");
    assert_eq!(send(&world, CLIENT, &fields, Some(&OTHER)).await, "proof_key_mismatch");
}

/// T3.2: two headers refuse the token, in whatever spelling: one may be the client's.
#[tokio::test]
async fn two_headers_in_any_spelling_are_refused() {
    let world = world();
    let value = field(&CERTIFICATE);
    for second in ["client-cert", "client_cert"] {
        let fields = [("client-cert", &*value), (second, &*value)];
        assert_eq!(send(&world, PROXY, &fields, None).await, "invalid_client_certificate", "{second}");
    }
}

/// T3.4: the certificate of the proxy's own connection is not that of its client.
#[tokio::test]
async fn the_certificate_of_a_trusted_proxy_is_not_its_clients() {
    let world = world();
    assert_eq!(send(&world, PROXY, &[], Some(&CERTIFICATE)).await, "sender_constrained");
}

/// T2.8: a token that is bound to a key and a certificate needs both proofs.
#[tokio::test]
async fn a_token_with_two_bindings_needs_both_proofs() {
    let world = world();
    let both = json!({ "jkt": thumbprint(&world.client), "x5t#S256": print(&CERTIFICATE).to_string() });
    let token = world.token(&both);
    let proof = |id: &str| world.proof_with(&token, &json!({ "jti": id }));
    let endpoint = make_sync(|_| "passed").with(world.gate.clone());
    let send = async |scheme: &str, proof: Option<String>, own: Option<&[u8]>| {
        let value = format!("{scheme} {token}");
        let mut fields = vec![("host", "api.example"), ("authorization", &*value)];
        fields.extend(proof.as_deref().map(|proof| ("dpop", proof)));
        reason_of(endpoint.get_response(request(CLIENT, "/items/7", &fields, own)).await).await
    };
    assert_eq!(send("DPoP", Some(proof("1")), Some(&CERTIFICATE)).await, "");
    assert_eq!(send("DPoP", Some(proof("2")), None).await, "sender_constrained");
    assert_eq!(send("DPoP", Some(proof("3")), Some(&OTHER)).await, "proof_key_mismatch");
    assert_eq!(send("Bearer", None, Some(&CERTIFICATE)).await, "sender_constrained");
    assert_eq!(send("DPoP", None, Some(&CERTIFICATE)).await, "invalid_dpop_proof");
}

/// STANDARDS 2.3: Auth0 calls tokens that are bound to a certificate `DPoP`, too: the certificate is the proof.
#[tokio::test]
async fn a_certificate_proves_a_token_that_was_sent_with_the_scheme_dpop() {
    let world = world();
    let value = format!("DPoP {}", bound(&world));
    let endpoint = make_sync(|_| "passed").with(world.gate.clone());
    let fields = [("host", "api.example"), ("authorization", &*value)];
    let response = endpoint.get_response(request(CLIENT, "/items/7", &fields, Some(&CERTIFICATE))).await;
    assert_eq!(reason_of(response).await, "");
}

/// The parts by which the dialects tell the original request.
const METADATA: [(&str, &str); 11] = [
    ("x-original-method", "GET"),
    ("x-original-url", "https://api.example/items/7"),
    ("x-forwarded-method", "GET"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "api.example"),
    ("x-forwarded-uri", "/items/7"),
    ("x-scopegate-method", "GET"),
    ("x-scopegate-scheme", "https"),
    ("x-scopegate-host", "api.example"),
    ("x-scopegate-uri", "/items/7"),
    ("host", "api.example"),
];

async fn ask(world: &World, dialect: impl Dialect, fields: &[(&str, &str)], own: Option<&[u8]>) -> String {
    let policy = world.gate.current().policy().clone();
    let identities = Identities::of_policy(&serde_json::from_value(json!({})).unwrap(), &policy).unwrap();
    let trusted = serde_json::from_value(json!(["10.0.0.0/8"])).unwrap();
    let endpoint = ForwardAuth::new(CheckService::new(world.gate.clone(), identities), trusted, dialect);
    let fields = [&METADATA[..], fields].concat();
    reason_of(endpoint.get_response(request(PROXY, "/auth/items/7", &fields, own)).await).await
}

/// Asks in each dialect, and returns the one answer of all.
async fn ask_all(
    world: &World,
    fields: impl Fn(usize) -> Vec<(&'static str, String)>,
    own: Option<&[u8]>,
) -> String {
    let mut answers = Vec::new();
    for number in 0..5 {
        let fields = fields(number);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
        answers.push(match number {
            0 => ask(world, Nginx, &fields, own).await,
            1 => ask(world, Traefik, &fields, own).await,
            2 => ask(world, Caddy, &fields, own).await,
            3 => ask(world, Haproxy, &fields, own).await,
            _ => ask(world, Envoy::at("/auth"), &fields, own).await,
        });
    }
    let first = answers[0].clone();
    assert!(answers.iter().all(|answer| *answer == first), "{answers:?}");
    first
}

/// T3.1, T3.4: each dialect reads the header of the proxy and nothing else.
#[tokio::test]
async fn every_dialect_takes_the_certificate_from_the_header() {
    let world = world();
    let with = |value: Option<String>| {
        let token = format!("Bearer {}", bound(&world));
        move |_: usize| {
            let own = value.clone().map(|value| ("client-cert", value));
            [("authorization", token.clone())].into_iter().chain(own).collect()
        }
    };
    assert_eq!(ask_all(&world, with(Some(field(&CERTIFICATE))), None).await, "");
    assert_eq!(ask_all(&world, with(Some(field(&OTHER))), None).await, "proof_key_mismatch");
    assert_eq!(ask_all(&world, with(Some(String::new())), None).await, "sender_constrained");
    assert_eq!(ask_all(&world, with(None), Some(&CERTIFICATE)).await, "sender_constrained");
}

/// T2.6: each dialect compares `htu` with the URL that the client called, and takes a proof once.
#[tokio::test]
async fn every_dialect_verifies_proofs_for_the_url_that_the_client_called() {
    let world = World::with(&json!({}), None);
    let token = world.bound();
    let with = |url: &'static str| {
        let world = &world;
        let token = &token;
        move |number: usize| {
            let proof = world.proof_with(token, &json!({ "htu": url, "jti": format!("{url}{number}") }));
            vec![("authorization", format!("DPoP {token}")), ("dpop", proof)]
        }
    };
    let called = "https://api.example/items/7";
    assert_eq!(ask_all(&world, with(called), None).await, "");
    assert_eq!(ask_all(&world, with(called), None).await, "invalid_dpop_proof", "they were used");
    for other in ["http://api.example/items/7", "https://10.0.0.1/auth/items/7", "https://api.example/items"]
    {
        assert_eq!(ask_all(&world, with(other), None).await, "invalid_dpop_proof", "{other}");
    }
}
