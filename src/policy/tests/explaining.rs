//! Explanations say what the policy decides, and why.

use proptest::prelude::*;

use super::{
    finding::{pattern, request},
    *,
};

const ROUTES: &str = "
scopes: { items: '' }
routes:
- { match: /**, allow: authenticated }
- { match: GET /items/**, require: items, accept: [encoded_slash] }
- { match: POST /items/**, allow: nobody }
- { match: api.example.com/items/**, allow: nobody }
";

fn outcomes(explanation: &Explanation) -> Vec<(&str, Outcome)> {
    explanation.interpretations[0]
        .considered
        .iter()
        .map(|one| (one.route.pattern.as_str(), one.outcome))
        .collect()
}

#[test]
fn each_considered_route_says_why_it_did_or_did_not_decide() {
    let explanation = policy(ROUTES).explain(&target("GET /items/1"), now(&Caller::with("").principal()));
    assert_eq!(
        outcomes(&explanation),
        [
            ("api.example.com/items/**", Outcome::OtherHost),
            ("GET /items/**", Outcome::Decides),
            ("POST /items/**", Outcome::OtherMethod),
            ("/**", Outcome::LessSpecific),
        ]
    );
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["permitted"], json!(false));
    assert_eq!(json["reason"], json!("insufficient_scope"));
    assert_eq!(json["missing_scopes"], json!(["items"]));
    assert_eq!(json["route"], json!({ "match": "GET /items/**", "rule": "items", "source": "routes[1]" }));
    assert_eq!(json["readings"][0]["considered"][1]["outcome"], json!("decides"));
}

#[test]
fn a_method_that_is_not_allowed_is_explained_by_the_pattern_that_decides_alone() {
    let explanation = policy(ROUTES).explain(&target("PUT /items/1"), None);
    assert_eq!(explanation.reason, Some(Reason::MethodNotAllowed));
    let deciding: Vec<Outcome> = outcomes(&explanation).into_iter().map(|(_, outcome)| outcome).collect();
    assert!(!deciding.contains(&Outcome::Decides) && deciding.contains(&Outcome::OtherMethod));
}

#[test]
fn an_irregular_path_is_explained_reading_by_reading() {
    let explanation =
        policy(ROUTES).explain(&target("GET /items/a%2Fb"), now(&Caller::with("items").principal()));
    let paths: Vec<&str> = explanation.interpretations.iter().map(|reading| reading.path.as_str()).collect();
    assert_eq!(paths, ["/items/a%2Fb", "/items/a/b"]);
    assert!(explanation.permitted);
}

#[test]
fn a_rule_is_shown_in_words() {
    let policy = policy(
        "scopes: { a: '', b: '', c: '' }
providers: { okta: {} }
routes: [{ match: /, require: { any_of: [{ all: a, any: [b, c], roles: r, claims: { org: [x, 1] } }, { providers: okta }] } }]",
    );
    assert_eq!(
        policy.routes()[0].rule().to_string(),
        "a, one of b c, role r, org = one of \"x\" 1 or provider okta"
    );
}

proptest! {
    #[test]
    fn an_explanation_never_differs_from_the_decision(patterns in prop::collection::vec(pattern(), 0..8), request in request()) {
        let mut definition = Definition::default();
        for (index, pattern) in patterns.iter().enumerate() {
            let settings = serde_json::from_value(json!({ "match": pattern, "allow": "authenticated" })).unwrap();
            definition.add_stored_route(index.to_string(), settings);
        }
        let Ok(compiled) = Policy::compile(&definition) else { return Ok(()) };
        let target = target(&request);
        let explanation = compiled.policy.explain(&target, None);
        let decides = explanation.interpretations[0].considered.iter().find(|one| one.outcome == Outcome::Decides);
        let found = match compiled.policy.find(&target) {
            Found::Route(route) => Some(RouteFacts::from(route)),
            Found::MethodNotAllowed { .. } | Found::Mcp { .. } | Found::NoRoute => None,
        };
        prop_assert_eq!(decides.map(|one| one.route.clone()), found);
        let denied = matches!(compiled.policy.decide(&target, None), Decision::Deny(_));
        prop_assert_eq!(explanation.permitted, !denied);
    }
}
