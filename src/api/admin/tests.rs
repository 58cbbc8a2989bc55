use std::sync::Mutex;

use http::Method;
use scopegate_provider::{Scope, SystemClock};
use serde_json::{Value, json};

use super::*;
use crate::{
    authenticator::{Authenticator, NoRevocations, VerifiedTokens},
    gate::{GateSettings, State, effective_policy},
    policy::{
        CallerAt, Decision, Policy, Problem as PolicyProblem, RawTarget, Scheme, Source, Target,
        settings::ScopeSettings,
    },
    store::{Actor, Edit, StoreError, StoreSettings},
};

fn file(routes: &[Value]) -> Definition {
    let mut definition = Definition::default();
    let scope = |text: &str| Scope::parse(text).unwrap();
    for name in ["items", "audit"] {
        definition.add_scope(scope(name), ScopeSettings::Description(String::new()));
    }
    for route in routes {
        definition.add_route(serde_json::from_value(route.clone()).unwrap());
    }
    definition
}

fn items() -> Vec<Value> {
    vec![json!({ "match": "/items/**", "require": "items" })]
}

/// A node of nothing but a gate and a file.
struct Bare {
    gate: Gate,
    store: Store,
    file: Mutex<Definition>,
}

#[async_trait]
impl Administered for Bare {
    fn definition(&self) -> Definition {
        self.file.lock().unwrap().clone()
    }

    fn place(&self, _: &Source) -> Option<String> {
        Some("scopegate.yaml:7:3".to_owned())
    }

    async fn take_over(&self) {
        let policy = effective_policy(&self.definition(), &self.store.policy()).policy;
        self.gate.replace(state(policy));
    }
}

fn state(policy: Arc<Policy>) -> State {
    let clock = Arc::new(SystemClock::new());
    let (tokens, revocations) = (VerifiedTokens::new(0), Arc::new(NoRevocations));
    let authenticator = Authenticator::new(Vec::new(), tokens, revocations, clock).unwrap();
    State::new(policy, authenticator, GateSettings::default())
}

async fn over(settings: Option<&StoreSettings>) -> (Admin, Arc<Bare>) {
    let (definition, store) =
        (file(&items()), Store::open(settings, Arc::new(SystemClock::new())).await.unwrap());
    let gate = Gate::new(state(Arc::new(Policy::compile(&definition).unwrap().policy)));
    let node = Arc::new(Bare { gate: gate.clone(), store: store.clone(), file: Mutex::new(definition) });
    (Admin::new(gate, store, node.clone()), node)
}

async fn admin() -> Admin {
    over(Some(&StoreSettings::new("memory:".parse().unwrap()))).await.0
}

fn create(definition: Value) -> Edit {
    Edit::CreateRoute { definition }
}

fn put(name: &str, route: &str) -> Edit {
    Edit::PutScope {
        name: Scope::parse(name).unwrap(),
        description: String::new(),
        routes: vec![route.to_owned()],
        implies: Vec::new(),
        expected: Expected::Any,
    }
}

fn put_implying(name: &str, narrower: &[&str]) -> Edit {
    Edit::PutScope {
        name: Scope::parse(name).unwrap(),
        description: String::new(),
        routes: Vec::new(),
        implies: narrower.iter().map(|name| Scope::parse(name).unwrap()).collect(),
        expected: Expected::Any,
    }
}

/// Returns `true` if the gate permits a caller with these scopes.
fn permits(admin: &Admin, path: &str, scopes: &str) -> bool {
    let target = Target::parse(RawTarget {
        method: &Method::GET,
        scheme: Scheme::Http,
        authority: None,
        hosts: ["localhost"],
        path_and_query: path.as_bytes(),
    });
    let principal = crate::testing::principal(scopes).unwrap();
    let state = admin.gate.current();
    matches!(
        state.policy().decide(&target.unwrap(), Some(CallerAt::new(&principal, state.authenticator().now()))),
        Decision::Permit { .. }
    )
}

#[tokio::test]
async fn a_stored_scope_opens_its_routes_from_the_moment_of_the_answer() {
    let admin = admin().await;
    assert!(!permits(&admin, "/reports/1", "reports"));
    admin.edit(&Actor::System, put("reports", "GET /reports/**")).await.unwrap();
    assert!(permits(&admin, "/reports/1", "reports"));
    let name = Scope::parse("reports").unwrap();
    admin.edit(&Actor::System, Edit::DeleteScope { name, expected: Expected::Any }).await.unwrap();
    assert!(!permits(&admin, "/reports/1", "reports"));
}

#[tokio::test]
async fn invariant_15_a_stored_route_cannot_loosen_the_file() {
    let admin = admin().await;
    let narrow = create(json!({ "match": "GET /items/{id}", "allow": "authenticated" }));
    let refused = admin.edit(&Actor::System, narrow).await;
    assert!(
        matches!(&refused, Err(EditError::Policy(error)) if matches!(error.problem, PolicyProblem::Loosens { .. })),
        "{refused:?}"
    );
    assert_eq!(admin.store.policy().routes.len(), 0);
    let tighter = create(json!({ "match": "GET /items/{id}", "require": ["items", "audit"] }));
    admin.edit(&Actor::System, tighter).await.unwrap();
    assert!(!permits(&admin, "/items/1", "items"));
    assert!(permits(&admin, "/items/1", "items audit"));
}

#[tokio::test]
async fn invariant_15_a_stored_scope_cannot_loosen_the_file() {
    let refused = admin().await.edit(&Actor::System, put("mine", "GET /items/{id}")).await;
    assert!(
        matches!(&refused, Err(EditError::Policy(error)) if matches!(error.problem, PolicyProblem::Loosens { .. }))
    );
}

#[tokio::test]
async fn a_pattern_that_exists_is_refused() {
    let refused =
        admin().await.edit(&Actor::System, create(json!({ "match": "/items/**", "allow": "nobody" }))).await;
    assert!(
        matches!(&refused, Err(EditError::Policy(error)) if matches!(error.problem, PolicyProblem::DuplicatePattern { .. }))
    );
}

#[tokio::test]
async fn a_scope_of_the_file_is_changed_in_the_file() {
    let admin = admin().await;
    let refused = admin.edit(&Actor::System, put("items", "GET /x")).await;
    assert!(matches!(refused, Err(EditError::File(Source::Scope { .. }))));
}

#[tokio::test]
async fn a_scope_that_a_stored_route_requires_cannot_be_deleted() {
    let admin = admin().await;
    admin.edit(&Actor::System, put("reports", "GET /reports/**")).await.unwrap();
    admin.edit(&Actor::System, create(json!({ "match": "/x", "require": "reports" }))).await.unwrap();
    let name = Scope::parse("reports").unwrap();
    let refused = admin.edit(&Actor::System, Edit::DeleteScope { name, expected: Expected::Any }).await;
    assert!(
        matches!(&refused, Err(EditError::Policy(error)) if matches!(error.problem, PolicyProblem::UndeclaredScope { .. }))
    );
}

#[tokio::test]
async fn a_stored_scope_satisfies_the_stored_scopes_that_it_implies() {
    let admin = admin().await;
    admin.edit(&Actor::System, put("reports", "GET /reports/**")).await.unwrap();
    admin.edit(&Actor::System, put_implying("auditor", &["reports"])).await.unwrap();
    assert!(permits(&admin, "/reports/1", "auditor"));
    admin.edit(&Actor::System, put_implying("auditor", &[])).await.unwrap();
    assert!(!permits(&admin, "/reports/1", "auditor"));
}

#[tokio::test]
async fn stored_scopes_that_imply_each_other_are_refused() {
    let admin = admin().await;
    admin.edit(&Actor::System, put("b", "GET /b")).await.unwrap();
    admin.edit(&Actor::System, put_implying("a", &["b"])).await.unwrap();
    let refused = admin.edit(&Actor::System, put_implying("b", &["a"])).await.unwrap_err();
    assert!(refused.to_string().contains("implies itself"), "{refused}");
    assert_eq!(admin.store.policy().scopes[&Scope::parse("b").unwrap()].implies, []);
}

#[tokio::test]
async fn invariant_15_a_stored_scope_that_implies_one_of_the_file_is_refused() {
    let refused = admin().await.edit(&Actor::System, put_implying("mine", &["items"])).await;
    assert!(
        matches!(&refused, Err(EditError::Policy(error)) if matches!(error.problem, PolicyProblem::ImpliesFile { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_scope_that_another_implies_cannot_be_deleted() {
    let admin = admin().await;
    admin.edit(&Actor::System, put("reports", "GET /reports/**")).await.unwrap();
    admin.edit(&Actor::System, put_implying("auditor", &["reports"])).await.unwrap();
    let name = Scope::parse("reports").unwrap();
    let refused = admin.edit(&Actor::System, Edit::DeleteScope { name, expected: Expected::Any }).await;
    assert!(
        matches!(&refused, Err(EditError::Policy(error)) if matches!(error.problem, PolicyProblem::UndeclaredScope { .. }))
    );
}

/// Invariant 14: a stored cycle, which another program has written, leaves the rest of the policy as it is.
#[tokio::test]
async fn stored_scopes_that_imply_each_other_are_left_out_and_reported() {
    let mut stored = crate::store::StoredPolicy::default();
    for edit in [put_implying("a", &["b"]), put_implying("b", &["a"]), put("c", "GET /c")] {
        stored.apply(edit, UNMADE).unwrap();
    }
    let effective = effective_policy(&file(&items()), &stored);
    let rejected: Vec<String> = effective.rejected.iter().map(|error| error.at.to_string()).collect();
    assert_eq!(rejected, ["stored scope a", "stored scope b"]);
    assert!(effective.policy.scopes().iter().any(|scope| scope.name.as_str() == "c"));
}

#[tokio::test]
async fn a_hundred_edits_at_once_are_all_made() {
    let admin = admin().await;
    let edit = |n| {
        let admin = admin.clone();
        async move { admin.edit(&Actor::System, put(&format!("s{n}"), &format!("GET /s{n}"))).await }
    };
    let made = futures_util::future::join_all((0..100).map(edit)).await;
    let failed = made.iter().filter(|made| made.is_err()).count();
    assert_eq!(failed, 0, "{made:?}");
    assert_eq!(admin.store.policy().scopes.len(), 100);
}

#[tokio::test]
async fn what_no_longer_fits_with_a_new_file_is_left_out_and_the_rest_stays() {
    let (admin, node) = over(Some(&StoreSettings::new("memory:".parse().unwrap()))).await;
    admin.edit(&Actor::System, create(json!({ "match": "/x", "allow": "anonymous" }))).await.unwrap();
    admin.edit(&Actor::System, put("reports", "GET /reports/**")).await.unwrap();
    let mut routes = items();
    routes.push(json!({ "match": "/x", "require": "items" }));
    *node.file.lock().unwrap() = file(&routes);
    node.take_over().await;
    assert!(!permits(&admin, "/x", "reports"));
    assert!(permits(&admin, "/reports/1", "reports"));
    admin.edit(&Actor::System, put("more", "GET /more")).await.unwrap();
    assert!(permits(&admin, "/more", "more"));
}

#[tokio::test]
async fn invariant_14_without_a_store_no_edit_is_made() {
    let (admin, _) = over(None).await;
    let refused = admin.edit(&Actor::System, put("reports", "GET /reports/**")).await;
    assert!(matches!(refused, Err(EditError::Store(StoreError::NoStore))));
}

#[tokio::test]
async fn who_is_in_the_way_in_the_file_is_named_with_its_line() {
    let admin = admin().await;
    let refused = admin.edit(&Actor::System, put("items", "GET /x")).await.unwrap_err();
    let problem = admin.problem(refused);
    assert_eq!((problem.status().as_u16(), problem.reason().as_str()), (409, "declared_in_file"));
    assert!(problem.description().contains("scopegate.yaml:7:3"), "{problem}");
}

#[test]
fn a_moment_is_read_as_it_was_written() {
    let at = Timestamp::from_millis(1_700_000_000_123);
    assert_eq!(moment("from", &rfc3339(at)), Ok(at));
    assert_eq!(moment("from", "yesterday").unwrap_err().reason().as_str(), "invalid_moment");
}

#[test]
fn if_match_and_if_none_match_say_what_is_expected() {
    use crate::store::Version;
    assert_eq!(expected(None, None), Ok(Expected::Any));
    assert_eq!(expected(Some("*"), None), Ok(Expected::Something));
    assert_eq!(expected(Some("\"7\""), None), Ok(Expected::Version(Version(7))));
    assert_eq!(expected(None, Some("*")), Ok(Expected::Nothing));
    assert!(expected(Some("*"), Some("*")).is_err());
}
