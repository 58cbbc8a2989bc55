//! Errors of upstreams and of exchanges with them.

use std::{error::Error, io, path::PathBuf};

use http::StatusCode;

use super::Aborted;
use crate::{reason::Reason, server::RequestBodyError};

/// Errors for which there is no response from an upstream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The upstream is not configured.
    #[error("the upstream is not configured")]
    UnknownUpstream,
    /// No address takes connections.
    #[error("cannot connect to the upstream `{upstream}`: {source}")]
    Unreachable {
        /// The upstream's name.
        upstream: Box<str>,
        /// The error of the last address.
        source: io::Error,
    },
    /// The upstream did not respond in time.
    #[error("the upstream `{upstream}` did not respond in time")]
    Timeout {
        /// The upstream's name.
        upstream: Box<str>,
    },
    /// The upstream closed the connection, or its response is not valid HTTP.
    #[error("the upstream `{upstream}` sent no valid response: {source}")]
    InvalidResponse {
        /// The upstream's name.
        upstream: Box<str>,
        /// The cause.
        source: hyper::Error,
    },
    /// The upstream changed to another protocol than the one that was asked for.
    #[error("the upstream `{upstream}` changed to a protocol that was not asked for")]
    OtherProtocol {
        /// The upstream's name.
        upstream: Box<str>,
    },
    /// The request has no valid form in the protocol of the upstream.
    #[error("the request cannot be sent to the upstream `{upstream}`")]
    InvalidRequest {
        /// The upstream's name.
        upstream: Box<str>,
    },
    /// The caller's request body is not complete.
    #[error("{0}")]
    Caller(CallerFault),
    /// The stream was ended before its response began.
    #[error("{0}")]
    Aborted(Aborted),
}

impl ExchangeError {
    /// Returns the status of the response to the caller.
    pub fn status(&self) -> StatusCode {
        self.reason().status()
    }

    /// Returns the reason as it appears in problems, logs and metrics.
    pub fn reason(&self) -> Reason {
        match self {
            Self::UnknownUpstream => Reason::NoUpstream,
            Self::Unreachable { .. } => Reason::UpstreamUnreachable,
            Self::Timeout { .. } => Reason::UpstreamTimeout,
            Self::InvalidResponse { .. } | Self::OtherProtocol { .. } => Reason::UpstreamBroken,
            Self::InvalidRequest { .. } => Reason::UpstreamUnsendable,
            Self::Caller(fault) => fault.reason(),
            Self::Aborted(_) => Reason::TokenEnded,
        }
    }
}

/// Faults of a caller's request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallerFault {
    /// The framing of the body is malformed.
    #[error("the request body is malformed")]
    Malformed,
    /// The caller broke the body off.
    #[error("the request body is incomplete")]
    Incomplete,
    /// The caller did not send the body in time.
    #[error("the request body did not arrive in time")]
    TooSlow,
}

impl CallerFault {
    /// Returns the fault that made reading a caller's body fail.
    pub(super) fn of(error: &io::Error) -> Self {
        match RequestBodyError::find(error) {
            Some(RequestBodyError::Malformed) => return Self::Malformed,
            Some(RequestBodyError::Incomplete) => return Self::Incomplete,
            Some(RequestBodyError::Paused | RequestBodyError::TooSlow) => return Self::TooSlow,
            None => {}
        }
        if error.kind() == io::ErrorKind::TimedOut {
            return Self::TooSlow;
        }
        let mut next: Option<&(dyn Error + 'static)> = error.get_ref().map(|inner| inner as _);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                match error.kind() {
                    io::ErrorKind::TimedOut => return Self::TooSlow,
                    io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => return Self::Malformed,
                    _ => {}
                }
            }
            if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
                return Self::Malformed;
            }
            next = error.source();
        }
        Self::Incomplete
    }

    /// Returns the reason as it appears in problems, logs and metrics.
    pub fn reason(self) -> Reason {
        match self {
            Self::Malformed => Reason::MalformedBody,
            Self::Incomplete => Reason::IncompleteBody,
            Self::TooSlow => Reason::SlowBody,
        }
    }
}

/// Errors of setting up an upstream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// The file of certificate authorities cannot be used.
    #[error("upstream `{upstream}`: cannot read certificates from `{path}`: {detail}")]
    Authorities {
        /// The upstream's name.
        upstream: Box<str>,
        /// The file.
        path: PathBuf,
        /// The cause.
        detail: String,
    },
    /// TLS cannot be set up.
    #[error("upstream `{upstream}`: {source}")]
    Tls {
        /// The upstream's name.
        upstream: Box<str>,
        /// The cause.
        source: rustls::Error,
    },
}

/// Errors that end a body early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The caller did not send its whole body, or sent a malformed one.
    #[error("the caller's body is not complete: {0}")]
    Caller(#[source] io::Error),
    /// The upstream did not send its whole body, or sent a malformed one.
    #[error("the upstream's body is not complete: {0}")]
    Upstream(#[source] hyper::Error),
    /// The stream was ended by its [`AbortSignal`](super::AbortSignal).
    #[error("the stream was ended: {0}")]
    Aborted(Aborted),
    /// The response is complete, so that the rest of the request is of no use.
    #[error("the exchange is over")]
    Over(#[source] h2::Error),
}

impl BodyError {
    /// Returns the error that makes hyper reset an HTTP/2 stream with `CANCEL`.
    pub(super) fn over() -> Self {
        Self::Over(h2::Reason::CANCEL.into())
    }
}

impl From<BodyError> for io::Error {
    fn from(error: BodyError) -> Self {
        io::Error::other(error)
    }
}
