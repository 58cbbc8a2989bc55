//! Connections to an upstream's addresses.

use std::{fs, io, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{Protocol, UpstreamError, UpstreamSettings};

/// The bytes of a connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// The bytes of a connection, as hyper takes them.
pub(super) type Io = TokioIo<Box<dyn Stream>>;

/// Makes connections to one upstream.
pub(super) struct Connector {
    tls: Option<Tls>,
    http2: bool,
    may_speak_http2: bool,
    limit: Duration,
}

struct Tls {
    connector: TlsConnector,
    /// The connector of tunnels, which are not made over HTTP/2.
    only_http1: TlsConnector,
    name: ServerName<'static>,
}

/// A connection and the protocol that is spoken on it.
pub(super) struct Connected {
    pub(super) io: Io,
    pub(super) http2: bool,
}

impl Connector {
    pub(super) fn new(upstream: &str, settings: &UpstreamSettings) -> Result<Self, UpstreamError> {
        let tls = settings.url.is_https().then(|| tls(upstream, settings)).transpose()?;
        let may_speak_http2 = match settings.protocol {
            Protocol::Auto => tls.is_some(),
            Protocol::Http1 => false,
            Protocol::Http2 => true,
        };
        let http2 = settings.protocol == Protocol::Http2;
        Ok(Self { tls, http2, may_speak_http2, limit: settings.connect_timeout.get() })
    }

    /// Returns `true` if TLS is spoken.
    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns `true` if a connection may turn out to speak HTTP/2.
    pub(super) fn may_speak_http2(&self) -> bool {
        self.may_speak_http2
    }

    /// Connects to `address`, a host and port.
    pub(super) async fn connect(&self, address: &str) -> io::Result<Connected> {
        self.in_time(async {
            let stream = tcp(address).await?;
            let Some(tls) = &self.tls else {
                return Ok(Connected { io: TokioIo::new(Box::new(stream)), http2: self.http2 });
            };
            let stream = tls.connector.connect(tls.name.clone(), stream).await?;
            let http2 = self.http2 || stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok(Connected { io: TokioIo::new(Box::new(stream)), http2 })
        })
        .await
    }

    /// Connects to `address` for HTTP/1.1, whatever else it speaks.
    pub(super) async fn connect_http1(&self, address: &str) -> io::Result<Io> {
        self.in_time(async {
            let stream = tcp(address).await?;
            let Some(tls) = &self.tls else { return Ok(TokioIo::new(Box::new(stream) as Box<dyn Stream>)) };
            let stream = tls.only_http1.connect(tls.name.clone(), stream).await?;
            Ok(TokioIo::new(Box::new(stream)))
        })
        .await
    }

    /// Awaits a step of connecting for the configured time at most.
    pub(super) async fn in_time<T>(&self, connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let connected = timeout(self.limit, connecting).await;
        connected.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the connection was not established in time"))
        })
    }
}

async fn tcp(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn tls(upstream: &str, settings: &UpstreamSettings) -> Result<Tls, UpstreamError> {
    let failed = |source| UpstreamError::Tls { upstream: upstream.into(), source };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let authorities = authorities(upstream, settings)?;
    let verifier = Verifier::new_with_extra_roots(authorities, Arc::clone(&provider)).map_err(failed)?;
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = versions
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let only_http1 = config.clone();
    config.alpn_protocols = match settings.protocol {
        Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    let host = settings.url.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let name =
        ServerName::try_from(host).map_err(|error| failed(rustls::Error::General(error.to_string())))?;
    Ok(Tls {
        connector: TlsConnector::from(Arc::new(config)),
        only_http1: TlsConnector::from(Arc::new(only_http1)),
        name,
    })
}

fn authorities(
    upstream: &str,
    settings: &UpstreamSettings,
) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
    let Some(path) = &settings.ca else { return Ok(Vec::new()) };
    let failed =
        |detail: String| UpstreamError::Authorities { upstream: upstream.into(), path: path.clone(), detail };
    let pem = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| failed(error.to_string()))?;
    if certificates.is_empty() {
        return Err(failed("expected PEM certificates, found none".to_owned()));
    }
    Ok(certificates)
}
