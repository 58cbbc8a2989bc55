//! Tokens in a header or a cookie (`accept_token`), through the real program, as reverse proxy and behind others.

use crate::support::{Client, Server, Upstream, with_issuer};

fn configuration(upstream: &Upstream) -> String {
    let rest = format!(
        r#"
scopes: {{ items: Items }}
upstreams: {{ api: {{ url: "http://{}" }} }}
forward_auth: {{ dialects: [traefik, nginx] }}
accept_token: [ {{ header: X-Forwarded-Access-Token }} ]
routes:
  - {{ match: /general, require: items, upstream: api }}
  - {{ match: /keep, require: items, upstream: api, accept_token: [ {{ header: X-Api-Token }}, {{ cookie: session }} ] }}
  - match: /strip
    require: items
    upstream: api
    identity: {{ forward: strip }}
    accept_token: [ {{ header: X-Api-Token }}, {{ cookie: session }} ]
"#,
        upstream.address
    );
    with_issuer("trusted_proxies: [127.0.0.1/32]", "items", &rest)
}

/// V4: towards the upstream the token is kept or removed as `identity.forward` says, in every spelling, and
/// other cookies stay.
#[tokio::test]
async fn a_token_in_a_header_or_cookie_goes_on_only_where_it_is_kept() {
    let upstream = Upstream::start();
    let server = Server::start(&configuration(&upstream));
    let client = Client::new(&server.url);
    let token = client.token("", "demo", "demo-secret", "items").await;
    let cookie = format!("theme=dark; session={token}; a=b");
    for (path, header, value, expected) in [
        ("/keep", "x-api-token", &token, format!("x-api-token: {token}")),
        ("/keep", "cookie", &cookie, format!("cookie: {cookie}")),
        ("/strip", "x-api-token", &token, String::new()),
        ("/strip", "cookie", &cookie, "cookie: theme=dark; a=b".to_owned()),
        ("/general", "x-forwarded-access-token", &token, format!("x-forwarded-access-token: {token}")),
    ] {
        let listed = if header == "cookie" { "keep-alive" } else { header };
        let answer = client.send("GET", path, &[(header, value), ("connection", listed)], "").await;
        assert_eq!(answer.status, 200, "{path} {header}: {}", answer.text);
        let head = answer.text.to_ascii_lowercase();
        let token = token.to_ascii_lowercase();
        assert!(head.contains(&expected.to_ascii_lowercase()), "{path} {header}: {head}");
        assert_eq!(
            head.contains(&token),
            !expected.is_empty() && !expected.starts_with("cookie: theme=dark; a")
        );
    }
    let elsewhere = client.send("GET", "/general", &[("x-api-token", &token)], "").await;
    assert_eq!((elsewhere.status, elsewhere.json()["reason"].as_str()), (401, Some("no_token")));
}

/// Proxies that ask get the decision on the header and cookie of the original request, and are told the
/// fields as they go on.
#[tokio::test]
async fn proxies_are_told_the_header_and_the_cookies_without_the_token() {
    let server = Server::start(&configuration(&Upstream::start()));
    let client = Client::new(&server.url);
    let token = client.token("", "demo", "demo-secret", "items").await;
    let cookie = format!("theme=dark; session={token}");
    for (path, kept) in [("/keep", true), ("/strip", false)] {
        let original = [
            ("x-forwarded-method", "POST"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "a.example"),
            ("x-forwarded-uri", path),
        ];
        let header = [&original[..], &[("x-api-token", &token)]].concat();
        let answer = client.send("GET", "/auth/traefik", &header, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_eq!(answer.header("x-api-token"), if kept { &token } else { "" }, "{path}");
        let page = [&original[..], &[("cookie", &cookie), ("origin", "https://a.example")]].concat();
        let answer = client.send("GET", "/auth/traefik", &page, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_eq!(answer.header("cookie"), if kept { &cookie } else { "theme=dark" }, "{path}");
        let foreign = [&original[..], &[("cookie", &cookie), ("origin", "https://b.example")]].concat();
        let answer = client.send("GET", "/auth/traefik", &foreign, "").await;
        assert_eq!((answer.status, answer.json()["reason"].as_str()), (403, Some("cross_site")));
    }
}
