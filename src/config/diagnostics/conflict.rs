//! Settings that contradict each other.

use super::DocumentError;
use crate::gate::IdentityError;

/// Settings that contradict each other, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// A kind of provider that nobody knows.
    #[error(
        "unknown kind of provider `{found}`{}; write `kind:` with one of {}",
        nearest.as_deref().map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default(),
        crate::yaml::one_of(known)
    )]
    UnknownKind {
        /// The text that was found.
        found: String,
        /// The kind that is written most alike.
        nearest: Option<String>,
        /// The kinds.
        known: Vec<String>,
    },
    /// A placeholder that was not filled in.
    #[error("`{found}` is a placeholder that was not filled in: {advice}")]
    Placeholder {
        /// The placeholder.
        found: String,
        /// The form to write.
        advice: String,
    },
    /// `*` in a text that is compared literally.
    #[error("`{found}`: `*` has no meaning here, because `{key}` is compared literally; write each value")]
    Wildcard {
        /// The key.
        key: String,
        /// The text.
        found: String,
    },
    /// A part of a URL that the documentation of a provider leaves open.
    #[error(
        "`{found}` stands for a part that no token and no server has: write the value; tokens of several tenants of Entra \
         are accepted by `kind: entra` with `tenants`"
    )]
    Template {
        /// The part.
        found: String,
    },
    /// An issuer without a scheme.
    #[error("the scheme is missing: write `https://{found}`")]
    IssuerWithoutScheme {
        /// The text.
        found: String,
    },
    /// An endpoint of the issuer in its place.
    #[error("this is an endpoint of the issuer: leave off `{endpoint}`, and write `{issuer}`")]
    IssuerIsEndpoint {
        /// The part that the issuer does not have.
        endpoint: String,
        /// The issuer.
        issuer: String,
    },
    /// The development configuration beyond loopback.
    #[error(
        "the built-in development configuration has known secrets, so that it listens on loopback only; write a \
         configuration of your own to listen on `{listen}`"
    )]
    DevelopmentBeyondLoopback {
        /// The address.
        listen: String,
    },
    /// Two providers have one issuer, so that a token could not be told to belong to one of them.
    #[error(
        "the issuer `{issuer}` is already that of the provider `{other}`; an issuer belongs to one provider"
    )]
    SameIssuer {
        /// The issuer.
        issuer: String,
        /// The other provider.
        other: String,
    },
    /// Two providers take opaque tokens, which name no issuer (invariant 12).
    #[error(
        "the provider `{other}` takes opaque tokens already; they name no issuer, so one provider at most may take them"
    )]
    SeveralTakeOpaqueTokens {
        /// The other provider.
        other: String,
    },
    /// Routes want tokens and nobody issues any.
    #[error("this route wants a token, and `providers` names no provider that issues any; add one")]
    NoProviders,
    /// Two listeners at one address.
    #[error("`{listen}` is where `{other}` listens already; give each its own port")]
    SameListener {
        /// The address.
        listen: String,
        /// The other key.
        other: String,
    },
    /// Forward-auth asks are believed from trusted proxies only, and there is none.
    #[error(
        "nobody could ask here: name the networks of the proxies in `server.trusted_proxies`, such as `[10.42.0.0/16]`"
    )]
    NobodyTrusted,
    /// TLS for a listener that is not there.
    #[error("this is for the listener at `forward_auth.grpc_listen`; say where it is, or take this out")]
    GrpcTlsWithoutListener,
    /// Nobody may introspect.
    #[error("nobody could ask here: give `require`, `clients`, or both")]
    NobodyIntrospects,
    /// An endpoint of scopegate itself hides a route to an upstream.
    #[error(
        "scopegate's own `{endpoint}` answers before this route; leave the route out, or move scopegate's endpoints \
         aside with `server.base_path`, such as `/.scopegate`"
    )]
    Hidden {
        /// The endpoint.
        endpoint: String,
    },
    /// A file that is needed cannot be read.
    #[error("cannot read `{path}`: {detail}")]
    File {
        /// The file.
        path: String,
        /// The system's message, or the content that was expected.
        detail: String,
    },
    /// Identity headers that cannot be.
    #[error(transparent)]
    Identity(IdentityError),
    /// An OpenAPI document is no policy.
    #[error(transparent)]
    Document(DocumentError),
    /// A page could not open it.
    #[error(
        "a token is taken from the WebSockets of pages that `cors` names, and none is: name `origins` there"
    )]
    NoOrigins,
    /// A resource names a provider that is not configured.
    #[error(
        "unknown provider `{found}`{}; name one of `providers`",
        nearest.as_deref().map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
    )]
    ResourceProvider {
        /// The name that was found.
        found: String,
        /// The provider whose name is written most alike.
        nearest: Option<String>,
    },
    /// Two resources have one URL.
    #[error("`{url}` is declared twice; declare each resource once")]
    RepeatedResource {
        /// The URL.
        url: String,
    },
    /// A header would carry the caller's token and identity at once.
    #[error(
        "`{header}` carries identity (`identity.headers`), so that it is removed from callers' requests; use another name"
    )]
    TokenHeader {
        /// The header.
        header: String,
    },
    /// Minted tokens that live for too short or too long.
    #[error("expected a lifetime of minted tokens from `1s` to `1h`, found `{found}`")]
    MintLifetime {
        /// The text that was found.
        found: String,
    },
    /// Keys that change before who knows them can have heard of it.
    #[error(
        "expected keys to be used for at least `1h`, so that the next one is known in time, found `{found}`"
    )]
    MintRotation {
        /// The text that was found.
        found: String,
    },
    /// A secret that could be guessed.
    #[error(
        "expected a secret of at least 32 characters, such as `openssl rand -base64 32` prints (what was found is not shown)"
    )]
    MintSeal,
    /// Not a key.
    #[error(transparent)]
    MintKey(scopegate_oidc::SignerError),
    /// The policy does not compile.
    #[error(transparent)]
    Policy(crate::policy::Problem),
}

impl Conflict {
    /// The conflict's name for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownKind { .. } => "unknown_kind",
            Self::Placeholder { .. } => "placeholder",
            Self::Wildcard { .. } => "wildcard",
            Self::Template { .. } => "template",
            Self::IssuerWithoutScheme { .. } => "issuer_without_scheme",
            Self::IssuerIsEndpoint { .. } => "issuer_is_endpoint",
            Self::DevelopmentBeyondLoopback { .. } => "development_beyond_loopback",
            Self::SameIssuer { .. } => "same_issuer",
            Self::SeveralTakeOpaqueTokens { .. } => "several_take_opaque_tokens",
            Self::NoProviders => "no_providers",
            Self::SameListener { .. } => "same_listener",
            Self::NobodyTrusted => "nobody_trusted",
            Self::GrpcTlsWithoutListener => "grpc_tls_without_listener",
            Self::NobodyIntrospects => "nobody_introspects",
            Self::Hidden { .. } => "hidden_route",
            Self::File { .. } => "file",
            Self::Identity(_) => "identity",
            Self::Document(_) => "openapi",
            Self::NoOrigins => "no_origins",
            Self::ResourceProvider { .. } => "resource_provider",
            Self::RepeatedResource { .. } => "repeated_resource",
            Self::TokenHeader { .. } => "token_header",
            Self::MintLifetime { .. } => "mint_lifetime",
            Self::MintRotation { .. } => "mint_rotation",
            Self::MintSeal => "mint_seal",
            Self::MintKey(_) => "mint_key",
            Self::Policy(_) => "policy",
        }
    }
}
