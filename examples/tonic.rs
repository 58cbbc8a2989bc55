//! The gate in front of a gRPC server of tonic.
//!
//! ```sh
//! cargo run --example tonic
//! TOKEN=$(curl -s http://127.0.0.1:9400/token -u demo:demo-secret -d grant_type=client_credentials \
//!   | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
//! grpcurl -plaintext -H "Authorization: Bearer $TOKEN" 127.0.0.1:3000 greeter.Greeter/Hello
//! ```

use std::{
    convert::Infallible,
    error::Error,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use scopegate::{Gate, Principal, tower::GateLayer};
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, NamedService, UnaryService},
    service::Routes,
    transport::Server,
};
use tonic_prost::ProstCodec;
use tower_service::Service;

/// The configuration, as in a `scopegate.yaml`. The provider is the embedded issuer, which is for development only.
pub(crate) const CONFIGURATION: &str = r"
providers:
  local:
    kind: dev
    listen: 127.0.0.1:9400
    audience: http://127.0.0.1:3000
    clients: [ { id: demo, secret: demo-secret, scopes: [greet] } ]
scopes: { greet: Greet }
routes:
  - { match: POST /greeter.Greeter/Hello, require: greet }
";

/// The service, as tonic-build generates it for `rpc Hello(google.protobuf.Empty) returns (google.protobuf.StringValue)`.
#[derive(Clone)]
struct Greeter;

impl NamedService for Greeter {
    const NAME: &'static str = "greeter.Greeter";
}

/// The method.
struct Hello;

impl UnaryService<()> for Hello {
    type Response = String;
    type Future = std::future::Ready<Result<Response<String>, Status>>;

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let caller = request.extensions().get::<Principal>();
        let client = caller.and_then(|caller| caller.client()).map(ToString::to_string);
        std::future::ready(Ok(Response::new(format!("hello, {}", client.unwrap_or_default()))))
    }
}

impl Service<http::Request<Body>> for Greeter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let codec = ProstCodec::<String, ()>::default();
        Box::pin(async move { Ok(Grpc::new(codec).unary(Hello, request).await) })
    }
}

/// The services of the program.
pub(crate) fn services() -> Routes {
    Routes::new(Greeter)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let gate = Gate::builder().config_text(CONFIGURATION).build().await?;
    let server = Server::builder().layer(GateLayer::outermost(gate)).add_routes(services());
    server.serve("127.0.0.1:3000".parse()?).await?;
    Ok(())
}
