//! The authorization of a request: one function, read from top to bottom, that every front calls.

mod shadow;

use std::{sync::Arc, time::Instant};

use futures_util::future::BoxFuture;
use http::HeaderMap;
use scopegate_provider::{Credentials, Freshness, Principal, Rejection};

use self::shadow::Shadow;
use super::{
    cors::{self, CorsDecision},
    decision::{Answer, Decided, Permit, Refusal},
    request::{
        Incoming, proof,
        site::is_same_origin,
        subprotocol::{self, Subprotocols},
        token::{BearerError, RawToken, authorization, in_cookie, in_header},
    },
    state::{Called, State},
};
use crate::{
    authenticator::{Authenticated, Evidence, Lookup, TokenScheme, Unauthenticated},
    policy::{CallerAt, Decision, Denial, Refused, Resolved, Route, Target, TokenUse, settings::TokenSource},
    problem::Problem,
    reason::Reason,
    telemetry::{Held, Recording},
};

/// A decision, or one that waits for the provider of the token.
#[expect(clippy::large_enum_variant, reason = "one exists per request: a box would allocate for each")]
pub(super) enum Authorization {
    /// The request is decided.
    Ready(Decided),
    /// The token has to be verified first. The future borrows nothing, so that a front keeps the request meanwhile.
    Pending(BoxFuture<'static, Decided>),
}

impl Authorization {
    /// Waits for the decision.
    pub(super) async fn decided(self) -> Decided {
        match self {
            Self::Ready(decided) => decided,
            Self::Pending(pending) => pending.await,
        }
    }
}

/// Decides about a request. It waits only for a token that has to be verified: [`Authorization::Pending`].
pub(super) fn authorize(state: &Arc<State>, request: &impl Incoming) -> Authorization {
    let started = state.timer();
    if let Some(answer) = preflight(state, request) {
        return Authorization::Ready(Decided { target: None, answer, cors: CorsDecision::Unset });
    }
    let target = match request.target(request.method(), &state.settings().trusted_proxies) {
        Ok(target) => target,
        Err(problem) => {
            let answer = Answer::Refused(Refusal::unrouted(problem).into());
            let cors =
                state.cors().map_or(CorsDecision::Unset, |cors| cors.decide([None], request.headers()));
            return Authorization::Ready(Decided { target: None, answer, cors });
        }
    };
    let target = if state.policy().reads_mcp() { target.with_mcp(request.headers()) } else { target };
    let routes = find_routes(state, request.own_route(), &target);
    let cors = cors_decision(state, &routes, request);
    let shadow = Shadow::of(state, &target, request);
    let uses_token = routes.as_ref().is_ok_and(|routes| routes.token_use() != TokenUse::Ignored);
    let answer = match decide_at_once(state, routes, &target, request) {
        Ok(Progress::Permitted(permit)) => Answer::Permitted(permit),
        Ok(Progress::Unverified(unverified)) => {
            let own_route = request.own_route().cloned();
            let verified = verify(Arc::clone(state), target, own_route, unverified, cors, shadow, started);
            return Authorization::Pending(Box::pin(verified));
        }
        Err(refusal) => {
            let sent = authorization(request.headers()).ok().flatten();
            let called = Called {
                target: &target,
                own_route: request.own_route(),
                scheme: sent.map_or(TokenScheme::Bearer, |token| token.scheme()),
                forwarded: request.forwarded_authority(&state.settings().trusted_proxies),
            };
            Answer::Refused(state.challenged(*refusal, &called))
        }
    };
    state.observe(started);
    let shadow = shadow.map(|shadow| shadow.complete(state, &target, &answer, uses_token));
    Authorization::Ready(Decided { answer: answer.beside(shadow), target: Some(target), cors })
}

/// A request that may pass, or one whose token has to be verified.
enum Progress {
    Permitted(Permit),
    Unverified(Unverified),
}

/// A token that has to be verified.
struct Unverified {
    credentials: Credentials,
    evidence: Evidence,
    subprotocols: Subprotocols,
    /// The host and port that a trusted proxy says the client called.
    forwarded: Option<Box<[u8]>>,
}

/// The token of a request, and the treatment of the subprotocols that it may have been among.
struct Presented<'r> {
    token: Option<RawToken<'r>>,
    subprotocols: Subprotocols,
}

/// Decides, unless the token is not in the cache.
fn decide_at_once<'s>(
    state: &'s State,
    routes: Result<Resolved<'s>, Refused<'s>>,
    target: &Target,
    request: &impl Incoming,
) -> Result<Progress, Box<Refusal>> {
    let routes = usable(state, routes, request.own_route())?;
    let Presented { token, subprotocols } = credentials(state, &routes, request)?;
    let Some(token) = token else {
        return permit(state, &routes, None, subprotocols).map(Progress::Permitted);
    };
    let evidence = proof::evidence(state, request, target, token.scheme());
    match state.authenticator().lookup(token.as_bytes(), freshness(&routes), &evidence) {
        Lookup::Cached(Ok(caller)) => {
            permit(state, &routes, Some(caller), subprotocols).map(Progress::Permitted)
        }
        Lookup::Cached(Err(error)) => Err(unauthenticated(error, &routes)),
        Lookup::Unverified => {
            let token = token.parse().map_err(|error| refuse(error.into(), routes.route()))?;
            let credentials = Credentials::bearer(token);
            let forwarded = request.forwarded_authority(&state.settings().trusted_proxies).map(Into::into);
            Ok(Progress::Unverified(Unverified { credentials, evidence, subprotocols, forwarded }))
        }
    }
}

/// Verifies the token and decides. The only place where a decision waits.
async fn verify(
    state: Arc<State>,
    target: Target,
    own_route: Option<Arc<Route>>,
    unverified: Unverified,
    cors: CorsDecision,
    shadow: Option<Shadow>,
    started: Option<Instant>,
) -> Decided {
    let Unverified { credentials, evidence, subprotocols, forwarded } = unverified;
    // The routes borrow the policy, so that they are looked up again rather than kept: the policy is the same.
    let routes = find_routes(&state, own_route.as_ref(), &target);
    let permitted = match usable(&state, routes, own_route.as_ref()) {
        Ok(routes) => match state.authenticator().verify(&credentials, freshness(&routes), &evidence).await {
            Ok(caller) => permit(&state, &routes, Some(caller), subprotocols),
            Err(error) => Err(unauthenticated(error, &routes)),
        },
        Err(refusal) => Err(refusal),
    };
    state.observe(started);
    let called = Called {
        target: &target,
        own_route: own_route.as_ref(),
        scheme: evidence.scheme,
        forwarded: forwarded.as_deref(),
    };
    let answer = permitted
        .map_or_else(|refusal| Answer::Refused(state.challenged(*refusal, &called)), Answer::Permitted);
    let shadow = shadow.map(|shadow| shadow.complete(&state, &target, &answer, true));
    Decided { answer: answer.beside(shadow), target: Some(target), cors }
}

/// Answers a CORS preflight for which CORS is configured. It is decided as the method that it announces, without a
/// token, as browsers send none. Any other `OPTIONS` request needs a rule.
fn preflight(state: &State, request: &impl Incoming) -> Option<Answer> {
    let cors = state.cors().filter(|_| request.own_route().is_none())?;
    let announced = cors::announced_method(request.method(), request.headers())?;
    // A target that cannot be parsed is refused like that of any other request.
    let target = request.target(&announced, &state.settings().trusted_proxies).ok()?;
    let routes = match find_routes(state, None, &target) {
        // A preflight has none of the headers by which MCP requests are decided.
        Err(Refused { route: Some(route), denial: Denial::Mcp(_) }) => Ok(Resolved::of(route)),
        routes => routes,
    };
    let decision = cors_decision(state, &routes, request);
    if decision == CorsDecision::Unset {
        return None;
    }
    let answer = usable(state, routes, None).and_then(|routes| {
        if let Decision::Deny(refused) = routes.decide(None)
            && refused.denial == Denial::Nobody
        {
            return Err(Refusal::from(&refused).into());
        }
        cors.preflight(&routes, &announced, decision).map_err(|problem| refuse(problem, routes.route()))
    });
    Some(answer.map_or_else(Answer::Refused, |preflight| Answer::Preflight(preflight.into())))
}

/// Finds the routes that decide about a target.
fn find_routes<'s>(
    state: &'s State,
    own_route: Option<&'s Arc<Route>>,
    target: &Target,
) -> Result<Resolved<'s>, Refused<'s>> {
    match own_route {
        Some(route) => Ok(Resolved::of(route)),
        None => state.policy().resolve(target),
    }
}

/// Decides which origins may read the response.
fn cors_decision(
    state: &State,
    routes: &Result<Resolved<'_>, Refused<'_>>,
    request: &impl Incoming,
) -> CorsDecision {
    let Some(cors) = state.cors().filter(|_| request.own_route().is_none()) else {
        return CorsDecision::Unset;
    };
    match routes {
        Ok(routes) => cors.decide(routes.routes().map(Some), request.headers()),
        Err(refused) => cors.decide([refused.route], request.headers()),
    }
}

/// Returns the routes, if this node may still decide by them. The rules of scopegate's own endpoints never go stale, so
/// that an administrator can repair a node.
fn usable<'s>(
    state: &State,
    routes: Result<Resolved<'s>, Refused<'s>>,
    own_route: Option<&Arc<Route>>,
) -> Result<Resolved<'s>, Box<Refusal>> {
    if own_route.is_none() {
        let fresh = state.authenticator().policy_is_fresh();
        fresh.map_err(|outage| Refusal::unrouted(Problem::unavailable(&outage)))?;
    }
    Ok(routes.map_err(|refused| Refusal::from(&refused))?)
}

/// Finds the one token of a request: in `Authorization`, or in one other place that the routes accept. Browsers let every
/// page open a `WebSocket` and send cookies along, so that such a token counts only if the page may use it.
fn credentials<'r>(
    state: &State,
    routes: &Resolved<'r>,
    request: &'r impl Incoming,
) -> Result<Presented<'r>, Box<Refusal>> {
    let headers = request.headers();
    let searched = request.opens_websocket()
        && routes.token_sources().any(|source| *source == TokenSource::WebsocketProtocol);
    let subprotocols = if searched { Subprotocols::Cleared } else { Subprotocols::Untouched };
    if routes.token_use() == TokenUse::Ignored {
        return Ok(Presented { token: None, subprotocols });
    }
    let token = one_token(routes, headers, searched);
    let token = token.map_err(|error| refuse(error.into(), routes.route()))?;
    let limit = state.settings().token_limit;
    let checked = match &token {
        Some(token) if token.as_bytes().len() > limit => {
            Err(Problem::rejected(&Rejection::TooLong { limit }, None))
        }
        Some(RawToken::Subprotocol(_)) => state.settings().cors.admits(routes, headers),
        Some(RawToken::Cookie(_)) => check_site(state, request),
        _ => Ok(()),
    };
    checked.map_err(|problem| refuse(problem, routes.route()))?;
    let held = matches!(token, Some(RawToken::Subprotocol(_)));
    Ok(Presented { token, subprotocols: if held { Subprotocols::HeldTheToken } else { subprotocols } })
}

/// Finds the token in the places that the routes accept.
fn one_token<'r>(
    routes: &Resolved<'r>,
    headers: &'r HeaderMap,
    opens_websocket: bool,
) -> Result<Option<RawToken<'r>>, BearerError> {
    let mut token = authorization(headers)?;
    for source in routes.token_sources() {
        let found = match source {
            TokenSource::WebsocketProtocol if opens_websocket => {
                subprotocol::token(headers)?.map(RawToken::Subprotocol)
            }
            TokenSource::WebsocketProtocol => None,
            TokenSource::Header(header) => in_header(headers, header)?,
            TokenSource::Cookie(cookie) => in_cookie(headers, cookie)?,
        };
        if found.is_some() && token.is_some() {
            return Err(BearerError::Several);
        }
        token = token.or(found);
    }
    Ok(token)
}

/// Checks that a page of the same origin sends a request with a cookie, if the request may change something or opens a
/// connection that the page can read.
fn check_site(state: &State, request: &impl Incoming) -> Result<(), Problem> {
    let may_come_from_anywhere = request.method().is_safe() && !request.opens_websocket();
    let authority = request.authority(&state.settings().trusted_proxies);
    if may_come_from_anywhere || is_same_origin(request.headers(), authority) {
        return Ok(());
    }
    let description = "with the token in a cookie, this is accepted only from a page of the same origin: \
                       expected `Sec-Fetch-Site: same-origin` or an `Origin` that is this host";
    Err(Problem::new(Reason::CrossSite, description))
}

/// Returns the freshness that the routes require of an answer about the token.
fn freshness(routes: &Resolved<'_>) -> Freshness {
    if routes.fresh() { Freshness::Fresh } else { Freshness::Cached }
}

/// Applies the rules of the routes to the caller.
fn permit(
    state: &State,
    routes: &Resolved<'_>,
    caller: Option<Authenticated>,
    subprotocols: Subprotocols,
) -> Result<Permit, Box<Refusal>> {
    let principal = caller.as_ref().map(|caller| caller.principal.clone());
    let now = state.authenticator().now();
    match routes.decide(principal.as_ref().map(|principal| CallerAt::new(principal, now))) {
        Decision::Permit { route } => {
            let options = route.options().clone();
            let route = route.label().clone();
            let recording = Recording {
                held: if state.records_permits() { held(state, principal.as_ref()) } else { None },
                is_anonymous: principal.is_none() && routes.token_use() != TokenUse::Ignored,
                shadow: None,
            };
            let (credentials, authenticated) = caller.map(|caller| (caller.credentials, caller.at)).unzip();
            Ok(Permit {
                principal,
                credentials,
                route,
                options,
                target: None,
                authenticated,
                subprotocols,
                recording,
            })
        }
        Decision::Deny(refused) => {
            let refusal = Refusal::from(&refused).of(principal.as_ref());
            Err(Refusal { held: held(state, principal.as_ref()), ..refusal }.into())
        }
    }
}

/// Returns the facts of a caller by which the rules of the policy decide.
fn held(state: &State, principal: Option<&Principal>) -> Option<Box<Held>> {
    principal.map(|principal| Held::of(principal, state.policy().tested_claims()).into())
}

fn unauthenticated(error: Unauthenticated, routes: &Resolved<'_>) -> Box<Refusal> {
    let Unauthenticated { error, provider, client } = error;
    let problem = Problem::authentication(&error, routes.route().rule().smallest_scopes());
    Refusal { provider, client, ..*refuse(problem, routes.route()) }.into()
}

fn refuse(problem: Problem, route: &Route) -> Box<Refusal> {
    Refusal { route: Some(route.label().clone()), ..Refusal::unrouted(problem) }.into()
}
