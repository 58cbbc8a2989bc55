//! What must not be seen, looked for in everything that is written.

use std::{
    io,
    sync::{Arc, Mutex},
};

use scopegate_provider::{BearerToken, Freshness, RequestToken, RevokeToken, TokenRequest};
use scopegate_testkit::Fault;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use super::harness::Harness;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;
    fn make_writer(&self) -> Log {
        self.clone()
    }
}

#[tokio::test]
async fn invariant_11_neither_token_nor_secret_is_in_a_log_line_or_an_error_whatever_fails() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let settings =
        json!({ "client_id": "api", "client_secret": "hunter2", "validate": "jwt_then_introspect" });
    let harness = Harness::new(&settings).await;
    let token = harness.token();
    let bearer = BearerToken::parse(&token).unwrap();
    let mut shown = Vec::new();
    let echo =
        Fault::Body(format!(r#"{{"access_token":["{token}"],"client_secret":"hunter2"}}"#).into_bytes());
    for fault in [Fault::Close, Fault::Status(401), Fault::Throttle(1), Fault::Html, echo, Fault::Large] {
        for path in ["/introspect", "/token", "/revoke", "/keys"] {
            harness.issuer.fail(path, fault.clone());
        }
        shown.push(format!("{:?}", harness.ask(&token, Freshness::Fresh).await));
        shown.push(format!("{:?}", harness.provider.request_token(TokenRequest::default()).await));
        shown.push(format!("{:?}", harness.provider.revoke_token(&bearer).await));
    }
    shown.push(format!("{:?}", harness.provider));
    drop(guard);
    shown.push(String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned());
    let shown = shown.join("\n");
    assert!(shown.contains("introspection failed"), "the log was not caught");
    let signature = token.rsplit('.').next().unwrap();
    for secret in [token.as_str(), signature, "hunter2", "YXBpOmh1bnRlcjI="] {
        assert!(!shown.contains(secret), "{secret} is shown in: {shown}");
    }
}
