//! The sections of a configuration, each defined by its owner and gathered here.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use scopegate_provider::{ClientId, Secret, Span};
use serde::{Deserialize, de::IgnoredAny};

use crate::config::values::{BasePath, PublicUrl};
use crate::{
    gate::{Resource, TrustedProxies, mint::MintSettings},
    policy::{
        DecisionTest, PathCase,
        settings::{
            CorsSettings, DocumentSettings, Forward, IdentitySettings, RequireSettings, RouteSettings,
            ScopeSettings, TokenSource,
        },
    },
    server::{Limits, Listen, ListenerSettings},
    store::StoreSettings,
    telemetry::TelemetrySettings,
    upstream::UpstreamSettings,
};

pub use crate::server::TlsSettings;

/// Everything but `providers`, `scopes`, `routes`, `tests` and `upstreams`, which are read one entry at a time.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct SectionSettings {
    /// The main listener and what callers may use of it.
    pub(in crate::config) server: ServerSettings,
    /// The operations listener: `/healthz`, `/readyz`, `/metrics`.
    pub(in crate::config) operations: OperationsSettings,
    /// Administration at run time; left out, there is none.
    pub(in crate::config) admin: Option<AdminSettings>,
    /// `/introspect` (RFC 7662); left out, there is none.
    pub(in crate::config) introspection: Option<IntrospectionSettings>,
    /// `/token` is served.
    pub(in crate::config) token_endpoint: bool,
    /// `/docs` and `/openapi.json` are served.
    pub(in crate::config) docs: bool,
    /// The sample API is served.
    pub(in crate::config) sample_api: bool,
    /// The store of items, scopes, routes and revocations; left out, nothing durable is acknowledged.
    pub(in crate::config) store: Option<StoreSettings>,
    #[schemars(skip)]
    providers: Option<IgnoredAny>,
    /// The scopes: a name, and what it is for.
    #[schemars(with = "BTreeMap<String, ScopeSettings>")]
    scopes: Option<IgnoredAny>,
    /// The routes: a pattern of targets, and what it requires.
    #[schemars(with = "Vec<RouteSettings>")]
    routes: Option<IgnoredAny>,
    /// Tests of decisions, which `scopegate test` runs.
    #[schemars(with = "Vec<DecisionTest>")]
    tests: Option<IgnoredAny>,
    /// The servers that requests are proxied to: a name, and its URL.
    #[schemars(with = "BTreeMap<String, UpstreamSettings>")]
    upstreams: Option<IgnoredAny>,
    /// The facts about the caller that upstreams receive, unless a route says otherwise.
    pub(in crate::config) identity: IdentitySection,
    /// The protected resources that clients get tokens for (RFC 9728); left out, each URL that needs a token is one.
    pub(in crate::config) resources: Vec<Resource>,
    /// Forward-auth endpoints for reverse proxies; left out, there are none.
    pub(in crate::config) forward_auth: ForwardAuthSettings,
    /// Cross-origin requests, unless a route says otherwise; left out, none are answered.
    pub(in crate::config) cors: Option<CorsSettings>,
    /// The treatment of case in paths: `insensitive` where services ignore it.
    pub(in crate::config) case: PathCase,
    /// The places beside `Authorization` from which a token may come, unless a route says otherwise.
    pub(in crate::config) accept_token: Vec<TokenSource>,
    /// Sizes of what is kept in memory.
    pub(in crate::config) cache: CacheSettings,
    /// Logs and audit.
    pub(in crate::config) telemetry: TelemetrySettings,
    /// Streams that outlive their token.
    pub(in crate::config) streams: StreamSettings,
    /// OpenAPI documents whose `security` becomes routes.
    pub(in crate::config) policy_from: Vec<DocumentSettings>,
    /// Further files that hold scopes, routes and upstreams, such as `routes.d/*.yaml`.
    #[schemars(with = "Vec<String>")]
    include: Option<IgnoredAny>,
}

/// The section `server`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// The address to listen at.
    #[schemars(with = "String")]
    pub listen: Listen,
    /// The URL at which callers reach it; `http://` and `listen` unless said.
    pub public_url: Option<PublicUrl>,
    /// The path in front of scopegate's own endpoints.
    pub base_path: BasePath,
    /// The networks whose forwarded headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// The header that carries the request's id, from a trusted proxy and to upstreams and callers.
    pub request_id: HeaderName,
    /// TLS; left out, plain HTTP.
    pub tls: Option<TlsSettings>,
    /// Limits for each caller.
    pub limits: Limits,
    /// The time for which requests are still accepted after readiness is withdrawn, so that load balancers notice.
    pub shutdown_delay: Span,
    /// The time that requests in flight may take to finish.
    pub shutdown_grace: Span,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: loopback(8080),
            public_url: None,
            base_path: BasePath::default(),
            trusted_proxies: TrustedProxies::default(),
            request_id: HeaderName(http::HeaderName::from_static("x-request-id")),
            tls: None,
            limits: Limits::default(),
            shutdown_delay: Span::from_secs(0),
            shutdown_grace: Span::from_secs(10),
        }
    }
}

impl ServerSettings {
    /// The URL at which callers reach the server, without a final slash and without the base path.
    pub fn public_url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.public_url.as_ref().map_or_else(|| format!("{scheme}://{}", self.listen), PublicUrl::to_string)
    }
}

fn loopback(port: u16) -> Listen {
    Listen::Tcp((std::net::Ipv4Addr::LOCALHOST, port).into())
}

/// The name of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderName(pub http::HeaderName);

impl std::str::FromStr for HeaderName {
    type Err = HeaderNameError;
    fn from_str(text: &str) -> Result<Self, HeaderNameError> {
        text.parse().map(Self).map_err(|_| HeaderNameError { found: text.to_owned() })
    }
}

/// A text that is not the name of a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of a header such as `X-Request-Id`, found `{found}`")]
pub struct HeaderNameError {
    found: String,
}

crate::config::values::as_text!(HeaderName, { "type": "string" });

/// The section `operations`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OperationsSettings {
    /// The address to listen at.
    #[schemars(with = "String")]
    pub listen: Listen,
}

impl Default for OperationsSettings {
    fn default() -> Self {
        Self { listen: loopback(9090) }
    }
}

/// The section `admin`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminSettings {
    /// A listener of its own; left out, the main one.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub listen: Option<Listen>,
    /// The rule of administrators. Where there are several providers it must name those whose tokens may administer.
    pub require: RequireSettings,
    /// The operator page is served at `/admin/ui`.
    #[serde(default)]
    pub ui: bool,
    /// The secret of the page's sessions, the same on all nodes; left out, each process makes one of its own.
    #[serde(default)]
    pub session_secret: Option<Secret>,
    /// Callers that may look at everything and change nothing.
    #[serde(default)]
    pub read: Option<RequireSettings>,
}

/// The section `introspection`: the callers that may introspect.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IntrospectionSettings {
    /// Callers with a token that satisfies this.
    pub require: Option<RequireSettings>,
    /// Clients that present their secret.
    pub clients: Vec<IntrospectionClient>,
}

/// A client that may introspect.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionClient {
    /// Its id.
    pub id: ClientId,
    /// Its secret.
    pub secret: Secret,
}

/// The section `identity`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct IdentitySection {
    /// Header names, and the claims whose values they carry.
    pub(in crate::config) headers: BTreeMap<String, String>,
    /// The treatment of the token.
    pub(in crate::config) forward: Option<Forward>,
    /// Settings of minted tokens.
    pub(in crate::config) mint: MintSettings,
}

impl IdentitySection {
    /// Returns the headers and the treatment of the token, as a route has them.
    pub(in crate::config) fn general(&self) -> IdentitySettings {
        IdentitySettings { headers: self.headers.clone(), forward: self.forward }
    }
}

/// The section `forward_auth`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ForwardAuthSettings {
    /// The proxies that check requests here.
    pub dialects: Vec<Dialect>,
    /// The address for Envoy's checks over gRPC; left out, there is none.
    #[schemars(with = "Option<String>")]
    pub grpc_listen: Option<Listen>,
    /// TLS there; left out, none.
    pub grpc_tls: Option<GrpcTlsSettings>,
}

/// The key `grpc_tls` of the section `forward_auth`. All files are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcTlsSettings {
    /// The certificate chain, the server's own first, in PEM.
    #[schemars(with = "String", extend("format" = "path"))]
    pub certificate: PathBuf,
    /// The private key, in PEM.
    #[schemars(with = "String", extend("format" = "path"))]
    pub key: PathBuf,
    /// The authorities of client certificates, in PEM: a client with a certificate of theirs may check requests from
    /// anywhere.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("format" = "path"))]
    pub client_ca: Option<PathBuf>,
}

impl ForwardAuthSettings {
    /// The listener of Envoy's checks over gRPC, if there is one.
    pub fn grpc_listener(&self, limits: &Limits) -> Option<ListenerSettings> {
        let listen = self.grpc_listen.clone()?;
        let tls = self.grpc_tls.clone();
        let client_ca = tls.as_ref().and_then(|tls| tls.client_ca.clone());
        let tls = tls.map(|tls| TlsSettings {
            certificate: tls.certificate,
            key: tls.key,
            ask_client_certificate: false,
        });
        let key = "forward_auth.grpc_listen";
        Some(ListenerSettings { key, listen, tls, client_ca, limits: limits.clone() })
    }
}

/// A protocol by which a proxy checks requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// nginx's `auth_request`.
    Nginx,
    /// Traefik's `forwardAuth`.
    Traefik,
    /// Caddy's `forward_auth`.
    Caddy,
    /// Envoy's `ext_authz`.
    Envoy,
    /// HAProxy, with a script.
    Haproxy,
}

/// The section `cache`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// The most verified tokens that are remembered.
    pub tokens: usize,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { tokens: 100_000 }
    }
}

/// The section `streams`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StreamSettings {
    /// The time for which an open stream may go on once its token has ended.
    pub grace: Span,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self { grace: Span::from_secs(0) }
    }
}
