use scopegate_provider::Rejection;
use scopegate_testkit::{MintKey, base64url, key_set};
use serde_json::{Value, json};

use super::{Row, refuse_all, row};
use crate::desk::{Desk, good_claims, malformed, wrong};

#[test]
fn hostile_headers_are_refused() {
    let desk = Desk::new();
    refuse_all(&desk, &rows(&desk));
}

#[test]
fn invariant_2_an_algorithm_that_the_settings_do_not_name_is_refused() {
    let desk = Desk::new();
    refuse_all(&desk, &algorithms(&desk));
}

#[test]
fn invariant_3_a_key_in_the_header_is_not_followed() {
    let desk = Desk::new();
    refuse_all(&desk, &embedded_keys());
}

#[test]
fn invariant_3_any_critical_extension_is_refused() {
    let desk = Desk::new();
    refuse_all(&desk, &critical(&desk));
}

pub(super) fn rows(desk: &Desk) -> Vec<Row> {
    let mut rows = algorithms(desk);
    rows.extend(embedded_keys());
    rows.extend(critical(desk));
    rows.extend(types(desk));
    rows.extend(wrongly_typed(desk));
    rows.extend(encrypted(desk));
    rows
}

fn algorithm(name: &str) -> Rejection {
    Rejection::AlgorithmNotAllowed { found: name.into() }
}

/// A well-signed token whose header has these members changed.
fn header(desk: &Desk, changes: &Value) -> String {
    let mut header = desk.ec.header();
    for (name, value) in changes.as_object().unwrap() {
        header[name] = value.clone();
    }
    desk.ec.token_with(&header, &good_claims())
}

fn algorithms(desk: &Desk) -> Vec<Row> {
    let named = |name: &str| header(desk, &json!({ "alg": name }));
    let unsigned = |name: &str| {
        let header = json!({"alg": name, "typ": "JWT", "kid": "ec"});
        format!("{}.{}.", base64url(header.to_string()), base64url(good_claims().to_string()))
    };
    let mut rows = Vec::new();
    for name in ["none", "None", "NONE", "nOnE", "none ", ""] {
        rows.push(row("no signature asked for", "RFC 8725, 2.1", named(name), algorithm(name)));
        rows.push(row("no signature at all", "RFC 7515, appendix A.5", unsigned(name), algorithm(name)));
    }
    for name in ["HS256", "HS384", "HS512"] {
        rows.push(row("an HMAC", "RFC 8725, 2.1", named(name), algorithm(name)));
    }
    for name in ["RS384", "RS512", "PS384", "PS512", "ES384"] {
        rows.push(row("known and not allowed", "RFC 8725, 3.1", named(name), algorithm(name)));
    }
    for name in ["RS1", "ES256K", "ES512", "Ed25519", "Ed448", "ML-DSA-44", "RSA-OAEP", "dir", "A128KW"] {
        rows.push(row("not one of ours", "RFC 8725, 3.1", named(name), algorithm(name)));
    }
    for name in ["es256", "ES-256", "ES256 ", " ES256", "ES256\u{0}", "EdDSa", "eddsa", "rs256"] {
        rows.push(row("case and blanks count", "RFC 7515, 4.1.1", named(name), algorithm(name)));
    }
    let no_signature = Rejection::SignatureInvalid;
    rows.push(row("an allowed name without a signature", "RFC 7515, 5.2", unsigned("ES256"), no_signature));
    rows
}

/// The signature is good, but by a key that only the token itself names.
fn embedded_keys() -> Vec<Row> {
    let attacker = MintKey::es256("ec");
    let signed = |member: &str, value: Value| {
        let mut header = attacker.header();
        header[member] = value;
        attacker.token_with(&header, &good_claims())
    };
    let stranger = |member: &str, value: Value| {
        let stranger = attacker.called(Some("stranger"));
        let mut header = stranger.header();
        header[member] = value;
        stranger.token_with(&header, &good_claims())
    };
    let url = "http://127.0.0.1:9/keys";
    let chain = json!(["MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA"]);
    let invalid = || Rejection::SignatureInvalid;
    vec![
        row("`jwk`, our kid", "RFC 7515, 4.1.3; CVE-2018-0114", signed("jwk", attacker.jwk()), invalid()),
        row("`jku`, our kid", "RFC 7515, 4.1.2", signed("jku", url.into()), invalid()),
        row("`x5u`, our kid", "RFC 7515, 4.1.5", signed("x5u", url.into()), invalid()),
        row("`x5c`, our kid", "RFC 7515, 4.1.6", signed("x5c", chain.clone()), invalid()),
        row("`x5t#S256`, our kid", "RFC 7515, 4.1.8", signed("x5t#S256", "AAAA".into()), invalid()),
        row("`jwks`, our kid", "RFC 8725, 3.10", signed("jwks", key_set(&[&attacker])), invalid()),
        row("`jwk`, own kid", "RFC 7515, 4.1.3", stranger("jwk", attacker.jwk()), Rejection::UnknownKey),
        row("`jku`, own kid", "RFC 7515, 4.1.2", stranger("jku", url.into()), Rejection::UnknownKey),
        row("`x5u`, own kid", "RFC 7515, 4.1.5", stranger("x5u", url.into()), Rejection::UnknownKey),
        row("`x5c`, own kid", "RFC 7515, 4.1.6", stranger("x5c", chain), Rejection::UnknownKey),
    ]
}

fn critical(desk: &Desk) -> Vec<Row> {
    let values = [
        json!({"crit": ["b64"], "b64": false}),
        json!({"crit": ["b64"], "b64": true}),
        json!({"b64": false}),
        json!({"b64": true}),
        json!({"crit": ["exp"], "exp": 1}),
        json!({"crit": ["http://example.com/UNDEFINED"], "http://example.com/UNDEFINED": true}),
        json!({"crit": []}),
        json!({"crit": null}),
        json!({"crit": "exp"}),
        json!({"crit": ["alg"]}),
        json!({"crit": {"b64": true}}),
        json!({"crit": [1]}),
    ];
    let refused = |changes| {
        row("`crit`", "RFC 7515, 4.1.11; RFC 7797, 6", header(desk, changes), Rejection::CriticalHeader)
    };
    values.iter().map(refused).collect()
}

fn types(desk: &Desk) -> Vec<Row> {
    let names = [
        "logout+jwt",
        "secevent+jwt",
        "dpop+jwt",
        "application/okta-internal-at+jwt",
        "token-introspection+jwt",
        "client-authentication+jwt",
        "oauth-authz-req+jwt",
        "entity-statement+jwt",
        "JOSE",
        "JOSE+JSON",
        "none",
        "",
        " JWT",
        "JWT ",
        "application/application/jwt",
        "text/jwt",
        "id+jwt",
    ];
    let refused = |name: &&str| {
        let expected = Rejection::TypeNotAllowed { found: (*name).into() };
        row(
            "`typ` of another kind of token",
            "RFC 8725, 3.11",
            header(desk, &json!({ "typ": name })),
            expected,
        )
    };
    names.iter().map(refused).collect()
}

fn wrongly_typed(desk: &Desk) -> Vec<Row> {
    let mut rows = Vec::new();
    for name in ["alg", "kid", "typ"] {
        for value in [json!(null), json!(1), json!(true), json!(["ES256"]), json!({"a": 1})] {
            let token = header(desk, &json!({ name: value }));
            rows.push(row("a parameter that is no string", "RFC 7515, 4.1", token, wrong(name, "a string")));
        }
    }
    let without_algorithm = desk.ec.token_with(&json!({"typ": "JWT", "kid": "ec"}), &good_claims());
    let expected = malformed("expected `alg` in the header");
    rows.push(row("no `alg`", "RFC 7515, 4.1.1", without_algorithm, expected));
    rows
}

fn encrypted(desk: &Desk) -> Vec<Row> {
    let five = |header: &Value| format!("{}.AAAA.AAAA.AAAA.AAAA", base64url(header.to_string()));
    let jwe = five(&json!({"alg": "dir", "enc": "A256GCM", "iss": crate::desk::ISSUER}));
    vec![
        row("five parts", "RFC 7516, 7.1", jwe, Rejection::Encrypted),
        row("five parts, no `enc`", "RFC 7516, 9", five(&json!({"alg": "ES256"})), Rejection::Encrypted),
        row("five empty parts", "RFC 7516, 9", "....a", Rejection::Encrypted),
        row("`enc`", "RFC 7516, 9", header(desk, &json!({"enc": "A256GCM"})), Rejection::Encrypted),
        row("`enc` of null", "RFC 7516, 9", header(desk, &json!({"enc": null})), Rejection::Encrypted),
    ]
}
