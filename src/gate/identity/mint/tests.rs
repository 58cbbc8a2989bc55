use std::collections::HashSet;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use scopegate_oidc::{Signer, SigningAlgorithm};
use scopegate_provider::{Clock, SystemClock};

use http::StatusCode;

use super::*;
use crate::{
    authenticator::AuthenticatedAt, gate::request::subprotocol::Subprotocols, policy::RouteOptions, testing,
};

const ISSUER: &str = "https://gate.example";

fn ring() -> Arc<KeyRing> {
    let ring = Arc::new(KeyRing::default());
    let signer = Signer::generate(SigningAlgorithm::Es256).unwrap();
    ring.activate(&PreparedKeys::new(vec![(Timestamp::from_millis(0), signer)], &[]));
    ring
}

fn mint(ring: Arc<KeyRing>, lifetime: Duration) -> Mint {
    let upstreams = [("orders".into(), "https://orders.internal".into())].into();
    let terms = Terms { issuer: ISSUER.into(), lifetime, audience: "https://api.example".into(), upstreams };
    Mint::new(ring, terms, Arc::default())
}

fn now() -> Timestamp {
    SystemClock::new().now()
}

fn permit(upstream: Option<&str>, at: Timestamp) -> Permit {
    let options = RouteOptions { upstream: upstream.map(Into::into), ..RouteOptions::default() };
    Permit {
        principal: Some(testing::principal("items items:write").unwrap()),
        credentials: None,
        route: "/".into(),
        options: Arc::new(options),
        target: None,
        authenticated: Some(AuthenticatedAt::uncached(at)),
        subprotocols: Subprotocols::Untouched,
        recording: crate::telemetry::Recording::default(),
    }
}

/// The claims, as a service behind reads them that knows the published keys only.
fn read(ring: &KeyRing, value: &HeaderValue, audience: &str) -> Value {
    let token = value.to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let header = decode_header(token).unwrap();
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::ES256, Some("at+jwt")));
    let keys: JwkSet = serde_json::from_str(&ring.published().unwrap()).unwrap();
    let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    decode::<Value>(token, &key, &validation).unwrap().claims
}

#[test]
fn a_minted_token_has_one_shape_and_verifies_by_the_published_keys() {
    let (ring, now) = (ring(), now());
    let mint = mint(ring.clone(), Duration::from_mins(1));
    let value = mint.authorization(&permit(Some("orders"), now)).unwrap().unwrap();
    assert!(value.is_sensitive(), "invariant 11");
    let claims = read(&ring, &value, "https://orders.internal");
    let expected = json!({
        "iss": ISSUER, "aud": "https://orders.internal", "sub": "tester", "client_id": "tester",
        "scope": "items items:write", "provider": "testing",
        "original_issuer": "https://testing.example", "iat": now.seconds(), "exp": now.seconds() + 60,
        "jti": claims["jti"],
    });
    assert_eq!(claims, expected);
    let elsewhere = mint.authorization(&permit(None, now)).unwrap().unwrap();
    assert_eq!(read(&ring, &elsewhere, "https://api.example")["aud"], "https://api.example");
}

#[test]
fn a_minted_token_never_outlives_its_callers() {
    let (ring, permit) = (ring(), permit(None, now()));
    let value = mint(ring.clone(), Duration::from_hours(5)).authorization(&permit).unwrap().unwrap();
    let own = permit.principal.as_ref().unwrap().expires_at().seconds();
    assert_eq!(read(&ring, &value, "https://api.example")["exp"], own);
}

#[test]
fn an_anonymous_caller_gets_no_token() {
    let anonymous = Permit { principal: None, authenticated: None, ..permit(None, now()) };
    assert_eq!(mint(ring(), Duration::from_mins(1)).authorization(&anonymous), Ok(None));
}

#[test]
fn without_a_key_there_is_no_token_and_nobody_passes() {
    let mint = mint(Arc::default(), Duration::from_mins(1));
    let refused = mint.authorization(&permit(None, now())).unwrap_err();
    assert_eq!(refused, MintError::NoKey);
    let problem = Problem::from(refused).response();
    assert_eq!(problem.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(problem.headers().contains_key("retry-after"), "invariant 9");
}

/// What is minted at these seconds for one token that is kept, by a mint for a minute.
fn over_time(seconds: &[u64]) -> Vec<HeaderValue> {
    let (mint, start) = (mint(ring(), Duration::from_mins(1)), now());
    let kept = AuthenticatedAt::cached(&testing::principal("items").unwrap(), start);
    let at = |second: &u64| {
        let authenticated = AuthenticatedAt { at: start + Duration::from_secs(*second), ..kept.clone() };
        mint.authorization(&Permit { authenticated: Some(authenticated), ..permit(None, start) })
            .unwrap()
            .unwrap()
    };
    seconds.iter().map(at).collect()
}

#[test]
fn a_token_is_used_again_until_a_quarter_of_its_life_is_left() {
    let minted = over_time(&[0, 1, 44, 45, 46]);
    assert_eq!((&minted[0], &minted[0], &minted[3]), (&minted[1], &minted[2], &minted[4]));
    assert_ne!(minted[2], minted[3]);
}

#[test]
fn invariant_4_a_token_for_one_audience_or_of_other_terms_is_used_for_no_other() {
    let (ring, start) = (ring(), now());
    let kept = AuthenticatedAt::cached(&testing::principal("items").unwrap(), start);
    let one = |mint: &Mint, upstream| {
        let permit = Permit { authenticated: Some(kept.clone()), ..permit(upstream, start) };
        mint.authorization(&permit).unwrap().unwrap()
    };
    let (first, second) = (mint(ring.clone(), Duration::from_mins(1)), mint(ring, Duration::from_mins(1)));
    let minted = [one(&first, None), one(&first, Some("orders")), one(&second, None)];
    assert_eq!(minted.iter().collect::<HashSet<_>>().len(), 3);
    assert_eq!(one(&second, None), minted[2]);
}

/// A16: a token that is accepted within the leeway does not give one that is expired from the start.
#[test]
fn a_token_that_is_minted_within_the_leeway_is_not_expired() {
    let ring = ring();
    let permit = permit(None, now());
    let later = permit.principal.as_ref().unwrap().expires_at() + Duration::from_secs(5);
    let permit = Permit { authenticated: Some(AuthenticatedAt::uncached(later)), ..permit };
    let value = mint(ring, Duration::from_mins(1)).authorization(&permit).unwrap().unwrap();
    let payload = value.to_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert!(claims["exp"].as_i64().unwrap() > claims["iat"].as_i64().unwrap(), "{claims}");
}

/// CASES I7: validators of RFC 9068 refuse empty lists.
#[test]
fn an_empty_claim_is_left_out_of_a_minted_token() {
    let ring = ring();
    let permit = Permit { principal: Some(testing::principal("").unwrap()), ..permit(None, now()) };
    let value = mint(ring.clone(), Duration::from_mins(1)).authorization(&permit).unwrap().unwrap();
    let claims = read(&ring, &value, "https://api.example");
    assert!(claims.get("roles").is_none() && claims.get("scope").is_none(), "{claims}");
}
