use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
};

use poem::{EndpointExt, endpoint::make_sync, test::TestClient};
use scopegate_provider::SystemClock;
use serde_json::{Value, json};

use super::*;
use crate::{
    config::{ConfigSource, Loader},
    store::{Actor, Edit, Policies},
};

const CONFIG: &str = "
store: { url: 'memory:' }
routes: [ { match: GET /file, allow: anonymous } ]";

/// A frontend whose endpoints cannot be built while it is broken.
#[derive(Default)]
struct Endpoints {
    broken: AtomicBool,
}

impl Frontend for Arc<Endpoints> {
    type Endpoints = ();
    type Error = RuntimeError;

    async fn build(&self, _: Draft<'_>, _: Option<&Generation<()>>) -> Result<(), RuntimeError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(RuntimeError::Workers(io::Error::other("broken")));
        }
        Ok(())
    }

    fn activate(&self, (): &()) {}
}

async fn node(frontend: &Arc<Endpoints>) -> Arc<Node<Arc<Endpoints>>> {
    let source = ConfigSource::Text { name: "scopegate.yaml".to_owned(), text: CONFIG.to_owned() };
    let config = Loader::new().without_environment().load(&source).unwrap();
    let runtime = Runtime::open(&config, Arc::new(SystemClock::new())).await.unwrap();
    Node::start(runtime, frontend.clone(), config, PublicOrigin::default()).await.unwrap()
}

/// Stores a route without any check, as an earlier version or another program may have.
async fn store(node: &Node<Arc<Endpoints>>, definition: Value) {
    let store = &node.runtime.store;
    store.edit_policy(&Actor::System, &store.policy(), Edit::CreateRoute { definition }).await.unwrap();
}

async fn permits(node: &Node<Arc<Endpoints>>, path: &str) -> bool {
    let endpoint = make_sync(|_| "").with(node.gate().clone());
    let answer = TestClient::new(endpoint).get(path).header("Host", "a").send().await;
    answer.0.status().is_success()
}

async fn permits_within(node: &Node<Arc<Endpoints>>, path: &str, time: Duration) -> bool {
    let permitted = async {
        while !permits(node, path).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(time, permitted).await.is_ok()
}

/// D4: stored entries that cannot be in force are left out, whatever is wrong with them.
#[tokio::test(start_paused = true)]
async fn a_stored_entry_that_does_not_fit_never_blocks_others() {
    let node = node(&Arc::default()).await;
    for poison in [
        json!({ "match": "GET /x", "allow": "anonymous", "identity": { "headers": { "Host": "sub" } } }),
        json!({ "match": "GET /x", "allow": "anonymous", "identity": { "headers": { "a b": "sub" } } }),
        json!({ "match": "GET /x", "allow": "anonymous", "identity": { "headers": { "X-A": "" } } }),
        json!({ "match": "x" }),
        json!({ "match": "GET /x", "require": "undeclared" }),
        json!({ "match": "GET /x", "allow": "anonymous", "unknown": true }),
        json!("nonsense"),
    ] {
        store(&node, poison).await;
    }
    store(&node, json!({ "match": "GET /stored", "allow": "anonymous" })).await;
    assert!(permits_within(&node, "/stored", Duration::from_secs(1)).await);
    assert!(permits(&node, "/file").await);
    assert!(!permits(&node, "/x").await);
    let generation = node.current();
    let rejected: HashSet<_> = generation.rejected.iter().map(|error| &error.at).collect();
    assert_eq!(rejected.len(), 7, "{rejected:#?}");
    let source = ConfigSource::Text { name: "scopegate.yaml".to_owned(), text: CONFIG.to_owned() };
    node.reload(Loader::new().without_environment().load(&source).unwrap()).await.unwrap();
    assert!(permits(&node, "/stored").await, "a reload goes on as well");
}

/// D4, D5: a change that cannot be put in force changes nothing, and is tried again until it can.
#[tokio::test(start_paused = true)]
async fn a_failed_change_of_the_store_is_tried_again() {
    let frontend = Arc::<Endpoints>::default();
    let node = node(&frontend).await;
    frontend.broken.store(true, Ordering::Relaxed);
    store(&node, json!({ "match": "GET /stored", "allow": "anonymous" })).await;
    assert!(!permits_within(&node, "/stored", Duration::from_secs(10)).await);
    assert!(permits(&node, "/file").await);
    frontend.broken.store(false, Ordering::Relaxed);
    assert!(permits_within(&node, "/stored", Duration::from_secs(5)).await);
}

/// D4: a reload that fails half way has changed nothing.
#[tokio::test(start_paused = true)]
async fn a_reload_that_fails_changes_nothing() {
    let frontend = Arc::<Endpoints>::default();
    let node = node(&frontend).await;
    frontend.broken.store(true, Ordering::Relaxed);
    let text = "routes: [ { match: GET /other, allow: anonymous } ]".to_owned();
    let source = ConfigSource::Text { name: "scopegate.yaml".to_owned(), text };
    let config = Loader::new().without_environment().load(&source).unwrap();
    let error = node.reload(config).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Workers(_)), "{error}");
    assert!(permits(&node, "/file").await);
    assert!(!permits(&node, "/other").await);
}

#[tokio::test]
async fn an_embedded_node_ends_with_the_last_clone_of_its_gate() {
    let node = node(&Arc::default()).await;
    let weak = Arc::downgrade(&node);
    let gate = node.gate().clone().with_owner(node);
    let clone = gate.clone();
    drop(gate);
    assert!(weak.upgrade().is_some());
    drop(clone);
    assert!(weak.upgrade().is_none());
}
