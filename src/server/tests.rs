use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use poem::{Endpoint, Request, Response, endpoint::make};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use scopegate_provider::{ByteSize, Span};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;

use super::{tls::Tls, *};

struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    served: JoinHandle<Outcome>,
}

async fn start(limits: Limits, endpoint: impl Endpoint + 'static) -> Running {
    let bound = Bound::bind(&ListenerSettings { limits, ..ListenerSettings::default() }).await.unwrap();
    let Listen::Tcp(address) = *bound.local_addr() else { unreachable!("a TCP listener was asked for") };
    let shutdown = Shutdown::new();
    let served = tokio::spawn(bound.serve(endpoint, shutdown.clone()));
    Running { address, shutdown, served }
}

fn hello() -> impl Endpoint {
    make(|_: Request| async { "hello" })
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// What the server answers to `request` until it closes the connection.
    async fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        read_to_end(&mut stream).await
    }
}

async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut answer = Vec::new();
    // A connection that is cut with unread bytes is reset; what came before counts.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn read_response(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed");
    }
    String::from_utf8(answer).unwrap()
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_AND_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_request_is_answered() {
    let server = start(Limits::default(), hello()).await;
    let answer = server.exchange(GET_AND_CLOSE).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[tokio::test]
async fn http2_is_served_to_whom_begins_with_it() {
    let server =
        start(Limits::default(), make(|request: Request| async move { format!("{:?}", request.version()) }))
            .await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = client.get(format!("http://{}/", server.address)).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "HTTP/2.0");
}

#[tokio::test]
async fn a_unix_socket_is_served_and_removed_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listen: Listen = format!("unix:{}", path.display()).parse().unwrap();
    let bound = Bound::bind(&ListenerSettings { listen, ..ListenerSettings::default() }).await.unwrap();
    let shutdown = Shutdown::new();
    let served = tokio::spawn(bound.serve(hello(), shutdown.clone()));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(GET_AND_CLOSE).await.unwrap();
    assert!(read_to_end(&mut stream).await.ends_with("hello"));
    shutdown.drain();
    assert_eq!(served.await.unwrap(), Outcome { cut: 0 });
    assert!(!path.exists());
}

#[tokio::test]
async fn a_killed_servers_socket_is_taken_over_and_a_living_ones_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listen: Listen = format!("unix:{}", path.display()).parse().unwrap();
    let settings = ListenerSettings { listen, ..ListenerSettings::default() };
    let _bound = Bound::bind(&settings).await.unwrap();
    let BindError::Bind { source, .. } = Bound::bind(&settings).await.unwrap_err() else {
        panic!("another error")
    };
    assert_eq!(source.kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused() {
    let limits = Limits { headers: ByteSize::new(8192), ..Limits::default() };
    let server = start(limits, hello()).await;
    let long = "a".repeat(9000);
    let answer = server.exchange(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

fn short(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

const SOON: Span = Span::new(Duration::from_millis(60));

#[tokio::test]
async fn who_never_finishes_a_head_is_cut() {
    let server = start(short(|limits| limits.header_timeout = SOON), hello()).await;
    let mut stream = server.connect().await;
    let trickle = async {
        loop {
            if stream.write_all(b"X").await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), trickle).await.expect("it was to be cut");
}

#[tokio::test]
async fn who_says_nothing_at_all_is_cut() {
    let server = start(short(|limits| limits.header_timeout = SOON), hello()).await;
    assert_eq!(server.exchange(b"").await, "");
}

#[tokio::test]
async fn a_connection_at_rest_is_closed() {
    let server = start(short(|limits| limits.idle_timeout = SOON), hello()).await;
    assert!(server.exchange(GET).await.ends_with("hello"));
}

#[tokio::test]
async fn a_slow_endpoint_is_not_the_callers_fault() {
    let limits = short(|limits| (limits.header_timeout, limits.idle_timeout) = (SOON, SOON));
    let slow = make(|_: Request| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "hello"
    });
    let server = start(limits, slow).await;
    assert!(server.exchange(GET).await.ends_with("hello"));
}

#[tokio::test]
async fn who_takes_no_bytes_is_cut() {
    let endless = make(|_: Request| async {
        let chunks = futures_util::stream::repeat_with(|| Ok::<_, io::Error>(vec![0_u8; 1 << 16]));
        Response::builder().body(poem::Body::from_bytes_stream(chunks))
    });
    let server = start(short(|limits| limits.send_timeout = SOON), endless).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    server.shutdown.drain();
    assert_eq!(server.served.await.unwrap(), Outcome { cut: 0 });
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let server = start(short(|limits| limits.connections = std::num::NonZeroU32::MIN), hello()).await;
    let first = server.connect().await;
    let mut second = server.connect().await;
    second.write_all(GET_AND_CLOSE).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), second.readable()).await;
    assert!(early.is_err(), "served beyond the limit");
    drop(first);
    assert!(read_to_end(&mut second).await.ends_with("hello"));
}

#[tokio::test]
async fn what_was_begun_is_finished_when_the_server_drains() {
    let calls = Arc::new(AtomicUsize::new(0));
    let slow = make({
        let calls = Arc::clone(&calls);
        move |_: Request| {
            calls.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                "hello"
            }
        }
    });
    let server = start(Limits::default(), slow).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    while calls.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    server.shutdown.drain();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.contains("connection: close") && answer.ends_with("hello"), "{answer}");
    assert_eq!(server.served.await.unwrap(), Outcome { cut: 0 });
}

#[tokio::test]
async fn a_request_on_its_way_to_a_resting_connection_is_answered_when_the_server_drains() {
    let server = start(Limits::default(), hello()).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    read_response(&mut stream).await;
    server.shutdown.drain();
    tokio::time::sleep(Duration::from_millis(50)).await;
    stream.write_all(GET).await.unwrap();
    assert!(read_to_end(&mut stream).await.ends_with("hello"));
    assert_eq!(server.served.await.unwrap(), Outcome { cut: 0 });
}

#[tokio::test]
async fn who_was_not_accepted_yet_is_served_when_the_server_drains() {
    let bound = Bound::bind(&ListenerSettings::default()).await.unwrap();
    let Listen::Tcp(address) = *bound.local_addr() else { unreachable!("a TCP listener was asked for") };
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    let shutdown = Shutdown::new();
    shutdown.drain();
    let served = tokio::spawn(bound.serve(hello(), shutdown));
    assert!(read_to_end(&mut stream).await.ends_with("hello"));
    assert_eq!(served.await.unwrap(), Outcome { cut: 0 });
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_and_counted() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let never = make(move |_: Request| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<&str>()
    });
    let server = start(Limits::default(), never).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    while calls.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    server.shutdown.drain();
    server.shutdown.cut();
    assert_eq!(server.served.await.unwrap(), Outcome { cut: 1 });
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[tokio::test]
async fn while_leaving_requests_are_served_and_connections_closed_after_them() {
    let server = start(Limits::default(), hello()).await;
    server.shutdown.leave();
    let answer = server.exchange(GET).await;
    assert!(answer.contains("connection: close") && answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn invariant_5_content_length_with_transfer_encoding_is_refused() {
    let server = start(Limits::default(), hello()).await;
    for fields in
        ["Content-Length: 5\r\nTransfer-Encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 5"]
    {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n");
        let answer = server.exchange(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && !answer.contains("hello"), "{answer}");
    }
}

#[tokio::test]
async fn invariant_5_it_is_refused_behind_other_requests_too() {
    let takes_all = make(|mut request: Request| async move {
        request.take_body().into_vec().await.map(|body| body.len().to_string()).unwrap_or_default()
    });
    let server = start(Limits::default(), takes_all).await;
    let chunked =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n";
    let counted = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd";
    let bad =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = server.exchange([chunked, counted, bad].concat().as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 400 ").count(), 1, "{answer}");
}

#[tokio::test]
async fn a_connection_is_used_again_after_bodies_of_every_kind() {
    let server = start(short(|limits| limits.idle_timeout = SOON), hello()).await;
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let counted = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd";
    let mut stream = server.connect().await;
    for request in [chunked, counted, chunked] {
        stream.write_all(request.as_bytes()).await.unwrap();
        read_response(&mut stream).await;
    }
}

#[tokio::test]
async fn who_stops_in_the_middle_of_a_body_is_cut() {
    let takes_all = make(|mut request: Request| async move {
        let _ = request.take_body().into_vec().await;
        "hello"
    });
    let server = start(short(|limits| limits.body_timeout = SOON), takes_all).await;
    let answer = server.exchange(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").await;
    assert!(!answer.contains("hello"), "{answer}");
}

fn tls(name: &str) -> TlsSettings {
    let file =
        |extension: &str| format!("{}/tests/data/tls/{name}.{extension}", env!("CARGO_MANIFEST_DIR")).into();
    TlsSettings { certificate: file("pem"), key: file("key") }
}

fn tls_client() -> reqwest::Client {
    let authority = std::fs::read(tls("authority").certificate).unwrap();
    let authority = reqwest::Certificate::from_pem(&authority).unwrap();
    reqwest::Client::builder().tls_certs_only([authority]).build().unwrap()
}

async fn start_tls(settings: TlsSettings) -> Running {
    let settings = ListenerSettings { tls: Some(settings), ..ListenerSettings::default() };
    let bound = Bound::bind(&settings).await.unwrap();
    let Listen::Tcp(address) = *bound.local_addr() else { unreachable!("a TCP listener was asked for") };
    let shutdown = Shutdown::new();
    let scheme =
        make(|request: Request| async move { format!("{} {:?}", request.scheme(), request.version()) });
    let served = tokio::spawn(bound.serve(scheme, shutdown.clone()));
    Running { address, shutdown, served }
}

#[tokio::test]
async fn tls_is_spoken_and_http2_negotiated() {
    let server = start_tls(tls("server")).await;
    let answer = tls_client().get(format!("https://{}/", server.address)).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "https HTTP/2.0");
}

#[tokio::test]
async fn a_key_of_another_certificate_stops_the_start() {
    let tls = Some(TlsSettings { key: tls("other").key, ..tls("server") });
    let refused = Bound::bind(&ListenerSettings { tls, ..ListenerSettings::default() }).await;
    assert!(matches!(refused.unwrap_err(), BindError::Tls(TlsError::Pair { .. })));
}

#[tokio::test]
async fn a_file_that_holds_no_certificate_stops_the_start() {
    let tls = Some(TlsSettings { certificate: tls("server").key, ..tls("server") });
    let refused = Bound::bind(&ListenerSettings { tls, ..ListenerSettings::default() }).await;
    let BindError::Tls(TlsError::Pem { expected, .. }) = refused.unwrap_err() else {
        panic!("another error")
    };
    assert_eq!(expected, "a certificate chain");
}

/// The certificate that a client is shown.
async fn presented(side: &Tls) -> Vec<u8> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let connector = TlsConnector::from(Arc::new(tls_config(None)));
    let (client, _server) =
        tokio::join!(connector.connect("localhost".try_into().unwrap(), near), side.accept(far));
    let client = client.unwrap();
    client.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// A client that trusts the tests' authority, with a certificate of its own or without.
fn tls_config(own: Option<&str>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(tls("authority").certificate).unwrap()).unwrap();
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let trusting = versions.with_root_certificates(roots);
    match own {
        None => trusting.with_no_client_auth(),
        Some(name) => {
            let certificate = CertificateDer::from_pem_file(tls(name).certificate).unwrap();
            let key = PrivateKeyDer::from_pem_file(tls(name).key).unwrap();
            trusting.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    }
}

#[tokio::test]
async fn who_presents_a_certificate_that_is_vouched_for_is_certified_and_nobody_else_is() {
    let authority = tls("clients").certificate;
    let settings =
        ListenerSettings { tls: Some(tls("server")), client_ca: Some(authority), ..Default::default() };
    let bound = Bound::bind(&settings).await.unwrap();
    let Listen::Tcp(address) = *bound.local_addr() else { unreachable!("a TCP listener was asked for") };
    let certified = make(|request: Request| async move { format!("{:?}", request.data::<Certified>()) });
    tokio::spawn(bound.serve(certified, Shutdown::new()));
    let ask = async |own| {
        let stream = TcpStream::connect(address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(tls_config(own)));
        let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        // A certificate that is not taken is told after the client's side of the handshake.
        let _ = stream.write_all(GET_AND_CLOSE).await;
        read_to_end(&mut stream).await
    };
    assert!(ask(None).await.ends_with("None"));
    assert!(ask(Some("client")).await.ends_with("Some(Certified)"));
    assert_eq!(ask(Some("other")).await, "");
}

#[tokio::test]
async fn a_file_without_authorities_stops_the_start() {
    let settings = ListenerSettings {
        tls: Some(tls("server")),
        client_ca: Some(tls("server").key),
        ..Default::default()
    };
    let refused = Bound::bind(&settings).await.unwrap_err();
    assert!(matches!(refused, BindError::Tls(TlsError::Pem { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_changes_is_read_again_and_a_bad_one_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let here = TlsSettings { certificate: folder.path().join("c.pem"), key: folder.path().join("c.key") };
    let put = |name: &str| {
        std::fs::copy(tls(name).certificate, &here.certificate).unwrap();
        std::fs::copy(tls(name).key, &here.key).unwrap();
    };
    put("server");
    let side = Tls::new(&here, None).unwrap();
    let first = presented(&side).await;
    let renewing = async {
        std::fs::write(&here.certificate, "nonsense").unwrap();
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert_eq!(presented(&side).await, first);
        put("other");
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert_ne!(presented(&side).await, first);
    };
    tokio::select! {
        () = side.renew() => unreachable!("it looks for ever"),
        () = renewing => {}
    }
}
