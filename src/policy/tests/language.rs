//! The terms of rules: each holds exactly for the callers that it describes.

use proptest::prelude::*;
use scopegate_provider::{Actor, Binding, ScopeSet, Thumbprint};

use super::*;

/// The decision about `GET /x` or another target under one route's `require`.
fn decide(require: &str, target_text: &str, caller: &Caller) -> Result<(), Denial> {
    let policy = policy(&format!(
        "scopes: {{ items: '', pay: '', admin: {{ implies: [pay] }}, root: {{ implies: [admin] }} }}
providers: {{ okta: {{}}, keycloak: {{}} }}
routes: [{{ match: ['/x', '/users/{{id}}/**', '/a/{{b}}/{{id}}'], require: {require} }}]"
    ));
    decide_by(&policy, target_text, caller)
}

fn decide_by(policy: &Policy, target_text: &str, caller: &Caller) -> Result<(), Denial> {
    match policy.decide(&target(target_text), now(&caller.clone().principal())) {
        Decision::Permit { .. } => Ok(()),
        Decision::Deny(refused) => Err(refused.denial),
    }
}

fn reason(require: &str, caller: &Caller) -> &'static str {
    decide(require, "GET /users/ada/files", caller).err().map_or("permit", |denial| denial.reason().as_str())
}

fn problem_of(require: &str) -> Problem {
    let yaml = format!(
        "scopes: {{ items: '' }}\nproviders: {{ p: {{}} }}\nroutes: [{{ match: '/users/{{id}}', require: {require} }}]"
    );
    let errors = compile(&yaml).map(|_| ()).unwrap_err();
    assert_eq!(errors.len(), 1, "{require}: {errors:?}");
    errors[0].problem.clone()
}

fn signed_in(acr: &str, seconds_ago: i64) -> Facts {
    let auth_time = Some(Timestamp::from_seconds(NOW.seconds() - seconds_ago));
    Facts { acr: Some(acr.into()), auth_time, ..Facts::default() }
}

#[test]
fn a_claim_equals_the_segment_that_the_pattern_names() {
    let require = "{ claims: { sub: { path: id } } }";
    let caller = |sub: Value| Caller::with("").claims(&json!({ "sub": sub }));
    for (path, sub, permitted) in [
        ("/users/ada/files", json!("ada"), true),
        ("/users/ada", json!("ada"), true),
        ("/users/ada/", json!("ada"), true),
        ("/users/eve/ada", json!("ada"), false),
        ("/users/Ada", json!("ada"), false),
        ("/users/auth0%7C17/x", json!("auth0|17"), true),
        ("/users/a%20b/x", json!("a b"), true),
        ("/users/a%20b/x", json!("a%20b"), false),
        ("/users/17/x", json!(17), true),
        ("/users/17/x", json!(17.0), false),
        ("/users/true/x", json!(true), false),
        ("/users/ada/x", json!(["eve", "ada"]), true),
        ("/users/ada/x", json!(null), false),
        ("/a/x/ada", json!("ada"), true),
        ("/a/ada/x", json!("ada"), false),
    ] {
        let decided = policy(&format!(
            "routes: [{{ match: ['/users/{{id}}/**', '/a/{{b}}/{{id}}'], require: {require} }}]"
        ));
        let decided = decide_by(&decided, &format!("GET {path}"), &caller(sub.clone()));
        assert_eq!(decided.is_ok(), permitted, "{path} for {sub}");
    }
}

#[test]
fn an_irregular_path_names_its_caller_under_every_interpretation() {
    let policy = policy(
        "routes:
- { match: '/users/{id}/**', require: { claims: { sub: { path: id } } }, accept: [parameters, encoded_slash] }",
    );
    let decide = |path: &str, sub: &str| {
        let caller = Caller::with("").claims(&json!({ "sub": sub }));
        decide_by(&policy, &format!("GET {path}"), &caller).is_ok()
    };
    assert!(decide("/users/ada/x;y", "ada"));
    assert!(decide("/users/ada/x%2Fy", "ada"));
    assert!(!decide("/users/ada;eve/x", "ada;eve"), "some services cut `;eve` off");
    assert!(!decide("/users/ada;eve/x", "ada"));
    assert!(!decide("/users/ada%2Feve/x", "ada/eve"), "some services read two segments");
}

#[test]
fn a_claim_begins_with_a_prefix_literally() {
    let require = r#"{ claims: { repository: { prefix: "acme/" } } }"#;
    let caller = |value: Value| Caller::with("").claims(&json!({ "repository": value }));
    for (value, permitted) in [
        (json!("acme/api"), true),
        (json!("acme/"), true),
        (json!("acme"), false),
        (json!("acme-evil/api"), false),
        (json!("ACME/api"), false),
        (json!("xacme/api"), false),
        (json!(["b/c", "acme/api"]), true),
        (json!({ "acme/": 1 }), false),
    ] {
        assert_eq!(reason(require, &caller(value.clone())) == "permit", permitted, "{value}");
    }
}

#[test]
fn a_claim_may_equal_a_text_that_looks_like_a_pattern() {
    let require = r#"{ claims: { repository: { equals: "acme/*" } } }"#;
    let caller = |value: &str| Caller::with("").claims(&json!({ "repository": value }));
    assert_eq!(reason(require, &caller("acme/*")), "permit");
    assert_eq!(reason(require, &caller("acme/api")), "claim_mismatch");
    let several = r#"{ claims: { repository: [b/c, { prefix: "acme/" }, { equals: "d/*" }] } }"#;
    for value in ["b/c", "acme/x", "d/*"] {
        assert_eq!(reason(several, &caller(value)), "permit", "{value}");
    }
    assert_eq!(reason(several, &caller("d/x")), "claim_mismatch");
}

/// CASES C3: a literal that looks like a pattern is an error that shows the form to write.
#[test]
fn a_claim_that_looks_like_a_pattern_is_refused_with_the_form_to_write() {
    for (claims, advice) in [
        (r#"{ sub: "repo:acme/*:ref:refs/heads/main" }"#, r#"`{ prefix: "repo:acme/" }`"#),
        (r#"{ sub: "{id}" }"#, "`{ path: id }`"),
        (r#"{ sub: "^acme-" }"#, r#"`{ prefix: "acme-" }`"#),
        (r#"{ sub: [a, "b*"] }"#, r#"`{ prefix: "b" }`"#),
    ] {
        let problem = problem_of(&format!("{{ claims: {claims} }}"));
        assert!(matches!(problem, Problem::LooksLikePattern { .. }), "{problem:?}");
        assert!(problem.to_string().contains(advice) && problem.to_string().contains("equals"), "{problem}");
    }
    let prefix = problem_of(r#"{ claims: { sub: { prefix: "acme-*" } } }"#);
    assert_eq!(
        prefix,
        Problem::PrefixLooksLikePattern { found: "acme-*".to_owned(), literal: "acme-".to_owned() }
    );
    for name in ["roles: ['team-*']", "clients: ['*']", "audience: 'https://*.example'", "actor: ['agent-*']"]
    {
        let problem = problem_of(&format!("{{ {name} }}"));
        assert!(matches!(problem, Problem::NameLooksLikePattern { .. }), "{name}: {problem:?}");
    }
}

#[test]
fn a_segment_must_be_a_parameter_of_every_pattern() {
    assert_eq!(
        problem_of("{ claims: { sub: { path: user } } }").to_string(),
        "`/users/{id}` names no segment `{user}`: write `{user}` in the pattern exactly once"
    );
    let problem = |patterns: &str| {
        let yaml =
            format!("routes: [{{ match: {patterns}, require: {{ claims: {{ sub: {{ path: id }} }} }} }}]");
        compile(&yaml).map(|_| ()).unwrap_err()[0].problem.clone()
    };
    assert!(matches!(problem("['/a/{id}', '/b/{x}']"), Problem::NoSuchParameter { twice: false, .. }));
    assert!(matches!(problem("'/a/{id}/{id}'"), Problem::NoSuchParameter { twice: true, .. }));
    let vocabulary = Vocabulary::new([], Vec::new());
    let require = serde_json::from_value(json!({ "claims": { "sub": { "path": "id" } } })).unwrap();
    assert_eq!(vocabulary.rule(&require).unwrap_err()[0].problem, Problem::NoPathHere);
}

#[test]
fn a_claims_long_form_is_exactly_one_of_the_known_ones() {
    for form in ["{ prefix: a, path: id }", "{ suffix: a }", "{ prefix: [a] }", "{}"] {
        assert_eq!(problem_of(&format!("{{ claims: {{ sub: {form} }} }}")), Problem::ClaimForm, "{form}");
    }
    assert_eq!(problem_of("{ claims: { sub: { prefix: '' } } }"), Problem::EmptyPrefix);
    assert_eq!(problem_of("{ claims: { sub: { equals: [a] } } }"), Problem::ClaimValue);
}

#[test]
fn roles_that_are_nested_by_client_are_claims_of_a_pointer() {
    let require = "{ claims: { /resource_access/web/roles: operator } }";
    let caller = |client: &str| {
        Caller::with("").claims(&json!({ "resource_access": { client: { "roles": ["operator"] } } }))
    };
    assert_eq!(reason(require, &caller("web")), "permit");
    assert_eq!(reason(require, &caller("other")), "claim_mismatch");
}

#[test]
fn a_broader_scope_satisfies_the_narrower_ones_and_the_challenge_names_the_least() {
    for (held, permitted) in [("pay", true), ("admin", true), ("root", true), ("items", false)] {
        let decided = decide("pay", "GET /x", &Caller::with(held));
        assert_eq!(decided.is_ok(), permitted, "{held}");
    }
    assert_eq!(reason("{ any: [pay, items] }", &Caller::with("root")), "permit");
    assert_eq!(
        decide("{ all: [items, pay] }", "GET /x", &Caller::with("root")),
        Err(Denial::InsufficientScope {
            missing: ScopeSet::parse("items").unwrap(),
            required: ScopeSet::parse("items pay").unwrap(),
        })
    );
    assert_eq!(reason("admin", &Caller::with("pay")), "insufficient_scope");
}

#[test]
fn an_explanation_names_the_scope_that_satisfied_another() {
    let policy =
        policy("scopes: { read: '', write: { implies: [read] } }\nroutes: [{ match: /x, require: read }]");
    let explanation = policy.explain(&target("GET /x"), now(&Caller::with("write").principal()));
    let [alternative] = explanation.alternatives.as_slice() else { panic!("{explanation:?}") };
    let terms = &alternative.requirements;
    assert_eq!((terms[0].term.as_str(), terms[0].met, alternative.met), ("read", true, true));
    assert_eq!(terms[0].granted_by, Some(Scope::parse("write").unwrap()));
}

#[test]
fn implications_name_declared_scopes_and_have_no_cycles() {
    let problem = |yaml: &str| compile(yaml).map(|_| ()).unwrap_err()[0].clone();
    let undeclared = problem("scopes: { items: '', a: { implies: [itmes] } }");
    assert_eq!(undeclared.key, "implies");
    assert!(undeclared.to_string().contains("did you mean `items`"), "{undeclared}");
    let cycle = problem("scopes: { a: { implies: [b] }, b: { implies: [c] }, c: { implies: [a] } }");
    assert_eq!(cycle.problem.to_string(), "the scope implies itself: a implies b implies c implies a");
}

#[test]
fn invariant_15_a_stored_scope_implies_no_scope_of_the_file() {
    let compile = |implies: &[&str]| {
        let mut definition = definition("scopes: { root: '' }");
        for name in ["more", "less"] {
            let implies = if name == "more" { implies } else { &[] };
            let settings = serde_json::from_value(json!({ "description": "", "implies": implies })).unwrap();
            definition.add_stored_scope(Scope::parse(name).unwrap(), settings);
        }
        Policy::compile(&definition).map(|_| ()).map_err(|errors| errors[0].problem.clone())
    };
    assert!(matches!(compile(&["root"]), Err(Problem::ImpliesFile { .. })));
    assert_eq!(compile(&["less"]), Ok(()));
}

/// T4.4: a value that the list does not hold is not taken for a stronger one, and numbers are not compared.
#[test]
fn an_acr_is_one_of_the_list_byte_for_byte() {
    let require = "{ acr: ['urn:acme:mfa', '2'] }";
    for (acr, permitted) in
        [("urn:acme:mfa", true), ("2", true), ("urn:acme:MFA", false), ("3", false), ("urn:acme:mfa2", false)]
    {
        let caller = Caller::with("").facts(signed_in(acr, 0));
        assert_eq!(reason(require, &caller) == "permit", permitted, "T4.4: {acr} implies no order");
    }
    assert_eq!(reason(require, &Caller::with("")), "insufficient_user_authentication");
}

/// T4.2: a missing, future or implausible time of the sign-in asks for a new one.
#[test]
fn a_sign_in_is_at_most_so_old_and_a_time_that_cannot_be_is_none() {
    let require = "{ max_age: 15m }";
    let at = |auth_time: Option<Timestamp>| {
        reason(require, &Caller::with("").facts(Facts { auth_time, ..Facts::default() }))
    };
    let ago = |seconds: i64| at(Some(Timestamp::from_seconds(NOW.seconds() - seconds)));
    for (seconds, permitted) in
        [(0, true), (900, true), (930, true), (931, false), (-30, true), (-31, false), (1_796_000_000, false)]
    {
        assert_eq!(ago(seconds) == "permit", permitted, "{seconds} s ago");
    }
    for time in [
        None,
        Some(Timestamp::MAX),
        Some(Timestamp::from_seconds(1_796_000_000_000)),
        Some(Timestamp::from_seconds(i64::MIN)),
    ] {
        assert_eq!(at(time), "insufficient_user_authentication", "{time:?}");
    }
}

/// T4.1: `max_age: 0s` would ask for a sign-in at every request.
#[test]
fn a_max_age_of_zero_is_refused() {
    assert_eq!(problem_of("{ max_age: 0s }"), Problem::MaxAgeZero);
    assert_eq!(problem_of("{ max_age: 900ms }"), Problem::MaxAgeZero);
    for acr in ["a b", "a\"b", ""] {
        assert_eq!(problem_of(&format!("{{ acr: ['{acr}'] }}")), Problem::AcrValue { found: acr.to_owned() });
    }
}

/// STANDARDS 0: the sign-in is checked before scopes and roles, and the challenge names the missing scopes too.
#[test]
fn a_sign_in_is_asked_for_together_with_the_missing_scopes() {
    let require = "{ all: [items, pay], acr: ['urn:acme:mfa'], max_age: 15m, roles: [clerk] }";
    let caller = Caller::with("items").role("clerk");
    let denial = decide(require, "GET /x", &caller).unwrap_err();
    let Denial::InsufficientUserAuthentication { acr_values, max_age, missing, required } = &denial else {
        panic!("{denial:?}")
    };
    assert_eq!((acr_values[0].as_ref(), max_age.unwrap().get().as_secs()), ("urn:acme:mfa", 900));
    assert_eq!((missing.to_string().as_str(), required.to_string().as_str()), ("pay", "items pay"));
    assert_eq!(denial.challenge_scopes().unwrap().to_string(), "items pay");
    assert_eq!(
        reason(require, &Caller::with("items pay")),
        "insufficient_user_authentication",
        "no role yet"
    );
    let strong = Caller::with("items pay").facts(signed_in("urn:acme:mfa", 1));
    assert_eq!(reason(require, &strong), "role_missing");
    assert_eq!(reason(require, &strong.role("clerk")), "permit");
}

/// T4.3: a client's own token is not sent to a sign-in that it cannot make.
#[test]
fn a_token_without_the_subject_of_a_person_is_not_asked_to_sign_in() {
    let require = "{ acr: ['urn:acme:mfa'] }";
    let client = |subject: &str| Caller::with("").client("0oa1").subject(subject);
    assert_eq!(reason(require, &client("ada")), "insufficient_user_authentication");
    for subject in ["0oa1", "0oa1@clients"] {
        assert_eq!(reason(require, &client(subject)), "user_required", "{subject}");
    }
    let mut without = Caller::with("").client("0oa1");
    without.0.subject = None;
    assert_eq!(reason(require, &without), "user_required");
}

/// T2.11: a route that asks for a bound token refuses every other, whatever the provider's settings are.
#[test]
fn a_proof_is_required_of_the_kind_that_the_rule_names() {
    let print = Some(Thumbprint::new([1; 32]));
    let bound = |key, certificate| {
        Caller::with("").facts(Facts { binding: Binding { key, certificate }, ..Facts::default() })
    };
    for (proof, by_key, by_certificate) in
        [("required", true, true), ("dpop", true, false), ("certificate", false, true)]
    {
        let require = format!("{{ proof: {proof} }}");
        assert_eq!(reason(&require, &Caller::with("")), "proof_required", "{proof}");
        assert_eq!(reason(&require, &bound(print, None)) == "permit", by_key, "{proof}");
        assert_eq!(reason(&require, &bound(None, print)) == "permit", by_certificate, "{proof}");
        assert_eq!(reason(&require, &bound(print, print)), "permit", "{proof}");
    }
}

#[test]
fn an_actor_is_absent_present_or_one_of_the_named() {
    let acting = |id: &str| {
        let actor = Some(Actor { id: id.into(), issuer: None });
        Caller::with("").facts(Facts { actor, ..Facts::default() })
    };
    for (rule, without, agent, other) in [
        ("none", true, false, false),
        ("any", false, true, true),
        ("[agent, helper]", false, true, false),
        ("agent", false, true, false),
    ] {
        let require = format!("{{ actor: {rule} }}");
        let permits = |caller: &Caller| reason(&require, caller) == "permit";
        assert_eq!(permits(&Caller::with("")), without, "{rule}");
        assert_eq!(permits(&acting("agent")), agent, "{rule}");
        assert_eq!(permits(&acting("other")), other, "{rule}");
    }
    assert_eq!(reason("{ actor: none }", &acting("agent")), "actor_not_allowed");
}

/// T10.1: one element of the authorization details must satisfy the rule alone.
#[test]
fn an_authorization_detail_is_satisfied_by_one_element_alone() {
    let require = "{ details: { type: payment, actions: [initiate, cancel], identifier: acct-1 } }";
    let caller = |details: Value| {
        let details: Vec<serde_json::Map<String, Value>> =
            details.as_array().unwrap().iter().map(|one| one.as_object().unwrap().clone()).collect();
        let facts = Facts { authorization_details: details.into(), ..Facts::default() };
        Caller::with("").audience(&["https://api.example"]).facts(facts)
    };
    let full = json!({ "type": "payment", "actions": ["cancel", "initiate", "x"], "identifier": "acct-1", "extra": 1 });
    let with = |name: &str, value: Value| {
        let mut detail = full.clone();
        detail[name] = value;
        json!([detail])
    };
    for (details, permitted) in [
        (json!([full]), true),
        (with("locations", json!(["https://api.example"])), true),
        (json!([]), false),
        (with("type", json!("Payment")), false),
        (with("actions", json!(["initiate"])), false),
        (with("actions", json!("initiate cancel")), false),
        (with("identifier", json!("acct-2")), false),
        (with("locations", json!(["https://other.example"])), false),
        (with("locations", json!("https://api.example")), false),
        (
            json!([
                { "type": "payment", "actions": ["initiate"], "identifier": "acct-1" },
                { "type": "payment", "actions": ["cancel"], "identifier": "acct-1" },
            ]),
            false,
        ),
    ] {
        let decided = reason(require, &caller(details.clone()));
        assert_eq!(decided, if permitted { "permit" } else { "details_missing" }, "{details}");
    }
}

/// CASES I8: a token for another resource is not the right token, rather than one that is not enough.
#[test]
fn a_token_for_another_audience_is_told_so_before_anything_else() {
    let require = "{ all: [items], audience: 'https://b.example', roles: [clerk] }";
    assert_eq!(reason(require, &Caller::with("").audience(&["https://a.example"])), "audience_not_allowed");
    assert_eq!(reason(require, &Caller::with("items").audience(&["https://b.example"])), "role_missing");
    let alternatives =
        "{ any_of: [{ audience: 'https://b.example' }, { audience: 'https://a.example', roles: [clerk] }] }";
    assert_eq!(reason(alternatives, &Caller::with("").audience(&["https://a.example"])), "role_missing");
}

/// T1.3: clients of the TypeScript SDK ask for an origin with a final slash. An audience is compared byte for byte, so
/// that a rule that means both lists both.
#[test]
fn an_audience_with_a_final_slash_is_another_one_unless_both_are_listed() {
    let plain = Caller::with("").audience(&["https://api.example"]);
    let slash = Caller::with("").audience(&["https://api.example/"]);
    let one = "{ audience: 'https://api.example' }";
    assert_eq!(reason(one, &plain), "permit");
    assert_eq!(reason(one, &slash), "audience_not_allowed");
    let both = "{ audience: ['https://api.example', 'https://api.example/'] }";
    assert_eq!(reason(both, &plain), "permit");
    assert_eq!(reason(both, &slash), "permit");
}

/// CASES V10: a missing role says nothing where the provider left the groups out.
#[test]
fn groups_that_the_provider_left_out_are_told() {
    let omitted = Facts { groups_omitted: true, ..Facts::default() };
    assert_eq!(reason("{ roles: [clerk] }", &Caller::with("")), "role_missing");
    assert_eq!(reason("{ roles: [clerk] }", &Caller::with("").facts(omitted.clone())), "groups_omitted");
    assert_eq!(reason("{ roles: [clerk] }", &Caller::with("").role("clerk").facts(omitted)), "permit");
}

#[test]
fn every_term_is_in_the_rules_words_and_in_an_explanation() {
    let policy = policy(
        "scopes: { pay: '' }
providers: { okta: {} }
routes: [{ match: '/u/{id}', require: { all: pay, roles: [clerk], clients: [c], providers: [okta], audience: a, claims: { sub: { path: id }, org: { prefix: acme } }, acr: [mfa], max_age: 15m, proof: dpop, actor: none, details: { type: payment, actions: [initiate] } } }]",
    );
    let words = "pay, role clerk, client c, provider okta, audience a, org begins with \"acme\", sub = {id}, acr mfa, signed in at most 15m ago, a token that is bound to a DPoP key, no actor, detail payment (actions: initiate)";
    assert_eq!(policy.routes()[0].rule().to_string(), words);
    let caller = Caller::with("").claims(&json!({ "sub": "ada", "org": "x", "client_secret": "hunter2" }));
    let explanation =
        policy.explain(&target("GET /u/ada"), now(&caller.facts(signed_in("pwd", 60)).principal()));
    let terms: Vec<(&str, bool, Value)> = explanation.alternatives[0]
        .requirements
        .iter()
        .map(|term| (term.term.as_str(), term.met, term.has.clone()))
        .collect();
    assert_eq!(terms.len(), 12);
    assert!(terms.contains(&("sub = {id}", true, json!("ada"))), "{terms:?}");
    assert!(terms.contains(&("org begins with \"acme\"", false, json!("x"))), "{terms:?}");
    assert!(terms.contains(&("acr mfa", false, json!("pwd"))), "{terms:?}");
    assert!(!format!("{explanation:?}").contains("hunter2"));
}

#[test]
fn the_long_forms_survive_being_stored_as_json() {
    let yaml = "{ match: '/u/{id}', require: { claims: { sub: { path: id }, r: [{ prefix: a }, { equals: 'b*' }] }, acr: [m], max_age: 15m, proof: certificate, actor: [x], details: [{ type: t, privileges: [p] }] }, mode: shadow }";
    let settings: RouteSettings = serde_saphyr::from_str(yaml).unwrap();
    let json = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<RouteSettings>(&json).unwrap(), settings);
    let mcp: RouteSettings =
        serde_saphyr::from_str("{ match: /mcp, mcp: { method: tools/call, name: x }, allow: nobody }")
            .unwrap();
    let json = serde_json::to_string(&mcp).unwrap();
    assert_eq!(serde_json::from_str::<RouteSettings>(&json).unwrap(), mcp);
}

/// Returns the target of an MCP request with these headers.
fn mcp(text: &str, headers: &[(&'static str, &str)]) -> Target {
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    target(text).with_mcp(&map)
}

fn call(method: &str, name: Option<&str>) -> Target {
    let mut headers = vec![("mcp-protocol-version", FIRST_MCP_REVISION), ("mcp-method", method)];
    headers.extend(name.map(|name| ("mcp-name", name)));
    mcp("POST /mcp", &headers)
}

const MCP: &str = "
routes:
- { match: /mcp, allow: authenticated }
- { match: POST /mcp, mcp: { method: tools/call }, allow: nobody }
- { match: /mcp, mcp: { method: tools/call, name: get_weather }, allow: anonymous }
- { match: /other/**, allow: anonymous }
";

#[test]
fn mcp_requests_are_decided_by_name_then_by_method_then_by_neither() {
    let policy = policy(MCP);
    let decided = |target: &Target| match policy.decide(target, None) {
        Decision::Permit { route } => format!("permit {route}"),
        Decision::Deny(refused) => refused.denial.reason().to_string(),
    };
    assert!(policy.reads_mcp());
    assert_eq!(
        decided(&call("tools/call", Some("get_weather"))),
        "permit POST /mcp [tools/call get_weather]"
    );
    assert_eq!(decided(&call("tools/call", Some("delete_all"))), "nobody");
    assert_eq!(decided(&call("tools/list", None)), "no_token");
    assert_eq!(decided(&call("prompts/get", Some("get_weather"))), "no_token");
    assert_eq!(decided(&target("GET /mcp")), "no_token", "a stream of the server has no method");
    assert_eq!(decided(&target("DELETE /mcp")), "no_token");
    assert_eq!(decided(&target("POST /other/x")), "permit /other/**");
}

#[test]
fn an_mcp_request_whose_headers_cannot_be_relied_on_is_denied() {
    let policy = policy(MCP);
    let version = ("mcp-protocol-version", FIRST_MCP_REVISION);
    let method = ("mcp-method", "tools/list");
    for headers in [
        vec![],
        vec![method],
        vec![version],
        vec![version, method, method],
        vec![("mcp-protocol-version", "2025-11-25"), method],
        vec![version, ("mcp-method", "tools/call")],
    ] {
        let Decision::Deny(refused) = policy.decide(&mcp("POST /mcp", &headers), None) else {
            panic!("{headers:?}")
        };
        assert_eq!(refused.denial.reason(), Reason::McpHeaders, "{headers:?}");
    }
    assert_eq!(outcome(&policy, "POST /mcp", None), "mcp_headers");
}

#[test]
fn mcp_patterns_that_can_never_match_are_refused() {
    let problem =
        |route: &str| compile(&format!("routes: [{route}]")).map(|_| ()).unwrap_err()[0].problem.clone();
    let get = problem("{ match: GET /mcp, mcp: { method: tools/call }, allow: nobody }");
    assert_eq!(get, Problem::McpWithoutPost { pattern: "GET /mcp".to_owned() });
    let star = problem("{ match: /mcp, mcp: { method: tools/call, name: 'get_*' }, allow: nobody }");
    assert_eq!(star, Problem::McpPattern { found: "get_*".to_owned() });
    let twice = "{ match: /mcp, mcp: { method: m, name: n }, allow: nobody }";
    assert!(matches!(problem(&format!("{twice}, {twice}")), Problem::DuplicatePattern { .. }));
}

/// A8: a stored route cannot open a tool that the file guards, by any selector.
#[test]
fn invariant_15_a_stored_mcp_route_does_not_loosen_the_file() {
    let file = "
scopes: { weather: '', tools: '' }
routes:
- { match: /mcp, require: tools }
- { match: /mcp, mcp: { method: tools/call, name: get_weather }, require: weather }
";
    let loosens = |route: &str| {
        let mut definition = definition(file);
        definition.add_stored_route("1", serde_saphyr::from_str(route).unwrap());
        match Policy::compile(&definition) {
            Ok(_) => None,
            Err(errors) => match &errors[0].problem {
                Problem::Loosens { pattern, .. } => Some(pattern.clone()),
                problem => panic!("{problem:?}"),
            },
        }
    };
    let open = |mcp: &str| loosens(&format!("{{ match: /mcp, mcp: {mcp}, allow: anonymous }}"));
    assert_eq!(open("{ method: tools/call }").as_deref(), Some("/mcp"));
    assert_eq!(open("{ method: tools/call, name: delete_all }").as_deref(), Some("/mcp"));
    let narrow = |rule: &str| {
        loosens(&format!(
            "{{ match: 'a.example/mcp', mcp: {{ method: tools/call, name: get_weather }}, {rule} }}"
        ))
    };
    assert_eq!(narrow("allow: anonymous").as_deref(), Some("POST /mcp [tools/call get_weather]"));
    assert_eq!(narrow("require: weather"), None, "the file's rule for this tool is the only one that counts");
    assert_eq!(loosens("{ match: /mcp, mcp: { method: tools/call, name: x }, require: tools }"), None);
}

#[test]
fn a_shadow_route_is_decided_without_effect() {
    let policy = policy(
        "scopes: { items: '' }
routes:
- { match: /a/**, allow: anonymous }
- { match: GET /a/**, require: items, mode: shadow }
- { match: /b, require: items, mode: shadow }",
    );
    let shadow = |text: &str, caller: Option<&Caller>| {
        let principal = caller.cloned().map(Caller::principal);
        policy.decide_in_shadow(&target(text), now(principal.as_ref())).map(|decision| match decision {
            Decision::Permit { .. } => "permit",
            Decision::Deny(refused) => refused.denial.reason().as_str(),
        })
    };
    assert_eq!(outcome(&policy, "GET /a/x", None), "permit");
    assert_eq!(shadow("GET /a/x", None), Some("no_token"));
    assert_eq!(shadow("HEAD /a/x", None), Some("no_token"));
    assert_eq!(shadow("GET /a/x", Some(&Caller::with("items"))), Some("permit"));
    assert_eq!(shadow("POST /a/x", None), None, "the enforced route decides");
    assert_eq!(outcome(&policy, "GET /b", None), "no_route");
    assert_eq!(shadow("GET /b", None), Some("no_token"));
    assert_eq!(shadow("POST /c", None), None);
    assert_eq!(policy.routes().len(), 1);
    assert_eq!(policy.routes_by_precedence().len(), 3);
    let explanation = policy.explain(&target("GET /a/x"), None);
    assert!(explanation.permitted && !explanation.shadow.unwrap().permitted);
}

#[test]
fn invariant_15_a_stored_shadow_route_loosens_nothing() {
    let mut definition = definition("scopes: { items: '' }\nroutes: [{ match: /a/**, require: items }]");
    let open = "{ match: /a/x, allow: anonymous, mode: shadow }";
    definition.add_stored_route("1", serde_saphyr::from_str(open).unwrap());
    let policy = Policy::compile(&definition).unwrap().policy;
    assert_eq!(outcome(&policy, "GET /a/x", None), "no_token");
}

/// CASES C2: a method that no request has is refused with the one that was meant.
#[test]
fn a_method_outside_of_the_registry_is_refused_with_what_to_write() {
    for (pattern, advice) in [
        ("ANY /items", "leave the method out for every method"),
        ("* /items", "leave the method out for every method"),
        ("ALL /items", "leave the method out for every method"),
        ("GTE /items", "did you mean `GET`?"),
        ("PSOT /items", "did you mean `POST`?"),
        ("GET|DELTE /items", "did you mean `DELETE`?"),
        ("FETCHALL /items", "unknown method `FETCHALL`; leave the method out"),
        ("get /items", "write `GET`"),
        ("CONNECT /items", "CONNECT"),
    ] {
        let error = Pattern::parse(pattern).unwrap_err().to_string();
        assert!(error.contains(advice), "{pattern}: {error}");
    }
    assert!(Pattern::parse("PROPFIND|REPORT|QUERY /dav/**").is_ok());
}

/// A22: TRACE, unregistered and lower-case methods are refused unless a route names them.
#[test]
fn a_method_that_is_not_registered_and_trace_need_a_route_that_names_them() {
    let policy =
        policy("routes: [{ match: /**, allow: anonymous }, { match: TRACE /trace, allow: anonymous }]");
    for method in ["TRACE", "get", "FOO", "PRI", "track"] {
        assert_eq!(outcome(&policy, &format!("{method} /x"), None), "method_not_allowed", "{method}");
    }
    assert_eq!(outcome(&policy, "TRACE /trace", None), "permit");
    assert_eq!(outcome(&policy, "PROPFIND /x", None), "permit");
    let Found::MethodNotAllowed { allowed, .. } = policy.find(&target("TRACE /x")) else { panic!() };
    assert!(allowed.contains(&Method::GET) && !allowed.contains(&Method::TRACE));
}

fn alternative() -> impl Strategy<Value = Value> {
    let claim = prop::sample::select(vec![
        json!("acme"),
        json!("acme/x"),
        json!({ "prefix": "acme" }),
        json!({ "prefix": "acme/" }),
        json!(["acme/x", "b"]),
        json!({ "path": "id" }),
    ]);
    let actor = prop::sample::select(vec![json!("none"), json!("any"), json!(["x"]), json!(["x", "y"])]);
    let proof = prop::sample::select(vec!["required", "dpop", "certificate"]);
    let detail = prop::sample::select(vec![
        json!({ "type": "t" }),
        json!({ "type": "t", "actions": ["a"] }),
        json!({ "type": "t", "actions": ["a", "b"] }),
    ]);
    let scopes = prop::sample::select(vec!["pay", "admin", "root", "items"]);
    let maybe = |weight: f64| prop::bool::weighted(weight);
    let acr = prop::sample::select(vec![json!(["1"]), json!(["1", "2"])]);
    let max_age = prop::sample::select(vec!["1m", "15m"]);
    (
        (scopes, maybe(0.4)),
        (claim, maybe(0.4)),
        (actor, maybe(0.3)),
        (proof, maybe(0.3)),
        (detail, maybe(0.3)),
        (acr, maybe(0.3)),
        (max_age, maybe(0.3)),
    )
        .prop_map(|(scope, claim, actor, proof, detail, acr, max_age)| {
            let mut parts = serde_json::Map::new();
            let mut put = |name: &str, value: Value, there: bool| {
                if there {
                    parts.insert(name.to_owned(), value);
                }
            };
            put("all", json!([scope.0]), scope.1);
            put("claims", json!({ "org": claim.0 }), claim.1);
            put("actor", actor.0, actor.1);
            put("proof", json!(proof.0), proof.1);
            put("details", detail.0, detail.1);
            put("acr", acr.0, acr.1);
            put("max_age", json!(max_age.0), max_age.1);
            if parts.is_empty() { json!({ "all": ["items"] }) } else { Value::Object(parts) }
        })
}

fn any_caller() -> impl Strategy<Value = Caller> {
    let scopes = prop::sample::subsequence(vec!["items", "pay", "admin", "root"], 0..=2);
    let org =
        prop::sample::select(vec![json!("acme"), json!("acme/x"), json!(["b"]), json!("u1"), json!(null)]);
    let actor = prop::sample::select(vec![None, Some("x"), Some("y"), Some("z")]);
    let actions = prop::sample::select(vec![vec![], vec!["a"], vec!["a", "b"]]);
    let binding = (any::<bool>(), any::<bool>());
    let sign_in = (prop::sample::select(vec!["1", "2", "3"]), prop::sample::select(vec![0_i64, 100, 10_000]));
    (scopes, org, actor, actions, binding, sign_in).prop_map(
        |(scopes, org, actor, actions, (key, certificate), (acr, seconds_ago))| {
            let print = |there: bool| there.then(|| Thumbprint::new([1; 32]));
            let detail = json!({ "type": "t", "actions": actions }).as_object().unwrap().clone();
            let facts = Facts {
                actor: actor.map(|id| Actor { id: id.into(), issuer: None }),
                binding: Binding { key: print(key), certificate: print(certificate) },
                authorization_details: [detail].into(),
                ..signed_in(acr, seconds_ago)
            };
            Caller::with(&scopes.join(" ")).claims(&json!({ "org": org })).facts(facts)
        },
    )
}

proptest! {
    #[test]
    fn a_rule_that_asks_for_at_least_as_much_permits_no_other_caller_by_any_term(
        ours in prop::collection::vec(alternative(), 1..3),
        theirs in prop::collection::vec(alternative(), 1..3),
        callers in prop::collection::vec(any_caller(), 30),
    ) {
        let rule = |alternatives: &[Value]| {
            let yaml = "scopes: { items: '', pay: '', admin: { implies: [pay] }, root: { implies: [admin] } }";
            let mut definition = definition(yaml);
            let route = json!({ "match": "/u/{id}", "require": { "any_of": alternatives } });
            definition.add_route(serde_json::from_value(route).unwrap());
            Policy::compile(&definition).unwrap().policy
        };
        let (ours, theirs) = (rule(&ours), rule(&theirs));
        let strict = &ours.routes()[0];
        let lax = &theirs.routes()[0];
        prop_assert!(strict.rule().asks_at_least(strict.rule()));
        if strict.rule().asks_at_least(lax.rule()) {
            for caller in callers {
                let decides = |policy: &Policy| decide_by(policy, "GET /u/u1", &caller).is_ok();
                prop_assert!(!decides(&ours) || decides(&theirs), "{} against {}", strict.rule(), lax.rule());
            }
        }
    }

    #[test]
    fn scopes_and_sign_in_of_a_denial_are_what_was_missing(
        require in prop::collection::vec(alternative(), 1..3),
        caller in any_caller(),
    ) {
        let yaml = "scopes: { items: '', pay: '', admin: { implies: [pay] }, root: { implies: [admin] } }";
        let mut definition = definition(yaml);
        let route = json!({ "match": "/u/{id}", "require": { "any_of": require } });
        definition.add_route(serde_json::from_value(route).unwrap());
        let policy = Policy::compile(&definition).unwrap().policy;
        let mut better = caller.clone();
        match decide_by(&policy, "GET /u/u1", &caller) {
            Err(Denial::InsufficientScope { missing, .. }) => {
                better.0.scopes = better.0.scopes.iter().chain(&missing).cloned().collect();
            }
            Err(Denial::InsufficientUserAuthentication { acr_values, missing, .. }) => {
                better.0.scopes = better.0.scopes.iter().chain(&missing).cloned().collect();
                better.1.acr = acr_values.first().cloned().or(better.1.acr);
                better.1.auth_time = Some(NOW);
                let decided = decide_by(&policy, "GET /u/u1", &better);
                let sign_in = matches!(decided, Err(Denial::InsufficientUserAuthentication { .. }));
                prop_assert!(!sign_in, "another sign-in is asked for");
                return Ok(());
            }
            _ => return Ok(()),
        }
        prop_assert_eq!(decide_by(&policy, "GET /u/u1", &better), Ok(()));
    }
}
