//! `/healthz` and `/readyz`, on the operations listener and nowhere else.

use std::sync::Arc;

use http::StatusCode;
use poem::{Endpoint, IntoResponse, Request, Response, Result, web::Json};
use serde::Serialize;

/// The readiness of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Set if it can decide.
    pub ready: bool,
    /// The reasons for which it cannot.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The faults that do not keep it from deciding.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub degraded: Vec<String>,
}

/// Reports the readiness of a node, from memory.
pub trait Report: Send + Sync + 'static {
    /// Returns the readiness now.
    fn readiness(&self) -> Readiness;
}

/// `GET /healthz`: the process is alive.
#[poem::handler]
pub(crate) fn healthz() -> &'static str {
    "alive\n"
}

/// `GET /readyz`: 200 if this node can decide, 503 if not; the body says why, and what is degraded.
#[derive(Clone)]
pub struct Readyz(pub Arc<dyn Report>);

impl Endpoint for Readyz {
    type Output = Response;

    async fn call(&self, _: Request) -> Result<Response> {
        let readiness = self.0.readiness();
        let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Ok(Json(readiness).with_status(status).into_response())
    }
}
