//! Envoy's `ext_authz` over HTTP: the request itself, its path behind a prefix (`path_prefix`), its method and host as
//! they were, and `X-Forwarded-Proto`. Any answer but 200 is relayed as it is.

use poem::Request;

use super::{
    Dialect,
    original_request::{MetadataError, OriginalRequest, one, scheme},
};

/// Envoy.
#[derive(Debug, Clone)]
pub struct Envoy {
    prefix: Box<str>,
}

impl Envoy {
    /// Returns the dialect for a check endpoint at this path, behind which the path of the original request follows.
    pub fn at(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }
}

impl Dialect for Envoy {
    fn original_request(&self, request: &Request) -> Result<OriginalRequest, MetadataError> {
        let malformed =
            MetadataError::Malformed { header: ":path", expected: "the prefix and the path behind it" };
        let whole = request.uri().path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let path = whole.strip_prefix(&*self.prefix).filter(|path| path.starts_with('/')).ok_or(malformed)?;
        let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
        let host = authority.map_or_else(|| one(request.headers(), "host"), Ok)?;
        Ok(OriginalRequest {
            method: request.method().clone(),
            scheme: scheme(one(request.headers(), "x-forwarded-proto")?, "x-forwarded-proto")?,
            host: host.to_vec(),
            path_and_query: path.as_bytes().to_vec(),
        })
    }
}
