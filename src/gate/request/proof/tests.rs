mod certificates;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, header};
use scopegate_oidc::{Dpop, Http, OidcProvider};
use scopegate_provider::{Context, Inline, ProviderName, Timestamp, VerifyProof};
use scopegate_testkit::{MintKey, TestClock, base64url};
use serde_json::{Value, json};

use crate::{
    authenticator::{Authenticator, AuthenticatorError, Connected, NoRevocations, VerifiedTokens},
    gate::{Gate, GateSettings, Permit, PublicOrigin, State},
    policy::{RawTarget, Scheme, Target},
    problem::Problem,
    testing,
};

const NOW: i64 = 1_796_000_000;

/// A gate whose only provider has one key, and the client that calls it.
struct World {
    gate: Gate,
    clock: Arc<TestClock>,
    issuer: MintKey,
    client: MintKey,
}

/// The parts of a request that a test varies.
struct Call {
    token: String,
    scheme: &'static str,
    proofs: Vec<String>,
    method: Method,
    host: &'static str,
    path: &'static str,
}

impl World {
    fn new() -> Self {
        Self::with(&json!({}), Some("https://api.example"))
    }

    fn with(proof: &Value, public_url: Option<&str>) -> Self {
        let clock = Arc::new(TestClock::at(Timestamp::from_seconds(NOW)));
        let issuer = MintKey::es256("k");
        let settings = serde_json::from_value(json!({
            "issuer": "https://id.example",
            "audience": "api",
            "jwks": { "keys": [issuer.jwk()] },
            "proof": proof,
        }));
        let name = ProviderName::parse("id").unwrap();
        let context = Context::new(name.clone(), clock.clone(), Arc::new(Http::default()), Arc::new(Inline));
        let provider = OidcProvider::connect(settings.unwrap(), context).unwrap();
        let policy = testing::policy(&json!([
            { "match": "/items/**", "allow": "authenticated" },
            { "match": "POST /pay", "require": { "proof": "dpop" } },
        ]));
        let tokens = VerifiedTokens::new(64);
        let authenticator = Authenticator::new(
            vec![Connected::new(name, provider)],
            tokens,
            Arc::new(NoRevocations),
            clock.clone(),
        );
        let url: Option<Box<str>> = public_url.map(Into::into);
        let public_origin = PublicOrigin { at_callers_host: url.is_none(), url };
        let trusted_proxies = serde_json::from_value(json!(["10.0.0.0/8"])).unwrap();
        let settings = GateSettings { public_origin, trusted_proxies, ..GateSettings::default() };
        let state = State::new(Arc::new(policy), authenticator.unwrap(), settings);
        Self { gate: Gate::new(state), clock, issuer, client: MintKey::es256("c") }
    }

    /// Returns a token with this `cnf`.
    fn token(&self, confirmation: &Value) -> String {
        let mut claims = json!({
            "iss": "https://id.example", "aud": "api", "sub": "u", "iat": NOW, "exp": NOW + 3600,
        });
        if !confirmation.is_null() {
            claims["cnf"] = confirmation.clone();
        }
        self.issuer.token(&claims)
    }

    fn bound(&self) -> String {
        self.token(&json!({ "jkt": thumbprint(&self.client) }))
    }

    fn proof_with(&self, token: &str, changes: &Value) -> String {
        let mut claims = json!({
            "jti": "1", "htm": "GET", "htu": "https://api.example/items/7", "iat": NOW,
            "ath": hash(token),
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        made_by(&self.client, &claims)
    }

    /// Returns a good call whose proof has this identifier.
    fn call(&self, id: &str) -> Call {
        let token = self.bound();
        let proofs = vec![self.proof_with(&token, &json!({ "jti": id }))];
        Call { token, scheme: "DPoP", proofs, method: Method::GET, host: "api.example", path: "/items/7" }
    }

    async fn send(&self, call: &Call) -> Result<Permit, Problem> {
        let target = Target::parse(RawTarget {
            method: &call.method,
            scheme: Scheme::Https,
            authority: None,
            hosts: [call.host],
            path_and_query: call.path.as_bytes(),
        });
        let mut headers = HeaderMap::new();
        let value = format!("{} {}", call.scheme, call.token);
        headers.insert(header::AUTHORIZATION, HeaderValue::try_from(value).unwrap());
        for proof in &call.proofs {
            headers.append("dpop", HeaderValue::try_from(proof).unwrap());
        }
        self.gate.authorize(&target.unwrap(), &headers).await.map_err(|refusal| refusal.problem)
    }

    /// Returns the reason of a refusal; an empty text for a permit.
    async fn reason(&self, call: &Call) -> &'static str {
        self.send(call).await.map_or_else(|problem| problem.reason().as_str(), |_| "")
    }
}

fn made_by(key: &MintKey, claims: &Value) -> String {
    let header = json!({ "typ": "dpop+jwt", "alg": key.header()["alg"], "jwk": key.jwk() });
    key.token_with(&header, claims)
}

fn thumbprint(key: &MintKey) -> String {
    let proof = made_by(key, &json!({}));
    Dpop::default().claimed_key(proof.as_bytes()).unwrap().to_string()
}

fn hash(token: &str) -> String {
    base64url(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes()))
}

fn challenge(problem: &Problem) -> String {
    problem.www_authenticate().unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_bound_token_with_its_proof_passes() {
    let world = World::new();
    let permit = world.send(&world.call("1")).await.unwrap();
    assert!(permit.credentials.unwrap().proof.key.is_some());
}

/// T2.1: a bound token with the scheme `Bearer` is refused, with and without a proof.
#[tokio::test]
async fn the_binding_decides_and_not_the_scheme() {
    let world = World::new();
    let call = Call { scheme: "Bearer", ..world.call("1") };
    assert_eq!(world.reason(&call).await, "sender_constrained");
    let refused = world.send(&Call { proofs: Vec::new(), ..call }).await.unwrap_err();
    let challenge = challenge(&refused);
    assert!(challenge.starts_with(r#"Bearer error="invalid_token", resource_metadata="#), "{challenge}");
    assert!(challenge.ends_with(r#", DPoP algs="ES256 ES384 RS256 PS256 EdDSA""#), "{challenge}");
}

/// T2.2: a proof by another key than the bound one is refused.
#[tokio::test]
async fn a_thief_cannot_use_a_key_of_its_own() {
    let world = World::new();
    let token = world.bound();
    let thief = World { client: MintKey::es256("t"), ..World::new() };
    let proofs = vec![thief.proof_with(&token, &json!({}))];
    let refused = world.send(&Call { token, proofs, ..world.call("1") }).await.unwrap_err();
    assert_eq!(refused.reason().as_str(), "proof_key_mismatch");
    assert!(challenge(&refused).contains(r#"DPoP error="invalid_token""#), "{}", challenge(&refused));
}

/// T2.3: a bound token needs its proof, though no setting mentions DPoP.
#[tokio::test]
async fn a_bound_token_without_a_proof_is_refused_whatever_is_configured() {
    for proof in [json!({}), json!({ "dpop": {} })] {
        let world = World::with(&proof, None);
        let refused = world.send(&Call { proofs: Vec::new(), ..world.call("1") }).await.unwrap_err();
        assert_eq!(refused.reason().as_str(), "invalid_dpop_proof");
        assert!(challenge(&refused).contains(r#"DPoP error="invalid_dpop_proof""#));
    }
}

/// T2.4, T2.13: a proof is accepted once, also where a proxy repeats the request.
#[tokio::test]
async fn a_proof_cannot_be_used_twice() {
    let world = World::new();
    let call = world.call("1");
    assert_eq!(world.reason(&call).await, "");
    let refused = world.send(&call).await.unwrap_err();
    assert!(refused.description().contains("used before"), "{refused}");
    assert_eq!(world.reason(&world.call("2")).await, "");
    world.clock.advance(Duration::from_secs(90));
    assert_eq!(world.reason(&call).await, "invalid_dpop_proof", "it has expired when it is forgotten");
}

/// T2.6: `htu` is the URL that the client called, in which the configured origin counts.
#[tokio::test]
async fn the_url_of_the_proof_is_the_one_that_the_client_called() {
    let world = World::new();
    let token = world.bound();
    for (url, expected) in [
        ("https://api.example/items/7/", ""),
        ("https://API.example:443/items/%37", ""),
        ("http://api.example/items/7", "invalid_dpop_proof"),
        ("https://api.example/prefix/items/7", "invalid_dpop_proof"),
        ("https://api.example/items/7?a=b", "invalid_dpop_proof"),
    ] {
        let proofs = vec![world.proof_with(&token, &json!({ "htu": url, "jti": url }))];
        let call = Call { token: token.clone(), proofs, ..world.call("1") };
        assert_eq!(world.reason(&call).await, expected, "{url}");
    }
}

/// T2.7: a host that the client writes itself does not move `htu`.
#[tokio::test]
async fn a_host_header_does_not_move_the_url_of_the_proof() {
    let world = World::new();
    let token = world.bound();
    let elsewhere = json!({ "htu": "https://evil.example/items/7" });
    let proofs = vec![world.proof_with(&token, &elsewhere)];
    let call = Call { token, proofs, host: "evil.example", ..world.call("1") };
    assert_eq!(world.reason(&call).await, "invalid_dpop_proof");
}

/// T2.8: a binding that cannot be checked refuses the token.
#[tokio::test]
async fn a_binding_of_unknown_members_only_refuses_the_token() {
    let world = World::new();
    let jkt = thumbprint(&world.client);
    let both = json!({ "jkt": jkt, "x5t#S256": jkt });
    for confirmation in [json!({ "kid": "x" }), json!({}), json!({ "jkt": 7 }), json!([]), both] {
        let token = world.token(&confirmation);
        let proofs = vec![world.proof_with(&token, &json!({}))];
        let call = Call { token, proofs, ..world.call("1") };
        assert_eq!(world.reason(&call).await, "sender_constrained", "{confirmation}");
    }
    let token = world.token(&json!({ "jkt": jkt, "kid": "x" }));
    let proofs = vec![world.proof_with(&token, &json!({}))];
    assert_eq!(world.reason(&Call { token, proofs, ..world.call("1") }).await, "");
}

/// T2.9: a private key, an access token or the proof of a token request is no proof.
#[tokio::test]
async fn what_is_not_a_proof_is_refused() {
    let world = World::new();
    let token = world.bound();
    let mut jwk = world.client.jwk();
    jwk["d"] = "AQAB".into();
    let private = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
    let good = json!({ "jti": "1", "htm": "GET", "htu": "https://api.example/items/7", "iat": NOW, "ath": hash(&token) });
    for proof in [
        world.client.token_with(&private, &good),
        world.proof_with(&token, &json!({ "ath": null })),
        world.bound(),
        "x".to_owned(),
        String::new(),
    ] {
        let call = Call { token: token.clone(), proofs: vec![proof.clone()], ..world.call("1") };
        assert_eq!(world.reason(&call).await, "invalid_dpop_proof", "{proof}");
    }
    let two = [world.call("1").proofs, world.call("1").proofs].concat();
    assert_eq!(world.reason(&Call { proofs: two, ..world.call("1") }).await, "invalid_dpop_proof");
}

/// T2.11: a route that requires DPoP refuses a token that is not bound, whatever the provider does.
#[tokio::test]
async fn a_route_can_require_a_bound_token() {
    let world = World::new();
    let token = world.token(&Value::Null);
    let pay = Call { token, scheme: "Bearer", method: Method::POST, path: "/pay", ..world.call("1") };
    let refused = world.send(&pay).await.unwrap_err();
    assert_eq!((refused.status().as_u16(), refused.reason().as_str()), (401, "proof_required"));
    assert!(challenge(&refused).contains(", DPoP algs="), "{}", challenge(&refused));
}

/// T2.14: a cached token needs a proof with each request.
#[tokio::test]
async fn a_cached_token_still_needs_a_new_proof() {
    let world = World::new();
    let token = world.bound();
    let with = |changes: Value| Call {
        proofs: vec![world.proof_with(&token, &changes)],
        token: token.clone(),
        ..world.call("1")
    };
    assert_eq!(world.reason(&with(json!({ "jti": "1" }))).await, "");
    assert_eq!(world.reason(&with(json!({ "jti": "2" }))).await, "");
    assert_eq!(world.reason(&with(json!({ "jti": "3", "htm": "POST" }))).await, "invalid_dpop_proof");
    let bare = Call { proofs: Vec::new(), scheme: "Bearer", ..with(json!({})) };
    assert_eq!(world.reason(&bare).await, "sender_constrained");
}

#[tokio::test]
async fn an_unbound_token_is_refused_with_the_scheme_dpop() {
    let world = World::new();
    let token = world.token(&Value::Null);
    let call = Call { token, ..world.call("1") };
    assert_eq!(world.reason(&call).await, "token_not_bound");
    assert_eq!(world.reason(&Call { scheme: "Bearer", ..call }).await, "", "its proof is not looked at");
}

#[tokio::test]
async fn a_nonce_is_asked_for_once_and_then_accepted() {
    let world = World::with(&json!({ "dpop": { "nonce": true } }), Some("https://api.example"));
    let refused = world.send(&world.call("1")).await.unwrap_err();
    assert_eq!(refused.reason().as_str(), "use_dpop_nonce");
    assert!(challenge(&refused).contains(r#"DPoP error="use_dpop_nonce""#), "{}", challenge(&refused));
    let nonce = refused.response().headers()["dpop-nonce"].to_str().unwrap().to_owned();
    let token = world.bound();
    let proofs = vec![world.proof_with(&token, &json!({ "nonce": nonce }))];
    assert_eq!(world.reason(&Call { token, proofs, ..world.call("1") }).await, "");
}

/// T1.1: the challenge of each URL points to the document of that URL.
#[tokio::test]
async fn the_challenge_points_to_the_metadata_of_the_url() {
    let world = World::new();
    let call = Call { token: "x".to_owned(), scheme: "Bearer", proofs: Vec::new(), ..world.call("1") };
    for path in ["/items/7", "/items/7/", "/items"] {
        let refused =
            world.send(&Call { path, token: "x".to_owned(), proofs: Vec::new(), ..world.call("1") }).await;
        let url =
            format!("resource_metadata=\"https://api.example/.well-known/oauth-protected-resource{path}\"");
        assert!(challenge(&refused.unwrap_err()).contains(&url), "{path}");
    }
    assert!(challenge(&world.send(&call).await.unwrap_err()).starts_with("Bearer error="));
}

/// T1.5: whatever is wrong with the credentials, the challenge names the metadata.
#[tokio::test]
async fn every_challenge_names_the_metadata() {
    let world = World::new();
    let long = "a".repeat(20_000);
    let expired = world.issuer.token(&json!({
        "iss": "https://id.example", "aud": "api", "sub": "u", "iat": NOW - 9000, "exp": NOW - 3600,
    }));
    let tokens = ["x", "a.b.c", &long, &expired, &world.bound(), &world.token(&json!({}))];
    for (token, scheme) in tokens.into_iter().flat_map(|token| [(token, "Bearer"), (token, "DPoP")]) {
        let call = Call { token: token.to_owned(), scheme, proofs: Vec::new(), ..world.call("1") };
        let refused = world.send(&call).await.unwrap_err();
        let url = "resource_metadata=\"https://api.example/.well-known/oauth-protected-resource/items/7\"";
        assert!(challenge(&refused).contains(url), "{refused}: {}", challenge(&refused));
    }
}

#[tokio::test]
async fn providers_agree_on_one_certificate_header() {
    let connected = |name: &str, header: &str| {
        let issuer = format!("https://{name}.example");
        let settings = serde_json::from_value(json!({
            "issuer": issuer,
            "audience": "api",
            "jwks": { "keys": [MintKey::es256("k").jwk()] },
            "proof": { "certificate_header": header },
        }));
        let name = ProviderName::parse(name).unwrap();
        let clock = Arc::new(TestClock::at(Timestamp::from_seconds(NOW)));
        let context = Context::new(name.clone(), clock, Arc::new(Http::default()), Arc::new(Inline));
        Connected::new(name, OidcProvider::connect(settings.unwrap(), context).unwrap())
    };
    let of = |first: &str, second: &str| {
        let clock = Arc::new(TestClock::at(Timestamp::from_seconds(NOW)));
        let providers = vec![connected("a", first), connected("b", second)];
        Authenticator::new(providers, VerifiedTokens::new(0), Arc::new(NoRevocations), clock).map(|_| ())
    };
    assert!(of("Client-Cert", "client-cert").is_ok());
    let refused = of("Client-Cert", "X-SSL-Client-Cert").unwrap_err();
    assert!(matches!(refused, AuthenticatorError::SeveralCertificateHeaders { .. }), "{refused}");
}
