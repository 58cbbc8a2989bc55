//! Caddy's `forward_auth`: `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri`, all of them. Any answer but 2xx is
//! relayed as it is.

use poem::Request;

use super::{
    Dialect,
    asked::{Asked, Incomplete, forwarded},
};

/// Caddy.
#[derive(Debug, Clone, Copy)]
pub struct Caddy;

impl Dialect for Caddy {
    fn asked(&self, request: &Request) -> Result<Asked, Incomplete> {
        forwarded(request.headers())
    }
}
