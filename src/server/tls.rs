//! TLS towards callers, with a certificate that is read again when it changes.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// `server.tls`: the certificate chain and its key, in PEM. Both are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate chain, the server's own first.
    #[schemars(with = "String", extend("format" = "path"))]
    pub certificate: PathBuf,
    /// The private key.
    #[schemars(with = "String", extend("format" = "path"))]
    pub key: PathBuf,
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("expected {expected} in PEM in `{path}`")]
    Pem {
        /// What was expected.
        expected: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not go together, or the key is of a kind that is not known.
    #[error("the certificate in `{certificate}` and the key in `{key}` cannot be used: {source}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What was wrong.
        source: rustls::Error,
    },
}

/// The TLS side of a listener.
pub(super) struct Tls {
    pub(super) acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
}

#[derive(Debug)]
struct Certificate {
    settings: TlsSettings,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
}

/// What tells a file from its successor, links followed.
type Stamp = Option<(i64, i64, u64, u64)>;

impl Tls {
    pub(super) fn new(settings: &TlsSettings) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = ArcSwap::from_pointee(load(settings, &provider)?);
        let certificate =
            Arc::new(Certificate { settings: settings.clone(), provider: Arc::clone(&provider), current });
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Certificate>::clone(&certificate);
        let mut config = versions
            .map_err(|source| pair(settings, source))?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
    }

    #[cfg(test)]
    pub(super) fn certificate(&self) -> Vec<u8> {
        self.certificate
            .current
            .load()
            .cert
            .first()
            .map(|certificate| certificate.to_vec())
            .unwrap_or_default()
    }

    /// Reads the certificate again whenever it changes; one that cannot be used changes nothing.
    pub(super) async fn renew(&self) {
        let Certificate { settings, provider, current } = &*self.certificate;
        let mut seen = stamps(settings);
        loop {
            tokio::time::sleep(LOOK).await;
            let now = stamps(settings);
            if now == seen {
                continue;
            }
            seen = now;
            match load(settings, provider) {
                Ok(renewed) => {
                    current.store(Arc::new(renewed));
                    tracing::info!(certificate = %settings.certificate.display(), "the certificate was read again");
                }
                Err(error) => tracing::error!(%error, "the earlier certificate stays in force"),
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn load(settings: &TlsSettings, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let (certificate, key) = (read(&settings.certificate)?, read(&settings.key)?);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificate).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let pem = |expected, path: &Path| TlsError::Pem { expected, path: path.to_owned() };
    let chain = chain.ok_or_else(|| pem("a certificate chain", &settings.certificate))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| pem("a private key", &settings.key))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|source| pair(settings, source))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn pair(settings: &TlsSettings, source: rustls::Error) -> TlsError {
    TlsError::Pair { certificate: settings.certificate.clone(), key: settings.key.clone(), source }
}

fn stamps(settings: &TlsSettings) -> [Stamp; 2] {
    let stamp = |path: &Path| {
        let found = fs::metadata(path).ok()?;
        Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
    };
    [stamp(&settings.certificate), stamp(&settings.key)]
}
