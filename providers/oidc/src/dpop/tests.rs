use http::Method;
use scopegate_testkit::{MintKey, base64url};
use serde_json::json;

use super::*;

const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const TARGET: &str = "https://resource.example.org/protectedresource";
const ISSUED: i64 = 1_562_262_618;

/// The proof of RFC 9449, section 7.1.
const SAMPLE: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";

/// The thumbprint of its key (RFC 9449, section 6.1).
const SAMPLE_KEY: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

/// A request for `GET` of the target with the token, one second after the proof was made.
struct Asked {
    origins: [Box<str>; 1],
    method: Method,
    now: Timestamp,
    token: &'static str,
}

impl Asked {
    fn new() -> Self {
        let now = Timestamp::from_seconds(ISSUED + 1);
        Self { origins: ["https://resource.example.org".into()], method: Method::GET, now, token: TOKEN }
    }

    fn verify_with(&self, dpop: &Dpop, proof: &str, key: Thumbprint) -> Result<ProofUse, Rejection> {
        dpop.verify_proof(&ProofRequest {
            proof: proof.as_bytes(),
            token: self.token.as_bytes(),
            key,
            method: &self.method,
            origins: &self.origins,
            path: "/protectedresource",
            is_websocket: false,
            now: self.now,
        })
    }

    fn verify(&self, proof: &str, key: Thumbprint) -> Result<ProofUse, Rejection> {
        self.verify_with(&Dpop::default(), proof, key)
    }
}

fn sample_key() -> Thumbprint {
    Thumbprint::parse(SAMPLE_KEY).unwrap()
}

fn public(key: &MintKey) -> Value {
    let mut jwk = key.jwk();
    for member in ["kid", "alg", "use"] {
        jwk.as_object_mut().unwrap().remove(member);
    }
    jwk
}

fn header(key: &MintKey) -> Value {
    json!({ "typ": "dpop+jwt", "alg": key.header()["alg"], "jwk": public(key) })
}

fn claims() -> Value {
    json!({ "jti": "1", "htm": "GET", "htu": TARGET, "iat": ISSUED, "ath": hash(TOKEN.as_bytes()) })
}

fn print(key: &MintKey) -> Thumbprint {
    thumbprint(public(key).as_object().unwrap()).unwrap()
}

fn detail(result: Result<ProofUse, Rejection>) -> &'static str {
    match result {
        Err(Rejection::InvalidProof { detail }) => detail,
        other => panic!("expected an invalid proof, found {other:?}"),
    }
}

/// Returns the failed check of a proof whose claims differ in one member.
fn with_claim(member: &str, value: Value) -> &'static str {
    let key = MintKey::es256("k");
    let mut claims = claims();
    claims[member] = value;
    detail(Asked::new().verify(&key.token_with(&header(&key), &claims), print(&key)))
}

/// Returns the failed check of a proof whose header differs in one member.
fn with_header(member: &str, value: Value) -> &'static str {
    let key = MintKey::es256("k");
    let mut header = header(&key);
    header[member] = value;
    detail(Asked::new().verify(&key.token_with(&header, &claims()), print(&key)))
}

#[test]
fn accepts_the_sample_of_rfc_9449() {
    assert_eq!(hash(TOKEN.as_bytes()), "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
    assert_eq!(Dpop::default().claimed_key(SAMPLE.as_bytes()), Ok(sample_key()));
    assert!(Asked::new().verify(SAMPLE, sample_key()).is_ok());
}

#[test]
fn computes_the_thumbprints_of_rfc_7638_and_rfc_9449() {
    let ec = json!({
        "kty": "EC", "crv": "P-256", "kid": "ignored",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    });
    assert_eq!(thumbprint(ec.as_object().unwrap()).unwrap().to_string(), SAMPLE_KEY);
    let rsa = json!({
        "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    });
    let print = thumbprint(rsa.as_object().unwrap()).unwrap();
    assert_eq!(print.to_string(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    let okp = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let print = thumbprint(okp.as_object().unwrap()).unwrap();
    assert_eq!(print.to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn accepts_every_default_algorithm() {
    for key in [MintKey::es256("k"), MintKey::es384("k"), MintKey::rs256("k"), MintKey::eddsa("k")] {
        let proof = key.token_with(&header(&key), &claims());
        assert!(Asked::new().verify(&proof, print(&key)).is_ok(), "{:?}", key.algorithm());
    }
}

/// T2.2: a valid proof by another key than the bound one is refused.
#[test]
fn rejects_a_proof_by_another_key() {
    let thief = MintKey::eddsa("k");
    let proof = thief.token_with(&header(&thief), &claims());
    assert_eq!(Asked::new().verify(&proof, sample_key()), Err(Rejection::ProofMismatch));
}

#[test]
fn rejects_a_proof_for_another_request() {
    assert_eq!(with_claim("htm", "POST".into()), "its `htm` is not the method of the request");
    assert_eq!(with_claim("htm", "get".into()), "its `htm` is not the method of the request");
    assert_eq!(
        with_claim("htu", "https://resource.example.org/".into()),
        "its `htu` is not the URL of the request"
    );
    let head = Asked { method: Method::HEAD, ..Asked::new() };
    assert_eq!(detail(head.verify(SAMPLE, sample_key())), "its `htm` is not the method of the request");
}

#[test]
fn rejects_a_proof_for_another_token() {
    let other = Asked { token: "other", ..Asked::new() };
    assert_eq!(detail(other.verify(SAMPLE, sample_key())), "its `ath` is not the hash of the token");
    let padded = format!("{}=", hash(TOKEN.as_bytes()));
    assert_eq!(with_claim("ath", padded.into()), "its `ath` is not the hash of the token");
}

#[test]
fn accepts_a_proof_within_its_window_only() {
    let at = |seconds: i64| Asked { now: Timestamp::from_seconds(ISSUED + seconds), ..Asked::new() };
    assert!(at(-30).verify(SAMPLE, sample_key()).is_ok());
    assert!(at(89).verify(SAMPLE, sample_key()).is_ok());
    let late = detail(at(90).verify(SAMPLE, sample_key()));
    assert_eq!(late, "its `iat` is too long ago by this server's clock");
    let early = detail(at(-31).verify(SAMPLE, sample_key()));
    assert_eq!(early, "its `iat` lies in the future by this server's clock");
}

/// T2.5: a proof is remembered until it can no longer be accepted, to the millisecond.
#[test]
fn a_use_lasts_as_long_as_the_proof_is_accepted() {
    let used = Asked::new().verify(SAMPLE, sample_key()).unwrap();
    let last = Asked { now: Timestamp::from_millis(used.expires_at.millis() - 1), ..Asked::new() };
    assert!(last.verify(SAMPLE, sample_key()).is_ok());
    let after = Asked { now: used.expires_at, ..Asked::new() };
    assert!(after.verify(SAMPLE, sample_key()).is_err());
}

/// T2.5: two keys that choose one `jti` do not use up each other's proofs.
#[test]
fn the_identity_of_a_use_covers_the_key_and_the_target() {
    let (ec, ed) = (MintKey::es256("k"), MintKey::eddsa("k"));
    let used = |key: &MintKey| {
        let proof = key.token_with(&header(key), &claims());
        Asked::new().verify(&proof, print(key)).unwrap().id
    };
    assert_ne!(used(&ec), used(&ed));
    assert_eq!(used(&ec), used(&ec));
    let key = sample_key();
    assert_ne!(replay_id(key, "https://a/b", "c"), replay_id(key, "https://a/", "bc"));
}

#[test]
fn reads_a_fractional_time_and_rejects_text() {
    let key = MintKey::es256("k");
    let mut fractional = claims();
    fractional["iat"] = json!(1_562_262_618.25);
    assert!(Asked::new().verify(&key.token_with(&header(&key), &fractional), print(&key)).is_ok());
    let expected = "expected `iat`, a number of seconds since 1970";
    assert_eq!(with_claim("iat", "1562262618".into()), expected);
    assert_eq!(with_claim("iat", Value::Null), expected);
}

#[test]
fn rejects_an_identifier_that_is_missing_or_too_long() {
    let expected = "expected `jti`, a string of 1 to 256 bytes";
    assert_eq!(with_claim("jti", "".into()), expected);
    assert_eq!(with_claim("jti", "x".repeat(257).into()), expected);
    assert_eq!(with_claim("jti", json!(7)), expected);
}

/// T2.9: a private key, an HMAC, no signature, an access token or a token request's proof is no proof.
#[test]
fn rejects_what_is_not_a_proof() {
    let key = MintKey::es256("k");
    let mut private = public(&key);
    private["d"] = "AQAB".into();
    assert_eq!(with_header("jwk", private), "its `jwk` holds private key material, which is public now");
    let secret = json!({ "kty": "oct", "k": "c2VjcmV0" });
    assert_eq!(with_header("jwk", secret), "its `jwk` holds private key material, which is public now");
    assert_eq!(with_header("jwk", json!({ "kty": "oct" })), "its `jwk` is not a usable public key");
    for algorithm in ["none", "HS256", "ES256K", "es256"] {
        assert_eq!(with_header("alg", algorithm.into()), "its `alg` is not an accepted algorithm");
    }
    for media_type in ["JWT", "at+jwt", "dpop", "application/", ""] {
        assert_eq!(with_header("typ", media_type.into()), "its `typ` is not `dpop+jwt`", "{media_type}");
    }
    let mut of_token_request = claims();
    of_token_request.as_object_mut().unwrap().remove("ath");
    let proof = key.token_with(&header(&key), &of_token_request);
    let found = detail(Asked::new().verify(&proof, print(&key)));
    assert_eq!(found, "its `ath` is not the hash of the token");
}

#[test]
fn accepts_the_full_media_type_without_case() {
    let key = MintKey::es256("k");
    for media_type in ["application/dpop+jwt", "DPoP+JWT"] {
        let mut header = header(&key);
        header["typ"] = media_type.into();
        assert!(Asked::new().verify(&key.token_with(&header, &claims()), print(&key)).is_ok());
    }
}

#[test]
fn rejects_a_signature_by_another_key_than_the_one_it_holds() {
    let (own, other) = (MintKey::es256("k"), MintKey::eddsa("k"));
    let mut forged = header(&own);
    forged["alg"] = "EdDSA".into();
    let proof = other.token_with(&forged, &claims());
    assert_eq!(
        detail(Asked::new().verify(&proof, print(&own))),
        "its `jwk` is not a usable public key of its `alg`"
    );
    let changed = SAMPLE.replace("2oW9", "3oW9");
    assert_eq!(detail(Asked::new().verify(&changed, sample_key())), "its signature is invalid");
}

#[test]
fn rejects_joined_long_and_malformed_proofs() {
    let joined = format!("{SAMPLE},{SAMPLE}");
    assert_eq!(detail(Asked::new().verify(&joined, sample_key())), "expected one compact JWT");
    let long = "a".repeat(8193);
    assert_eq!(detail(Asked::new().verify(&long, sample_key())), "it is longer than 8192 bytes");
    for malformed in ["", "a", "a.b.c", "e30.e30", &format!("{}.e30.c2ln", base64url("{}"))] {
        assert!(Asked::new().verify(malformed, sample_key()).is_err(), "{malformed}");
    }
    assert_eq!(with_header("crit", json!(["x"])), "its header is malformed");
}

#[test]
fn asks_for_a_nonce_and_accepts_its_own() {
    let dpop = Dpop::default().with_nonces(Some(Nonces::shared(b"secret")));
    let asked = Asked::new();
    let Err(Rejection::NonceRequired { nonce }) = asked.verify_with(&dpop, SAMPLE, sample_key()) else {
        panic!("a proof without a nonce was accepted");
    };
    let key = MintKey::es256("k");
    let mut claims = claims();
    claims["nonce"] = (&*nonce).into();
    let proof = key.token_with(&header(&key), &claims);
    assert!(asked.verify_with(&dpop, &proof, print(&key)).is_ok());
    claims["nonce"] = "of another server".into();
    let proof = key.token_with(&header(&key), &claims);
    assert!(matches!(asked.verify_with(&dpop, &proof, print(&key)), Err(Rejection::NonceRequired { .. })));
}
