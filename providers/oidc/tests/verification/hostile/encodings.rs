use scopegate_oidc::MAX_TOKEN_BYTES;
use scopegate_provider::Rejection;
use scopegate_testkit::base64url;
use serde_json::json;

use super::{Row, refuse_all, row};
use crate::desk::{AUDIENCE, Desk, ISSUER, NOW, claims, good_claims, malformed};

const PARTS: &str = "expected three parts separated by dots";
const HEADER: &str = "expected the header to be a JSON object";
const HEADER_TEXT: &str = "expected a header in unpadded base64url";
const CLAIMS: &str = "expected the claims to be a JSON object";
const CLAIMS_TEXT: &str = "expected claims in unpadded base64url";
const SIGNATURE_TEXT: &str = "expected a signature in unpadded base64url";
const DEPTH: &str = "expected JSON that is nested less deeply";

#[test]
fn hostile_encodings_are_refused() {
    let desk = Desk::new();
    refuse_all(&desk, &rows(&desk));
}

#[test]
fn invariant_3_a_member_that_stands_twice_is_refused_at_every_depth() {
    let desk = Desk::new();
    refuse_all(&desk, &duplicates(&desk));
}

pub(super) fn rows(desk: &Desk) -> Vec<Row> {
    let mut rows = parts(desk);
    rows.extend(base64(desk));
    rows.extend(json_texts(desk));
    rows.extend(duplicates(desk));
    rows.extend(sizes(desk));
    rows
}

fn parts(desk: &Desk) -> Vec<Row> {
    let good = desk.ec.token(&good_claims());
    let (input, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = input.split_once('.').unwrap();
    let source = "RFC 7515, 7.1";
    vec![
        row("one part", source, header, malformed(PARTS)),
        row("two parts", source, input, malformed(PARTS)),
        row("four parts", source, format!("{good}.{signature}"), malformed(PARTS)),
        row("four parts, the last empty", source, format!("{good}."), malformed(PARTS)),
        row("six parts", source, format!("{good}.a.b.c"), malformed(PARTS)),
        row("a dot before", source, format!(".{good}"), malformed(PARTS)),
        row("an empty header", source, format!(".{payload}.{signature}"), malformed(HEADER)),
        row("empty claims", source, format!("{header}..{signature}"), malformed(CLAIMS)),
        row("an empty signature", source, format!("{input}."), Rejection::SignatureInvalid),
        row("only dots", source, "..a", malformed(HEADER)),
        row(
            "a detached payload",
            "RFC 7515, appendix F",
            format!("{header}..{signature}"),
            malformed(CLAIMS),
        ),
    ]
}

fn base64(desk: &Desk) -> Vec<Row> {
    let good = desk.ec.token(&good_claims());
    let (input, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = input.split_once('.').unwrap();
    let source = "RFC 7515, 2";
    // A signature of 64 bytes leaves four bits over in its last character, which must be zero.
    let last = signature.chars().last().unwrap();
    let next = char::from(u8::try_from(last).unwrap() + 1);
    let trailing_bits = format!("{input}.{}{next}", &signature[..signature.len() - 1]);
    vec![
        row("a padded signature", source, format!("{good}=="), malformed(SIGNATURE_TEXT)),
        row("one `=`", source, format!("{good}="), malformed(SIGNATURE_TEXT)),
        row("`+` in the claims", source, format!("{header}.+{payload}.{signature}"), malformed(CLAIMS_TEXT)),
        row("`/` in the claims", source, format!("{header}./{payload}.{signature}"), malformed(CLAIMS_TEXT)),
        row("`~` in the header", source, format!("~{input}.{signature}"), malformed(HEADER_TEXT)),
        row(
            "`+` in the signature",
            source,
            format!("{input}.+{}", &signature[1..]),
            malformed(SIGNATURE_TEXT),
        ),
        row("a lone last character", source, format!("A.{payload}.{signature}"), malformed(HEADER_TEXT)),
        row("trailing bits that are set", "RFC 4648, 3.5", trailing_bits, malformed(SIGNATURE_TEXT)),
    ]
}

fn json_texts(desk: &Desk) -> Vec<Row> {
    let good_header = desk.ec.header().to_string();
    let header = |text: &[u8]| desk.ec.raw_token(text, good_claims().to_string().as_bytes());
    let payload = |text: &[u8]| desk.ec.raw_token(good_header.as_bytes(), text);
    let source = "RFC 8259; RFC 7519, 7.2";
    let mut rows = Vec::new();
    let texts: [&[u8]; 24] = [
        b"null",
        b"true",
        b"1",
        b"\"{}\"",
        b"[]",
        b"[{\"alg\":\"ES256\"}]",
        b"{",
        b"{}}",
        b"{} {}",
        b"{},",
        b"{a:1}",
        b"{'a':1}",
        b"{\"a\":1,}",
        b"{\"a\":01}",
        b"{\"a\":+1}",
        b"{\"a\":NaN}",
        b"{\"a\":Infinity}",
        b"{\"a\":1e999}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\n\"}",
        b"\xef\xbb\xbf{}",
        b"/**/{}",
        b"{\x00}",
    ];
    for text in texts {
        rows.push(row("a header that is no JSON object", source, header(text), malformed(HEADER)));
        rows.push(row("claims that are no JSON object", source, payload(text), malformed(CLAIMS)));
    }
    let nested = desk.ec.token(&good_claims());
    rows.push(row("a JWT in a JWT", "RFC 7519, 5.2", payload(nested.as_bytes()), malformed(CLAIMS)));
    rows
}

fn duplicates(desk: &Desk) -> Vec<Row> {
    let twice = |name: &str| Rejection::DuplicateMember { name: name.into() };
    let header = |extra: &str| {
        let text = format!(r#"{{"alg":"ES256","kid":"ec","typ":"JWT",{extra}}}"#);
        desk.ec.raw_token(text.as_bytes(), good_claims().to_string().as_bytes())
    };
    let payload = |extra: &str| {
        let good = good_claims().to_string();
        let text = format!("{},{extra}}}", good.strip_suffix('}').unwrap());
        desk.ec.raw_token(desk.ec.header().to_string().as_bytes(), text.as_bytes())
    };
    let source = "RFC 7515, 4; RFC 7519, 4; RFC 8725, 2.4";
    let mut rows = vec![
        row("`alg` twice", source, header(r#""alg":"ES256""#), twice("alg")),
        row("`kid` twice", source, header(r#""kid":"rsa""#), twice("kid")),
        row("`typ` twice, one escaped", source, header(r#""\u0074yp":"at+jwt""#), twice("typ")),
        row("in an unknown parameter", source, header(r#""x":{"a":1,"a":1}"#), twice("a")),
        row("in the `jwk` of a header", source, header(r#""jwk":{"kty":"EC","kty":"RSA"}"#), twice("kty")),
        row("one escaped", source, payload(r#""\u0069ss":"x""#), twice("iss")),
        row("equal values", source, payload(&format!(r#""iss":"{ISSUER}""#)), twice("iss")),
        row("equal audiences", source, payload(&format!(r#""aud":"{AUDIENCE}""#)), twice("aud")),
        row(
            "in an object in a claim",
            source,
            payload(r#""realm_access":{"roles":[],"roles":["admin"]}"#),
            twice("roles"),
        ),
        row("in an array in a claim", source, payload(r#""x":[1,[{"a":1,"b":2,"a":3}]]"#), twice("a")),
        row("the empty name", source, payload(r#""":1,"":2"#), twice("")),
    ];
    for name in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "client_id"] {
        let token = payload(&format!(r#""{name}":{}"#, NOW + 60));
        rows.push(row("a registered claim twice", source, token, twice(name)));
    }
    rows
}

fn sizes(desk: &Desk) -> Vec<Row> {
    let deep = |depth: usize| {
        let mut value = json!(1);
        for _ in 0..depth {
            value = json!([value]);
        }
        desk.ec.token(&claims(&json!({ "x": value })))
    };
    let very_deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let header = desk.ec.header().to_string();
    let filler = "a".repeat(MAX_TOKEN_BYTES);
    let too_long = || Rejection::TooLong { limit: MAX_TOKEN_BYTES };
    vec![
        row("sixteen levels", "RFC 8259, 9", deep(16), malformed(DEPTH)),
        row("a hundred levels", "RFC 8259, 9", deep(100), malformed(DEPTH)),
        row(
            "a tower of arrays",
            "RFC 8259, 9",
            desk.ec.raw_token(header.as_bytes(), very_deep.as_bytes()),
            malformed(DEPTH),
        ),
        row("a deep header", "RFC 8259, 9", desk.ec.raw_token(very_deep.as_bytes(), b"{}"), malformed(DEPTH)),
        row("too many claims", "RFC 7519, 11", desk.ec.token(&claims(&json!({"x": filler}))), too_long()),
        row("a long header", "RFC 7515, 10", format!("{}.e30.AA", base64url(&filler)), too_long()),
        row("a long signature", "RFC 7515, 10", format!("e30.e30.{filler}"), too_long()),
        row("dots only, and many", "RFC 7515, 10", ".".repeat(MAX_TOKEN_BYTES) + "a", too_long()),
    ]
}
