//! Settings as people write them.

use super::*;
use crate::policy::settings::{Allow, MatchSettings, RequireSettings};

fn route(yaml: &str) -> Result<RouteSettings, String> {
    serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
}

#[test]
fn a_route_is_written_short_and_long() {
    let long = route("{ match: { methods: [GET], host: a.example, path: '/l/{year}' }, require: { all: [a], any: [b, c], roles: analyst, claims: { org_id: acme }, clients: [x], providers: [okta], audience: https://a.example } }").unwrap();
    let RequireSettings::Long(require) = long.require.unwrap() else { panic!() };
    assert_eq!(require.roles.unwrap().len(), 1);
    assert_eq!(require.audience.unwrap()[0].as_str(), "https://a.example");
    let short = route("{ match: [GET /a, /b], allow: optional }").unwrap();
    assert_eq!(short.matches, MatchSettings::Many(vec!["GET /a".into(), "/b".into()]));
    assert_eq!(short.allow, Some(Allow::Optional));
}

#[test]
fn invariant_13_an_error_inside_a_long_form_stays_what_it_is() {
    for (yaml, part) in [
        ("{ match: /a, requires: s }", "unknown field `requires`"),
        ("{ match: /a, require: { every: [s] } }", "unknown field `every`"),
        ("{ match: { host: a, paths: /a }, allow: nobody }", "unknown field `paths`"),
        ("{ match: { host: a }, allow: nobody }", "missing field `path`"),
        ("{ match: /a, allow: everyone }", "unknown variant `everyone`"),
        ("{ match: /a, allow: nobody, accept: [slashes] }", "unknown variant `slashes`"),
        ("{ match: /a, require: 'two words' }", "a scope may not hold ' '"),
        ("{ match: 5, allow: nobody }", "a pattern such as `GET /items/**`"),
        ("{ match: /a, require: { roles: { a: b } } }", "a name or a list of names"),
        ("{ allow: nobody }", "missing field `match`"),
    ] {
        let error = route(yaml).unwrap_err();
        assert!(error.contains(part), "{yaml}: {error}");
    }
}

#[test]
fn settings_survive_being_stored_as_json() {
    let settings = route("{ match: 'GET a.example/b/{c}', require: { any_of: [{ all: a, claims: { l: [1, true] } }, { roles: [b] }] }, fresh: true, accept: [encoded_slash], upstream: u, strip_prefix: /b, identity: { headers: { X-User: sub }, forward: mint }, cors: { origins: ['https://a.example'], max_age: 10m }, accept_token: [websocket_protocol] }").unwrap();
    let json = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<RouteSettings>(&json).unwrap(), settings);
    let scope: ScopeSettings = serde_saphyr::from_str("{ description: Read, routes: [GET /a] }").unwrap();
    let json = serde_json::to_string(&scope).unwrap();
    assert_eq!(serde_json::from_str::<ScopeSettings>(&json).unwrap(), scope);
}

#[test]
fn settings_have_a_schema_that_knows_both_forms() {
    let schema = serde_json::to_value(schemars::schema_for!(RouteSettings)).unwrap();
    assert_eq!(schema["additionalProperties"], json!(false));
    let forms = schema["$defs"]["RequireSettings"]["anyOf"].as_array().unwrap();
    assert_eq!(forms.len(), 3);
}
