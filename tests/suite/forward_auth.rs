//! Real proxies, configured as the manual shows, that ask scopegate about each request. A proxy joins by one line.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Client, Server, Upstream, raw, with_issuer};

/// A proxy under test: its program, its configuration, and how it is told where that is.
pub(crate) struct Kind {
    pub(crate) dialect: &'static str,
    pub(crate) configuration: &'static str,
    pub(crate) command: fn(&str, &TempDir) -> Command,
}

pub(crate) const NGINX: Kind = Kind {
    dialect: "nginx",
    configuration: include_str!("../../src/manual/proxies/nginx.conf"),
    command: nginx,
};
pub(crate) const CADDY: Kind = Kind {
    dialect: "caddy",
    configuration: include_str!("../../src/manual/proxies/Caddyfile"),
    command: caddy,
};

pub(crate) const HAPROXY: Kind = Kind {
    dialect: "haproxy",
    configuration: include_str!("../../src/manual/proxies/haproxy.cfg"),
    command: haproxy,
};

fn nginx(file: &str, folder: &TempDir) -> Command {
    let mut command = Command::new("nginx");
    let own = format!("daemon off; pid {0}/pid; error_log {0}/error.log;", folder.path().display());
    command.args(["-c", file, "-p", folder.path().to_str().unwrap(), "-g", &own]);
    command
}

fn caddy(file: &str, folder: &TempDir) -> Command {
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config", file]).env("HOME", folder.path());
    command
}

fn haproxy(file: &str, _: &TempDir) -> Command {
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f", file]);
    command
}

/// A running proxy, configured as the manual shows.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) address: String,
    _folder: TempDir,
}

impl Proxy {
    /// Starts one that asks scopegate at one address and sends what may pass on to a service at another.
    pub(crate) fn start(kind: &Kind, scopegate: &str, service: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let text = kind
            .configuration
            .replace("127.0.0.1:8080", scopegate)
            .replace("127.0.0.1:9001", service)
            .replace("127.0.0.1:8000", &format!("127.0.0.1:{port}"))
            .replace("http://:8000", &format!("http://:{port}"))
            .replace("/etc/haproxy/", concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual/proxies/"));
        // nginx' temporary files default to where only an installed one may write.
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {}/{name};", folder.path().display()));
        let text = text.replace("http {\n", &format!("http {{\n access_log off; {}\n", temporary.concat()));
        let file = folder.path().join("configuration");
        std::fs::write(&file, text).unwrap();
        let mut command = (kind.command)(file.to_str().unwrap(), &folder);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {error}; tests/run installs it", kind.dialect));
        let proxy = Self { child, address: format!("127.0.0.1:{port}"), _folder: folder };
        let begun = Instant::now();
        while TcpStream::connect(&proxy.address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{} did not start", kind.dialect);
            std::thread::sleep(Duration::from_millis(20));
        }
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Asked to end, so that its own children end with it; it may have ended already.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// A proxy, scopegate beside it and a service behind it.
struct Scene {
    proxy: Proxy,
    server: Server,
    upstream: Upstream,
}

impl Scene {
    fn of(kind: &Kind) -> Self {
        Self::with(kind, &configuration(kind.dialect))
    }

    fn with(kind: &Kind, configuration: &str) -> Self {
        let upstream = Upstream::start();
        let server = Server::start(configuration);
        let scopegate = server.url.trim_start_matches("http://");
        let proxy = Proxy::start(kind, scopegate, &upstream.address.to_string());
        Self { proxy, server, upstream }
    }

    fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.proxy.address))
    }

    async fn token(&self) -> String {
        Client::new(&self.server.url).token("", "demo", "demo-secret", "items").await
    }
}

/// Proxies take no port 0; the system does not give this one to others at once.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn configuration(dialect: &str) -> String {
    let rest = format!(
        r"
forward_auth: {{ dialects: [{dialect}] }}
identity: {{ headers: {{ X-Auth-Subject: sub, X-Auth-Scopes: scope }}, forward: mint }}
scopes: {{ items: Read items, admin: Administer }}
routes:
  - {{ match: GET /public/**, allow: anonymous }}
  - {{ match: GET /items/**, require: items }}
  - {{ match: /admin/**, require: admin }}
"
    );
    with_issuer("trusted_proxies: [127.0.0.1/32]", "items", &rest)
}

async fn passes_what_is_permitted_and_relays_what_is_refused(kind: &Kind) {
    let scene = Scene::of(kind);
    let (client, token) = (scene.client(), scene.token().await);
    let permitted = client.get_with("/items/1?q=2", &token).await;
    assert_eq!(permitted.status, 200, "{permitted:?}");
    let head = permitted.text.to_ascii_lowercase();
    assert!(head.starts_with("get /items/1?q=2 ") && head.contains("x-auth-subject: demo"), "{permitted:?}");
    assert!(head.contains("authorization: bearer "), "a token of scopegate's own: {permitted:?}");
    assert!(!permitted.text.contains(&token), "the caller's token: {permitted:?}");

    let forged = [
        ("x-auth-subject", "root"),
        ("x-original-url", "http://x/public/y"),
        ("x-forwarded-uri", "/public/y"),
    ];
    let anonymous = client.send("GET", "/public/x", &forged[..1], "").await;
    assert_eq!(anonymous.status, 200, "{anonymous:?}");
    assert!(!anonymous.text.contains("root"), "{anonymous:?}");
    let spoofed = client.send("GET", "/admin/x", &forged, "").await;
    assert_eq!(spoofed.status, 401, "{spoofed:?}");

    let without = client.get("/items/1").await;
    assert_eq!((without.status, without.json()["reason"].clone()), (401, json!("no_token")), "{without:?}");
    assert!(without.header("www-authenticate").contains("scope=\"items\""), "{without:?}");
    let lacking = client.get_with("/admin/x", &token).await;
    assert_eq!(
        (lacking.status, lacking.json()["missing_scopes"].clone()),
        (403, json!(["admin"])),
        "{lacking:?}"
    );
    let method = client.send("POST", "/public/x", &[], "").await;
    assert_eq!((method.status, method.header("allow")), (405, "GET, HEAD"), "{method:?}");
    let irregular = client.get("/public/a%2Fb").await;
    assert_eq!(
        (irregular.status, irregular.json()["reason"].clone()),
        (400, json!("irregular_path")),
        "{irregular:?}"
    );
}

#[tokio::test]
async fn nginx_passes_what_is_permitted_and_relays_what_is_refused() {
    passes_what_is_permitted_and_relays_what_is_refused(&NGINX).await;
}

#[tokio::test]
async fn caddy_passes_what_is_permitted_and_relays_what_is_refused() {
    passes_what_is_permitted_and_relays_what_is_refused(&CADDY).await;
}

#[tokio::test]
async fn haproxy_passes_what_is_permitted_and_relays_what_is_refused() {
    passes_what_is_permitted_and_relays_what_is_refused(&HAPROXY).await;
}

#[tokio::test]
async fn haproxy_lets_nothing_through_once_scopegate_is_gone() {
    lets_nothing_through_once_scopegate_is_gone(&HAPROXY).await;
}

/// F1: what the gate could not answer is 503, never 403.
#[tokio::test]
async fn nginx_lets_nothing_through_once_scopegate_is_gone() {
    lets_nothing_through_once_scopegate_is_gone(&NGINX).await;
}

async fn lets_nothing_through_once_scopegate_is_gone(kind: &Kind) {
    let mut scene = Scene::of(kind);
    scene.server.signal("TERM");
    scene.server.wait().await;
    // Nobody else's server is to be found there: bound, it is not listened on.
    let address = scene.server.url.trim_start_matches("http://").parse().unwrap();
    let place = tokio::net::TcpSocket::new_v4().unwrap();
    place.set_reuseaddr(true).unwrap();
    place.bind(address).unwrap();
    let refused = scene.client().get("/public/x").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{refused:?}");
    assert_eq!(refused.json()["reason"], "no_answer");
    assert_eq!(scene.upstream.seen(), Vec::<String>::new());
}

/// F1: the shipped files carry a token as long as `limits.token` accepts.
#[tokio::test]
async fn every_proxy_carries_a_token_of_twelve_kilobytes() {
    for kind in [&NGINX, &CADDY, &HAPROXY] {
        for forward in ["mint", "keep"] {
            let claims = format!("scopes: [items], claims: {{ groups: [{:?}] }}", "g".repeat(8800));
            let configuration = configuration(kind.dialect);
            let configuration = configuration.replace("scopes: [items] }", &format!("{claims} }}"));
            let configuration = configuration.replace("forward: mint", &format!("forward: {forward}"));
            let scene = Scene::with(kind, &configuration);
            let token = scene.token().await;
            assert!(token.len() > 12_000, "{} bytes", token.len());
            let answer = scene.client().get_with("/items/1", &token).await;
            assert_eq!(answer.status, 200, "{} {forward}: {answer:?}", kind.dialect);
            let missing = scene.client().get_with("/admin/1", &token).await;
            assert_eq!(missing.status, 403, "{} {forward}: {missing:?}", kind.dialect);
            assert_eq!(missing.json()["reason"], "insufficient_scope", "{} {forward}", kind.dialect);
        }
    }
}

/// F2: a refusal has one challenge and one id.
#[tokio::test]
async fn a_refusal_through_nginx_has_one_challenge_and_one_id() {
    let scene = Scene::of(&NGINX);
    for (path, status) in [("/items/1", 401), ("/admin/1", 401)] {
        let refused = scene.client().get(path).await;
        assert_eq!(refused.status, status);
        for name in ["www-authenticate", "x-request-id"] {
            assert_eq!(refused.headers.get_all(name).iter().count(), 1, "{name}: {refused:?}");
        }
    }
    let refused = scene.client().get_with("/admin/1", &scene.token().await).await;
    assert_eq!((refused.status, refused.headers.get_all("www-authenticate").iter().count()), (403, 1));
}

/// The body of a refusal has the id that its header has, behind each proxy.
#[tokio::test]
async fn a_refusal_through_a_proxy_has_its_id_in_the_body() {
    for kind in [&NGINX, &CADDY, &HAPROXY] {
        let scene = Scene::of(kind);
        let refused = scene.client().get("/items/1").await;
        let id = refused.header("x-request-id");
        assert!(!id.is_empty(), "{}: {refused:?}", kind.dialect);
        assert_eq!(refused.json()["request_id"], id, "{}: {refused:?}", kind.dialect);
    }
}

/// A browser gets a refusal as a page with its id, behind the proxies that tell what it accepts.
#[tokio::test]
async fn a_refusal_through_a_proxy_is_a_page_for_a_browser() {
    for kind in [&NGINX, &CADDY] {
        let scene = Scene::of(kind);
        let accept = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
        let page = scene.client().send("GET", "/items/1", &accept, "").await;
        let is_page = page.text.contains("<h1>") && page.text.contains(page.header("x-request-id"));
        assert!(is_page && page.status == 401, "{}: {page:?}", kind.dialect);
        assert!(page.header("content-type").starts_with("text/html"), "{}: {page:?}", kind.dialect);
    }
}

/// Passes bytes on to an address, and counts the connections.
fn counting_relay(to: &str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (to, connections) = (to.to_owned(), Arc::<AtomicUsize>::default());
    let counted = connections.clone();
    std::thread::spawn(move || {
        for caller in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, SeqCst);
            let service = TcpStream::connect(&to).unwrap();
            for (mut from, mut to) in
                [(caller.try_clone().unwrap(), service.try_clone().unwrap()), (service, caller)]
            {
                std::thread::spawn(move || {
                    // Either side may be gone.
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    (address, connections)
}

/// Refusals keep the connections between proxy and scopegate open.
#[tokio::test]
async fn refusals_take_no_new_connections() {
    for kind in [&NGINX, &CADDY, &HAPROXY] {
        let upstream = Upstream::start();
        let server = Server::start(&configuration(kind.dialect));
        let (relay, connections) = counting_relay(server.url.trim_start_matches("http://"));
        let proxy = Proxy::start(kind, &relay, &upstream.address.to_string());
        let client = Client::new(&format!("http://{}", proxy.address));
        for _ in 0..40 {
            assert_eq!(client.get("/items/1").await.status, 401, "{}", kind.dialect);
        }
        let taken = connections.load(SeqCst);
        assert!(taken <= 4, "{}: 40 refusals took {taken} connections", kind.dialect);
    }
}

/// Sends a request on an open connection, and returns the head of the response once its body has arrived.
fn exchange(stream: &mut BufReader<TcpStream>, request: &str) -> String {
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).unwrap(), 0, "the connection was closed: {request}");
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    head
}

/// Whatever is answered in any dialect, the connection stays open, and nginx gets no body that it would not
/// read.
#[tokio::test]
async fn every_answer_in_every_dialect_keeps_the_connection_open() {
    let server = Server::start(&configuration("nginx, traefik, caddy, envoy, haproxy"));
    let token = Client::new(&server.url).token("", "demo", "demo-secret", "items").await;
    let address = server.url.trim_start_matches("http://");
    let authority = format!("Host: {address}\r\n");
    let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
    for (dialect, prefix) in [
        ("nginx", "X-Original-"),
        ("traefik", "X-Forwarded-"),
        ("caddy", "X-Forwarded-"),
        ("haproxy", "X-Scopegate-"),
        ("envoy", ""),
    ] {
        let mut check = |path: &str, token: &str| {
            let token =
                if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
            let proto = "X-Forwarded-Proto: http\r\n";
            let request = if prefix.is_empty() {
                format!("GET /auth/envoy{path} HTTP/1.1\r\n{authority}{proto}{token}\r\n")
            } else {
                let scheme = if dialect == "haproxy" { "X-Scopegate-Scheme: http\r\n" } else { proto };
                let original =
                    format!("{prefix}Method: GET\r\n{prefix}Uri: {path}\r\n{prefix}Host: a.example\r\n");
                format!("GET /auth/{dialect} HTTP/1.1\r\n{authority}{scheme}{original}{token}\r\n")
            };
            let head = exchange(&mut stream, &request);
            assert!(!head.contains("connection: close"), "{dialect} {path}: {head}");
            let has_body = !head.contains("content-length: 0") && head.contains("content-length");
            assert!(dialect != "nginx" || !has_body, "{path}: {head}");
            head.get(9..12).unwrap().parse::<u16>().unwrap()
        };
        let found = [
            check("/items/1", &token),
            check("/items/1", ""),
            check("/admin/x", &token),
            check("/items/1", "not-a-token"),
            check("/nowhere", &token),
        ];
        assert_eq!(found, [200, 401, 403, 401, 403], "{dialect}");
        let malformed = check("/public/%2e%2e/admin/x", "");
        assert_eq!(malformed, if dialect == "nginx" { 403 } else { 400 }, "{dialect}");
    }
}

/// F4: the shipped files route the metadata of the protected resource to scopegate.
#[tokio::test]
async fn every_proxy_routes_the_metadata_to_scopegate() {
    for kind in [&NGINX, &CADDY, &HAPROXY] {
        let scene = Scene::of(kind);
        for path in ["", "/mcp"] {
            let path = format!("/.well-known/oauth-protected-resource{path}");
            let answer = scene.client().get(&path).await;
            assert!(scene.upstream.seen().is_empty(), "{}: {path} reached the service", kind.dialect);
            assert_ne!(answer.status, 401, "{} {path}: {answer:?}", kind.dialect);
        }
    }
}

/// A4: no spelling of an identity header reaches the service.
#[tokio::test]
async fn no_proxy_passes_a_spelling_of_an_identity_header() {
    for kind in [&NGINX, &CADDY, &HAPROXY] {
        let scene = Scene::of(kind);
        for separator in "_.!~#$%&'*+^`|".chars() {
            let mut forged =
                format!("X{separator}Auth{separator}Subject: root\r\nX-HTTP{separator}Method: PURGE\r\n");
            for name in ["X-Original-URL", "X-HTTP-Method-Override", "X-Forwarded-For", "X-Forwarded-Prefix"]
            {
                forged.extend([&*name.replace('-', &separator.to_string()), ": root\r\n"]);
            }
            let head =
                format!("GET /public/x HTTP/1.1\r\nHost: api.example\r\n{forged}Connection: close\r\n\r\n");
            let answer = raw(&scene.proxy.address, head.as_bytes());
            let is_clean = !answer.contains("root") && !answer.contains("PURGE");
            assert!(is_clean, "{} {separator}: {answer}", kind.dialect);
        }
    }
}

#[tokio::test]
async fn what_haproxy_sends_on_is_what_was_decided_on() {
    let scene = Scene::of(&HAPROXY);
    let token = scene.token().await;
    let ask = |head: &str| raw(&scene.proxy.address, format!("{head}Connection: close\r\n\r\n").as_bytes());
    let get = "GET /public/x HTTP/1.1\r\nHost: api.example\r\n";
    let forged = "X_Auth_Subject: root\r\nX-Auth_Scopes: admin\r\nX_HTTP-Method-Override: DELETE\r\n";
    let forged = ask(&format!("{get}{forged}Connection: X-Auth-Subject\r\n"));
    let head = forged.to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 200")
            && !["root", "override", "connection: x-"].iter().any(|left| head.contains(left)),
        "{forged}"
    );
    let upgraded = ask(&format!("{get}Upgrade: h2c\r\nConnection: upgrade\r\n"));
    assert!(!upgraded.to_ascii_lowercase().contains("h2c"), "{upgraded}");
    let items = "GET /items/1 HTTP/1.1\r\nHost: api.example\r\n";
    let twice = ask(&format!("{items}Authorization: Bearer {token}\r\nAuthorization: Basic YTpi\r\n"));
    assert!(twice.contains("several_tokens"), "{twice}");
    let absolute = ask("GET http://api.example/public/x HTTP/1.1\r\nHost: api.example\r\n");
    assert!(absolute.contains("absolute_form"), "{absolute}");
    // What the script would send is not the caller's to say.
    let spoofed = ask("GET /admin/x HTTP/1.1\r\nHost: api.example\r\nX-Scopegate-Uri: /public/x\r\n");
    assert!(spoofed.contains("no_token"), "{spoofed}");
}

/// What two parsers have read in two ways somewhere (paths and hosts that lead to `/admin` in one of them).
pub(crate) const TRICKS: &[&str] = &[
    "/public/../admin/x",
    "/public/%2e%2e/admin/x",
    "/public/%2E%2E/admin/x",
    "/public/..%2fadmin/x",
    "/public/..%2Fadmin/x",
    "/public/..;/admin/x",
    "/public/.;/../admin/x",
    "/public/%2e%2e;a=b/admin/x",
    "/public/..%5cadmin/x",
    "/public/..\\admin/x",
    "//admin/x",
    "/public//../admin/x",
    "/./admin/x",
    "/admin/./x",
    "/%61dmin/x",
    "/admin%2fx",
    "/admin;x=y/x",
    "/admin/x%00",
    "/public/%252e%252e/admin/x",
    "/public/x#/../../admin/x",
    "/public/%c0%ae%c0%ae/admin/x",
    "/admin/x?/public/x",
    "/public/x%0d%0aX-Auth-Subject:%20root",
    "http://api.example/admin/x",
    "/admin/x/",
    "/ADMIN/../admin/x",
];

fn lets_no_trick_through(kind: &Kind) {
    let scene = Scene::of(kind);
    for trick in TRICKS {
        let request = format!("GET {trick} HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n");
        let answer = raw(&scene.proxy.address, request.as_bytes());
        let status: u16 = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        assert!(status != 200, "{trick} was let through: {answer}");
    }
    let reached = scene.upstream.seen();
    assert!(reached.is_empty(), "{}: {reached:?}", kind.dialect);
}

#[tokio::test]
async fn nginx_lets_no_trick_through() {
    lets_no_trick_through(&NGINX);
}

#[tokio::test]
async fn caddy_lets_no_trick_through() {
    lets_no_trick_through(&CADDY);
}

#[tokio::test]
async fn haproxy_lets_no_trick_through() {
    lets_no_trick_through(&HAPROXY);
}
