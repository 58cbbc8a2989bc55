//! An issuer on loopback that answers like the real ones, or as badly as a test wants.

mod fault;
mod wire;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use scopegate_provider::Issuer;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::AbortHandle};

pub use self::{
    fault::Fault,
    wire::{Reply, Request},
};
use crate::{MintKey, key_set};

/// An issuer on loopback, made of a discovery document: every URL in it is moved to a port of its own, and the endpoints
/// that it names are served. It ends when it is dropped.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use scopegate_testkit::{MintKey, TestIssuer};
///
/// let issuer = TestIssuer::start().await;
/// issuer.publish(&[&MintKey::es256("first")]);
/// assert!(issuer.url().starts_with("http://127.0.0.1:"));
/// # });
/// ```
#[derive(Debug)]
pub struct TestIssuer {
    state: Arc<State>,
    issuer: String,
    paths: Paths,
    accepting: AbortHandle,
}

/// The paths of the endpoints on this host; empty if the document names none.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    /// The discovery document.
    pub discovery: String,
    /// The key set.
    pub keys: String,
    /// The token endpoint.
    pub token: String,
    /// The introspection endpoint.
    pub introspection: String,
    /// The revocation endpoint.
    pub revocation: String,
}

type Handler = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

#[derive(Default)]
struct State {
    handlers: Mutex<HashMap<String, Handler>>,
    faults: Mutex<HashMap<String, Fault>>,
    delay: Mutex<Duration>,
    requests: Mutex<Vec<Request>>,
}

impl TestIssuer {
    /// A plain issuer: discovery, keys, token, introspection and revocation endpoints.
    pub async fn start() -> Self {
        Self::like(&json!({
            "issuer": "https://issuer.example",
            "jwks_uri": "https://issuer.example/keys",
            "token_endpoint": "https://issuer.example/token",
            "introspection_endpoint": "https://issuer.example/introspect",
            "revocation_endpoint": "https://issuer.example/revoke",
        }))
        .await
    }

    /// An issuer like the one that published this discovery document.
    pub async fn like(discovery: &Value) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let document = moved(discovery, address);
        let paths = Paths::of(&document);
        let state = Arc::new(State::default());
        let accepting = tokio::spawn(accept(listener, state.clone())).abort_handle();
        let issuer = document["issuer"].as_str().unwrap().to_owned();
        let this = Self { state, issuer, paths, accepting };
        this.on(&this.paths.discovery, move |_| Reply::json(200, &document));
        this.publish(&[]);
        this.on(&this.paths.introspection, |_| Reply::json(200, &json!({ "active": false })));
        this.on(&this.paths.revocation, |_| Reply::json(200, &json!({})));
        this
    }

    /// The issuer's URL as it stands in `iss`.
    pub fn url(&self) -> &str {
        &self.issuer
    }

    /// The same as a type.
    pub fn issuer(&self) -> Issuer {
        Issuer::parse(&self.issuer).unwrap()
    }

    /// The paths of its endpoints.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The URL of a path on its host.
    pub fn at(&self, path: &str) -> String {
        let scheme_and_host: Vec<&str> = self.issuer.splitn(4, '/').take(3).collect();
        format!("{}{path}", scheme_and_host.join("/"))
    }

    /// Publishes these keys, and no others any more.
    pub fn publish(&self, keys: &[&MintKey]) {
        let document = key_set(keys);
        self.on(&self.paths.keys, move |_| Reply::json(200, &document));
    }

    /// Says this about a token, and that every other is inactive.
    pub fn knows(&self, token: &str, answer: &Value) {
        let token = token.to_owned();
        let answer = answer.clone();
        self.on(&self.paths.introspection, move |request| {
            let known = request.field("token").as_deref() == Some(&token);
            Reply::json(200, &if known { answer.clone() } else { json!({ "active": false }) })
        });
    }

    /// Gives out this token to the client with this id and secret, by Basic or form; others are refused.
    pub fn grants(&self, id: &str, secret: &str, token: &str) {
        let client = (id.to_owned(), secret.to_owned());
        let token = token.to_owned();
        self.on(&self.paths.token, move |request| {
            if request.client() != Some(client.clone()) {
                return Reply::json(401, &json!({ "error": "invalid_client" }));
            }
            Reply::json(200, &json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 }))
        });
    }

    /// Answers requests for a path by `handler`.
    pub fn on(&self, path: &str, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        lock(&self.state.handlers).insert(path.to_owned(), Arc::new(handler));
    }

    /// Answers requests for a path with a recorded `{status, headers, body}`.
    pub fn replay(&self, path: &str, envelope: &Value) {
        let reply = Reply::recorded(envelope);
        self.on(path, move |_| reply.clone());
    }

    /// Breaks a path, or with `*` every one.
    pub fn fail(&self, path: &str, fault: Fault) {
        lock(&self.state.faults).insert(path.to_owned(), fault);
    }

    /// Takes all faults back.
    pub fn mend(&self) {
        lock(&self.state.faults).clear();
    }

    /// Takes so long for every answer.
    pub fn delay(&self, delay: Duration) {
        *lock(&self.state.delay) = delay;
    }

    /// Returns the number of requests for a path.
    pub fn count(&self, path: &str) -> usize {
        lock(&self.state.requests).iter().filter(|request| request.path == path).count()
    }

    /// The last request for a path.
    pub fn last(&self, path: &str) -> Option<Request> {
        lock(&self.state.requests).iter().rev().find(|request| request.path == path).cloned()
    }
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl Paths {
    fn of(document: &Value) -> Self {
        let path = |name: &str| document[name].as_str().map(path_of).unwrap_or_default();
        let issuer = path_of(document["issuer"].as_str().unwrap());
        Self {
            discovery: format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')),
            keys: path("jwks_uri"),
            token: path("token_endpoint"),
            introspection: path("introspection_endpoint"),
            revocation: path("revocation_endpoint"),
        }
    }
}

/// The document with the scheme and host of every URL replaced.
fn moved(value: &Value, address: SocketAddr) -> Value {
    match value {
        Value::String(text) if text.starts_with("https://") => {
            json!(format!("http://{address}{}", path_of(text)))
        }
        Value::Array(items) => items.iter().map(|item| moved(item, address)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), moved(value, address))).collect()
        }
        other => other.clone(),
    }
}

fn path_of(url: &str) -> String {
    url.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move {
            let Some(request) = wire::read(&mut stream).await else { return };
            let path = request.path.clone();
            lock(&state.requests).push(request.clone());
            let delay = *lock(&state.delay);
            tokio::time::sleep(delay).await;
            let fault = {
                let faults = lock(&state.faults);
                faults.get(&path).or_else(|| faults.get("*")).cloned()
            };
            if let Some(fault) = fault {
                return fault.commit(stream).await;
            }
            let handler = lock(&state.handlers).get(&path).cloned();
            let absent = Reply::json(404, &json!({ "errorCode": "E0000007" }));
            wire::write(&mut stream, &handler.map_or(absent, |handler| handler(&request))).await;
        });
    }
}
