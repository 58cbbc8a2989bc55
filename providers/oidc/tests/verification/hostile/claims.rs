use scopegate_provider::{Rejection, Timestamp};
use serde_json::{Value, json};

use super::{Row, refuse_all, row};
use crate::desk::{
    AUDIENCE, Desk, ISSUER, NOW, claims, expired, missing, not_yet_valid, other_audience, wrong,
};

const DATE: &str = "a number of seconds since 1970";
const NAME: &str = "a string that is neither empty nor holds control characters";
const AUDIENCES: &str = "a string or an array of strings";
const VALUES: &str = "a string or an array of strings";

#[test]
fn hostile_claims_are_refused() {
    let desk = Desk::new();
    refuse_all(&desk, &rows(&desk));
}

#[test]
fn invariant_3_issuers_are_compared_byte_for_byte() {
    let desk = Desk::new();
    refuse_all(&desk, &issuers(&desk));
}

#[test]
fn invariant_3_a_claim_of_the_wrong_json_type_is_refused() {
    let desk = Desk::new();
    refuse_all(&desk, &dates_of_other_types(&desk));
    refuse_all(&desk, &names(&desk));
    refuse_all(&desk, &lists(&desk));
}

#[test]
fn invariant_3_an_id_token_is_not_an_access_token() {
    let desk = Desk::new();
    refuse_all(&desk, &id_tokens(&desk));
}

#[test]
fn invariant_3_a_token_bound_to_a_key_is_refused() {
    let desk = Desk::new();
    refuse_all(&desk, &bound(&desk));
}

pub(super) fn rows(desk: &Desk) -> Vec<Row> {
    let mut rows = issuers(desk);
    rows.extend(audiences(desk));
    rows.extend(dates_of_other_types(desk));
    rows.extend(dates(desk));
    rows.extend(names(desk));
    rows.extend(lists(desk));
    rows.extend(id_tokens(desk));
    rows.extend(bound(desk));
    rows
}

fn changed(desk: &Desk, changes: &Value) -> String {
    desk.ec.token(&claims(changes))
}

/// A value of null, which [`claims`] would take as an absent one.
fn null(desk: &Desk, name: &str) -> String {
    let mut claims = claims(&json!({}));
    claims[name] = Value::Null;
    desk.ec.token(&claims)
}

fn issuers(desk: &Desk) -> Vec<Row> {
    let others = [
        format!("{ISSUER}/"),
        ISSUER.to_uppercase(),
        ISSUER.replace("https", "http"),
        ISSUER.replace("issuer", "ISSUER"),
        format!(" {ISSUER}"),
        format!("{ISSUER} "),
        format!("{ISSUER}\u{0}"),
        format!("{ISSUER}?"),
        format!("{ISSUER}#"),
        ISSUER.replace("example/", "example:443/"),
        ISSUER.replace("/tenant", ""),
        ISSUER.replace("tenant", "tenan%74"),
        ISSUER.replace("/tenant", "/x/../tenant"),
        ISSUER.replace('e', "\u{435}"),
        "https://issuer.example.evil/tenant".to_owned(),
        String::new(),
    ];
    let source = "RFC 7519, 4.1.1; RFC 8725, 3.8";
    let mut rows = Vec::new();
    for other in others {
        let expected = Rejection::IssuerMismatch { expected: ISSUER.into(), found: other.as_str().into() };
        rows.push(row("another issuer", source, changed(desk, &json!({ "iss": other })), expected));
    }
    for value in [json!([ISSUER]), json!([ISSUER, "x"]), json!({ "iss": ISSUER }), json!(1), json!(true)] {
        let token = changed(desk, &json!({ "iss": value }));
        rows.push(row("an issuer that is no string", source, token, wrong("iss", "a string")));
    }
    rows.push(row("an issuer of null", source, null(desk, "iss"), wrong("iss", "a string")));
    rows.push(row("no issuer", source, changed(desk, &json!({"iss": null})), missing("iss")));
    rows
}

fn audiences(desk: &Desk) -> Vec<Row> {
    let source = "RFC 7519, 4.1.3; RFC 8725, 3.9";
    let mut rows = Vec::new();
    for (found, value) in [
        ("https://other.example", json!("https://other.example")),
        ("https://a.example https://b.example", json!(["https://a.example", "https://b.example"])),
        ("https://api.example/", json!("https://api.example/")),
        ("HTTPS://API.EXAMPLE", json!("HTTPS://API.EXAMPLE")),
        ("https://api.example https://x", json!("https://api.example https://x")),
        (" https://api.example", json!(" https://api.example")),
        ("*", json!("*")),
    ] {
        let expected = other_audience(found);
        rows.push(row("another audience", source, changed(desk, &json!({ "aud": value })), expected));
    }
    for value in [json!(1), json!(true), json!({ AUDIENCE: 1 })] {
        let token = changed(desk, &json!({ "aud": value }));
        rows.push(row("an audience of another type", source, token, wrong("aud", AUDIENCES)));
    }
    for value in [json!([AUDIENCE, 1]), json!([[AUDIENCE]]), json!([AUDIENCE, null])] {
        let token = changed(desk, &json!({ "aud": value }));
        rows.push(row("an array with something else in it", source, token, wrong("aud", "a string")));
    }
    for value in [json!(""), json!([AUDIENCE, ""]), json!("a\nb")] {
        let token = changed(desk, &json!({ "aud": value }));
        rows.push(row("an empty audience", source, token, wrong("aud", NAME)));
    }
    rows.push(row("null", source, null(desk, "aud"), wrong("aud", AUDIENCES)));
    rows.push(row("none", source, changed(desk, &json!({"aud": null})), missing("aud")));
    rows.push(row("an empty array", source, changed(desk, &json!({"aud": []})), missing("aud")));
    rows
}

fn dates_of_other_types(desk: &Desk) -> Vec<Row> {
    let source = "RFC 7519, 2; CVE-2026-25537";
    let mut rows = Vec::new();
    for name in ["exp", "nbf", "iat"] {
        for value in [
            json!("never"),
            json!("9999"),
            json!((NOW + 60).to_string()),
            json!(""),
            json!(true),
            json!(false),
            json!([NOW + 60]),
            json!([]),
            json!({}),
            json!(-1),
            json!(-0.0),
            json!(i64::MIN),
            json!(9_223_372_036_854_775_808_u64),
            json!(u64::MAX),
            json!(1e300),
            json!(-1.5),
        ] {
            let token = changed(desk, &json!({ name: value }));
            rows.push(row("a date of another type", source, token, wrong(name, DATE)));
        }
        rows.push(row("a date of null", source, null(desk, name), wrong(name, DATE)));
    }
    rows
}

fn dates(desk: &Desk) -> Vec<Row> {
    let edge = desk.leeway();
    let lifetime = i64::try_from(desk.rules.max_token_lifetime.as_secs()).unwrap();
    let too_long = || Rejection::LifetimeTooLong;
    let token = |changes: Value| changed(desk, &changes);
    vec![
        row("no expiry", "RFC 9068, 2.2", token(json!({"exp": null})), missing("exp")),
        row("expired", "RFC 7519, 4.1.4", token(json!({"exp": NOW - 3600})), expired(NOW - 3600, NOW)),
        row(
            "expired to the second",
            "RFC 7519, 4.1.4",
            token(json!({"exp": NOW - edge})),
            expired(NOW - edge, NOW),
        ),
        row(
            "expired by a fraction",
            "RFC 7519, 4.1.4",
            token(json!({"exp": 1_790_000_069.999})),
            Rejection::Expired {
                expiry: Timestamp::from_millis(1_790_000_069_999),
                now: Timestamp::from_seconds(NOW),
            },
        ),
        row("expired in 1970", "RFC 7519, 4.1.4", token(json!({"exp": 0})), expired(0, NOW)),
        row("expiry in milliseconds", "RFC 7519, 2", token(json!({"exp": NOW * 1000})), too_long()),
        row("expiry at the end of time", "RFC 7519, 4.1.4", token(json!({"exp": i64::MAX})), too_long()),
        row("expiry far away", "RFC 7519, 4.1.4", token(json!({"exp": 9.2e18})), too_long()),
        row(
            "a second longer than allowed",
            "max_token_lifetime",
            token(json!({"iat": NOW, "exp": NOW + lifetime + 1})),
            too_long(),
        ),
        row(
            "long, and issued long ago",
            "max_token_lifetime",
            token(json!({"iat": NOW - lifetime, "nbf": 0, "exp": NOW + 1})),
            too_long(),
        ),
        row("issued in 1970", "max_token_lifetime", token(json!({"iat": 0, "exp": NOW + 60})), too_long()),
        row(
            "long, nobody knows since when",
            "max_token_lifetime",
            token(json!({"iat": null, "exp": NOW + edge + lifetime + 1})),
            too_long(),
        ),
        row(
            "valid next hour",
            "RFC 7519, 4.1.5",
            token(json!({"nbf": NOW + 3600})),
            not_yet_valid(NOW + 3600),
        ),
        row(
            "valid next second",
            "RFC 7519, 4.1.5",
            token(json!({"nbf": NOW + edge + 1})),
            not_yet_valid(NOW + edge + 1),
        ),
        row(
            "valid at the end of time",
            "RFC 7519, 4.1.5",
            token(json!({"nbf": i64::MAX})),
            not_yet_valid(i64::MAX),
        ),
        row(
            "issued next hour",
            "RFC 7519, 4.1.6",
            token(json!({"iat": NOW + 3600})),
            issued_in_future(NOW + 3600),
        ),
        row(
            "issued next second",
            "RFC 7519, 4.1.6",
            token(json!({"iat": NOW + edge + 1})),
            issued_in_future(NOW + edge + 1),
        ),
        row(
            "issued in milliseconds",
            "RFC 7519, 2",
            token(json!({"iat": NOW * 1000})),
            issued_in_future(NOW * 1000),
        ),
    ]
}

fn issued_in_future(issued_at: i64) -> Rejection {
    let [issued_at, now] = [issued_at, NOW].map(Timestamp::from_seconds);
    Rejection::IssuedInFuture { issued_at, now }
}

fn names(desk: &Desk) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, source) in [
        ("sub", "RFC 7519, 4.1.2"),
        ("jti", "RFC 7519, 4.1.7"),
        ("client_id", "RFC 9068, 2.2"),
        ("azp", "OpenID Connect Core, 2"),
        ("sid", "OpenID Connect Back-Channel Logout, 2.4"),
    ] {
        for value in [json!(1), json!(true), json!(["alice"]), json!({"a": 1})] {
            let token = changed(desk, &json!({ name: value }));
            rows.push(row("a name that is no string", source, token, wrong(name, "a string")));
        }
        rows.push(row("a name of null", source, null(desk, name), wrong(name, "a string")));
        for value in ["", "a\nb", "a\u{0}", "\u{7f}"] {
            let token = changed(desk, &json!({ name: value }));
            rows.push(row("an unfit name", source, token, wrong(name, NAME)));
        }
    }
    rows
}

/// V7: an object is not a list of scopes.
fn lists(desk: &Desk) -> Vec<Row> {
    let mut rows = Vec::new();
    for name in ["scope", "scp"] {
        for value in [
            json!(1),
            json!(true),
            json!(["items", 1]),
            json!([["items"]]),
            json!([null]),
            json!({"items": false}),
            json!({"items": null}),
            json!({"items": {}}),
        ] {
            let token = changed(desk, &json!({ name: value }));
            rows.push(row("scopes of another type", "RFC 9068, 2.2.3", token, wrong(name, VALUES)));
        }
        rows.push(row("scopes of null", "RFC 9068, 2.2.3", null(desk, name), wrong(name, VALUES)));
    }
    rows
}

fn id_tokens(desk: &Desk) -> Vec<Row> {
    let source = "OpenID Connect Core, 2 and 3.3.2.11";
    let other = |name: &str| Rejection::TypeNotAllowed { found: name.into() };
    let token = |changes: Value| changed(desk, &changes);
    let logout = json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}});
    vec![
        row("`nonce`", source, token(json!({"nonce": "n"})), Rejection::IdToken),
        row("`nonce` of null", source, null(desk, "nonce"), Rejection::IdToken),
        row("`at_hash`", source, token(json!({"at_hash": "h"})), Rejection::IdToken),
        row("`c_hash`", source, token(json!({"c_hash": "h"})), Rejection::IdToken),
        row("Cognito's", "RFC 8725, 3.12", token(json!({"token_use": "id"})), Rejection::IdToken),
        row("Keycloak's", "RFC 8725, 3.12", token(json!({"typ": "ID"})), Rejection::IdToken),
        row("a refresh token", "RFC 8725, 3.12", token(json!({"typ": "Refresh"})), other("Refresh")),
        row("an offline token", "RFC 8725, 3.12", token(json!({"typ": "Offline"})), other("Offline")),
        row(
            "Hydra's refresh token",
            "RFC 8725, 3.12",
            token(json!({"token_use": "refresh_token"})),
            other("refresh_token"),
        ),
        row(
            "a logout token",
            "OpenID Connect Back-Channel Logout, 2.4",
            token(logout),
            other("secevent+jwt"),
        ),
    ]
}

fn bound(desk: &Desk) -> Vec<Row> {
    let row = |what, source, value: Value| {
        row(what, source, changed(desk, &json!({ "cnf": value })), Rejection::SenderConstrained)
    };
    vec![
        row("DPoP", "RFC 9449, 6.1", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})),
        row(
            "mutual TLS",
            "RFC 8705, 3.1",
            json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
        ),
        row("a key", "RFC 7800, 3.2", json!({"jwk": {"kty": "EC"}})),
        row("a key's id", "RFC 7800, 3.4", json!({"kid": "k"})),
        row("nothing in particular", "RFC 7800, 3.1", json!({})),
        row("a string", "RFC 7800, 3.1", json!("k")),
    ]
}
