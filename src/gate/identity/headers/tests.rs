use proptest::prelude::*;
use scopegate_provider::{Claims, ClientId, Subject, Verified};
use serde_json::json;

use super::*;
use crate::testing;

fn principal(claims: Value) -> Principal {
    let Value::Object(claims) = claims else { unreachable!("claims are an object") };
    Principal::assert_verified(Verified {
        subject: claims.get("sub").and_then(Value::as_str).map(|sub| Subject::parse(sub).unwrap()),
        client: Some(ClientId::parse("0oa1").unwrap()),
        scopes: ["items", "items:write"].map(|scope| Scope::parse(scope).unwrap()).into_iter().collect(),
        roles: ["staff", "a,b"].map(|role| Role::parse(role).unwrap()).into(),
        claims: Claims::from_map(claims),
        ..testing::verified("okta").unwrap()
    })
}

fn compile(fields: &[(&str, &str)]) -> Result<IdentityHeaders, IdentityError> {
    let fields = fields.iter().map(|(header, fact)| ((*header).to_owned(), (*fact).to_owned()));
    IdentityHeaders::compile(&fields.collect())
}

fn carried(fact: &str, claims: Value) -> String {
    let mut headers = HeaderMap::new();
    compile(&[("X-Fact", fact)]).unwrap().set(Some(&principal(claims)), &mut headers);
    headers.get("x-fact").unwrap().to_str().unwrap().to_owned()
}

#[test]
fn scopes_are_joined_by_a_space_and_other_lists_by_a_comma() {
    assert_eq!(carried("scope", json!({})), "items items:write");
    assert_eq!(carried("/groups", json!({"groups": ["one", 2, "three"]})), "one,2,three");
}

#[test]
fn a_comma_inside_a_value_is_encoded() {
    assert_eq!(carried("roles", json!({})), "staff,a%2Cb");
}

#[test]
fn facts_about_the_principal_have_one_name_whatever_the_provider() {
    assert_eq!(carried("sub", json!({"sub": "auth0|1"})), "auth0|1");
    assert_eq!(carried("client_id", json!({})), "0oa1");
    assert_eq!(carried("provider", json!({})), "okta");
}

#[test]
fn nested_claims_are_reached_by_a_pointer() {
    assert_eq!(carried("/org/id", json!({"org": {"id": "acme"}})), "acme");
    assert_eq!(carried("/org", json!({"org": {"id": 1, "x": 2}})), "id,x");
}

#[test]
fn what_ends_a_field_or_is_not_ascii_is_encoded() {
    assert_eq!(carried("name", json!({"name": "Zoë\r\nX-Admin: 1"})), "Zo%C3%AB%0D%0AX-Admin:%201");
}

#[test]
fn invariant_8_every_configured_header_is_set_even_without_a_caller() {
    let mut headers = HeaderMap::new();
    headers.insert("x-auth-subject", HeaderValue::from_static("forged"));
    compile(&[("X-Auth-Subject", "sub"), ("X-Auth-Org", "org")]).unwrap().set(None, &mut headers);
    assert_eq!(headers.get("x-auth-subject").unwrap(), "");
    assert_eq!(headers.get("x-auth-org").unwrap(), "");
}

#[test]
fn invariant_8_identity_headers_are_stripped_by_normalised_name() {
    let stripped = Stripped::of([&compile(&[("X-Auth_Subject", "sub")]).unwrap()]);
    let mut headers = HeaderMap::new();
    for name in ["x-auth-subject", "x_auth_subject", "x-auth_subject"] {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static("forged"));
        headers.append(HeaderName::from_static(name), HeaderValue::from_static("twice"));
    }
    headers.insert("x-auth-subjects", HeaderValue::from_static("another"));
    stripped.strip(&mut headers);
    assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-auth-subjects"]);
}

/// A4: CGI, `FastCGI` and SCGI gateways fold every character that is not alphanumeric.
#[test]
fn identity_headers_are_removed_in_every_spelling_that_a_gateway_folds_to_the_same_name() {
    let stripped = Stripped::of([&compile(&[("X-Auth-Subject", "sub")]).unwrap()]);
    for byte in b"!#$%&'*+-.^_`|~" {
        let separator = char::from(*byte).to_string();
        for name in ["x-auth-subject", "x-http-method-override", "x-original-url"] {
            let name = name.replace('-', &separator);
            let mut headers = HeaderMap::new();
            headers
                .insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("forged"));
            stripped.strip(&mut headers);
            assert!(headers.is_empty(), "{name}");
        }
    }
}

/// A4: a forwarded header in another spelling than its own is never the proxy's.
#[test]
fn forwarded_headers_are_removed_in_every_spelling_but_their_own() {
    for (name, stays) in [
        ("x.forwarded.for", false),
        ("x_forwarded_proto", false),
        ("x-forwarded~host", false),
        ("x!original!uri", false),
        ("x-forwarded-for", true),
        ("x-request-id", true),
        ("x.other", true),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("forged"));
        Stripped::of([]).strip(&mut headers);
        assert_eq!(!headers.is_empty(), stays, "{name}");
    }
}

#[test]
fn headers_that_change_method_or_path_are_stripped() {
    let mut headers = HeaderMap::new();
    for name in ["x-http-method-override", "x_http_method_override", "x-http-method", "x-rewrite-url"] {
        headers.insert(name, HeaderValue::from_static("DELETE"));
    }
    Stripped::of([]).strip(&mut headers);
    assert!(headers.is_empty());
}

#[test]
fn a_header_that_http_needs_cannot_carry_identity() {
    for name in ["Authorization", "host", "Transfer_Encoding", "X-Forwarded-For", "Proxy-Authorization"] {
        assert_eq!(compile(&[(name, "sub")]), Err(IdentityError::Reserved { found: name.into() }));
    }
}

#[test]
fn one_header_in_two_spellings_is_refused() {
    let twice = compile(&[("X-User", "sub"), ("x_user", "client_id")]);
    assert_eq!(twice, Err(IdentityError::Twice { found: "x_user".into() }));
}

#[test]
fn a_name_that_is_none_is_refused() {
    assert_eq!(compile(&[("X User", "sub")]), Err(IdentityError::Name { found: "X User".into() }));
}

proptest! {
    #[test]
    fn invariant_8_whatever_a_claim_holds_the_value_is_visible_ascii(text in any::<String>(), more in any::<Vec<String>>()) {
        let value = carried("c", json!({"c": [text, more]}));
        prop_assert!(value.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{value:?}");
    }
}
