//! The request that a proxy checks.

use http::{HeaderMap, Method, header::SEC_WEBSOCKET_KEY};

use crate::{
    gate::{
        TrustedProxies,
        request::{CertificateSource, Incoming},
    },
    policy::{RawTarget, Scheme, Target},
    problem::Problem,
    reason::Reason,
};

/// The request that a proxy checks, as the proxy describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalRequest {
    /// Its method.
    pub method: Method,
    /// Its scheme.
    pub scheme: Scheme,
    /// Its host, as it was sent.
    pub host: Vec<u8>,
    /// Its path and query, as they were sent.
    pub path_and_query: Vec<u8>,
}

impl OriginalRequest {
    /// Returns the parts that a target is parsed from.
    pub fn raw(&self) -> RawTarget<'_, [&[u8]; 1]> {
        RawTarget {
            method: &self.method,
            scheme: self.scheme,
            authority: None,
            hosts: [self.host.as_slice()],
            path_and_query: &self.path_and_query,
        }
    }
}

/// The request that a proxy asks about, with the header fields that the proxy shows.
pub(super) struct Relayed<'r> {
    pub(super) asked: &'r OriginalRequest,
    pub(super) headers: &'r HeaderMap,
}

impl Incoming for Relayed<'_> {
    fn method(&self) -> &Method {
        &self.asked.method
    }

    fn headers(&self) -> &HeaderMap {
        self.headers
    }

    fn target(&self, method: &Method, _: &TrustedProxies) -> Result<Target, Problem> {
        Ok(Target::parse(RawTarget { method, ..self.asked.raw() })?)
    }

    fn authority(&self, _: &TrustedProxies) -> Option<&[u8]> {
        Some(&self.asked.host)
    }

    fn forwarded_authority(&self, _: &TrustedProxies) -> Option<&[u8]> {
        Some(&self.asked.host)
    }

    fn certificate_source(&self, _: &TrustedProxies) -> CertificateSource {
        CertificateSource::Header
    }

    /// A proxy keeps `Connection` and `Upgrade` to itself, as they belong to its own connection.
    fn opens_websocket(&self) -> bool {
        self.asked.method == Method::GET && self.headers.contains_key(SEC_WEBSOCKET_KEY)
    }
}

/// Errors in what a proxy says of a request: a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// A header is missing.
    #[error("the proxy must send `{header}`, and did not")]
    Missing {
        /// The header.
        header: &'static str,
    },
    /// A header occurs more than once: one may be the caller's.
    #[error("the proxy must send `{header}` once, and it is there several times")]
    Several {
        /// The header.
        header: &'static str,
    },
    /// A header's value cannot be read.
    #[error("`{header}` is malformed: expected {expected}")]
    Malformed {
        /// The header.
        header: &'static str,
        /// The expected form.
        expected: &'static str,
    },
    /// Two headers say the same thing in two ways.
    #[error(
        "`{first}` and `{second}` are both there; the proxy must send one of them and take the other off"
    )]
    Mixed {
        /// One.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Two places that must say the same do not.
    #[error("`{first}` says something else than `{second}`")]
    Contradicted {
        /// One.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
}

impl From<MetadataError> for Problem {
    fn from(error: MetadataError) -> Self {
        Problem::new(Reason::IncompleteMetadata, error.to_string())
    }
}

/// Returns the one value of a header.
pub(super) fn one<'a>(headers: &'a HeaderMap, header: &'static str) -> Result<&'a [u8], MetadataError> {
    optional(headers, header)?.ok_or(MetadataError::Missing { header })
}

/// Returns the one value of a header, if there is one.
pub(super) fn optional<'a>(
    headers: &'a HeaderMap,
    header: &'static str,
) -> Result<Option<&'a [u8]>, MetadataError> {
    // Few headers come: comparing their names costs less than hashing one.
    let mut values = headers.iter().filter(|(name, _)| name.as_str() == header).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(MetadataError::Several { header }),
        (value, None) => Ok(value.map(http::HeaderValue::as_bytes)),
    }
}

/// Parses a method.
pub(super) fn method(headers: &HeaderMap, header: &'static str) -> Result<Method, MetadataError> {
    Method::from_bytes(one(headers, header)?)
        .map_err(|_| MetadataError::Malformed { header, expected: "a method" })
}

/// Parses `http` or `https`; `ws` and `wss` are the same on the wire.
pub(super) fn scheme(value: &[u8], header: &'static str) -> Result<Scheme, MetadataError> {
    match value.to_ascii_lowercase().as_slice() {
        b"http" | b"ws" => Ok(Scheme::Http),
        b"https" | b"wss" => Ok(Scheme::Https),
        _ => Err(MetadataError::Malformed { header, expected: "`http` or `https`" }),
    }
}

/// Reads the `X-Forwarded-…` headers, all of them, as Traefik and Caddy send them.
pub(super) fn forwarded(headers: &HeaderMap) -> Result<OriginalRequest, MetadataError> {
    Ok(OriginalRequest {
        method: method(headers, "x-forwarded-method")?,
        scheme: scheme(one(headers, "x-forwarded-proto")?, "x-forwarded-proto")?,
        host: one(headers, "x-forwarded-host")?.to_vec(),
        path_and_query: one(headers, "x-forwarded-uri")?.to_vec(),
    })
}
