//! HAProxy, by the script that the manual ships (`proxies/haproxy.lua`): `X-Scopegate-Method`, `-Scheme`, `-Host` and `-Uri`,
//! all of them. The script relays any answer but 200 as it is.

use poem::Request;

use super::{
    Dialect,
    original_request::{MetadataError, OriginalRequest, method, one, scheme},
};

/// HAProxy.
#[derive(Debug, Clone, Copy)]
pub struct Haproxy;

impl Dialect for Haproxy {
    fn original_request(&self, request: &Request) -> Result<OriginalRequest, MetadataError> {
        let headers = request.headers();
        Ok(OriginalRequest {
            method: method(headers, "x-scopegate-method")?,
            scheme: scheme(one(headers, "x-scopegate-scheme")?, "x-scopegate-scheme")?,
            host: one(headers, "x-scopegate-host")?.to_vec(),
            path_and_query: one(headers, "x-scopegate-uri")?.to_vec(),
        })
    }
}
