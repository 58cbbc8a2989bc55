//! The HTTP client for requests to providers.

use std::{
    fmt,
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header};
use reqwest::{Certificate, Client, ClientBuilder, Proxy, redirect};
use schemars::JsonSchema;
use scopegate_provider::{BearerToken, HttpClient, HttpError, Secret, Span};
use serde::Deserialize;
use url::{Host, Url};

/// The limit of an answer: 1 MiB. The largest known key sets have some tens of kilobytes.
pub const MAX_ANSWER: usize = 1 << 20;

/// The default time limit of an answer, from the look-up of the name to the last byte.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// `http:` of a provider's settings.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// A PEM file with further certificate authorities, beside those of the system; read anew when it has changed.
    #[schemars(extend("format" = "path"))]
    pub ca: Option<Box<Path>>,
    /// A proxy for every request to this provider, such as `http://proxy.internal:3128`; the environment's are not used.
    pub proxy: Option<Secret>,
    /// The time limit of an answer; 5s by default.
    pub timeout: Option<Span>,
    /// A bearer token for discovery and keys, in a file that is read again for every request, so that it may rotate. It is
    /// sent only to the hosts that the settings name, never to one that only a discovery document names.
    pub bearer_token: Option<BearerFile>,
    /// Hosts that may be reached by plain `http`; loopback always may.
    pub insecure_hosts: Vec<String>,
}

/// A file that holds a bearer token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BearerFile {
    /// The file.
    #[schemars(extend("format" = "path"))]
    pub file: Box<Path>,
}

/// An error in the settings of the client.
#[derive(Debug, thiserror::Error)]
pub enum HttpSettingsError {
    /// The file cannot be read.
    #[error("cannot read the certificate file `{path}`: {source}")]
    CaFile {
        /// The file.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file holds no certificates.
    #[error("expected PEM certificates in `{path}`, found none that can be read")]
    CaContent {
        /// The file.
        path: String,
    },
    /// The proxy's URL is not a URL. It is not shown, since it may hold a password.
    #[error("expected the URL of a proxy such as `http://proxy.internal:3128`")]
    Proxy,
    /// The timeout is zero.
    #[error("a timeout must be longer than zero; leave it out for 5s")]
    Timeout,
}

impl HttpSettings {
    /// Returns `true` if the default client has these settings.
    pub fn is_default(&self) -> bool {
        self.ca.is_none()
            && self.proxy.is_none()
            && self.timeout.is_none()
            && self.bearer_token.is_none()
            && self.insecure_hosts.is_empty()
    }

    /// Returns `true` if `url` may be reached: by `https`, or by plain `http` on loopback or a host that is named.
    pub fn allows(&self, url: &Url) -> bool {
        match url.scheme() {
            "https" => true,
            "http" => is_loopback(url) || self.names(url),
            _ => false,
        }
    }

    fn names(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        self.insecure_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
}

/// Returns `true` if a URL's host is this machine's loopback.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

/// Returns `true` if a browser reaches this machine at the URL: browsers take names below `localhost` for it too, which
/// resolvers need not do (RFC 6761, section 6.3).
pub fn is_loopback_in_browsers(url: &Url) -> bool {
    is_loopback(url) || url.domain().is_some_and(|name| name.ends_with(".localhost"))
}

/// The HTTP client: no redirects, no decompression, limits of time and size, plain `http` only where it is allowed. The
/// TLS configuration is built at the first `https` request, so that a start does not wait for it, and again when the file
/// of certificate authorities has changed.
pub struct Http {
    settings: HttpSettings,
    timeout: Duration,
    proxy: Option<Proxy>,
    limit: usize,
    /// The origins that may get the bearer token.
    bearer_origins: Vec<url::Origin>,
    plain: OnceLock<Result<Client, HttpError>>,
    secure: ArcSwapOption<Secure>,
}

/// The client for `https`, and what the file of authorities was like when it was made.
struct Secure {
    client: Client,
    stamp: Stamp,
}

/// The mark by which a changed file is noticed; nothing if there is no file.
type Stamp = Option<(SystemTime, u64)>;

impl Http {
    /// A client with these settings; files are read now.
    ///
    /// # Errors
    /// [`HttpSettingsError`].
    pub fn new(settings: HttpSettings) -> Result<Self, HttpSettingsError> {
        let timeout = settings.timeout.map_or(DEFAULT_TIMEOUT, Span::get);
        if timeout.is_zero() {
            return Err(HttpSettingsError::Timeout);
        }
        settings.ca.as_deref().map(read_authorities).transpose()?;
        let proxy = settings.proxy.as_ref().map(read_proxy).transpose()?;
        Ok(Self { settings, timeout, proxy, ..Self::default() })
    }

    /// Sends the bearer token to the origins of these URLs, and to no other.
    #[must_use]
    pub fn with_bearer_origins(self, urls: &[Url]) -> Self {
        Self { bearer_origins: urls.iter().map(Url::origin).collect(), ..self }
    }

    /// Returns the `Authorization` for a request without one.
    fn bearer(&self, url: &Url) -> Result<Option<HeaderValue>, HttpError> {
        let Some(BearerFile { file }) = &self.settings.bearer_token else { return Ok(None) };
        if !self.bearer_origins.contains(&url.origin()) {
            return Ok(None);
        }
        read_bearer(file).map(Some).map_err(|problem| HttpError::Connection {
            host: url.host_str().unwrap_or_default().to_owned(),
            detail: format!("cannot read `http.bearer_token` from `{}`: {problem}", file.display()),
        })
    }

    /// Sets another limit of an answer than [`MAX_ANSWER`].
    #[must_use]
    pub fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    fn client(&self, url: &Url) -> Result<Client, HttpError> {
        if !self.settings.allows(url) {
            return Err(HttpError::Insecure { host: url.host_str().unwrap_or_default().to_owned() });
        }
        if url.scheme() == "https" {
            return self.secure();
        }
        // No certificate is looked at on plain connections, so none is loaded.
        self.plain.get_or_init(|| build(self.builder().tls_certs_only([]))).clone()
    }

    fn secure(&self) -> Result<Client, HttpError> {
        let stamp = self.settings.ca.as_deref().and_then(stamp);
        let known = self.secure.load_full();
        if let Some(known) = known.as_ref().filter(|known| known.stamp == stamp) {
            return Ok(known.client.clone());
        }
        let client = match (self.make_secure(), known) {
            (Ok(client), _) => client,
            (Err(error), None) => return Err(error),
            (Err(error), Some(known)) => {
                tracing::warn!(%error, "the certificate authorities cannot be read anew; the old ones are kept");
                known.client.clone()
            }
        };
        self.secure.store(Some(Arc::new(Secure { client: client.clone(), stamp })));
        Ok(client)
    }

    fn make_secure(&self) -> Result<Client, HttpError> {
        let authorities = self.settings.ca.as_deref().map(read_authorities).transpose();
        let authorities = authorities.map_err(|error| tls(&error.to_string()))?;
        build(self.builder().tls_certs_merge(authorities.unwrap_or_default()))
    }

    fn builder(&self) -> ClientBuilder {
        let builder = Client::builder()
            .user_agent(concat!("scopegate/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(self.timeout)
            .connect_timeout(self.timeout)
            .no_proxy();
        match &self.proxy {
            Some(proxy) => builder.proxy(proxy.clone()),
            None => builder,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            settings: HttpSettings::default(),
            timeout: DEFAULT_TIMEOUT,
            proxy: None,
            limit: MAX_ANSWER,
            bearer_origins: Vec::new(),
            plain: OnceLock::new(),
            secure: ArcSwapOption::empty(),
        }
    }
}

/// The proxy and the clients are left out: theirs shows the proxy's password.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn build(builder: ClientBuilder) -> Result<Client, HttpError> {
    builder.build().map_err(|error| tls(&chain(&error)))
}

fn tls(detail: &str) -> HttpError {
    HttpError::Connection { host: "TLS".to_owned(), detail: detail.to_owned() }
}

fn stamp(path: &Path) -> Stamp {
    let file = std::fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}

/// Reads a bearer token from a file, as the value of `Authorization`.
fn read_bearer(file: &Path) -> Result<HeaderValue, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let token = BearerToken::parse(text.trim()).map_err(|error| error.to_string())?;
    let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
    let mut value = value.map_err(|error| error.to_string())?;
    value.set_sensitive(true);
    Ok(value)
}

fn read_authorities(file: &Path) -> Result<Vec<Certificate>, HttpSettingsError> {
    let path = file.display().to_string();
    let pem = match std::fs::read(file) {
        Ok(pem) => pem,
        Err(source) => return Err(HttpSettingsError::CaFile { path, source }),
    };
    let found = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if found.is_empty() { Err(HttpSettingsError::CaContent { path }) } else { Ok(found) }
}

fn read_proxy(url: &Secret) -> Result<Proxy, HttpSettingsError> {
    let parsed = Url::parse(url.reveal()).map_err(|_| HttpSettingsError::Proxy)?;
    if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
        return Err(HttpSettingsError::Proxy);
    }
    Proxy::all(parsed).map_err(|_| HttpSettingsError::Proxy)
}

#[async_trait]
impl HttpClient for Http {
    async fn send(&self, mut request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let url = Url::parse(&request.uri().to_string()).map_err(|_| not_absolute())?;
        let client = self.client(&url)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        if request.method() == http::Method::GET
            && !request.headers().contains_key(header::AUTHORIZATION)
            && let Some(value) = self.bearer(&url)?
        {
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let request = reqwest::Request::try_from(request).map_err(|_| not_absolute())?;
        let answer = client.execute(request).await.map_err(|error| failure(&host, &error))?;
        read(answer, host, self.limit).await
    }
}

async fn read(
    mut answer: reqwest::Response,
    host: String,
    limit: usize,
) -> Result<http::Response<Bytes>, HttpError> {
    let mut response = http::Response::new(Bytes::new());
    *response.status_mut() = answer.status();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failure(&host, &error))? {
        if body.len() + chunk.len() > limit {
            return Err(HttpError::TooLarge { host, limit });
        }
        body.extend_from_slice(&chunk);
    }
    *response.body_mut() = body.freeze();
    Ok(response)
}

fn not_absolute() -> HttpError {
    HttpError::Connection { host: String::new(), detail: "the URL is not absolute".to_owned() }
}

fn failure(host: &str, error: &reqwest::Error) -> HttpError {
    let host = host.to_owned();
    if error.is_timeout() {
        HttpError::Timeout { host }
    } else {
        HttpError::Connection { host, detail: chain(error) }
    }
}

/// Returns an error with its causes, without the URL, whose query may hold secrets.
fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    if causes.is_empty() { "the request failed".to_owned() } else { causes.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(settings: &HttpSettings, url: &str) -> bool {
        settings.allows(&Url::parse(url).unwrap())
    }

    #[test]
    fn plain_http_is_for_loopback_and_for_hosts_that_are_named() {
        let settings =
            HttpSettings { insecure_hosts: vec!["keycloak.auth.svc".to_owned()], ..HttpSettings::default() };
        for allowed in
            ["http://127.0.0.1:9/", "http://[::1]/", "http://localhost:1/", "http://KEYCLOAK.auth.svc:8080/x"]
        {
            assert!(allows(&settings, allowed), "{allowed}");
        }
        for refused in [
            "http://id.example/",
            "http://localhost.example/",
            "http://127.0.0.1.example/",
            "http://a.keycloak.auth.svc/",
            "ftp://127.0.0.1/",
            "http://0.0.0.0/",
        ] {
            assert!(!allows(&settings, refused), "{refused}");
        }
    }

    #[tokio::test]
    async fn an_insecure_url_is_refused_before_anything_is_sent() {
        let request = http::Request::get("http://id.example/keys").body(Bytes::new()).unwrap();
        let error = Http::default().send(request).await.unwrap_err();
        assert_eq!(error, HttpError::Insecure { host: "id.example".to_owned() });
    }

    /// A name server that never answers.
    struct Silence;

    impl reqwest::dns::Resolve for Silence {
        fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn a_name_server_that_never_answers_is_given_up_after_the_timeout() {
        let settings = HttpSettings {
            timeout: Some(Span::new(Duration::from_millis(100))),
            insecure_hosts: vec!["id.example".to_owned()],
            ..HttpSettings::default()
        };
        let http = Http::new(settings).unwrap();
        let asking = http.builder().tls_certs_only([]).dns_resolver(Arc::new(Silence));
        http.plain.set(build(asking)).unwrap();
        let request = http::Request::get("http://id.example/keys").body(Bytes::new()).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(20), http.send(request)).await.unwrap();
        assert_eq!(answer.unwrap_err(), HttpError::Timeout { host: "id.example".to_owned() });
    }

    #[test]
    fn invariant_11_a_proxys_password_is_not_in_the_error() {
        let settings = HttpSettings {
            proxy: Some(Secret::new("socks://user:hunter2@proxy")),
            ..HttpSettings::default()
        };
        let error = Http::new(settings).unwrap_err();
        assert!(
            matches!(error, HttpSettingsError::Proxy) && !format!("{error:?} {error}").contains("hunter2")
        );
    }

    #[test]
    fn invariant_11_a_proxys_password_is_not_in_the_clients_debug_text() {
        let proxy = Some(Secret::new("http://user:hunter2@proxy.internal"));
        let http = Http::new(HttpSettings { proxy, ..HttpSettings::default() }).unwrap();
        assert!(!format!("{http:?}").contains("hunter2"));
    }

    #[test]
    fn a_changed_file_of_authorities_is_read_anew_and_a_broken_one_is_not_taken() {
        let path = std::env::temp_dir().join(format!("scopegate-ca-{}.pem", std::process::id()));
        let pem = include_bytes!("../tests/data/authority.test.pem");
        std::fs::write(&path, pem).unwrap();
        let http =
            Http::new(HttpSettings { ca: Some(path.as_path().into()), ..HttpSettings::default() }).unwrap();
        let made = || {
            http.secure().unwrap();
            Arc::as_ptr(&http.secure.load_full().unwrap())
        };
        let first = made();
        assert_eq!(made(), first, "nothing has changed");
        std::fs::write(&path, [pem.as_slice(), pem.as_slice()].concat()).unwrap();
        let second = made();
        assert_ne!(second, first, "the file has changed");
        std::fs::write(&path, "broken").unwrap();
        made();
        std::fs::remove_file(&path).unwrap();
        http.secure().unwrap();
    }

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let settings = HttpSettings { ca: Some(Path::new("Cargo.toml").into()), ..HttpSettings::default() };
        assert!(matches!(Http::new(settings), Err(HttpSettingsError::CaContent { .. })));
    }
}
