//! A request on its way to a decision: the routes that decide it, looked up once.

use std::time::Instant;

use http::{HeaderMap, Method};

use super::{
    State,
    subprotocol::{self, Hop},
};
use crate::policy::{Refused, Resolved, Target, settings::TokenSource};

/// What was found about a target. What browsers are told and what is decided rest on the same look-up.
pub(super) struct Matter<'s> {
    pub(super) found: Result<Resolved<'s>, Refused<'s>>,
    /// When it was begun, where decisions are timed.
    pub(super) begun: Option<Instant>,
    is_get: bool,
    hop: Hop,
}

impl Matter<'_> {
    /// Whether the token may come among the subprotocols: the routes say so, and the request, which came with these
    /// headers, opens a `WebSocket`.
    pub(super) fn takes_subprotocols(&self, headers: &HeaderMap) -> bool {
        let source = TokenSource::WebsocketProtocol;
        let accepted = self.found.as_ref().is_ok_and(|resolved| resolved.accepts_token_from(source));
        accepted && self.is_get && subprotocol::is_handshake(headers, self.hop)
    }
}

impl State {
    /// Looks up the routes that decide about a target, which came like this.
    pub(super) fn look_up(&self, target: &Target, hop: Hop) -> Matter<'_> {
        let begun = self.metrics.as_ref().map(|_| Instant::now());
        Matter { found: self.policy.resolve(target), begun, is_get: target.method() == Method::GET, hop }
    }
}
