//! What is answered about a request that a proxy asks about, by whatever protocol it asks.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{OriginalRequest, original_request::Relayed};
use crate::{
    gate::{
        Gate, Permit, Refusal,
        authorize::authorize,
        decision::{Answer, Decided},
        identity::identities::{Identities, TokenForwarding},
        request::{
            proof::DPOP,
            subprotocol::{self, Subprotocols},
        },
    },
    policy::{RouteOptions, settings::TokenSource},
    problem::Problem,
    reason::Reason,
    telemetry::Outcome,
};

/// The value that removes a caller's header where a proxy copies the response's headers.
const NOTHING: HeaderValue = HeaderValue::from_static("");

/// Answers proxies.
#[derive(Debug, Clone)]
pub(crate) struct CheckService {
    gate: Gate,
    identities: Identities,
}

/// A request may pass.
#[derive(Debug)]
pub(crate) struct Permitted {
    /// The headers to set on the request, in place of those of the same names; empty ones are set, too.
    pub(crate) request: HeaderMap,
    /// The CORS headers of the response, for proxies that can set them.
    pub(crate) response: HeaderMap,
    /// For the log.
    pub(crate) outcome: Outcome,
}

impl CheckService {
    /// Asks `gate`, and tells what `identities` hold.
    pub(crate) fn new(gate: Gate, identities: Identities) -> Self {
        Self { gate, identities }
    }

    /// Decides about a request that came with these headers, as if it had come here itself. A browser's preflight that
    /// may be answered passes: no proxy can be given the answer to it, so that the service has to.
    ///
    /// # Errors
    /// The refusal, as the caller is to get it.
    pub(crate) async fn decide(
        &self,
        asked: &OriginalRequest,
        headers: &HeaderMap,
    ) -> Result<Permitted, Refusal> {
        let authorization = authorize(&self.gate.load(), &Relayed { asked, headers });
        let Decided { answer, cors, .. } = authorization.decided().await;
        let mut pages = HeaderMap::new();
        cors.apply(&mut pages);
        let permitted = match answer {
            Answer::Preflight(preflight) => {
                // A preflight carries no verified caller, so its token is removed.
                let mut request = self.told(None, &preflight.options).ok_or_else(not_ready)?;
                request.insert(header::AUTHORIZATION, NOTHING);
                let outcome = Outcome::permitted(preflight.route, None);
                return Ok(Permitted { request, response: preflight.headers, outcome });
            }
            Answer::Permitted(permit) => self.judge(permit, headers),
            Answer::Refused(refusal) => Err(elsewhere(*refusal)),
        };
        match permitted {
            Ok((request, outcome)) => Ok(Permitted { request, response: pages, outcome }),
            Err(refusal) => Err(Refusal { problem: refusal.problem.with_pages(pages), ..refusal }),
        }
    }

    #[expect(clippy::result_large_err, reason = "it is turned into a response at once")]
    fn judge(&self, permit: Permit, headers: &HeaderMap) -> Result<(HeaderMap, Outcome), Refusal> {
        let mut told = self.told(Some(&permit), &permit.options).ok_or_else(not_ready)?;
        subprotocols(&permit, headers, &mut told);
        let forwarding = self.identities.token_forwarding(&permit);
        let forwarding = forwarding.map_err(Refusal::unrouted)?;
        told.extend(token_fields(&permit.options.accept_token, headers, &forwarding));
        if forwarding != TokenForwarding::Keep && headers.contains_key(DPOP) {
            told.insert(DPOP, NOTHING);
        }
        match forwarding {
            TokenForwarding::Keep => {
                let values: Vec<_> = match permit.subprotocol_authorization() {
                    Some(offered) => vec![offered],
                    None => headers.get_all(header::AUTHORIZATION).iter().cloned().collect(),
                };
                told.extend(values.into_iter().map(|value| (header::AUTHORIZATION, value)));
            }
            TokenForwarding::Strip => drop(told.insert(header::AUTHORIZATION, NOTHING)),
            TokenForwarding::Replace(ours) => drop(told.insert(header::AUTHORIZATION, ours)),
        }
        Ok((told, Outcome::permitted(permit.route, permit.principal.as_ref())))
    }

    /// Returns the identity headers for the service; none if the policy is newer than this endpoint.
    fn told(&self, permit: Option<&Permit>, options: &RouteOptions) -> Option<HeaderMap> {
        let identity = self.identities.find(options.identity.as_ref())?;
        let mut headers = HeaderMap::new();
        identity.set(permit.and_then(|permit| permit.principal.as_ref()), &mut headers);
        Some(headers)
    }
}

/// The subprotocols of a `WebSocket` that go on: always told where any were offered, so that a proxy's settings need not
/// know on which routes a token is among them.
fn subprotocols(permit: &Permit, headers: &HeaderMap, told: &mut HeaderMap) {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    if offered.iter().next().is_none() {
        return;
    }
    let mut lines: Vec<HeaderValue> = match permit.subprotocols {
        Subprotocols::Untouched => offered.iter().cloned().collect(),
        Subprotocols::Cleared | Subprotocols::HeldTheToken => subprotocol::without_token(headers).0,
    };
    if lines.is_empty() {
        lines.push(NOTHING);
    }
    told.extend(lines.into_iter().map(|line| (header::SEC_WEBSOCKET_PROTOCOL, line)));
}

/// Returns the headers and cookies from which the route accepts a token, as they go on: always told where there are any,
/// so that a proxy's settings need not know which routes accept them.
fn token_fields(
    sources: &[TokenSource],
    headers: &HeaderMap,
    forwarding: &TokenForwarding,
) -> Vec<(HeaderName, HeaderValue)> {
    let fields = match forwarding {
        TokenForwarding::Keep => TokenSource::fields(sources, headers),
        TokenForwarding::Strip | TokenForwarding::Replace(_) => TokenSource::without_tokens(sources, headers),
    };
    fields.into_iter().map(|(name, value)| (name, value.unwrap_or(NOTHING))).collect()
}

/// Makes a denial of "no route": another server answers, so that 404 is not for scopegate to say.
fn elsewhere(refusal: Refusal) -> Refusal {
    match refusal.problem.status() {
        StatusCode::NOT_FOUND => {
            Refusal { problem: refusal.problem.with_status(StatusCode::FORBIDDEN), ..refusal }
        }
        _ => refusal,
    }
}

fn not_ready() -> Refusal {
    let description = "the policy is newer than this endpoint";
    Refusal::unrouted(Problem::new(Reason::NotReady, description))
}
