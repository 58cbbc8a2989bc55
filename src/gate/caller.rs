//! Who calls: from the headers of a request to a principal, or the answer to a token that is none.

use http::HeaderMap;
use scopegate_provider::{Credentials, Freshness, Rejection};

use super::{
    BearerError, Refusal, State,
    bearer::{Presented, presented},
    refusal, subprotocol,
};
use crate::{
    authenticator::{Known, Unauthenticated},
    policy::{Resolved, Route, TokenUse},
    problem::Problem,
};

/// Who calls, and how that is known.
pub(super) struct Caller {
    pub(super) known: Known,
    /// Whether the token came among the subprotocols of a `WebSocket`.
    pub(super) offered: bool,
}

/// What a request says of its caller.
pub(super) enum Met {
    /// Nothing, or nothing that the routes want to know.
    Nobody,
    /// A token that is known.
    Known(Caller),
    /// A token about which somebody has to be asked.
    Stranger(Stranger),
}

/// Who presents a token about which somebody has to be asked.
pub(super) struct Stranger {
    credentials: Credentials,
    offered: bool,
}

impl State {
    /// Looks at who calls, as far as that is known.
    pub(super) fn meet(
        &self,
        resolved: &Resolved<'_>,
        headers: &HeaderMap,
        searched: bool,
    ) -> Result<Met, Box<Refusal>> {
        if resolved.token_use() == TokenUse::Ignored {
            return Ok(Met::Nobody);
        }
        let route = resolved.route();
        let token =
            self.token(resolved, headers, searched).map_err(|problem| self.refused(problem, route))?;
        let Some(token) = token else { return Ok(Met::Nobody) };
        let (offered, limit) = (token.is_offered(), self.settings.token_limit);
        let is_too_long = token.as_bytes().len() > limit;
        if !resolved.fresh()
            && !is_too_long
            && let Some(known) = self.authenticator.recall(token.as_bytes())
        {
            let known = known.map_err(|error| self.unknown(error, route))?;
            return Ok(Met::Known(Caller { known, offered }));
        }
        let token = token.read().map_err(|error| self.refused(error.into(), route))?;
        if is_too_long {
            return Err(self.refused(Problem::rejected(&Rejection::TooLong { limit }, None), route));
        }
        Ok(Met::Stranger(Stranger { credentials: Credentials::bearer(token), offered }))
    }

    /// Asks about a stranger.
    pub(super) async fn introduce(
        &self,
        resolved: &Resolved<'_>,
        stranger: Stranger,
    ) -> Result<Caller, Box<Refusal>> {
        let Stranger { credentials, offered } = stranger;
        let freshness = if resolved.fresh() { Freshness::Fresh } else { Freshness::Cached };
        let judged = self.authenticator.judge(&credentials, freshness).await;
        judged.map(|known| Caller { known, offered }).map_err(|error| self.unknown(error, resolved.route()))
    }

    /// The one token of a request: among the subprotocols of a `WebSocket` only from a page that `cors` lets in, as
    /// browsers let every page open one.
    fn token<'r>(
        &self,
        resolved: &Resolved<'_>,
        headers: &'r HeaderMap,
        searched: bool,
    ) -> Result<Option<Presented<'r>>, Problem> {
        let own = presented(headers)?;
        let offered = if searched { subprotocol::token(headers)? } else { None };
        match (own, offered) {
            (Some(_), Some(_)) => Err(BearerError::Several.into()),
            (own, None) => Ok(own),
            (None, Some(offered)) => {
                self.settings.cors.admits(resolved, headers)?;
                Ok(Some(Presented::Subprotocol(offered)))
            }
        }
    }

    fn unknown(&self, unauthenticated: Unauthenticated, route: &Route) -> Box<Refusal> {
        let Unauthenticated { error, provider, client } = unauthenticated;
        let problem = Problem::authentication(&error, route.rule().smallest_scopes());
        Refusal { provider, client, ..*self.refused(problem, route) }.into()
    }

    fn refused(&self, problem: Problem, route: &Route) -> Box<Refusal> {
        self.point(refusal(problem, Some(route.label().clone()))).into()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderValue, Method, header};

    use super::*;
    use crate::{
        authenticator::{Authenticator, NoRevocations, VerifiedTokens},
        gate::{GateSettings, tests::policy},
        policy::{RawTarget, Scheme, Target},
        testing,
    };

    fn target() -> Target {
        let path_and_query = b"/me";
        let (method, scheme, authority, hosts) = (&Method::GET, Scheme::Http, None, ["a.example"]);
        Target::parse(RawTarget { method, scheme, authority, hosts, path_and_query }).unwrap()
    }

    #[tokio::test]
    async fn a_token_that_is_known_is_refused_once_it_is_longer_than_may_be() {
        let (known, clock) = (VerifiedTokens::new(8), Arc::new(scopegate_provider::SystemClock::new()));
        let connected = testing::everybody(testing::principal("items").unwrap());
        let state = |token_limit| {
            let revocations = Arc::new(NoRevocations);
            let authenticator =
                Authenticator::new(vec![connected.clone()], known.clone(), revocations, clock.clone());
            let settings = GateSettings { token_limit, ..GateSettings::default() };
            State::new(Arc::new(policy()), authenticator.unwrap(), settings)
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer testing"));
        assert!(state(7).authorize(&target(), &headers).await.is_ok());
        assert_eq!((known.count(), known.hits(), known.misses()), (1, 0, 1));
        assert!(state(7).authorize(&target(), &headers).await.is_ok());
        assert_eq!(known.hits(), 1);
        let refused = state(6).authorize(&target(), &headers).await.unwrap_err();
        assert_eq!(refused.problem.reason(), "token_too_long");
    }
}
