use serde_json::json;

use super::*;

fn settings(value: Value) -> Result<IssuerSettings, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn with(key: &str, value: Value) -> IssuerSettings {
    let mut whole =
        json!({ "audience": "a", "clients": [{ "id": "demo", "secret": "s", "scopes": ["items"] }] });
    whole[key] = value;
    settings(whole).unwrap()
}

#[test]
fn unless_said_it_listens_on_127_0_0_1_port_9400() {
    assert_eq!(with("algorithm", json!("EdDSA")).listen.to_string(), "127.0.0.1:9400");
}

#[test]
fn invariant_13_an_unknown_key_is_refused_by_name() {
    let refused = settings(json!({ "audience": "a", "clients": [], "audiance": "b" })).unwrap_err();
    assert!(refused.contains("unknown field `audiance`"), "{refused}");
}

#[test]
fn a_client_twice_is_refused_by_name() {
    let client = json!({ "id": "demo", "secret": "s" });
    let id = ClientId::parse("demo").unwrap();
    let refused = with("clients", json!([client, client])).check();
    assert_eq!(refused, Err(SettingsError::DuplicateClient { id }));
}

#[test]
fn without_clients_or_audiences_it_does_not_start() {
    assert_eq!(with("clients", json!([])).check(), Err(SettingsError::NoClient));
    assert_eq!(with("audience", json!([])).check(), Err(SettingsError::NoAudience));
}

#[test]
fn an_emulation_signs_with_rs256_only() {
    let mut settings = with("emulate", json!("auth0"));
    settings.algorithm = Some(SigningAlgorithm::EdDsa);
    let found = SigningAlgorithm::EdDsa;
    assert_eq!(settings.check(), Err(SettingsError::Algorithm { emulated: "Auth0", found }));
    settings.algorithm = None;
    assert_eq!(Tenant::parse(&settings).unwrap().algorithm, SigningAlgorithm::Rs256);
}

#[test]
fn a_key_of_one_emulation_is_refused_without_it() {
    let refused = with("token_dialect", json!("rfc9068_profile")).check();
    assert_eq!(refused, Err(SettingsError::OnlyFor { key: "token_dialect", emulate: "auth0" }));
    let refused = with("authorization_server", json!("aus1")).check();
    assert_eq!(refused, Err(SettingsError::OnlyFor { key: "authorization_server", emulate: "okta" }));
}

#[test]
fn an_authorization_server_that_would_change_the_path_is_refused() {
    for id in ["", "v1", "a/b", "..", "a b"] {
        let mut settings = with("emulate", json!("okta"));
        settings.authorization_server = Some(id.to_owned());
        assert_eq!(settings.check(), Err(SettingsError::AuthorizationServer { found: id.to_owned() }));
    }
}

#[test]
fn a_lifetime_below_a_second_is_refused() {
    assert_eq!(with("token_lifetime", json!("0s")).check(), Err(SettingsError::Lifetime));
}

#[test]
fn invariant_11_a_clients_secret_is_not_in_its_debug_text() {
    let settings = with("clients", json!([{ "id": "demo", "secret": "hunter2" }]));
    assert!(!format!("{settings:?}").contains("hunter2"));
}
