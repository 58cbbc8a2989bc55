//! Traefik's `forwardAuth`: `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri`, all of them. Any answer but 2xx is
//! relayed as it is.

use poem::Request;

use super::{
    Dialect,
    asked::{Asked, Incomplete, forwarded},
};

/// Traefik.
#[derive(Debug, Clone, Copy)]
pub struct Traefik;

impl Dialect for Traefik {
    fn asked(&self, request: &Request) -> Result<Asked, Incomplete> {
        forwarded(request.headers())
    }
}
