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

/// A connection's bytes.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// A connection's bytes as hyper takes them.
pub(super) type Wire = TokioIo<Box<dyn Stream>>;

/// Makes connections to one upstream.
pub(super) struct Connector {
    tls: Option<Tls>,
    http2: bool,
    limit: Duration,
}

struct Tls {
    connector: TlsConnector,
    /// For tunnels, which HTTP/2 has no way to make.
    only_http1: TlsConnector,
    name: ServerName<'static>,
}

/// A connection, and whether HTTP/2 is spoken on it.
pub(super) struct Connected {
    pub(super) wire: Wire,
    pub(super) http2: bool,
}

impl Connector {
    pub(super) fn new(upstream: &str, settings: &UpstreamSettings) -> Result<Self, UpstreamError> {
        let tls = settings.url.is_https().then(|| tls(upstream, settings)).transpose()?;
        Ok(Self { tls, http2: settings.protocol == Protocol::Http2, limit: settings.connect_timeout.get() })
    }

    /// Whether TLS is spoken.
    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects to `address`, a host and port.
    pub(super) async fn connect(&self, address: &str) -> io::Result<Connected> {
        self.in_time(async {
            let stream = tcp(address).await?;
            let Some(tls) = &self.tls else {
                return Ok(Connected { wire: TokioIo::new(Box::new(stream)), http2: self.http2 });
            };
            let stream = tls.connector.connect(tls.name.clone(), stream).await?;
            let http2 = self.http2 || stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok(Connected { wire: TokioIo::new(Box::new(stream)), http2 })
        })
        .await
    }

    /// Connects to `address` for HTTP/1.1, whatever else it speaks.
    pub(super) async fn connect_http1(&self, address: &str) -> io::Result<Wire> {
        self.in_time(async {
            let stream = tcp(address).await?;
            let Some(tls) = &self.tls else { return Ok(TokioIo::new(Box::new(stream) as Box<dyn Stream>)) };
            let stream = tls.only_http1.connect(tls.name.clone(), stream).await?;
            Ok(TokioIo::new(Box::new(stream)))
        })
        .await
    }

    async fn in_time<T>(&self, connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let connected = timeout(self.limit, connecting).await;
        connected.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no connection in time")))
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
    let http1 = || b"http/1.1".to_vec();
    config.alpn_protocols = vec![http1()];
    let only_http1 = config.clone();
    config.alpn_protocols = match settings.protocol {
        Protocol::Auto => vec![b"h2".to_vec(), http1()],
        Protocol::Http1 => vec![http1()],
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
        return Err(failed("there is none in it".to_owned()));
    }
    Ok(certificates)
}
