//! The sample API of the tutorials: something to protect on the first day.

use poem_openapi::{Object, OpenApi, payload::Json};

use crate::gate::Principal;

/// The public and the private route.
#[derive(Debug, Clone, Copy, Default)]
pub struct SampleApi;

/// A greeting.
#[derive(Object)]
struct Hello {
    /// Whom it greets.
    #[oai(rename = "Hello")]
    hello: String,
}

/// Answers every caller.
#[derive(Object)]
struct Public {
    /// `success`.
    status: String,
    /// The message.
    msg: String,
}

#[OpenApi]
#[expect(clippy::unused_async, reason = "poem-openapi awaits every operation")]
impl SampleApi {
    /// Say hello.
    #[oai(path = "/", method = "get", operation_id = "hello")]
    async fn hello(&self) -> Json<Hello> {
        Json(Hello { hello: "World".into() })
    }

    /// Tell anyone the public message.
    #[oai(path = "/api/public", method = "get", operation_id = "public")]
    async fn public(&self) -> Json<Public> {
        let msg = "Hello from a public endpoint! You don't need to be authenticated to see this.";
        Json(Public { status: "success".into(), msg: msg.into() })
    }

    /// Tell a caller with a valid token what its claims are.
    #[oai(path = "/api/private", method = "get", operation_id = "private")]
    async fn private(&self, principal: Principal) -> Json<serde_json::Value> {
        Json(serde_json::Value::Object(principal.claims().map().clone()))
    }
}
