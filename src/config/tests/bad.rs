use super::*;

/// `bad.txt` holds bad configurations, each followed by `>>> KEY:LINE MESSAGE`: its one error. Line 0 is not compared.
#[test]
fn invariant_13_a_bad_configuration_is_refused_with_what_to_write_instead() {
    let mut text = String::new();
    let mut wrong = Vec::new();
    for written in include_str!("bad.txt").lines() {
        match written.strip_prefix(">>> ") {
            None => text = text + written + "\n",
            Some(expected) => wrong.extend(difference(&std::mem::take(&mut text), expected)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn difference(text: &str, expected: &str) -> Option<String> {
    let (location, message) = expected.split_once(' ').unwrap();
    let (key, line) = location.rsplit_once(':').unwrap();
    let found = match load(text) {
        Ok(_) => "no error".to_owned(),
        Err(errors) => match errors.iter().collect::<Vec<_>>().as_slice() {
            [error] if is_told(error, key, line.parse().unwrap(), message) => return None,
            _ => format!("{errors}"),
        },
    };
    Some(format!("{text}expected {expected}\nfound {found}\n"))
}

fn is_told(error: &ConfigError, key: &str, line: u32, message: &str) -> bool {
    let key = if key == "(document)" { "" } else { key };
    let same_line = line == 0 || error.location().and_then(Location::line) == Some(line);
    same_line && error.key() == key && error.cause().to_string().contains(message)
}

#[test]
fn an_undeclared_scope_is_told_with_the_nearest() {
    let error = error(
        "providers: { okta: { issuer: 'https://a', audience: a } }\nscopes: { items: Items }\nroutes:\n  - match: /a\n    require: itmes\n",
    );
    assert!(error.cause().to_string().contains("did you mean `items`?"), "{error}");
    assert_eq!((error.key(), line(&error)), ("routes[0].require", 5));
}

#[test]
fn two_providers_with_one_issuer_are_refused() {
    let error = error(
        "providers:\n  okta: { issuer: 'https://a', audience: a }\n  b: { kind: oidc, issuer: 'https://a', audience: a }\n",
    );
    let expected = Conflict::SameIssuer { issuer: "https://a".into(), other: "okta".into() };
    assert_eq!((error.cause(), line(&error)), (&Cause::Conflict(expected), 3));
}

#[test]
fn invariant_12_two_providers_that_take_opaque_tokens_are_refused() {
    let error = error(
        "providers:\n  okta: { issuer: 'https://a', audience: a, opaque_tokens: true }\n  b: { kind: oidc, issuer: 'https://b', audience: a, opaque_tokens: true }\n",
    );
    let expected = Conflict::SeveralTakeOpaqueTokens { other: "okta".into() };
    assert_eq!((error.cause(), error.key()), (&Cause::Conflict(expected), "providers.b.opaque_tokens"));
}

#[test]
fn invariant_16_an_admin_rule_that_names_no_provider_is_refused_where_there_are_several() {
    let error = error(
        "providers:\n  okta: { issuer: 'https://a', audience: a }\n  b: { kind: oidc, issuer: 'https://b', audience: a }\nscopes: { admin: Administer }\nadmin: { require: admin }\n",
    );
    assert!(matches!(
        error.cause(),
        Cause::Conflict(Conflict::Policy(crate::policy::Problem::ProvidersNotNamed { .. }))
    ));
    assert_eq!((error.key(), line(&error)), ("admin.require", 5));
}

#[test]
fn every_error_is_told_at_once_in_the_order_of_the_file() {
    let text = "servr: {}\nserver:\n  listn: a\n  base_path: a\n  shutdown_grace: 3\ndocs: 1\nproviders:\n  okta: { audience: [], leeway: 3 }\n  nope: {}\nroutes:\n  - { match: a b c, allow: nobody }\n  - { mach: / }\n";
    let lines: Vec<u32> = errors(text).iter().map(line).collect();
    assert_eq!(lines, [1, 3, 4, 5, 6, 8, 8, 9, 11, 12], "{}", load(text).unwrap_err());
}

#[test]
fn duplicate_keys_are_all_told() {
    let lines: Vec<u32> =
        errors("a: 1\na: 2\nserver: { listen: a,\n listen: b }\na: 3\n").iter().map(line).collect();
    assert_eq!(lines, [2, 4, 5]);
}

#[test]
fn an_error_is_shown_as_a_compiler_would() {
    let told = load("server:\n  listn: 127.0.0.1:1\n").unwrap_err().to_string();
    let expected = "error: unknown key `listn`; did you mean `listen`?\n  --> scopegate.yaml:2:3 (server.listn)\n  |\n2 |   listn: …\n  |   ^^^^^";
    assert_eq!(told, expected);
}

#[test]
fn errors_are_json_for_machines() {
    let json = serde_json::to_value(load("server:\n  base_path: x\n").unwrap_err()).unwrap();
    assert_eq!(json[0]["line"], 2);
    assert_eq!(json[0]["column"], 14);
    assert_eq!(json[0]["key"], "server.base_path");
    assert_eq!(json[0]["file"], "scopegate.yaml");
    assert_eq!(json[0]["problem"], "invalid");
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text = format!("{text}a{level}: &a{level} [{aliases}]\n");
    }
    assert!(matches!(error(&text).cause(), Cause::Value(Problem::Syntax { .. })));
}

#[test]
fn a_tower_of_brackets_is_refused() {
    assert!(matches!(error(&"[".repeat(100_000)).cause(), Cause::Value(Problem::Syntax { .. })));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_makes_it_panic(text in "[a-z:{}\\[\\]\n\t &*!|>'\"-]{0,60}") {
        let _ = load(&text);
    }
}

#[test]
fn a_line_ends_where_yaml_ends_it() {
    for end in ["\n", "\r\n", "\r"] {
        let shown = load(&format!("docs: true{end}servr: {{}}{end}")).unwrap_err().to_string();
        assert!(shown.contains(":2:1 (servr)") && shown.contains("\n2 | servr"), "{end:?}: {shown}");
    }
}
