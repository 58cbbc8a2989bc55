//! What Envoy tells of a request.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{
    super::original_request::{MetadataError, OriginalRequest, scheme},
    messages::{CheckRequest, HttpRequest},
};
use crate::policy::Scheme;

/// A request as Envoy tells of it.
pub(super) struct CheckedRequest {
    pub(super) original: OriginalRequest,
    pub(super) headers: HeaderMap,
}

impl CheckedRequest {
    /// Reads what a check says. What it says twice must be the same both times.
    pub(super) fn read(check: CheckRequest) -> Result<Self, MetadataError> {
        let request = check.attributes.and_then(|attributes| attributes.request);
        let http = request.and_then(|request| request.http).ok_or(missing("attributes.request.http"))?;
        let nothing = "nothing, as `path` holds it";
        let beside = [("query", &http.query), ("fragment", &http.fragment)];
        if let Some((header, _)) = beside.into_iter().find(|(_, value)| !value.is_empty()) {
            return Err(MetadataError::Malformed { header, expected: nothing });
        }
        let method = Method::from_bytes(&required("method", &http.method)?);
        let original = OriginalRequest {
            method: method
                .map_err(|_| MetadataError::Malformed { header: "method", expected: "a method" })?,
            // gRPC's own client of this protocol knows no scheme; it takes part in no rule.
            scheme: match http.scheme.as_str() {
                "" => Scheme::Http,
                found => scheme(found.as_bytes(), "scheme")?,
            },
            host: required("host", &http.host)?,
            path_and_query: required("path", &http.path)?,
        };
        let headers = headers(http)?;
        Ok(Self { original, headers })
    }
}

/// Returns the bytes of an attribute, which may not be empty.
fn required(header: &'static str, value: &str) -> Result<Vec<u8>, MetadataError> {
    if value.is_empty() { Err(missing(header)) } else { Ok(value.as_bytes().to_vec()) }
}

fn missing(header: &'static str) -> MetadataError {
    MetadataError::Missing { header }
}

fn headers(mut http: HttpRequest) -> Result<HeaderMap, MetadataError> {
    let joined = std::mem::take(&mut http.headers);
    let apart = http.header_map.take().map(|map| map.headers);
    let mut headers = HeaderMap::new();
    match apart {
        Some(_) if !joined.is_empty() => {
            return Err(MetadataError::Mixed { first: "headers", second: "header_map" });
        }
        Some(apart) => {
            for header in apart {
                let value = if header.raw_value.is_empty() { header.value.into() } else { header.raw_value };
                take(&http, &mut headers, &header.key, value)?;
            }
        }
        None => {
            for (name, value) in joined {
                take(&http, &mut headers, &name, value.into())?;
            }
        }
    }
    Ok(headers)
}

/// Takes a header; a pseudo-header, or `Host`, must say what its field says.
fn take(
    http: &HttpRequest,
    headers: &mut HeaderMap,
    name: &str,
    value: bytes::Bytes,
) -> Result<(), MetadataError> {
    let (first, said) = match name {
        ":method" => ("method", &http.method),
        ":path" => ("path", &http.path),
        ":scheme" if !http.scheme.is_empty() => ("scheme", &http.scheme),
        ":authority" | "host" => ("host", &http.host),
        name if name.starts_with(':') => return Ok(()),
        name => return append(headers, name, value),
    };
    if value == said.as_bytes() {
        Ok(())
    } else {
        Err(MetadataError::Contradicted { first, second: "headers" })
    }
}

fn malformed(expected: &'static str) -> MetadataError {
    MetadataError::Malformed { header: "headers", expected }
}

fn append(headers: &mut HeaderMap, name: &str, value: bytes::Bytes) -> Result<(), MetadataError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed("names of headers"))?;
    let value = HeaderValue::from_maybe_shared(value).map_err(|_| malformed("values of headers"))?;
    headers.try_append(name, value).map(drop).map_err(|_| malformed("fewer headers"))
}
