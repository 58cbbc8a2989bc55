//! The situations of real users load and check clean; `policy/tests/situations.rs` shows how they decide.

use super::*;

fn load_situation(number: usize) -> Config {
    let yaml = include_str!("../../../tests/data/situations.yaml");
    let document = yaml.split("\n---\n").nth(number - 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("okta");
    std::fs::write(&secret, "s3cret").unwrap();
    let text = document.replace("/run/secrets/okta", &secret.display().to_string());
    let variables =
        [("DATABASE_URL".to_owned(), "postgres://scopegate@db.acme.example/scopegate".to_owned())];
    let source = ConfigSource::Text { name: format!("situation {number}"), text };
    Loader::new().environment(variables).load(&source).unwrap_or_else(|errors| panic!("{errors}"))
}

fn warnings(config: &Config) -> Vec<String> {
    config.warnings.iter().map(|warning| warning.message.clone()).collect()
}

#[test]
fn situations_load_with_the_kinds_that_are_built_in_and_check_clean() {
    for (number, providers) in [(1, 1), (2, 3), (3, 1), (4, 2), (5, 2)] {
        let config = load_situation(number);
        assert_eq!(config.providers.len(), providers, "situation {number}");
        let insecure = |warning: &String| !warning.contains("insecure_hosts");
        let warnings: Vec<String> = warnings(&config).into_iter().filter(insecure).collect();
        assert_eq!(warnings, [""; 0], "situation {number}");
    }
}

#[test]
fn situation_2_is_warned_of_plain_http_to_its_keycloak_only() {
    let warnings = warnings(&load_situation(2));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("keycloak.auth.svc"), "{warnings:?}");
}

#[test]
fn situation_4_waits_for_the_provider_that_is_required_only() {
    let config = load_situation(4);
    let required: Vec<bool> = config.providers.iter().map(ProviderConfig::is_required).collect();
    assert_eq!(required, [true, false]);
    assert_eq!(config.forward_auth.dialects, [Dialect::Envoy]);
    assert!(config.store.is_some() && config.admin.is_some());
}
