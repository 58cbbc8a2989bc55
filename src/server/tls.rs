//! TLS towards callers. Its files are read again when they change.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs as crypto, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{
        ClientHello, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use scopegate_provider::Thumbprint;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{Accept, TlsAcceptor};

use super::{ClientCertThumbprint, TlsSettings};

/// The time between two checks of the files.
const CHECK: Duration = Duration::from_secs(5);

/// Errors of the certificates and keys of a listener.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file holds something other than expected.
    #[error("expected {expected} in PEM in `{path}`")]
    Pem {
        /// The expected contents.
        expected: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A certificate cannot be used to verify clients.
    #[error("no client can be verified by `{path}`: {source}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: AuthorityError,
    },
    /// Certificate and key do not belong together, or the key is of an unknown kind.
    #[error("the certificate in `{certificate}` and the key in `{key}` cannot be used: {source}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
}

/// Errors of a certificate that has to verify clients.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] rustls::Error),
    /// No certificate can be verified by it.
    #[error(transparent)]
    Verifier(#[from] VerifierBuilderError),
}

/// The TLS side of a listener.
pub(super) struct Tls {
    files: Files,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<Loaded>,
}

/// The files of a listener as they were read.
struct Loaded {
    config: Arc<ServerConfig>,
    /// Verifies clients' certificates, if clients are asked for one.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    /// The number of times that the files have changed.
    generation: u32,
}

/// The certificate chain that a client has presented on a connection.
pub(super) struct ClientCertificate {
    tls: Arc<Tls>,
    chain: Box<[CertificateDer<'static>]>,
    /// The generation of the files and the minute for which the chain was verified last.
    verified: AtomicU64,
}

/// The files of a listener.
struct Files {
    own: TlsSettings,
    /// The authorities that issue clients' certificates; none: clients are not asked for one.
    client_ca: Option<PathBuf>,
}

/// Properties that tell a file from its successor: both times, length and inode, with links followed.
type Stamp = Option<(i64, i64, u64, u64)>;

impl Tls {
    /// Reads these files. A client may connect without a certificate; one that it presents has to be issued by
    /// `client_ca`.
    pub(super) fn new(own: &TlsSettings, client_ca: Option<&Path>) -> Result<Self, TlsError> {
        let provider = Arc::new(crypto::default_provider());
        let files = Files { own: own.clone(), client_ca: client_ca.map(Path::to_owned) };
        let current = ArcSwap::from_pointee(load(&files, &provider, 0)?);
        Ok(Self { files, provider, current })
    }

    /// Begins the handshake with the files as they are now.
    pub(super) fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Accept<S> {
        TlsAcceptor::from(Arc::clone(&self.current.load().config)).accept(stream)
    }

    /// Returns the certificate that a client presented in its handshake, if it did.
    pub(super) fn client_certificate(
        self: &Arc<Self>,
        session: &ServerConnection,
    ) -> Option<ClientCertificate> {
        let chain: Vec<_> =
            session.peer_certificates()?.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Some(ClientCertificate { tls: Arc::clone(self), chain: chain.into(), verified: AtomicU64::default() })
    }

    /// Reads the files again whenever they change. Files that cannot be used change nothing. Sessions from before a
    /// change are not resumed, so that an authority that was removed verifies no client any longer.
    pub(super) async fn renew(&self) {
        let mut seen = self.files.stamps();
        loop {
            tokio::time::sleep(CHECK).await;
            let now = self.files.stamps();
            if now == seen {
                continue;
            }
            seen = now;
            match load(&self.files, &self.provider, self.current.load().generation.wrapping_add(1)) {
                Ok(renewed) => {
                    self.current.store(Arc::new(renewed));
                    let certificate = self.files.own.certificate.display();
                    tracing::info!(%certificate, "the certificate was read again");
                }
                Err(error) => tracing::error!(%error, "the earlier certificate stays in force"),
            }
        }
    }
}

impl ClientCertificate {
    /// Returns `true` if the authorities that are in force now verify the certificate. The files may have changed since
    /// the handshake, and the certificate may have expired: the chain is verified again for each change, and each minute.
    pub(super) fn is_verified(&self) -> bool {
        let current = self.tls.current.load();
        let now = UnixTime::now();
        // One more than the minute, which is never 0: nothing has been verified at first.
        let minute = (now.as_secs() / 60).wrapping_add(1) & u64::from(u32::MAX);
        let key = u64::from(current.generation) << 32 | minute;
        if self.verified.load(Relaxed) == key {
            return true;
        }
        let verified = current.clients.as_ref().zip(self.chain.split_first()).is_some_and(
            |(clients, (certificate, issuers))| clients.verify_client_cert(certificate, issuers, now).is_ok(),
        );
        if verified {
            self.verified.store(key, Relaxed);
        }
        verified
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

impl Files {
    fn stamps(&self) -> [Stamp; 3] {
        let authority = self.client_ca.as_deref().and_then(stamp);
        [stamp(&self.own.certificate), stamp(&self.own.key), authority]
    }
}

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
}

/// The certificate for every server name.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Takes any certificate of a client, or none: the handshake shows that the client holds its key, and the thumbprint is
/// compared with the token (RFC 8705, section 6.2). It says nothing about who the client is.
#[derive(Debug)]
struct AnyClient(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Returns the thumbprint of the certificate that a client presented: the leaf, which is the first of its chain.
pub(super) fn client_thumbprint(session: &ServerConnection) -> Option<ClientCertThumbprint> {
    let leaf = session.peer_certificates()?.first()?;
    let digest: [u8; 32] = digest(&SHA256, leaf).as_ref().try_into().ok()?;
    Some(ClientCertThumbprint(Thumbprint::new(digest)))
}

fn load(files: &Files, provider: &Arc<CryptoProvider>, generation: u32) -> Result<Loaded, TlsError> {
    let certificate = certificate(&files.own, provider)?;
    let versions =
        ServerConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions();
    let versions = versions.map_err(|source| pair(&files.own, source))?;
    let mut clients = None;
    if let Some(path) = &files.client_ca {
        let roots = Arc::new(authorities(path)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
        let verifier = verifier.allow_unauthenticated().build().map_err(|source| unable(path, source))?;
        clients = Some(verifier);
    }
    let config = match &clients {
        None if files.own.ask_client_certificate => {
            versions.with_client_cert_verifier(Arc::new(AnyClient(Arc::clone(provider))))
        }
        None => versions.with_no_client_auth(),
        Some(verifier) => versions.with_client_cert_verifier(Arc::clone(verifier)),
    };
    let mut config = config.with_cert_resolver(Arc::new(Always(Arc::new(certificate))));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Loaded { config: Arc::new(config), clients, generation })
}

fn certificate(settings: &TlsSettings, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&settings.certificate, "a certificate chain")?;
    let key = PrivateKeyDer::from_pem_slice(&read(&settings.key)?);
    let key = key.map_err(|_| pem("a private key", &settings.key))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|source| pair(settings, source))
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, "the certificates of authorities")? {
        roots.add(certificate).map_err(|source| unable(path, source))?;
    }
    Ok(roots)
}

fn certificates(path: &Path, expected: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| pem(expected, path))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn pem(expected: &'static str, path: &Path) -> TlsError {
    TlsError::Pem { expected, path: path.to_owned() }
}

fn pair(settings: &TlsSettings, source: rustls::Error) -> TlsError {
    TlsError::Pair { certificate: settings.certificate.clone(), key: settings.key.clone(), source }
}

fn unable(path: &Path, source: impl Into<AuthorityError>) -> TlsError {
    TlsError::Authority { path: path.to_owned(), source: source.into() }
}
