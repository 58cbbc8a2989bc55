use jsonwebtoken::Algorithm;
use scopegate_provider::Rejection;
use scopegate_testkit::{MintKey, base64url};

use super::{Row, refuse_all, row};
use crate::desk::{Desk, good_claims, keys_of};

#[test]
fn tokens_by_other_keys_are_refused() {
    let desk = Desk::new();
    refuse_all(&desk, &rows(&desk));
}

/// V1: where several keys remain possible, each is tried, up to four.
#[test]
fn without_a_kid_each_fitting_key_is_tried_and_their_number_is_bounded() {
    let mut desk = Desk::new();
    let others: Vec<MintKey> = (0..4).map(|number| MintKey::es256(&number.to_string())).collect();
    desk.keys = keys_of(&[&others[0], &others[1], &others[2], &desk.ec]);
    desk.verify(&desk.ec.called(None).token(&good_claims())).unwrap();
    let stranger = MintKey::es256("ec").called(None).token(&good_claims());
    assert_eq!(desk.verify(&stranger).unwrap_err(), Rejection::SignatureInvalid);
    desk.keys = keys_of(&[&others[0], &others[1], &others[2], &others[3], &desk.ec]);
    let token = desk.ec.called(None).token(&good_claims());
    assert_eq!(desk.verify(&token).unwrap_err(), Rejection::AmbiguousKey);
}

#[test]
fn invariant_2_a_key_is_not_used_with_an_algorithm_of_another_key_type() {
    let desk = Desk::new();
    let mut header = desk.ec.header();
    header["kid"] = "rsa".into();
    let token = desk.ec.token_with(&header, &good_claims());
    assert_eq!(desk.verify(&token).unwrap_err(), Rejection::UnknownKey);
}

pub(super) fn rows(desk: &Desk) -> Vec<Row> {
    let mut rows = by_others();
    rows.extend(by_the_wrong_key(desk));
    rows.extend(tampered(desk));
    rows
}

fn by_others() -> Vec<Row> {
    let source = "RFC 7515, 5.2";
    let strangers = [
        MintKey::rsa(1, Algorithm::RS256, "rsa"),
        MintKey::rsa(1, Algorithm::PS256, "rsa"),
        MintKey::es256("ec"),
        MintKey::eddsa("ed"),
    ];
    let mut rows = Vec::new();
    for stranger in &strangers {
        let known = stranger.token(&good_claims());
        let expected = match stranger.algorithm() {
            // The key is published for RS256 alone.
            Algorithm::PS256 => Rejection::UnknownKey,
            _ => Rejection::SignatureInvalid,
        };
        rows.push(row("a stranger's key under our kid", source, known, expected.clone()));
        let nameless = stranger.called(None).token(&good_claims());
        rows.push(row("a stranger's key without a kid", source, nameless, expected));
        for kid in ["", "RSA", "ec ", "../../dev/null", "' OR 1=1 --", "\u{0}"] {
            let token = stranger.called(Some(kid)).token(&good_claims());
            rows.push(row("a kid that nobody knows", "RFC 7515, 4.1.4", token, Rejection::UnknownKey));
        }
    }
    rows
}

fn by_the_wrong_key(desk: &Desk) -> Vec<Row> {
    let mut rows = Vec::new();
    for (signer, kid) in [(&desk.rsa, "ec"), (&desk.rsa, "ed"), (&desk.ec, "ed"), (&desk.ed, "rsa")] {
        let token = signer.called(Some(kid)).token(&good_claims());
        rows.push(row("one of our keys under another's kid", "RFC 8725, 3.1", token, Rejection::UnknownKey));
    }
    let mut lying = desk.ec.header();
    lying["alg"] = "EdDSA".into();
    lying["kid"] = "ed".into();
    let token = desk.ec.token_with(&lying, &good_claims());
    rows.push(row("ES256 that says it is EdDSA", "RFC 8725, 3.1", token, Rejection::SignatureInvalid));
    rows
}

fn tampered(desk: &Desk) -> Vec<Row> {
    let token = desk.ec.token(&good_claims());
    let (input, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = input.split_once('.').unwrap();
    let more = base64url(good_claims().to_string().replace("items", "admin"));
    let der =
        "MEUCIQCsmyTE9dVYXlg5HlS6ePwMmEdcxfHLpKxVt2J2kFqJ8AIgcz2bFhd4Vd5AbPkzoNZ1oM0VTvBjGqfkYQbM8YnMZ9o";
    let of = |key: &MintKey| key.token(&good_claims()).rsplit_once('.').unwrap().1.to_owned();
    let signatures = [
        ("all zeros (psychic signature, CVE-2022-21449)", base64url([0; 64])),
        ("all ones", base64url([0xff; 64])),
        ("too short", base64url([1; 63])),
        ("too long", base64url([1; 65])),
        ("DER instead of two numbers (RFC 7518, 3.4)", der.to_owned()),
        ("an RSA key's", of(&desk.rsa)),
        ("an Ed25519 key's", of(&desk.ed)),
        (
            "of other claims",
            desk.ec
                .token(&crate::desk::claims(&serde_json::json!({"sub": "eve"})))
                .rsplit_once('.')
                .unwrap()
                .1
                .to_owned(),
        ),
    ];
    let source = "RFC 7515, 5.2";
    let invalid = || Rejection::SignatureInvalid;
    let mut rows = vec![row("other claims", source, format!("{header}.{more}.{signature}"), invalid())];
    for (what, signature) in signatures {
        rows.push(row(what, source, format!("{header}.{payload}.{signature}"), invalid()));
    }
    rows
}
