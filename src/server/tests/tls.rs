//! Certificates, of the server and of its clients.

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsConnector;

use super::{
    super::tls::{Tls, client_thumbprint},
    *,
};

fn tls(name: &str) -> TlsSettings {
    let file =
        |extension: &str| format!("{}/tests/data/tls/{name}.{extension}", env!("CARGO_MANIFEST_DIR")).into();
    TlsSettings { certificate: file("pem"), key: file("key"), ask_client_certificate: false }
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
async fn negotiates_http2_over_tls() {
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

/// Returns the certificate that a client is shown.
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
async fn only_a_client_with_a_certificate_of_the_authority_is_verified() {
    let authority = tls("clients").certificate;
    let settings =
        ListenerSettings { tls: Some(tls("server")), client_ca: Some(authority), ..Default::default() };
    let bound = Bound::bind(&settings).await.unwrap();
    let Listen::Tcp(address) = *bound.local_addr() else { unreachable!("a TCP listener was asked for") };
    let certified =
        make(|request: Request| async move { format!("{:?}", request.data::<ClientCertVerified>()) });
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
    assert!(ask(Some("client")).await.ends_with("Some(ClientCertVerified)"));
    assert_eq!(ask(Some("other")).await, "");
}

/// STANDARDS 3: with `ask_client_certificate` anyone's certificate is taken, and its leaf identified, also on a session that
/// is resumed. It makes its holder no trusted sender.
#[tokio::test]
async fn the_certificate_that_a_client_presents_is_identified_and_not_trusted() {
    let settings = TlsSettings { ask_client_certificate: true, ..tls("server") };
    let side = Arc::new(Tls::new(&settings, None).unwrap());
    let leaf = CertificateDer::pem_file_iter(tls("other").certificate).unwrap().next().unwrap().unwrap();
    let expected = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &leaf);
    let connector = TlsConnector::from(Arc::new(tls_config(Some("other"))));
    for attempt in 0..3 {
        let (near, far) = tokio::io::duplex(1 << 16);
        let (client, server) =
            tokio::join!(connector.connect("localhost".try_into().unwrap(), near), side.accept(far));
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        let found = client_thumbprint(server.get_ref().1).unwrap();
        assert_eq!(found.0.as_bytes().as_slice(), expected.as_ref(), "attempt {attempt}");
        assert!(!side.client_certificate(server.get_ref().1).unwrap().is_verified());
        // The client reads the session's ticket.
        server.write_all(b"x").await.unwrap();
        let mut read = [0; 1];
        client.read_exact(&mut read).await.unwrap();
    }
    let anonymous = TlsConnector::from(Arc::new(tls_config(None)));
    let (near, far) = tokio::io::duplex(1 << 16);
    let (client, server) =
        tokio::join!(anonymous.connect("localhost".try_into().unwrap(), near), side.accept(far));
    let (_client, server) = (client.unwrap(), server.unwrap());
    assert_eq!(client_thumbprint(server.get_ref().1), None);
}

/// A24: the certificate of a connection that is open counts only for as long as its authority does.
#[tokio::test(start_paused = true)]
async fn a_certificate_whose_authority_was_removed_is_not_verified_on_an_open_connection() {
    let folder = tempfile::tempdir().unwrap();
    let authorities = folder.path().join("clients.pem");
    std::fs::copy(tls("clients").certificate, &authorities).unwrap();
    let side = Arc::new(Tls::new(&tls("server"), Some(&authorities)).unwrap());
    let (near, far) = tokio::io::duplex(1 << 16);
    let connector = TlsConnector::from(Arc::new(tls_config(Some("client"))));
    let (client, server) =
        tokio::join!(connector.connect("localhost".try_into().unwrap(), near), side.accept(far));
    let (_client, server) = (client.unwrap(), server.unwrap());
    let certificate = side.client_certificate(server.get_ref().1).unwrap();
    assert!(certificate.is_verified() && certificate.is_verified());
    let removing = async {
        // The files have been seen as they are.
        tokio::time::sleep(Duration::from_secs(1)).await;
        std::fs::copy(tls("authority").certificate, &authorities).unwrap();
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert!(!certificate.is_verified());
        std::fs::copy(tls("clients").certificate, &authorities).unwrap();
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert!(certificate.is_verified());
    };
    tokio::select! {
        () = side.renew() => unreachable!("it looks for ever"),
        () = removing => {}
    }
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
    let here = TlsSettings {
        certificate: folder.path().join("c.pem"),
        key: folder.path().join("c.key"),
        ask_client_certificate: false,
    };
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
