//! JSON Web Tokens, against jsonwebtoken.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use scopegate_oidc::{Jwt, KeySet, TokenRules};
use scopegate_provider::{Audience, BearerToken, Issuer, Principal, ProviderName, Rejection, Timestamp};
use serde_json::{Value, json};

use crate::claims::{self, AUDIENCE, ISSUER, NOW};

/// Where tokens are checked: one key, whose signatures are the same in every run.
struct Desk {
    pair: Ed25519KeyPair,
    rules: TokenRules,
    keys: KeySet,
    theirs: (DecodingKey, Validation),
}

static DESK: LazyLock<Desk> = LazyLock::new(Desk::new);

const HEADER: &[u8] = br#"{"alg":"EdDSA","typ":"at+jwt","kid":"k"}"#;

/// Bytes: a token as it is; or, where they begin with `{`, header and claims with a line break between them, or claims
/// alone, which are then signed.
pub fn jwt(data: &[u8]) -> bool {
    let desk = &*DESK;
    if !data.starts_with(b"{") {
        return desk.check(data);
    }
    let end = data.iter().position(|byte| *byte == b'\n');
    let (header, claims) = end.map_or((HEADER, data), |end| (&data[..end], &data[end + 1..]));
    desk.check(desk.sign(header, claims).as_bytes())
}

impl Desk {
    fn new() -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public = URL_SAFE_NO_PAD.encode(pair.public_key());
        let mut rules = TokenRules::new(ProviderName::parse("fuzz").unwrap(), Issuer::parse(ISSUER).unwrap());
        rules.audiences = vec![Audience::parse(AUDIENCE).unwrap()];
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": public, "kid": "k" });
        let keys = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes(), &rules.algorithms).unwrap();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // The time is ours and stands still; theirs is the system's.
        validation.validate_exp = false;
        let theirs = (DecodingKey::from_ed_components(&public).unwrap(), validation);
        Self { pair, rules, keys, theirs }
    }

    fn sign(&self, header: &[u8], claims: &[u8]) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn verify(&self, token: &BearerToken) -> Result<Principal, Rejection> {
        let admitted = self.rules.admit(Jwt::parse(token)?)?;
        let candidates = self.keys.find(admitted.key_id(), admitted.algorithm())?;
        self.rules.validate(admitted.check_signature(&candidates)?, Timestamp::from_seconds(NOW))
    }

    fn check(&self, token: &[u8]) -> bool {
        let Ok(token) = BearerToken::from_bytes(token) else { return false };
        let Ok(principal) = self.verify(&token) else { return false };
        let (key, validation) = &self.theirs;
        let theirs = decode::<Value>(token.reveal(), key, validation);
        let theirs = theirs.unwrap_or_else(|error| panic!("only we take {}: {error}", token.reveal()));
        let claims = claims::check(&principal, &principal.claims().as_json());
        assert_eq!(theirs.claims, Value::Object(claims));
        let parts: Vec<Vec<u8>> =
            token.reveal().split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
        let [header, claims, _] = &parts[..] else { panic!("{} parts", parts.len()) };
        assert_eq!(**claims, *principal.claims().as_json());
        let header: Value = serde_json::from_slice(header).unwrap();
        assert_eq!(header["alg"], "EdDSA");
        assert!(["crit", "b64", "enc"].iter().all(|name| header.get(name).is_none()), "{header}");
        true
    }
}
