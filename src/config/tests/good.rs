use super::*;
use crate::policy::Source;

#[test]
fn an_empty_document_is_every_default() {
    let config = load("").unwrap();
    assert_eq!(config.server, ServerSettings::default());
    assert_eq!(config.server.public_url(), "http://127.0.0.1:8080");
    assert!(config.providers.is_empty() && config.store.is_none() && !config.docs);
}

#[test]
fn a_section_with_nothing_in_it_is_a_section_left_out() {
    let config = load("server:\nroutes:\nproviders:\ncors:\n").unwrap();
    assert_eq!(config.server, ServerSettings::default());
    assert!(config.cors.is_none());
}

#[test]
fn providers_keep_the_order_of_the_file() {
    let text = "providers:\n  zeta: { kind: oidc, issuer: 'https://z', audience: a }\n  alpha: { kind: okta, issuer: 'https://a', audience: a }\n";
    let config = load(text).unwrap();
    let names: Vec<&str> = config.providers.iter().map(|provider| provider.name().as_str()).collect();
    assert_eq!(names, ["zeta", "alpha"]);
}

#[test]
fn the_kind_of_a_provider_is_its_name_unless_said() {
    let config = load("providers: { okta: { issuer: 'https://a', audience: a, required: true } }").unwrap();
    assert_eq!(config.providers[0].kind(), "okta");
    assert!(config.providers[0].is_required());
}

#[test]
fn text_that_looks_like_a_number_is_text_where_text_is_wanted() {
    let config = load(
        "providers: { okta: { issuer: 'https://a', audience: a, client_id: 0012, client_secret: 0034 } }",
    );
    assert!(kinds::told(config.unwrap(), "okta").starts_with("`0012`"));
}

#[test]
fn an_anchor_is_read_where_it_is_used() {
    let text = "providers:\n  okta: &o { issuer: 'https://a', audience: a }\n  b: { <<: *o, kind: oidc, issuer: 'https://b' }\n";
    assert_eq!(load(text).unwrap().providers.len(), 2);
}

#[test]
fn equal_settings_have_equal_fingerprints_and_a_changed_secret_another() {
    let fingerprint = |secret: &str| {
        let text =
            format!("providers: {{ okta: {{ issuer: 'https://a', audience: a, client_secret: {secret} }} }}");
        load(&text).unwrap().providers[0].fingerprint()
    };
    assert_eq!(fingerprint("one"), fingerprint("one"));
    assert_ne!(fingerprint("one"), fingerprint("two"));
}

#[test]
fn routes_of_scopes_are_part_of_the_policy() {
    let text = "providers: { okta: { issuer: 'https://a', audience: a } }\nscopes: { reports: { description: Read, routes: ['GET /reports/**'] }, bare: }";
    let config = load(text).unwrap();
    assert!(
        matches!(config.rules.policy.routes()[0].source(), Source::Scope { name } if name.as_str() == "reports")
    );
}

#[test]
fn the_schema_is_a_schema_of_every_section_and_kind() {
    let schema = loader(&[]).schema();
    assert_eq!(schema["properties"]["server"]["$ref"], "#/$defs/ServerSettings");
    assert_eq!(schema["$defs"]["provider.okta"]["properties"]["kind"]["const"], "okta");
    let references = serde_json::to_string(&schema).unwrap();
    for target in references.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(schema.pointer(target).is_some(), "{target} leads nowhere");
    }
}

#[test]
fn a_configuration_is_never_shown_with_a_secret() {
    let text = "providers: { okta: { issuer: 'https://a', audience: a, client_secret: hunter2 } }\nstore: { url: 'postgres://u:hunter2@h/d' }\nintrospection: { clients: [ { id: a, secret: hunter2 } ] }";
    let shown = format!("{:?} {:?}", load(text).unwrap(), loader(&[("X", "hunter2")]));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn what_is_built_in_loads_and_listens_on_loopback_only() {
    let config =
        Loader::new().without_environment().load(&ConfigSource::BuiltIn).unwrap_or_else(|e| panic!("{e}"));
    assert!(config.server.listen.is_loopback() && config.operations.listen.is_loopback());
    assert!(config.sample_api && config.docs && config.token_endpoint && config.warnings.is_empty());
    assert_eq!(config.providers[0].kind(), "dev");
}

#[test]
fn minting_without_what_it_should_have_is_warned_of() {
    let warned = |more: &str| -> Vec<String> {
        let text =
            format!("identity: {{ forward: mint }}\nroutes: [ {{ match: /, allow: anonymous }} ]\n{more}");
        load(&text).unwrap().warnings.into_iter().map(|warning| warning.key).collect()
    };
    assert_eq!(warned(""), ["identity.mint", "server.public_url"]);
    let good = "server: { public_url: 'https://a.example' }\nstore: { url: 'memory:' }";
    assert_eq!(warned(good), [""; 0]);
}
