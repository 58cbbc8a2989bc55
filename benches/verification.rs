//! What it costs to verify a token that nobody has seen before, against the bare check of its signature with a key that
//! is parsed already, and against jsonwebtoken's `decode`.
#![expect(clippy::unwrap_used, reason = "a failed expectation fails the benchmark")]

use std::hint::black_box;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use criterion::{Criterion, criterion_group, criterion_main};
use jsonwebtoken::{DecodingKey, Validation, decode, jwk::Jwk};
use scopegate_oidc::{Jwt, KeySet, TokenRules};
use scopegate_provider::{Audience, BearerToken, Issuer, Principal, ProviderName, Timestamp};
use scopegate_testkit::{MintKey, key_set};
use serde_json::{Value, json};

const ISSUER: &str = "https://issuer.example/";
const AUDIENCE: &str = "https://api.example";

/// The time in seconds, for jsonwebtoken reads the system's clock.
fn now() -> i64 {
    i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

/// Claims of about the size that Auth0 and Okta give.
fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "XkJ18vPAwtPWi0zob9d0iZQ0Fou4co5V@clients", "aud": [AUDIENCE, "https://issuer.example/userinfo"],
        "iat": now(), "exp": now() + 86400, "scope": "openid profile items items:write", "gty": "client-credentials",
        "azp": "XkJ18vPAwtPWi0zob9d0iZQ0Fou4co5V", "jti": "weE8uJVd8GpQz3xY0bN4aK",
    })
}

struct Desk {
    keys: KeySet,
    rules: TokenRules,
    now: Timestamp,
}

impl Desk {
    fn new(key: &MintKey) -> Self {
        let mut rules =
            TokenRules::new(ProviderName::parse("bench").unwrap(), Issuer::parse(ISSUER).unwrap());
        rules.audiences = vec![Audience::parse(AUDIENCE).unwrap()];
        let keys = KeySet::parse(key_set(&[key]).to_string().as_bytes(), &rules.algorithms).unwrap();
        Self { keys, rules, now: Timestamp::from_seconds(now()) }
    }

    fn verify(&self, token: &BearerToken) -> Principal {
        let admitted = self.rules.admit(Jwt::parse(token).unwrap()).unwrap();
        let candidates = self.keys.find(admitted.key_id(), admitted.algorithm()).unwrap();
        self.rules.validate(admitted.check_signature(&candidates).unwrap(), self.now).unwrap()
    }
}

fn parsed(jwk: &Value) -> ParsedPublicKey {
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    match jwk["kty"].as_str().unwrap() {
        "RSA" => RsaPublicKeyComponents { n: part("n"), e: part("e") }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .unwrap(),
        "EC" => {
            let point = [vec![4], part("x"), part("y")].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).unwrap()
        }
        _ => ParsedPublicKey::new(&ED25519, part("x")).unwrap(),
    }
}

fn verification(criterion: &mut Criterion) {
    for key in [MintKey::rs256("k"), MintKey::es256("k"), MintKey::eddsa("k")] {
        let (desk, text) = (Desk::new(&key), key.token(&claims()));
        let mut group = criterion.benchmark_group(format!("verification/{:?}", key.algorithm()));

        let (input, signature) = text.rsplit_once('.').unwrap();
        let (raw, signature) = (parsed(&key.jwk()), URL_SAFE_NO_PAD.decode(signature).unwrap());
        group.bench_function("signature alone", |bencher| {
            bencher.iter(|| raw.verify_sig(black_box(input.as_bytes()), &signature).unwrap());
        });

        let token = BearerToken::parse(&text).unwrap();
        group.bench_function("first sight", |bencher| bencher.iter(|| desk.verify(black_box(&token))));

        let jwk: Jwk = serde_json::from_value(key.jwk()).unwrap();
        let (decoding, mut validation) =
            (DecodingKey::from_jwk(&jwk).unwrap(), Validation::new(key.algorithm()));
        validation.validate_nbf = true;
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        group.bench_function("jsonwebtoken", |bencher| {
            bencher.iter(|| decode::<Value>(black_box(&text), &decoding, &validation).unwrap());
        });
        group.finish();
    }
}

/// What comes before the signature, on the thread that serves requests.
fn parsing(criterion: &mut Criterion) {
    let key = MintKey::es256("k");
    let desk = Desk::new(&key);
    let token = BearerToken::parse(&key.token(&claims())).unwrap();
    criterion.bench_function("verification/up to the signature", |bencher| {
        bencher.iter(|| {
            let admitted = desk.rules.admit(Jwt::parse(black_box(&token)).unwrap()).unwrap();
            desk.keys.find(admitted.key_id(), admitted.algorithm()).unwrap()
        });
    });
}

criterion_group!(benches, verification, parsing);
criterion_main!(benches);
