//! Why an upstream did not answer.

use std::{io, path::PathBuf};

use http::StatusCode;

/// Why there is no answer from an upstream.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// A route names an upstream that is not configured.
    #[error("the route's upstream is not configured")]
    NoSuchUpstream,
    /// No address takes connections.
    #[error("cannot connect to the upstream `{upstream}`: {source}")]
    Unreachable {
        /// Its name.
        upstream: Box<str>,
        /// What the network said about the last address.
        source: io::Error,
    },
    /// It did not answer in time.
    #[error("the upstream `{upstream}` did not answer in time")]
    Timeout {
        /// Its name.
        upstream: Box<str>,
    },
    /// It broke the connection off or did not speak HTTP.
    #[error("the upstream `{upstream}` gave no valid answer: {source}")]
    Broken {
        /// Its name.
        upstream: Box<str>,
        /// What was wrong.
        source: hyper::Error,
    },
    /// It changed to another protocol than the one that was asked for.
    #[error("the upstream `{upstream}` changed to a protocol that was not asked for")]
    OtherProtocol {
        /// Its name.
        upstream: Box<str>,
    },
    /// The request cannot be sent as it is.
    #[error("the request cannot be sent to the upstream `{upstream}`")]
    Unsendable {
        /// Its name.
        upstream: Box<str>,
    },
    /// The token ended before the answer began.
    #[error("the token ended before the upstream answered")]
    TokenEnded,
}

impl ProxyError {
    /// The status to answer with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchUpstream | Self::Unsendable { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unreachable { .. } | Self::Broken { .. } | Self::OtherProtocol { .. } => {
                StatusCode::BAD_GATEWAY
            }
            Self::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::TokenEnded => StatusCode::UNAUTHORIZED,
        }
    }

    /// The reason's name in the one vocabulary.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoSuchUpstream => "no_upstream",
            Self::Unreachable { .. } => "upstream_unreachable",
            Self::Timeout { .. } => "upstream_timeout",
            Self::Broken { .. } | Self::OtherProtocol { .. } => "upstream_broken",
            Self::Unsendable { .. } => "upstream_unsendable",
            Self::TokenEnded => "token_ended",
        }
    }
}

/// Why an upstream cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The file with its certificate authorities cannot be used.
    #[error("upstream `{upstream}`: cannot read certificates from `{path}`: {detail}")]
    Authorities {
        /// Its name.
        upstream: Box<str>,
        /// The file.
        path: PathBuf,
        /// What was wrong.
        detail: String,
    },
    /// TLS cannot be set up.
    #[error("upstream `{upstream}`: {source}")]
    Tls {
        /// Its name.
        upstream: Box<str>,
        /// What was wrong.
        source: rustls::Error,
    },
}
