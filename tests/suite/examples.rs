//! The examples do what they say.

use poem::{
    http::{Method, StatusCode},
    test::TestClient,
};
use scopegate::{
    Gate,
    config::{ConfigSource, Loader},
    tower::GateLayer,
};
use scopegate_provider::{ClientCredentials, ClientId, ScopeSet, Secret, TokenRequest};

use crate::support::{Client, eventually};

#[expect(dead_code, reason = "what makes a program of the example is not called here")]
#[path = "../../examples/axum.rs"]
mod axum_program;
#[expect(dead_code, reason = "what makes a program of the example is not called here")]
#[path = "../../examples/custom_provider.rs"]
mod custom_provider;
#[expect(dead_code, reason = "what makes a program of the example is not called here")]
#[path = "../../examples/poem.rs"]
mod embedding;
#[expect(dead_code, reason = "what makes a program of the example is not called here")]
#[path = "../../examples/openapi.rs"]
mod openapi;
#[expect(dead_code, reason = "what makes a program of the example is not called here")]
#[path = "../../examples/tonic.rs"]
mod tonic_program;

#[test]
fn every_example_of_a_providers_settings_loads() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/providers");
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 8, "{names:?}");
    for path in names {
        let config = Loader::new().without_environment().load(&ConfigSource::Path(path.clone()));
        assert!(config.is_ok(), "{}: {}", path.display(), config.err().unwrap());
    }
}

#[tokio::test]
async fn a_provider_of_ones_own_opens_items_to_its_keys_alone() {
    let mut told = Vec::new();
    custom_provider::run(&mut told).await.unwrap();
    let told = String::from_utf8(told).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    let beginnings = [
        "with k3y-of-acme: 200 [{\"id\":1,\"name\":\"red ball\"}",
        "with k3y-of-nobody: 403 {",
        "with another: 401 {",
        "without a key: 401 {",
    ];
    assert_eq!(lines.len(), beginnings.len(), "{told}");
    for (line, beginning) in lines.iter().zip(beginnings) {
        assert!(line.starts_with(beginning), "expected {beginning:?}, found {line:?}");
    }
}

/// `Bearer` and a token of the embedded issuer with this scope.
async fn bearer(gate: &Gate, scope: &str) -> String {
    let state = gate.current();
    let provider = state.authenticator().provider("local").unwrap().provider();
    let (id, secret) = (ClientId::parse("demo").unwrap(), Secret::new("demo-secret"));
    let client = Some(ClientCredentials { id, secret });
    let request =
        TokenRequest { client, scopes: Some(ScopeSet::parse(scope).unwrap()), ..TokenRequest::default() };
    let token = provider.request_token().unwrap().request_token(request).await.unwrap().access_token;
    format!("Bearer {}", token.reveal())
}

#[tokio::test]
async fn the_scopes_that_a_poem_openapi_service_declares_are_enforced_below_its_mount() {
    let configuration = openapi::CONFIGURATION.replace("127.0.0.1:9400", "127.0.0.1:0");
    let gate = openapi::gate(&configuration).await.unwrap();
    let bearer = bearer(&gate, "orders").await;
    let program = TestClient::new(openapi::program(&gate));
    let ask =
        |method: Method, path: &'static str| program.request(method, path).header("host", "127.0.0.1:3000");
    ask(Method::GET, "/api/health").send().await.assert_text("open").await;
    ask(Method::GET, "/api/orders").send().await.assert_status(StatusCode::UNAUTHORIZED);
    let orders = ask(Method::GET, "/api/orders").header("authorization", &bearer).send().await;
    orders.assert_text("[\"an order of demo\"]").await;
    let withdrawn = ask(Method::DELETE, "/api/orders/1").header("authorization", &bearer).send().await;
    withdrawn.assert_status(StatusCode::FORBIDDEN);
    let challenge = withdrawn.0.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("scope=\"orders:write\""), "{challenge}");
    ask(Method::GET, "/orders")
        .header("authorization", &bearer)
        .send()
        .await
        .assert_status(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_program_behind_the_gate_is_told_who_calls() {
    let configuration = embedding::CONFIGURATION.replace("127.0.0.1:9400", "127.0.0.1:0");
    let gate = Gate::builder().config_text(configuration).build().await.unwrap();
    let bearer = bearer(&gate, "profile").await;
    let program = TestClient::new(embedding::program(&gate));
    let ask = |path: &'static str| program.get(path).header("host", "127.0.0.1:3000");
    ask("/hello").send().await.assert_text("hello, stranger").await;
    ask("/hello").header("authorization", &bearer).send().await.assert_text("hello, demo").await;
    ask("/me").header("authorization", &bearer).send().await.assert_text("demo may profile").await;
    ask("/me").send().await.assert_status(StatusCode::UNAUTHORIZED);
    ask("/orders").header("authorization", &bearer).send().await.assert_status(StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_axum_program_behind_the_gate_is_told_who_calls() {
    let configuration = axum_program::CONFIGURATION.replace("127.0.0.1:9400", "127.0.0.1:0");
    let gate = Gate::builder().config_text(configuration).build().await.unwrap();
    let bearer = bearer(&gate, "profile").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(axum::serve(listener, axum_program::program(gate)).into_future());
    let with = [("authorization", bearer.as_str())];
    assert_eq!(client.get("/hello").await.text, "hello, stranger");
    assert_eq!(client.send("GET", "/hello", &with, "").await.text, "hello, demo");
    assert_eq!(client.send("GET", "/api/me", &with, "").await.text, "demo may profile");
    assert_eq!(client.send("GET", "/%61pi/%6De", &with, "").await.text, "demo may profile");
    assert_eq!(client.get("/api/me").await.status, 401);
    assert_eq!(client.send("GET", "/api/orders", &with, "").await.status, 403);
}

/// I4: a server of tonic takes the layer, and each call is decided.
#[tokio::test]
async fn a_tonic_server_behind_the_gate_gets_the_caller() {
    let configuration = tonic_program::CONFIGURATION.replace("127.0.0.1:9400", "127.0.0.1:0");
    let gate = Gate::builder().config_text(configuration).build().await.unwrap();
    let bearer = bearer(&gate, "greet").await;
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut server = tonic::transport::Server::builder().layer(GateLayer::outermost(gate));
    tokio::spawn(server.add_routes(tonic_program::services()).serve(address));
    let is_open = async || tokio::net::TcpStream::connect(address).await.is_ok();
    eventually(is_open, |is_open| *is_open).await;
    let client = Client::http2(&format!("http://{address}"));
    let call = async |authorization: &[(&str, &str)]| {
        let headers =
            [&[("content-type", "application/grpc"), ("te", "trailers")][..], authorization].concat();
        client.send("POST", "/greeter.Greeter/Hello", &headers, "\0\0\0\0\0").await
    };
    let refused = call(&[]).await;
    assert_eq!((refused.status, refused.header("grpc-status")), (200, "16"), "{refused:?}");
    let answer = call(&[("authorization", bearer.as_str())]).await;
    assert!(answer.text.contains("hello, demo"), "{answer:?}");
}
