//! HAProxy, by the script that the manual ships (`proxies/haproxy.lua`): `X-Scopegate-Method`, `-Scheme`, `-Host` and `-Uri`,
//! all of them. The script relays any answer but 200 as it is.

use poem::Request;

use super::{
    Dialect,
    asked::{Asked, Incomplete, method, one, scheme},
};

/// HAProxy.
#[derive(Debug, Clone, Copy)]
pub struct Haproxy;

impl Dialect for Haproxy {
    fn asked(&self, request: &Request) -> Result<Asked, Incomplete> {
        let headers = request.headers();
        Ok(Asked {
            method: method(headers, "x-scopegate-method")?,
            scheme: scheme(one(headers, "x-scopegate-scheme")?, "x-scopegate-scheme")?,
            host: one(headers, "x-scopegate-host")?.to_vec(),
            path_and_query: one(headers, "x-scopegate-uri")?.to_vec(),
        })
    }
}
