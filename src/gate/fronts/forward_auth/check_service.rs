//! What is answered about a request that a proxy asks about, by whatever protocol it asks.

use http::{HeaderMap, HeaderValue, StatusCode, header};

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
        resources::metadata_url,
        state::State,
    },
    policy::{RouteOptions, Target},
    problem::Problem,
    reason::Reason,
    telemetry::Outcome,
};

/// What takes a caller's header off where a proxy copies what it is told.
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
    /// What is to be set on it, in place of whatever it holds under these names; empty is to be set, too.
    pub(crate) request: HeaderMap,
    /// Whose pages may read the answer, for proxies that can tell them.
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
        let Decided { target, answer, cors } = authorization.decided().await;
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
            Answer::Refused(refusal) => {
                let refusal = elsewhere(*refusal);
                Err(with_metadata_of_host(refusal, &self.gate.load(), target.as_ref(), asked))
            }
        };
        match permitted {
            Ok((request, outcome)) => Ok(Permitted { request, response: pages, outcome }),
            Err(refusal) => Err(Refusal { problem: refusal.problem.with_pages(pages), ..refusal }),
        }
    }

    fn judge(&self, permit: Permit, headers: &HeaderMap) -> Result<(HeaderMap, Outcome), Refusal> {
        let mut told = self.told(Some(&permit), &permit.options).ok_or_else(not_ready)?;
        subprotocols(&permit, headers, &mut told);
        let forwarding = self.identities.token_forwarding(&permit).map_err(Refusal::unrouted)?;
        if forwarding != TokenForwarding::Keep && headers.contains_key(DPOP) {
            told.insert(DPOP, NOTHING);
        }
        match forwarding {
            TokenForwarding::Keep => {
                let offered = permit.subprotocol_authorization();
                let own = || headers.get_all(header::AUTHORIZATION).iter().cloned().collect();
                let values = offered.map_or_else(own, |offered| vec![offered]);
                told.extend(values.into_iter().map(|value| (header::AUTHORIZATION, value)));
            }
            TokenForwarding::Strip => drop(told.insert(header::AUTHORIZATION, NOTHING)),
            TokenForwarding::Replace(ours) => drop(told.insert(header::AUTHORIZATION, ours)),
        }
        Ok((told, Outcome::permitted(permit.route, permit.principal.as_ref())))
    }

    /// What the service is told about the caller; none if the policy is newer than this endpoint.
    fn told(&self, permit: Option<&Permit>, options: &RouteOptions) -> Option<HeaderMap> {
        let identity = self.identities.find(options.identity.as_ref())?;
        let mut headers = HeaderMap::new();
        identity.set(permit.and_then(|permit| permit.principal.as_ref()), &mut headers);
        Some(headers)
    }
}

/// Adds the URL of the resource's metadata to a challenge, at the host that the caller used, unless another is
/// configured: the proxy, which is trusted, routes it here.
fn with_metadata_of_host(
    refusal: Refusal,
    state: &State,
    target: Option<&Target>,
    original: &OriginalRequest,
) -> Refusal {
    let Some(target) = target else { return refusal };
    let host = str::from_utf8(&original.host).ok();
    let Some(host) = host.filter(|_| state.settings().public_url.is_none()) else { return refusal };
    let url = metadata_url(&format!("{}://{host}", original.scheme.as_str()), target, None);
    Refusal { problem: refusal.problem.with_resource_metadata(&url), ..refusal }
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

/// What is not found is not scopegate's to say where another serves: no route is a denial.
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
