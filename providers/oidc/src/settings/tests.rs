//! Settings that are refused, and what the message says.

use scopegate_provider::{Issuer, ProviderName};
use serde_json::{Value, json};

use super::*;
use crate::algorithm::Algorithm;

fn with(more: &Value) -> Value {
    let mut settings = json!({ "issuer": "https://id.example/realms/acme", "audience": "items-api" });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

fn error(settings: Value) -> String {
    serde_json::from_value::<Settings>(settings).unwrap_err().to_string()
}

fn parsed(more: &Value) -> Settings {
    serde_json::from_value(with(more)).unwrap()
}

#[test]
fn invariant_13_contradictory_settings_name_the_key_and_what_to_write() {
    let cases = [
        (json!({ "audience": [] }), "`audience`: expected the audience of this API"),
        (json!({ "issuer": null }), "`issuer`: expected the issuer"),
        (json!({ "issuer": "id.example" }), "`issuer`: the scheme is missing: write `https://id.example`"),
        (json!({ "issuer": "https://id.example/?a=b" }), "`issuer`: expected a URL without query"),
        (json!({ "issuer": "http://id.example" }), "`issuer`: plain http is for loopback only"),
        (json!({ "issuers": ["http://id.example"] }), "`issuers`: plain http is for loopback only"),
        (json!({ "jwks_uri": "http://id.example/keys" }), "`jwks_uri`: plain http is for loopback only"),
        (json!({ "token_endpoint": "mailto:a@b" }), "expected a URL such as"),
        (json!({ "algorithms": [] }), "`algorithms`: an empty list admits no token"),
        (json!({ "algorithms": ["HS256"] }), "whoever can check an HMAC can also forge it"),
        (json!({ "algorithms": ["none"] }), "a token without a signature proves nothing"),
        (json!({ "token_types": [] }), "`token_types`: an empty list"),
        (json!({ "client_claims": [] }), "`client_claims`: an empty list"),
        (json!({ "scope_claims": ["/a~2"] }), "`~` must be followed by `0` or `1`"),
        (json!({ "validate": "introspect" }), "`client_id`: introspection needs a client"),
        (json!({ "validate": "jwt_then_introspect" }), "`client_id`: introspection needs a client"),
        (json!({ "opaque_tokens": "introspect" }), "`client_id`: introspection needs a client"),
        (json!({ "introspection": {} }), "`client_id`: introspection needs a client"),
        (json!({ "client_secret": "s" }), "`client_id`: expected the client that `client_secret` belongs to"),
        (json!({ "private_key": "s" }), "`client_id`: expected the client that `private_key` belongs to"),
        (
            json!({ "client_id": "a", "client_authentication": "client_secret_basic" }),
            "`client_authentication`: it needs `client_secret`",
        ),
        (
            json!({ "client_id": "a", "client_authentication": "private_key_jwt" }),
            "`private_key_jwt` needs `private_key`",
        ),
        (
            json!({ "client_id": "a", "client_secret": "s", "client_authentication": "none" }),
            "`none` contradicts",
        ),
        (json!({ "client_id": "a", "client_secret": "s", "private_key": "k" }), "take one of them out"),
        (json!({ "client_id": "a", "private_key": "k" }), "`private_key`: expected an RSA"),
        (json!({ "leeway": "10m" }), "`leeway`: expected a duration from 0s to 5m"),
        (json!({ "leeway": "-1s" }), "expected a duration such as"),
        (json!({ "jwks": { "refresh": "1s" } }), "`jwks.refresh`: expected a duration from 30s to 1d"),
        (
            json!({ "jwks": { "stale_if_error": "5m" } }),
            "`jwks.stale_if_error`: expected at least `jwks.refresh` (1h)",
        ),
        (json!({ "jwks": { "cool_down": "0s" } }), "`jwks.cool_down`: expected a duration"),
        (json!({ "jwks": { "cooldown": "1s" } }), "unknown field `cooldown`"),
        (json!({ "max_token_lifetime": "0s" }), "`max_token_lifetime`: expected a duration"),
        (
            json!({ "client_id": "a", "client_secret": "s", "introspection": { "timeout": "0s" } }),
            "`introspection.timeout`",
        ),
        (json!({ "http": { "timeout": "0s" } }), "`http`: a timeout must be longer than zero"),
        (json!({ "http": { "ca": "/no/such/file.pem" } }), "`http`: cannot read the certificate file"),
        (json!({ "http": { "proxy": "nonsense" } }), "`http`: expected the URL of a proxy"),
        (json!({ "map_scopes": { "a": "two words" } }), "a scope may not hold ' '"),
        (json!({ "audiense": "x" }), "unknown field `audiense`"),
    ];
    for (more, expected) in cases {
        let error = error(with(&more));
        assert!(error.contains(expected), "{more}: {error}");
    }
}

#[test]
fn invariant_11_no_error_quotes_a_secret() {
    let secret = "hunter2-hunter2";
    let cases = [
        json!({ "client_secret": secret }),
        json!({ "client_id": "a", "client_secret": secret, "client_authentication": "none" }),
        json!({ "client_id": "a", "private_key": secret }),
        json!({ "client_id": "a", "client_secret": [secret] }),
        json!({ "http": { "proxy": format!("socks4://{secret}@proxy") } }),
    ];
    for more in cases {
        let error = error(with(&more));
        assert!(!error.contains(secret), "{error}");
    }
}

#[test]
fn plain_http_is_taken_for_loopback_and_for_hosts_that_are_named() {
    parsed(&json!({ "issuer": "http://127.0.0.1:9400" }));
    let settings = parsed(
        &json!({ "issuer": "http://keycloak.auth.svc", "http": { "insecure_hosts": ["keycloak.auth.svc"] } }),
    );
    assert!(settings.outline().warnings[0].contains("keycloak.auth.svc"));
}

#[test]
fn allowed_clients_alone_suffice_and_are_warned_of() {
    let settings = json!({ "issuer": "https://id.example", "allowed_clients": ["web"] });
    let settings: Settings = serde_json::from_value(settings).unwrap();
    assert!(settings.outline().warnings[0].starts_with("`audience`"));
}

#[test]
fn settings_become_rules() {
    let settings = parsed(&json!({
        "issuers": ["https://login.acme.example/", "https://id.example/realms/acme"],
        "audience": ["a", "b"],
        "algorithms": ["RS256"],
        "token_types": ["none"],
        "leeway": "1m",
        "role_claims": ["/realm_access/roles"],
        "map_scopes": { "orders.read": "items" },
        "required_claims": { "token_use": "access", "tier": [1, 2] },
        "max_token_lifetime": "1d",
    }));
    let rules = settings.rules(ProviderName::parse("keycloak").unwrap());
    let issuers: Vec<_> = rules.issuers.iter().map(Issuer::as_str).collect();
    assert_eq!(issuers, ["https://id.example/realms/acme", "https://login.acme.example/"]);
    assert_eq!((rules.audiences.len(), rules.algorithms), (2, vec![Algorithm::Rs256]));
    assert_eq!(rules.token_types, [TokenType::Absent]);
    assert_eq!((rules.leeway, rules.max_token_lifetime), (Duration::from_mins(1), Duration::from_hours(24)));
    assert_eq!(rules.role_claims[0].as_str(), "/realm_access/roles");
    assert_eq!(rules.map_scopes.get("orders.read").unwrap().as_str(), "items");
    assert_eq!(rules.required_claims.iter().map(|claim| claim.any_of.len()).sum::<usize>(), 3);
}

#[test]
fn an_outline_says_what_can_be_known_without_connecting() {
    let outline = parsed(&json!({
        "client_id": "a", "client_secret": "s", "validate": "introspect", "opaque_tokens": "introspect",
    }))
    .outline();
    assert!(outline.introspects && outline.opaque_tokens);
    assert_eq!(outline.token_requests, TokenRequests::ConfiguredClient);
    assert_eq!(parsed(&json!({})).outline().token_requests, TokenRequests::CallersClient);
}

#[test]
fn the_schema_lists_every_key_and_denies_others() {
    let schema = Settings::schema();
    assert_eq!(schema["additionalProperties"], json!(false));
    for key in ["issuer", "audience", "jwks", "introspection", "http", "client_secret"] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
}

/// CASES C10, C11, C13: an issuer that no token can name says what to write.
#[test]
fn an_issuer_that_no_token_can_name_is_refused() {
    let cases = [
        ("acme.okta.com/oauth2/default", "write `https://acme.okta.com/oauth2/default`"),
        (
            "https://id.example/.well-known/openid-configuration",
            "leave off `/.well-known/openid-configuration`",
        ),
        ("https://acme.okta.com/oauth2/default/v1/keys", "leave off `/v1/keys`"),
        (
            "https://login.microsoftonline.com/{tenantid}/v2.0",
            "use `kind: entra` with `tenant: ID` or `tenants: any`",
        ),
    ];
    for (issuer, expected) in cases {
        let error = error(with(&json!({ "issuer": issuer })));
        assert!(error.contains(expected), "{issuer}: {error}");
    }
}

#[test]
fn keys_come_from_one_place() {
    let error = error(with(&json!({ "jwks_uri": "https://id.example/k", "jwks": { "file": "keys.json" } })));
    assert!(error.contains("leave off all but one of `jwks.file`, `jwks_uri`"), "{error}");
    let unusable = self::error(with(&json!({ "jwks": { "keys": [{ "kty": "oct", "k": "AAAA" }] } })));
    assert!(unusable.contains("`jwks.keys`: the key set holds no usable key"), "{unusable}");
}
