use super::*;

#[test]
fn invariant_11_no_error_shows_a_secret_or_its_line() {
    let texts = [
        // beside another error, in one line
        "providers: { okta: { issuer: 'https://a', audience: a, client_secret: hunter2, leeway: 10 } }",
        // under a misspelt key
        "providers: { okta: { issuer: 'https://a', audience: a, client_secert: hunter2 } }",
        "providers:\n  okta:\n    issuer: https://a\n    audience: a\n    clientpw: hunter2\n",
        // of the wrong shape
        "providers: { okta: { issuer: 'https://a', audience: a, client_secret: [hunter2] } }",
        "providers: { okta: { issuer: 'https://a', audience: a, client_secret: { evn: hunter2 } } }",
        // in a URL
        "store: { url: 'mysql://u:hunter2@h/d' }",
        "server: { public_url: 'https://u:hunter2@h' }",
        // in what is no YAML
        "providers:\n  okta:\n    client_secret: \"hunter2\n",
        "private_key: |\n  a\n  hunter2\n\tb: c\n",
        // given twice
        "store: { url: 'memory:', url: 'postgres://u:hunter2@h/d' }",
    ];
    for text in texts.iter().flat_map(|text| [(*text).to_owned(), text.replace('\n', "\r")]) {
        let errors = load(&text).unwrap_err();
        let json = serde_json::to_string(&errors).unwrap();
        let shown = format!("{errors} {errors:?} {json}");
        assert!(!shown.contains("hunter2"), "{text}\n{shown}");
    }
}

#[test]
fn invariant_11_a_variable_with_a_secret_is_never_shown() {
    let variables = [
        ("SCOPEGATE_STORE__URL", "mysql://u:hunter2@h/d"),
        ("SCOPEGATE_PROVIDERS__OKTA__CLIENT_SECERT", "hunter2"),
        ("SCOPEGATE_SERVR__X", "hunter2"),
    ];
    let text = "providers: { okta: { issuer: 'https://a', audience: a } }";
    let errors = load_with(text, &variables).unwrap_err();
    assert!(!format!("{errors} {errors:?}").contains("hunter2"), "{errors}");
    assert_eq!(errors.iter().count(), 3, "{errors}");
}

#[test]
fn a_secret_in_a_variable_that_is_not_set_is_told_at_its_place() {
    let text = "store:\n  url: { env: DATABASE_URL }\n";
    let error = error(text);
    assert_eq!(error.cause(), &Cause::SecretVariable { name: "DATABASE_URL".into() });
    assert_eq!((line(&error), error.key()), (2, "store.url"));
}

#[test]
fn a_secret_file_that_is_not_there_is_told_at_its_place() {
    let text = "providers: { okta: { issuer: 'https://a', audience: a, client_secret: { file: /no/such } } }";
    assert!(matches!(error(text).cause(), Cause::SecretFile { path, .. } if path == "/no/such"));
}

#[test]
fn a_secret_is_read_from_the_environment() {
    assert!(load_with("store: { url: { env: U } }", &[("U", "memory:")]).is_ok());
}
