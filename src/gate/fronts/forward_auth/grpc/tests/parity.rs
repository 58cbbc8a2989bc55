//! One request asked about over gRPC and over HTTP.

use http::StatusCode;

use super::{
    super::super::{
        Traefik,
        tests::{ask, reason},
    },
    *,
};

/// Whatever the request, gRPC and an HTTP dialect say the same of it.
#[tokio::test]
async fn grpc_refuses_and_permits_as_the_http_dialects_do() {
    let authorizations =
        [None, Some("Basic YTpi"), Some("Bearer"), Some("Bearer not.a.token"), Some("Bearer a b")];
    let paths = [
        "/public/x",
        "/public/x?y=1",
        "/public/",
        "/items/1",
        "/elsewhere",
        "/public/../items/1",
        "/public/%2e%2e/items",
        "/public/a%2Fb",
        "/public//x",
        "/public/x;y",
        "/public/%00",
        "/public/x#y",
        "public",
        "*",
        "//items/1",
        "/%70ublic/x",
    ];
    for (method, path) in
        ["GET", "HEAD", "POST", "CONNECT"].iter().flat_map(|method| paths.map(|path| (*method, path)))
    {
        for authorization in authorizations {
            let headers: Vec<_> = authorization.iter().map(|value| ("authorization", *value)).collect();
            let over_grpc = answer(with(&headers, http(method, path))).await;
            let metadata = [
                ("x-forwarded-method", method),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "api.example"),
                ("x-forwarded-uri", path),
            ];
            let over_http =
                ask(Traefik, PROXY, Method::GET, "/", &[&metadata, headers.as_slice()].concat()).await;
            same(over_grpc, over_http).await;
        }
    }
}

async fn same(over_grpc: CheckResponse, over_http: Response) {
    if over_http.status() == StatusCode::OK {
        // What is told beside speaks of the answer, or to the caller.
        let told = over_http
            .headers()
            .iter()
            .filter(|(name, _)| !["cache-control", "vary"].contains(&name.as_str()));
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        let mut expected: Vec<_> = told.map(|(name, value)| (name.to_string(), text(value))).collect();
        let mut found = fields(&permit(over_grpc).headers);
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
        return;
    }
    let denial = denial(over_grpc);
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let mut expected: Vec<_> =
        over_http.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let mut found = fields(&denial.headers);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let (status, said) = reason(over_http).await;
    assert_eq!(told(&denial), (status.as_u16().into(), said));
}
