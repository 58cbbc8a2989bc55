//! Policies in front of services that ignore the case of paths.

use super::*;

const ROUTES: &str = "
scopes: { root: Administer, items: Read }
routes:
  - { match: '/**', allow: anonymous }
  - { match: '/admin/**', require: root }
  - { match: '/Orders/{id}', require: { claims: { sub: { path: id } } } }
";

fn ignoring_case(yaml: &str) -> Definition {
    let mut definition = definition(yaml);
    definition.case = PathCase::Insensitive;
    definition
}

fn compiled(definition: &Definition) -> Policy {
    Policy::compile(definition).unwrap().policy
}

fn anonymous_may(policy: &Policy, target: &str) -> bool {
    matches!(policy.decide(&parse(target).unwrap(), None), Decision::Permit { .. })
}

/// A23: a spelling in another case does not leave a narrow rule for a wider one.
#[test]
fn no_spelling_of_a_guarded_path_is_decided_by_a_wider_rule_alone() {
    let policy = compiled(&ignoring_case(ROUTES));
    for path in ["/admin/x", "/ADMIN/x", "/Admin", "/aDmIn/", "/orders/7", "/ORDERS/7", "/Orders/7"] {
        assert!(!anonymous_may(&policy, &format!("GET {path}")), "{path}");
    }
    for path in ["/", "/Other", "/administrator", "/orders", "/orders/7/lines"] {
        assert!(anonymous_may(&policy, &format!("GET {path}")), "{path}");
    }
}

/// A23: without the setting, paths compare with case.
#[test]
fn paths_compare_with_case_unless_the_policy_says_otherwise() {
    let policy = compiled(&definition(ROUTES));
    assert!(anonymous_may(&policy, "GET /ADMIN/x") && !anonymous_may(&policy, "GET /admin/x"));
}

/// A23: letters beyond ASCII and encoded ones have case too.
#[test]
fn encoded_letters_have_case_too() {
    let policy = compiled(&ignoring_case(
        "routes: [ { match: /**, allow: anonymous }, { match: /%C3%A4rger/**, allow: nobody } ]",
    ));
    for path in ["/%C3%A4rger/x", "/%C3%84rger/x", "/%c3%84RGER/x"] {
        assert!(!anonymous_may(&policy, &format!("GET {path}")), "{path}");
    }
}

/// A23: rules read the segments that were sent.
#[test]
fn a_segment_that_a_rule_reads_keeps_its_case() {
    let policy = compiled(&ignoring_case(
        "routes: [ { match: '/Users/{id}', require: { claims: { sub: { path: id } } } } ]",
    ));
    let ada = Caller::with("").claims(&json!({ "sub": "Ada" }));
    assert_eq!(outcome(&policy, "GET /Users/Ada", Some(&ada)), "permit");
    assert_ne!(outcome(&policy, "GET /Users/ada", Some(&ada)), "permit");
}

/// A23: two routes that differ in case alone decide the same requests.
#[test]
fn two_patterns_that_differ_in_case_alone_are_an_error() {
    let routes = "routes: [ { match: /Items, allow: anonymous }, { match: /items, allow: nobody } ]";
    let errors = Policy::compile(&ignoring_case(routes)).unwrap_err();
    assert!(matches!(errors[0].problem, Problem::DuplicatePattern { .. }), "{errors:?}");
    assert!(Policy::compile(&definition(routes)).is_ok());
}

/// A23: a stored route cannot open what the file guards by another spelling (invariant 15).
#[test]
fn invariant_15_a_stored_route_does_not_open_another_spelling() {
    let open = || serde_json::from_value(json!({ "match": "/ADMIN/secret", "allow": "anonymous" })).unwrap();
    let mut definition = ignoring_case(ROUTES);
    definition.add_stored_route("1".to_owned(), open());
    let errors = Policy::compile(&definition).unwrap_err();
    assert!(matches!(errors[0].problem, Problem::Loosens { .. }), "{errors:?}");
}

/// A23: an explanation shows the reading without case.
#[test]
fn an_explanation_shows_the_path_without_case() {
    let policy = compiled(&ignoring_case(ROUTES));
    let explanation = policy.explain(&parse("GET /ADMIN/x").unwrap(), None);
    let paths: Vec<&str> = explanation.interpretations.iter().map(|reading| reading.path.as_str()).collect();
    assert_eq!(paths, ["/ADMIN/x", "/admin/x"]);
}
