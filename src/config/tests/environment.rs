use super::*;

const OKTA: &str = "providers: { my-okta: { kind: okta, issuer: 'https://a', audience: a } }";

#[test]
fn a_variable_lies_over_the_file() {
    let config = load_with("server: { listen: 127.0.0.1:1 }", &[("SCOPEGATE_SERVER__LISTEN", "127.0.0.1:2")]);
    assert_eq!(config.unwrap().server.listen.to_string(), "127.0.0.1:2");
}

#[test]
fn names_are_compared_without_case_and_with_dash_as_underscore() {
    let variables = [("scopegate_Providers__MY_OKTA__client_id", "0012")];
    assert!(kinds::told(load_with(OKTA, &variables).unwrap(), "my-okta").starts_with("`0012`"));
}

#[test]
fn a_value_is_parsed_by_the_type_of_its_key() {
    let variables = [
        ("SCOPEGATE_DOCS", "ignored: no double underscore"),
        ("SCOPEGATE_CACHE__TOKENS", "7"),
        ("SCOPEGATE_SERVER__SHUTDOWN_GRACE", "3s"),
        ("SCOPEGATE_PROVIDERS__MY_OKTA__CLIENT_SECRET", "true"),
    ];
    let config = load_with(OKTA, &variables).unwrap();
    assert_eq!((config.cache.tokens, config.server.shutdown_grace.get().as_secs()), (7, 3));
    assert!(kinds::told(config, "my-okta").contains("Secret([redacted])"));
}

#[test]
fn a_list_has_its_items_between_commas() {
    let config = load_with("", &[("SCOPEGATE_SERVER__TRUSTED_PROXIES", "10.0.0.0/8, 127.0.0.1")]).unwrap();
    assert!(config.server.trusted_proxies.contains("127.0.0.1".parse().unwrap()));
    let variables = [("SCOPEGATE_PROVIDERS__MY_OKTA__ALGORITHMS", "ES256,RS256")];
    let told = kinds::told(load_with(OKTA, &variables).unwrap(), "my-okta");
    assert!(told.contains(r#"["ES256", "RS256"]"#), "{told}");
}

#[test]
fn what_kubernetes_injects_disturbs_nothing() {
    let variables = [
        ("SCOPEGATE_PORT", "tcp://10.0.0.1:80"),
        ("SCOPEGATE_SERVICE_HOST", "10.0.0.1"),
        ("SCOPEGATE_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("SCOPEGATE_CONFIG", "x"),
        ("SCOPEGATE__ADMIN_SERVICE_HOST", "10.0.0.1"),
        ("OTHER__SERVER__LISTEN", "x"),
    ];
    assert_eq!(load_with("", &variables).unwrap().server, ServerSettings::default());
}

#[test]
fn invariant_13_a_variable_that_names_no_setting_is_an_error_with_the_nearest() {
    let errors = load_with("", &[("SCOPEGATE_SERVER__LISTN", "x")]).unwrap_err();
    let expected = Cause::UnknownVariable {
        name: "SCOPEGATE_SERVER__LISTN".into(),
        nearest: Some("SCOPEGATE_SERVER__LISTEN".into()),
    };
    assert_eq!(errors.iter().next().unwrap().cause(), &expected);
}

#[test]
fn a_wrong_value_is_told_with_the_variable() {
    let told = load_with("", &[("SCOPEGATE_CACHE__TOKENS", "many")]).unwrap_err().to_string();
    assert!(told.contains("--> the environment variable SCOPEGATE_CACHE__TOKENS (cache.tokens)"), "{told}");
}

#[test]
fn a_provider_can_come_from_the_environment_alone() {
    let variables = [
        ("SCOPEGATE_PROVIDERS__ID__KIND", "oidc"),
        ("SCOPEGATE_PROVIDERS__ID__ISSUER", "https://id.example"),
        ("SCOPEGATE_PROVIDERS__ID__AUDIENCE", "0012"),
    ];
    let config = load_with("", &variables).unwrap();
    assert_eq!(config.providers[0].outline().audiences[0].as_str(), "0012");
}

#[test]
fn a_variable_replaces_a_secret_that_the_file_reads_elsewhere() {
    let text = "store: { url: { env: NOT_SET } }";
    assert!(load_with(text, &[("SCOPEGATE_STORE__URL", "memory:")]).is_ok());
}

#[test]
fn two_variables_for_one_setting_are_refused() {
    let variables = [("SCOPEGATE_STORE__URL", "memory:"), ("SCOPEGATE_STORE__URL__FILE", "/x")];
    let errors = load_with("", &variables).unwrap_err();
    assert!(matches!(errors.iter().next().unwrap().cause(), Cause::VariableTwice { .. }), "{errors}");
}
