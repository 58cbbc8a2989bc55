//! Configurations that cannot mean what their author thinks (CASES, C rows).

use std::fs;

use super::*;

/// Asserts that the text has one error at this key, and returns its message.
fn message_at(key: &str, text: &str) -> String {
    let error = error(text);
    assert_eq!(error.key(), key, "{error}");
    error.cause().to_string()
}

fn provider(settings: &str) -> String {
    format!("providers:\n  okta: {{ {settings} }}\n")
}

fn warnings(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let config = load_with(text, variables).unwrap_or_else(|errors| panic!("{errors}"));
    config.warnings.into_iter().map(|warning| warning.message).collect()
}

/// CASES C1: a placeholder that was left in.
#[test]
fn a_placeholder_is_an_error_that_says_how_to_fill_it_in() {
    for (key, settings, found, advice) in [
        (
            "client_secret",
            "issuer: 'https://a', audience: a, client_secret: '${OKTA_SECRET}'",
            "`${OKTA_SECRET}`",
            "`{ env: OKTA_SECRET }`",
        ),
        (
            "client_secret",
            "issuer: 'https://a', audience: a, client_secret: '<client secret>'",
            "`<client secret>`",
            "`{ env: NAME }`",
        ),
        (
            "issuer",
            "issuer: 'https://${TENANT}.okta.com/oauth2/default', audience: a",
            "`${TENANT}`",
            "`SCOPEGATE_PROVIDERS__OKTA__ISSUER`",
        ),
        (
            "audience",
            "issuer: 'https://a', audience: '<your audience>'",
            "`<your audience>`",
            "`SCOPEGATE_PROVIDERS__OKTA__AUDIENCE`",
        ),
        (
            "audience",
            "issuer: 'https://a', audience: '{{ audience }}'",
            "`{{ audience }}`",
            "`SCOPEGATE_PROVIDERS__OKTA__AUDIENCE`",
        ),
        (
            "client_id",
            "issuer: 'https://a', audience: a, client_id: '$CLIENT_ID'",
            "`$CLIENT_ID`",
            "`SCOPEGATE_PROVIDERS__OKTA__CLIENT_ID`",
        ),
    ] {
        let message = message_at(&format!("providers.okta.{key}"), &provider(settings));
        assert!(message.starts_with(found) && message.contains(advice), "{message}");
    }
    let url = message_at("store.url", "store: { url: 'postgres://u:${PASSWORD}@h/d' }");
    assert!(url.starts_with("`${PASSWORD}`") && url.contains("`{ env: PASSWORD }`"), "{url}");
    let route =
        message_at("routes[0].upstream", "routes: [ { match: /a, allow: anonymous, upstream: '<orders>' } ]");
    assert!(route.starts_with("`<orders>`"), "{route}");
}

/// CASES C1: a value of the environment may be a placeholder, too.
#[test]
fn a_placeholder_in_a_variable_is_an_error() {
    let text = provider("issuer: 'https://a', audience: a, client_secret: { env: S }");
    let errors = load_with(&text, &[("S", "${OKTA_SECRET}")]).unwrap_err();
    assert!(errors.to_string().contains("is a placeholder that was not filled in"), "{errors}");
}

/// CASES C1: texts that people read, and secrets that hold the same characters by chance.
#[test]
fn descriptions_and_secrets_with_the_same_characters_are_accepted() {
    let text = provider("issuer: 'https://a', audience: a, client_secret: 'a${b}<c>*'");
    let scopes = "scopes: { items: 'Read <all> items', more: { description: '{{ x }}' } }";
    assert!(load(&format!("{text}{scopes}")).is_ok());
}

/// CASES C1: `*` where texts are compared literally.
#[test]
fn a_star_is_an_error_where_texts_are_compared_literally() {
    for (key, settings) in [
        ("audience", "issuer: 'https://a', audience: '*'"),
        ("audience", "issuer: 'https://a', audience: 'https://*.acme.example'"),
        ("client_id", "issuer: 'https://a', audience: a, client_id: '*'"),
        ("issuer", "issuer: 'https://*.okta.com', audience: a"),
    ] {
        let message = message_at(&format!("providers.okta.{key}"), &provider(settings));
        assert!(message.contains("compared literally"), "{message}");
    }
    assert!(load("cors: { origins: ['*'] }").is_ok());
}

/// CASES C2: methods that do not exist.
#[test]
fn an_unknown_method_is_an_error_with_the_nearest_one() {
    for (pattern, expected) in [
        ("ANY /items", "`ANY` is not a method: leave the method out for every method"),
        ("'* /items'", "`*` is not a method: leave the method out for every method"),
        ("GTE /items", "unknown method `GTE`; did you mean `GET`?"),
        ("GET|PSOT /items", "unknown method `PSOT`; did you mean `POST`?"),
        ("FETCH /items", "unknown method `FETCH`; leave the method out for every method"),
        ("{ methods: [DELTE], path: /items }", "did you mean `DELETE`?"),
    ] {
        let text = format!("routes: [ {{ match: {pattern}, allow: nobody }} ]");
        let error = error(&text);
        assert!(error.key().starts_with("routes[0].match"), "{error}");
        assert!(error.cause().to_string().contains(expected), "{error}");
    }
    assert!(load("routes: [ { match: PROPFIND|MKCOL|REPORT /dav/**, allow: nobody } ]").is_ok());
}

/// CASES C6: the development configuration has known secrets.
#[test]
fn the_development_configuration_never_listens_beyond_loopback() {
    for variable in ["SCOPEGATE_SERVER__LISTEN", "SCOPEGATE_OPERATIONS__LISTEN"] {
        let loader = Loader::new().environment([(variable.to_owned(), "0.0.0.0:8081".to_owned())]);
        let errors = loader.load(&ConfigSource::BuiltIn).unwrap_err();
        assert!(errors.to_string().contains("listens on loopback only"), "{errors}");
    }
}

/// CASES C6: settings from the environment alone are a configuration of their own.
#[test]
fn the_environment_alone_is_a_configuration_without_the_development_issuer() {
    let variables = [
        ("SCOPEGATE_SERVER__LISTEN", "0.0.0.0:8080"),
        ("SCOPEGATE_PROVIDERS__OKTA__ISSUER", "https://a"),
        ("SCOPEGATE_PROVIDERS__OKTA__AUDIENCE", "a"),
    ];
    let config =
        loader(&variables).load(&ConfigSource::Environment).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!((config.providers.len(), config.providers[0].kind()), (1, "okta"));
    assert!(!config.sample_api && !config.token_endpoint && config.store.is_none());
}

/// CASES C7: one underscore instead of two.
#[test]
fn a_variable_with_one_underscore_is_warned_of_with_the_right_name() {
    let text = format!(
        "{}{}",
        provider("issuer: 'https://a', audience: a"),
        "routes: [ { match: /a, allow: nobody } ]"
    );
    for (name, right) in [
        ("SCOPEGATE_SERVER_LISTEN", "`SCOPEGATE_SERVER__LISTEN`"),
        ("SCOPEGATE_SERVER_PUBLIC_URL", "`SCOPEGATE_SERVER__PUBLIC_URL`"),
        ("SCOPEGATE_SERVER_LIMITS_TOKEN", "`SCOPEGATE_SERVER__LIMITS__TOKEN`"),
        ("SCOPEGATE_PROVIDERS_OKTA_CLIENT_SECRET", "`SCOPEGATE_PROVIDERS__OKTA__CLIENT_SECRET`"),
        ("scopegate_store_url", "`SCOPEGATE_STORE__URL`"),
    ] {
        let warnings = warnings(&text, &[(name, "hunter2")]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(right) && !warnings[0].contains("hunter2"), "{warnings:?}");
    }
    let kubernetes = [
        ("SCOPEGATE_PORT", "tcp://10.0.0.1:80"),
        ("SCOPEGATE_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("SCOPEGATE_SERVICE_HOST", "10.0.0.1"),
        ("SCOPEGATE_SERVICE_PORT_HTTP", "80"),
        ("SCOPEGATE_SERVER_SERVICE_HOST", "10.0.0.1"),
        ("SCOPEGATE_CONFIG", "x"),
    ];
    assert_eq!(warnings(&text, &kubernetes), [""; 0]);
}

/// CASES C9: an empty file reaches nothing.
#[test]
fn a_configuration_without_routes_is_warned_of() {
    for text in ["", "# nothing\n", "server: { listen: 127.0.0.1:1 }"] {
        let warnings = warnings(text, &[]);
        assert!(
            warnings[0].starts_with("there is no route, so every request is denied"),
            "{text}: {warnings:?}"
        );
    }
    assert_eq!(warnings("store: { url: 'memory:' }", &[]), [""; 0], "routes may be stored");
}

/// CASES F4: without a host by which callers reach scopegate, challenges cannot name the metadata.
#[test]
fn an_address_that_stands_for_all_is_warned_of_unless_the_host_is_known() {
    let said = |server: &str| {
        let text = format!("server: {{ {server} }}\nroutes: [ {{ match: /**, allow: anonymous }} ]");
        let warnings = warnings(&text, &[]);
        warnings.iter().any(|warning| warning.starts_with("no host is known"))
    };
    assert!(said("listen: '0.0.0.0:8080'") && said("listen: '[::]:8080'"));
    for known in ["public_url: 'https://api.example'", "trusted_proxies: [10.0.0.0/8]"] {
        assert!(!said(&format!("listen: '0.0.0.0:8080', {known}")), "{known}");
    }
    assert!(!said("listen: '127.0.0.1:8080'"));
}

/// CASES C10: an issuer without its scheme.
#[test]
fn an_issuer_without_a_scheme_is_told_that_the_scheme_is_missing() {
    for issuer in ["acme.okta.com/oauth2/default", "localhost:8080/realms/acme"] {
        let message =
            message_at("providers.okta.issuer", &provider(&format!("issuer: '{issuer}', audience: a")));
        assert_eq!(message, format!("the scheme is missing: write `https://{issuer}`"));
    }
}

/// CASES C11: an endpoint in place of the issuer.
#[test]
fn an_endpoint_in_place_of_the_issuer_is_an_error_that_shows_the_issuer() {
    for (found, issuer) in [
        (
            "https://a.example/oauth2/default/.well-known/openid-configuration",
            "https://a.example/oauth2/default",
        ),
        ("https://a.example/.well-known/oauth-authorization-server/tenant", "https://a.example/tenant"),
        ("https://a.example/oauth2/default/v1/keys", "https://a.example/oauth2/default"),
        ("https://a.example/realms/acme/protocol/openid-connect/certs", "https://a.example/realms/acme"),
    ] {
        let message =
            message_at("providers.okta.issuer", &provider(&format!("issuer: '{found}', audience: a")));
        assert!(
            message.contains("leave off") && message.ends_with(&format!("write `{issuer}`")),
            "{message}"
        );
    }
}

/// CASES C12: what has to be quoted, on the right line.
#[test]
fn a_yaml_error_says_what_to_quote_on_its_line() {
    for (text, at, expected) in [
        ("store: { url: memory: }", 1, "quote this value: `\"memory:\"`"),
        (
            "routes:\n  - { match: GET /a, require: items }\n  - { match: GET /items/{id}, require: items }\n",
            3,
            "quote this value: `\"GET /items/{id}\"`",
        ),
        ("server:\n  listen: 127.0.0.1:1\nroutes:\n\t- { match: / }\n", 4, "YAML takes no tabs"),
        ("scopes:\n  items: Read: items\n", 2, "quote this value: `\"Read: items\"`"),
        ("routes:\n  - match: *\n", 2, "quote this value: `\"*\"`"),
    ] {
        let error = error(text);
        assert!(error.cause().to_string().contains(expected), "{error}");
        assert_eq!(line(&error), at, "{error}");
    }
}

/// CASES C12, invariant 11: the value to quote may be a secret.
#[test]
fn a_secret_that_has_to_be_quoted_is_not_shown() {
    for text in [
        "providers: { okta: { client_secret: %hunter2 } }",
        "providers:\n  okta:\n    client_secret: hunter2: x\n",
        "providers:\n  okta:\n    private_key:\n      hunter2: x: y\n",
    ] {
        let errors = load(text).unwrap_err().to_string();
        assert!(!errors.contains("hunter2") && errors.contains("quote the value"), "{errors}");
    }
}

/// CASES C13: a template that the provider's documentation shows.
#[test]
fn a_template_in_an_issuer_is_an_error_that_names_the_kind_for_several_tenants() {
    let text =
        provider("kind: oidc, issuer: 'https://login.microsoftonline.com/{tenantid}/v2.0', audience: a");
    let message = message_at("providers.okta.issuer", &text);
    assert!(
        message.starts_with("`{tenantid}`") && message.contains("`kind: entra` with `tenants`"),
        "{message}"
    );
}

/// CASES C14: the folder of the database.
#[test]
fn a_database_in_a_folder_that_does_not_exist_is_an_error() {
    let message = message_at("store.url", "store: { url: 'sqlite:///no/such/folder/scopegate.db' }");
    assert!(message.contains("the folder `/no/such/folder` does not exist"), "{message}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scopegate.db");
    assert!(load(&format!("store: {{ url: 'sqlite://{}' }}", path.display())).is_ok());
}

/// CASES C8: the name of the file may end in `.yml`.
#[test]
fn a_folder_and_a_file_that_end_in_yml_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scopegate.yml");
    fs::write(&path, "docs: true").unwrap();
    assert!(loader(&[]).load(&ConfigSource::Path(path)).unwrap().docs);
}
