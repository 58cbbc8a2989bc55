//! Introspection answers, by the way that they come: through a provider.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use scopegate_oidc::OidcProvider;
use scopegate_provider::{
    BearerToken, Context, Credentials, Freshness, HttpClient, HttpError, Inline, Provider, ProviderName,
};
use scopegate_testkit::TestClock;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::claims::{self, AUDIENCE, ISSUER};

/// A provider that is asked about tokens, and what the issuer will answer.
struct Bench {
    runtime: Runtime,
    provider: Arc<OidcProvider>,
    answer: Arc<Answer>,
}

#[derive(Debug, Default)]
struct Answer(Mutex<Response<Bytes>>);

static BENCH: LazyLock<Mutex<Bench>> = LazyLock::new(|| Mutex::new(Bench::new()));

/// Bytes: the status, a line break, and the body.
pub fn introspection(data: &[u8]) -> bool {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (status, body) = data.split_at(end);
    let body = body.strip_prefix(b"\n").unwrap_or_default();
    let Ok(status) = StatusCode::from_bytes(status) else { return false };
    let bench = BENCH.lock().unwrap_or_else(PoisonError::into_inner);
    let token = Credentials::bearer(BearerToken::parse("an-opaque-token").unwrap());
    bench.answer.put(status, body);
    let judged = bench.runtime.block_on(bench.provider.authenticate(&token, Freshness::Fresh));
    if let Ok(principal) = &judged {
        assert_eq!(status, StatusCode::OK);
        let members = claims::check(principal, body);
        assert_eq!(members.get("active"), Some(&Value::Bool(true)));
    }
    judged.is_ok()
}

impl Bench {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().build().unwrap();
        let answer = Arc::new(Answer::default());
        let settings = json!({
            "issuer": ISSUER, "audience": AUDIENCE, "client_id": "api", "client_secret": "s3cret",
            "opaque_tokens": "introspect", "introspection_endpoint": "https://issuer.example/introspect",
        });
        let name = ProviderName::parse("fuzz").unwrap();
        let context = Context::new(name, Arc::new(TestClock::default()), answer.clone(), Arc::new(Inline));
        let inside = runtime.enter();
        let provider = OidcProvider::connect(serde_json::from_value(settings).unwrap(), context).unwrap();
        drop(inside);
        Self { runtime, provider, answer }
    }
}

impl Answer {
    fn put(&self, status: StatusCode, body: &[u8]) {
        let mut answer = Response::new(Bytes::copy_from_slice(body));
        *answer.status_mut() = status;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }
}

#[async_trait]
impl HttpClient for Answer {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if request.uri().path() != "/introspect" {
            return Err(HttpError::Timeout { host: "issuer.example".to_owned() });
        }
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
